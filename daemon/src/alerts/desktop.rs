//! Notifications on the user's desktop: org.freedesktop.Notifications over the session bus, on macOS the
//! system's own script runner. Only the session that the daemon itself belongs to is ever looked for.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use zbus::{Connection, Variant, fdo};

use super::{
    alert::{Alert, Told, Urgency},
    channel::Failure,
    command,
};
use crate::session_bus::Bus;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
/// To the bus and back, all calls together.
const LIMIT: Duration = Duration::from_secs(15);
/// Notifications that are remembered to be replaced.
const REMEMBERED: usize = 256;

/// The desktop of the user who runs the daemon.
pub(super) struct Desktop {
    /// What the settings say, if they do.
    wanted: Option<bool>,
    /// The notification that shows a finding, to be replaced by what becomes of it.
    shown: Mutex<BTreeMap<String, u32>>,
}

impl Desktop {
    pub(super) fn new(wanted: Option<bool>) -> Self {
        Self {
            wanted,
            shown: Mutex::default(),
        }
    }

    /// Whether the settings ask for it.
    pub(super) const fn is_asked_for(&self) -> bool {
        matches!(self.wanted, Some(true))
    }

    pub(super) fn to(&self) -> String {
        if cfg!(target_os = "macos") {
            "the notification centre".into()
        } else {
            format!("{NAME} on the session bus")
        }
    }

    /// Why nothing is shown: switched off, or nobody asked for it where it makes no sense.
    pub(super) fn off(&self) -> Option<String> {
        let why = match self.wanted {
            Some(true) => return None,
            Some(false) => "switched off: desktop = false under [alerts]",
            None if bascule_os::effective_uid() == 0 => {
                "the daemon runs as root; desktop = true under [alerts] uses root's own session"
            }
            None if cfg!(target_os = "macos") || Bus::find().is_some() => return None,
            None => "there is no session bus; desktop = true under [alerts] insists",
        };
        Some(why.to_owned())
    }

    /// Shows an alert.
    pub(super) async fn show(&self, alert: &Alert) -> Result<(), Failure> {
        if cfg!(target_os = "macos") {
            let words = script(&alert.title(), &alert.text()).map(OsString::from);
            return command::run(&words, b"").await;
        }
        match tokio::time::timeout(LIMIT, self.notify(alert)).await {
            Ok(shown) => shown,
            Err(_) => Err(failure("the session bus did not answer in time")),
        }
    }

    async fn notify(&self, alert: &Alert) -> Result<(), Failure> {
        let bus = Bus::find().ok_or_else(|| {
            failure("there is no session bus: DBUS_SESSION_BUS_ADDRESS is not set")
        })?;
        let connection = bus
            .connect()
            .await
            .map_err(|error| failure(format!("the session bus can't be used: {error}")))?;
        let told = self.call(&connection, alert).await;
        // Nothing may be left unsent, and nobody waits for what a broken bus says to that.
        let _ = connection.close().await;
        told.map_err(|error| match error {
            zbus::Error::FDO(inner) if matches!(*inner, fdo::Error::ServiceUnknown(_)) => {
                failure("no program on the session bus shows notifications")
            }
            error => failure(format!("the notification was not taken: {error}")),
        })
    }

    async fn call(&self, connection: &Connection, alert: &Alert) -> zbus::Result<()> {
        let answer = connection
            .call_method(Some(NAME), PATH, Some(NAME), "GetCapabilities", &())
            .await?;
        let abilities: Vec<String> = answer.body().deserialize()?;
        let mut text = alert.text();
        if abilities.iter().any(|ability| ability == "body-markup") {
            text = escaped(&text);
        }
        let finding = match &alert.told {
            Told::Finding(_, finding) => Some(finding.id.as_str()),
            Told::Summary(_) | Told::Test => None,
        };
        let replaces = finding.and_then(|id| self.shown().get(id).copied());
        let (urgency, icon): (u8, _) = match alert.urgency() {
            Urgency::Low => (0, "dialog-information"),
            Urgency::Normal => (1, "dialog-warning"),
            Urgency::High => (2, "dialog-warning"),
        };
        let hints = HashMap::from([("urgency", Variant::U8(urgency))]);
        let actions: [&str; 0] = [];
        let title = alert.title();
        let body = (
            "Bascule",
            replaces.unwrap_or(0),
            icon,
            title.as_str(),
            text.as_str(),
            &actions[..],
            hints,
            // As long as the desktop finds right.
            -1_i32,
        );
        let answer = connection
            .call_method(Some(NAME), PATH, Some(NAME), "Notify", &body)
            .await?;
        let number: u32 = answer.body().deserialize()?;
        if let Some(id) = finding {
            let mut shown = self.shown();
            if shown.len() >= REMEMBERED {
                shown.clear();
            }
            shown.insert(id.to_owned(), number);
        }
        Ok(())
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, u32>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failure(why: impl Into<String>) -> Failure {
    Failure {
        why: why.into(),
        next: "log in to a desktop whose session the daemon belongs to, or set desktop = false under [alerts]".into(),
        again: false,
    }
}

/// As text within markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// The words of a command that shows a notification on macOS. Title and text are arguments of the script
/// and never part of it.
fn script(title: &str, text: &str) -> [String; 9] {
    [
        "/usr/bin/osascript",
        "-e",
        "on run argv",
        "-e",
        "display notification (item 2 of argv) with title (item 1 of argv)",
        "-e",
        "end run",
        title,
        text,
    ]
    .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_settings_say_counts() {
        assert!(Desktop::new(Some(false)).off().is_some());
        assert!(Desktop::new(Some(true)).off().is_none());
        let root = bascule_os::effective_uid() == 0;
        assert!(!root || Desktop::new(None).off().is_some());
    }

    #[test]
    fn a_text_is_never_markup_nor_script() {
        assert_eq!(escaped("<b>&amp;"), "&lt;b&gt;&amp;amp;");
        let words = script("\" & do shell script \"x", "-e");
        let scripts: Vec<_> = words[..7]
            .iter()
            .filter(|word| word.contains("shell"))
            .collect();
        assert!(scripts.is_empty());
    }
}
