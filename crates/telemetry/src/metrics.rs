//! Metric families, one shard a core, summed at scrape.

use crate::Record;
use std::sync::Arc;

/// Everything that operators see of this process.
#[derive(Debug, Default)]
pub struct Telemetry {}

impl Telemetry {
    /// Telemetry for `cores` data threads, each keeping `records` decision records.
    pub fn new(cores: usize, records: usize) -> Arc<Telemetry> {
        let _ = (cores, records);
        Arc::new(Telemetry {})
    }

    /// The handle of data thread `core`.
    pub fn core(self: &Arc<Telemetry>, core: usize) -> Core {
        let _ = core;
        Core {}
    }

    /// The newest record of this request id.
    pub fn record(&self, id: &str) -> Option<Record> {
        let _ = id;
        None
    }
}

/// What one data thread writes to; nobody else does.
#[derive(Debug)]
pub struct Core {}

impl Core {
    /// A request began (its head was read).
    pub fn begin(&self) {}

    /// A request ended.
    pub fn finish(&self, record: Record) {
        let _ = record;
    }
}
