//! A real GNOME Keyring on a session bus of its own, with its files in a folder of the test's.

use std::{
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use futures_util::StreamExt;
use zbus::{Connection, MessageStream, ObjectPath, OwnedObjectPath, conn::Builder, message::Type};

use crate::{home::Home, runtime, session_bus::SessionBus, tools, wait};

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
/// Who shows the keyring's questions; a desktop's shell, usually.
const PROMPTER: &str = "org.gnome.keyring.SystemPrompter";
const LOGIN: &str = "/org/freedesktop/secrets/collection/login";

/// Refuses to show a question, as long as its bus is there, so that each ends as if it were declined. With
/// nobody to refuse, the keyring waits for somebody to come.
async fn decline(address: &str) -> zbus::Result<()> {
    let bus: Connection = Builder::address(address).build().await?;
    let mut calls = MessageStream::from(&bus);
    bus.request_name(PROMPTER).await?;
    tokio::spawn(async move {
        while let Some(Ok(call)) = calls.next().await {
            let header = call.header();
            if header.message_type() == Type::MethodCall {
                let refused = "org.freedesktop.DBus.Error.Failed";
                bus.reply_error(&header, refused, &"nobody is there")
                    .await
                    .ok();
            }
        }
    });
    Ok(())
}

/// The keyring. It ends on drop.
#[derive(Debug)]
pub struct Keyring {
    /// What `DBUS_SESSION_BUS_ADDRESS` is set to.
    pub address: String,
    folder: PathBuf,
    _bus: SessionBus,
    keeper: Option<Child>,
}

impl Keyring {
    /// Starts one, unlocked. `None` where it can't be had; the test has then said that it was skipped.
    #[must_use]
    pub fn start(home: &Home) -> Option<Self> {
        let keeper = tools::installed_path("gnome-keyring-daemon");
        let Some(bus) = keeper.and_then(|_| SessionBus::start()) else {
            eprintln!("skipped: no dbus-daemon, or no gnome-keyring-daemon");
            return None;
        };
        let folder = home.path("keyring");
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut keyring = Self {
            address: bus.address.clone(),
            folder,
            _bus: bus,
            keeper: None,
        };
        runtime()
            .block_on(decline(&keyring.address))
            .expect("the bus takes who declines");
        keyring.begin();
        Some(keyring)
    }

    /// Starts the program that keeps the secrets, and unlocks it.
    pub fn begin(&mut self) {
        let program = tools::get("gnome-keyring-daemon");
        let libraries = program
            .ancestors()
            .nth(2)
            .expect("usr")
            .join(format!("lib/{}-linux-gnu", std::env::consts::ARCH));
        let mut keeper = Command::new(program)
            .args(["--foreground", "--components=secrets", "--unlock"])
            .arg(format!("--control-directory={}", self.folder.display()))
            .env("LD_LIBRARY_PATH", libraries)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
            .env("HOME", &self.folder)
            .env("XDG_DATA_HOME", &self.folder)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .env_remove("DISPLAY")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon");
        keeper
            .stdin
            .take()
            .expect("a pipe")
            .write_all(b"password")
            .expect("it reads the password");
        self.keeper = Some(keeper);
        wait::until("the keyring to be unlocked", || {
            self.entries().is_some().then_some(())
        });
    }

    /// Ends that program, as a logout does.
    pub fn end(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.kill().ok();
            keeper.wait().ok();
        }
    }

    /// Locks it.
    pub fn lock(&self) {
        let paths = [ObjectPath::try_from(LOGIN).expect("a path")];
        self.ask("Lock", &(&paths[..],)).expect("it locks");
    }

    /// How many unlocked and locked root keys are in it; `None` while it is not there.
    #[must_use]
    pub fn entries(&self) -> Option<(usize, usize)> {
        let attributes = std::collections::HashMap::from([("application", "bascule")]);
        let answer = self.ask("SearchItems", &(attributes,)).ok()?;
        let body = answer.body();
        let (open, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) =
            body.deserialize().ok()?;
        Some((open.len(), locked.len()))
    }

    fn ask<B: serde::Serialize + zbus::DynamicType>(
        &self,
        method: &str,
        request: &B,
    ) -> zbus::Result<zbus::Message> {
        runtime().block_on(async {
            let bus: Connection = Builder::address(self.address.as_str()).build().await?;
            bus.call_method(Some(NAME), PATH, Some(SERVICE), method, request)
                .await
        })
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.end();
    }
}
