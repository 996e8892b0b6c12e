//! Access key ids: the public half of a key, ours and everybody else's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// An access key id as it stands in a request or a configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccessKeyId(Box<str>);

/// The text cannot be an access key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an access key id: 3 to 128 visible ASCII characters without '/', '=' and ','")]
pub struct AccessKeyIdError;

const ISSUED_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl AccessKeyId {
    /// What every id that Bascule issues starts with.
    pub const ISSUED_PREFIX: &'static str = "BSC";
    /// Prefix, 15 random characters, 2 checksum characters.
    pub const ISSUED_LEN: usize = 20;

    /// Makes an id from random bytes (5 bits of each are used).
    #[must_use]
    pub fn issue(random: [u8; 15]) -> Self {
        let mut text = String::with_capacity(Self::ISSUED_LEN);
        text.push_str(Self::ISSUED_PREFIX);
        for byte in random {
            text.push(char::from(ISSUED_ALPHABET[usize::from(byte & 31)]));
        }
        text.push_str(&checksum(&text));
        Self(text.into())
    }

    /// Whether the text has the shape and checksum of an id that Bascule issues. One random text
    /// of the right shape in 1,024 passes too.
    #[must_use]
    pub fn looks_issued(text: &str) -> bool {
        text.len() == Self::ISSUED_LEN
            && text.starts_with(Self::ISSUED_PREFIX)
            && text.bytes().skip(3).all(|b| ISSUED_ALPHABET.contains(&b))
            && text.ends_with(&checksum(&text[..18]))
    }

    /// A text with every id in it that Bascule issued in the form for people.
    #[must_use]
    pub fn hide_issued(text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(Self::ISSUED_PREFIX) {
            let id = rest.get(at..at + Self::ISSUED_LEN);
            let id = id.filter(|id| Self::looks_issued(id));
            let (masked, length) = match id {
                Some(id) => (Self(id.into()).masked(), id.len()),
                None => (Self::ISSUED_PREFIX.to_owned(), Self::ISSUED_PREFIX.len()),
            };
            shown.push_str(&rest[..at]);
            shown.push_str(&masked);
            rest = &rest[at + length..];
        }
        shown + rest
    }

    /// The id itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form for people and logs: the last four characters.
    #[must_use]
    pub fn masked(&self) -> String {
        // Ids are ASCII by construction. A short one would be given away by its end.
        let shown = (self.0.len() / 4).clamp(1, 4);
        format!("…{}", &self.0[self.0.len() - shown..])
    }
}

/// An access key id as an alarm shows it: whole, its end alone, or with characters masked by `…`,
/// `•`, `*` or several dots.
#[derive(Debug, Clone, Copy)]
pub struct ShownId<'a> {
    whole: &'a str,
    start: &'a str,
    end: &'a str,
}

impl<'a> ShownId<'a> {
    /// So many characters of the end are enough to look an id up.
    pub const ENOUGH_OF_THE_END: usize = 4;
    /// So many characters of start and end together are enough: the first four are often the same
    /// for every key of a provider (`AKIA`).
    pub const ENOUGH_TOGETHER: usize = 8;

    /// Splits what is shown at its mask.
    #[must_use]
    pub fn new(shown: &'a str) -> Self {
        let masks = |c| matches!(c, '…' | '•' | '*' | '.');
        let first = shown.find(masks).unwrap_or_default();
        let last = shown.rfind(masks).unwrap_or_default();
        let end = shown[last..].trim_start_matches(masks);
        let mask = &shown[first..shown.len() - end.len()];
        // One dot between characters is a dot.
        let (start, end) = if first > 0 && mask == "." || !mask.chars().all(masks) {
            ("", shown)
        } else {
            (&shown[..first], end)
        };
        Self {
            whole: shown,
            start,
            end,
        }
    }

    /// Whether so much is shown that an id can be told by it.
    #[must_use]
    pub fn is_enough(&self) -> bool {
        self.end.len() >= Self::ENOUGH_OF_THE_END
            || self.start.len() + self.end.len() >= Self::ENOUGH_TOGETHER
    }

    /// Whether it may be this id.
    #[must_use]
    pub fn fits(&self, id: &str) -> bool {
        id == self.whole
            || self.is_enough()
                && id.len() >= self.start.len() + self.end.len()
                && id.starts_with(self.start)
                && id.ends_with(self.end)
    }

    /// Whether it may be an id that Bascule issued, of which only this `AccessKeyId::masked` form
    /// is left.
    #[must_use]
    pub fn fits_masked(&self, masked: &str) -> bool {
        let known = ShownId::new(masked).end;
        let prefix = AccessKeyId::ISSUED_PREFIX;
        known.len() >= Self::ENOUGH_OF_THE_END
            && self.end.ends_with(known)
            && (self.start.starts_with(prefix) || prefix.starts_with(self.start))
    }
}

/// CRC-10/ATM (polynomial 0x233) as two characters of the alphabet.
fn checksum(body: &str) -> String {
    let mut crc: u16 = 0;
    for byte in body.bytes() {
        crc ^= u16::from(byte) << 2;
        for _ in 0..8 {
            crc = if crc & 0x200 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x233
            };
        }
    }
    [crc >> 5 & 31, crc & 31]
        .iter()
        .map(|&five| char::from(ISSUED_ALPHABET[usize::from(five)]))
        .collect()
}

impl FromStr for AccessKeyId {
    type Err = AccessKeyIdError;

    fn from_str(text: &str) -> Result<Self, AccessKeyIdError> {
        let fits = (3..=128).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'=' | b','));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(AccessKeyIdError)
        }
    }
}

impl TryFrom<String> for AccessKeyId {
    type Error = AccessKeyIdError;

    fn try_from(text: String) -> Result<Self, AccessKeyIdError> {
        text.parse()
    }
}

impl From<AccessKeyId> for String {
    fn from(id: AccessKeyId) -> String {
        id.0.into()
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessKeyId({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issued_ids_in_a_text_are_hidden_and_nothing_else_is() {
        let id = AccessKeyId::issue([7; 15]);
        let text = format!("é BSC --id={id}, x{id}BSC… BSCé");
        let masked = id.masked();
        assert_eq!(
            AccessKeyId::hide_issued(&text),
            format!("é BSC --id={masked}, x{masked}BSC… BSCé")
        );
        let wrong = id.as_str().replace(&id.as_str()[18..], "!!");
        assert_eq!(AccessKeyId::hide_issued(&wrong), wrong);
    }

    #[test]
    fn issued_ids_pass_their_own_check_and_typos_do_not() {
        let id = AccessKeyId::issue(*b"fifteen random.");
        assert_eq!(id.as_str().len(), 20);
        assert!(AccessKeyId::looks_issued(id.as_str()));
        for at in 3..20 {
            let mut typo = id.as_str().as_bytes().to_vec();
            typo[at] = if typo[at] == b'A' { b'B' } else { b'A' };
            let typo = String::from_utf8(typo).unwrap();
            assert!(
                !AccessKeyId::looks_issued(&typo),
                "one wrong character at {at} goes unnoticed"
            );
        }
    }

    #[test]
    fn hostile_ids_are_refused() {
        for text in [
            "",
            "ab",
            "a b c",
            "a/b/c",
            "a=b",
            "ключ",
            "abc\n",
            &"x".repeat(129),
        ] {
            assert!(text.parse::<AccessKeyId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_masked_id_is_told_by_its_start_and_end() {
        let id = "AKIAIOSFODNNEXA7F3Q";
        for shown in [
            id,
            "7F3Q",
            "…7F3Q",
            "****7F3Q",
            "...7F3Q",
            ".7F3Q",
            "AKIA…7F3Q",
            "AKIA************7F3Q",
            "AKIA...7F3Q",
            "AKIAIOSF…",
            "AKIAIO••••3Q",
        ] {
            assert!(ShownId::new(shown).fits(id), "{shown}");
        }
        for shown in [
            "",
            "…",
            "…F3Q",
            "AKIA…",
            "AKIAIO…",
            "ASIA…7F3Q",
            "AKIA…7F3X",
            "AKIA.7F3Q",
            "AKIA…ODNN…7F3Q",
            "AKIAIOSFODNNEX…NNEXA7F3Q",
        ] {
            assert!(!ShownId::new(shown).fits(id), "{shown}");
        }
        assert!(ShownId::new("photos.app").fits("photos.app"));
    }

    #[test]
    fn a_dead_id_is_told_by_the_end_that_is_left_of_it() {
        let id = AccessKeyId::issue(*b"fifteen random.");
        let end = &id.as_str()[16..];
        let (shown, longer) = (format!("BSC…{end}"), format!("*{}", &id.as_str()[12..]));
        for shown in [end, &shown, &longer, &id.masked()] {
            assert!(
                ShownId::new(shown).fits_masked(&id.masked()),
                "{shown} for {}",
                id.masked()
            );
        }
        let foreign = format!("AKIA…{end}");
        for shown in ["", "…", &foreign, &end[1..]] {
            assert!(!ShownId::new(shown).fits_masked(&id.masked()), "{shown}");
        }
    }
}
