//! Adopted tools that no look finds any more: their files are gone, or hold another key by now.

use super::{Seen, adopted::Adoption, files, record};
use crate::{channel::Client, error::Error};

/// Where an adopted tool's key is, if no look finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Absent {
    /// None of its files is there.
    FilesGone,
    /// Its files hold it no more.
    KeyGone,
    /// It can't be told; why, for people.
    NotKnown(String),
}

impl Absent {
    /// Whether nothing can hold the key where it was put.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self, Self::FilesGone | Self::KeyGone)
    }

    /// For people.
    pub(crate) fn told(&self) -> String {
        match self {
            Self::FilesGone => "its files are gone".to_owned(),
            Self::KeyGone => "its files hold its key no more".to_owned(),
            Self::NotKnown(why) => why.clone(),
        }
    }
}

/// Whether none of the files of an adoption is there.
pub(crate) fn files_gone(adoption: &Adoption) -> bool {
    let is_gone = |path: &std::path::PathBuf| {
        let found = path.symlink_metadata();
        found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    };
    adoption.paths.iter().all(is_gone)
}

/// What became of the key of an adopted tool; `None` while a look finds it.
pub(crate) async fn absent(
    adoption: &Adoption,
    seen: &Seen,
    client: &Client,
) -> Result<Option<Absent>, Error> {
    let is_seen = seen.known.values().any(|known| {
        known.label == adoption.label && known.connection_id == adoption.connection_id
    });
    if is_seen {
        return Ok(None);
    }
    if files_gone(adoption) {
        return Ok(Some(Absent::FilesGone));
    }
    let present = adoption.paths.iter().filter(|path| path.exists());
    let unreadable = present
        .filter_map(|path| Some((path, files::text(path).err()?)))
        .next();
    if let Some((path, why)) = unreadable {
        return Ok(Some(Absent::NotKnown(format!("{}: {why}", path.display()))));
    }
    Ok(Some(
        match record::holds_its_key(client, adoption).await? {
            false => Absent::KeyGone,
            true => Absent::NotKnown(
                "no tool that is known takes its key from there; remove it by hand".into(),
            ),
        },
    ))
}
