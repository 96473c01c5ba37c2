//! A JSON body, cut anywhere: accepted exactly when serde_json accepts it, with the same model, stream and limit.
#![no_main]

#[path = "../../crates/payload/tests/oracle/mod.rs"]
mod oracle;

use libfuzzer_sys::fuzz_target;

// The first byte tells the length of the pieces.
fuzz_target!(|input: &[u8]| {
    let Some((piece, body)) = input.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    oracle::check(body, &vec![piece; body.len() / piece]);
});
