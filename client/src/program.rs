//! Finds the daemon's program. It must never run anything itself.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::error::{Error, Kind};

const NAME: &str = "basculed";

/// `basculed` beside this program, else on PATH.
pub(crate) fn basculed() -> Result<PathBuf, Error> {
    let own = env::current_exe().and_then(|path| path.canonicalize()).ok();
    let beside = own
        .as_deref()
        .and_then(Path::parent)
        .map(|folder| folder.join(NAME));
    let on_path = env::var_os("PATH")
        .map(|path| {
            env::split_paths(&path)
                .map(|folder| folder.join(NAME))
                .collect::<Vec<_>>()
        })
        .unwrap_or_default();
    first_program(beside.into_iter().chain(on_path)).ok_or_else(|| {
        Error::new(
            Kind::Failed,
            "the daemon's program, basculed, is neither beside this one nor on PATH",
        )
        .next("cargo build --bins, or put basculed on PATH")
    })
}

fn first_program(candidates: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    candidates
        .into_iter()
        .filter(|path| path.is_absolute())
        .find(|path| {
            path.metadata().is_ok_and(|metadata| {
                metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_a_program_with_an_absolute_path_counts() {
        let dir = tempfile::tempdir().unwrap();
        let text = dir.path().join("text");
        std::fs::write(&text, "").unwrap();
        let program = dir.path().join("program");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let candidates = [
            "./basculed".into(),
            dir.path().to_owned(),
            text,
            program.clone(),
        ];
        assert_eq!(first_program(candidates), Some(program));
    }
}
