//! The folder on disk. Objects are plain files at `BUCKET/KEY`; what a file can't hold (ETag,
//! content type, user metadata) lies in records below `.bascule/`. New content is staged, synced
//! and renamed into place, so a file is either the old or the new object. Symbolic links are
//! never followed, and nothing here makes or removes a bucket's folder. Calls block.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use s3s::dto::ETagCondition;

use super::{
    Fault,
    keys::path_of,
    record::{Attributes, Record},
};

/// Holds everything that is not an object. No bucket name starts with a dot.
const RESERVED: &str = ".bascule";

/// A folder whose folders are buckets.
pub(crate) struct Folder {
    root: PathBuf,
    staged: AtomicU64,
    /// Held while files change places, so that conditions and records fit the object.
    places: Mutex<()>,
}

/// An object that was found.
pub(crate) struct Found {
    pub(crate) file: File,
    pub(crate) size: u64,
    /// In whole seconds, as HTTP states it.
    pub(crate) modified: SystemTime,
    pub(crate) etag: String,
    pub(crate) attributes: Attributes,
}

/// What must hold for a write to happen.
#[derive(Default)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<ETagCondition>,
    pub(crate) if_none_match: Option<ETagCondition>,
}

/// New content on its way to its place. Dropped, it is gone.
pub(crate) struct Stage {
    path: PathBuf,
    placed: bool,
}

impl Stage {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to its place on the same file system.
    pub(crate) fn place(mut self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)?;
        self.placed = true;
        Ok(())
    }

    /// The same for a place that must be free, also when others write into the folder meanwhile.
    fn place_new(self, to: &Path) -> Result<(), Fault> {
        match fs::hard_link(&self.path, to) {
            // The stage's own name goes when it is dropped.
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(Fault::Precondition),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
                ) =>
            {
                // A file system without links: what we write ourselves is excluded by the lock.
                Ok(self.place(to)?)
            }
            Err(error) => Err(Fault::Io(error)),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.placed {
            // What stays behind wastes room and is never read as an object.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Folder {
    pub(crate) const fn new(root: PathBuf) -> Self {
        Self {
            root,
            staged: AtomicU64::new(0),
            places: Mutex::new(()),
        }
    }

    /// The folder of a bucket that exists.
    pub(crate) fn bucket(&self, bucket: &str) -> Result<PathBuf, Fault> {
        if bucket.parse::<bascule_domain::names::BucketName>().is_err() {
            return Err(Fault::NoSuchBucket);
        }
        let path = self.root.join(bucket);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => Ok(path),
            Ok(_) => Err(Fault::NoSuchBucket),
            // Without the whole folder (a disk that is not mounted) nothing is known of a bucket.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.root.is_dir() => {
                Err(Fault::NoSuchBucket)
            }
            Err(error) => Err(Fault::Io(error)),
        }
    }

    /// The buckets and when their folders were made (or changed, where that is all that is known).
    pub(crate) fn buckets(&self) -> Result<Vec<(String, SystemTime)>, Fault> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            if !entry.file_type()?.is_dir()
                || name.parse::<bascule_domain::names::BucketName>().is_err()
            {
                continue;
            }
            let about = entry.metadata()?;
            found.push((name, about.created().or_else(|_| about.modified())?));
        }
        found.sort();
        Ok(found)
    }

    /// Opens an object for reading.
    pub(crate) fn open(&self, bucket: &str, key: &str) -> Result<Found, Fault> {
        let root = self.bucket(bucket)?;
        let relative = path_of(key)?;
        walk_down(&root, &relative, |_| Err(Fault::NoSuchKey))?;
        let path = root.join(relative);
        match path.symlink_metadata() {
            Ok(found) if found.is_file() => {}
            Ok(found) if found.is_symlink() => return Err(Fault::Link),
            Ok(_) => return Err(Fault::NoSuchKey),
            Err(error) => return Err(absent(error)),
        }
        let file = File::open(&path).map_err(absent)?;
        let about = file.metadata()?;
        let (etag, attributes) = self.described(bucket, key, &about)?;
        Ok(Found {
            file,
            size: about.len(),
            modified: seconds(about.modified()?),
            etag,
            attributes,
        })
    }

    /// ETag and attributes of a file, by its record if that still fits the file.
    pub(crate) fn described(
        &self,
        bucket: &str,
        key: &str,
        about: &fs::Metadata,
    ) -> Result<(String, Attributes), Fault> {
        match fs::read(self.record_path(bucket, key)) {
            Ok(bytes) => {
                if let Some(record) = Record::read(&bytes).filter(|record| record.fits(about)) {
                    return Ok((record.etag, record.attributes));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Fault::Io(error)),
        }
        Ok((foreign_etag(about), Attributes::default()))
    }

    /// A new, empty, private file to write to.
    pub(crate) fn stage(&self) -> Result<(Stage, File), Fault> {
        let place = self.reserved("staging")?;
        loop {
            let number = self.staged.fetch_add(1, Ordering::Relaxed);
            let path = place.join(format!("{}-{number}", std::process::id()));
            match OpenOptions::new()
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o644)
                .open(&path)
            {
                Ok(file) => {
                    return Ok((
                        Stage {
                            path,
                            placed: false,
                        },
                        file,
                    ));
                }
                // Left by an earlier process with this id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Fault::Io(error)),
            }
        }
    }

    /// Puts staged, synced content in an object's place. When this returns, it is durable.
    pub(crate) fn commit(
        &self,
        bucket: &str,
        key: &str,
        stage: Stage,
        etag: &str,
        attributes: Attributes,
        conditions: &Conditions,
    ) -> Result<SystemTime, Fault> {
        let about = fs::metadata(stage.path())?;
        let modified = seconds(about.modified()?);
        let record = Record::new(&about, etag.to_owned(), attributes);
        let record_path = self.record_path(bucket, key);
        let record_folder = parent(&record_path);
        make_folders(record_folder)?;
        let (record_stage, mut file) = self.stage()?;
        file.write_all(&record.bytes()?)?;
        file.sync_all()?;

        let root = self.bucket(bucket)?;
        let relative = path_of(key)?;
        let mut made_in = Vec::new();
        {
            let _held = self.places.lock().unwrap_or_else(PoisonError::into_inner);
            self.check(bucket, key, conditions)?;
            walk_down(&root, &relative, |missing| {
                fs::create_dir(missing)?;
                made_in.push(parent(missing).to_owned());
                Ok(())
            })?;
            let target = root.join(&relative);
            match target.symlink_metadata() {
                Ok(found) if found.is_symlink() => return Err(Fault::Link),
                Ok(found) if !found.is_file() => return Err(Fault::InTheWay),
                Ok(_) => check_spelling(&target)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Fault::Io(error)),
            }
            if conditions.if_none_match == Some(ETagCondition::Any) {
                stage.place_new(&target)?;
            } else {
                stage.place(&target)?;
            }
            record_stage.place(&record_path)?;
            made_in.push(parent(&target).to_owned());
        }
        made_in.push(record_folder.to_owned());
        for folder in made_in {
            sync_folder(&folder)?;
        }
        Ok(modified)
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) fn remove(
        &self,
        bucket: &str,
        key: &str,
        if_match: Option<ETagCondition>,
    ) -> Result<(), Fault> {
        let root = self.bucket(bucket)?;
        let relative = path_of(key)?;
        let conditions = Conditions {
            if_match,
            if_none_match: None,
        };
        let _held = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        self.check(bucket, key, &conditions)?;
        match walk_down(&root, &relative, |_| Err(Fault::NoSuchKey)) {
            Ok(()) => {}
            Err(Fault::NoSuchKey) => return Ok(()),
            Err(fault) => return Err(fault),
        }
        let target = root.join(&relative);
        match target.symlink_metadata() {
            Ok(found) if found.is_symlink() => return Err(Fault::Link),
            Ok(found) if found.is_file() => {}
            Ok(_) => return Ok(()),
            Err(error) if absent_kind(&error) => return Ok(()),
            Err(error) => return Err(Fault::Io(error)),
        }
        check_spelling(&target)?;
        fs::remove_file(&target)?;
        match fs::remove_file(self.record_path(bucket, key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Fault::Io(error)),
            _ => {}
        }
        // Folders that only held this object go too; `remove_dir` never removes a full one, and
        // the bucket's own folder stays.
        let mut folder = parent(&target);
        while folder != root && fs::remove_dir(folder).is_ok() {
            folder = parent(folder);
        }
        sync_folder(folder)?;
        Ok(())
    }

    fn check(&self, bucket: &str, key: &str, conditions: &Conditions) -> Result<(), Fault> {
        if conditions.if_match.is_none() && conditions.if_none_match.is_none() {
            return Ok(());
        }
        let current = match self.open(bucket, key) {
            Ok(found) => Some(found.etag),
            Err(Fault::NoSuchKey) => None,
            Err(fault) => return Err(fault),
        };
        let matches = |condition: &ETagCondition| match (&current, condition) {
            (None, _) => false,
            (Some(_), ETagCondition::Any) => true,
            (Some(etag), ETagCondition::ETag(wanted)) => wanted.as_strong() == Some(etag),
        };
        match (&conditions.if_match, &current) {
            (Some(_), None) => return Err(Fault::NoSuchKey),
            (Some(condition), Some(_)) if !matches(condition) => return Err(Fault::Precondition),
            _ => {}
        }
        if conditions.if_none_match.as_ref().is_some_and(matches) {
            return Err(Fault::Precondition);
        }
        Ok(())
    }

    /// A folder in the reserved part, made when it is missing.
    pub(crate) fn reserved(&self, name: &str) -> Result<PathBuf, Fault> {
        let path = self.reserved_path(name);
        make_folders(&path)?;
        Ok(path)
    }

    /// A folder in the reserved part, which may be missing.
    pub(crate) fn reserved_path(&self, name: &str) -> PathBuf {
        self.root.join(RESERVED).join(name)
    }

    fn record_path(&self, bucket: &str, key: &str) -> PathBuf {
        let name = HEXLOWER.encode(digest(&SHA256, key.as_bytes()).as_ref());
        let records = self.reserved_path("records").join(bucket);
        records.join(&name[..2]).join(&name)
    }
}

/// Looks at each folder on the way to an object: a link is refused, and a missing one is handed
/// to `missing`.
fn walk_down(
    root: &Path,
    relative: &Path,
    mut missing: impl FnMut(&Path) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut at = root.to_owned();
    for name in relative.parent().into_iter().flat_map(Path::iter) {
        at.push(name);
        match at.symlink_metadata() {
            Ok(found) if found.is_dir() => check_spelling(&at)?,
            Ok(found) if found.is_symlink() => return Err(Fault::Link),
            // Reading below a file finds nothing; writing below it can't be done.
            Ok(_) => {
                return missing(&at).map_err(|fault| match fault {
                    Fault::NoSuchKey => fault,
                    _ => Fault::InTheWay,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing(&at)?,
            Err(error) => return Err(Fault::Io(error)),
        }
    }
    Ok(())
}

/// Refuses a path that the file system takes for one of another spelling (upper and lower case,
/// Unicode forms): two keys would share a file.
fn check_spelling(path: &Path) -> Result<(), Fault> {
    if cfg!(target_os = "macos") && path.canonicalize()?.file_name() != path.file_name() {
        return Err(Fault::InTheWay);
    }
    Ok(())
}

fn make_folders(path: &Path) -> Result<(), Fault> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)?;
    // Its whole way may be new, and a record in a lost folder is a lost record.
    for folder in path.ancestors().skip(1).take(4) {
        sync_folder(folder)?;
    }
    Ok(())
}

pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Ok(folder) => folder.sync_all(),
        // Removed meanwhile, and so is what it would have kept.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> &Path {
    // Every path here has the folder's root above it.
    path.parent().unwrap_or(path)
}

fn absent_kind(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn absent(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fault::NoSuchKey,
        io::ErrorKind::InvalidFilename => Fault::KeyTooLong,
        _ => Fault::Io(error),
    }
}

fn seconds(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(since.as_secs())
}

/// The ETag of a file that was not written here: it changes whenever the file does. The dash
/// tells clients that it is no MD5.
fn foreign_etag(about: &fs::Metadata) -> String {
    let mut facts = Vec::with_capacity(40);
    for fact in [about.ino(), about.len()] {
        facts.extend_from_slice(&fact.to_be_bytes());
    }
    for fact in [about.mtime(), about.mtime_nsec()] {
        facts.extend_from_slice(&fact.to_be_bytes());
    }
    format!(
        "{}-0",
        HEXLOWER.encode(&digest(&SHA256, &facts).as_ref()[..16])
    )
}
