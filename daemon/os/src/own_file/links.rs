//! Where a link on the way to a file leads: to a folder that somebody keeps, or to a store.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{OwnFile, OwnFileError};

/// Whatever lies there has been made by their own tool, and is made anew with the next generation.
const STORES: [&str; 2] = ["/nix/store", "/gnu/store"];

/// A link that leads to a file: what is changed lies elsewhere than it seems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Into a work tree of Git, as those who keep their configuration in one have it (stow, yadm,
    /// dotbot and their like).
    WorkTree {
        /// The tree's topmost folder.
        root: PathBuf,
        /// The file in it.
        file: PathBuf,
    },
    /// Anywhere else.
    Elsewhere {
        /// The file there.
        file: PathBuf,
    },
}

impl OwnFile {
    /// Where the file lies if a link leads to it: the path itself is one, or a folder on it.
    #[must_use]
    pub fn link(&self) -> Option<Link> {
        let file = fs::canonicalize(&self.path).ok()?;
        if std::path::absolute(&self.path).ok()? == file {
            return None;
        }
        let root = file
            .ancestors()
            .skip(1)
            .find(|folder| fs::symlink_metadata(folder.join(".git")).is_ok());
        Some(match root {
            Some(root) => Link::WorkTree {
                root: root.to_owned(),
                file,
            },
            None => Link::Elsewhere { file },
        })
    }
}

pub(super) fn outside_of_stores(path: &Path) -> Result<(), OwnFileError> {
    let path = fs::canonicalize(path).map_err(OwnFileError::io("follow", path))?;
    if STORES.iter().any(|store| path.starts_with(store)) {
        return Err(OwnFileError::Store { path });
    }
    Ok(())
}
