//! What each right allows, action by action, and which objects are locks. It decides from names
//! alone and must never depend on what a bucket holds: whether an object exists is the gateway's
//! to find out.

use crate::{
    key::Permission,
    names::{ObjectKey, Prefix},
    operation::{Action, Class},
};

/// What a right says about an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// Never.
    Nothing,
    /// Whatever is there already.
    All,
    /// If it adds: an object that exists stays as it is.
    Additions,
    /// On an upload that the same key began.
    OwnUploads,
    /// On an upload that the same key began, and if its completion adds.
    OwnAdditions,
    /// If everything it is about is a lock.
    Locks,
}

impl Grant {
    /// Whether an object that exists must stay as it is.
    #[must_use]
    pub const fn adds_only(self) -> bool {
        matches!(self, Self::Additions | Self::OwnAdditions)
    }

    /// Whether it covers no upload of another key.
    #[must_use]
    pub const fn own_uploads_only(self) -> bool {
        matches!(self, Self::OwnUploads | Self::OwnAdditions)
    }
}

/// What this right says about this action on an object that is no lock.
#[must_use]
pub const fn grant(permission: Permission, action: Action) -> Grant {
    match permission {
        Permission::ReadWrite => match action.class() {
            Class::BucketAdmin => Grant::Nothing,
            _ => Grant::All,
        },
        Permission::ReadWriteNoDelete => match (action.class(), action) {
            (Class::Delete | Class::BucketAdmin, _)
            | (_, Action::RenameObject | Action::DeleteObjectTagging) => Grant::Nothing,
            _ => Grant::All,
        },
        Permission::Read if reads(action) => Grant::All,
        Permission::Read => Grant::Nothing,
        Permission::Append if reads(action) => Grant::All,
        Permission::Append => match action {
            Action::CopyObject => Grant::Additions,
            Action::UploadPartCopy => Grant::OwnUploads,
            Action::DeleteObject | Action::DeleteObjects => Grant::Locks,
            _ => adds(action),
        },
        Permission::Write => match action.class() {
            Class::Service | Class::BucketReadConfig => Grant::All,
            _ => adds(action),
        },
    }
}

/// Changes nothing.
const fn reads(action: Action) -> bool {
    match action.class() {
        Class::Service
        | Class::BucketReadConfig
        | Class::BucketReadConfigWhole
        | Class::List
        | Class::Read => true,
        Class::Multipart => matches!(action, Action::ListMultipartUploads | Action::ListParts),
        Class::Write | Class::Delete | Class::BucketAdmin => false,
    }
}

/// Adds what the client sends itself. Tags, restorations and renames change what exists.
const fn adds(action: Action) -> Grant {
    match action {
        Action::PutObject => Grant::Additions,
        Action::CreateMultipartUpload => Grant::All,
        Action::UploadPart | Action::AbortMultipartUpload => Grant::OwnUploads,
        Action::CompleteMultipartUpload => Grant::OwnAdditions,
        _ => Grant::Nothing,
    }
}

/// Which objects an append key may replace and delete: the locks of the tools that take turns in
/// a repository. They are everything below `locks/` at the root of what the key may use, and,
/// wherever a repository lies, what restic writes as a lock: `…/locks/` and 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locks {
    folders: Vec<Box<str>>,
}

const FOLDER: &str = "locks/";

impl Locks {
    /// The locks of a key with these prefixes.
    #[must_use]
    pub fn of(prefixes: &[Prefix]) -> Self {
        let below = |root: &str| match root {
            "" => FOLDER.into(),
            root if root.ends_with('/') => format!("{root}{FOLDER}").into(),
            root => format!("{root}/{FOLDER}").into(),
        };
        let folders = if prefixes.is_empty() {
            vec![below("")]
        } else {
            prefixes.iter().map(|root| below(root.as_str())).collect()
        };
        Self { folders }
    }

    /// Whether the object is a lock. A name that some servers fold into another one never is.
    #[must_use]
    pub fn hold(&self, object: &ObjectKey) -> bool {
        let name = object.as_str();
        let folds = |segment| matches!(segment, "" | "." | "..");
        if name.split('/').any(folds) {
            return false;
        }
        let below = |folder: &str| name.starts_with(folder);
        self.folders.iter().any(|folder| below(folder)) || restic_lock(name)
    }
}

fn restic_lock(name: &str) -> bool {
    let hex = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    name.rsplit_once('/').is_some_and(|(folder, id)| {
        (folder == "locks" || folder.ends_with("/locks")) && id.len() == 64 && id.bytes().all(hex)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_append_and_write_keys_are_held_to_additions() {
        for &action in Action::ALL {
            for permission in [
                Permission::Read,
                Permission::ReadWrite,
                Permission::ReadWriteNoDelete,
            ] {
                let grant = grant(permission, action);
                assert!(
                    matches!(grant, Grant::All | Grant::Nothing),
                    "{permission} {action:?}"
                );
            }
        }
    }

    #[test]
    fn no_append_or_write_key_changes_what_exists() {
        for &action in Action::ALL.iter().filter(|action| action.mutates()) {
            let append = grant(Permission::Append, action);
            let write = grant(Permission::Write, action);
            // An upload that begins changes no object.
            if action != Action::CreateMultipartUpload {
                assert_ne!(append, Grant::All, "{action:?}");
                assert_ne!(write, Grant::All, "{action:?}");
            }
            assert_ne!(write, Grant::Locks, "{action:?}");
        }
        for action in [
            Action::PutObjectTagging,
            Action::DeleteObjectTagging,
            Action::RestoreObject,
            Action::RenameObject,
        ] {
            assert_eq!(grant(Permission::Append, action), Grant::Nothing);
            assert_eq!(grant(Permission::Write, action), Grant::Nothing);
        }
    }

    #[test]
    fn a_write_key_reads_and_lists_nothing() {
        for &action in Action::ALL {
            let granted = grant(Permission::Write, action) != Grant::Nothing;
            let reads = matches!(
                action.class(),
                Class::Read | Class::List | Class::BucketReadConfigWhole
            ) || matches!(
                action,
                Action::ListMultipartUploads
                    | Action::ListParts
                    | Action::CopyObject
                    | Action::UploadPartCopy
            );
            assert!(!(granted && reads), "{action:?}");
        }
    }

    #[test]
    fn an_append_key_reads_what_a_read_key_reads() {
        for &action in Action::ALL {
            if grant(Permission::Read, action) == Grant::All {
                assert_eq!(grant(Permission::Append, action), Grant::All, "{action:?}");
            }
        }
    }

    #[test]
    fn locks_are_below_the_root_or_named_as_restic_names_them() {
        let id = "0123456789abcdef".repeat(4);
        let root = Locks::of(&[]);
        let below = Locks::of(&["host/a/".parse().unwrap(), "plain".parse().unwrap()]);
        let restic = format!("host/a/repo/locks/{id}");
        for (locks, name, expected) in [
            (&root, "locks/anything", true),
            (&root, "locks/deep/er", true),
            (&root, "host/locks/anything", false),
            (&root, "mylocks/x", false),
            (&root, "locks", false),
            (&root, "/locks/x", false),
            (&root, "locks/../data/x", false),
            (&root, "locks//x", false),
            (&root, "locks/./x", false),
            (&root, restic.as_str(), true),
            (&root, &format!("locks/{id}"), true),
            (&root, &format!("repo/mylocks/{id}"), false),
            (&root, &format!("repo/../locks/{id}"), false),
            (&root, &format!("repo/locks/{}", id.to_uppercase()), false),
            (&root, &format!("repo/locks/{id}0"), false),
            (&root, &format!("repo/locks/{id}/x"), false),
            (&root, &format!("repo/snapshots/{id}"), false),
            (&below, "host/a/locks/x", true),
            (&below, "plain/locks/x", true),
            (&below, "plainlocks/x", false),
            (&below, "locks/x", false),
            (&below, restic.as_str(), true),
        ] {
            assert_eq!(locks.hold(&name.parse().unwrap()), expected, "{name}");
        }
    }
}
