//! What rclone makes of its configuration: lookups, encryption, references between remotes
//! (consumers.md 1). It must never guess a password.

mod encrypted;
mod reference;

use std::borrow::Cow;

use crate::ini::{Document, Entry};

pub use encrypted::{LockedError, is_encrypted, unlock};
pub use reference::{Reference, Target, list};

/// Longer values are not resolved: references to references can double with every step.
const LONGEST_VALUE: usize = 64 * 1024;
/// As deep as rclone goes.
const DEEPEST_REFERENCE: usize = 200;

/// The entry that rclone uses for a key of a remote: its own, or for `[a.b]` the one of `[a]`.
#[must_use]
pub fn entry<'d, 'a>(document: &'d Document<'a>, remote: &str, key: &str) -> Option<&'d Entry<'a>> {
    let mut section = remote;
    loop {
        if let Some(entry) = document.entry(section, key) {
            return Some(entry);
        }
        section = &section[..section.rfind('.')?];
        if !document.has_section(section) {
            return None;
        }
    }
}

/// The value that rclone uses for a key of a remote, with `%(name)s` replaced from `[DEFAULT]` or
/// from the remote itself. `None` if it is unset, or if the references have no end.
#[must_use]
pub fn value<'a>(document: &Document<'a>, remote: &str, key: &str) -> Option<Cow<'a, str>> {
    let mut value = Cow::Borrowed(entry(document, remote, key)?.value);
    for _ in 0..DEEPEST_REFERENCE {
        let Some((reference, name)) = reference(&value) else {
            return Some(value);
        };
        let found = ["DEFAULT", remote]
            .iter()
            .find_map(|section| document.entry(section, name));
        let resolved = value.replace(reference, found.map_or("", |entry| entry.value));
        if resolved.len() > LONGEST_VALUE {
            return None;
        }
        value = Cow::Owned(resolved);
    }
    None
}

/// The first `%(name)s` of a value, and its name.
fn reference(value: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    while let Some(start) = value[from..].find("%(").map(|at| at + from) {
        let name = value[start + 2..]
            .find(")s")
            .map(|end| &value[start + 2..start + 2 + end]);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if let Some(name) = name.filter(|name| !name.is_empty() && name.bytes().all(plain)) {
            return Some((&value[start..start + name.len() + 4], name));
        }
        from = start + 2;
    }
    None
}
