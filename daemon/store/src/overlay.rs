//! A storage that reads a file and keeps all changes in memory, to find out whether a store opens
//! without touching it.

use std::{
    collections::BTreeMap,
    io,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use redb::{BackendError, StorageBackend, backends::FileBackend};

const PAGE: u64 = 4096;

/// The file below, and the changes above it.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: FileBackend,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    len: u64,
    /// Up to here the file shows through; never grows, because what was cut off reads as zeros.
    visible: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl Overlay {
    pub(crate) fn new(file: FileBackend) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self {
            file,
            changes: Mutex::new(Changes {
                len,
                visible: len,
                pages: BTreeMap::new(),
            }),
        })
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    /// Reads a part of one page.
    fn read(&self, file: &FileBackend, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = (offset % PAGE) as usize;
        if let Some(page) = self.pages.get(&(offset / PAGE)) {
            out.copy_from_slice(&page[at..at + out.len()]);
            return Ok(());
        }
        let shown = self.visible.saturating_sub(offset).min(out.len() as u64) as usize;
        let (below, beyond) = out.split_at_mut(shown);
        beyond.fill(0);
        if below.is_empty() {
            Ok(())
        } else {
            file.read(offset, below)
        }
    }
}

/// Parts of a range, each within one page: offset, and where it lies in the range.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let size = ((PAGE - at % PAGE) as usize).min(len - done);
        let range = done..done + size;
        done += size;
        (size > 0).then_some((at, range))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changes().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let changes = self.changes();
        if offset
            .checked_add(out.len() as u64)
            .is_none_or(|end| end > changes.len)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (at, range) in parts(offset, out.len()) {
            changes.read(&self.file, at, &mut out[range])?;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut changes = self.changes();
        if len < changes.len {
            changes.visible = changes.visible.min(len);
            changes.pages.split_off(&len.div_ceil(PAGE));
            if let Some(page) = changes.pages.get_mut(&(len / PAGE)) {
                page[(len % PAGE) as usize..].fill(0);
            }
        }
        changes.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut changes = self.changes();
        if offset
            .checked_add(data.len() as u64)
            .is_none_or(|end| end > changes.len)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (at, range) in parts(offset, data.len()) {
            let number = at / PAGE;
            if !changes.pages.contains_key(&number) {
                let mut page = Box::new([0; PAGE as usize]);
                changes.read(&self.file, number * PAGE, &mut page[..])?;
                changes.pages.insert(number, page);
            }
            if let Some(page) = changes.pages.get_mut(&number) {
                let start = (at % PAGE) as usize;
                page[start..start + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // Locks are the file's own, so that a store open elsewhere is noticed.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn changes_are_seen_through_the_overlay_and_never_in_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("file");
        let original: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &original).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let overlay = Overlay::new(FileBackend::new(file).unwrap()).unwrap();
        let mut model = original.clone();

        overlay.write(4090, &[255; 5000]).unwrap();
        model[4090..9090].fill(255);
        overlay.set_len(4500).unwrap();
        model.truncate(4500);
        overlay.set_len(20_000).unwrap();
        model.resize(20_000, 0);
        overlay.write(15_000, b"end").unwrap();
        model[15_000..15_003].copy_from_slice(b"end");

        let mut seen = vec![1; 20_000];
        overlay.read(0, &mut seen).unwrap();
        assert!(seen == model);
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
        assert!(overlay.write(u64::MAX, &[0]).is_err());
        assert!(std::fs::read(&path).unwrap() == original);
    }
}
