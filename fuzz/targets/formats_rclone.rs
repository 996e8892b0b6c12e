//! rclone's connection strings and lists, and configurations that are or claim to be encrypted.
#![no_main]

use bascule_formats::rclone::{Reference, is_encrypted, list, unlock};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(reference) = Reference::parse(text) {
        let _ = reference.option("access_key_id");
        assert!(text.contains(reference.path));
    }
    for item in list(text) {
        let _ = Reference::parse(&item);
    }
    if is_encrypted(text) {
        let _ = unlock(text, "password");
    }
});
