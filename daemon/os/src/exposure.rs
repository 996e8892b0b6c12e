//! What in a private folder is open to others. It looks at names and modes, opens no file, and changes
//! nothing.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Something that other users can reach, or that is another user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// What.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Its permission bits.
    pub mode: u32,
    /// Whose it is.
    pub owner: u32,
    /// Whether it is a link, which nothing here makes.
    pub is_link: bool,
}

impl Exposure {
    /// Whether it is another user's than this process's.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.owner != crate::effective_uid()
    }
}

/// Folders below folders: what is kept is not nested deeper.
const DEEPEST: usize = 4;

/// Everything in the folder, itself included, that anybody but this user can read, change or enter.
///
/// # Errors
/// If the folder can't be looked at; what vanishes meanwhile is passed over.
pub fn exposures(folder: &Path) -> io::Result<Vec<Exposure>> {
    exposures_of(folder, crate::effective_uid())
}

/// Likewise, of what is that user's: root looks at what the machine's daemon keeps.
///
/// # Errors
/// As of [`exposures`].
pub fn exposures_of(folder: &Path, owner: u32) -> io::Result<Vec<Exposure>> {
    let mut found = Vec::new();
    look(folder, owner, 0, &mut found)?;
    Ok(found)
}

fn look(path: &Path, owner: u32, depth: usize, found: &mut Vec<Exposure>) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && depth > 0 => return Ok(()),
        other => other?,
    };
    let exposure = Exposure {
        path: path.to_owned(),
        is_folder: metadata.is_dir(),
        mode: metadata.mode() & 0o7777,
        owner: metadata.uid(),
        is_link: metadata.is_symlink(),
    };
    let goes_on = exposure.is_folder && depth < DEEPEST;
    if exposure.is_link || exposure.owner != owner || exposure.mode & 0o077 != 0 {
        found.push(exposure);
    }
    if goes_on {
        for entry in fs::read_dir(path)? {
            look(&entry?.path(), owner, depth + 1, found)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_others_can_reach_is_named_and_nothing_else() {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let at = |name: &str| temp.path().join(name);
        let make = |name: &str, mode| {
            fs::write(at(name), "x").unwrap();
            fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        fs::create_dir(at("keys")).unwrap();
        fs::set_permissions(at("keys"), PermissionsExt::from_mode(0o700)).unwrap();
        make("good", 0o600);
        make("keys/good", 0o400);
        make("keys/open", 0o640);
        symlink("/etc/passwd", at("link")).unwrap();
        let found = exposures(temp.path()).unwrap();
        let mut names: Vec<_> = found.iter().map(|e| e.path.clone()).collect();
        names.sort();
        assert_eq!(names, [at("keys/open"), at("link")]);
        assert!(exposures(&at("nowhere")).is_err());
    }
}
