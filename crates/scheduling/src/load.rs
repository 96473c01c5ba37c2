//! What is known of an endpoint, and of a request, at the moment the request is weighed.

use crate::Slot;

/// Seconds that a model server computes on one byte of a prompt it has not cached: about 16,000 tokens a second (the
/// published peak of a 32B model on two H100s) of about 4 bytes. Only ratios matter: to a request's place in the batch.
pub const PROMPT_SECONDS_PER_BYTE: f32 = 16e-6;

/// A request as filters and scorers see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// Bytes of its prompt.
    pub prompt_bytes: u64,
    /// Whole blocks of its prompt, as a configured `prefix-cache-scorer` cuts it; 0 without one.
    pub prompt_blocks: u16,
}

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
    /// Seconds since the last good scrape; infinite if there was none.
    pub report_age_seconds: f32,
    /// Bytes of this request's prompt that it holds, by the prefix index.
    pub matched_bytes: u64,
    /// Whole blocks of it that it holds, by the index of a configured `prefix-cache-scorer`.
    pub matched_blocks: u16,
    /// What it reported of this request's adapter.
    pub adapter: AdapterFit,
    /// Whether the request's `test-epp-endpoint-selection` header names it.
    pub test_selected: bool,
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
            report_age_seconds: f32::INFINITY,
            matched_bytes: 0,
            matched_blocks: 0,
            adapter: AdapterFit::UNTOLD,
            test_selected: false,
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

    /// KV cache in use, 0 to 1; 0 for one that never reported.
    pub fn kv_used_or_none(&self) -> f32 {
        if self.kv_used.is_nan() { 0.0 } else { self.kv_used.clamp(0.0, 1.0) }
    }

    /// The share of the prompt that it holds, 0 to 1.
    pub fn matched_share(&self, prompt_bytes: u64) -> f32 {
        if prompt_bytes == 0 { 0.0 } else { (self.matched_bytes as f32 / prompt_bytes as f32).min(1.0) }
    }
}

/// What an endpoint reported of the LoRA adapter that a request asks for: a set of facts, in one byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AdapterFit(u8);

impl AdapterFit {
    /// It tells nothing of adapters.
    pub const UNTOLD: AdapterFit = AdapterFit(0);
    /// It tells of adapters; nothing more is known of this one, and every place is taken.
    pub const FULL: AdapterFit = AdapterFit(1);
    /// There is a free place for another adapter.
    pub const ROOM: AdapterFit = AdapterFit(1 | 2);
    /// Requests of the adapter wait there.
    pub const WAITING: AdapterFit = AdapterFit(1 | 4);
    /// Requests of the adapter run there.
    pub const ACTIVE: AdapterFit = AdapterFit(1 | 8);

    /// Both sets of facts.
    #[must_use]
    pub fn and(self, more: AdapterFit) -> AdapterFit {
        AdapterFit(self.0 | more.0)
    }

    /// Whether every one of `facts` is among these.
    pub fn has(self, facts: AdapterFit) -> bool {
        self.0 & facts.0 == facts.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_loads_are_48_kilobytes() {
        assert_eq!(size_of::<Load>(), 48);
    }

    #[test]
    fn facts_of_an_adapter_add_up() {
        let both = AdapterFit::ROOM.and(AdapterFit::WAITING);
        assert!(both.has(AdapterFit::ROOM) && both.has(AdapterFit::WAITING) && both.has(AdapterFit::FULL));
        assert!(!both.has(AdapterFit::ACTIVE) && !AdapterFit::UNTOLD.has(AdapterFit::FULL));
    }
}
