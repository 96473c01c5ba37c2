//! What operators see: metrics, decision records for `explain`, the access log.
//!
//! In: one [`Record`] at the end of each request, from the core that served it ([`Core::finish`]). Out: Prometheus text
//! ([`Telemetry::text`]), records by request id ([`Telemetry::record`]) or as they come ([`Telemetry::since`]), lines for
//! a log ([`access_log()`]), the reasons of a decision ([`Explanation`]). Never: a prompt, a label that the snapshot does
//! not know, a lock shared by two cores on the data path.

mod access_log;
mod explain;
mod metrics;
mod names;
mod record;
mod ring;

pub use access_log::{LogFormat, access_log};
pub use explain::Explanation;
pub use metrics::{
    BODIES_PER_SAMPLE, BbrCounts, BbrPlugin, Connection, Core, Cursor, FieldMiss, Gauges, PoolGauges, Routed,
    Running, ScrapeResult, Side, Telemetry, reference,
};
pub use record::{AskedPicker, Attempt, PickerOutcome, Record, Refused, RequestId, TargetChosen, request_id};

use ring::Ring;
