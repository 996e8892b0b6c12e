//! The name under which a tool knows a handed-out key.

use std::{fmt, str::FromStr};

use bascule_domain::names::{ConnectionName, Label};

/// The name of a remote, profile or alias. It has only characters that rclone, the AWS tools, mc,
/// shells and environment variables all take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionName(Box<str>);

/// The text cannot be a name in every tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name for a tool has 1 to 144 letters, digits, '_' or '-', starts with a letter, and is not DEFAULT"
)]
pub struct InvalidName;

impl SectionName {
    const LONGEST: usize = 144;

    /// The usual name of a key: its connection and its label. What is lost of them is made up for
    /// by a checksum, so that two labels do not become one name. It depends on nothing else, so it
    /// is known before the key is.
    #[must_use]
    pub fn of(connection: &ConnectionName, label: &Label) -> Self {
        let whole = format!("{connection}-{label}");
        let mut name = String::with_capacity(whole.len() + 8);
        // mc takes no name that starts with a digit.
        if whole.starts_with(|c: char| c.is_ascii_digit()) {
            name.push_str("s3-");
        }
        let mut lost = false;
        for c in whole.chars() {
            match c {
                _ if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
                // A dot would make rclone read missing keys from another section.
                _ => {
                    lost |= c != '-' || name.ends_with('-');
                    if !name.ends_with('-') {
                        name.push('-');
                    }
                }
            }
        }
        lost |= name.ends_with('-');
        let mut name = name.trim_end_matches('-').to_owned();
        if lost {
            name.push('-');
            name.push_str(&checksum(&whole));
        }
        Self(name.into())
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Four characters that differ for most texts that differ.
fn checksum(text: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = fnv(text) as u32;
    (0..4)
        .map(|at| char::from(ALPHABET[(hash >> (5 * at) & 31) as usize]))
        .collect()
}

/// FNV-1a of 128 bits: not secret, the same for ever.
pub(super) fn fnv(text: &str) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    text.bytes().fold(BASIS, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(PRIME)
    })
}

impl FromStr for SectionName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let fits = (1..=Self::LONGEST).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            // rclone and the AWS tools take it for what holds for every other section.
            && text != "DEFAULT";
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName)
        }
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
