//! Metric families, one shard a core, summed at scrape.
//!
//! In: a [`Record`] at the end of each request, guards for what is under way. Out: Prometheus' text format 0.0.4.
//! Never: a lock shared by two cores on the data path; a label value from the wire; an allocation in the steady state.
//! Source: GAIE, `pkg/epp/metrics`, v1.5; the table is in `families.rs`.

mod bbr;
mod cell;
mod families;
mod of_reference;
mod shard;
mod text;

pub use bbr::{BODIES_PER_SAMPLE, BbrCounts, BbrPlugin, FieldMiss, Routed};

use crate::Record;
use journey::EndpointStatus;
use scheduling::PluginRun;
use shard::{Handles, RequestLabelsRef, RequestSeries, Shard};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Everything that operators see of this process.
#[derive(Debug)]
pub struct Telemetry {
    shards: Vec<Arc<Shard>>,
    scrapes: [AtomicU64; 3],
}

/// How far a reader of the records has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cursor(Vec<u64>);

/// How a scrape of a model server went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScrapeResult {
    /// A page was read.
    Read,
    /// Nothing came, or nothing that could be read.
    Missed,
    /// The server has no metrics.
    NoMetrics,
}

/// What is measured elsewhere, at the moment of a scrape.
#[derive(Debug, Clone, Default)]
pub struct Gauges {
    /// Every pool.
    pub pools: Vec<PoolGauges>,
    /// Bytes of request bodies held.
    pub held_body_bytes: u64,
    /// Entries of the prefix indexes.
    pub prefix_entries: u64,
    /// Reloads of the configuration, from 1.
    pub generation: u64,
    /// Errors of the configuration that is being served.
    pub errors: u64,
    /// Warnings of it.
    pub warnings: u64,
}

/// A pool at the moment of a scrape.
#[derive(Debug, Clone)]
pub struct PoolGauges {
    /// The pool's name, as the reference tells it.
    pub name: Arc<str>,
    /// The pool, as `namespace/name`.
    pub pool: Arc<str>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// The Pods behind its addresses, as the reference names them.
    pub pods: Arc<BTreeMap<SocketAddr, Arc<str>>>,
    /// After this long without a good scrape, an endpoint counts no more in the pool's means.
    pub reports_fresh: Duration,
}

impl Telemetry {
    /// Telemetry for `cores` data threads, each keeping `records` decision records.
    pub fn new(cores: usize, records: usize) -> Arc<Telemetry> {
        let shards = std::iter::repeat_with(|| Arc::new(Shard::new(records))).take(cores.max(1)).collect();
        Arc::new(Telemetry { shards, scrapes: Default::default() })
    }

    /// The handle of data thread `core`. Each is to be asked for once: two writers of one shard lose counts.
    pub fn core(self: &Arc<Telemetry>, core: usize) -> Core {
        let shard = Arc::clone(&self.shards[core % self.shards.len()]);
        Core { shard, handles: RefCell::default() }
    }

    /// The newest record of this request id.
    pub fn record(&self, id: &str) -> Option<Record> {
        self.shards.iter().filter_map(|shard| shard.ring.find(id)).max_by_key(|record| record.at)
    }

    /// The records written after `cursor`, oldest first; moves it on. Those that were written over meanwhile are left
    /// out: at most what the rings hold.
    pub fn since(&self, cursor: &mut Cursor) -> Vec<Record> {
        cursor.0.resize(self.shards.len(), 0);
        let mut records = Vec::new();
        for (shard, next) in self.shards.iter().zip(&mut cursor.0) {
            *next = shard.ring.since(*next, &mut records);
        }
        records.sort_by_key(|record| record.at);
        records
    }

    /// A cursor after everything written so far.
    pub fn now(&self) -> Cursor {
        Cursor(self.shards.iter().map(|shard| shard.ring.written()).collect())
    }

    /// A model server was scraped.
    pub fn scraped(&self, result: ScrapeResult) {
        self.scrapes[result as usize].fetch_add(1, Relaxed);
    }

    /// Everything, in Prometheus' text format 0.0.4.
    pub fn text(&self, gauges: &Gauges) -> String {
        text::render(&self.shards, self.scrapes.each_ref().map(|count| count.load(Relaxed)), gauges)
    }
}

/// The reference page of the metrics, in Markdown.
pub fn reference() -> String {
    families::reference()
}

/// What one data thread writes to; nobody else does.
#[derive(Debug)]
pub struct Core {
    shard: Arc<Shard>,
    handles: RefCell<Handles>,
}

/// Which side of the gateway a connection is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client's.
    Downstream,
    /// To an endpoint.
    Upstream,
}

impl Core {
    /// A request began (its head was read). [`Core::finish`] must follow.
    pub fn begin(&self) {
        self.shard.begun.add(1);
    }

    /// A request is at a model server until the guard is dropped.
    pub fn running(&self, pool: &str, record: &Record) -> Running {
        let mut handles = self.handles.borrow_mut();
        let series = handles.request(&self.shard, RequestLabelsRef::of(record, pool), record.target_chosen);
        // Shown from 0 on, so that whoever looks at increases sees the first one.
        series.requests.of(record.priority);
        series.running.fetch_add(1, Relaxed);
        Running(Arc::clone(series))
    }

    /// The plugins of a pick have run, and were timed.
    pub fn plugins_ran(&self, runs: &[PluginRun]) {
        self.handles.borrow_mut().plugins_ran(&self.shard, runs);
    }

    /// A request ended. Its record is taken over; what is left in its place is of no use.
    pub fn finish(&self, record: &mut Record) {
        self.handles.borrow_mut().count(&self.shard, record);
        self.shard.ring.write(record);
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self, side: Side) -> Connection {
        self.shard.connections[side as usize].opened.fetch_add(1, Relaxed);
        Connection { shard: Arc::clone(&self.shard), side }
    }

    /// A panic ended a connection.
    pub fn panicked(&self) {
        self.shard.panics.fetch_add(1, Relaxed);
    }
}

/// A request at a model server, as counted by [`Core::running`].
#[derive(Debug)]
pub struct Running(Arc<RequestSeries>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

/// An open connection, as counted by [`Core::connection`].
#[derive(Debug)]
pub struct Connection {
    shard: Arc<Shard>,
    side: Side,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shard.connections[self.side as usize].closed.fetch_add(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
