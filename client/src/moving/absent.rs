//! Adopted tools that no look finds any more: their files are gone, or hold another key by now. What can't be
//! told is never taken for gone.

use std::{
    fmt,
    io::{self, ErrorKind},
    path::PathBuf,
};

use bascule_domain::access_key::{AccessKeyId, ShownId};

use super::{Seen, adopted::Adoption, record};
use crate::{channel::Client, error::Error};

/// Where an adopted tool's key is, if no look finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Absent {
    /// None of its files is there.
    FilesGone,
    /// What one of them lay on may just not be there now.
    Away(Away),
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
            Self::Away(away) => away.to_string(),
            Self::KeyGone => "its files hold its key no more".to_owned(),
            Self::NotKnown(why) => why.clone(),
        }
    }
}

/// What a file needs to be found, and which is not there now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Away {
    /// Its folder.
    Folder(PathBuf),
    /// What was mounted here and held it; its folder may be the empty one below.
    Mount(PathBuf),
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(
                f,
                "the folder {} is not there; what it lies on may not be mounted",
                folder.display()
            ),
            Self::Mount(mount) => write!(
                f,
                "what was mounted at {} and held its files is not mounted",
                mount.display()
            ),
        }
    }
}

/// Where an adoption's file is.
#[derive(Debug, Clone)]
struct Site {
    path: PathBuf,
    /// Where that was mounted which held it; `None` where it is not known.
    mount: Option<PathBuf>,
}

fn sites(adoption: &Adoption) -> Vec<Site> {
    // What another release has kept tells nothing here.
    let kept = adoption.kept().unwrap_or_default().files;
    let of = |path: &PathBuf| Site {
        mount: kept
            .iter()
            .find(|file| file.path == *path)
            .and_then(|file| file.mount.clone()),
        path: path.clone(),
    };
    adoption.paths.iter().map(of).collect()
}

/// Whether a file is there.
#[derive(Debug, PartialEq, Eq)]
enum Presence {
    There,
    /// Its folder is there without it.
    Gone,
    Away(Away),
    /// The system does not tell; why.
    NotKnown(String),
}

fn presence(Site { path, mount }: &Site) -> Presence {
    let missing = |error: &io::Error| error.kind() == ErrorKind::NotFound;
    let unknown = |error: io::Error| Presence::NotKnown(error.to_string());
    match path.symlink_metadata() {
        Ok(_) => return Presence::There,
        Err(error) if missing(&error) => {}
        Err(error) => return unknown(error),
    }
    let folder = path.parent().unwrap_or(path);
    match folder.metadata() {
        Ok(_) => {}
        Err(error) if missing(&error) => return Presence::Away(Away::Folder(folder.to_owned())),
        Err(error) => return unknown(error),
    }
    let Some(mount) = mount else {
        return Presence::Gone;
    };
    match bascule_os::mount_of_file(path) {
        Ok(now) if now.as_ref() == Some(mount) => Presence::Gone,
        Ok(_) => Presence::Away(Away::Mount(mount.clone())),
        Err(error) => unknown(error),
    }
}

/// What became of the files of an adoption, whatever key they held; `None` if one of them is there.
pub(crate) fn files(adoption: &Adoption) -> Option<Absent> {
    let (mut away, mut unknown) = (None, None);
    for site in sites(adoption) {
        match presence(&site) {
            Presence::There => return None,
            Presence::Gone => {}
            Presence::Away(found) => away = away.or(Some(found)),
            Presence::NotKnown(why) => {
                unknown = unknown.or_else(|| Some(format!("{}: {why}", site.path.display())));
            }
        }
    }
    let away = away.map(Absent::Away);
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

/// Whether a file of an adoption holds a key, of whose id only the end may be left (`…7F3Q`).
pub(crate) fn held(adoption: &Adoption, shown: &str) -> Held {
    held_in(&sites(adoption), shown)
}

fn held_in(sites: &[Site], shown: &str) -> Held {
    let mut unknown = None;
    for site in sites {
        let path = &site.path;
        let text = match presence(site) {
            Presence::Gone => continue,
            Presence::There => super::files::text(path),
            Presence::Away(away) => Err(away.to_string()),
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
    if found.any(|id| held(adoption, id.as_str()) == Held::Yes) {
        return Ok(None);
    }
    if let Some(Absent::Away(_)) = files {
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
    use std::{os::unix::fs::symlink, path::Path};

    use super::*;

    const ID: &str = "BSCAAAABBBBCCCCDDDD7F3Q";

    fn own(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn site(path: &Path) -> Site {
        Site {
            path: path.to_owned(),
            mount: None,
        }
    }

    #[test]
    fn only_a_file_that_is_missing_from_its_folder_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let there = own(folder.path(), "rclone.conf", "x");
        let presence = |path: &Path| presence(&site(path));
        assert_eq!(presence(&there), Presence::There);
        assert_eq!(presence(&folder.path().join("other")), Presence::Gone);
        // Not mounted.
        let usb = folder.path().join("usb");
        let away = Presence::Away(Away::Folder(usb.clone()));
        assert_eq!(presence(&usb.join("rclone.conf")), away);
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
    fn a_file_that_lay_on_what_is_not_mounted_now_is_not_gone() {
        let folder = tempfile::tempdir().unwrap();
        let mut site = site(&folder.path().join("rclone.conf"));
        let now = bascule_os::mount_of_file(&site.path).unwrap();
        site.mount.clone_from(&now);
        assert_eq!(presence(&site), Presence::Gone);
        site.mount = Some(folder.path().to_owned());
        let away = Presence::Away(Away::Mount(folder.path().to_owned()));
        assert_eq!(presence(&site), away);
        assert!(matches!(held_in(&[site.clone()], ID), Held::NotKnown(_)));
        own(folder.path(), "rclone.conf", "x");
        assert_eq!(presence(&site), Presence::There);
    }

    #[test]
    fn a_file_that_can_not_be_read_is_never_taken_for_one_without_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let without = own(folder.path(), "a", "access_key_id = AKIAIOSFODNN7EXAMPLE\n");
        let held = |paths: &[PathBuf], id: &str| {
            let sites: Vec<_> = paths.iter().map(|path| site(path)).collect();
            held_in(&sites, id)
        };
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
