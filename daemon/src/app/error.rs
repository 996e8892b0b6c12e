//! What verbs fail with: a kind for programs, a safe message for people, and the next step. The
//! edges (`rpc/status.rs`) map the kind once.

use bascule_adapters::{OpenError, ProbeFailure, WishError};
use bascule_domain::{plan::Checked, tombstone::Tombstone};
use bascule_store::StoreError;

/// What went wrong, as far as a program needs to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something in the request can't be right.
    Invalid,
    /// There is no such connection, key, deletion or receipt.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Something stands in the way: open boxes, a deletion under way, another bucket identity.
    Refused,
    /// The provider said no, or could not be reached.
    Provider,
    /// The daemon's own state could not be read or written.
    Storage,
    /// The daemon is stopping.
    Stopping,
}

impl Kind {
    /// The name in `ErrorInfo.reason` and in `--json`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Refused => "REFUSED",
            Self::Provider => "PROVIDER",
            Self::Storage => "STORAGE",
            Self::Stopping => "STOPPING",
        }
    }
}

/// A failure of a verb.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    pub kind: Kind,
    pub message: String,
    pub next: Option<String>,
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            next: None,
        }
    }

    pub(crate) fn invalid(what: &str, error: impl std::fmt::Display) -> Self {
        Self::new(Kind::Invalid, format!("{what}: {error}"))
    }

    pub(crate) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    pub(crate) fn no_connection(name: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no connection {name:?}")).next("bascule list")
    }

    pub(crate) fn no_key(id: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no key {id}")).next("bascule key list")
    }

    pub(crate) fn dead_key(tombstone: &Tombstone) -> Self {
        let (masked, label) = (&tombstone.masked, &tombstone.label);
        Self::new(
            Kind::Refused,
            format!("the key {masked} ({label}) is dead for good"),
        )
        .next("a new one: bascule key issue --help")
    }

    /// `open` are the boxes that stand in the way, with evidence and remedy.
    pub(crate) fn open_boxes(name: &str, open: &[&Checked]) -> Self {
        let lines: Vec<_> = open
            .iter()
            .map(|checked| {
                format!(
                    "{}: {} ({})",
                    checked.name, checked.evidence, checked.remedy
                )
            })
            .collect();
        let how_many = if open.len() == 1 {
            "a box of the checklist is"
        } else {
            "boxes of the checklist are"
        };
        Self::new(
            Kind::Refused,
            format!("{how_many} open: {}", lines.join("; ")),
        )
        .next(format!("bascule delete {name} --plan"))
    }
}

/// How whoever reads it restarts this daemon. The machine's unit names its runtime folder.
pub(crate) fn restart() -> &'static str {
    if !bascule_os::service::has_manager() {
        "restart the daemon: end it (Ctrl-C), then: basculed"
    } else if std::env::var_os("RUNTIME_DIRECTORY").is_some_and(|folder| folder == "/run/bascule") {
        "restart the machine's service: sudo systemctl restart bascule"
    } else {
        "restart your service: systemctl --user restart bascule"
    }
}

/// The same, when it is about to end.
pub(crate) fn start() -> &'static str {
    match bascule_os::service::has_manager() {
        false => "start the daemon: basculed",
        // Whoever dials its socket starts it.
        true => "bascule status",
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        let next = if matches!(error, StoreError::Unusable) {
            restart()
        } else {
            "bascule status"
        };
        Self::new(
            Kind::Storage,
            format!("the store could not be written: {error}"),
        )
        .next(next)
    }
}

impl From<WishError> for Error {
    fn from(error: WishError) -> Self {
        Self::new(Kind::Invalid, error.to_string()).next("bascule connect --help")
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::new(Kind::Provider, error.to_string())
    }
}

impl From<ProbeFailure> for Error {
    fn from(error: ProbeFailure) -> Self {
        Self::new(Kind::Provider, error.to_string()).next(error.next_step())
    }
}
