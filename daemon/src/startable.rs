//! Whether a daemon with these settings could start: what they name is looked up, read and tried, and let go
//! of again. Told at the start, at a reload, by the doctor and by `basculed check-config`, so that a restart
//! never takes down what runs. It must never change anything, nor take for an obstacle what the running
//! daemon itself holds.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use bascule_gateway::{Certificate, CertificateError};

use crate::{
    alerts,
    app::words,
    config::{self, At, Config, MetricsAt, Problem},
    gateway_port, listeners,
    passed::Given,
    rpc,
};

/// What the daemon that runs with other settings has already.
#[derive(Debug, Default)]
pub(crate) struct Ours {
    /// Where its gateway listens.
    pub gateways: Vec<SocketAddr>,
    /// What the service manager gave it, and gives the next one.
    pub given: Given,
    /// Its settings; `None` where none runs, or it can't be known.
    pub config: Option<Arc<Config>>,
}

impl Ours {
    /// Every address that is free for the next start, or passed to it.
    fn addresses(&self) -> Vec<SocketAddr> {
        let metrics = self.config.as_ref().and_then(|now| match &now.metrics {
            Some(MetricsAt::Tcp(address)) => Some(*address),
            _ => None,
        });
        let gateways = self.gateways.iter().chain(&self.given.gateway).copied();
        gateways.chain(metrics).collect()
    }
}

/// What stands in the way of a start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// Such as `gateway.listen`.
    setting: &'static str,
    pub problem: Problem,
    /// Whether only somebody can take it away: an address may come with its network.
    pub lasts: bool,
    /// The port that another program listens on.
    pub port: Option<u16>,
}

/// Settings that a daemon can't start with.
#[derive(Debug, thiserror::Error)]
#[error("{}", list(.0))]
pub(crate) struct Unstartable(pub Vec<Obstacle>);

impl Unstartable {
    /// Whether trying again is in vain.
    pub(crate) fn lasts(&self) -> bool {
        self.0.iter().any(|obstacle| obstacle.lasts)
    }
}

fn list(obstacles: &[Obstacle]) -> String {
    let told: Vec<_> = obstacles.iter().map(|o| o.problem.to_string()).collect();
    told.join("; ")
}

/// Everything that stands in the way. Blocks.
pub(crate) fn obstacles(config: &Config, ours: &Ours) -> Vec<Obstacle> {
    let mut found = Found {
        config,
        obstacles: Vec::new(),
    };
    found.folders(ours);
    found.operators();
    found.certificate();
    found.addresses(ours);
    found.metrics(ours);
    found.obstacles
}

/// What is named for alerts and can't be used. No start waits for it. Blocks.
pub(crate) fn unfit_alerts(config: &Config) -> Vec<Problem> {
    let unfit = alerts::unfit(&config.alerts).into_iter();
    unfit
        .map(|(setting, what)| Problem {
            place: config::place(config, setting),
            what,
        })
        .collect()
}

/// The folder can't be made or used, as an error of the start.
pub(crate) fn state_dir_unfit(config: &Config, error: &dyn std::error::Error) -> Unstartable {
    let mut found = Found {
        config,
        obstacles: Vec::new(),
    };
    found.state_dir(error);
    Unstartable(found.obstacles)
}

struct Found<'a> {
    config: &'a Config,
    obstacles: Vec<Obstacle>,
}

impl Found<'_> {
    fn add(&mut self, setting: &'static str, what: String) {
        self.push(setting, what, true, None);
    }

    fn push(&mut self, setting: &'static str, what: String, lasts: bool, port: Option<u16>) {
        let place = config::place(self.config, setting);
        self.obstacles.push(Obstacle {
            setting,
            problem: Problem { place, what },
            lasts,
            port,
        });
    }

    fn state_dir(&mut self, error: &dyn std::error::Error) {
        self.add(
            "state_dir",
            format!("the state folder can't be used: {}", words(error)),
        );
    }

    fn folders(&mut self, ours: &Ours) {
        let now = ours.config.as_deref();
        let state = &self.config.state_dir;
        if now.is_none_or(|now| now.state_dir != *state)
            && let Err(error) = bascule_os::look_at_private_dir(state)
        {
            self.state_dir(&error);
        }
        let runtime = &self.config.runtime_dir;
        let is_made_here = ours.given.control.is_none();
        if is_made_here && now.is_none_or(|now| now.runtime_dir != *runtime) {
            match std::fs::metadata(runtime) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => self.add(
                    "runtime_dir",
                    format!("{} is not a folder", runtime.display()),
                ),
                Err(_) => {
                    if let Err(error) = bascule_os::look_at_private_dir(runtime) {
                        self.add(
                            "runtime_dir",
                            format!("the folder of the socket can't be made: {}", words(&error)),
                        );
                    }
                }
            }
        }
    }

    fn operators(&mut self) {
        if let Some(name) = &self.config.access.operators
            && let Err(error) = rpc::socket::group(name)
        {
            self.add("access.operators", words(&error));
        }
    }

    fn certificate(&mut self) {
        let Some(files) = &self.config.tls else {
            return;
        };
        if let Err(error) = Certificate::load(files.certificate.clone(), files.key.clone()) {
            let of_key = match &error {
                CertificateError::File(error) => error.path() == files.key,
                CertificateError::Pem { path, .. } | CertificateError::Empty(path) => {
                    *path == files.key
                }
                CertificateError::Unusable(_) => false,
            };
            let setting = match of_key {
                true => "gateway.tls_key",
                false => "gateway.tls_certificate",
            };
            self.add(
                setting,
                format!(
                    "the gateway's TLS certificate can't be used: {}",
                    words(&error)
                ),
            );
        }
    }

    fn addresses(&mut self, ours: &Ours) {
        let given = &ours.given.gateway;
        for (number, listen) in self.config.listeners().enumerate() {
            let At::Exactly(address) = listen.at else {
                continue;
            };
            if let (0, Some(passed), false) = (number, given.first(), given.contains(&address)) {
                self.add("gateway.listen", listeners::contradiction(*passed, address));
                continue;
            }
            self.address("gateway.listen", address, &ours.addresses());
        }
        for passed in given {
            let tls = self
                .config
                .listeners()
                .any(|listen| listen.tls && listen.at == At::Exactly(*passed));
            if let Err(error) = listeners::check_reach(self.config, *passed, tls) {
                self.add("gateway.listen", error.to_string());
            }
        }
    }

    fn metrics(&mut self, ours: &Ours) {
        let now = ours.config.as_ref().and_then(|now| now.metrics.as_ref());
        let Some(at) = self.config.metrics.as_ref().filter(|at| Some(*at) != now) else {
            return;
        };
        match at {
            MetricsAt::Tcp(address) => {
                let gateways = self
                    .config
                    .listeners()
                    .filter_map(|listen| match listen.at {
                        At::Exactly(address) => Some(address),
                        At::Chosen | At::Ephemeral(_) => None,
                    });
                let is_kept = self
                    .config
                    .listeners()
                    .any(|listen| !matches!(listen.at, At::Exactly(_)));
                let kept = ours.gateways.iter().copied().filter(|_| is_kept);
                if gateways
                    .chain(kept)
                    .any(|gateway| overlap(gateway, *address))
                {
                    self.add(
                        "metrics.listen",
                        format!("{address} is the gateway's; choose another port"),
                    );
                } else {
                    self.address("metrics.listen", *address, &ours.addresses());
                }
            }
            MetricsAt::Unix(path) => {
                if let Err(what) = unix_socket(path) {
                    self.add("metrics.listen", what);
                }
            }
        }
    }

    /// Tries it, unless it overlaps with what is ours and free again at a restart.
    fn address(&mut self, setting: &'static str, address: SocketAddr, ours: &[SocketAddr]) {
        if ours.iter().any(|ours| overlap(*ours, address)) {
            return;
        }
        match TcpListener::bind(address) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                let port = address.port();
                let what = format!(
                    "{address} is taken by {}; end that process, or choose another port (tools then need the new one)",
                    gateway_port::holder(port)
                );
                self.push(setting, what, true, Some(port));
            }
            Err(error) => {
                let lasts = error.kind() != std::io::ErrorKind::AddrNotAvailable;
                self.push(
                    setting,
                    format!("can't listen on {address}: {error}"),
                    lasts,
                    None,
                );
            }
        }
    }
}

/// Whether a listener on one keeps the other from being bound.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |ip: IpAddr| ip.is_unspecified();
    one.port() == other.port() && (one.ip() == other.ip() || any(one.ip()) || any(other.ip()))
}

fn unix_socket(path: &Path) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.exists() {
        return bascule_os::look_at_private_dir(folder).map_err(|error| words(&error));
    }
    match bascule_os::check_socket_path(path) {
        Ok(bascule_os::SocketState::Live) => {
            Err(format!("another process answers at {}", path.display()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(words(&error)),
    }
}

/// What keeps the operators from the socket that the service manager made, and the drop-in that lets them in.
pub(crate) fn closed_to_operators(config: &Config, given: &Given) -> Option<String> {
    let (name, path) = (config.access.operators.as_ref()?, given.control.as_ref()?);
    let group = rpc::socket::group(name).ok()?;
    let found = std::fs::metadata(path).ok()?;
    let mode = found.permissions().mode() & 0o777;
    if found.gid() == group && mode & 0o060 == 0o060 {
        return None;
    }
    Some(format!(
        "the group {name} may use the daemon and can't open its socket: {} is the service manager's, with mode {mode:04o} and group id {}",
        path.display(),
        found.gid()
    ))
}

/// What mends that.
pub(crate) fn operators_drop_in(config: &Config) -> String {
    let group = config.access.operators.as_deref().unwrap_or_default();
    format!(
        "systemctl edit bascule.socket, with: [Socket] SocketMode=0660 SocketGroup={group} (a line each), then: systemctl restart bascule.socket bascule.service"
    )
}

/// What `check-config` tells besides. It may run beside the daemon, or as another user than it.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub mistakes: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

/// As whoever checks a file sees it.
pub(crate) fn check(config: &Config) -> Checked {
    let us = bascule_os::effective_uid();
    let owner = std::fs::metadata(&config.state_dir).map(|state| state.uid());
    let is_anothers = owner.is_ok_and(|owner| owner != us);
    let mut checked = Checked::default();
    for Obstacle {
        setting,
        mut problem,
        port,
        ..
    } in obstacles(config, &Ours::default())
    {
        let is_of_file = matches!(
            setting,
            "state_dir" | "runtime_dir" | "gateway.tls_certificate" | "gateway.tls_key"
        );
        if port.is_some_and(may_be_ours) {
            problem
                .what
                .push_str(" (if that is this daemon, all is well)");
            checked.warnings.push(problem);
        } else if is_anothers && is_of_file && port.is_none() {
            problem
                .what
                .push_str(&format!(" (asked as user {us}, who is not the daemon's)"));
            checked.warnings.push(problem);
        } else {
            checked.mistakes.push(problem);
        }
    }
    let unfit = unfit_alerts(config);
    match is_anothers {
        true => checked.warnings.extend(unfit),
        false => checked.mistakes.extend(unfit),
    }
    checked
}

/// Whether the program on a port may be the daemon itself, or who holds its sockets.
fn may_be_ours(port: u16) -> bool {
    let holder = bascule_os::port_holder(port).and_then(|holder| holder.command);
    holder.is_none_or(|command| {
        ["basculed", "systemd", "launchd"]
            .iter()
            .any(|ours| command.contains(ours))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_no_obstacle_and_what_another_holds_is() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert!(overlap(address("127.0.0.1:8642"), address("0.0.0.0:8642")));
        assert!(overlap(
            address("127.0.0.1:8642"),
            address("127.0.0.1:8642")
        ));
        assert!(!overlap(
            address("127.0.0.1:8642"),
            address("127.0.0.2:8642")
        ));
        assert!(!overlap(
            address("127.0.0.1:8642"),
            address("127.0.0.1:8643")
        ));
    }
}
