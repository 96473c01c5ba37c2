//! What admit, pick and learn cost: weigh, look the prompt up, arrive, note the prompt, done.
//!
//! `cargo bench -p journey`. The bars: at 10 endpoints 1.2 µs for all of it, at 1,000 endpoints 50 µs.

use divan::Bencher;
use journey::{
    Admission, AdmissionSettings, Arrival, Decision, EndpointKey, ModelPolicies, Now, Outcome, PoolState,
    PoolView,
};
use payload::{ModelName, Prompt, Usage, block_end};
use scheduling::{Policy, PrefixIndex};
use signals::Signals;
use std::net::SocketAddr;
use std::sync::Arc;

fn main() {
    divan::main();
}

const ENDPOINTS: [u32; 3] = [10, 64, 1000];

/// A pool with requests under way, and what stands around it.
struct Yard {
    state: PoolState,
    view: PoolView,
    prefixes: PrefixIndex,
    policies: ModelPolicies,
    model: ModelName,
    random: fastrand::Rng,
    now: Now,
}

impl Yard {
    fn new(endpoints: u32) -> Yard {
        let address = |index: u32| SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 8000));
        let key = |index| EndpointKey { pod_uid: None, address: address(index) };
        let keys: Vec<EndpointKey> = (0..endpoints).map(key).collect();
        let mut state = PoolState::new(1);
        let slots = state.reconcile(&keys, Now(0)).slots;
        for &slot in &slots {
            let signals =
                Signals { waiting: Some(1), running: Some(3), kv_used: Some(0.3), ..Signals::default() };
            state.signal(slot, Some(signals), Now(0));
        }
        let mut yard = Yard {
            state,
            view: PoolView {
                name: Arc::from("default/gemma3"),
                slots,
                policy: Arc::new(Policy::default()),
                admission: AdmissionSettings::default(),
            },
            prefixes: PrefixIndex::default(),
            policies: ModelPolicies::default(),
            model: ModelName(Arc::from("gemma3")),
            random: fastrand::Rng::with_seed(1),
            now: Now(0),
        };
        (0..3 * endpoints).for_each(|_| drop(yard.send(&prompt(0, 1))));
        yard
    }

    fn send(&mut self, prompt: &Prompt) -> Decision {
        self.now = Now(self.now.0 + 1000);
        let admissible = self.policies.weigh(Some(&self.model), None, None, &mut self.random);
        let matches = self.prefixes.lookup(&self.model.0, prompt);
        let arrival = Arrival {
            pool: &self.view,
            priority: admissible.priority,
            model: &self.model.0,
            prompt,
            max_tokens: None,
            matches: &matches,
            subset: None,
            test_selection: None,
        };
        match self.state.arrive(arrival, self.now) {
            Admission::Send(decision) => decision,
            other => panic!("not sent: {other:?}"),
        }
    }

    fn end(&mut self, decision: &Decision) {
        self.now = Now(self.now.0 + 1000);
        self.state.done(decision.reservation, Outcome::Served, Usage::default(), self.now);
    }
}

/// A prompt with a hash chain of its own.
fn prompt(seed: u64, blocks: usize) -> Prompt {
    let block = |index| (seed << 16 | index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Prompt { bytes: block_end(blocks - 1) + 100, blocks: (0..blocks).map(block).collect(), salt: 0 }
}

/// A prompt of 1 KB that nobody has seen.
#[divan::bench(args = ENDPOINTS)]
fn small_and_new(bencher: Bencher<'_, '_>, endpoints: u32) {
    let (mut yard, mut seed) = (Yard::new(endpoints), 1);
    bencher.bench_local(|| {
        seed += 1;
        let prompt = prompt(seed, 1);
        let decision = yard.send(&prompt);
        yard.prefixes.insert(decision.endpoints[0].slot, "gemma3", &prompt);
        yard.end(&decision);
    });
}

/// A prompt of 1 KB that every endpoint holds.
#[divan::bench(args = ENDPOINTS)]
fn small_and_shared(bencher: Bencher<'_, '_>, endpoints: u32) {
    let (mut yard, prompt) = (Yard::new(endpoints), prompt(0, 1));
    yard.view.slots.iter().for_each(|&slot| yard.prefixes.insert(slot, "gemma3", &prompt));
    bencher.bench_local(|| {
        let decision = yard.send(&prompt);
        yard.prefixes.insert(decision.endpoints[0].slot, "gemma3", &prompt);
        yard.end(&decision);
    });
}

/// A conversation of 400 KB of which endpoints hold heads of different lengths.
#[divan::bench(args = ENDPOINTS)]
fn long_and_partly_held(bencher: Bencher<'_, '_>, endpoints: u32) {
    let (mut yard, whole) = (Yard::new(endpoints), prompt(0, 148));
    for &slot in &yard.view.slots {
        let head = Prompt { blocks: whole.blocks[..(slot.0 as usize * 37) % 148].into(), ..whole.clone() };
        yard.prefixes.insert(slot, "gemma3", &head);
    }
    bencher.bench_local(|| {
        let decision = yard.send(&whole);
        yard.end(&decision);
    });
}

/// The index alone: a prompt of 1 KB that nobody has seen.
#[divan::bench]
fn lookup_of_a_new_prompt(bencher: Bencher<'_, '_>) {
    let (yard, new) = (Yard::new(10), prompt(9, 1));
    bencher.bench_local(|| yard.prefixes.lookup("gemma3", &new));
}

/// The index alone: a conversation of 400 KB goes on at the endpoint that holds it.
#[divan::bench]
fn insert_of_a_held_conversation(bencher: Bencher<'_, '_>) {
    let (yard, whole) = (Yard::new(10), prompt(0, 148));
    bencher.bench_local(|| yard.prefixes.insert(yard.view.slots[0], "gemma3", &whole));
}
