//! The engine's time per output token against servers that were measured.
//!
//! Source: AIConfigurator's silicon sample (Apache-2.0): Llama-3.1-70B FP8 on four H100, vLLM, in a closed loop.

use engine::{Coefficients, Config, Engine, Event, Prompt, Request, Time};

/// Prompt tokens, output tokens, concurrency, measured milliseconds per output token.
const POINTS: [(u32, u32, u32, f64); 15] = [
    (1024, 1024, 4, 11.7761),
    (1024, 1024, 8, 12.1104),
    (1024, 1024, 16, 13.1921),
    (1024, 1024, 32, 16.4915),
    (1024, 1024, 64, 19.5146),
    (1024, 8192, 4, 11.9954),
    (1024, 8192, 8, 12.6564),
    (1024, 8192, 16, 14.0948),
    (1024, 8192, 32, 18.3858),
    (1024, 8192, 64, 23.4067),
    (8192, 1024, 4, 13.2742),
    (8192, 1024, 8, 15.7661),
    (8192, 1024, 16, 21.0640),
    (8192, 1024, 32, 32.8243),
    (8192, 1024, 64, 53.4947),
];

/// Milliseconds per output token of `concurrency` clients that each ask twice, the first time one after the other.
fn simulated(prompt_tokens: u32, output_tokens: u32, concurrency: u32) -> f64 {
    let coefficients: Coefficients = "llama-3.1-70b-fp8-h100-tp4".parse().expect("a known set");
    let mut engine = Engine::new(Config::of(coefficients));
    let request =
        || Request { prompt: Prompt::from_ids([], prompt_tokens, 0, 16), output_tokens, adapter: None };
    // As if the clients had been at it for long: their requests end at different times.
    let stagger = u64::from(output_tokens) * 15_000_000 / u64::from(concurrency);
    let mut starts = (0..concurrency).map(|client| Time(u64::from(client) * stagger)).peekable();
    let (mut events, mut left) = (Vec::new(), concurrency);
    loop {
        let start = starts.peek().copied();
        match engine.next_event() {
            Some(time) if start.is_none_or(|start| time <= start) => engine.advance(time, &mut events),
            _ => match starts.next() {
                Some(start) => drop(engine.submit(request(), start).expect("fits")),
                None => break,
            },
        }
        for event in events.drain(..) {
            if let Event::Finished { at, .. } = event
                && left > 0
            {
                left -= 1;
                engine.submit(request(), at).expect("fits");
            }
        }
    }
    let per_token = &engine.counters().per_output_token;
    per_token.sum() / per_token.count() as f64 * 1e3
}

#[test]
fn the_time_per_output_token_is_near_what_was_measured() {
    let mut errors: Vec<f64> = Vec::new();
    for (prompt_tokens, output_tokens, concurrency, measured) in POINTS {
        let simulated = simulated(prompt_tokens, output_tokens, concurrency);
        let error = simulated / measured - 1.0;
        println!(
            "{prompt_tokens:5} {output_tokens:5} {concurrency:3} {measured:6.2} {simulated:6.2} {:+.1} %",
            error * 100.0
        );
        errors.push(error.abs());
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    println!("mean absolute error {:.1} %", mean * 100.0);
    // Low everywhere, most with many requests at once: what the host and the all-reduce cost is assumed, not fitted.
    assert!(mean < 0.13, "{mean}");
}
