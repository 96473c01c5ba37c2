//! Scorers tell how well each candidate would serve a request; higher is better.
//!
//! The reference's scorers answer 0 to 1. Our own answer seconds of delay, negated: their weights are factors near 1.

mod active_request;
mod in_flight;
mod kv_cache_utilization;
mod kv_pressure;
mod lora_affinity;
mod prefix_cache;
mod prompt_backlog;
mod queue;
mod running_requests_size;
mod uncached_prompt;

pub use active_request::ActiveRequestScorer;
pub use in_flight::InFlightScorer;
pub use kv_cache_utilization::KvCacheUtilizationScorer;
pub use kv_pressure::KvPressureScorer;
pub use lora_affinity::LoraAffinityScorer;
pub use prefix_cache::PrefixCacheScorer;
pub use prompt_backlog::PromptBacklogScorer;
pub use queue::QueueScorer;
pub use running_requests_size::RunningRequestsSizeScorer;
pub use uncached_prompt::UncachedPromptScorer;

use crate::{Ask, Load};

/// A scorer, by its plugin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scorer {
    /// `active-request-scorer`
    ActiveRequest(ActiveRequestScorer),
    /// `in-flight-scorer` (seconds)
    InFlight(InFlightScorer),
    /// `kv-cache-utilization-scorer`
    KvCacheUtilization(KvCacheUtilizationScorer),
    /// `kv-pressure-scorer` (seconds)
    KvPressure(KvPressureScorer),
    /// `lora-affinity-scorer`
    LoraAffinity(LoraAffinityScorer),
    /// `prefix-cache-scorer`
    PrefixCache(PrefixCacheScorer),
    /// `prompt-backlog-scorer` (seconds)
    PromptBacklog(PromptBacklogScorer),
    /// `queue-scorer`
    Queue(QueueScorer),
    /// `running-requests-size-scorer`
    RunningRequestsSize(RunningRequestsSizeScorer),
    /// `uncached-prompt-scorer` (seconds)
    UncachedPrompt(UncachedPromptScorer),
}

impl Scorer {
    /// The plugin's type, as configuration and metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Scorer::ActiveRequest(_) => ActiveRequestScorer::NAME,
            Scorer::InFlight(_) => InFlightScorer::NAME,
            Scorer::KvCacheUtilization(_) => KvCacheUtilizationScorer::NAME,
            Scorer::KvPressure(_) => KvPressureScorer::NAME,
            Scorer::LoraAffinity(_) => LoraAffinityScorer::NAME,
            Scorer::PrefixCache(_) => PrefixCacheScorer::NAME,
            Scorer::PromptBacklog(_) => PromptBacklogScorer::NAME,
            Scorer::Queue(_) => QueueScorer::NAME,
            Scorer::RunningRequestsSize(_) => RunningRequestsSizeScorer::NAME,
            Scorer::UncachedPrompt(_) => UncachedPromptScorer::NAME,
        }
    }

    /// Writes each candidate's score into `scores`, which is as long as `candidates`. Never NaN.
    pub fn score(&self, candidates: &[Load], ask: &Ask, scores: &mut [f32]) {
        match self {
            Scorer::ActiveRequest(scorer) => scorer.score(candidates, scores),
            Scorer::InFlight(scorer) => scorer.score(candidates, scores),
            Scorer::KvCacheUtilization(scorer) => scorer.score(candidates, scores),
            Scorer::KvPressure(scorer) => scorer.score(candidates, scores),
            Scorer::LoraAffinity(scorer) => scorer.score(candidates, scores),
            Scorer::PrefixCache(scorer) => scorer.score(candidates, ask, scores),
            Scorer::PromptBacklog(scorer) => scorer.score(candidates, scores),
            Scorer::Queue(scorer) => scorer.score(candidates, scores),
            Scorer::RunningRequestsSize(scorer) => scorer.score(candidates, scores),
            Scorer::UncachedPrompt(scorer) => scorer.score(candidates, ask.prompt_bytes, scores),
        }
    }
}

/// Writes a score for each candidate by itself.
fn each(candidates: &[Load], scores: &mut [f32], score: impl Fn(&Load) -> f32) {
    for (load, slot) in candidates.iter().zip(scores) {
        *slot = score(load);
    }
}

/// Scores a count against the others': the least 1, the most 0, and 1 for all if they are equal.
fn least_of_all(candidates: &[Load], scores: &mut [f32], count: impl Fn(&Load) -> f32) {
    let (mut least, mut most) = (f32::INFINITY, 0.0f32);
    for (load, score) in candidates.iter().zip(scores.iter_mut()) {
        *score = count(load);
        least = least.min(*score);
        most = most.max(*score);
    }
    let span = most - least;
    for score in scores {
        *score = if span > 0.0 { (most - *score) / span } else { 1.0 };
    }
}

#[cfg(test)]
mod tests;
