//! Step 4 of 5, pick: order the endpoints that may serve a request, best first.
//!
//! In: the endpoints' [`Load`]s, what the prefix index matched, a [`Policy`]. Out: up to [`CANDIDATES_MAX`] endpoints, best
//! first, with the reasons kept; none if the policy's filters took every one.
//! Never: I/O, a clock, hidden randomness, an allocation in the steady state.
//! Source: Endpoint Picker Protocol 1.0.0, "Destination Endpoint".
//!
//! One plugin, one file, one name: `prefix-cache-scorer` is `scorers/prefix_cache.rs` and `PrefixCacheScorer`.

pub mod config;
pub mod filters;
mod load;
pub mod pickers;
pub mod plugins;
mod policy;
mod prefix;
pub mod saturation;
pub mod scorers;
mod watch;

pub use load::{AdapterFit, Ask, Load, PROMPT_SECONDS_PER_BYTE};
pub use policy::{Policy, Weighing};
pub use prefix::{BlockIndex, BlockMatches, BlockSettings, PrefixIndex, PrefixMatches};
pub use watch::{PLUGINS_RUN_MAX, PluginRun, PluginRuns, Unwatched, Watch};

/// The most endpoints a decision orders: the first is used, the rest are where a retry goes.
pub const ENDPOINTS_MAX: usize = 4;

/// The most candidates a decision keeps in full for `explain`.
pub const CANDIDATES_MAX: usize = 8;

/// The most endpoints that a decision names of those that could not be picked, for `explain`.
pub const PASSED_OVER_MAX: usize = 4;

/// The most scorers a policy weighs: a decision keeps each one's part for each candidate.
pub const SCORERS_MAX: usize = 6;

/// The most filters a policy runs.
pub const FILTERS_MAX: usize = 4;

/// An endpoint's place in its domain; stable while the endpoint lives or a request is in flight on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);
