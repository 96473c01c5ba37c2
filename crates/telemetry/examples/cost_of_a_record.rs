//! What the end of a request costs: counting it in all histograms, and writing its record over the oldest of the ring.
//!
//! `cargo run --release -p telemetry --example cost_of_a_record`
#![allow(clippy::print_stdout, reason = "a bench talks to a person")]

use arrayvec::ArrayVec;
use journey::{Candidate, Decision, Fitness, Outcome, PassedOver, ReservationId, Target, WhyPassedOver};
use payload::{Dialect, ModelName, TokenSource, Usage};
use scheduling::{CANDIDATES_MAX, ENDPOINTS_MAX, PASSED_OVER_MAX, Slot};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use telemetry::{Attempt, Record, RequestId, TargetChosen, Telemetry};

const REQUESTS: u64 = 2_000_000;

fn main() {
    let sample = record();
    println!("a record is {} bytes", size_of::<Record>());
    let building = time(|| drop(std::hint::black_box(sample.clone())));
    println!("building it (a clone): {building:.0} ns");
    for records in [0, 4_096] {
        let telemetry = Telemetry::new(1, records);
        let core = telemetry.core(0);
        let each = time(|| {
            core.begin();
            core.finish(std::hint::black_box(&mut sample.clone()));
        });
        println!("begin and finish, ring of {records}: {:.0} ns beside building it", each - building);
    }
}

/// Time that this thread has had on a core: unlike the clock's it does not count the machine's other work.
fn on_core() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    let nanos =
        told.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("the first word is a number");
    Duration::from_nanos(nanos)
}

/// Nanoseconds for each call.
fn time(mut call: impl FnMut()) -> f64 {
    (0..10_000).for_each(|_| call());
    let began = on_core();
    (0..REQUESTS).for_each(|_| call());
    (on_core() - began).as_secs_f64() * 1e9 / REQUESTS as f64
}

fn record() -> Record {
    let target =
        |port: u16| Target { slot: Slot(u32::from(port)), address: SocketAddr::from(([127, 0, 0, 1], port)) };
    let candidate = |port: u16| Candidate {
        target: target(port),
        total: 0.75,
        parts: [0.125; 6],
        fitness: Fitness::Ready,
        in_flight: 3,
        of_others: 0,
        after_failures: 0.0,
        waiting: 1,
        kv_used: 0.5,
        matched_bytes: 1024,
    };
    let passed = |port: u16| PassedOver { endpoint: target(port).address, why: WhyPassedOver::OutsideSubset };
    let decision = Decision {
        reservation: ReservationId { index: 0, generation: 0 },
        endpoints: (0..ENDPOINTS_MAX as u16).map(target).collect(),
        candidates: (0..CANDIDATES_MAX as u16).map(candidate).collect(),
        weighed: 10,
        passed_over: PASSED_OVER_MAX as u32,
        passed: (0..PASSED_OVER_MAX as u16).map(passed).collect(),
        sequence: 1,
    };
    Record {
        id: RequestId::from("0190b2f0-6c1e-7d6a-8a55-0f5c3b1a2d4e").expect("it fits"),
        at: SystemTime::now(),
        dialect: Dialect::ChatCompletions,
        rule: Some("default/routes-to-llms rule 0 match 0".into()),
        backend: Some("default/gemma3".into()),
        model: Some(ModelName("chatbot".into())),
        target_model: None,
        rewritten_by: None,
        model_known: true,
        target_chosen: TargetChosen::ByConfiguration,
        priority: Some(0),
        stream: true,
        prompt_bytes: 1_000,
        request_bytes: 1_024,
        response_bytes: 4_096,
        picker: None,
        decision: Some(decision),
        attempts: ArrayVec::from_iter([Attempt { endpoint: target(1).address, outcome: Outcome::Served }]),
        status: 200,
        refusal: None,
        headers_removed: 0,
        cancelled: false,
        decided_in: Duration::from_nanos(2_100),
        first_token_in: Some(Duration::from_millis(120)),
        ended_in: Duration::from_millis(1_800),
        usage: Usage {
            input_tokens: Some(250),
            cached_tokens: Some(128),
            output_tokens: Some(100),
            source: Some(TokenSource::Reported),
        },
    }
}
