//! What a service manager and its service tell each other: sockets that were bound for us, secrets
//! that were put in our hands, and how we are. Without a manager everything here is empty or does
//! nothing. It must never trust a descriptor for the name it came with.

use std::{
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, FromRawFd, OwnedFd},
        unix::{fs::FileTypeExt, fs::MetadataExt, net::UnixListener},
    },
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::net::{AddressFamily, SocketType, sockopt};
use sd_notify::NotifyState;

/// A socket that the manager bound and listens on.
#[derive(Debug)]
pub struct PassedSocket {
    name: String,
    descriptor: OwnedFd,
}

/// Why a passed socket is not used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// The variables contradict each other, or a descriptor is not open.
    #[error("the service manager's sockets can't be taken (LISTEN_FDS, LISTEN_FDNAMES)")]
    NotTaken(#[source] io::Error),
    /// It can't be asked what it is.
    #[error("the socket {name:?} that the service manager passed can't be used")]
    Io {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Not a listening socket of the kind and family that its name stands for.
    #[error(
        "what the service manager passed as {name:?} is {found}, not {wanted}; correct its .socket unit"
    )]
    WrongKind {
        /// Its name.
        name: String,
        /// What it is.
        found: &'static str,
        /// What it has to be.
        wanted: &'static str,
    },
    /// Somebody else made it, who could listen on it as well.
    #[error(
        "the socket that the service manager passed as {name:?} belongs to user id {owner}, and may belong to root or to user id {us} only"
    )]
    Foreign {
        /// Its name.
        name: String,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Anybody may connect.
    #[error("the socket {} has mode {mode:04o}, so that other users can reach it; set SocketMode=0600 in its .socket unit", .path.display())]
    TooOpen {
        /// Where it is.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

/// Takes the sockets that the service manager passed to this process; a second call finds none.
#[expect(
    unsafe_code,
    reason = "only the environment says which descriptors are ours"
)]
pub fn passed_sockets() -> Result<Vec<PassedSocket>, PassedError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let passed = sd_notify::listen_fds_with_names().map_err(PassedError::NotTaken)?;
    Ok(passed
        .map(|(descriptor, name)| PassedSocket {
            name,
            // SAFETY: it is open, or taking it would have failed; the manager passed it to this
            // very process (LISTEN_PID), and it is taken once.
            descriptor: unsafe { OwnedFd::from_raw_fd(descriptor) },
        })
        .collect())
}

impl PassedSocket {
    /// Its `FileDescriptorName=`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As a Unix listener, with its path: ours or root's, closed to everybody else. A group may be
    /// let in, whom the listener's user has to check.
    pub fn into_unix(self) -> Result<(UnixListener, PathBuf), PassedError> {
        const WANTED: &str = "a listening Unix socket with a path";
        self.check(&[AddressFamily::UNIX], WANTED)?;
        let Self { name, descriptor } = self;
        let listener = UnixListener::from(descriptor);
        let failed = |source| PassedError::Io {
            name: name.clone(),
            source,
        };
        let address = listener.local_addr().map_err(failed)?;
        let Some(path) = address.as_pathname() else {
            return Err(PassedError::WrongKind {
                name,
                found: "a Unix socket without a path",
                wanted: WANTED,
            });
        };
        let metadata = std::fs::symlink_metadata(path).map_err(failed)?;
        if !metadata.file_type().is_socket() {
            return Err(PassedError::WrongKind {
                name,
                found: "a socket whose path leads elsewhere",
                wanted: WANTED,
            });
        }
        check_owner(&name, metadata.uid())?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(PassedError::TooOpen {
                path: path.to_owned(),
                mode,
            });
        }
        let path = path.to_owned();
        Ok((listener, path))
    }

    /// As a TCP listener.
    pub fn into_tcp(self) -> Result<TcpListener, PassedError> {
        self.check(
            &[AddressFamily::INET, AddressFamily::INET6],
            "a listening TCP socket",
        )?;
        Ok(TcpListener::from(self.descriptor))
    }

    fn check(&self, families: &[AddressFamily], wanted: &'static str) -> Result<(), PassedError> {
        let failed = |errno: rustix::io::Errno| PassedError::Io {
            name: self.name.clone(),
            source: errno.into(),
        };
        let wrong = |found| PassedError::WrongKind {
            name: self.name.clone(),
            found,
            wanted,
        };
        let descriptor = self.descriptor.as_fd();
        let kind = match sockopt::socket_type(descriptor) {
            Err(rustix::io::Errno::NOTSOCK) => return Err(wrong("no socket")),
            kind => kind.map_err(failed)?,
        };
        if kind != SocketType::STREAM {
            return Err(wrong("a socket of another kind"));
        }
        if !sockopt::socket_acceptconn(descriptor).map_err(failed)? {
            return Err(wrong("a socket that does not listen"));
        }
        let family = rustix::net::getsockname(descriptor)
            .map_err(failed)?
            .address_family();
        if !families.contains(&family) {
            return Err(wrong("a socket of another family"));
        }
        // The user who made it.
        let owner = rustix::fs::fstat(descriptor).map_err(failed)?.st_uid;
        check_owner(&self.name, owner)
    }
}

fn check_owner(name: &str, owner: u32) -> Result<(), PassedError> {
    let us = crate::effective_uid();
    if [0, us].contains(&owner) {
        return Ok(());
    }
    Err(PassedError::Foreign {
        name: name.to_owned(),
        owner,
        us,
    })
}

/// What a service tells its manager.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// It serves; also said when a reload is over.
    Ready,
    /// It reads its settings anew, from now on until it is ready again.
    Reloading,
    /// It is about to end.
    Stopping,
    /// How it is, in a line for people.
    Status(&'a str),
    /// It works.
    Alive,
}

/// Tells the service manager; without one, nobody is told. Never waits.
pub fn tell(notices: &[Notice<'_>]) -> io::Result<()> {
    let mut states = Vec::with_capacity(notices.len() + 1);
    for notice in notices {
        match notice {
            Notice::Ready => states.push(NotifyState::Ready),
            Notice::Reloading => {
                // Which reload is meant follows from the time.
                states.push(NotifyState::Reloading);
                states.push(NotifyState::monotonic_usec_now()?);
            }
            Notice::Stopping => states.push(NotifyState::Stopping),
            Notice::Status(line) => states.push(NotifyState::Status(line)),
            Notice::Alive => states.push(NotifyState::Watchdog),
        }
    }
    sd_notify::notify(&states)
}

/// Whether a service manager listens to what is told.
#[must_use]
pub fn has_manager() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// After how long a silence the service manager takes this process for dead. `None` if it does not
/// watch it.
#[must_use]
pub fn silence_limit() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero())
}

/// The file of a credential that the service manager put in our hands, if there is one of that
/// name.
#[must_use]
pub fn credential(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?);
    let file = folder.join(name);
    (folder.is_absolute() && file.symlink_metadata().is_ok()).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{File, Permissions},
        net::{TcpStream, UdpSocket},
        os::unix::{fs::PermissionsExt, net::UnixStream},
    };

    use super::*;

    fn passed(descriptor: impl Into<OwnedFd>) -> PassedSocket {
        PassedSocket {
            name: "x".to_owned(),
            descriptor: descriptor.into(),
        }
    }

    #[test]
    fn listening_sockets_of_ours_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = passed(listener).into_tcp().unwrap();
        assert_eq!(taken.local_addr().unwrap(), address);

        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        assert_eq!(passed(listener).into_unix().unwrap().1, path);
    }

    #[test]
    fn whatever_is_no_listening_socket_of_its_kind_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("socket");
        let unix = UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let talking = TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (pair, _other) = UnixStream::pair().unwrap();
        for (what, refused) in [
            (
                "family",
                passed(unix.try_clone().unwrap()).into_tcp().map(drop),
            ),
            ("family", passed(tcp).into_unix().map(drop)),
            ("listen", passed(talking).into_tcp().map(drop)),
            ("listen", passed(pair).into_unix().map(drop)),
            ("kind", passed(udp).into_tcp().map(drop)),
            (
                "no socket",
                passed(File::open("/dev/null").unwrap())
                    .into_tcp()
                    .map(drop),
            ),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(what), "{refused}");
        }
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let open = passed(unix.try_clone().unwrap()).into_unix();
        assert!(matches!(open, Err(PassedError::TooOpen { .. })));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "").unwrap();
        assert!(passed(unix).into_unix().is_err());
    }

    #[test]
    fn a_socket_of_another_user_is_refused() {
        let us = crate::effective_uid();
        assert!(check_owner("x", us).is_ok() && check_owner("x", 0).is_ok());
        let refused = check_owner("x", us.wrapping_add(7)).unwrap_err();
        assert!(matches!(refused, PassedError::Foreign { .. }));
    }
}
