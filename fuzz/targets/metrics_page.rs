//! A metrics page of any bytes: no engine panics, and what is read is a count, a fraction or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signals::{Engine, page};

fuzz_target!(|bytes: &[u8]| {
    let _ = Engine::detect(bytes);
    for engine in Engine::ALL {
        let signals = engine.read(bytes);
        assert!(signals.kv_used.is_none_or(|used| (0.0..=1.0).contains(&used)));
        assert!(signals.waiting != Some(u32::MAX) && signals.running != Some(u32::MAX));
    }
    for sample in page::lines(bytes).filter_map(|line| line.sample()) {
        assert!(sample.labels.iter().count() <= bytes.len());
    }
});
