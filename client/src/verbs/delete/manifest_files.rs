//! The files for `--keep-manifests`: both surveys' manifests, one JSON line for each entry. Each appears
//! once it is whole, and never overwrites anything; taken twice, it is the same file.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bascule_proto::v1;

use crate::{
    channel::Client,
    error::{Error, Kind},
};

/// The folder, which exists and can be written to.
pub(crate) struct ManifestFiles {
    folder: PathBuf,
}

impl ManifestFiles {
    /// Makes the folder if there is none, so that it is not found unwritable afterwards.
    pub(crate) fn reserve(folder: &Path) -> Result<Self, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let probe = folder.join(".bascule-was-here");
        let written = made.and_then(|()| {
            new_file(&probe)?;
            std::fs::remove_file(&probe)
        });
        written.map_err(|error| {
            Error::new(
                Kind::Failed,
                format!(
                    "manifests can't be written to {}: {error}",
                    folder.display()
                ),
            )
            .next("choose a folder that you may write to for --keep-manifests")
        })?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Takes the manifests that a deletion has now, and says where they are. Who is `following` it has all
    /// that they wait for then.
    pub(crate) async fn take(
        &self,
        client: &Client,
        id: &str,
        following: bool,
    ) -> Result<Vec<PathBuf>, Error> {
        let request = v1::TakeManifestsRequest {
            id: id.to_owned(),
            following,
        };
        let mut parts = client
            .deletions()
            .take_manifests(request)
            .await?
            .into_inner();
        let mut files: BTreeMap<PathBuf, BufWriter<File>> = BTreeMap::new();
        while let Some(part) = parts.message().await? {
            let path = path(&self.folder, id, &part.bucket, part.after);
            let file = match files.get_mut(&path) {
                Some(file) => file,
                None => {
                    let file = begun(&path).map_err(|error| failed(&path, &error))?;
                    files.entry(path.clone()).or_insert(BufWriter::new(file))
                }
            };
            let written = file.write_all(part.lines.as_bytes());
            written.map_err(|error| failed(&path, &error))?;
        }
        for (path, file) in &mut files {
            let kept = file.flush().and_then(|()| file.get_ref().sync_all());
            kept.and_then(|()| publish(path))
                .map_err(|error| failed(path, &error))?;
        }
        Ok(files.into_keys().collect())
    }

    /// Where they are kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Of a manifest that is not whole yet.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Begins a manifest; what was left of an earlier try goes.
fn begun(path: &Path) -> io::Result<File> {
    let unfinished = unfinished(path);
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => new_file(&unfinished),
    }
}

/// Gives a whole manifest its name, unless something else has it.
fn publish(path: &Path) -> io::Result<()> {
    let unfinished = unfinished(path);
    match std::fs::hard_link(&unfinished, path) {
        Ok(()) => {}
        Err(_) if !path.try_exists()? => return std::fs::rename(&unfinished, path),
        Err(_) if same(&unfinished, path)? => {}
        Err(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "another file has that name",
            ));
        }
    }
    std::fs::remove_file(&unfinished)
}

fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let mut others = BufReader::new(other).bytes();
    for byte in BufReader::new(one).bytes() {
        if others.next().transpose()? != Some(byte?) {
            return Ok(false);
        }
    }
    Ok(others.next().is_none())
}

/// Where the manifest of a bucket is kept.
pub(crate) fn path(folder: &Path, id: &str, bucket: &str, after: bool) -> PathBuf {
    let round = if after { "after" } else { "before" };
    folder.join(format!("{id}.{bucket}.{round}.jsonl"))
}

fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn failed(path: &Path, error: &std::io::Error) -> Error {
    Error::new(
        Kind::Failed,
        format!("the manifest {} could not be kept: {error}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_taken_twice_is_one_file_and_another_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "del_x", "photos", false);
        let take = |text: &str| {
            begun(&path).unwrap().write_all(text.as_bytes()).unwrap();
            publish(&path)
        };
        // As a command that was killed leaves it.
        begun(&path).unwrap().write_all(b"half").unwrap();
        take("one").unwrap();
        take("one").unwrap();
        for other in ["two", "on", "ones"] {
            let refused = take(other).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "one");
        }
    }
}
