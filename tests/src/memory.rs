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
    /// Whether it lies where a thread's stack was deeper once: nothing wipes that, and the next call
    /// that goes so deep overwrites it.
    pub is_left_on_a_stack: bool,
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
    let stacks = stack_pointers(pid);
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
        let (mut written, mut pages) = (Vec::new(), Vec::new());
        for (number, page) in bytes.chunks(PAGE).enumerate() {
            if page != &[0; PAGE][..page.len()] {
                // A byte for each byte, so that places stay what they are.
                written.extend(page.iter().map(|byte| match byte.is_ascii() {
                    true => *byte,
                    false => b'.',
                }));
                pages.push(start + (number * PAGE) as u64);
            }
        }
        let written = String::from_utf8(written).expect("nothing but ASCII");
        let deepest = stacks.iter().find(|at| (start..end).contains(at));
        for text in texts {
            for (at, _) in written.match_indices(text) {
                let bytes = written.as_bytes();
                let from = at.saturating_sub(AROUND);
                let until = bytes.len().min(at + text.len() + AROUND);
                let shown = bytes[from..until].iter().map(|&byte| match byte {
                    b' '..=b'~' => char::from(byte),
                    _ => '.',
                });
                let address = pages[at / PAGE] + (at % PAGE) as u64;
                found.push(Place {
                    text: (*text).to_owned(),
                    is_left_on_a_stack: deepest.is_some_and(|deepest| address < *deepest),
                    mapping: mapping.to_owned(),
                    around: shown.collect(),
                });
            }
        }
    }
    Some(found)
}

/// How deep the stack of each thread that waits is now.
fn stack_pointers(pid: u32) -> Vec<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    threads
        .flatten()
        .filter_map(|thread| {
            // The call, its arguments, then the stack and the instruction.
            let call = fs::read_to_string(thread.path().join("syscall")).ok()?;
            let pointer = call.split_whitespace().rev().nth(1)?;
            u64::from_str_radix(pointer.trim_start_matches("0x"), 16).ok()
        })
        .collect()
}
