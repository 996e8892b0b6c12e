//! Lists a bucket's folder in the order of its keys' bytes, one page at a time. Memory holds one
//! page and the names of the folders on the way to where it is.

use std::{fs, io, path::Path, time::SystemTime};

use super::{Fault, folder::Folder, keys::segment_of};

/// What to list.
pub(crate) struct Query<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    pub(crate) after: After,
    pub(crate) limit: usize,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// At the beginning.
    Start,
    /// After this key.
    Key(String),
    /// After all keys below this prefix.
    Prefix(String),
}

/// One object.
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
    pub(crate) etag: String,
}

/// One page.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) items: Vec<Item>,
    pub(crate) prefixes: Vec<String>,
    /// Where the next page starts, if there is one.
    pub(crate) next: Option<After>,
}

/// Lists one page of a bucket.
pub(crate) fn list(folder: &Folder, bucket: &str, query: &Query<'_>) -> Result<Listing, Fault> {
    let root = folder.bucket(bucket)?;
    let mut walk = Walk {
        folder,
        bucket,
        query,
        after: query.after.clone(),
        listing: Listing::default(),
        full: query.limit == 0,
    };
    // A page of no keys has no next one: nothing could say where it starts.
    if query.limit > 0 {
        walk.descend(&root, "")?;
    }
    Ok(walk.listing)
}

struct Walk<'a> {
    folder: &'a Folder,
    bucket: &'a str,
    query: &'a Query<'a>,
    after: After,
    listing: Listing,
    full: bool,
}

impl Walk<'_> {
    /// Visits what is in one folder, whose keys all start with `base`.
    fn descend(&mut self, path: &Path, base: &str) -> Result<(), Fault> {
        // With a slash at the end of a folder's name, siblings sort as the keys below them do.
        let mut children = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = entry.file_name();
            let Some(segment) = segment_of(&name) else {
                continue;
            };
            let mut key = format!("{base}{segment}");
            if kind.is_dir() {
                key.push('/');
            } else if !kind.is_file() {
                continue;
            }
            if self.may_hold(&key, kind.is_dir()) {
                children.push((key, kind.is_dir(), name));
            }
        }
        children.sort_unstable_by(|a, b| (a.0.as_bytes(), a.1).cmp(&(b.0.as_bytes(), b.1)));
        for (key, is_folder, name) in children {
            if self.full {
                return Ok(());
            }
            // Pages fill and prefixes collapse while this loop runs, so it is asked again.
            if !self.may_hold(&key, is_folder) {
                continue;
            }
            let below = path.join(name);
            if is_folder {
                match self.descend(&below, &key) {
                    Err(Fault::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    outcome => outcome?,
                }
            } else {
                self.visit(&below, key)?;
            }
        }
        Ok(())
    }

    /// Whether the key, or some key below the folder, is still to be listed.
    fn may_hold(&self, key: &str, is_folder: bool) -> bool {
        let prefix = self.query.prefix;
        let wanted = key.starts_with(prefix) || (is_folder && prefix.starts_with(key));
        let ahead = match &self.after {
            After::Start => true,
            After::Key(after) => {
                key.as_bytes() > after.as_bytes() || (is_folder && after.starts_with(key))
            }
            After::Prefix(done) => {
                let inside = key.starts_with(done.as_str());
                let above = is_folder && done.starts_with(key) && done != key;
                !inside && (above || key.as_bytes() > done.as_bytes())
            }
        };
        wanted && ahead
    }

    fn visit(&mut self, path: &Path, key: String) -> Result<(), Fault> {
        if self.listing.items.len() + self.listing.prefixes.len() == self.query.limit {
            self.full = true;
            self.listing.next = Some(self.after.clone());
            return Ok(());
        }
        let rest = &key[self.query.prefix.len()..];
        let cut = self
            .query
            .delimiter
            .and_then(|delimiter| Some((rest.find(delimiter)?, delimiter.len())));
        if let Some((at, len)) = cut {
            let prefix = key[..self.query.prefix.len() + at + len].to_owned();
            self.listing.prefixes.push(prefix.clone());
            self.after = After::Prefix(prefix);
            return Ok(());
        }
        let about = match path.symlink_metadata() {
            Ok(about) => about,
            // Removed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Fault::Io(error)),
        };
        let (etag, _) = self.folder.described(self.bucket, &key, &about)?;
        self.after = After::Key(key.clone());
        self.listing.items.push(Item {
            key,
            size: about.len(),
            modified: about.modified()?,
            etag,
        });
        Ok(())
    }
}
