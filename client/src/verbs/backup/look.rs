//! Looks, as the user, for the files of backups that are on record. It reads the beginning and the
//! end of a file and changes nothing. It must never take a file for gone that is only out of sight.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use bascule_domain::{
    backup::{HEAD_LIMIT, MAGIC, TAG_LEN},
    ids::BackupId,
};
use bascule_proto::v1;
use serde::Deserialize;

use crate::{channel::Client, error::Error};

/// No file system takes longer, unless it has stalled.
const LONGEST: Duration = Duration::from_secs(5);

/// What a look has found where a backup was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Its file, as far as head, length and tag tell.
    Present,
    /// Nothing.
    Gone,
    /// Something else: what, in words.
    Changed(String),
    /// It is not known, and why.
    NotChecked(String),
}

impl Look {
    /// The word for it.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Gone => "gone",
            Self::Changed(_) => "changed",
            Self::NotChecked(_) => "not checked",
        }
    }

    /// More about it.
    pub(super) fn why(&self) -> Option<&str> {
        match self {
            Self::Changed(why) | Self::NotChecked(why) => Some(why),
            Self::Present | Self::Gone => None,
        }
    }

    pub(super) const fn found(&self) -> v1::BackupFound {
        match self {
            Self::Present => v1::BackupFound::Present,
            Self::Gone => v1::BackupFound::Gone,
            Self::Changed(_) => v1::BackupFound::Changed,
            Self::NotChecked(_) => v1::BackupFound::Unspecified,
        }
    }
}

/// Where a new backup is written, as the record keeps it; empty where that can't be said.
pub(super) struct Place {
    pub(super) path: String,
    pub(super) mount: String,
}

impl Place {
    pub(super) fn of(file: &Path) -> Self {
        let path = std::path::absolute(file).ok();
        let mount = bascule_os::mount_of_file(file).ok().flatten();
        let text = |path: Option<&Path>| path.and_then(Path::to_str).unwrap_or_default().to_owned();
        Self {
            path: text(path.as_deref()),
            mount: text(mount.as_deref()),
        }
    }
}

/// Tells the daemon what was found, for receipts.
pub(super) async fn note(
    client: &Client,
    found: impl IntoIterator<Item = (String, v1::BackupFound)>,
) -> Result<(), Error> {
    let backups = found
        .into_iter()
        .filter(|(_, found)| *found != v1::BackupFound::Unspecified)
        .map(|(id, found)| v1::NotedBackup {
            id,
            found: found.into(),
        });
    let request = v1::NoteBackupsRequest {
        backups: backups.collect(),
    };
    client.system().note_backups(request).await?;
    Ok(())
}

/// Looks for each, in order. What does not answer holds nothing up for long: file systems stall, not
/// files, so each has a thread of its own.
pub(super) fn look_for(backups: &[v1::KnownBackup]) -> Vec<Look> {
    let mut looks: Vec<_> = backups.iter().map(out_of_sight).collect();
    let mut mounts: BTreeMap<&str, Vec<(usize, v1::KnownBackup)>> = BTreeMap::new();
    for (at, backup) in backups.iter().enumerate() {
        if looks[at].is_none() {
            let on_mount = mounts.entry(&backup.mount).or_default();
            on_mount.push((at, backup.clone()));
        }
    }
    let (done, told) = mpsc::channel();
    for on_mount in mounts.into_values() {
        let done = done.clone();
        thread::spawn(move || {
            for (at, backup) in on_mount {
                if done.send((at, look(&backup))).is_err() {
                    break;
                }
            }
        });
    }
    drop(done);
    while let Ok((at, look)) = told.recv_timeout(LONGEST) {
        looks[at] = Some(look);
    }
    let stalled = || {
        let seconds = LONGEST.as_secs();
        Look::NotChecked(format!("its file system did not answer for {seconds} s"))
    };
    looks
        .into_iter()
        .map(|look| look.unwrap_or_else(stalled))
        .collect()
}

/// Why there is nowhere to look.
fn out_of_sight(backup: &v1::KnownBackup) -> Option<Look> {
    let why = match backup.place() {
        v1::BackupPlace::Here => return None,
        v1::BackupPlace::Elsewhere => "it was written on the machine that this state came from",
        v1::BackupPlace::Unspecified => "where it was written is not on record",
    };
    Some(Look::NotChecked(why.to_owned()))
}

fn look(backup: &v1::KnownBackup) -> Look {
    let path = Path::new(&backup.path);
    match path.metadata() {
        Ok(metadata) => match examine(path, &metadata, backup) {
            Ok(None) => Look::Present,
            Ok(Some(other)) => Look::Changed(other),
            Err(error) => Look::NotChecked(error.to_string()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => missing(path, &backup.mount),
        Err(error) => Look::NotChecked(error.to_string()),
    }
}

/// A file that is not there is gone only where it would be seen.
fn missing(path: &Path, mount: &str) -> Look {
    if path.symlink_metadata().is_ok() {
        return Look::Changed("a link that leads nowhere".to_owned());
    }
    let Ok(now) = bascule_os::mount_of_file(path) else {
        return Look::NotChecked("its folder is not there; was it on a drive?".to_owned());
    };
    let now = now.as_deref().and_then(Path::to_str).unwrap_or_default();
    match mount.is_empty() || now == mount {
        true => Look::Gone,
        false => Look::NotChecked(format!("nothing is mounted at {mount} now")),
    }
}

#[derive(Deserialize)]
struct Head {
    id: BackupId,
}

/// What the file is instead, if it is not the backup any more.
fn examine(
    path: &Path,
    metadata: &Metadata,
    backup: &v1::KnownBackup,
) -> io::Result<Option<String>> {
    if !metadata.is_file() {
        return Ok(Some("no file".to_owned()));
    }
    let mut file = File::open(path)?;
    let Some(id) = id_of(&mut file)? else {
        return Ok(Some("no backup of Bascule's".to_owned()));
    };
    if id.to_string() != backup.id {
        return Ok(Some(format!("another backup, {id}")));
    }
    let Some(mark) = &backup.mark else {
        return Ok(None);
    };
    if metadata.len() != mark.bytes {
        let (is, was) = (metadata.len(), mark.bytes);
        return Ok(Some(format!("{is} bytes in place of {was}")));
    }
    let mut tag = [0; TAG_LEN];
    file.seek(SeekFrom::End(-(TAG_LEN as i64)))?;
    file.read_exact(&mut tag)?;
    let tag: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((tag != mark.tag).then(|| "altered: its authentication differs".to_owned()))
}

/// Which backup a file says that it is.
fn id_of(file: &mut File) -> io::Result<Option<BackupId>> {
    let mut begin = [0; MAGIC.len() + 4];
    match file.read_exact(&mut begin) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let (magic, length) = begin.split_at(MAGIC.len());
    let length = <[u8; 4]>::try_from(length).map_or(0, u32::from_be_bytes) as usize;
    if magic != MAGIC || length > HEAD_LIMIT {
        return Ok(None);
    }
    let mut head = Vec::new();
    file.take(length as u64).read_to_end(&mut head)?;
    Ok(serde_json::from_slice::<Head>(&head)
        .ok()
        .map(|head| head.id))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "bak_aaaaaaaaaaaaaaaa";

    fn content(id: &str, tail: u8) -> Vec<u8> {
        let head = format!("{{\"id\":\"{id}\",\"more\":1}}");
        let length = (head.len() as u32).to_be_bytes();
        [MAGIC, &length[..], head.as_bytes(), b"E", &[tail; TAG_LEN]].concat()
    }

    fn written(path: &Path) -> v1::KnownBackup {
        let bytes = content(ID, 0xab);
        fs::write(path, &bytes).unwrap();
        let place = Place::of(path);
        v1::KnownBackup {
            id: ID.to_owned(),
            place: v1::BackupPlace::Here.into(),
            path: place.path,
            mount: place.mount,
            mark: Some(v1::BackupMark {
                bytes: bytes.len() as u64,
                tag: "ab".repeat(TAG_LEN),
            }),
            ..v1::KnownBackup::default()
        }
    }

    fn one(backup: &v1::KnownBackup) -> Look {
        look_for(std::slice::from_ref(backup)).remove(0)
    }

    #[test]
    fn what_stands_where_a_backup_was_written_is_told_from_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a.backup");
        let backup = written(&path);
        assert_eq!(one(&backup), Look::Present);
        let longer = [content(ID, 0xab), vec![0]].concat();
        for (bytes, expected) in [
            (content("bak_baaaaaaaaaaaaaaa", 0xab), "another backup"),
            (content(ID, 0xac), "authentication"),
            (longer, "in place of"),
            (b"a letter to my bank".to_vec(), "no backup"),
            (Vec::new(), "no backup"),
        ] {
            fs::write(&path, bytes).unwrap();
            let Look::Changed(why) = one(&backup) else {
                panic!("{expected}")
            };
            assert!(why.contains(expected), "{why}");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(one(&backup), Look::Gone);
        fs::create_dir(&path).unwrap();
        assert_eq!(one(&backup), Look::Changed("no file".into()));
    }

    #[test]
    fn a_backup_that_is_only_out_of_sight_is_not_gone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("drive");
        fs::create_dir(&folder).unwrap();
        let path = folder.join("a.backup");
        let mut backup = written(&path);
        fs::remove_file(&path).unwrap();
        let not_checked = |backup: &v1::KnownBackup, expected: &str| {
            let look = one(backup);
            assert!(matches!(look, Look::NotChecked(_)), "{look:?}");
            assert!(look.why().unwrap().contains(expected), "{look:?}");
            assert_eq!(look.found(), v1::BackupFound::Unspecified);
        };
        // The folder is there, and what was mounted on it is not.
        backup.mount = path.parent().unwrap().to_str().unwrap().to_owned();
        not_checked(&backup, "nothing is mounted at");
        fs::remove_dir(&folder).unwrap();
        not_checked(&backup, "its folder is not there");
        backup.set_place(v1::BackupPlace::Elsewhere);
        not_checked(&backup, "the machine that this state came from");
        backup.set_place(v1::BackupPlace::Unspecified);
        not_checked(&backup, "not on record");
    }
}
