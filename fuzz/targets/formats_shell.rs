//! Shell scripts.
#![no_main]

use bascule_formats::shell;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let script = shell::parse(text);
    drop(format!("{script:?}"));
    let _ = shell::interpreter(text);
});
