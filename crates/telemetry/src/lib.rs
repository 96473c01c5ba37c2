//! What operators see: metrics, decision records for `explain`, the access log.
//!
//! In: one [`Record`] at the end of each request, from the core that served it ([`Core::finish`]). Out: Prometheus text,
//! records by request id, lines for a terminal. Never: a prompt, a label that the snapshot does not know, a lock shared
//! by two cores on the data path.

mod metrics;
mod record;
mod ring;

pub use metrics::{Core, Telemetry};
pub use record::{Attempt, Record, RequestId};
