use super::*;
use crate::{AdmissionSettings, PoolView};
use payload::Prompt;
use proptest::prelude::*;
use scheduling::Policy;
use std::collections::VecDeque;
use std::sync::Arc;

const MS: u64 = 1_000_000;

/// A pool, its state and a clock in milliseconds.
struct Yard {
    state: PoolState,
    view: PoolView,
    now: Now,
}

/// What is asked; the rest of an arrival is as plain as can be.
#[derive(Default)]
struct Ask<'a> {
    priority: i32,
    model: &'a str,
    prompt_bytes: u64,
    held: &'a [(u32, u64)],
    subset: Option<&'a [SocketAddr]>,
}

fn address(index: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 8000))
}

fn key(index: u32) -> EndpointKey {
    EndpointKey { pod_uid: None, address: address(index) }
}

impl Yard {
    fn new(endpoints: u32) -> Yard {
        let mut state = PoolState::new(7);
        let keys: Vec<EndpointKey> = (0..endpoints).map(key).collect();
        let slots = state.reconcile(&keys, Now(0)).slots;
        let view = PoolView {
            name: Arc::from("default/gemma3"),
            slots,
            policy: Arc::new(Policy::default()),
            admission: AdmissionSettings::default(),
        };
        Yard { state, view, now: Now(0) }
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now = Now(self.now.0 + milliseconds * MS);
    }

    fn ask(&mut self, ask: Ask<'_>) -> Admission {
        let prompt = Prompt { bytes: ask.prompt_bytes, ..Prompt::default() };
        let heads = ask.held.iter().map(|&(slot, bytes)| (Slot(slot), bytes)).collect();
        let arrival = Arrival {
            pool: &self.view,
            priority: ask.priority,
            model: ask.model,
            prompt: &prompt,
            max_tokens: None,
            matches: &PrefixMatches { heads },
            subset: ask.subset,
        };
        self.state.arrive(arrival, self.now)
    }

    fn send(&mut self, ask: Ask<'_>) -> Decision {
        match self.ask(ask) {
            Admission::Send(decision) => decision,
            other => panic!("not sent: {other:?}"),
        }
    }

    fn refused(&mut self, ask: Ask<'_>) -> Refusal {
        match self.ask(ask) {
            Admission::Refuse(refusal) => refusal,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn plain(&mut self) -> Decision {
        self.send(Ask { prompt_bytes: 1000, ..Ask::default() })
    }

    fn end(&mut self, decision: &Decision, outcome: Outcome) {
        self.state.done(decision.reservation, outcome, Usage::default(), self.now);
    }

    /// Sends to `slot` only and ends with `outcome` at once.
    fn at(&mut self, slot: u32, outcome: Outcome) {
        let only = [address(slot)];
        let decision = self.send(Ask { subset: Some(&only), ..Ask::default() });
        self.end(&decision, outcome);
    }

    fn in_flight(&self) -> Vec<u32> {
        self.state.endpoints(self.now).iter().map(|status| status.in_flight).collect()
    }

    fn signal(&mut self, slot: u32, signals: Signals) -> Restarted {
        self.state.signal(Slot(slot), Some(signals), self.now)
    }
}

fn first(decision: &Decision) -> u32 {
    decision.endpoints[0].slot.0
}

fn load(waiting: u32, kv_used: f32) -> Signals {
    Signals { waiting: Some(waiting), running: Some(0), kv_used: Some(kv_used), ..Signals::default() }
}

const BAD: Outcome = Outcome::ServerError { status: 500 };

#[test]
fn a_burst_of_equals_spreads_within_one() {
    for endpoints in [3, 4, 7, 10] {
        let mut yard = Yard::new(endpoints);
        for prompt_bytes in 0..64 {
            yard.send(Ask { prompt_bytes: 300 + prompt_bytes * 40, ..Ask::default() });
        }
        let in_flight = yard.in_flight();
        let (least, most) = (in_flight.iter().min(), in_flight.iter().max());
        assert!(most.unwrap() - least.unwrap() <= 1, "{endpoints}: {in_flight:?}");
    }
}

/// Of 1,000 requests over four endpoints, the first of which answers 500 at once: how many it got.
fn share_of_a_failing_endpoint(at_once: usize) -> u32 {
    let mut yard = Yard::new(4);
    let mut under_way: VecDeque<(Now, Decision)> = VecDeque::new();
    let mut failed = 0;
    for _ in 0..1000 {
        if under_way.len() >= at_once {
            let (ends, decision) = under_way.pop_front().expect("some are under way");
            yard.now = yard.now.max(ends);
            yard.end(&decision, Outcome::Served);
        }
        let decision = yard.plain();
        if first(&decision) == 0 {
            failed += 1;
            yard.pass(1);
            yard.end(&decision, BAD);
        } else {
            under_way.push_back((yard.now.plus(Duration::from_millis(100)), decision));
        }
    }
    failed
}

#[test]
fn an_endpoint_that_fails_fast_gets_hardly_anything() {
    for at_once in [1, 2, 8, 32, 64] {
        let failed = share_of_a_failing_endpoint(at_once);
        assert!(failed < 20, "{at_once} at once: {failed} of 1000");
    }
}
