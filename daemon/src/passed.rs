//! The sockets that a service manager has bound for the daemon, told apart by their names in its
//! units. Without a manager there are none, and the daemon binds its own.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::PathBuf,
};

use anyhow::Context;

/// `FileDescriptorName=` of the control socket.
const CONTROL: &str = "control";
/// That of the gateway's sockets.
const GATEWAY: &str = "gateway";

/// What was passed.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub control: Option<(UnixListener, PathBuf)>,
    pub gateway: Vec<TcpListener>,
}

/// Where they are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub control: Option<PathBuf>,
    pub gateway: Vec<SocketAddr>,
}

impl Passed {
    /// What is known of them once they are in use.
    pub(crate) fn given(&self) -> io::Result<Given> {
        let gateway = self.gateway.iter().map(TcpListener::local_addr);
        Ok(Given {
            control: self.control.as_ref().map(|(_, path)| path.clone()),
            gateway: gateway.collect::<io::Result<_>>()?,
        })
    }
}

/// Takes and checks them all; one that is not known is a mistake in a unit. Call once.
pub(crate) fn take() -> anyhow::Result<Passed> {
    let mut passed = Passed::default();
    for socket in bascule_os::service::passed_sockets()? {
        match socket.name() {
            CONTROL => {
                anyhow::ensure!(
                    passed.control.is_none(),
                    "the service manager passed two control sockets; leave one in bascule.socket"
                );
                passed.control = Some(socket.into_unix()?);
            }
            GATEWAY => passed.gateway.push(socket.into_tcp()?),
            other => anyhow::bail!(
                "the service manager passed a socket named {other:?}; known are FileDescriptorName={CONTROL} and {GATEWAY}"
            ),
        }
    }
    for listener in &passed.gateway {
        listener
            .set_nonblocking(true)
            .context("the passed gateway socket can't be set up")?;
    }
    Ok(passed)
}
