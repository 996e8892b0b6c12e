//! Multipart uploads: each a folder in the reserved part, holding a description and the parts.
//! A part's name carries its number and MD5, so a part is there whole or not at all. An upload
//! belongs to one bucket and key (threats.md B2). Calls block.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use s3s::crypto::{Checksum as _, Md5};
use serde::{Deserialize, Serialize};

use super::{
    Fault,
    folder::{Folder, Stage, sync_folder},
    keys::path_of,
    record::Attributes,
};

const DESCRIPTION: &str = "upload.json";
/// Every part but the last has at least this size.
const LEAST_PART: u64 = 5 * 1024 * 1024;

/// What an upload is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) attributes: Attributes,
}

/// A part that is there.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) number: i32,
    pub(crate) md5: [u8; 16],
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    path: PathBuf,
}

impl Part {
    pub(crate) fn etag(&self) -> String {
        HEXLOWER.encode(&self.md5)
    }
}

/// An upload in a listing.
pub(crate) struct Pending {
    pub(crate) key: String,
    pub(crate) id: String,
    pub(crate) started: SystemTime,
}

impl Folder {
    /// Starts an upload and returns its id.
    pub(crate) fn start_upload(&self, upload: &Upload) -> Result<String, Fault> {
        self.bucket(&upload.bucket)?;
        path_of(&upload.key)?;
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
        let id = HEXLOWER.encode(&random);
        let uploads = self.reserved("uploads")?;
        let place = uploads.join(&id);
        fs::create_dir(&place)?;
        let mut file = File::create_new(place.join(DESCRIPTION))?;
        file.write_all(&serde_json::to_vec(upload).map_err(io::Error::other)?)?;
        file.sync_all()?;
        sync_folder(&place)?;
        sync_folder(&uploads)?;
        Ok(id)
    }

    /// The upload with this id, if it is for this bucket and key.
    pub(crate) fn upload(
        &self,
        bucket: &str,
        key: &str,
        id: &str,
    ) -> Result<(Upload, PathBuf), Fault> {
        self.bucket(bucket)?;
        // Ids are ours; anything else could be a path.
        if id.len() != 32 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Fault::NoSuchUpload);
        }
        let place = self.reserved_path("uploads").join(id);
        let upload = described(&place)?.ok_or(Fault::NoSuchUpload)?;
        if upload.bucket == bucket && upload.key == key {
            Ok((upload, place))
        } else {
            Err(Fault::NoSuchUpload)
        }
    }

    /// Puts a staged, synced part in its place; an earlier one of its number goes.
    pub(crate) fn place_part(
        &self,
        place: &Path,
        number: i32,
        md5: &[u8; 16],
        stage: Stage,
    ) -> Result<(), Fault> {
        let name = format!("{number:05}-{}", HEXLOWER.encode(md5));
        let path = place.join(name);
        stage.place(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Fault::NoSuchUpload,
            _ => Fault::Io(error),
        })?;
        for part in parts(place)? {
            if part.number == number && part.path != path {
                fs::remove_file(&part.path)?;
            }
        }
        sync_folder(place)?;
        Ok(())
    }

    /// Joins the named parts into one staged, synced file, and returns its ETag. The parts stay.
    pub(crate) fn join(
        &self,
        place: &Path,
        wanted: &[(i32, Option<String>)],
    ) -> Result<(Stage, String), Fault> {
        if wanted.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return Err(Fault::InvalidPartOrder);
        }
        let there = parts(place)?;
        let mut chosen = Vec::with_capacity(wanted.len());
        for (number, etag) in wanted {
            let part = there
                .iter()
                .find(|part| part.number == *number)
                .filter(|part| etag.as_ref().is_none_or(|etag| *etag == part.etag()))
                .ok_or(Fault::InvalidPart)?;
            chosen.push(part);
        }
        let Some((_, all_but_last)) = chosen.split_last() else {
            return Err(Fault::InvalidPart);
        };
        if all_but_last.iter().any(|part| part.size < LEAST_PART) {
            return Err(Fault::PartTooSmall);
        }
        let (stage, mut file) = self.stage()?;
        let mut digests = Md5::new();
        for part in &chosen {
            let copied = io::copy(&mut File::open(&part.path)?, &mut file)?;
            if copied != part.size {
                return Err(Fault::InvalidPart);
            }
            digests.update(&part.md5);
        }
        file.sync_all()?;
        Ok((
            stage,
            format!("{}-{}", HEXLOWER.encode(&digests.finalize()), chosen.len()),
        ))
    }

    /// Removes an upload with its parts.
    pub(crate) fn end_upload(&self, place: &Path) -> Result<(), Fault> {
        // Without its description it is no upload any more, even if the rest stays behind.
        match fs::remove_file(place.join(DESCRIPTION)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Fault::NoSuchUpload);
            }
            outcome => outcome?,
        }
        for part in parts(place)? {
            fs::remove_file(part.path)?;
        }
        fs::remove_dir(place)?;
        sync_folder(&self.reserved_path("uploads"))?;
        Ok(())
    }

    /// All unfinished uploads of a bucket, by key and id.
    pub(crate) fn pending(&self, bucket: &str) -> Result<Vec<Pending>, Fault> {
        self.bucket(bucket)?;
        let mut found = Vec::new();
        let entries = match fs::read_dir(self.reserved_path("uploads")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(Fault::Io(error)),
        };
        for entry in entries {
            let entry = entry?;
            let Ok(id) = entry.file_name().into_string() else {
                continue;
            };
            let Some(upload) = described(&entry.path())? else {
                continue;
            };
            if upload.bucket == bucket {
                let started = entry.path().join(DESCRIPTION).metadata()?.modified()?;
                found.push(Pending {
                    key: upload.key,
                    id,
                    started,
                });
            }
        }
        found.sort_by(|a, b| (a.key.as_bytes(), &a.id).cmp(&(b.key.as_bytes(), &b.id)));
        Ok(found)
    }
}

fn described(place: &Path) -> Result<Option<Upload>, Fault> {
    match fs::read(place.join(DESCRIPTION)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Fault::Io(error)),
    }
}

/// The parts of an upload, by number.
pub(crate) fn parts(place: &Path) -> Result<Vec<Part>, Fault> {
    let mut found = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let Some((number, md5)) = name.split_once('-') else {
            continue;
        };
        let (Ok(number), Ok(md5)) = (number.parse(), HEXLOWER.decode(md5.as_bytes())) else {
            continue;
        };
        let Ok(md5) = md5.try_into() else { continue };
        let about = match entry.metadata() {
            Ok(about) => about,
            // Replaced since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(Fault::Io(error)),
        };
        found.push(Part {
            number,
            md5,
            size: about.len(),
            modified: about.modified()?,
            path: entry.path(),
        });
    }
    found.sort_by_key(|part| part.number);
    Ok(found)
}
