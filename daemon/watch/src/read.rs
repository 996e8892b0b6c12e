//! Reads tools' files and turns their values into typed ones. Content is wiped when dropped.

use std::{
    borrow::Cow,
    io,
    path::{Path, PathBuf},
};

use bascule_domain::{
    endpoint::{Endpoint, Region},
    secret::{Credentials, SecretKey},
};
use zeroize::Zeroizing;

use crate::found::{NotUsable, Place};

/// No tool's configuration is larger (threats.md F2).
const LARGEST_FILE: u64 = 1024 * 1024;

/// A file's text.
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    /// Whether it was decrypted, so that its lines are not those of the file.
    unlocked: bool,
}

impl Text {
    /// Reads a file; `None` if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, NotUsable> {
        Self::read_up_to(path, LARGEST_FILE)
    }

    /// As [`Text::read`], of a kind of file that is smaller: all that it may take is wiped later.
    pub(crate) fn read_up_to(path: &Path, limit: u64) -> Result<Option<Self>, NotUsable> {
        match bascule_os::read_foreign(path, limit) {
            Ok(bytes) => Ok(Some(Self {
                path: path.to_owned(),
                bytes: Zeroizing::new(bytes),
                unlocked: false,
            })),
            Err(error) if error.is_absent() || is_no_name(&error) => Ok(None),
            Err(error) => Err(NotUsable::Read(error)),
        }
    }

    /// The same file, decrypted.
    pub(crate) fn unlocked(self, text: &str) -> Self {
        Self {
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            unlocked: true,
            ..self
        }
    }

    /// Where a line of the text stands: in a decrypted one only the file can be told.
    pub(crate) fn place(&self, line: u32) -> Place {
        Place::File {
            path: self.path.clone(),
            line: if self.unlocked { 0 } else { line },
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn as_str(&self) -> Result<&str, NotUsable> {
        std::str::from_utf8(&self.bytes).map_err(|_| NotUsable::NotText {
            path: self.path.clone(),
        })
    }
}

/// Whether no file can be called so: it is some other text, which may be a secret, and is not told.
fn is_no_name(error: &bascule_os::ForeignError) -> bool {
    let bascule_os::ForeignError::Io { source, .. } = error else {
        return false;
    };
    matches!(
        source.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidFilename
    )
}

/// More entries than a folder of configurations has.
const MOST_NAMES: usize = 20_000;

/// The names in a folder, sorted; none if there is no folder. Names that are no text are left out.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, NotUsable> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(source) => {
            return Err(NotUsable::Read(bascule_os::ForeignError::Io {
                path: folder.to_owned(),
                source,
            }));
        }
    };
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().into_string());
    let mut names: Vec<String> = names.take(MOST_NAMES).flatten().collect();
    names.sort();
    Ok(names)
}

/// The path behind symbolic links at the end of a path, within the tree that lies in `root`: what an
/// absolute link there means is not what it would mean here.
pub(crate) fn resolved(root: &Path, path: &Path) -> PathBuf {
    const MOST_LINKS: usize = 16;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = std::fs::read_link(&path) else {
            break;
        };
        path = match target.strip_prefix("/") {
            Ok(below) => root.join(below),
            Err(_) => path.parent().unwrap_or(root).join(target),
        };
    }
    path
}

/// A value and where it came from.
pub(crate) struct Value {
    text: Zeroizing<String>,
    place: Place,
}

impl Value {
    pub(crate) fn in_file(text: Cow<'_, str>, place: Place) -> Self {
        Self {
            text: Zeroizing::new(text.into_owned()),
            place,
        }
    }

    pub(crate) fn at(text: &str, place: Place) -> Self {
        Self {
            text: Zeroizing::new(text.to_owned()),
            place,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }
}

pub(crate) fn credentials(id: &Value, secret: &Value) -> Result<Credentials, NotUsable> {
    let access_key_id = id.text().parse().map_err(|source| NotUsable::AccessKeyId {
        place: id.place(),
        source,
    })?;
    let secret = SecretKey::parse(secret.text()).map_err(|source| NotUsable::Secret {
        place: secret.place(),
        source,
    })?;
    Ok(Credentials {
        access_key_id,
        secret,
    })
}

/// As [`endpoint`]; what can't be one counts as none.
pub(crate) fn lenient_endpoint(text: &str) -> Option<Endpoint> {
    if text.contains("://") {
        text.parse().ok()
    } else {
        format!("https://{text}").parse().ok()
    }
}

/// Tools take an endpoint without a scheme as https.
pub(crate) fn endpoint(value: Option<&Value>) -> Result<Option<Endpoint>, NotUsable> {
    let Some(value) = value else { return Ok(None) };
    let text = value.text();
    let parsed = if text.contains("://") {
        text.parse()
    } else {
        format!("https://{text}").parse()
    };
    parsed.map(Some).map_err(|source| NotUsable::Endpoint {
        place: value.place(),
        source,
    })
}

pub(crate) fn region(value: Option<&Value>) -> Result<Option<Region>, NotUsable> {
    let Some(value) = value else { return Ok(None) };
    value
        .text()
        .parse()
        .map(Some)
        .map_err(|source| NotUsable::Region {
            place: value.place(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_files_name_is_no_file_and_is_not_told_f8() {
        let long = format!("/x/{}", "hunter2".repeat(1_000));
        for path in ["/x/hunter2\0y", &long] {
            assert!(matches!(Text::read(Path::new(path)), Ok(None)));
        }
    }
}
