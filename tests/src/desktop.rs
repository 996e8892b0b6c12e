//! A desktop without a screen: a real session bus, and on it a program that takes notifications and writes
//! them down.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::task::JoinHandle;
use zbus::{Connection, MessageStream, Variant, conn::Builder, message::Type};

use crate::{runtime, session_bus::SessionBus, wait};

const NAME: &str = "org.freedesktop.Notifications";

/// What a notification says.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its number, given by the desktop.
    pub number: u32,
    /// The number of the one that it replaces; 0 for none.
    pub replaces: u32,
    /// The title.
    pub title: String,
    /// The text, as markup.
    pub text: String,
    /// 0, 1 or 2.
    pub urgency: u8,
}

/// The desktop. It ends on drop.
#[derive(Debug)]
pub struct Desktop {
    /// What `DBUS_SESSION_BUS_ADDRESS` is set to.
    pub address: String,
    _bus: SessionBus,
    shown: Arc<Mutex<Vec<Notification>>>,
    task: JoinHandle<()>,
}

impl Desktop {
    /// Starts one. `None` where there is no `dbus-daemon`; the test has then said that it was skipped.
    #[must_use]
    pub fn start() -> Option<Self> {
        let Some(bus) = SessionBus::start() else {
            eprintln!("skipped: no dbus-daemon");
            return None;
        };
        let address = bus.address.clone();
        let shown = Arc::<Mutex<Vec<Notification>>>::default();
        let (connection, requests) = runtime()
            .block_on(take_the_name(&address))
            .expect("a place on the bus");
        let task = runtime().spawn(serve(connection, requests, Arc::clone(&shown)));
        Some(Self {
            address,
            _bus: bus,
            shown,
            task,
        })
    }

    /// Waits until so many notifications were shown.
    #[must_use]
    pub fn wait_for(&self, number: usize) -> Vec<Notification> {
        wait::until(&format!("{number} notifications"), || {
            let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
            (shown.len() >= number).then(|| shown.clone())
        })
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take_the_name(address: &str) -> zbus::Result<(Connection, MessageStream)> {
    let connection = Builder::address(address).build().await?;
    let requests = MessageStream::from(&connection);
    connection.request_name(NAME).await?;
    Ok((connection, requests))
}

async fn serve(
    connection: Connection,
    mut requests: MessageStream,
    shown: Arc<Mutex<Vec<Notification>>>,
) {
    while let Some(Ok(message)) = requests.next().await {
        let header = message.header();
        if header.message_type() != Type::MethodCall {
            continue;
        }
        let member = header.member().map(ToString::to_string).unwrap_or_default();
        let answered = match member.as_str() {
            "GetCapabilities" => {
                connection
                    .reply(&header, &vec!["body", "body-markup"])
                    .await
            }
            "Notify" => {
                let number = note(&message, &shown);
                connection.reply(&header, &number).await
            }
            _ => continue,
        };
        if answered.is_err() {
            return;
        }
    }
}

fn note(message: &zbus::Message, shown: &Mutex<Vec<Notification>>) -> u32 {
    type Body<'a> = (
        &'a str,
        u32,
        &'a str,
        &'a str,
        &'a str,
        Vec<&'a str>,
        std::collections::HashMap<&'a str, Variant<'a>>,
        i32,
    );
    let body = message.body();
    let (_, replaces, _, title, text, _, hints, _): Body<'_> =
        body.deserialize().expect("a notification");
    let urgency = match hints.get("urgency") {
        Some(Variant::U8(urgency)) => *urgency,
        other => panic!("urgency is {other:?}"),
    };
    let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    let number = match replaces {
        0 => 100 + u32::try_from(shown.len()).expect("few"),
        replaced => replaced,
    };
    shown.push(Notification {
        number,
        replaces,
        title: title.to_owned(),
        text: text.to_owned(),
        urgency,
    });
    number
}
