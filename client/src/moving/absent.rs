//! Adopted tools that no look finds any more: their files are gone, or hold another key by now. What can't be
//! told is never taken for gone.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use bascule_domain::access_key::{AccessKeyId, ShownId};

use super::{Seen, adopted::Adoption, files, record};
use crate::{channel::Client, error::Error};

/// Where an adopted tool's key is, if no look finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Absent {
    /// None of its files is there.
    FilesGone,
    /// Nor is the folder of this one: what it lies on may not be mounted.
    FolderAway(PathBuf),
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
            Self::FolderAway(path) => away(path),
            Self::KeyGone => "its files hold its key no more".to_owned(),
            Self::NotKnown(why) => why.clone(),
        }
    }
}

fn away(path: &Path) -> String {
    let folder = path.parent().unwrap_or(path).display();
    format!("the folder {folder} is not there; what it lies on may not be mounted")
}

/// Whether a file is there.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    There,
    /// Its folder is there without it.
    Gone,
    FolderAway,
    /// The system does not tell; why.
    NotKnown(String),
}

fn presence(path: &Path) -> Presence {
    let missing = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
    let folder = path.parent().unwrap_or(path);
    match path.symlink_metadata().map_err(|error| {
        if missing(&error) {
            return folder.metadata().map(drop);
        }
        Err(error)
    }) {
        Ok(_) => Presence::There,
        Err(Ok(())) => Presence::Gone,
        Err(Err(error)) if missing(&error) => Presence::FolderAway,
        Err(Err(error)) => Presence::NotKnown(error.to_string()),
    }
}

/// What became of the files of an adoption, whatever key they held; `None` if one of them is there.
pub(crate) fn files(adoption: &Adoption) -> Option<Absent> {
    let (mut away, mut unknown) = (None, None);
    for path in &adoption.paths {
        match presence(path) {
            Presence::There => return None,
            Presence::Gone => {}
            Presence::FolderAway => away = away.or_else(|| Some(path.clone())),
            Presence::NotKnown(why) => {
                unknown = unknown.or_else(|| Some(format!("{}: {why}", path.display())));
            }
        }
    }
    let away = away.map(Absent::FolderAway);
    let known = away.unwrap_or(Absent::FilesGone);
    Some(unknown.map_or(known, Absent::NotKnown))
}

/// Whether files hold a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    No,
    /// One that may hold it can't be read; why, for people.
    NotKnown(String),
}

/// Whether one of the files holds a key, of whose id only the end may be left (`…7F3Q`).
pub(crate) fn held(paths: &[PathBuf], shown: &str) -> Held {
    let mut unknown = None;
    for path in paths {
        let text = match presence(path) {
            Presence::Gone => continue,
            Presence::There => files::text(path),
            Presence::FolderAway => Err(away(path)),
            Presence::NotKnown(why) => Err(why),
        };
        match text {
            Ok(text) if holds(&text, shown) => return Held::Yes,
            Ok(_) => {}
            Err(why) => {
                unknown.get_or_insert(format!("{}: {why}", path.display()));
            }
        }
    }
    unknown.map_or(Held::No, Held::NotKnown)
}

fn holds(text: &str, shown: &str) -> bool {
    let wanted = ShownId::new(shown);
    words(text).any(|word| {
        word == shown || word.starts_with(AccessKeyId::ISSUED_PREFIX) && wanted.fits(word)
    })
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
}

/// What became of the key of an adopted tool; `None` while a look finds it.
pub(crate) async fn absent(
    adoption: &Adoption,
    seen: &Seen,
    client: &Client,
) -> Result<Option<Absent>, Error> {
    let of_label = |id: &AccessKeyId| {
        seen.known.get(id).is_some_and(|known| {
            known.label == adoption.label && known.connection_id == adoption.connection_id
        })
    };
    let is_named = seen
        .consumers
        .iter()
        .any(|found| found.name == adoption.consumer && of_label(found.id()));
    // Its file may have been moved to where its tool looks as well.
    if is_named {
        return Ok(None);
    }
    // Of a tool that shares its key with others the keys tell nothing: its files come first.
    let files = files(adoption);
    if files == Some(Absent::FilesGone) {
        return Ok(files);
    }
    let mut found = seen.known.keys().filter(|id| of_label(id));
    if found.any(|id| held(&adoption.paths, id.as_str()) == Held::Yes) {
        return Ok(None);
    }
    if let Some(Absent::FolderAway(_)) = files {
        return Ok(files);
    }
    Ok(Some(
        match record::holds_its_key(client, adoption).await? {
            Held::No => Absent::KeyGone,
            Held::Yes => Absent::NotKnown(
                "no tool that is known takes its key from there; remove it by hand".into(),
            ),
            Held::NotKnown(why) => Absent::NotKnown(why),
        },
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: &str = "BSCAAAABBBBCCCCDDDD7F3Q";

    fn own(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn only_a_file_that_is_missing_from_its_folder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let there = own(folder.path(), "rclone.conf", "x");
        assert_eq!(presence(&there), Presence::There);
        assert_eq!(presence(&folder.path().join("other")), Presence::Gone);
        // Not mounted.
        let away = folder.path().join("usb/rclone.conf");
        assert_eq!(presence(&away), Presence::FolderAway);
        // What the system does not tell: here it is no folder, there a folder that nobody can enter.
        let Presence::NotKnown(_) = presence(&there.join("below")) else {
            panic!("a path through a file is not known");
        };
        let round = folder.path().join("round");
        symlink(&round, &round).unwrap();
        let Presence::NotKnown(_) = presence(&round.join("rclone.conf")) else {
            panic!("a folder that can't be entered is not known");
        };
    }

    #[test]
    fn a_file_that_can_not_be_read_is_never_taken_for_one_without_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let without = own(folder.path(), "a", "access_key_id = AKIAIOSFODNN7EXAMPLE\n");
        let gone = folder.path().join("gone");
        assert_eq!(held(&[without.clone(), gone], ID), Held::No);
        let with = own(folder.path(), "b", &format!("access_key_id = {ID}\n"));
        let managed = own(
            folder.path(),
            "c",
            "# This file is managed by Ansible, do not edit\n",
        );
        for unreadable in [
            managed,
            folder.path().to_owned(),
            folder.path().join("usb/rclone.conf"),
            without.join("below"),
        ] {
            let paths = [without.clone(), unreadable.clone()];
            let Held::NotKnown(why) = held(&paths, ID) else {
                panic!("{} may hold it", unreadable.display());
            };
            assert!(why.contains(&unreadable.display().to_string()), "{why}");
            assert_eq!(held(&[unreadable, with.clone()], ID), Held::Yes);
        }
    }

    #[test]
    fn of_a_dead_key_the_end_is_enough_but_not_within_another_word() {
        let text = format!("access_key_id={ID}\n");
        assert!(holds(&text, ID) && holds(&text, "…7F3Q") && holds(&text, "BSC…7F3Q"));
        assert!(!holds("secret = abcdef7F3Q\n", "…7F3Q"));
        assert!(!holds(&text, "…7F3X"));
    }
}
