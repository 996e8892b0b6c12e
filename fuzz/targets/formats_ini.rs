//! The dialects of INI whose values are replaced, and a key put into what they hold.
#![no_main]

use bascule_formats::{Dialect, Document};
use bascule_fuzz::{SECRET, chosen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = chosen(data) else {
        return;
    };
    let dialect = [Dialect::Rclone, Dialect::Aws, Dialect::GoSdk][first % 3];
    match Document::parse(text, dialect) {
        Ok(document) => {
            for section in document.sections() {
                assert!(text.get(section.name_span.clone()).is_some());
                for entry in &section.entries {
                    assert_eq!(text.get(entry.key_span.clone()), Some(entry.key));
                    assert_eq!(text.get(entry.value_span.clone()), Some(entry.value));
                    let _ = document.entry(section.name, entry.key);
                }
            }
        }
        Err(error) => assert!(!format!("{error} {error:?}").contains(SECRET)),
    }
});
