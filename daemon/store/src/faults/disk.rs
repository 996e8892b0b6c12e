//! The model of a disk: it fails on demand, and it knows which writes were not yet durable.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use redb::StorageBackend;

/// "Input/output error", on every system.
const EIO: i32 = 5;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(u64, Vec<u8>),
    Len(u64),
    Sync,
    /// Everything so far was acknowledged to the caller.
    Acknowledged,
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) content: Vec<u8>,
    pub(super) steps: Vec<Step>,
    /// How many more calls go well; none are limited while absent.
    pub(super) healthy: Option<u32>,
    /// How many more fsyncs go well, while everything else does; none are limited while absent.
    pub(super) syncs: Option<u32>,
}

#[derive(Debug, Clone)]
pub(super) struct Handle(Arc<Mutex<Disk>>);

impl Handle {
    pub(super) fn new(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            content,
            ..Disk::default()
        })))
    }

    /// What is on it, and how it behaves.
    pub(super) fn get(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Disk) -> T) -> io::Result<T> {
        let mut disk = self.0.lock().unwrap();
        match &mut disk.healthy {
            Some(0) => return Err(io::ErrorKind::StorageFull.into()),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(act(&mut disk))
    }
}

pub(super) fn apply(content: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(offset, data) => {
            let end = *offset as usize + data.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[*offset as usize..end].copy_from_slice(data);
        }
        Step::Len(len) => content.resize(*len as usize, 0),
        Step::Sync | Step::Acknowledged => {}
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.with(|disk| disk.content.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|disk| {
            let there = disk.content.get(offset as usize..);
            let there = there.and_then(|there| there.get(..out.len()));
            out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })?
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.step(Step::Len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        match &mut self.get().syncs {
            Some(0) => return Err(io::Error::from_raw_os_error(EIO)),
            Some(left) => *left -= 1,
            None => {}
        }
        self.step(Step::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step(Step::Write(offset, data.to_vec()))
    }
}

impl Handle {
    pub(super) fn step(&self, step: Step) -> io::Result<()> {
        self.with(|disk| {
            apply(&mut disk.content, &step);
            disk.steps.push(step);
        })
    }
}
