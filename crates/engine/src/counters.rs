//! What the engine counts: everything that a model server's metrics page shows.

use crate::sequence::Sequence;
use crate::time::Time;

/// A histogram with fixed upper bounds, as Prometheus counts.
#[derive(Debug, Clone)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One count per bound (not cumulative), and one for what lies above the last.
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    /// An empty histogram with these upper bounds, ascending.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Counts one value.
    pub fn observe(&mut self, value: f64) {
        let bucket = self.bounds.iter().position(|&bound| value <= bound).unwrap_or(self.bounds.len());
        self.counts[bucket] += 1;
        self.sum += value;
    }

    /// Each upper bound with the number of values at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> {
        let mut total = 0;
        self.bounds.iter().zip(&self.counts).map(move |(&bound, &count)| {
            total += count;
            (bound, total)
        })
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

/// vLLM's buckets for the time to first token, in seconds.
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
    80.0, 160.0, 640.0, 2560.0,
];
/// vLLM's buckets for times between tokens, in seconds.
const BETWEEN_TOKENS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
];
/// vLLM's buckets for the phases of a request, in seconds.
const PHASE: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
];
/// vLLM's buckets for token counts (1, 2, 5 and their tens) under a context of 131,072 tokens.
const TOKENS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 20_000.0,
    50_000.0, 100_000.0,
];

/// Everything counted since the engine began. Counters never fall.
#[derive(Debug, Clone)]
pub struct Counters {
    /// Prompt tokens of requests that got their first token.
    pub prompt_tokens: u64,
    /// Of these, tokens found in the cache.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Tokens asked of the prefix cache, at each admission.
    pub prefix_queries: u64,
    /// Of these, tokens found.
    pub prefix_hits: u64,
    /// Requests put back into the queue for want of blocks.
    pub preemptions: u64,
    /// Requests that got all their tokens.
    pub finished: u64,
    /// Requests cancelled.
    pub cancelled: u64,
    /// Steps computed.
    pub steps: u64,
    /// Nanoseconds spent computing.
    pub busy_nanoseconds: u64,
    /// Seconds from submission to first token.
    pub first_token: Histogram,
    /// Seconds between two tokens of a request.
    pub between_tokens: Histogram,
    /// A request's mean seconds per token after the first.
    pub per_output_token: Histogram,
    /// Seconds from submission to the last token.
    pub end_to_end: Histogram,
    /// Seconds from submission to admission.
    pub queue: Histogram,
    /// Seconds from admission to first token.
    pub prefill: Histogram,
    /// Seconds from first to last token.
    pub decode: Histogram,
    /// Seconds from admission to the last token.
    pub inference: Histogram,
    /// Prompt tokens of a finished request.
    pub request_prompt_tokens: Histogram,
    /// Generated tokens of a finished request.
    pub request_generation_tokens: Histogram,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            prompt_tokens: 0,
            cached_tokens: 0,
            generation_tokens: 0,
            prefix_queries: 0,
            prefix_hits: 0,
            preemptions: 0,
            finished: 0,
            cancelled: 0,
            steps: 0,
            busy_nanoseconds: 0,
            first_token: Histogram::new(FIRST_TOKEN),
            between_tokens: Histogram::new(BETWEEN_TOKENS),
            per_output_token: Histogram::new(BETWEEN_TOKENS),
            end_to_end: Histogram::new(PHASE),
            queue: Histogram::new(PHASE),
            prefill: Histogram::new(PHASE),
            decode: Histogram::new(PHASE),
            inference: Histogram::new(PHASE),
            request_prompt_tokens: Histogram::new(TOKENS),
            request_generation_tokens: Histogram::new(TOKENS),
        }
    }
}

impl Counters {
    /// Counts a request whose last token is ready.
    pub(crate) fn count_finished(&mut self, sequence: &Sequence, at: Time) {
        let admitted = sequence.admitted.unwrap_or(sequence.submitted);
        let first_token = sequence.first_token.unwrap_or(at);
        let decode = at.seconds_since(first_token);
        self.finished += 1;
        self.end_to_end.observe(at.seconds_since(sequence.submitted));
        self.queue.observe(admitted.seconds_since(sequence.submitted));
        self.prefill.observe(first_token.seconds_since(admitted));
        self.decode.observe(decode);
        self.inference.observe(at.seconds_since(admitted));
        if sequence.generated > 1 {
            self.per_output_token.observe(decode / f64::from(sequence.generated - 1));
        }
        self.request_prompt_tokens.observe(f64::from(sequence.prompt.tokens()));
        self.request_generation_tokens.observe(f64::from(sequence.generated));
    }
}
