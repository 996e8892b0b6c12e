//! Where the daemon's folders and its socket are by default. Both ends must agree, so it is part
//! of the contract.

use std::{env, path::PathBuf};

/// The socket's file name in the runtime folder.
pub const SOCKET_NAME: &str = "bascule.sock";

/// The file in the state folder with what `bascule check` may ask without asking first: a line each.
pub const CHECK_CONSENT: &str = "check-consent";
/// The line for every key of the machine.
pub const CONSENT_TO_ALL: &str = "--all";

/// The folder for what must survive: `$XDG_STATE_HOME/bascule`, else `~/.local/state/bascule`; on
/// macOS `~/Library/Application Support/bascule`. `None` without a home.
#[must_use]
pub fn state_dir() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return home().map(|home| home.join("Library/Application Support/bascule"));
    }
    absolute("XDG_STATE_HOME")
        .or_else(|| home().map(|home| home.join(".local/state")))
        .map(|base| base.join("bascule"))
}

/// The folder for the socket: `$XDG_RUNTIME_DIR/bascule`, else `run` in the state folder; on macOS
/// `~/Library/Caches/bascule`. `None` without a home.
#[must_use]
pub fn runtime_dir() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return home().map(|home| home.join("Library/Caches/bascule"));
    }
    absolute("XDG_RUNTIME_DIR")
        .map(|base| base.join("bascule"))
        .or_else(|| state_dir().map(|state| state.join("run")))
}

/// The folder for the anchor, which must not be restored together with the state:
/// `$XDG_CACHE_HOME/bascule`, else `~/.cache/bascule`; on macOS `~/Library/Caches/bascule`. `None`
/// without a home.
#[must_use]
pub fn anchor_dir() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return home().map(|home| home.join("Library/Caches/bascule"));
    }
    absolute("XDG_CACHE_HOME")
        .or_else(|| home().map(|home| home.join(".cache")))
        .map(|base| base.join("bascule"))
}

/// The configuration file: `$XDG_CONFIG_HOME/bascule/config.toml`, else
/// `~/.config/bascule/config.toml`; on macOS beside the state. `None` without a home.
#[must_use]
pub fn config_file() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return home().map(|home| home.join("Library/Application Support/bascule/config.toml"));
    }
    absolute("XDG_CONFIG_HOME")
        .or_else(|| home().map(|home| home.join(".config")))
        .map(|base| base.join("bascule/config.toml"))
}

/// The socket of the daemon that is the machine's, as its unit names it.
pub const SYSTEM_SOCKET: &str = "/run/bascule/bascule.sock";

/// The state folder of the daemon that is the machine's, as its unit names it.
pub const SYSTEM_STATE: &str = "/var/lib/bascule";

/// The folder of settings of the daemon that is the machine's, as its unit names it.
pub const SYSTEM_CONFIGURATION: &str = "/etc/bascule";

/// The socket of the user's own daemon. `None` without a home.
#[must_use]
pub fn own_socket() -> Option<PathBuf> {
    runtime_dir().map(|dir| dir.join(SOCKET_NAME))
}

/// The socket that a client dials when nothing else is said: that of the user's own daemon, or, where
/// there is none, the machine's.
#[must_use]
pub fn socket() -> Option<PathBuf> {
    let own = own_socket();
    let system = PathBuf::from(SYSTEM_SOCKET);
    if own.as_ref().is_none_or(|own| !own.exists()) && system.exists() {
        return Some(system);
    }
    own
}

// The XDG specification says that relative paths are to be ignored.
fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

fn home() -> Option<PathBuf> {
    absolute("HOME")
}
