//! A manifest of any bytes: checked without a panic, and every finding points into it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|text: &[u8]| {
    for finding in resources::check_text(Path::new("a.yaml"), text) {
        assert!(finding.origin.line as usize <= text.len() + 1);
        assert!(!finding.message.is_empty());
    }
});
