//! The ways an access key id may be written in a file, and the text around one that was found. Pure.

use std::borrow::Cow;

use super::Encoding;

/// What of the surroundings is looked at, in characters on either side.
const CONTEXT: usize = 160;
/// No coding of an id with its surroundings reaches further than so many bytes to either side.
pub(super) const REACH: usize = 1024;

/// How bytes stand for an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Coding {
    /// As it is.
    Plain,
    /// A zero beside each character, before or behind it. In a text of such characters nothing but
    /// its beginning tells which, so both are searched for as one.
    Utf16,
    /// Base64, in the middle of something.
    Base64 {
        /// So many bytes stand before the id in its first group of three.
        skip: usize,
    },
}

impl Coding {
    pub(super) const ALL: [Self; 5] = [
        Self::Plain,
        Self::Utf16,
        Self::Base64 { skip: 0 },
        Self::Base64 { skip: 1 },
        Self::Base64 { skip: 2 },
    ];

    /// The bytes that stand for the text whatever surrounds it.
    pub(super) fn encode(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => text.to_vec(),
            Self::Utf16 => {
                let mut bytes: Vec<u8> = text.iter().flat_map(|&byte| [byte, 0]).collect();
                bytes.pop();
                bytes
            }
            Self::Base64 { skip } => {
                // Characters that hold bits of a neighbour are not known.
                let known = (skip + text.len()) * 8 / 6;
                let bytes: Vec<u8> = std::iter::repeat_n(0, skip)
                    .chain(text.iter().copied())
                    .chain([0; 2])
                    .collect();
                (Self::unknown_characters(skip)..known)
                    .map(|at| base64_character(&bytes, at))
                    .collect()
            }
        }
    }

    /// The characters of the first group that hold bits of what stands before.
    const fn unknown_characters(skip: usize) -> usize {
        (skip * 8).div_ceil(6)
    }

    /// What the coding at `at` of an id of `length` characters is called. `bytes` begin at an even
    /// place of a file.
    pub(super) fn encoding(self, bytes: &[u8], at: usize, length: usize) -> Encoding {
        match self {
            Self::Plain => Encoding::Plain,
            Self::Utf16 if is_big_endian(bytes, at, length) => Encoding::Utf16Be,
            Self::Utf16 => Encoding::Utf16Le,
            Self::Base64 { .. } => Encoding::Base64,
        }
    }

    /// The text around an id of `length` characters whose coding begins at `at`. `None` if what
    /// stands there is no such coding.
    pub(super) fn window(self, bytes: &[u8], at: usize, length: usize) -> Option<Window<'_>> {
        match self {
            Self::Plain => {
                let start = at.saturating_sub(CONTEXT);
                let end = bytes.len().min(at + length + CONTEXT);
                Some(Window {
                    text: Cow::Borrowed(bytes.get(start..end)?),
                    at: at - start,
                    outside: None,
                })
            }
            Self::Utf16 => utf16_window(bytes, at, length),
            Self::Base64 { skip } => base64_window(bytes, at, length, skip),
        }
        .filter(|window| window.text.len() >= window.at + length)
    }
}

/// The text that an id was found in.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub(super) text: Cow<'a, [u8]>,
    /// Where the id begins.
    pub(super) at: usize,
    /// What stands before a text in base64 that begins with the id.
    pub(super) outside: Option<&'a [u8]>,
}

/// A neighbour that is no zero decides, or else that characters begin at even places.
fn is_big_endian(bytes: &[u8], at: usize, length: usize) -> bool {
    let zero = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(|&byte| byte == 0)
    };
    let before = zero(at.checked_sub(1));
    let after = zero(Some(at + 2 * length - 1));
    before && (!after || at % 2 == 1)
}

fn utf16_window(bytes: &[u8], at: usize, length: usize) -> Option<Window<'_>> {
    let big = is_big_endian(bytes, at, length);
    let character = |at: usize| {
        let zero = if big { at.checked_sub(1)? } else { at + 1 };
        // The last zero may be behind the end of the file.
        let zero = bytes.get(zero).copied().unwrap_or(0);
        bytes.get(at).copied().filter(|_| zero == 0)
    };
    let mut start = at;
    while start >= 2 && at - start < 2 * CONTEXT && character(start - 2).is_some() {
        start -= 2;
    }
    let text: Vec<u8> = (start..bytes.len())
        .step_by(2)
        .take((at - start) / 2 + length + CONTEXT)
        .map_while(character)
        .collect();
    Some(Window {
        text: Cow::Owned(text),
        at: (at - start) / 2,
        outside: None,
    })
}

fn base64_window(bytes: &[u8], at: usize, length: usize, skip: usize) -> Option<Window<'_>> {
    let group = at.checked_sub(Coding::unknown_characters(skip))?;
    let is_text = |from: usize| {
        bytes
            .get(from..from + 4)
            .is_some_and(|four| four.iter().all(|&byte| six_bits(byte).is_some()))
    };
    let mut start = group;
    while start >= 4 && group - start < CONTEXT && is_text(start - 4) {
        start -= 4;
    }
    let longest = group - start + (skip + length + CONTEXT) * 4 / 3;
    let text = decoded(bytes.get(start..bytes.len().min(start + longest))?);
    let at = (group - start) / 4 * 3 + skip;
    Some(Window {
        text: Cow::Owned(text),
        at,
        outside: (at == 0).then(|| &bytes[start.saturating_sub(CONTEXT)..start]),
    })
}

/// The bytes that base64 stands for, up to the first character that is none.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut held, mut bits) = (0_u32, 0);
    for six in text.iter().map_while(|&byte| six_bits(byte)) {
        held = held << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    bytes
}

/// Either alphabet of RFC 4648.
const fn six_bits(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

fn base64_character(bytes: &[u8], at: usize) -> u8 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (byte, bit) = (at * 6 / 8, at * 6 % 8);
    let two = u16::from_be_bytes([bytes[byte], bytes[byte + 1]]);
    ALPHABET[usize::from(two >> (10 - bit) & 63)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::{BASE64, BASE64URL_NOPAD};
    use proptest::prelude::*;

    #[test]
    fn an_issued_id_always_looks_the_same_in_base64() {
        let codings: Vec<_> = (0..3)
            .map(|skip| String::from_utf8(Coding::Base64 { skip }.encode(b"BSC")).unwrap())
            .collect();
        assert_eq!(codings, ["QlND", "JTQ", "CU0"]);
    }

    proptest! {
        #[test]
        fn what_a_library_encodes_holds_the_needle_and_is_read_back(
            before in "[ -~\n]{0,40}", id in "[A-Za-z0-9]{8,40}", after in "[ -~\n]{0,40}",
            url in any::<bool>(),
        ) {
            let text = format!("{before}{id}{after}");
            let encoded = if url {
                BASE64URL_NOPAD.encode(text.as_bytes())
            } else {
                BASE64.encode(text.as_bytes())
            };
            let skip = before.len() % 3;
            let coding = Coding::Base64 { skip };
            let needle = coding.encode(id.as_bytes());
            let at = before.len() / 3 * 4 + Coding::unknown_characters(skip);
            prop_assert_eq!(&encoded.as_bytes()[at..at + needle.len()], &needle[..]);
            let window = coding.window(encoded.as_bytes(), at, id.len()).unwrap();
            prop_assert_eq!(&window.text[..], text.as_bytes());
            prop_assert_eq!(window.at, before.len());

            for (big, encoding) in [(0, Encoding::Utf16Le), (1, Encoding::Utf16Be)] {
                let wide: Vec<u8> = std::iter::repeat_n(0, big)
                    .chain(text.bytes().flat_map(|byte| [byte, 0]))
                    .take(2 * text.len())
                    .collect();
                let at = 2 * before.len() + big;
                let needle = Coding::Utf16.encode(id.as_bytes());
                prop_assert_eq!(&wide[at..at + needle.len()], &needle[..]);
                prop_assert_eq!(Coding::Utf16.encoding(&wide, at, id.len()), encoding);
                let window = Coding::Utf16.window(&wide, at, id.len()).unwrap();
                prop_assert_eq!(&window.text[..], text.as_bytes());
                prop_assert_eq!(window.at, before.len());
            }
        }

        #[test]
        fn no_bytes_are_too_strange(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..320, length in 1_usize..130,
        ) {
            for coding in Coding::ALL {
                if let Some(window) = coding.window(&bytes, at, length) {
                    prop_assert!(window.at + length <= window.text.len());
                }
            }
        }
    }
}
