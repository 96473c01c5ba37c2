use super::*;
use crate::{AdmissionSettings, PoolView};
use payload::Prompt;
use proptest::prelude::*;
use scheduling::plugins::PluginKind;
use scheduling::{Policy, PrefixMatches};
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
            matches: &PrefixMatches { heads, ..PrefixMatches::default() },
            subset: ask.subset,
            test_selection: None,
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

#[test]
fn the_state_decides() {
    const KB: u64 = 1024;
    /// Signals and requests under way, by endpoint; the request; who gets it.
    struct Row {
        what: &'static str,
        signals: Vec<(u32, Signals)>,
        under_way: Vec<(u32, u64)>,
        ask: Ask<'static>,
        expected: u32,
    }
    let lora = |running: &[&str], max| {
        let running = running.iter().map(|&name| Box::from(name)).collect();
        Signals { adapters: Some(signals::Adapters { max, running, waiting: vec![] }), ..Signals::default() }
    };
    let table = [
        Row {
            what: "the one with fewer requests of ours",
            signals: vec![],
            under_way: vec![(0, 0), (0, 0), (1, 0)],
            ask: Ask::default(),
            expected: 1,
        },
        Row {
            what: "requests of others count",
            signals: vec![(0, Signals { running: Some(3), ..Signals::default() })],
            under_way: vec![(1, 0), (1, 0)],
            ask: Ask::default(),
            expected: 1,
        },
        Row {
            what: "an endpoint that never reported is not full",
            signals: vec![(0, load(9, 0.9))],
            under_way: vec![],
            ask: Ask::default(),
            expected: 1,
        },
        Row {
            what: "a nearly full KV cache keeps requests away",
            signals: vec![(0, load(0, 0.95)), (1, load(0, 0.7))],
            under_way: vec![(1, 0), (1, 0), (1, 0)],
            ask: Ask::default(),
            expected: 1,
        },
        Row {
            what: "who holds the prompt",
            signals: vec![],
            under_way: vec![(1, 0)],
            ask: Ask { prompt_bytes: 9 * KB, held: &[(1, 8 * KB)], ..Ask::default() },
            expected: 1,
        },
        Row {
            what: "a short match does not outweigh load",
            signals: vec![],
            under_way: vec![(1, 0), (1, 0), (1, 0)],
            ask: Ask { prompt_bytes: 9 * KB, held: &[(1, KB)], ..Ask::default() },
            expected: 0,
        },
        Row {
            what: "affinity gives way behind a long backlog",
            signals: vec![],
            under_way: vec![(1, 200 * KB)],
            ask: Ask { prompt_bytes: 9 * KB, held: &[(1, 9 * KB)], ..Ask::default() },
            expected: 0,
        },
        Row {
            what: "who runs the adapter",
            signals: vec![(0, lora(&["other"], 1)), (1, lora(&["mine"], 1))],
            under_way: vec![(1, 0)],
            ask: Ask { model: "mine", ..Ask::default() },
            expected: 1,
        },
    ];
    for Row { what, signals, under_way, ask, expected } in table {
        let mut yard = Yard::new(2);
        for (slot, signals) in signals {
            yard.signal(slot, signals);
        }
        for (slot, prompt_bytes) in under_way {
            yard.send(Ask { prompt_bytes, subset: Some(&[address(slot)]), ..Ask::default() });
        }
        assert_eq!(first(&yard.send(ask)), expected, "{what}");
    }
}

#[test]
fn a_decision_is_complete() {
    let mut yard = Yard::new(12);
    yard.signal(3, load(1, 0.25));
    let decision = yard.send(Ask { prompt_bytes: 4096, held: &[(3, 4096)], ..Ask::default() });
    assert_eq!((decision.weighed, decision.passed_over, decision.sequence), (12, 0, 1));
    assert_eq!(decision.endpoints.len(), ENDPOINTS_MAX);
    assert_eq!(decision.endpoints[0], Target { slot: Slot(3), address: address(3) });
    let best = decision.candidates[0];
    assert_eq!((best.waiting, best.kv_used, best.matched_bytes, best.in_flight), (1, 0.25, 4096, 0));
    let silent = decision.candidates[1];
    assert!(silent.waiting == u32::MAX && silent.kv_used.is_nan() && silent.matched_bytes == 0);
    let names = yard.view.policy.scorer_names();
    for candidate in &decision.candidates {
        let sum: f32 = candidate.parts[..names.len()].iter().sum();
        assert!((sum - candidate.total).abs() < 1e-6, "{candidate:?}");
    }
    assert!(decision.candidates.is_sorted_by(|a, b| a.total >= b.total));
}

#[test]
fn a_reservation_is_given_back_once() {
    let mut yard = Yard::new(1);
    let (one, _other) = (yard.plain(), yard.plain());
    yard.end(&one, Outcome::Served);
    yard.end(&one, Outcome::Served);
    assert_eq!(yard.in_flight(), [1]);
    let next = yard.plain();
    assert_eq!(next.reservation.index, one.reservation.index, "the place is used again");
    yard.end(&one, Outcome::Served);
    assert_eq!(yard.in_flight(), [2], "an old reservation does not end a new one");
}

#[test]
fn a_recount_restores_what_endpoints_carry_from_what_is_reserved() {
    let mut yard = Yard::new(2);
    (0..3).for_each(|_| yard.at(0, BAD));
    yard.pass(1000);
    let only = [address(0)];
    let trial = yard.send(Ask { subset: Some(&only), ..Ask::default() });
    let held: Vec<Decision> =
        (0..2).map(|_| yard.send(Ask { prompt_bytes: 20_000, ..Ask::default() })).collect();
    let carried = yard.in_flight();
    assert_eq!(carried, [1, 2]);
    let backlog =
        |yard: &Yard| yard.state.roster[Slot(1)].load(Slot(1), 0, "", 10.0, yard.now).backlog_seconds;
    let before = backlog(&yard);

    // As a panic may leave it: counted and not reserved, reserved and not counted, vacant and not listed.
    yard.state.roster[Slot(1)].in_flight = 7;
    yard.state.reservations.take(trial.reservation);
    yard.state.reservations.forget_vacant();
    yard.state.recount();
    assert_eq!(yard.in_flight(), [0, 2]);
    let again = yard.send(Ask { subset: Some(&only), ..Ask::default() });
    assert_eq!(again.reservation.index, trial.reservation.index, "the place is vacant");
    yard.end(&again, Outcome::Served);
    assert_eq!(yard.state.endpoints(yard.now)[0].resting, None, "the lost trial was had again");
    for (decision, left) in held.iter().zip([before / 2.0, 0.0]) {
        yard.end(decision, Outcome::Served);
        assert!((backlog(&yard) - left).abs() < 1e-6);
    }
    assert_eq!(yard.in_flight(), [0, 0]);
}

#[test]
fn a_moved_request_counts_where_it_is() {
    let mut yard = Yard::new(2);
    let decision = yard.plain();
    let (from, to) = (decision.endpoints[0].slot, decision.endpoints[1].slot);
    yard.state.moved(decision.reservation, to, Outcome::Broken, yard.now);
    assert_eq!(yard.in_flight()[from.0 as usize], 0);
    assert_eq!(yard.in_flight()[to.0 as usize], 1);
    yard.end(&decision, Outcome::Served);
    assert_eq!(yard.in_flight(), [0, 0]);
}

#[test]
fn a_request_moved_to_nobody_is_held_by_nobody() {
    let mut yard = Yard::new(1);
    let decision = yard.plain();
    yard.state.moved(decision.reservation, Slot(9), Outcome::Broken, yard.now);
    yard.end(&decision, Outcome::Served);
    assert_eq!(yard.in_flight(), [0]);
}

#[test]
fn a_backlog_passes_with_time_and_with_first_tokens() {
    let mut yard = Yard::new(1);
    let backlog = |yard: &mut Yard| {
        let probe = yard.plain();
        yard.end(&probe, Outcome::Cancelled);
        -probe.candidates[0].parts[1]
    };
    let long = yard.send(Ask { prompt_bytes: 64 << 10, ..Ask::default() });
    let next = yard.send(Ask { prompt_bytes: 64 << 10, ..Ask::default() });
    assert!((backlog(&mut yard) - 2.0 * 1.0486).abs() < 0.01);
    yard.pass(500);
    assert!((backlog(&mut yard) - (2.0 * 1.0486 - 0.5)).abs() < 0.01, "time passes");
    yard.state.first_token(long.reservation, yard.now);
    assert!((backlog(&mut yard) - 1.0486).abs() < 0.01, "faster than expected");
    yard.end(&next, Outcome::Cancelled);
    assert_eq!(backlog(&mut yard), 0.0);
}

#[test]
fn three_failures_rest_an_endpoint_and_one_trial_brings_it_back() {
    let mut yard = Yard::new(2);
    let resting = |yard: &Yard| yard.state.endpoints(yard.now)[0].resting.map(|left| left.as_millis());
    yard.at(0, BAD);
    yard.at(0, Outcome::Served);
    yard.at(0, BAD);
    yard.at(0, Outcome::TimedOut);
    assert_eq!(resting(&yard), None, "not in a row");
    yard.at(0, Outcome::Broken);
    assert_eq!(resting(&yard), Some(1000));
    assert_eq!(first(&yard.plain()), 1);
    let on_trial = |yard: &Yard| yard.state.endpoints(yard.now)[0].on_trial;
    let why = |yard: &mut Yard| {
        let decision = yard.plain();
        assert_eq!((decision.passed_over, decision.passed[0].endpoint), (1, address(0)));
        decision.passed[0].why
    };
    yard.pass(999);
    assert_eq!(why(&mut yard), WhyPassedOver::Resting(Duration::from_millis(1)));
    assert!(!on_trial(&yard));
    yard.pass(1);
    assert!(on_trial(&yard), "its next request is the trial");
    let trial = yard.send(Ask { prompt_bytes: 9000, held: &[(0, 9000)], ..Ask::default() });
    assert_eq!((first(&trial), trial.candidates[0].fitness), (0, Fitness::Trial));
    assert_eq!(resting(&yard), Some(0), "one trial at a time");
    assert_eq!((why(&mut yard), on_trial(&yard)), (WhyPassedOver::OnTrial, true));
    yard.end(&trial, BAD);
    assert_eq!(resting(&yard), Some(2000), "doubled");
    yard.pass(2000);
    yard.at(0, Outcome::Cancelled);
    assert_eq!(resting(&yard), None, "a cancelled trial is had again");
    yard.at(0, Outcome::Served);
    for _ in 0..2 {
        yard.at(0, BAD);
        assert_eq!(resting(&yard), None, "it has to fail three times again");
    }
}

#[test]
fn each_rest_that_begins_is_an_ejection() {
    let mut yard = Yard::new(2);
    let ejections = |yard: &Yard| yard.state.endpoints(yard.now)[0].ejections;
    for _ in 0..3 {
        assert_eq!(ejections(&yard), 0);
        yard.at(0, BAD);
    }
    assert_eq!(ejections(&yard), 1);
    yard.at(0, BAD);
    assert_eq!(ejections(&yard), 1, "it rests already");
    yard.pass(1000);
    yard.at(0, BAD);
    assert_eq!(ejections(&yard), 2, "its trial failed");
    yard.signal(0, load(0, 0.0));
    for _ in 0..5 {
        yard.state.signal(Slot(0), None, yard.now);
    }
    assert_eq!(ejections(&yard), 3, "it stopped answering scrapes");
}

#[test]
fn a_rest_is_never_longer_than_a_minute() {
    let mut yard = Yard::new(2);
    for _ in 0..3 {
        yard.at(0, BAD);
    }
    for _ in 0..10 {
        yard.pass(60_000);
        yard.at(0, BAD);
    }
    let resting = yard.state.endpoints(yard.now)[0].resting;
    assert_eq!(resting, Some(Duration::from_secs(60)));
}

#[test]
fn a_first_token_ends_a_trial() {
    let mut yard = Yard::new(2);
    for _ in 0..3 {
        yard.at(0, BAD);
    }
    yard.pass(1000);
    let trial = yard.send(Ask { subset: Some(&[address(0)]), ..Ask::default() });
    yard.state.first_token(trial.reservation, yard.now);
    assert_eq!(yard.state.endpoints(yard.now)[0].resting, None);
}

#[test]
fn at_most_half_of_a_pool_rests() {
    for (endpoints, ready) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)] {
        let mut yard = Yard::new(endpoints);
        for slot in 0..endpoints {
            for _ in 0..3 {
                yard.at(slot, BAD);
            }
        }
        let decision = yard.plain();
        assert_eq!(decision.weighed, ready, "of {endpoints}");
        assert_eq!(decision.passed_over, endpoints - ready);
    }
}

#[test]
fn an_endpoint_that_rests_by_halves_only_is_the_last_choice() {
    let mut yard = Yard::new(3);
    for slot in 0..2 {
        for _ in 0..3 {
            yard.at(slot, BAD);
        }
    }
    for _ in 0..10 {
        assert_eq!(first(&yard.plain()), 2);
    }
    let forced = yard.plain().candidates[1];
    // Sixteen for the rest that it does not have, and its three failures.
    assert_eq!((forced.fitness, forced.in_flight, forced.after_failures), (Fitness::ThoughResting, 0, 19.0));
    assert!((forced.parts[0] - -0.02 * 19.0).abs() < 1e-6, "the score follows from what is told: {forced:?}");
}

#[test]
fn a_decision_names_a_few_of_those_outside_its_subset_and_of_those_that_a_filter_took_away() {
    let mut yard = Yard::new(8);
    let only = [address(6), address(7)];
    let decision = yard.send(Ask { subset: Some(&only), ..Ask::default() });
    assert_eq!((decision.weighed, decision.passed_over, decision.passed.len()), (2, 6, PASSED_OVER_MAX));
    assert!(decision.passed.iter().all(|passed| passed.why == WhyPassedOver::OutsideSubset));
    let filter = scheduling::filters::LowQueueFilter { threshold: 3 };
    let mut policy = Policy::default();
    policy.filters.push(scheduling::filters::Filter::LowQueue(filter));
    yard.view.policy = Arc::new(policy);
    for slot in [1, 4] {
        yard.signal(slot, load(9, 0.1));
    }
    let decision = yard.plain();
    let passed =
        |slot| PassedOver { endpoint: address(slot), why: WhyPassedOver::Filtered("low-queue-filter") };
    assert_eq!((decision.weighed, decision.passed_over), (6, 2));
    assert_eq!(decision.passed[..], [passed(1), passed(4)]);
}

#[test]
fn an_endpoint_that_stops_answering_scrapes_rests_until_it_answers() {
    let mut yard = Yard::new(2);
    yard.signal(0, load(0, 0.0));
    for _ in 0..3 {
        assert_eq!(yard.plain().weighed, 2);
        yard.state.signal(Slot(0), None, yard.now);
        yard.state.signal(Slot(1), None, yard.now);
    }
    let decision = yard.plain();
    assert_eq!((first(&decision), decision.weighed), (1, 1), "the other never answered any");
    assert_eq!(decision.passed[0].why, WhyPassedOver::Unscraped);
    yard.signal(0, Signals::default());
    assert_eq!(yard.plain().weighed, 2);
}

#[test]
fn a_pick_that_somebody_looks_on_at_is_no_other() {
    struct Counting(usize);
    impl Watch for Counting {
        fn begins(&mut self) {}
        fn ran(&mut self, _: PluginKind, _: &'static str) {
            self.0 += 1;
        }
    }
    let (mut alone, mut watched, mut counting) = (Yard::new(8), Yard::new(8), Counting(0));
    for _ in 0..50 {
        let (prompt, matches) = (Prompt { bytes: 1000, ..Prompt::default() }, PrefixMatches::default());
        let arrival = Arrival {
            pool: &watched.view,
            priority: 0,
            model: "",
            prompt: &prompt,
            max_tokens: None,
            matches: &matches,
            subset: None,
            test_selection: None,
        };
        let admission = watched.state.arrive_watched(arrival, watched.now, &mut counting);
        let Admission::Send(decision) = admission else { panic!("not sent: {admission:?}") };
        assert_eq!(decision.endpoints, alone.plain().endpoints);
    }
    assert_eq!(counting.0, 50 * (watched.view.policy.scorers.len() + 1));
}

#[test]
fn what_an_endpoint_reported_counts_no_more_once_it_is_stale() {
    for (fresh_seconds, age_milliseconds, believed) in
        [(10.0, 9_000, true), (10.0, 11_000, false), (2.0, 1_900, true), (2.0, 2_100, false)]
    {
        let mut yard = Yard::new(1);
        yard.view.admission.reports_fresh_seconds = fresh_seconds;
        yard.signal(0, load(6, 0.5));
        yard.pass(age_milliseconds);
        let weighed = yard.plain().candidates[0];
        let expected = if believed { 6 } else { u32::MAX };
        assert_eq!((weighed.waiting, weighed.kv_used.is_nan()), (expected, !believed), "{fresh_seconds}");
    }
}

#[test]
fn a_failed_request_counts_as_load_until_it_should_have_ended() {
    let mut yard = Yard::new(2);
    for slot in [0, 1] {
        let only = [address(slot)];
        let decision = yard.send(Ask { subset: Some(&only), ..Ask::default() });
        yard.pass(1000);
        yard.end(&decision, Outcome::Served);
    }
    yard.at(0, BAD);
    for _ in 0..20 {
        let decision = yard.plain();
        assert_eq!(first(&decision), 1, "it failed a moment ago");
        yard.end(&decision, Outcome::Served);
    }
    yard.pass(5000);
    let firsts: Vec<u32> = (0..20)
        .map(|_| {
            let decision = yard.plain();
            yard.end(&decision, Outcome::Cancelled);
            first(&decision)
        })
        .collect();
    assert!(firsts.contains(&0), "{firsts:?}");
}

#[test]
fn foreign_load_leaves_out_what_is_ours() {
    let mut yard = Yard::new(2);
    let ours: Vec<Decision> = (0..4).map(|_| yard.plain()).collect();
    for decision in &ours {
        yard.end(decision, Outcome::Cancelled);
    }
    let counted = Signals { running: Some(2), ..Signals::default() };
    yard.signal(0, counted.clone());
    let only = [address(0)];
    let unseen = |yard: &mut Yard| {
        let decision = yard.send(Ask { subset: Some(&only), ..Ask::default() });
        yard.end(&decision, Outcome::Cancelled);
        let of_slot_0 = &decision.candidates[0];
        let counted = (of_slot_0.parts[0] / -0.02).round() as u32;
        assert_eq!((of_slot_0.of_others, of_slot_0.in_flight), (counted, 0));
        counted
    };
    assert_eq!(unseen(&mut yard), 0, "the page may be from when they ran");
    yard.signal(0, Signals { running: Some(10), ..Signals::default() });
    assert_eq!(unseen(&mut yard), 9, "one of ours was there since the last page");
    yard.state.signal(Slot(0), None, yard.now);
    assert_eq!(unseen(&mut yard), 4, "fades with each scrape missed");
    yard.pass(11_000);
    assert_eq!(unseen(&mut yard), 0, "and is not believed for ever");
}

#[test]
fn only_below_zero_is_shed_and_only_when_no_endpoint_has_room() {
    let table = [
        ("queues", [load(6, 0.1), load(6, 0.1)], true),
        ("KV caches", [load(0, 0.81), load(0, 0.9)], true),
        ("one of each", [load(6, 0.1), load(0, 0.81)], true),
        ("at the limits", [load(5, 0.8), load(9, 0.9)], false),
    ];
    for (what, signals, full) in table {
        let mut yard = Yard::new(2);
        for (slot, signals) in (0..).zip(signals) {
            yard.signal(slot, signals);
        }
        yard.send(Ask::default());
        match yard.ask(Ask { priority: -1, ..Ask::default() }) {
            Admission::Send(_) => assert!(!full, "{what}"),
            Admission::Refuse(refusal) => assert!(full && refusal.status() == 429, "{what}: {refusal}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_endpoint_that_never_reported_is_full_by_requests_in_flight() {
    let mut yard = Yard::new(1);
    for _ in 0..6 {
        yard.send(Ask { priority: -1, ..Ask::default() });
    }
    let refusal = yard.refused(Ask { priority: -1, ..Ask::default() });
    assert_eq!(
        refusal.to_string(),
        "InferencePool default/gemma3 is saturated and the request's priority is -1: its one ready endpoint has more than 5 requests waiting or KV use above 0.8"
    );
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1)));
}

#[test]
fn an_empty_pick_says_why() {
    let refusal = Yard::new(0).refused(Ask::default());
    assert_eq!(
        refusal.to_string(),
        "no ready endpoint in InferencePool default/gemma3: 0 of 0 ready, 0 resting after failures, 0 outside the subset; its selector matches no ready Pod or EndpointSlice address"
    );
    let refusal = Yard::new(3).refused(Ask { subset: Some(&[address(9)]), ..Ask::default() });
    assert!(refusal.to_string().contains("0 of 3 ready, 0 resting after failures, 3 outside the subset"));
}

#[test]
fn a_restart_is_seen_by_a_counter_that_falls() {
    let mut yard = Yard::new(1);
    let served = |served| Signals { served: Some(served), ..Signals::default() };
    let table =
        [(served(5.0), Restarted::No), (served(9.0), Restarted::No), (Signals::default(), Restarted::No)];
    for (signals, expected) in table {
        assert_eq!(yard.signal(0, signals), expected);
    }
    assert_eq!(yard.signal(0, served(8.0)), Restarted::Yes);
    assert_eq!(yard.signal(0, served(8.0)), Restarted::No);
}

#[test]
fn endpoints_keep_their_places_and_departed_ones_wait_for_their_requests() {
    let mut yard = Yard::new(3);
    let under_way = yard.send(Ask { subset: Some(&[address(1)]), ..Ask::default() });
    let reconciled = yard.state.reconcile(&[key(2), key(3)], yard.now);
    assert_eq!(reconciled, Reconciled { slots: vec![Slot(2), Slot(3)], vacated: vec![Slot(0)] });
    let departed: Vec<bool> = yard.state.endpoints(yard.now).iter().map(|status| status.departed).collect();
    assert_eq!(departed, [true, false, false], "the first is forgotten");
    assert_eq!(yard.plain().weighed, 1, "an old view picks whom it shares with the new one");
    let returned = yard.state.reconcile(&[key(1), key(2)], yard.now);
    assert_eq!(returned.slots, [Slot(1), Slot(2)], "it had not been forgotten");
    yard.state.reconcile(&[key(2)], yard.now);
    yard.end(&under_way, Outcome::Served);
    assert_eq!(yard.state.endpoints(yard.now).len(), 1);
    assert_eq!(yard.state.reconcile(&[key(2)], yard.now).vacated, [Slot(1)]);
}

#[test]
fn a_place_is_not_taken_again_before_old_views_are_gone() {
    let mut yard = Yard::new(1);
    yard.state.reconcile(&[], yard.now);
    assert_eq!(yard.state.reconcile(&[key(1)], yard.now).slots, [Slot(1)]);
    yard.pass(600_000);
    let reconciled = yard.state.reconcile(&[key(1), key(2)], yard.now);
    assert_eq!(reconciled, Reconciled { slots: vec![Slot(1), Slot(0)], vacated: vec![Slot(0)] });
}

#[test]
fn two_pods_at_one_address_are_two_endpoints() {
    let mut state = PoolState::new(1);
    let pod = |uid: &str| EndpointKey { pod_uid: Some(Arc::from(uid)), address: address(0) };
    let slots = state.reconcile(&[pod("a"), pod("b"), pod("a")], Now(0)).slots;
    assert_eq!(slots, [Slot(0), Slot(1), Slot(0)]);
}

#[derive(Debug, Clone)]
enum Event {
    Arrive { prompt_bytes: u64, priority: i32, subset: Option<u32> },
    Move { which: usize, to: u32 },
    FirstToken { which: usize },
    Done { which: usize, outcome: Outcome, twice: Twice },
    Signal { slot: u32, scrape: Option<(u32, u32)> },
    Reconcile { endpoints: Vec<u32> },
    Pass { milliseconds: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Twice {
    No,
    Yes,
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Served),
        1 => Just(BAD),
        1 => Just(Outcome::Broken),
        1 => Just(Outcome::TimedOut),
        1 => Just(Outcome::Cancelled),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0u64..100_000, -1i32..2, prop::option::weighted(0.2, 0u32..8))
            .prop_map(|(prompt_bytes, priority, subset)| Event::Arrive { prompt_bytes, priority, subset }),
        2 => (any::<usize>(), 0u32..10).prop_map(|(which, to)| Event::Move { which, to }),
        3 => any::<usize>().prop_map(|which| Event::FirstToken { which }),
        6 => (any::<usize>(), outcome(), prop_oneof![Just(Twice::No), Just(Twice::Yes)])
            .prop_map(|(which, outcome, twice)| Event::Done { which, outcome, twice }),
        2 => (0u32..10, prop::option::of((0u32..9, 0u32..9)))
            .prop_map(|(slot, scrape)| Event::Signal { slot, scrape }),
        1 => prop::collection::vec(0u32..8, 0..6).prop_map(|endpoints| Event::Reconcile { endpoints }),
        4 => (0u64..3000).prop_map(|milliseconds| Event::Pass { milliseconds }),
    ]
}

/// Plays `events`; answers what was decided, and checks after each that what is in flight is what is reserved.
fn play(events: &[Event]) -> Vec<String> {
    let mut yard = Yard::new(4);
    let mut reserved: Vec<ReservationId> = Vec::new();
    let mut told = Vec::new();
    for event in events {
        match event.clone() {
            Event::Arrive { prompt_bytes, priority, subset } => {
                let only = subset.map(|index| [address(index)]);
                let subset = only.as_ref().map(|only| only.as_slice());
                let admission = yard.ask(Ask { prompt_bytes, priority, subset, ..Ask::default() });
                told.push(format!("{admission:?}"));
                if let Admission::Send(decision) = admission {
                    reserved.push(decision.reservation);
                }
            }
            Event::Move { which, to } if !reserved.is_empty() => {
                let id = reserved[which % reserved.len()];
                yard.state.moved(id, Slot(to), Outcome::Broken, yard.now);
            }
            Event::FirstToken { which } if !reserved.is_empty() => {
                yard.state.first_token(reserved[which % reserved.len()], yard.now);
            }
            Event::Done { which, outcome, twice } if !reserved.is_empty() => {
                let id = reserved.swap_remove(which % reserved.len());
                yard.state.done(id, outcome, Usage::default(), yard.now);
                if twice == Twice::Yes {
                    yard.state.done(id, outcome, Usage::default(), yard.now);
                }
            }
            Event::Signal { slot, scrape } => {
                let signals = |(waiting, running)| Signals { running: Some(running), ..load(waiting, 0.5) };
                yard.state.signal(Slot(slot), scrape.map(signals), yard.now);
            }
            Event::Reconcile { endpoints } => {
                let keys: Vec<EndpointKey> = endpoints.into_iter().map(key).collect();
                yard.view.slots = yard.state.reconcile(&keys, yard.now).slots;
                yard.view.slots.sort_unstable();
                yard.view.slots.dedup();
            }
            Event::Pass { milliseconds } => yard.pass(milliseconds),
            Event::Move { .. } | Event::FirstToken { .. } | Event::Done { .. } => {}
        }
        let held = reserved.iter().filter_map(|&id| yard.state.reservations.get(id)?.slot);
        let mut by_slot = std::collections::BTreeMap::new();
        held.for_each(|slot| *by_slot.entry(slot).or_insert(0) += 1);
        let in_flight =
            yard.state.endpoints(yard.now).into_iter().map(|status| (status.slot, status.in_flight));
        assert_eq!(
            in_flight.filter(|&(_, count)| count > 0).collect::<std::collections::BTreeMap<_, _>>(),
            by_slot
        );
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn in_flight_is_what_is_reserved_and_same_events_decide_alike(events in prop::collection::vec(event(), 1..80)) {
        prop_assert_eq!(play(&events), play(&events));
    }
}

#[test]
fn a_pick_of_somebody_else_counts_as_load_and_is_retried_in_its_order() {
    let mut yard = Yard::new(3);
    let target = |index: u32| Target { slot: yard.view.slots[index as usize], address: address(index) };
    let gone = Target { address: address(9), ..target(0) };
    let targets = [gone, target(2), target(1)];
    let decision = yard.state.assigned(&targets, 4096, yard.now).expect("two of three are there");
    assert_eq!(decision.endpoints[..], targets[1..]);
    assert!(decision.candidates.is_empty());
    let in_flight = |yard: &Yard| -> Vec<u32> {
        yard.state.endpoints(yard.now).iter().map(|endpoint| endpoint.in_flight).collect()
    };
    assert_eq!(in_flight(&yard), [0, 0, 1]);
    yard.state.moved(decision.reservation, targets[2].slot, Outcome::Broken, yard.now);
    assert_eq!(in_flight(&yard), [0, 1, 0]);
    yard.state.done(decision.reservation, Outcome::Served, Usage::default(), yard.now);
    assert_eq!(in_flight(&yard), [0, 0, 0]);
    assert!(yard.state.assigned(&[gone], 0, yard.now).is_none());
}
