//! The files for `--keep-manifests`: both surveys' manifests, one JSON line for each entry. They
//! are written while the deletion waits before its erasure, and never overwrite anything.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{BufWriter, Write},
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
                    "manifests can't be written to {}: {error}; nothing was deleted",
                    folder.display()
                ),
            )
            .next("choose a folder that you may write to for --keep-manifests")
        })?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Takes the manifests of a deletion that waits for it, and says where they are.
    pub(crate) async fn take(&self, client: &Client, id: &str) -> Result<Vec<PathBuf>, Error> {
        let request = v1::TakeManifestsRequest { id: id.to_owned() };
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
                    let file = new_file(&path).map_err(|error| failed(&path, &error))?;
                    files.entry(path.clone()).or_insert(BufWriter::new(file))
                }
            };
            let written = file.write_all(part.lines.as_bytes());
            written.map_err(|error| failed(&path, &error))?;
        }
        for (path, file) in &mut files {
            let kept = file.flush().and_then(|()| file.get_ref().sync_all());
            kept.map_err(|error| failed(path, &error))?;
        }
        Ok(files.into_keys().collect())
    }
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
