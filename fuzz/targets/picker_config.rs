//! EndpointPickerConfig: whatever the text, it is obeyed or refused with a reason, and what is obeyed can pick.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scheduling::config::{TestPlugins, read};
use scheduling::{AdapterFit, Ask, Load, Slot, Weighing};

fuzz_target!(|text: &str| {
    let configured = match read(text, TestPlugins::Allowed) {
        Ok(configured) => configured,
        Err(error) => return assert!(!error.problems.is_empty(), "refused without a reason"),
    };
    let mut weighing = Weighing::default();
    let facts = [AdapterFit::UNTOLD, AdapterFit::FULL, AdapterFit::ROOM, AdapterFit::ACTIVE];
    for (slot, adapter) in (0..).zip(facts) {
        let reported = Load { waiting: Some(slot * 3), kv_used: 0.2 * slot as f32, ..Load::idle(Slot(slot)) };
        weighing.candidates.push(Load { adapter, matched_blocks: slot as u16, ..reported });
    }
    let ask = Ask { prompt_bytes: 1000, prompt_blocks: 4 };
    let policy = &configured.policy;
    let ranked = policy.rank(&mut weighing, &ask, &mut fastrand::Rng::with_seed(1));
    assert!(ranked.len() <= weighing.candidates.len());
    assert!((1..=scheduling::ENDPOINTS_MAX).contains(&policy.endpoints_max));
    if let Some(detector) = configured.detector {
        assert!(!detector.saturation(&weighing.candidates).is_nan());
    }
});
