//! Filters take candidates away.

mod prefix_cache_affinity;

pub use prefix_cache_affinity::PrefixCacheAffinityFilter;

use crate::Load;

/// A filter, by its plugin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filter {
    /// `prefix-cache-affinity-filter`
    PrefixCacheAffinity(PrefixCacheAffinityFilter),
}

impl Filter {
    /// The plugin's type, as configuration and metrics name it.
    pub fn name(&self) -> &'static str {
        match self {
            Filter::PrefixCacheAffinity(_) => PrefixCacheAffinityFilter::NAME,
        }
    }

    /// Takes away from `candidates` those that the filter does not want.
    pub fn keep(&self, candidates: &mut Vec<Load>, prompt_bytes: u64) {
        match self {
            Filter::PrefixCacheAffinity(filter) => filter.keep(candidates, prompt_bytes),
        }
    }
}
