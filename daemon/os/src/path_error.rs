//! Why a path was refused. Every message names the path and, where a command helps, the command.

use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Why a file or folder was refused.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    /// A symbolic link could lead anywhere.
    #[error("{} is a symbolic link; put a real file or folder in its place", .path.display())]
    Symlink {
        /// Which path.
        path: PathBuf,
    },
    /// A folder was expected.
    #[error("{} is not a folder; move it away", .path.display())]
    NotAFolder {
        /// Which path.
        path: PathBuf,
    },
    /// A regular file was expected.
    #[error("{} is not a regular file; move it away", .path.display())]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// It belongs to somebody else.
    #[error("{} belongs to user id {owner}, not to user id {us}; choose a place of your own", .path.display())]
    Foreign {
        /// Which path.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// Others may read or write it.
    #[error(
        "{} has mode {mode:04o}, so that other users can reach it; run: chmod {wanted:o} {}",
        .path.display(), shell_word(.path)
    )]
    TooOpen {
        /// Which path.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// The mode it may have at most.
        wanted: u32,
    },
    /// The file is larger than anything we wrote there.
    #[error("{} is larger than {limit} bytes, so it is not what Bascule wrote", .path.display())]
    TooLarge {
        /// Which path.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The operating system refused.
    #[error("can't {action} {}", .path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PathError {
    /// Whether there is nothing at the path.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// Checks owner and mode. `wanted` is the widest mode allowed.
pub(crate) fn check_private(
    path: &Path,
    metadata: &Metadata,
    wanted: u32,
) -> Result<(), PathError> {
    check_private_of(crate::effective_uid(), path, metadata, wanted)
}

pub(crate) fn check_private_of(
    us: u32,
    path: &Path,
    metadata: &Metadata,
    wanted: u32,
) -> Result<(), PathError> {
    if metadata.uid() != us {
        return Err(PathError::Foreign {
            path: path.to_owned(),
            owner: metadata.uid(),
            us,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(PathError::TooOpen {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    Ok(())
}

/// The path as one word of a shell command.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%".contains(c);
    if text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_in_a_message_can_be_pasted() {
        let error = PathError::TooOpen {
            path: "/home/a b/it's".into(),
            mode: 0o755,
            wanted: 0o700,
        };
        assert!(
            error
                .to_string()
                .ends_with(r"run: chmod 700 '/home/a b/it'\''s'"),
            "{error}"
        );
    }
}
