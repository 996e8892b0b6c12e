//! The calls of the disk for files beside the database: keys that are destroyed, and manifests. Tests let
//! each of them fail; elsewhere it is the call and nothing more.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use bascule_os::PathError;

/// A call that fails before it has done anything.
pub(crate) fn call<T>(act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    point()?;
    act()
}

/// A write. A disk that is full has taken a part of it.
pub(crate) fn write_all(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    if let Err(error) = point() {
        file.write_all(&bytes[..bytes.len() / 2])?;
        return Err(error);
    }
    file.write_all(bytes)
}

/// A change of a folder. It may also fail when it is done, and only not durable.
pub(crate) fn change<T>(
    path: &Path,
    act: impl FnOnce() -> Result<T, PathError>,
) -> Result<T, PathError> {
    let failed = |source| PathError::Io {
        action: "change",
        path: path.to_owned(),
        source,
    };
    point().map_err(failed)?;
    let done = act()?;
    point().map_err(failed)?;
    Ok(done)
}

#[cfg(not(test))]
const fn point() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) use tests::fail_at;
#[cfg(test)]
use tests::point;

#[cfg(test)]
mod tests {
    use std::{cell::Cell, io};

    thread_local! {
        /// How many more calls go well, and what the rest fail with.
        static HEALTHY: Cell<Option<(u32, i32)>> = const { Cell::new(None) };
    }

    pub(super) fn point() -> io::Result<()> {
        match HEALTHY.get() {
            None => Ok(()),
            Some((0, errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some((left, errno)) => {
                HEALTHY.set(Some((left - 1, errno)));
                Ok(())
            }
        }
    }

    /// Runs something on a disk that fails from its call of this number on.
    pub(crate) fn fail_at<T>(call: u32, errno: i32, act: impl FnOnce() -> T) -> T {
        HEALTHY.set(Some((call, errno)));
        let done = act();
        HEALTHY.set(None);
        done
    }
}
