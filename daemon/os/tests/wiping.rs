//! D1: a program of its own, because an allocator is for the whole process.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "a failure here is a failure of the test"
)]

use std::{fs::File, hint::black_box, os::unix::fs::FileExt};

use bascule_os::WipingAllocator;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

/// What lies at an address, by way of the system: no reference into freed memory is made.
fn at(address: usize, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let memory = File::open("/proc/self/mem").unwrap();
    // A block that went back to the system can't be read at all.
    let _ = memory.read_exact_at(&mut bytes, address as u64);
    bytes
}

#[test]
fn d1_what_was_freed_or_outgrown_is_wiped() {
    // The first words of a freed block belong to the allocator, so the end is looked at.
    for length in [64, 1_000, 20_000] {
        let mut text = vec![b'x'; length];
        let first = black_box(text.as_ptr()) as usize;
        assert_eq!(at(first, length), text);
        text.reserve_exact(2 * length);
        let second = black_box(text.as_ptr()) as usize;
        assert_ne!(first, second);
        assert!(at(first, length)[32..].iter().all(|&byte| byte != b'x'));
        assert_eq!(at(second, length), text);
        drop(text);
        assert!(at(second, length)[32..].iter().all(|&byte| byte != b'x'));
    }
}
