//! What the store reads back: the root key's file, sealed records, and what is in them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| bascule_store::fuzzing::read(data));
