//! The shards added up, in Prometheus' text format 0.0.4.

use crate::metrics::cell::{Count, Summed};
use crate::metrics::families::{self as family, Family};
use crate::metrics::shard::{
    ERROR_CODES, MODEL_HISTOGRAMS, OUTCOMES, PICKER_OUTCOMES, PluginLabels, REQUEST_HISTOGRAMS,
    RequestLabels, RewriteLabels, Shard, UNKNOWN,
};
use crate::{Gauges, PoolGauges, Side, names};
use journey::EndpointStatus;
use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Labels of `pointsman_scrapes_total`, in the order of `ScrapeResult`.
const SCRAPE_RESULTS: [&str; 3] = ["read", "missed", "no_metrics"];

pub(super) fn render(shards: &[Arc<Shard>], scrapes: [u64; 3], gauges: &Gauges) -> String {
    let mut page = Page::default();
    requests(&mut page, shards);
    pools(&mut page, &gauges.pools);
    scheduler(&mut page, shards, gauges);
    answers(&mut page, shards);
    connections(&mut page, shards);
    page.one(&family::HELD_BYTES, gauges.held_body_bytes);
    page.many(&family::SCRAPES, SCRAPE_RESULTS.into_iter().zip(scrapes));
    endpoints(&mut page, &gauges.pools);
    page.one(&family::SNAPSHOT_GENERATION, gauges.generation);
    page.many(&family::FINDINGS, [("error", gauges.errors), ("warning", gauges.warnings)]);
    page.into_text()
}

/// The cells of one label set, added up over cores.
struct RequestTotals {
    /// By priority; `None` is `unknown`.
    requests: BTreeMap<Option<i32>, u64>,
    errors: [u64; ERROR_CODES.len()],
    running: i64,
    histograms: [Summed; REQUEST_HISTOGRAMS.len()],
}

impl Default for RequestTotals {
    fn default() -> RequestTotals {
        let histograms = REQUEST_HISTOGRAMS.map(|family| Summed::new(family.bounds));
        RequestTotals { requests: BTreeMap::new(), errors: [0; ERROR_CODES.len()], running: 0, histograms }
    }
}

/// Model asked for, model sent, pool: in the order of the families' labels.
type Totals = BTreeMap<[Box<str>; 3], RequestTotals>;

fn request_totals(shards: &[Arc<Shard>]) -> Totals {
    let mut totals = Totals::new();
    for (labels, series) in shards.iter().flat_map(|shard| shard.requests.list()) {
        let RequestLabels { model, target, pool } = labels;
        let total = totals.entry([model, target, pool]).or_default();
        for (priority, count) in series.requests.list() {
            *total.requests.entry(priority).or_default() += count;
        }
        total.running += series.running.load(Relaxed);
        for (sum, count) in total.errors.iter_mut().zip(&series.errors) {
            *sum += count.get();
        }
        for (sum, histogram) in total.histograms.iter_mut().zip(&series.histograms) {
            sum.add(histogram);
        }
    }
    totals
}

/// The families of requests, under their names since v1.1 and under those that they had up to v1.0.
fn requests(page: &mut Page, shards: &[Arc<Shard>]) {
    let totals = request_totals(shards);
    page.head(&family::REQUESTS);
    for (labels, total) in &totals {
        for (priority, count) in &total.requests {
            let priority = priority.map_or_else(|| UNKNOWN.to_owned(), |priority| priority.to_string());
            let [model, target, pool] = values(labels);
            page.sample(&family::REQUESTS, &[model, target, pool, &priority], count);
        }
    }
    request_errors(page, &family::REQUEST_ERRORS, &totals);
    for (place, family) in REQUEST_HISTOGRAMS.iter().enumerate() {
        request_histogram(page, family, place, &totals);
    }
    running(page, &family::RUNNING, &totals);
    page.head(&family::MODEL_REQUESTS);
    for (labels, total) in &totals {
        page.sample(&family::MODEL_REQUESTS, &values(labels), total.requests.values().sum::<u64>());
    }
    request_errors(page, &family::MODEL_REQUEST_ERRORS, &totals);
    for (measure, family) in MODEL_HISTOGRAMS {
        request_histogram(page, &family, measure as usize, &totals);
    }
    running(page, &family::MODEL_RUNNING, &totals);
}

fn values(labels: &[Box<str>; 3]) -> [&str; 3] {
    labels.each_ref().map(|label| &**label)
}

fn request_errors(page: &mut Page, family: &Family, totals: &Totals) {
    page.head(family);
    for (labels, total) in totals {
        let [model, target, pool] = values(labels);
        for (code, count) in ERROR_CODES.iter().zip(total.errors).filter(|(_, count)| *count > 0) {
            page.sample(family, &[model, target, pool, code], count);
        }
    }
}

fn request_histogram(page: &mut Page, family: &Family, place: usize, totals: &Totals) {
    page.head(family);
    for (labels, total) in totals {
        page.histogram(family, &values(labels), &total.histograms[place]);
    }
}

fn running(page: &mut Page, family: &Family, totals: &Totals) {
    let mut running: BTreeMap<[&str; 2], i64> = BTreeMap::new();
    for (labels, total) in totals {
        let [model, _, pool] = values(labels);
        *running.entry([model, pool]).or_default() += total.running;
    }
    page.head(family);
    for (labels, count) in running {
        page.sample(family, &labels, count);
    }
}

fn pools(page: &mut Page, pools: &[PoolGauges]) {
    page.means(&family::POOL_KV, pools, |endpoint| endpoint.signals.kv_used.map(f64::from));
    page.means(&family::POOL_QUEUE, pools, |endpoint| endpoint.signals.waiting.map(f64::from));
    page.means(&family::POOL_RUNNING, pools, |endpoint| endpoint.signals.running.map(f64::from));
    page.head(&family::POOL_READY);
    for pool in pools {
        let ready = pool.endpoints.iter().filter(|endpoint| endpoint.resting.is_none() && !endpoint.departed);
        page.sample(&family::POOL_READY, &[&pool.name, &pool.pool], ready.count());
    }
    page.head(&family::POD_QUEUE);
    for pool in pools {
        for endpoint in &pool.endpoints {
            let Some(waiting) = endpoint.signals.waiting else { continue };
            let address = endpoint.key.address;
            let pod = pool.pods.get(&address).map_or_else(|| address.to_string(), |pod| pod.to_string());
            page.sample(&family::POD_QUEUE, &[&pool.name, &pool.pool, &pod], waiting);
        }
    }
}

fn endpoints(page: &mut Page, pools: &[PoolGauges]) {
    page.for_endpoints(&family::ENDPOINT_IN_FLIGHT, pools, |endpoint| Some(endpoint.in_flight));
    page.for_endpoints(&family::ENDPOINT_RESTING, pools, |endpoint| {
        Some(u8::from(endpoint.resting.is_some()))
    });
    page.for_endpoints(&family::ENDPOINT_EJECTIONS, pools, |endpoint| Some(endpoint.ejections));
    page.for_endpoints(&family::ENDPOINT_SCRAPE_AGE, pools, |endpoint| {
        endpoint.scraped.map(|age| age.as_secs_f64())
    });
}

fn scheduler(page: &mut Page, shards: &[Arc<Shard>], gauges: &Gauges) {
    let summed = |family: &Family, of: fn(&Shard) -> &super::cell::Histogram| {
        let mut total = Summed::new(family.bounds);
        shards.iter().for_each(|shard| total.add(of(shard)));
        total
    };
    page.head(&family::SCHEDULER_DURATION);
    let decided_in = summed(&family::SCHEDULER_DURATION, |shard| &shard.decided_in);
    page.histogram(&family::SCHEDULER_DURATION, &[], &decided_in);
    let attempts = [
        ("success", total(shards, |shard| &shard.picks)),
        ("failure", total(shards, |shard| &shard.picks_failed)),
    ];
    page.many(&family::SCHEDULER_ATTEMPTS, attempts);
    plugins(page, shards);
    let mut rewrites: BTreeMap<RewriteLabels, u64> = BTreeMap::new();
    for (labels, count) in shards.iter().flat_map(|shard| shard.rewrites.list()) {
        *rewrites.entry(labels).or_default() += count.get();
    }
    page.head(&family::REWRITE_DECISIONS);
    for (RewriteLabels { rewrite, model, target }, count) in &rewrites {
        page.sample(&family::REWRITE_DECISIONS, &[rewrite, model, target], count);
    }
    page.one(&family::PREFIX_SIZE, gauges.prefix_entries);
    page.head(&family::PREFIX_RATIO);
    page.histogram(&family::PREFIX_RATIO, &[], &summed(&family::PREFIX_RATIO, |shard| &shard.prefix_ratio));
    page.head(&family::PREFIX_BYTES);
    page.histogram(&family::PREFIX_BYTES, &[], &summed(&family::PREFIX_BYTES, |shard| &shard.prefix_bytes));
    page.head(&family::INFO);
    page.sample(&family::INFO, &[commit(), env!("CARGO_PKG_VERSION")], 1);
}

/// How long plugins took; their names are their types.
fn plugins(page: &mut Page, shards: &[Arc<Shard>]) {
    let mut took: BTreeMap<PluginLabels, Summed> = BTreeMap::new();
    for (labels, series) in shards.iter().flat_map(|shard| shard.plugins.list()) {
        took.entry(labels).or_insert_with(|| Summed::new(family::PLUGIN_DURATION.bounds)).add(&series.0);
    }
    page.head(&family::PLUGIN_DURATION);
    for ((point, name), took) in &took {
        page.histogram(&family::PLUGIN_DURATION, &[point, name, name], took);
    }
    page.head(&family::SCHEDULER_PLUGIN_DURATION);
    for ((point, name), took) in &took {
        page.histogram(&family::SCHEDULER_PLUGIN_DURATION, &[point, name], took);
    }
}

/// The commit that the program was built from.
pub(super) fn commit() -> &'static str {
    option_env!("POINTSMAN_COMMIT").unwrap_or("unknown")
}

fn answers(page: &mut Page, shards: &[Arc<Shard>]) {
    let mut responses: BTreeMap<u16, u64> = BTreeMap::new();
    for (status, count) in shards.iter().flat_map(|shard| shard.responses.list()) {
        *responses.entry(status).or_default() += count.get();
    }
    page.head(&family::RESPONSES);
    for (status, count) in responses {
        page.sample(&family::RESPONSES, &[&status.to_string()], count);
    }
    let mut refusals: BTreeMap<[&str; 2], u64> = BTreeMap::new();
    for ((step, reason), count) in shards.iter().flat_map(|shard| shard.refusals.list()) {
        *refusals.entry([names::step(step), reason]).or_default() += count.get();
    }
    page.head(&family::REFUSALS);
    for (labels, count) in refusals {
        page.sample(&family::REFUSALS, &labels, count);
    }
    page.one(&family::CANCELLED, total(shards, |shard| &shard.cancelled));
    let (ended, begun) = (total(shards, |shard| &shard.ended), total(shards, |shard| &shard.begun));
    page.one(&family::IN_FLIGHT, begun.saturating_sub(ended));
    let attempts = |place: usize| shards.iter().map(|shard| shard.attempts[place].get()).sum::<u64>();
    page.many(
        &family::ATTEMPTS,
        OUTCOMES.into_iter().enumerate().map(|(at, outcome)| (names::outcome(outcome), attempts(at))),
    );
    page.one(&family::RETRIES, total(shards, |shard| &shard.retries));
    pickers(page, shards);
    page.one(&family::TOKENS_ESTIMATED, total(shards, |shard| &shard.tokens_estimated));
    page.one(&family::HEADERS_REMOVED, total(shards, |shard| &shard.headers_removed));
}

fn pickers(page: &mut Page, shards: &[Arc<Shard>]) {
    let mut totals: BTreeMap<Arc<str>, ([u64; PICKER_OUTCOMES.len()], Summed)> = BTreeMap::new();
    for (name, series) in shards.iter().flat_map(|shard| shard.pickers.list()) {
        let none = || ([0; PICKER_OUTCOMES.len()], Summed::new(family::PICKER_DURATION.bounds));
        let (outcomes, took) = totals.entry(name).or_insert_with(none);
        for (sum, count) in outcomes.iter_mut().zip(&series.outcomes) {
            *sum += count.get();
        }
        took.add(&series.took);
    }
    page.head(&family::PICKER_REQUESTS);
    for (name, (outcomes, _)) in &totals {
        for (outcome, count) in PICKER_OUTCOMES.into_iter().zip(outcomes) {
            page.sample(&family::PICKER_REQUESTS, &[name, names::picker_outcome(outcome)], count);
        }
    }
    page.head(&family::PICKER_DURATION);
    for (name, (_, took)) in &totals {
        page.histogram(&family::PICKER_DURATION, &[name], took);
    }
}

fn connections(page: &mut Page, shards: &[Arc<Shard>]) {
    let sides = [
        (Side::Downstream, &family::DOWNSTREAM_CONNECTIONS, &family::DOWNSTREAM_OPEN),
        (Side::Upstream, &family::UPSTREAM_CONNECTIONS, &family::UPSTREAM_OPEN),
    ];
    for (side, opened_family, open_family) in sides {
        let of = shards.iter().map(|shard| &shard.connections[side as usize]);
        let closed: u64 = of.clone().map(|side| side.closed.load(Relaxed)).sum();
        let opened: u64 = of.map(|side| side.opened.load(Relaxed)).sum();
        page.one(opened_family, opened);
        page.one(open_family, opened.saturating_sub(closed));
    }
    page.one(&family::PANICS, shards.iter().map(|shard| shard.panics.load(Relaxed)).sum::<u64>());
}

fn total(shards: &[Arc<Shard>], of: fn(&Shard) -> &Count) -> u64 {
    shards.iter().map(|shard| of(shard).get()).sum()
}

/// A page being written.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    pub(super) fn head(&mut self, family: &Family) {
        let Family { name, help, kind, .. } = family;
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {}\n", kind.name()));
    }

    /// A family of one sample without labels.
    pub(super) fn one(&mut self, family: &Family, value: impl Display) {
        self.head(family);
        self.sample(family, &[], value);
    }

    /// A family of one label with these values.
    pub(super) fn many(&mut self, family: &Family, samples: impl IntoIterator<Item = (&'static str, u64)>) {
        self.head(family);
        for (label, value) in samples {
            self.sample(family, &[label], value);
        }
    }

    /// A family with a sample for every pool: the mean of its endpoints that have reported a value of late, 0 without any.
    fn means(&mut self, family: &Family, pools: &[PoolGauges], value: fn(&EndpointStatus) -> Option<f64>) {
        self.head(family);
        for pool in pools {
            let fresh =
                |endpoint: &&EndpointStatus| endpoint.scraped.is_some_and(|age| age <= pool.reports_fresh);
            let reported: Vec<f64> = pool.endpoints.iter().filter(fresh).filter_map(value).collect();
            let sum = reported.iter().fold(0.0, |sum, value| sum + value);
            let mean = sum / reported.len().max(1) as f64;
            self.sample(family, &[&pool.name, &pool.pool], mean);
        }
    }

    /// A family with a sample for every endpoint of every pool that has a value.
    fn for_endpoints<V: Display>(
        &mut self,
        family: &Family,
        pools: &[PoolGauges],
        value: fn(&EndpointStatus) -> Option<V>,
    ) {
        self.head(family);
        for pool in pools {
            for endpoint in &pool.endpoints {
                if let Some(value) = value(endpoint) {
                    self.sample(family, &[&pool.pool, &endpoint.key.address.to_string()], value);
                }
            }
        }
    }

    pub(super) fn sample(&mut self, family: &Family, labels: &[&str], value: impl Display) {
        self.series(family, "", labels, None, value);
    }

    pub(super) fn histogram(&mut self, family: &Family, labels: &[&str], summed: &Summed) {
        let mut cumulative = 0;
        for (place, count) in summed.counts.iter().enumerate() {
            cumulative += count;
            let bound = summed.bounds.get(place).copied().unwrap_or(f64::INFINITY);
            self.series(family, "_bucket", labels, Some(bound), cumulative);
        }
        self.series(family, "_sum", labels, None, summed.sum);
        self.series(family, "_count", labels, None, cumulative);
    }

    fn series(
        &mut self,
        family: &Family,
        suffix: &str,
        labels: &[&str],
        bound: Option<f64>,
        value: impl Display,
    ) {
        self.line(format_args!("{}{suffix}", family.name));
        let mut opener = '{';
        for (name, label) in family.labels.iter().zip(labels) {
            self.line(format_args!("{opener}{name}=\""));
            self.escaped(label);
            self.0.push('"');
            opener = ',';
        }
        if let Some(bound) = bound {
            let bound = if bound.is_infinite() { "+Inf".to_owned() } else { bound.to_string() };
            self.line(format_args!("{opener}le=\"{bound}\""));
            opener = ',';
        }
        let closer = if opener == ',' { "}" } else { "" };
        self.line(format_args!("{closer} {value}\n"));
    }

    fn escaped(&mut self, label: &str) {
        for char in label.chars() {
            match char {
                '\\' => self.0.push_str("\\\\"),
                '"' => self.0.push_str("\\\""),
                '\n' => self.0.push_str("\\n"),
                char => self.0.push(char),
            }
        }
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("writing to a String does not fail");
    }
}
