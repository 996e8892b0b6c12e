//! The file for `--receipt`: taken before the deletion starts, so that it can't turn out
//! unwritable afterwards. It must never overwrite anything.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::error::{Error, Kind};

/// A new, empty file with mode 0600. Dropped unwritten, it is removed.
#[derive(Debug)]
pub(crate) struct ReceiptFile {
    path: PathBuf,
    file: File,
    keep: bool,
}

impl ReceiptFile {
    /// Makes the file.
    pub(crate) fn reserve(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| refusal(path, &error))?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
            keep: false,
        })
    }

    /// Writes the receipt durably and says where.
    pub(crate) fn write(mut self, json: &str) -> Result<String, Error> {
        self.file
            .write_all(json.trim_end().as_bytes())
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| self.file.sync_all())
            .map_err(|error| {
                Error::new(
                    Kind::Failed,
                    format!(
                        "the connection is deleted, but the receipt could not be written to {}: {error}",
                        self.path.display()
                    ),
                )
            })?;
        self.keep = true;
        Ok(self.path.display().to_string())
    }
}

impl Drop for ReceiptFile {
    fn drop(&mut self) {
        if !self.keep {
            // Best effort: an empty file does no harm.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

fn refusal(path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    if error.kind() == io::ErrorKind::AlreadyExists {
        Error::new(
            Kind::Refused,
            format!("{shown} exists already and is not overwritten; nothing was deleted"),
        )
        .next("choose a new file for --receipt")
    } else {
        Error::new(
            Kind::Failed,
            format!("the receipt can't be written to {shown}: {error}; nothing was deleted"),
        )
        .next("choose a folder that you may write to")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_receipt_is_private_and_never_overwrites() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("receipt.json");
        ReceiptFile::reserve(&path).unwrap().write("{}").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let error = ReceiptFile::reserve(&path).unwrap_err();
        assert_eq!(error.kind, Kind::Refused);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n");
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("target"), &path).unwrap();
        assert_eq!(ReceiptFile::reserve(&path).unwrap_err().kind, Kind::Refused);
        assert!(!dir.path().join("target").exists());
    }

    #[test]
    fn an_unwritable_place_is_found_out_beforehand_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let error = ReceiptFile::reserve(&dir.path().join("no/such/dir")).unwrap_err();
        assert!(error.message.contains("nothing was deleted"));
        let path = dir.path().join("receipt.json");
        drop(ReceiptFile::reserve(&path).unwrap());
        assert!(!path.exists());
    }
}
