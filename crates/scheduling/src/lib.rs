//! Step 4 of 5, pick: order the endpoints that may serve a request, best first.
//!
//! In: the endpoints' [`Load`]s, what the prefix index matched, a [`Policy`]. Out: 1 to [`ENDPOINTS_MAX`] endpoints with
//! the reasons kept, or the counts of why there is none.
//! Never: I/O, a clock, hidden randomness, an allocation in the steady state.
//! Source: Endpoint Picker Protocol 1.0.0, "Destination Endpoint".

mod policy;
mod prefix;

pub use policy::Policy;
pub use prefix::{PrefixIndex, PrefixMatches};

/// The most endpoints a decision orders: the first is used, the rest are where a retry goes.
pub const ENDPOINTS_MAX: usize = 4;

/// The most candidates a decision keeps in full for `explain`.
pub const CANDIDATES_MAX: usize = 8;

/// The most scorers a policy weighs.
pub const SCORERS_MAX: usize = 6;

/// An endpoint's place in its domain; stable while the endpoint lives or a request is in flight on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);
