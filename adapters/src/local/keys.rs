//! Maps object keys to paths and back, one to one. A key's segments are folder and file names;
//! names that a file system can't hold or would fold (`a//b`, `./a`, `a/`) carry a mark. What
//! can't be mapped is refused: two keys must never share one file.

use std::{borrow::Cow, ffi::OsStr, path::PathBuf};

use super::Fault;

/// Before names that would mean something else to the file system.
const MARK: &str = ".bascule-";
/// What Linux and macOS allow for one name.
const NAME_LIMIT: usize = 255;

/// The path of an object inside its bucket's folder.
pub(crate) fn path_of(key: &str) -> Result<PathBuf, Fault> {
    if key.is_empty() || key.len() > 1024 {
        return Err(Fault::KeyTooLong);
    }
    if key.contains('\0') {
        return Err(Fault::KeyWithNul);
    }
    let mut path = PathBuf::new();
    for segment in key.split('/') {
        let name = name_of(segment);
        if name.len() > NAME_LIMIT {
            return Err(Fault::KeyTooLong);
        }
        path.push(&*name);
    }
    Ok(path)
}

fn name_of(segment: &str) -> Cow<'_, str> {
    if matches!(segment, "" | "." | "..") || segment.starts_with(MARK) {
        Cow::Owned(format!("{MARK}{segment}"))
    } else {
        Cow::Borrowed(segment)
    }
}

/// The segment that a name on disk stands for. `None` for names that no key maps to.
pub(crate) fn segment_of(name: &OsStr) -> Option<&str> {
    let name = name.to_str()?;
    let segment = name.strip_prefix(MARK).unwrap_or(name);
    (*name_of(segment) == *name).then_some(segment)
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn awkward_keys_have_paths_of_their_own() {
        for (key, path) in [
            ("a/b", "a/b"),
            ("a//b", "a/.bascule-/b"),
            ("/a", ".bascule-/a"),
            ("a/", "a/.bascule-"),
            ("./a", ".bascule-./a"),
            ("../../etc/passwd", ".bascule-../.bascule-../etc/passwd"),
            (".bascule-", ".bascule-.bascule-"),
        ] {
            assert_eq!(path_of(key).unwrap(), PathBuf::from(path), "{key}");
        }
        assert!(matches!(path_of("a\0b"), Err(Fault::KeyWithNul)));
        assert!(matches!(path_of(&"x".repeat(256)), Err(Fault::KeyTooLong)));
    }

    proptest! {
        #[test]
        fn every_path_stays_inside_and_leads_back_to_its_key(key in "[a./\\\\-b ü]{1,40}|(\\.bascule-|\\.\\.|\\.|/|x){1,12}") {
            let path = path_of(&key).unwrap();
            let mut segments = Vec::new();
            for component in path.components() {
                let Component::Normal(name) = component else { panic!("{path:?}") };
                segments.push(segment_of(name).unwrap());
            }
            prop_assert_eq!(segments.join("/"), key);
        }
    }
}
