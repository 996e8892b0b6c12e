//! What a store that does not open tells whoever started the daemon: the command that goes on from there,
//! for the one who can give it. The cause is the store's to tell.

use std::fmt;

use bascule_proto::location;
use bascule_store::{Mend, OpenError};

use crate::{app::findings::shell_word, config::Config};

/// Beside the cause.
#[derive(Debug)]
pub(crate) struct NotOpened {
    /// For a line of its own; `None` where the cause says all there is.
    pub way_on: Option<String>,
}

impl NotOpened {
    pub(crate) fn of(error: &OpenError, config: &Config) -> Self {
        let way_on = match error.mend() {
            Mend::CopyOrReset => Some(format!("a reset is: {}", reset_command(config))),
            Mend::ElsewhereNow => Some(format!(
                "start the service in place of this program: {}",
                match config.is_the_machines() {
                    true => "sudo bascule service install --system",
                    false => "bascule service install",
                }
            )),
            Mend::HereLater | Mend::Other => None,
        };
        Self { way_on }
    }
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the store was not opened, and nothing in it was changed")
    }
}

/// The reset of this daemon's state folder. What the machine's daemon keeps belongs to its own user, and no
/// other, root included, opens it.
pub(crate) fn reset_command(config: &Config) -> String {
    let machines = config.is_the_machines();
    let mut command = String::new();
    if machines {
        command.push_str("sudo -u bascule ");
    }
    command.push_str("bascule reset --yes-lose-everything");
    if machines || location::state_dir().as_deref() != Some(&config.state_dir) {
        command.push_str(" --state-dir ");
        command.push_str(&shell_word(&config.state_dir.to_string_lossy()));
    }
    command
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config;

    fn at(state: &str, file: Option<&str>) -> Config {
        let flags = config::Flags {
            state_dir: Some(PathBuf::from(state)),
            runtime_dir: Some("/run/x".into()),
            ..config::Flags::default()
        };
        let mut config = config::load(&flags).unwrap();
        config.file = file.map(PathBuf::from);
        config
    }

    #[test]
    fn the_reset_that_is_named_is_that_of_the_daemon_whose_store_it_is() {
        assert_eq!(
            reset_command(&at("/srv/my keys", None)),
            "bascule reset --yes-lose-everything --state-dir '/srv/my keys'"
        );
        let machines = "sudo -u bascule bascule reset --yes-lose-everything --state-dir ";
        assert_eq!(
            reset_command(&at(location::SYSTEM_STATE, None)),
            format!("{machines}{}", location::SYSTEM_STATE)
        );
        // Wherever the administrator put it.
        let configured = at("/srv/keys", Some("/etc/bascule/config.toml"));
        assert_eq!(reset_command(&configured), format!("{machines}/srv/keys"));
    }

    #[test]
    fn what_is_lent_to_the_service_alone_is_had_by_starting_that() {
        let told = |state| NotOpened::of(&OpenError::CredentialMissing, &at(state, None)).way_on;
        let own = told("/home/a/state").unwrap();
        assert!(own.ends_with(": bascule service install"), "{own}");
        let machines = told(location::SYSTEM_STATE).unwrap();
        assert!(
            machines.ends_with(": sudo bascule service install --system"),
            "{machines}"
        );
    }
}
