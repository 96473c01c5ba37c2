//! The world as requests see it: one immutable [`Snapshot`], one writer, readers that never lock.
//!
//! In: the [`resources`] of a folder. Out: listeners with their route tables, pools with their endpoints; and beside the
//! snapshot the [`Domain`]s, which hold what was learnt and survive every reload. [`dispatch`] is the one call by which
//! both doors admit and pick, [`assign`] takes on what a pool's own endpoint picker picked; the [`Flight`] they give learns,
//! and releases what was reserved whatever happens. An [`Account`] is what either door writes down of a request.

mod account;
mod backends;
mod compile;
mod domains;
mod endpoints;
mod findings;
mod flight;
mod memory;
mod names;
mod pickers;
mod policies;
mod route;
mod settings;
mod snapshot;
mod world;

pub use account::Account;
pub use endpoints::ENDPOINTS_OF_POOL_MAX;
pub use flight::{Alone, Dispatch, Flight, PICKS_PER_SAMPLE, assign, dispatch};
pub use memory::memory_limit;
pub use names::{ADDRESSES_MAX, NAMES_MAX};
pub use resources::{CONTROLLER_NAME, FailureMode};
pub use route::{Goal, Headed, Routed, draw, leads_nowhere};
pub use settings::{MissingEndpointPicker, Settings};
pub use snapshot::{Backend, Clock, Domain, EndpointPicker, Listener, Pool, Service, Snapshot, Transport};
pub use world::{Applied, Reader, World};
