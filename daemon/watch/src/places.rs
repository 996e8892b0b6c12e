//! The files of tools whose content this crate does not read yet (consumers.md 3), whether or not
//! they are there. `None` without a home.

use std::path::{Path, PathBuf};

use crate::environment::Environment;

/// mc's configuration. It lies in a folder named after the program, which some systems call
/// `mcli`, since `mc` is Midnight Commander there.
#[must_use]
pub fn mc(env: &Environment) -> Option<PathBuf> {
    if let Some(folder) = env.variable("MC_CONFIG_DIR") {
        return Some(env.absolute(Path::new(folder)).join("config.json"));
    }
    let (usual, other) = (
        env.in_home(".mc/config.json")?,
        env.in_home(".mcli/config.json")?,
    );
    Some(if other.exists() && !usual.exists() {
        other
    } else {
        usual
    })
}

/// s3cmd's configuration.
#[must_use]
pub fn s3cmd(env: &Environment) -> Option<PathBuf> {
    match env.variable("S3CMD_CONFIG") {
        Some(path) => Some(env.absolute(Path::new(path))),
        None => env.in_home(".s3cfg"),
    }
}

/// Where Cyberduck, or its command line elsewhere than on macOS, keeps bookmarks.
#[must_use]
pub fn cyberduck_bookmarks(env: &Environment) -> Option<PathBuf> {
    if !cfg!(target_os = "macos") {
        return env.in_home(".duck/Bookmarks");
    }
    let sandboxed = env.in_home(
        "Library/Group Containers/G69SCX94XU.duck/Library/Application Support/duck/Bookmarks",
    )?;
    if sandboxed.exists() {
        return Some(sandboxed);
    }
    env.in_home("Library/Application Support/Cyberduck/Bookmarks")
}

/// Where a user's restic keeps files of ours with its environment; restic itself has no
/// configuration.
#[must_use]
pub fn restic(env: &Environment) -> Option<PathBuf> {
    match env.variable("XDG_CONFIG_HOME") {
        Some(folder) => Some(env.absolute(Path::new(folder)).join("restic")),
        None => env.in_home(".config/restic"),
    }
}
