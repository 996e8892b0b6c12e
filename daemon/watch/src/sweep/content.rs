//! Reads a file piece by piece into a buffer that is used again and again. It never maps a file:
//! others may truncate it meanwhile (threats.md F5).

use std::{
    fs::{File, Metadata},
    io::{self, Read},
};

use zeroize::Zeroizing;

use super::{
    Encoding,
    coding::REACH,
    matcher::{Found, Matcher},
    shape::Surroundings,
};

/// So much of a file is searched at once. It fits the processor's cache.
const PIECE: usize = 256 * 1024;

/// A buffer of a thread's own. What it held is wiped at its end.
pub(super) struct Buffer(Zeroizing<Vec<u8>>);

/// What a file came to.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: u64,
    pub(super) found: Vec<Placed>,
    pub(super) too_many: bool,
    pub(super) examples: u64,
    /// The file is an archive or compressed: what it holds was not unpacked.
    pub(super) packed: bool,
}

/// What was found, with its place for people. Both count from 1.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) found: Found,
    pub(super) line: u32,
    pub(super) column: u32,
    /// Where it begins, in a file that is no text.
    pub(super) offset: Option<u64>,
}

/// No file tells of more ids.
const MOST: usize = 100;

impl Buffer {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(vec![0; PIECE + 2 * REACH]))
    }

    /// Searches a file up to `limit` bytes, and stops when told so.
    pub(super) fn search(
        &mut self,
        file: &mut File,
        metadata: &Metadata,
        limit: u64,
        matcher: &Matcher<'_>,
        surroundings: Surroundings,
        stopped: impl Fn() -> bool,
    ) -> io::Result<Content> {
        let buffer = &mut self.0[..];
        let mut content = Content::default();
        let mut lines = Lines::default();
        // What begins before `from` was searched for already, and stands there as surroundings.
        let (mut filled, mut from) = (0, 0);
        let mut binary = false;
        loop {
            let mut ended = false;
            while filled < buffer.len() && !ended {
                match file.read(&mut buffer[filled..]) {
                    Ok(read) => {
                        filled += read;
                        content.bytes += read as u64;
                        // The size saves a last read. Whoever lengthens the file meanwhile has not
                        // finished it.
                        ended = read == 0 || content.bytes == metadata.len();
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            ended |= content.bytes >= limit || stopped();
            if lines.base == 0 && from == 0 {
                content.packed = is_packed(&buffer[..filled]);
                binary = is_binary(&buffer[..filled]);
            }
            let to = if ended { filled } else { filled - REACH };
            let findings = matcher.search(&buffer[..filled], from, to, surroundings);
            content.examples += findings.examples;
            content.too_many |= findings.too_many;
            for found in findings.found {
                if content.found.len() == MOST {
                    content.too_many = true;
                    break;
                }
                let (line, column) = lines.place(&buffer[..found.at], found.encoding);
                let wide = matches!(found.encoding, Encoding::Utf16Le | Encoding::Utf16Be);
                content.found.push(Placed {
                    offset: (binary && !wide).then_some(lines.base + found.at as u64),
                    found,
                    line,
                    column,
                });
            }
            if ended {
                return Ok(content);
            }
            let kept = to - REACH;
            lines.pass(&buffer[..kept]);
            buffer.copy_within(kept..filled, 0);
            filled -= kept;
            from = REACH;
        }
    }
}

/// Lines that lie before the buffer.
#[derive(Debug, Default)]
struct Lines {
    /// Where the buffer begins in the file.
    base: u64,
    bytes: Passed,
    utf16_little: Passed,
    utf16_big: Passed,
}

#[derive(Debug, Default, Clone, Copy)]
struct Passed {
    lines: u64,
    /// Where the last of them ended, in the file.
    end: u64,
}

impl Lines {
    fn place(&self, before: &[u8], encoding: Encoding) -> (u32, u32) {
        let (passed, width) = match encoding {
            Encoding::Utf16Le => (self.utf16_little, 2),
            Encoding::Utf16Be => (self.utf16_big, 2),
            Encoding::Plain | Encoding::Base64 => (self.bytes, 1),
        };
        let passed = passed.and(before, self.base, encoding);
        let here = self.base + before.len() as u64;
        let column = (here - passed.end.min(here)) / width + 1;
        let number = |value| u32::try_from(value).unwrap_or(u32::MAX);
        (number(passed.lines + 1), number(column))
    }

    fn pass(&mut self, bytes: &[u8]) {
        for (passed, encoding) in [
            (&mut self.bytes, Encoding::Plain),
            (&mut self.utf16_little, Encoding::Utf16Le),
            (&mut self.utf16_big, Encoding::Utf16Be),
        ] {
            *passed = passed.and(bytes, self.base, encoding);
        }
        self.base += bytes.len() as u64;
    }
}

impl Passed {
    /// With the lines that end in these bytes too.
    fn and(mut self, bytes: &[u8], base: u64, encoding: Encoding) -> Self {
        for at in memchr::memchr_iter(b'\n', bytes) {
            let (ends, width) = match encoding {
                Encoding::Utf16Le => (bytes.get(at + 1).is_none_or(|&b| b == 0), 2),
                Encoding::Utf16Be => (at > 0 && bytes[at - 1] == 0, 1),
                Encoding::Plain | Encoding::Base64 => (true, 1),
            };
            if ends {
                self.lines += 1;
                self.end = base + at as u64 + width;
            }
        }
        self
    }
}

/// Whether it begins like no text: such files have zeros early.
fn is_binary(start: &[u8]) -> bool {
    memchr::memchr(0, &start[..start.len().min(8192)]).is_some()
}

/// The starts of gzip, zip, xz, Zstandard, bzip2, 7z and LZ4 files.
fn is_packed(start: &[u8]) -> bool {
    const STARTS: [&[u8]; 7] = [
        b"\x1f\x8b",
        b"PK\x03\x04",
        b"\xfd7zXZ\0",
        b"\x28\xb5\x2f\xfd",
        b"BZh",
        b"7z\xbc\xaf\x27\x1c",
        b"\x04\x22\x4d\x18",
    ];
    STARTS.iter().any(|known| start.starts_with(known))
}
