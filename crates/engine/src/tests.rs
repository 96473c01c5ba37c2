//! The engine through its door.

use std::time::Duration;

use proptest::prelude::*;

use crate::{AdapterId, Coefficients, Config, Engine, Event, Prompt, Refused, Request, RequestId, Time};

/// A microsecond for each token computed and nothing else: what a step took is what it computed.
fn per_token() -> Coefficients {
    Coefficients { a1: 1.0, ..Coefficients::ZERO }
}

fn small() -> Config {
    Config {
        max_num_batched_tokens: 64,
        max_num_seqs: 4,
        num_gpu_blocks: 24,
        max_loras: 2,
        lora_load_time: Duration::from_micros(500),
        ..Config::of(per_token())
    }
}

fn prompt(ids: &[u64], tokens: u32) -> Prompt {
    Prompt::from_ids(ids.iter().copied(), tokens, 0, 16)
}

fn plain(ids: &[u64], tokens: u32, output_tokens: u32) -> Request {
    Request { prompt: prompt(ids, tokens), output_tokens, adapter: None }
}

fn run_dry(engine: &mut Engine) -> Vec<Event> {
    let mut events = Vec::new();
    while let Some(time) = engine.next_event() {
        engine.advance(time, &mut events);
    }
    events
}

fn first_token(events: &[Event], of: RequestId) -> (Time, u32) {
    let found = events.iter().find_map(|event| match *event {
        Event::FirstToken { id, at, cached_tokens } if id == of => Some((at, cached_tokens)),
        _ => None,
    });
    found.expect("every request gets a first token")
}

#[test]
fn a_prefix_sent_twice_is_found_in_the_cache() {
    let mut engine = Engine::new(small());
    let first = engine.submit(plain(&[1, 2, 3, 4], 64, 3), Time::ZERO).expect("fits");
    let events = run_dry(&mut engine);
    assert_eq!(first_token(&events, first), (Time(64_000), 0));
    // The last token is always computed, so its whole block is.
    let again = engine.submit(plain(&[1, 2, 3, 4], 64, 3), Time(1_000_000)).expect("fits");
    assert_eq!(engine.would_hit(&prompt(&[1, 2, 3, 4], 64)), 48);
    let events = run_dry(&mut engine);
    assert_eq!(first_token(&events, again), (Time(1_016_000), 48));
    // Another beginning hides an equal end.
    assert_eq!(engine.would_hit(&prompt(&[9, 2, 3, 4], 64)), 0);
}

#[test]
fn a_long_prompt_is_computed_in_chunks_while_others_decode() {
    let mut engine = Engine::new(small());
    let decoding = engine.submit(plain(&[1], 16, 10), Time::ZERO).expect("fits");
    engine.advance(Time(16_000), &mut Vec::new());
    let long = engine.submit(plain(&[5, 6, 7, 8, 9, 10, 11, 12], 128, 1), Time(16_000)).expect("fits");
    let events = run_dry(&mut engine);
    // The step under way at 16 µs computes the first request alone; then 63 + 63 + 2 tokens beside a decode each.
    assert_eq!(first_token(&events, long).0, Time(16_000 + 1_000 + 64_000 + 64_000 + 3_000));
    let between = events.iter().filter(|event| matches!(event, Event::Token { id, .. } if *id == decoding));
    assert_eq!(between.count(), 8);
}

#[test]
fn the_least_recently_used_tail_is_evicted_first() {
    let mut engine = Engine::new(small());
    let old: Vec<u64> = (0..8).collect();
    engine.submit(plain(&old, 128, 1), Time::ZERO).expect("fits");
    run_dry(&mut engine);
    // 24 blocks: 8 are cached, 16 are not; this one takes 19.
    let new: Vec<u64> = (100..119).collect();
    engine.submit(plain(&new, 19 * 16, 1), Time(1_000_000)).expect("fits");
    run_dry(&mut engine);
    assert_eq!(engine.blocks_evicted(), 3);
    assert_eq!(engine.would_hit(&prompt(&old, 129)), 5 * 16, "the head of the old prompt stays");
}

#[test]
fn the_last_running_request_makes_room_when_blocks_run_out() {
    let mut engine = Engine::new(Config { num_gpu_blocks: 8, ..small() });
    let first = engine.submit(plain(&[1, 2], 40, 60), Time::ZERO).expect("fits");
    let second = engine.submit(plain(&[3, 4], 40, 60), Time::ZERO).expect("fits");
    let events = run_dry(&mut engine);
    assert!(events.iter().any(|event| matches!(event, Event::Preempted { id, .. } if *id == second)));
    let order: Vec<RequestId> = events
        .iter()
        .filter_map(|event| match event {
            Event::Finished { id, generated: 60, .. } => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(order, [first, second]);
    assert!(engine.counters().preemptions > 0);
}

#[test]
fn a_request_larger_than_the_cache_is_refused() {
    let mut engine = Engine::new(small());
    let refused = engine.submit(plain(&[], 300, 100), Time::ZERO);
    assert_eq!(refused, Err(Refused::TooLong { needed: 400, capacity: 384 }));
}

#[test]
fn a_request_waits_for_its_adapter_and_a_slot() {
    let mut engine = Engine::new(Config { max_loras: 1, ..small() });
    let with = |adapter| Request { adapter: Some(AdapterId(adapter)), ..plain(&[], 10, 2) };
    let one = engine.submit(with(1), Time::ZERO).expect("fits");
    let two = engine.submit(with(2), Time::ZERO).expect("fits");
    let base = engine.submit(plain(&[], 10, 2), Time::ZERO).expect("fits");
    let mut early = Vec::new();
    engine.advance(Time(20_000), &mut early);
    assert_eq!(first_token(&early, base).0, Time(10_000), "who needs no adapter is not held up");
    let uses = engine.adapters();
    assert_eq!(uses.iter().map(|entry| entry.waiting).sum::<u32>(), 2);
    let events = run_dry(&mut engine);
    let loaded = 500_000;
    assert_eq!(first_token(&events, one).0, Time(loaded + 10_000));
    assert_eq!(first_token(&events, two).0, Time(2 * loaded + 10_000 + 1_000 + 10_000));
    assert_eq!(engine.adapter_loads(), 2);
}

#[test]
fn a_prefill_of_8192_tokens_takes_what_was_measured() {
    // Qwen3-32B on two H100: 425 ms by the operator tables, 20.5 thousand tokens a second measured by llm-d.
    let coefficients: Coefficients = "qwen3-32b-h100-tp2".parse().expect("a known set");
    let mut engine = Engine::new(Config::of(coefficients));
    let id = engine.submit(plain(&[], 8192, 1), Time::ZERO).expect("fits");
    let seconds = first_token(&run_dry(&mut engine), id).0.0 as f64 / 1e9;
    assert!((0.40..0.43).contains(&seconds), "{seconds}");
}

/// One thing done to an engine.
#[derive(Debug, Clone)]
enum Action {
    Submit { family: u64, tokens: u32, output_tokens: u32, adapter: Option<u32> },
    Cancel(usize),
    Wait(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        3 => (0..4_u64, 1..200_u32, 0..40_u32, proptest::option::of(0..4_u32)).prop_map(
            |(family, tokens, output_tokens, adapter)| Action::Submit { family, tokens, output_tokens, adapter }
        ),
        1 => (0..20_usize).prop_map(Action::Cancel),
        2 => (0..300_000_u64).prop_map(Action::Wait),
    ]
}

/// Plays the actions, then runs dry, checking the limits after every step.
fn play(actions: &[Action]) -> Result<(Engine, Vec<RequestId>, Vec<Event>), TestCaseError> {
    let mut engine = Engine::new(small());
    let (mut ids, mut events, mut now) = (Vec::new(), Vec::new(), Time::ZERO);
    for action in actions {
        match *action {
            Action::Submit { family, tokens, output_tokens, adapter } => {
                let ids_of_family: Vec<u64> = (0..20).map(|block| family * 100 + block).collect();
                let request = Request {
                    adapter: adapter.map(AdapterId),
                    ..plain(&ids_of_family, tokens, output_tokens)
                };
                ids.extend(engine.submit(request, now));
            }
            Action::Cancel(index) if index < ids.len() => engine.cancel(ids[index], now),
            Action::Cancel(_) => {}
            Action::Wait(nanoseconds) => {
                now.0 += nanoseconds;
                advance_checked(&mut engine, now, &mut events)?;
            }
        }
    }
    advance_checked(&mut engine, Time(u64::MAX), &mut events)?;
    Ok((engine, ids, events))
}

fn advance_checked(engine: &mut Engine, until: Time, events: &mut Vec<Event>) -> Result<(), TestCaseError> {
    while let Some(time) = engine.next_event().filter(|&time| time <= until) {
        let busy = engine.counters().busy_nanoseconds;
        engine.advance(time, events);
        let (load, limits) = (engine.load(), engine.config());
        prop_assert!(load.running <= limits.max_num_seqs);
        prop_assert!(load.blocks_held + load.blocks_cached <= load.blocks);
        let computed = (engine.counters().busy_nanoseconds - busy) / 1000;
        prop_assert!(computed <= u64::from(limits.max_num_batched_tokens), "{computed} tokens in a step");
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_leaks_and_every_request_ends_once(actions in proptest::collection::vec(action(), 0..60)) {
        let (engine, ids, events) = play(&actions)?;
        prop_assert!(engine.is_idle());
        prop_assert_eq!(engine.load().blocks_held, 0);
        let counters = engine.counters();
        prop_assert_eq!(counters.finished + counters.cancelled, ids.len() as u64);
        let finished = events.iter().filter(|event| matches!(event, Event::Finished { .. })).count();
        prop_assert_eq!(finished as u64, counters.finished);
        for id in ids {
            check_tokens(id, &events)?;
        }
    }

    #[test]
    fn the_same_actions_give_the_same_events(actions in proptest::collection::vec(action(), 0..60)) {
        prop_assert_eq!(play(&actions)?.2, play(&actions)?.2);
    }
}

/// A request's tokens come one by one, in the order of time, and nothing comes after the last.
fn check_tokens(of: RequestId, events: &[Event]) -> Result<(), TestCaseError> {
    let (mut tokens, mut last, mut ended) = (0, Time::ZERO, false);
    for event in events {
        let (id, at, generated) = match *event {
            Event::FirstToken { id, at, .. } => (id, at, 1),
            Event::Token { id, at, generated } | Event::Finished { id, at, generated } => (id, at, generated),
            Event::Preempted { .. } => continue,
        };
        if id != of {
            continue;
        }
        prop_assert!(!ended);
        let of_the_first = matches!(event, Event::Finished { .. }) && generated == 1;
        prop_assert_eq!(generated, if of_the_first { tokens } else { tokens + 1 });
        prop_assert!(at >= last);
        (tokens, last, ended) = (generated, at, matches!(event, Event::Finished { .. }));
    }
    Ok(())
}
