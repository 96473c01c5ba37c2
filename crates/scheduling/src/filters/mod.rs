//! Filters take candidates away.

mod decision_tree;
mod header_based_testing;
mod least_kv_cache;
mod least_queue;
mod lora_affinity;
mod low_queue;
mod prefix_cache_affinity;

pub use decision_tree::DecisionTreeFilter;
pub use header_based_testing::HeaderBasedTestingFilter;
pub use least_kv_cache::LeastKvCacheFilter;
pub use least_queue::LeastQueueFilter;
pub use lora_affinity::LoraAffinityFilter;
pub use low_queue::LowQueueFilter;
pub use prefix_cache_affinity::PrefixCacheAffinityFilter;

use crate::saturation::{ConcurrencyDetector, UtilizationDetector};
use crate::{Ask, Load};

/// A filter, by its plugin.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// `concurrency-detector`, referred to by a profile
    Concurrency(ConcurrencyDetector),
    /// `decision-tree-filter`
    DecisionTree(Box<DecisionTreeFilter>),
    /// `header-based-testing-filter`
    HeaderBasedTesting(HeaderBasedTestingFilter),
    /// `least-kv-cache-filter`
    LeastKvCache(LeastKvCacheFilter),
    /// `least-queue-filter`
    LeastQueue(LeastQueueFilter),
    /// `lora-affinity-filter`
    LoraAffinity(LoraAffinityFilter),
    /// `low-queue-filter`
    LowQueue(LowQueueFilter),
    /// `prefix-cache-affinity-filter`
    PrefixCacheAffinity(PrefixCacheAffinityFilter),
    /// `utilization-detector`, referred to by a profile
    Utilization(UtilizationDetector),
}

impl Filter {
    /// The plugin's type, as configuration and metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Filter::Concurrency(_) => ConcurrencyDetector::NAME,
            Filter::DecisionTree(_) => DecisionTreeFilter::NAME,
            Filter::HeaderBasedTesting(_) => HeaderBasedTestingFilter::NAME,
            Filter::LeastKvCache(_) => LeastKvCacheFilter::NAME,
            Filter::LeastQueue(_) => LeastQueueFilter::NAME,
            Filter::LoraAffinity(_) => LoraAffinityFilter::NAME,
            Filter::LowQueue(_) => LowQueueFilter::NAME,
            Filter::PrefixCacheAffinity(_) => PrefixCacheAffinityFilter::NAME,
            Filter::Utilization(_) => UtilizationDetector::NAME,
        }
    }

    /// Takes away from `candidates` those that the filter does not want; the others keep their order. `aside` is a stack for those that may have to
    /// come back; it is left as it was found.
    pub fn keep(
        &self,
        candidates: &mut Vec<Load>,
        aside: &mut Vec<Load>,
        ask: &Ask,
        random: &mut fastrand::Rng,
    ) {
        match self {
            Filter::Concurrency(filter) => filter.keep(candidates),
            Filter::DecisionTree(filter) => filter.keep(candidates, aside, ask, random),
            Filter::HeaderBasedTesting(filter) => filter.keep(candidates),
            Filter::LeastKvCache(filter) => filter.keep(candidates),
            Filter::LeastQueue(filter) => filter.keep(candidates),
            Filter::LoraAffinity(filter) => filter.keep(candidates, random),
            Filter::LowQueue(filter) => filter.keep(candidates),
            Filter::PrefixCacheAffinity(filter) => filter.keep(candidates, ask.prompt_bytes),
            Filter::Utilization(filter) => filter.keep(candidates),
        }
    }
}

#[cfg(test)]
mod tests;
