//! Every structured format as leaves: no panic, no end of stack, and every span is of the text.
#![no_main]

use bascule_formats::{
    leaves,
    leaves::{binary_plist, duckdb_secret},
};
use bascule_fuzz::{SECRET, STRUCTURES, chosen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = binary_plist(data);
    let _ = duckdb_secret(data);
    let Some((first, text)) = chosen(data) else {
        return;
    };
    match leaves(text, STRUCTURES[first % STRUCTURES.len()]) {
        Ok(leaves) => {
            for leaf in &leaves {
                assert!(text.get(leaf.span.clone()).is_some(), "a span of the text");
                assert!(leaf.line >= 1);
            }
        }
        Err(error) => assert!(!format!("{error} {error:?}").contains(SECRET)),
    }
});
