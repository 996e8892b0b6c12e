//! Private folders.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use crate::path_error::{PathError, check_private};

/// Makes sure that the folder exists, is ours, and is closed to others. What is missing is created
/// with mode 0700 whatever the umask is; what exists is checked and never changed.
///
/// A symbolic link, anything but a folder, another owner and a mode wider than 0700 are refused.
pub fn private_dir(path: &Path) -> Result<(), PathError> {
    match fs::symlink_metadata(path) {
        Ok(_) => return check_dir(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(PathError::io("examine", path)(error)),
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        // A parent that exists may be anybody's: a home folder is rarely 0700.
        if !parent.is_dir() {
            private_dir(parent)?;
        }
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            fs::set_permissions(path, Permissions::from_mode(0o700))
                .map_err(PathError::io("set the mode of", path))?;
            if let Some(parent) = path
                .parent()
                .filter(|parent| !parent.as_os_str().is_empty())
            {
                sync_dir(parent)?;
            }
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(PathError::io("create", path)(error)),
    }
    check_dir(path)
}

/// Whether [`private_dir`] would find the folder fit for use, or could make it. It changes nothing.
pub fn look_at_private_dir(path: &Path) -> Result<(), PathError> {
    use rustix::fs::Access;
    let may = |folder: &Path, access| {
        rustix::fs::access(folder, access)
            .map_err(|errno| PathError::io("write to", folder)(errno.into()))
    };
    match fs::symlink_metadata(path) {
        Ok(_) => {
            check_dir(path)?;
            return may(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(PathError::io("examine", path)(error)),
    }
    match path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        None => may(Path::new("."), Access::WRITE_OK | Access::EXEC_OK),
        Some(parent) if parent.is_dir() => may(parent, Access::WRITE_OK | Access::EXEC_OK),
        Some(parent) => look_at_private_dir(parent),
    }
}

fn check_dir(path: &Path) -> Result<(), PathError> {
    let metadata = fs::symlink_metadata(path).map_err(PathError::io("examine", path))?;
    if metadata.is_symlink() {
        return Err(PathError::Symlink {
            path: path.to_owned(),
        });
    }
    if !metadata.is_dir() {
        return Err(PathError::NotAFolder {
            path: path.to_owned(),
        });
    }
    check_private(path, &metadata, 0o700)
}

/// Makes renames, creations and removals in the folder durable.
pub fn sync_dir(path: &Path) -> Result<(), PathError> {
    let folder = File::open(path).map_err(PathError::io("open", path))?;
    // Not every file system knows the full flush of macOS for folders; `fsync` then remains.
    folder
        .sync_all()
        .or_else(|_| rustix::fs::fsync(&folder).map_err(io::Error::from))
        .map_err(PathError::io("flush", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_missing_folder_is_created_with_its_parents_and_closed_to_others() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b/c");
        private_dir(&path).unwrap();
        private_dir(&path).unwrap();
        for folder in ["a", "a/b", "a/b/c"] {
            assert_eq!(mode(&temp.path().join(folder)), 0o700, "{folder}");
        }
    }

    #[test]
    fn a_look_finds_what_making_it_would_and_makes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("a/b/c");
        look_at_private_dir(&path).unwrap();
        assert!(!temp.path().join("a").exists());
        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("state"), file.join("a/b")] {
            assert!(look_at_private_dir(&path).is_err(), "{}", path.display());
            assert!(private_dir(&path).is_err(), "{}", path.display());
        }
        private_dir(&path).unwrap();
        look_at_private_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(look_at_private_dir(&path).is_err());
    }

    #[test]
    fn each_unfit_folder_has_its_own_refusal_and_stays_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let open = temp.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o750)).unwrap();
        let error = private_dir(&open).unwrap_err();
        assert!(
            matches!(error, PathError::TooOpen { mode: 0o750, .. }),
            "{error}"
        );
        assert!(
            error
                .to_string()
                .contains(&format!("chmod 700 {}", open.display())),
            "{error}"
        );
        assert_eq!(mode(&open), 0o750);

        let link = temp.path().join("link");
        symlink(&open, &link).unwrap();
        assert!(matches!(private_dir(&link), Err(PathError::Symlink { .. })));

        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(
            private_dir(&file),
            Err(PathError::NotAFolder { .. })
        ));
        assert!(private_dir(&file.join("below")).is_err());
    }

    #[test]
    fn a_folder_of_another_user_is_refused() {
        if crate::effective_uid() == 0 {
            eprintln!("skipped: run by root, who owns the root folder");
            return;
        }
        assert!(matches!(
            private_dir(Path::new("/")),
            Err(PathError::Foreign { owner: 0, .. })
        ));
    }
}
