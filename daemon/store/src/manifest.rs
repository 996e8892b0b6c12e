//! Manifests: what a survey listed, kept until the two are compared.
//!
//! A manifest is a file of sealed frames. The first holds a note of who began it, each of the
//! others one stretch of the listing, in whatever order they came, so an unfinished manifest tells
//! which stretches are still missing, and a listing that broke off goes on there. The last frame
//! holds the figures and where each stretch stands.
//!
//! The associated data binds each frame to its connection, deletion, bucket and round, to a random
//! id of this one writing, to its number and to its kind; so a frame that is cut off, moved,
//! repeated or taken from elsewhere does not go unnoticed. Neither side holds more than one stretch
//! in memory, and a few bytes for each of the others.

use std::{
    cmp::Ordering,
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest;
use bascule_domain::{
    ids::{ConnectionId, DeletionId},
    manifest::{Entry, Gap, Item, Stretch, gaps},
    names::BucketName,
    survey::{Digest, Round},
};
use bascule_os::{
    PathError, check_private_file, create_private_file, open_private_file, remove_file,
    replace_file,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    error::ManifestError,
    seal::{OVERHEAD, Sealer, random},
    seam,
};

const MAGIC: &[u8; 8] = b"BSCMANI\x02";
const ID_LEN: usize = 16;
const HEADER: u64 = (MAGIC.len() + ID_LEN) as u64;
/// Kind and length before each frame.
const FRAME_HEAD: usize = 5;
/// Place and number of the last frame, at the end of the file.
const TRAILER: usize = 16;
/// All versions of one key are in one stretch, which is why it may be so long.
const LONGEST_FRAME: usize = (128 << 20) + OVERHEAD;
/// After so many stretches the file is made durable.
const DURABLE_AFTER: u64 = 64;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Beginning = 0,
    Stretch = 1,
    Uploads = 2,
    End = 3,
}

impl Kind {
    const fn of(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Beginning),
            1 => Some(Self::Stretch),
            2 => Some(Self::Uploads),
            3 => Some(Self::End),
            _ => None,
        }
    }
}

/// Whose manifest it is.
#[derive(Debug, Clone)]
pub(crate) struct Whose {
    pub(crate) connection: ConnectionId,
    pub(crate) deletion: DeletionId,
    pub(crate) bucket: BucketName,
    pub(crate) round: Round,
}

/// What a finished manifest comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// SHA-256 over the encoded entries, in order.
    pub digest: Digest,
    /// Current objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Versions, current ones included.
    pub versions: u64,
    /// Delete markers.
    pub markers: u64,
    /// Multipart uploads that are under way.
    pub uploads: u64,
    /// Objects and versions without an ETag.
    pub without_etag: u64,
}

/// Which stretches a finished manifest must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wholeness {
    /// All, without a gap.
    Whole,
    /// Some.
    Parts,
}

#[derive(Serialize, Deserialize)]
struct End {
    manifest: Manifest,
    /// Place and number of each stretch, in order; the uploads are the last.
    frames: Vec<(u64, u64)>,
}

/// What every frame of one manifest is bound to.
struct Binding {
    sealer: Arc<Sealer>,
    whose: Whose,
    id: [u8; ID_LEN],
}

impl Binding {
    fn with<T>(&self, number: u64, kind: Kind, act: impl FnOnce(&Sealer, &[&[u8]]) -> T) -> T {
        let place: [&[u8]; 8] = [
            b"manifest",
            self.whose.connection.as_bytes(),
            self.whose.deletion.as_bytes(),
            self.whose.bucket.as_str().as_bytes(),
            &[self.whose.round as u8],
            &self.id,
            &number.to_be_bytes(),
            &[kind as u8],
        ];
        act(&self.sealer, &place)
    }
}

/// Reads frames, each where it is said to be.
struct Frames {
    path: PathBuf,
    file: File,
    binding: Binding,
}

impl Frames {
    fn failed(&self, action: &'static str, source: io::Error) -> ManifestError {
        PathError::Io {
            action,
            path: self.path.clone(),
            source,
        }
        .into()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<(), ManifestError> {
        let read = seam::call(|| self.file.read_exact(out));
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ManifestError::Damaged,
            _ => self.failed("read", error),
        })
    }

    fn seek(&mut self, to: SeekFrom) -> Result<u64, ManifestError> {
        let sought = self.file.seek(to);
        sought.map_err(|error| self.failed("read", error))
    }

    /// Reads magic and id.
    fn begin(&mut self) -> Result<(), ManifestError> {
        let mut magic = [0; MAGIC.len()];
        self.read(&mut magic)?;
        if magic != *MAGIC {
            return Err(ManifestError::Damaged);
        }
        let mut id = [0; ID_LEN];
        self.read(&mut id)?;
        self.binding.id = id;
        Ok(())
    }

    /// The frame at the file's position, and its kind.
    fn next(&mut self, number: u64) -> Result<(Kind, Zeroizing<Vec<u8>>), ManifestError> {
        let mut head = [0; FRAME_HEAD];
        self.read(&mut head)?;
        let [kind, len @ ..] = head;
        let kind = Kind::of(kind).ok_or(ManifestError::Damaged)?;
        let len = u32::from_be_bytes(len) as usize;
        if len > LONGEST_FRAME {
            return Err(ManifestError::Damaged);
        }
        let mut sealed = Vec::new();
        // A length that lies asks for no more memory than there is file.
        let taken = seam::call(|| (&mut self.file).take(len as u64).read_to_end(&mut sealed));
        taken.map_err(|error| self.failed("read", error))?;
        if sealed.len() != len {
            return Err(ManifestError::Damaged);
        }
        let opened = self
            .binding
            .with(number, kind, |sealer, place| sealer.open(place, &sealed));
        let plain = opened.map_err(|_| ManifestError::Damaged)?;
        Ok((kind, plain))
    }

    fn stretch(&mut self, number: u64, at: u64) -> Result<(Kind, Stretch), ManifestError> {
        self.seek(SeekFrom::Start(at))?;
        let (kind, plain) = self.next(number)?;
        let stretch = Stretch::unpack(&plain).map_err(|_| ManifestError::Damaged)?;
        Ok((kind, stretch))
    }
}

/// A stretch that was written.
struct Placed {
    gap: Gap,
    at: u64,
    number: u64,
}

/// Writes a manifest. Dropped before it is finished, it can be gone on with.
pub struct ManifestWriter {
    path: PathBuf,
    frames: Frames,
    beginning: Option<Vec<u8>>,
    placed: Vec<Placed>,
    /// Of the next frame.
    number: u64,
    end: u64,
    plain: Zeroizing<Vec<u8>>,
    objects: u64,
    bytes: u64,
}

impl fmt::Debug for ManifestWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestWriter")
            .field("stretches", &self.placed.len())
            .finish_non_exhaustive()
    }
}

impl ManifestWriter {
    /// Goes on with an unfinished manifest, as far as it can be read, or begins one.
    pub(crate) fn open(
        path: PathBuf,
        sealer: Arc<Sealer>,
        whose: Whose,
    ) -> Result<Self, ManifestError> {
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".new");
        let unfinished = PathBuf::from(unfinished);
        let file = match check_private_file(&unfinished) {
            Ok(_) => OpenOptions::new()
                .read(true)
                .write(true)
                .open(&unfinished)
                .map_err(|source| PathError::Io {
                    action: "open",
                    path: unfinished.clone(),
                    source,
                })?,
            Err(error) if error.is_absent() => {
                seam::change(&unfinished, || create_private_file(&unfinished))?
            }
            Err(error) => return Err(error.into()),
        };
        let mut writer = Self {
            path,
            frames: Frames {
                path: unfinished,
                file,
                binding: Binding {
                    sealer,
                    whose,
                    id: [0; ID_LEN],
                },
            },
            beginning: None,
            placed: Vec::new(),
            number: 0,
            end: HEADER,
            plain: Zeroizing::new(Vec::new()),
            objects: 0,
            bytes: 0,
        };
        match writer.recover() {
            Ok(()) | Err(ManifestError::Damaged) => {}
            Err(error) => return Err(error),
        }
        Ok(writer)
    }

    /// Takes what is whole; what a crash left behind it is overwritten.
    fn recover(&mut self) -> Result<(), ManifestError> {
        self.frames.begin()?;
        loop {
            let at = self.end;
            let (kind, plain) = self.frames.next(self.number)?;
            match kind {
                Kind::Beginning if self.number == 0 => self.beginning = Some(plain.to_vec()),
                Kind::Stretch if self.number > 0 => {
                    let stretch = Stretch::unpack(&plain).map_err(|_| ManifestError::Damaged)?;
                    self.count(&stretch);
                    self.placed.push(Placed {
                        gap: stretch.gap,
                        at,
                        number: self.number,
                    });
                }
                // It was about to be finished: that is done again.
                _ => return Err(ManifestError::Damaged),
            }
            self.number += 1;
            self.end = self.frames.seek(SeekFrom::Current(0))?;
        }
    }

    fn count(&mut self, stretch: &Stretch) {
        self.objects += stretch.objects;
        self.bytes = self.bytes.saturating_add(stretch.bytes);
    }

    /// What was noted when it was begun; `None` when it was not.
    #[must_use]
    pub fn beginning(&self) -> Option<&[u8]> {
        self.beginning.as_deref()
    }

    /// Begins it anew, with a note. Whatever it held is gone.
    pub fn begin(&mut self, note: &[u8]) -> Result<(), ManifestError> {
        let id = *random::<ID_LEN>().map_err(|_| ManifestError::Cryptography)?;
        let truncated = seam::call(|| self.frames.file.set_len(0));
        truncated.map_err(|error| self.frames.failed("truncate", error))?;
        self.frames.binding.id = id;
        self.placed.clear();
        (self.number, self.end) = (0, HEADER);
        (self.objects, self.bytes) = (0, 0);
        self.frames.seek(SeekFrom::Start(0))?;
        self.write(&[&MAGIC[..], &id].concat())?;
        self.plain.clear();
        self.plain.extend_from_slice(note);
        self.write_frame(Kind::Beginning)?;
        self.beginning = Some(note.to_vec());
        Ok(())
    }

    /// What is still to be listed.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        gaps(self.placed.iter().map(|placed| placed.gap.clone()))
    }

    /// Objects and bytes so far.
    #[must_use]
    pub const fn listed(&self) -> (u64, u64) {
        (self.objects, self.bytes)
    }

    /// Takes a stretch that lies in one of the gaps.
    pub fn push(&mut self, stretch: &Stretch) -> Result<(), ManifestError> {
        let at = self.end;
        let number = self.number;
        self.plain.clear();
        stretch.pack(&mut self.plain);
        self.write_frame(Kind::Stretch)?;
        self.count(stretch);
        self.placed.push(Placed {
            gap: stretch.gap.clone(),
            at,
            number,
        });
        if number.is_multiple_of(DURABLE_AFTER) {
            self.sync()?;
        }
        Ok(())
    }

    /// Takes the uploads, brings the stretches in order and makes the manifest durable. Only now
    /// it replaces the one before.
    pub fn finish(
        mut self,
        uploads: Vec<Entry>,
        wholeness: Wholeness,
    ) -> Result<Manifest, ManifestError> {
        self.placed.sort_by(|a, b| a.gap.after.cmp(&b.gap.after));
        let joins = |pair: &[Placed]| match wholeness {
            Wholeness::Whole => pair[0].gap.until == pair[1].gap.after,
            Wholeness::Parts => {
                pair[0].gap.until.is_some() && pair[0].gap.until <= pair[1].gap.after
            }
        };
        let whole = wholeness == Wholeness::Parts || self.gaps().is_empty();
        if !whole || !self.placed.windows(2).all(joins) {
            return Err(ManifestError::NotInOrder);
        }
        let uploads_at = (self.end, self.number);
        self.plain.clear();
        let uploads = Stretch {
            entries: uploads,
            ..Stretch::default()
        };
        uploads.pack(&mut self.plain);
        self.write_frame(Kind::Uploads)?;
        let stretches = self.placed.iter().map(|placed| (placed.at, placed.number));
        let frames: Vec<_> = stretches.chain([uploads_at]).collect();
        let manifest = self.total(&frames)?;
        let end = End { manifest, frames };
        self.plain.clear();
        serde_json::to_writer(&mut *self.plain, &end).map_err(|_| ManifestError::Damaged)?;
        let trailer = [self.end.to_be_bytes(), self.number.to_be_bytes()].concat();
        self.write_frame(Kind::End)?;
        self.write(&trailer)?;
        // What a crash had left behind it.
        let length = self.end + trailer.len() as u64;
        let truncated = seam::call(|| self.frames.file.set_len(length));
        truncated.map_err(|error| self.frames.failed("truncate", error))?;
        self.sync()?;
        seam::change(&self.path, || replace_file(&self.frames.path, &self.path))?;
        Ok(manifest)
    }

    /// Reads all stretches in order, and adds up.
    fn total(&mut self, frames: &[(u64, u64)]) -> Result<Manifest, ManifestError> {
        let mut totals = Totals::default();
        for (at, number) in frames {
            let (_, stretch) = self.frames.stretch(*number, *at)?;
            totals.take(&stretch)?;
        }
        Ok(totals.manifest())
    }

    fn sync(&mut self) -> Result<(), ManifestError> {
        let synced = seam::call(|| self.frames.file.sync_all());
        synced.map_err(|error| self.frames.failed("write", error))
    }

    fn write_frame(&mut self, kind: Kind) -> Result<(), ManifestError> {
        let sealed = self
            .frames
            .binding
            .with(self.number, kind, |sealer, place| {
                sealer.seal(place, &self.plain)
            })
            .map_err(|_| ManifestError::Cryptography)?;
        if sealed.len() > LONGEST_FRAME {
            return Err(ManifestError::TooLong);
        }
        self.frames.seek(SeekFrom::Start(self.end))?;
        let mut head = [kind as u8, 0, 0, 0, 0];
        head[1..].copy_from_slice(&(sealed.len() as u32).to_be_bytes());
        self.write(&[&head[..], &sealed].concat())?;
        self.number += 1;
        self.end += (FRAME_HEAD + sealed.len()) as u64;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ManifestError> {
        let written = seam::write_all(&self.frames.file, bytes);
        written.map_err(|error| self.frames.failed("write", error))
    }

    /// Removes what is unfinished.
    pub fn discard(self) -> Result<(), ManifestError> {
        Ok(remove_file(&self.frames.path)?)
    }
}

/// Adds up a manifest, entry by entry, and checks the order.
struct Totals {
    digest: digest::Context,
    encoded: Vec<u8>,
    last: Option<Entry>,
    manifest: Manifest,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            digest: digest::Context::new(&digest::SHA256),
            encoded: Vec::new(),
            last: None,
            manifest: Manifest {
                digest: Digest([0; 32]),
                objects: 0,
                bytes: 0,
                versions: 0,
                markers: 0,
                uploads: 0,
                without_etag: 0,
            },
        }
    }
}

impl Totals {
    fn take(&mut self, stretch: &Stretch) -> Result<(), ManifestError> {
        let total = &mut self.manifest;
        total.objects += stretch.objects;
        total.bytes = total.bytes.saturating_add(stretch.bytes);
        self.encoded.clear();
        let mut last = self.last.as_ref();
        for entry in &stretch.entries {
            if last.is_some_and(|last| last.place(entry) != Ordering::Less) {
                return Err(ManifestError::NotInOrder);
            }
            last = Some(entry);
            entry.encode(&mut self.encoded);
            match entry.item {
                Item::Object => {}
                Item::Version(_) => total.versions += 1,
                Item::Marker(_) => total.markers += 1,
                Item::Upload(_) => total.uploads += 1,
            }
            let has_etag = matches!(entry.item, Item::Object | Item::Version(_));
            total.without_etag += u64::from(has_etag && entry.etag.is_empty());
        }
        self.last = last.cloned();
        self.digest.update(&self.encoded);
        Ok(())
    }

    fn manifest(self) -> Manifest {
        let mut digest = [0; 32];
        digest.copy_from_slice(self.digest.finish().as_ref());
        Manifest {
            digest: Digest(digest),
            ..self.manifest
        }
    }
}

/// Reads a finished manifest, entry by entry. After an error it ends.
pub struct ManifestReader {
    frames: Frames,
    beginning: Vec<u8>,
    end: End,
    at: usize,
    entries: std::vec::IntoIter<Entry>,
    last: Option<Entry>,
    failed: bool,
}

impl fmt::Debug for ManifestReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestReader")
            .field("stretch", &self.at)
            .finish_non_exhaustive()
    }
}

impl ManifestReader {
    pub(crate) fn open(
        path: &Path,
        sealer: Arc<Sealer>,
        whose: Whose,
    ) -> Result<Self, ManifestError> {
        let opened = seam::change(path, || open_private_file(path));
        let file = opened.map_err(|error| {
            if error.is_absent() {
                ManifestError::Absent
            } else {
                error.into()
            }
        })?;
        let mut frames = Frames {
            path: path.to_owned(),
            file,
            binding: Binding {
                sealer,
                whose,
                id: [0; ID_LEN],
            },
        };
        frames.begin()?;
        let (kind, beginning) = frames.next(0)?;
        let length = frames.seek(SeekFrom::End(0))?;
        let trailer_at = length.checked_sub(TRAILER as u64);
        let trailer_at = trailer_at.ok_or(ManifestError::Damaged)?;
        frames.seek(SeekFrom::Start(trailer_at))?;
        let (mut at, mut number) = ([0; 8], [0; 8]);
        frames.read(&mut at)?;
        frames.read(&mut number)?;
        let at = u64::from_be_bytes(at);
        // What is no trailer names places that no file has.
        if at >= trailer_at {
            return Err(ManifestError::Damaged);
        }
        frames.seek(SeekFrom::Start(at))?;
        let (last, end) = frames.next(u64::from_be_bytes(number))?;
        let ends_there = frames.seek(SeekFrom::Current(0))? == trailer_at;
        if kind != Kind::Beginning || last != Kind::End || !ends_there {
            return Err(ManifestError::Damaged);
        }
        let end: End = serde_json::from_slice(&end).map_err(|_| ManifestError::Damaged)?;
        // Every frame that was written stands in it, and nothing else does.
        let placed = end.frames.len() as u64 + 1;
        if u64::from_be_bytes(number) != placed {
            return Err(ManifestError::Damaged);
        }
        Ok(Self {
            frames,
            beginning: beginning.to_vec(),
            end,
            at: 0,
            entries: Vec::new().into_iter(),
            last: None,
            failed: false,
        })
    }

    /// What was noted when it was begun.
    #[must_use]
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// What it comes to.
    #[must_use]
    pub const fn manifest(&self) -> Manifest {
        self.end.manifest
    }

    /// Where its stretches lie, in order. It has to be asked before the first entry.
    pub fn gaps(&mut self) -> Result<Vec<Gap>, ManifestError> {
        let stretches = self
            .end
            .frames
            .split_last()
            .map_or(&[][..], |(_, rest)| rest);
        let mut found = Vec::new();
        for (at, number) in stretches {
            found.push(self.frames.stretch(*number, *at)?.1.gap);
        }
        Ok(found)
    }

    fn entry(&mut self) -> Result<Option<Entry>, ManifestError> {
        loop {
            if let Some(entry) = self.entries.next() {
                let ordered = self
                    .last
                    .as_ref()
                    .is_none_or(|last| last.place(&entry) == Ordering::Less);
                if !ordered {
                    return Err(ManifestError::NotInOrder);
                }
                self.last = Some(entry.clone());
                return Ok(Some(entry));
            }
            let Some((at, number)) = self.end.frames.get(self.at).copied() else {
                return Ok(None);
            };
            let (kind, stretch) = self.frames.stretch(number, at)?;
            self.at += 1;
            let is_last = self.at == self.end.frames.len();
            if (kind == Kind::Uploads) != is_last {
                return Err(ManifestError::Damaged);
            }
            self.entries = stretch.entries.into_iter();
        }
    }
}

impl Iterator for ManifestReader {
    type Item = Result<Entry, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.entry().transpose();
        self.failed = matches!(entry, Some(Err(_)));
        entry
    }
}
