//! What is known of an endpoint at the moment a request is weighed.

use crate::Slot;

/// Seconds that a model server computes on one byte of a prompt it has not cached: about 16,000 tokens a second (the
/// published peak of a 32B model on two H100s) of about 4 bytes. Only ratios matter: to a request's place in the batch.
pub const PROMPT_SECONDS_PER_BYTE: f32 = 16e-6;

/// An endpoint as filters and scorers see it: plain and compact, so that a pass over a thousand is a pass over an array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load {
    /// The endpoint.
    pub slot: Slot,
    /// Requests sent there by this process and not ended. Exact.
    pub in_flight: u32,
    /// Requests that count as load beyond these: sent by others as far as scrapes tell, and failed a moment ago.
    pub unseen: f32,
    /// Requests waiting in the server, by the last scrape; `None` if it never reported.
    pub waiting: Option<u32>,
    /// Requests running in the server, by the last scrape; 0 if it never reported.
    pub running: u32,
    /// KV cache in use, 0 to 1, by the last scrape; NaN if it never reported.
    pub kv_used: f32,
    /// Seconds of prompt work that was sent there and is not computed yet.
    pub backlog_seconds: f32,
    /// Bytes of this request's prompt that it holds, by the prefix index.
    pub matched_bytes: u64,
    /// What serving this request's adapter would take.
    pub adapter: AdapterFit,
}

impl Load {
    /// A request-free endpoint that never reported.
    pub fn idle(slot: Slot) -> Load {
        Load {
            slot,
            in_flight: 0,
            unseen: 0.0,
            waiting: None,
            running: 0,
            kv_used: f32::NAN,
            backlog_seconds: 0.0,
            matched_bytes: 0,
            adapter: AdapterFit::Indifferent,
        }
    }

    /// Requests under way there, from whomever they come.
    pub fn requests(&self) -> f32 {
        self.in_flight as f32 + self.unseen
    }

    /// Requests waiting in the server. One that never reported is judged by what this process has in flight there.
    pub fn queue(&self) -> u32 {
        self.waiting.unwrap_or(self.in_flight)
    }

    /// The share of the prompt that it holds, 0 to 1.
    pub fn matched_share(&self, prompt_bytes: u64) -> f32 {
        if prompt_bytes == 0 { 0.0 } else { (self.matched_bytes as f32 / prompt_bytes as f32).min(1.0) }
    }
}

/// How well a request's LoRA adapter fits an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AdapterFit {
    /// The endpoint tells nothing of adapters, or the request names none that anybody serves.
    #[default]
    Indifferent,
    /// Every place for an adapter is taken by others.
    Full,
    /// The adapter's requests are waiting there.
    Waiting,
    /// There is a free place for it.
    Room,
    /// The adapter is running there.
    Active,
}
