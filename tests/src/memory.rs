//! What lies in the memory of another process: every writable mapping, heap and stacks included, is
//! searched for texts. A hardened daemon can be read by root alone.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
};

const PAGE: usize = 4096;
/// Characters that are shown on each side.
const AROUND: usize = 160;

/// Where a text was found.
#[derive(Debug, Clone)]
pub struct Place {
    /// The text.
    pub text: String,
    /// The mapping, such as `[heap]` or `[stack]`.
    pub mapping: String,
    /// What stands around it, for whoever has to find out how it got there.
    pub around: String,
}

/// The places of texts in the memory of a process. `None` where it can't be read, which is what the
/// daemon wants of everybody but root.
#[must_use]
pub fn find(pid: u32, texts: &[&str]) -> Option<Vec<Place>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut found = Vec::new();
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (range, rights) = (parts.next()?, parts.next()?);
        if !rights.starts_with("rw") {
            continue;
        }
        let (start, end) = range.split_once('-')?;
        let address = |text| u64::from_str_radix(text, 16).ok();
        let (start, end) = (address(start)?, address(end)?);
        let mut bytes = vec![0; usize::try_from(end - start).ok()?];
        // Some mappings of devices can't be read; a heap always can.
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        let mapping = parts.nth(3).unwrap_or("anonymous");
        // Most pages of a stack were never written to. What is left is searched as text, because that
        // is quick in a debug build, too.
        let mut written = Vec::new();
        for page in bytes.chunks(PAGE) {
            if page != &[0; PAGE][..page.len()] {
                written.extend_from_slice(page);
            }
        }
        let written = String::from_utf8_lossy(&written);
        for text in texts {
            for (at, _) in written.match_indices(text) {
                let bytes = written.as_bytes();
                let from = at.saturating_sub(AROUND);
                let until = bytes.len().min(at + text.len() + AROUND);
                let shown = bytes[from..until].iter().map(|&byte| match byte {
                    b' '..=b'~' => char::from(byte),
                    _ => '.',
                });
                found.push(Place {
                    text: (*text).to_owned(),
                    mapping: mapping.to_owned(),
                    around: shown.collect(),
                });
            }
        }
    }
    Some(found)
}
