//! The body of DeleteObjects: what is accepted says no more than its keys.
#![no_main]
#![allow(dead_code, reason = "the module is the gateway's own")]

use libfuzzer_sys::fuzz_target;

#[path = "../../daemon/gateway/src/bulk.rs"]
mod bulk;

fuzz_target!(|data: &[u8]| {
    if let Ok(keys) = bulk::keys(data) {
        assert!(!keys.is_empty() && keys.len() <= 1000);
        for mark in ["<!--", "<![", "<!DOCTYPE"] {
            let mut windows = data.windows(mark.len());
            assert!(!windows.any(|window| window == mark.as_bytes()), "{mark}");
        }
    }
});
