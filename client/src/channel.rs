//! Dials the daemon's Unix socket, and says what is wrong when nobody answers there. It must
//! never start a daemon, nor make, remove or change anything at the socket's path.

use std::{
    future::Future,
    io::{self, ErrorKind},
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use bascule_proto::{
    location,
    v1::{
        adoptions_client::AdoptionsClient, alerts_client::AlertsClient, audit_client::AuditClient,
        connections_client::ConnectionsClient, deletions_client::DeletionsClient,
        findings_client::FindingsClient, keys_client::KeysClient, leaks_client::LeaksClient,
        rotations_client::RotationsClient, system_client::SystemClient, usage_client::UsageClient,
    },
};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tower_service::Service;

use crate::{
    error::{Error, Kind},
    start::Runner,
};

/// A receipt may name a thousand objects with keys of a kilobyte each.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// The daemon, dialled.
#[derive(Debug, Clone)]
pub struct Client {
    channel: Channel,
}

impl Client {
    /// Dials the given socket, or the default one.
    ///
    /// # Errors
    /// [`Kind::NoDaemon`] with what was found at the path and the command that starts a daemon.
    pub async fn connect(socket: Option<&Path>) -> Result<Self, Error> {
        let given = socket.is_some();
        let path = socket
            .map(Path::to_path_buf)
            .or_else(location::socket)
            .ok_or_else(|| {
                Error::new(
                    Kind::NoDaemon,
                    "there is no home folder to look for the daemon's socket in",
                )
                .next("set HOME, or say where: bascule --socket PATH …")
            })?;
        let first = UnixStream::connect(&path)
            .await
            .map_err(|error| diagnose(&path, given, &error))?;
        let connector = Connector {
            path: path.clone(),
            first: Some(first),
        };
        // The authority is never resolved; the connector knows where to go.
        let channel = Endpoint::from_static("http://bascule.invalid")
            .connect_with_connector(connector)
            .await
            .map_err(|_| {
                Error::new(
                    Kind::NoDaemon,
                    format!(
                        "something answers at {}, but it is no Bascule daemon",
                        path.display()
                    ),
                )
                .next(Runner::of(&path).start())
            })?;
        Ok(Self { channel })
    }

    /// Connections.
    #[must_use]
    pub fn connections(&self) -> ConnectionsClient<Channel> {
        ConnectionsClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Keys.
    #[must_use]
    pub fn keys(&self) -> KeysClient<Channel> {
        KeysClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Rotations of keys.
    #[must_use]
    pub fn rotations(&self) -> RotationsClient<Channel> {
        RotationsClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Keys that have leaked.
    #[must_use]
    pub fn leaks(&self) -> LeaksClient<Channel> {
        LeaksClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Deletions and receipts.
    #[must_use]
    pub fn deletions(&self) -> DeletionsClient<Channel> {
        DeletionsClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Keys that are used and refused.
    #[must_use]
    pub fn findings(&self) -> FindingsClient<Channel> {
        FindingsClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Consumers that were given keys of Bascule's, and their way back.
    #[must_use]
    pub fn adoptions(&self) -> AdoptionsClient<Channel> {
        AdoptionsClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// How people hear of findings.
    #[must_use]
    pub fn alerts(&self) -> AlertsClient<Channel> {
        AlertsClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Who changed what.
    #[must_use]
    pub fn audit(&self) -> AuditClient<Channel> {
        AuditClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Who uses which key.
    #[must_use]
    pub fn usage(&self) -> UsageClient<Channel> {
        UsageClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// The daemon itself.
    #[must_use]
    pub fn system(&self) -> SystemClient<Channel> {
        SystemClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }
}

/// No daemon ever makes a socket of another name.
const OTHER_NAME: &str = "the daemon's socket is always called bascule.sock: basculed --runtime-dir DIR, then bascule --socket DIR/bascule.sock …";

/// What is wrong at the socket's path, and the command that helps.
fn diagnose(path: &Path, given: bool, error: &io::Error) -> Error {
    let shown = path.display();
    let start = start_command(path, given);
    let found = std::fs::metadata(path);
    if let Ok(metadata) = &found
        && !metadata.file_type().is_socket()
    {
        let what = if metadata.is_dir() {
            "a folder"
        } else {
            "a file"
        };
        let inside = path.join(location::SOCKET_NAME);
        let next = if metadata.is_dir() && inside.exists() {
            format!("bascule --socket {} …", quoted(&inside))
        } else {
            start
        };
        return Error::new(
            Kind::NoDaemon,
            format!("{shown} is {what}, not the daemon's socket"),
        )
        .next(next);
    }
    let (message, next) = match error.kind() {
        ErrorKind::NotFound => (
            format!("the daemon is not running: there is no socket {shown}"),
            start,
        ),
        ErrorKind::ConnectionRefused => (
            format!("the daemon is not running: it left a stale socket at {shown}"),
            start,
        ),
        ErrorKind::PermissionDenied => (
            format!("permission denied at {shown}: only the user who runs the daemon may use its socket"),
            "run bascule as that user, or start a daemon of your own: basculed".to_owned(),
        ),
        ErrorKind::InvalidInput => (
            format!("{shown} is too long for a socket's path"),
            "choose a shorter folder: basculed --runtime-dir DIR, then bascule --socket DIR/bascule.sock …"
                .to_owned(),
        ),
        _ => (format!("no daemon can be reached at {shown}: {error}"), start),
    };
    Error::new(Kind::NoDaemon, message).next(next)
}

fn start_command(path: &Path, given: bool) -> String {
    if path == Path::new(location::SYSTEM_SOCKET) {
        return Runner::Machine.start().to_owned();
    }
    let folder = path.parent().filter(|_| {
        path.file_name()
            .is_some_and(|name| name == location::SOCKET_NAME)
    });
    match folder {
        Some(folder) if given && !folder.as_os_str().is_empty() => {
            format!(
                "start the daemon: basculed --runtime-dir {}",
                quoted(folder)
            )
        }
        None if given => OTHER_NAME.to_owned(),
        _ => Runner::of(path).start().to_owned(),
    }
}

/// The path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Hands out the connection that was made for the diagnosis, then dials again as needed.
struct Connector {
    path: PathBuf,
    first: Option<UnixStream>,
}

impl<T> Service<T> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: T) -> Self::Future {
        let first = self.first.take();
        let path = self.path.clone();
        Box::pin(async move {
            match first {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => UnixStream::connect(path).await.map(TokioIo::new),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    async fn refused(path: &Path) -> Error {
        let error = Client::connect(Some(path)).await.unwrap_err();
        assert_eq!(error.kind, Kind::NoDaemon);
        assert!(
            error.next.as_deref().unwrap().contains("basculed"),
            "{error:?}"
        );
        error
    }

    #[tokio::test]
    async fn an_absent_socket_names_the_command_that_makes_that_very_socket() {
        let dir = tempfile::tempdir().unwrap();
        let error = refused(&dir.path().join("bascule.sock")).await;
        assert!(error.message.contains("not running"), "{error}");
        let next = error.next.unwrap();
        assert!(
            next.ends_with(&format!("basculed --runtime-dir {}", quoted(dir.path()))),
            "{next}"
        );
    }

    #[tokio::test]
    async fn a_socket_of_another_name_is_one_that_no_daemon_makes() {
        let dir = tempfile::tempdir().unwrap();
        let next = refused(&dir.path().join("nosock")).await.next.unwrap();
        for said in [
            "always called bascule.sock",
            "basculed --runtime-dir DIR",
            "--socket DIR/bascule.sock",
        ] {
            assert!(next.contains(said), "{next}");
        }
    }

    #[tokio::test]
    async fn a_stale_socket_is_told_from_an_absent_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bascule.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(refused(&path).await.message.contains("stale"));
    }

    #[tokio::test]
    async fn a_folder_or_file_in_place_of_the_socket_is_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refused(dir.path()).await.message.contains("is a folder"));
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(refused(&file).await.message.contains("is a file"));
        let _live = UnixListener::bind(dir.path().join("bascule.sock")).unwrap();
        let error = Client::connect(Some(dir.path())).await.unwrap_err();
        assert!(error.next.unwrap().contains("--socket"));
    }

    #[test]
    fn a_foreign_socket_is_a_matter_of_users_not_of_starting() {
        let error = diagnose(
            Path::new("/run/nobody/bascule.sock"),
            true,
            &ErrorKind::PermissionDenied.into(),
        );
        assert!(error.message.contains("permission denied"), "{error}");
        assert!(error.next.unwrap().contains("as that user"));
    }

    #[test]
    fn paths_in_commands_survive_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-1.x")), "/a/b-1.x");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[tokio::test]
    async fn a_folder_that_may_not_be_entered_is_no_panic() {
        let dir = tempfile::tempdir().unwrap();
        let closed = dir.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        let error = Client::connect(Some(&closed.join("bascule.sock")))
            .await
            .unwrap_err();
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(error.kind, Kind::NoDaemon);
    }
}
