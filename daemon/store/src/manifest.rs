//! Manifests: what a survey listed, kept until the second survey is compared with it.
//!
//! A manifest is a file of sealed frames of whole entries. The associated data binds each frame to
//! its connection, deletion and bucket, to a random id of this one writing, to its number, and to
//! whether it is the last; so a frame that is cut off, moved, repeated or taken from elsewhere does
//! not go unnoticed. Neither side holds more than one frame in memory.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use bascule_domain::{
    ids::{ConnectionId, DeletionId},
    names::{BucketName, ObjectKey},
    survey::{Digest, Entry},
};
use bascule_os::{PathError, create_private_file, open_private_file, remove_file, replace_file};
use zeroize::Zeroizing;

use crate::{
    error::{ManifestError, StoreError},
    seal::{OVERHEAD, Sealer, random},
};

const MAGIC: &[u8; 8] = b"BSCMANI\x01";
const ID_LEN: usize = 16;
/// A frame is closed once it holds this much.
const FRAME: usize = 64 << 10;
/// Length fields, the longest key, size, the longest ETag.
const LONGEST_ENTRY: usize = 2 + 1024 + 8 + 2 + u16::MAX as usize;
const LONGEST_FRAME: usize = FRAME + LONGEST_ENTRY + OVERHEAD;

/// What a finished manifest comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// SHA-256 over the encoded entries, in order.
    pub digest: Digest,
    /// How many entries.
    pub objects: u64,
    /// The sum of their sizes, in bytes.
    pub bytes: u64,
}

/// What every frame of one manifest is bound to.
struct Binding {
    sealer: Arc<Sealer>,
    connection: ConnectionId,
    deletion: DeletionId,
    bucket: BucketName,
    id: [u8; ID_LEN],
}

impl Binding {
    fn with<T>(&self, number: u64, last: bool, act: impl FnOnce(&Sealer, &[&[u8]]) -> T) -> T {
        let place: [&[u8]; 7] = [
            b"manifest",
            self.connection.as_bytes(),
            self.deletion.as_bytes(),
            self.bucket.as_str().as_bytes(),
            &self.id,
            &number.to_be_bytes(),
            &[u8::from(last)],
        ];
        act(&self.sealer, &place)
    }
}

fn grows(previous: &mut Option<ObjectKey>, next: &ObjectKey) -> bool {
    let grows = previous
        .as_ref()
        .is_none_or(|key| key.as_str().as_bytes() < next.as_str().as_bytes());
    *previous = Some(next.clone());
    grows
}

/// Writes a manifest. Dropped before it is finished, it leaves nothing.
pub struct ManifestWriter {
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    binding: Binding,
    frame: Zeroizing<Vec<u8>>,
    number: u64,
    previous: Option<ObjectKey>,
    digest: digest::Context,
    objects: u64,
    bytes: u64,
}

impl fmt::Debug for ManifestWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestWriter")
            .field("objects", &self.objects)
            .finish_non_exhaustive()
    }
}

impl ManifestWriter {
    pub(crate) fn create(
        path: PathBuf,
        sealer: Arc<Sealer>,
        connection: ConnectionId,
        deletion: DeletionId,
        bucket: &BucketName,
    ) -> Result<Self, ManifestError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let id = *random::<ID_LEN>().map_err(|_| ManifestError::Cryptography)?;
        remove_file(&unfinished)?;
        let mut writer = Self {
            file: create_private_file(&unfinished)?,
            path,
            unfinished,
            binding: Binding {
                sealer,
                connection,
                deletion,
                bucket: bucket.clone(),
                id,
            },
            frame: Zeroizing::new(Vec::with_capacity(FRAME + LONGEST_ENTRY)),
            number: 0,
            previous: None,
            digest: digest::Context::new(&digest::SHA256),
            objects: 0,
            bytes: 0,
        };
        writer.write(&[&MAGIC[..], &id].concat())?;
        Ok(writer)
    }

    /// Takes the next entry. Keys must grow strictly by their bytes; after a refusal the manifest
    /// can only be dropped.
    pub fn push(&mut self, entry: &Entry) -> Result<(), ManifestError> {
        if !grows(&mut self.previous, &entry.key) {
            return Err(ManifestError::NotInOrder);
        }
        let start = self.frame.len();
        entry.encode(&mut self.frame);
        self.digest.update(&self.frame[start..]);
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(entry.size);
        if self.frame.len() >= FRAME {
            self.write_frame(false)
        } else {
            Ok(())
        }
    }

    /// Seals the last frame and makes the manifest durable. Only now it replaces the one before.
    pub fn finish(mut self) -> Result<Manifest, ManifestError> {
        self.write_frame(true)?;
        self.file.sync_all().map_err(|error| self.failed(error))?;
        replace_file(&self.unfinished, &self.path)?;
        let mut digest = [0; 32];
        digest.copy_from_slice(self.digest.clone().finish().as_ref());
        Ok(Manifest {
            digest: Digest(digest),
            objects: self.objects,
            bytes: self.bytes,
        })
    }

    fn write_frame(&mut self, last: bool) -> Result<(), ManifestError> {
        let sealed = self
            .binding
            .with(self.number, last, |sealer, place| {
                sealer.seal(place, &self.frame)
            })
            .map_err(|_: StoreError| ManifestError::Cryptography)?;
        // At most `LONGEST_FRAME`.
        let mut head = vec![u8::from(last)];
        head.extend_from_slice(&(sealed.len() as u32).to_be_bytes());
        self.write(&head)?;
        self.write(&sealed)?;
        self.frame.clear();
        self.number += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ManifestError> {
        self.file
            .write_all(bytes)
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, source: io::Error) -> ManifestError {
        PathError::Io {
            action: "write",
            path: self.unfinished.clone(),
            source,
        }
        .into()
    }
}

impl Drop for ManifestWriter {
    fn drop(&mut self) {
        // A finished one has another name by now. What stays after a crash is removed when the
        // store is opened.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

/// Reads a finished manifest, entry by entry. After an error it ends.
pub struct ManifestReader {
    path: PathBuf,
    file: BufReader<File>,
    binding: Binding,
    frame: Zeroizing<Vec<u8>>,
    at: usize,
    number: u64,
    previous: Option<ObjectKey>,
    state: State,
}

enum State {
    MoreFrames,
    LastFrame,
    Ended,
}

impl fmt::Debug for ManifestReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestReader")
            .field("frame", &self.number)
            .finish_non_exhaustive()
    }
}

impl ManifestReader {
    pub(crate) fn open(
        path: &Path,
        sealer: Arc<Sealer>,
        connection: ConnectionId,
        deletion: DeletionId,
        bucket: &BucketName,
    ) -> Result<Self, ManifestError> {
        let file = open_private_file(path).map_err(|error| {
            if error.is_absent() {
                ManifestError::Absent
            } else {
                error.into()
            }
        })?;
        let mut reader = Self {
            path: path.to_owned(),
            file: BufReader::new(file),
            binding: Binding {
                sealer,
                connection,
                deletion,
                bucket: bucket.clone(),
                id: [0; ID_LEN],
            },
            frame: Zeroizing::new(Vec::new()),
            at: 0,
            number: 0,
            previous: None,
            state: State::MoreFrames,
        };
        let mut magic = [0; MAGIC.len()];
        reader.read(&mut magic)?;
        if magic != *MAGIC {
            return Err(ManifestError::Damaged);
        }
        let mut id = [0; ID_LEN];
        reader.read(&mut id)?;
        reader.binding.id = id;
        Ok(reader)
    }

    fn read(&mut self, out: &mut [u8]) -> Result<(), ManifestError> {
        self.file
            .read_exact(out)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => ManifestError::Damaged,
                _ => PathError::Io {
                    action: "read",
                    path: self.path.clone(),
                    source,
                }
                .into(),
            })
    }

    fn read_frame(&mut self) -> Result<(), ManifestError> {
        let mut head = [0; 5];
        self.read(&mut head)?;
        let [last, len @ ..] = head;
        let len = u32::from_be_bytes(len) as usize;
        if last > 1 || len > LONGEST_FRAME {
            return Err(ManifestError::Damaged);
        }
        let mut sealed = vec![0; len];
        self.read(&mut sealed)?;
        self.frame = self
            .binding
            .with(self.number, last == 1, |sealer, place| {
                sealer.open(place, &sealed)
            })
            .map_err(|_| ManifestError::Damaged)?;
        self.at = 0;
        self.number += 1;
        if last == 1 {
            self.state = State::LastFrame;
            // Nothing may follow it.
            if !matches!(self.read(&mut [0]), Err(ManifestError::Damaged)) {
                return Err(ManifestError::Damaged);
            }
        }
        Ok(())
    }

    fn entry(&mut self) -> Result<Option<Entry>, ManifestError> {
        while self.at == self.frame.len() {
            match self.state {
                State::MoreFrames => self.read_frame()?,
                State::LastFrame | State::Ended => return Ok(None),
            }
        }
        let mut rest = &self.frame[self.at..];
        let entry = Entry::decode(&mut rest)
            .ok()
            .flatten()
            .ok_or(ManifestError::Damaged)?;
        self.at = self.frame.len() - rest.len();
        if grows(&mut self.previous, &entry.key) {
            Ok(Some(entry))
        } else {
            Err(ManifestError::NotInOrder)
        }
    }
}

impl Iterator for ManifestReader {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if matches!(self.state, State::Ended) {
            return None;
        }
        let entry = self.entry().transpose();
        if !matches!(entry, Some(Ok(_))) {
            self.state = State::Ended;
        }
        entry
    }
}
