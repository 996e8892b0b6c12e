//! What a command fails with: a kind for programs, a message for people, and the next step. The
//! daemon's statuses are mapped here and nowhere else; kinds are mapped to exit codes here.

use tonic::Code;
use tonic_types::StatusExt;

use crate::{exit::Exit, start::Runner};

/// What went wrong, as far as a program needs to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something given can't be right.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Something stands in the way.
    Refused,
    /// The provider said no, or could not be reached.
    Provider,
    /// Known, but not in this release.
    NotAvailable,
    /// The daemon's own state could not be read or written.
    Storage,
    /// The daemon is stopping.
    Stopping,
    /// No daemon answers.
    NoDaemon,
    /// The keys are dead; the command ended before the verdict.
    VerdictPending,
    /// The user interrupted.
    Interrupted,
    /// A file of the user's, the terminal or a program failed.
    Failed,
    /// Nobody reads the output any more.
    OutputClosed,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::Invalid,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Refused,
        Self::Provider,
        Self::NotAvailable,
        Self::Storage,
        Self::Stopping,
        Self::NoDaemon,
        Self::VerdictPending,
        Self::Interrupted,
        Self::Failed,
        Self::OutputClosed,
    ];

    /// The name in `--json` and in the daemon's `ErrorInfo.reason`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "INVALID",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Refused => "REFUSED",
            Self::Provider => "PROVIDER",
            Self::NotAvailable => "NOT_AVAILABLE_YET",
            Self::Storage => "STORAGE",
            Self::Stopping => "STOPPING",
            Self::NoDaemon => "NO_DAEMON",
            Self::VerdictPending => "VERDICT_PENDING",
            Self::Interrupted => "INTERRUPTED",
            Self::Failed => "FAILED",
            Self::OutputClosed => "OUTPUT_CLOSED",
        }
    }

    /// The exit code.
    #[must_use]
    pub const fn exit(self) -> Exit {
        match self {
            Self::Invalid => Exit::Usage,
            Self::NotFound => Exit::NotFound,
            Self::AlreadyExists | Self::Refused | Self::NotAvailable => Exit::Refused,
            Self::Provider | Self::Storage | Self::Stopping | Self::Failed | Self::OutputClosed => {
                Exit::Failed
            }
            Self::NoDaemon => Exit::NoDaemon,
            Self::VerdictPending => Exit::VerdictPending,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A failure of a command.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// For programs.
    pub kind: Kind,
    /// For people: what happened, and why.
    pub message: String,
    /// What to do next, usually a command.
    pub next: Option<String>,
    /// More of it, for programs.
    pub details: Option<Box<serde_json::Value>>,
}

impl Error {
    /// A failure without a next step.
    #[must_use]
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            next: None,
            details: None,
        }
    }

    /// Adds more of it, for programs.
    #[must_use]
    pub(crate) fn details(mut self, details: &impl serde::Serialize) -> Self {
        self.details = serde_json::to_value(details).ok().map(Box::new);
        self
    }

    /// Adds the next step.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        let details = status.get_error_details();
        if let Some(info) = details.error_info()
            && let Some(kind) = Kind::parse(&info.reason)
        {
            return Self {
                kind,
                message: status.message().to_owned(),
                next: info.metadata.get("next").cloned(),
                details: None,
            };
        }
        // Without our details it did not come from a verb: the transport, or another release.
        if is_of_transport(&status) {
            return broken();
        }
        match status.code() {
            Code::Unimplemented => Self::new(
                Kind::NotAvailable,
                "the running daemon does not know this command; it is of another release",
            )
            .next(Runner::here().restart()),
            Code::PermissionDenied | Code::Unauthenticated => {
                Self::new(Kind::Refused, status.message().to_owned())
            }
            Code::Unavailable | Code::Cancelled | Code::Unknown => broken(),
            code => Self::new(
                Kind::Failed,
                format!("the daemon failed ({code:?}): {}", status.message()),
            )
            .next("bascule status"),
        }
    }
}

/// Whether the status was made on this side, out of a failed connection, or by a foreign server:
/// only then it has a source, or words of the protocols below ours.
fn is_of_transport(status: &tonic::Status) -> bool {
    const WORDS: [&str; 6] = ["h2", "http2", "http/2", "hyper", "grpc", "transport error"];
    let message = status.message().to_ascii_lowercase();
    std::error::Error::source(status).is_some() || WORDS.iter().any(|word| message.contains(word))
}

fn broken() -> Error {
    Error::new(
        Kind::NoDaemon,
        "the connection to the daemon broke before it had answered; it has stopped, or what listens there is no Bascule daemon",
    )
    .next(format!(
        "{}; if it runs, try again: bascule status",
        Runner::here().start()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn status(code: Code, reason: &str, next: Option<&str>) -> tonic::Status {
        let metadata = next
            .map(|next| ("next".to_owned(), next.to_owned()))
            .into_iter()
            .collect::<std::collections::HashMap<_, _>>();
        let details = ErrorDetails::with_error_info(reason, "bascule.v1", metadata);
        tonic::Status::with_error_details(code, "there is no connection \"x\"", details)
    }

    #[test]
    fn kind_message_and_next_step_come_from_the_daemons_details() {
        let error = Error::from(status(Code::NotFound, "NOT_FOUND", Some("bascule list")));
        assert_eq!(error.kind, Kind::NotFound);
        assert_eq!(error.message, "there is no connection \"x\"");
        assert_eq!(error.next.as_deref(), Some("bascule list"));
    }

    #[test]
    fn an_unavailable_provider_is_not_taken_for_a_missing_daemon() {
        let provider = Error::from(status(Code::Unavailable, "PROVIDER", None));
        assert_eq!(provider.kind.exit(), Exit::Failed);
        let transport = Error::from(tonic::Status::unavailable("broken"));
        assert_eq!(transport.kind.exit(), Exit::NoDaemon);
    }

    #[test]
    fn a_broken_transport_is_a_missing_daemon_and_is_told_in_plain_words() {
        let broken: Box<dyn std::error::Error + Send + Sync> = "h2 broke".into();
        for status in [
            tonic::Status::from_error(broken),
            tonic::Status::internal("h2 protocol error: http2 error"),
            tonic::Status::unknown("transport error"),
            tonic::Status::cancelled("h2 protocol error: stream reset"),
        ] {
            let error = Error::from(status);
            assert_eq!(error.kind, Kind::NoDaemon, "{error:?}");
            assert!(!error.message.contains("h2"), "{error}");
            assert!(!error.message.contains("http2"), "{error}");
            assert!(error.next.is_some_and(|next| next.contains("basculed")));
        }
        let other = Error::from(tonic::Status::internal("no room"));
        assert_eq!(other.kind, Kind::Failed);
    }

    #[test]
    fn scripts_can_tell_the_kinds_apart() {
        for (kind, exit) in [
            (Kind::Invalid, Exit::Usage),
            (Kind::NotFound, Exit::NotFound),
            (Kind::AlreadyExists, Exit::Refused),
            (Kind::Refused, Exit::Refused),
            (Kind::NoDaemon, Exit::NoDaemon),
            (Kind::Provider, Exit::Failed),
            (Kind::VerdictPending, Exit::VerdictPending),
            (Kind::Interrupted, Exit::Interrupted),
        ] {
            assert_eq!(kind.exit(), exit, "{kind:?}");
        }
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
    }
}
