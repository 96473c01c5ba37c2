//! What one core counts. The core writes without a lock; a scrape reads and adds the shards up.

use crate::metrics::cell::{Count, Histogram};
use crate::metrics::families::{
    CACHED_TOKENS, Family, INPUT_TOKEN_COUNTS, MODEL_INPUT_TOKENS, MODEL_NORMALIZED_TPOT,
    MODEL_OUTPUT_TOKENS, MODEL_REQUEST_DURATION, MODEL_REQUEST_SIZES, MODEL_RESPONSE_SIZES, NORMALIZED_TPOT,
    OUTPUT_TOKEN_COUNTS, PICKER_DURATION, PLUGIN_DURATION, PREFIX_BYTES, PREFIX_RATIO, REQUEST_DURATION,
    REQUEST_SIZES, RESPONSE_SIZES, SCHEDULER_DURATION, TIME_PER_OUTPUT_TOKEN, TTFT,
};
use crate::{AskedPicker, PickerOutcome, Record, Ring, TargetChosen, names};
use hashbrown::hash_map::EntryRef;
use hashbrown::{Equivalent, HashMap};
use journey::{Outcome, Step};
use payload::TokenSource;
use scheduling::PluginRun;
use std::hash::Hash;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Label sets of requests that a core keeps apart, each some 3 KB: more than any configuration names. What comes beyond
/// counts as `unknown`.
const LABEL_SETS_MAX: usize = 2_048;

/// Label sets beside those whose model sent was a client's choice. They have places of their own, so that no client takes
/// those of the others: known models and targets can be paired in many more ways than the configuration pairs them.
const LABEL_SETS_BY_CLIENTS_MAX: usize = 256;

/// Priorities that a label set keeps apart, more than anybody grades a model's requests by. What comes beyond counts for the
/// same model as `unknown`: a client that may name any InferenceObjective takes no model's place by it.
const PRIORITIES_MAX: usize = 16;

/// The label of what the snapshot does not know.
pub(crate) const UNKNOWN: &str = "unknown";

/// The histograms of a request, in the order of [`RequestSeries::histograms`].
pub(crate) const REQUEST_HISTOGRAMS: [Family; 9] = [
    REQUEST_DURATION,
    REQUEST_SIZES,
    RESPONSE_SIZES,
    INPUT_TOKEN_COUNTS,
    OUTPUT_TOKEN_COUNTS,
    CACHED_TOKENS,
    TTFT,
    TIME_PER_OUTPUT_TOKEN,
    NORMALIZED_TPOT,
];
/// Those of them that had another name up to v1.0, in the order in which they are shown.
pub(crate) const MODEL_HISTOGRAMS: [(Measure, Family); 6] = [
    (Measure::Duration, MODEL_REQUEST_DURATION),
    (Measure::RequestBytes, MODEL_REQUEST_SIZES),
    (Measure::ResponseBytes, MODEL_RESPONSE_SIZES),
    (Measure::InputTokens, MODEL_INPUT_TOKENS),
    (Measure::OutputTokens, MODEL_OUTPUT_TOKENS),
    (Measure::NormalizedPerToken, MODEL_NORMALIZED_TPOT),
];

/// The same, by name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Measure {
    Duration,
    RequestBytes,
    ResponseBytes,
    InputTokens,
    OutputTokens,
    CachedTokens,
    FirstToken,
    PerToken,
    NormalizedPerToken,
}

/// The reference's error codes.
pub(crate) const ERROR_CODES: [&str; 7] = [
    "BadRequest",
    "Forbidden",
    "NotFound",
    "InferencePoolResourceExhausted",
    "ModelServerError",
    "ServiceUnavailable",
    "Internal",
];

/// The label values of a request, owned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RequestLabels {
    pub(crate) model: Box<str>,
    pub(crate) target: Box<str>,
    pub(crate) pool: Box<str>,
}

/// The same, to look up with. Must hash as [`RequestLabels`] does: the same fields in the same order.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct RequestLabelsRef<'a> {
    pub(crate) model: &'a str,
    pub(crate) target: &'a str,
    pub(crate) pool: &'a str,
}

impl Equivalent<RequestLabels> for RequestLabelsRef<'_> {
    fn equivalent(&self, key: &RequestLabels) -> bool {
        *self.model == *key.model && *self.target == *key.target && *self.pool == *key.pool
    }
}

impl<'a> RequestLabelsRef<'a> {
    /// The labels of a request to `pool`; a model that the snapshot does not know is none, whether it is asked for or sent.
    pub(crate) fn of(record: &'a Record, pool: &'a str) -> RequestLabelsRef<'a> {
        let model = record.model.as_ref().filter(|_| record.model_known).map_or(UNKNOWN, |model| &*model.0);
        let target = match (&record.target_model, record.target_chosen) {
            (None, _) => model,
            (Some(_), TargetChosen::FromNowhere) => UNKNOWN,
            (Some(target), _) => &*target.0,
        };
        RequestLabelsRef { model, target, pool }
    }

    fn owned(&self) -> RequestLabels {
        let RequestLabelsRef { model, target, pool } = *self;
        RequestLabels { model: model.into(), target: target.into(), pool: pool.into() }
    }
}

/// The label values of a decision of an InferenceModelRewrite, owned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RewriteLabels {
    pub(crate) rewrite: Arc<str>,
    pub(crate) model: Box<str>,
    pub(crate) target: Box<str>,
}

/// The same, to look up with. Must hash as [`RewriteLabels`] does.
#[derive(Debug, Clone, Copy, Hash)]
struct RewriteLabelsRef<'a> {
    rewrite: &'a Arc<str>,
    model: &'a str,
    target: &'a str,
}

impl Equivalent<RewriteLabels> for RewriteLabelsRef<'_> {
    fn equivalent(&self, key: &RewriteLabels) -> bool {
        *self.rewrite == key.rewrite && *self.model == *key.model && *self.target == *key.target
    }
}

impl RewriteLabelsRef<'_> {
    fn owned(&self) -> RewriteLabels {
        let RewriteLabelsRef { rewrite, model, target } = *self;
        RewriteLabels { rewrite: Arc::clone(rewrite), model: model.into(), target: target.into() }
    }
}

/// What is counted for one label set.
#[derive(Debug)]
pub(crate) struct RequestSeries {
    pub(crate) requests: ByPriority,
    pub(crate) errors: [Count; ERROR_CODES.len()],
    pub(crate) running: AtomicI64,
    pub(crate) histograms: [Histogram; REQUEST_HISTOGRAMS.len()],
}

/// Requests, each priority apart, in the order in which they were first seen.
#[derive(Debug, Default)]
pub(crate) struct ByPriority {
    places: [(OnceLock<i32>, Count); PRIORITIES_MAX],
    /// Of no priority: refused before they were weighed; and of those that found no place.
    unknown: Count,
}

impl ByPriority {
    /// The count of a priority, shown from here on.
    pub(crate) fn of(&self, priority: Option<i32>) -> &Count {
        let place = priority
            .and_then(|priority| self.places.iter().find(|(of, _)| *of.get_or_init(|| priority) == priority));
        place.map_or(&self.unknown, |(_, count)| count)
    }

    /// What was counted, by priority; `None` is told as `unknown`.
    pub(crate) fn list(&self) -> impl Iterator<Item = (Option<i32>, u64)> {
        let seen = self.places.iter().map_while(|(of, count)| Some((Some(*of.get()?), count.get())));
        seen.chain(Some((None, self.unknown.get())).filter(|(_, count)| *count > 0))
    }
}

impl Default for RequestSeries {
    fn default() -> RequestSeries {
        RequestSeries {
            requests: ByPriority::default(),
            errors: Default::default(),
            running: AtomicI64::new(0),
            histograms: REQUEST_HISTOGRAMS.map(|family| Histogram::new(family.bounds)),
        }
    }
}

impl RequestSeries {
    fn count(&self, record: &Record) {
        self.requests.of(record.priority).add(1);
        self.observe(Measure::RequestBytes, record.request_bytes as f64);
        if let Some(code) = error_code(record) {
            self.errors[code].add(1);
        } else if record.cut_short().is_none() {
            self.count_served(record);
        }
    }

    fn observe(&self, measure: Measure, value: f64) {
        self.histograms[measure as usize].observe(value);
    }

    /// Times and tokens of responses that came whole: errors answer fast and would flatter them.
    fn count_served(&self, record: &Record) {
        let seconds = record.ended_in.as_secs_f64();
        self.observe(Measure::Duration, seconds);
        self.observe(Measure::ResponseBytes, record.response_bytes as f64);
        if let Some(tokens) = record.usage.input_tokens {
            self.observe(Measure::InputTokens, f64::from(tokens));
        }
        if let Some(tokens) = record.usage.cached_tokens {
            self.observe(Measure::CachedTokens, f64::from(tokens));
        }
        let output = record.usage.output_tokens.unwrap_or(0);
        if record.usage.output_tokens.is_some() {
            self.observe(Measure::OutputTokens, f64::from(output));
        }
        if output > 0 {
            self.observe(Measure::NormalizedPerToken, seconds / f64::from(output));
        }
        if let (true, Some(first)) = (record.stream, record.first_token_in) {
            self.observe(Measure::FirstToken, first.as_secs_f64());
            if output > 1 {
                self.observe(Measure::PerToken, (seconds - first.as_secs_f64()) / f64::from(output - 1));
            }
        }
    }
}

/// What is counted for an endpoint picker of somebody else.
#[derive(Debug)]
pub(crate) struct PickerSeries {
    pub(crate) outcomes: [Count; PICKER_OUTCOMES.len()],
    pub(crate) took: Histogram,
}

/// What an endpoint picker does, in the order of [`PickerSeries::outcomes`].
pub(crate) const PICKER_OUTCOMES: [PickerOutcome; 3] =
    [PickerOutcome::Picked, PickerOutcome::Answered, PickerOutcome::Failed];

impl Default for PickerSeries {
    fn default() -> PickerSeries {
        PickerSeries { outcomes: Default::default(), took: Histogram::new(PICKER_DURATION.bounds) }
    }
}

impl PickerSeries {
    fn count(&self, asked: &AskedPicker) {
        if let Some(place) = PICKER_OUTCOMES.iter().position(|outcome| *outcome == asked.outcome) {
            self.outcomes[place].add(1);
            self.took.observe(asked.took.as_secs_f64());
        }
    }
}

/// What a plugin does in a pick, and its type.
pub(crate) type PluginLabels = (&'static str, &'static str);

/// How long a plugin took, in the picks that were timed.
#[derive(Debug)]
pub(crate) struct PluginSeries(pub(crate) Histogram);

impl Default for PluginSeries {
    fn default() -> PluginSeries {
        PluginSeries(Histogram::new(PLUGIN_DURATION.bounds))
    }
}

/// The place in [`ERROR_CODES`] of a request that failed. Whatever a model server answers from 400 on is its error.
fn error_code(record: &Record) -> Option<usize> {
    let code = match (&record.refusal, record.status) {
        (None, 400..) => "ModelServerError",
        (None, _) => return None,
        (Some(refused), status) => match status {
            404 => "NotFound",
            403 => "Forbidden",
            429 => "InferencePoolResourceExhausted",
            400..=499 => "BadRequest",
            _ if refused.step == Step::Upstream => "ModelServerError",
            503 => "ServiceUnavailable",
            _ => "Internal",
        },
    };
    ERROR_CODES.iter().position(|known| *known == code)
}

/// Cells that are made when their key is first seen. The core finds them in its own map; a scrape walks the list.
#[derive(Debug)]
pub(crate) struct Shelf<K, V>(Mutex<Vec<(K, Arc<V>)>>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Shelf<K, V> {
        Shelf(Mutex::new(Vec::new()))
    }
}

impl<K: Clone, V> Shelf<K, V> {
    fn put(&self, key: K, cell: &Arc<V>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((key, Arc::clone(cell)));
    }

    pub(crate) fn list(&self) -> Vec<(K, Arc<V>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What one core counts and keeps.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) requests: Shelf<RequestLabels, RequestSeries>,
    pub(crate) refusals: Shelf<(Step, &'static str), Count>,
    pub(crate) responses: Shelf<u16, Count>,
    pub(crate) pickers: Shelf<Arc<str>, PickerSeries>,
    pub(crate) rewrites: Shelf<RewriteLabels, Count>,
    pub(crate) plugins: Shelf<PluginLabels, PluginSeries>,
    pub(crate) begun: Count,
    pub(crate) ended: Count,
    pub(crate) cancelled: Count,
    pub(crate) attempts: [Count; OUTCOMES.len()],
    pub(crate) retries: Count,
    pub(crate) tokens_estimated: Count,
    pub(crate) headers_removed: Count,
    pub(crate) picks: Count,
    pub(crate) picks_failed: Count,
    pub(crate) decided_in: Histogram,
    pub(crate) prefix_ratio: Histogram,
    pub(crate) prefix_bytes: Histogram,
    pub(crate) connections: [Connections; 2],
    pub(crate) panics: AtomicU64,
    pub(crate) ring: Ring,
}

/// Connections opened and closed; a guard may be dropped on any thread, so these are true atomics.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) opened: AtomicU64,
    pub(crate) closed: AtomicU64,
}

/// Every outcome, in the order of [`outcome_place`].
pub(crate) const OUTCOMES: [Outcome; 8] = [
    Outcome::Served,
    Outcome::ServerError { status: 0 },
    Outcome::Broken,
    Outcome::TimedOut,
    Outcome::Cancelled,
    Outcome::Stopped,
    Outcome::Late,
    Outcome::LocalReply,
];

fn outcome_place(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Served => 0,
        Outcome::ServerError { .. } => 1,
        Outcome::Broken => 2,
        Outcome::TimedOut => 3,
        Outcome::Cancelled => 4,
        Outcome::Stopped => 5,
        Outcome::Late => 6,
        Outcome::LocalReply => 7,
    }
}

impl Shard {
    pub(crate) fn new(records: usize) -> Shard {
        Shard {
            requests: Shelf::default(),
            refusals: Shelf::default(),
            responses: Shelf::default(),
            pickers: Shelf::default(),
            rewrites: Shelf::default(),
            plugins: Shelf::default(),
            begun: Count::default(),
            ended: Count::default(),
            cancelled: Count::default(),
            attempts: Default::default(),
            retries: Count::default(),
            tokens_estimated: Count::default(),
            headers_removed: Count::default(),
            picks: Count::default(),
            picks_failed: Count::default(),
            decided_in: Histogram::new(SCHEDULER_DURATION.bounds),
            prefix_ratio: Histogram::new(PREFIX_RATIO.bounds),
            prefix_bytes: Histogram::new(PREFIX_BYTES.bounds),
            connections: Default::default(),
            panics: AtomicU64::new(0),
            ring: Ring::new(records),
        }
    }

    /// Counts what needs no label.
    fn count(&self, record: &Record) {
        self.ended.add(1);
        self.cancelled.add(u64::from(record.cancelled));
        self.headers_removed.add(u64::from(record.headers_removed));
        self.tokens_estimated.add(u64::from(record.usage.source == Some(TokenSource::Estimated)));
        for attempt in &record.attempts {
            self.attempts[outcome_place(attempt.outcome)].add(1);
        }
        self.retries.add((record.attempts.len() as u64).saturating_sub(1));
        let Some(decision) = &record.decision else {
            let failed = record.refusal.as_ref().is_some_and(|refused| refused.step == Step::Pick);
            self.picks_failed.add(u64::from(failed));
            return;
        };
        self.picks.add(1);
        self.decided_in.observe(record.decided_in.as_secs_f64());
        let (Some(picked), true) = (decision.candidates.first(), record.prompt_bytes > 0) else { return };
        self.prefix_bytes.observe(picked.matched_bytes as f64);
        self.prefix_ratio.observe((picked.matched_bytes as f64 / record.prompt_bytes as f64).min(1.0));
    }
}

type Map<K, V> = HashMap<K, Arc<V>, foldhash::fast::RandomState>;

/// A core's own way to the labelled cells of its shard.
#[derive(Debug, Default)]
pub(crate) struct Handles {
    requests: Map<RequestLabels, RequestSeries>,
    /// How many of `requests` a client's choice made.
    requests_by_clients: usize,
    refusals: Map<(Step, &'static str), Count>,
    responses: Map<u16, Count>,
    pickers: Map<Arc<str>, PickerSeries>,
    rewrites: Map<RewriteLabels, Count>,
    plugins: Map<PluginLabels, PluginSeries>,
}

impl Handles {
    /// The cells of a label set; those of `unknown` if there are too many of those that have the same origin.
    pub(crate) fn request(
        &mut self,
        shard: &Shard,
        labels: RequestLabelsRef<'_>,
        chosen: TargetChosen,
    ) -> &Arc<RequestSeries> {
        let by_client = chosen != TargetChosen::ByConfiguration;
        let full = if by_client {
            self.requests_by_clients >= LABEL_SETS_BY_CLIENTS_MAX
        } else {
            self.requests.len() - self.requests_by_clients >= LABEL_SETS_MAX
        };
        let unknown = RequestLabelsRef { model: UNKNOWN, target: UNKNOWN, pool: UNKNOWN };
        let labels = if full && !self.requests.contains_key(&labels) { unknown } else { labels };
        match self.requests.entry_ref(&labels) {
            EntryRef::Occupied(known) => known.into_mut(),
            EntryRef::Vacant(place) => {
                self.requests_by_clients += usize::from(by_client);
                let cell = Arc::default();
                shard.requests.put(labels.owned(), &cell);
                place.insert_with_key(labels.owned(), cell)
            }
        }
    }

    /// The cells of an endpoint picker; those of `unknown` if there are too many.
    fn picker(&mut self, shard: &Shard, asked: &AskedPicker) -> &Arc<PickerSeries> {
        let full = self.pickers.len() >= LABEL_SETS_MAX && !self.pickers.contains_key(&asked.picker);
        let name = if full { Arc::from(UNKNOWN) } else { Arc::clone(&asked.picker) };
        self.pickers.entry(name).or_insert_with_key(|name| {
            let cell = Arc::default();
            shard.pickers.put(Arc::clone(name), &cell);
            cell
        })
    }

    /// Counts a decision of an InferenceModelRewrite; as of unknown models if there are too many.
    fn rewritten(&mut self, shard: &Shard, labels: RewriteLabelsRef<'_>) {
        let full = self.rewrites.len() >= LABEL_SETS_MAX && !self.rewrites.contains_key(&labels);
        let labels = RewriteLabelsRef {
            model: if full { UNKNOWN } else { labels.model },
            target: if full { UNKNOWN } else { labels.target },
            ..labels
        };
        match self.rewrites.entry_ref(&labels) {
            EntryRef::Occupied(known) => known.into_mut().add(1),
            EntryRef::Vacant(place) => {
                let cell: Arc<Count> = Arc::default();
                cell.add(1);
                shard.rewrites.put(labels.owned(), &cell);
                place.insert_with_key(labels.owned(), cell);
            }
        }
    }

    /// Notes how long plugins took. There are as many kinds of them as the code has.
    pub(crate) fn plugins_ran(&mut self, shard: &Shard, runs: &[PluginRun]) {
        for run in runs {
            let cell = self.plugins.entry((names::extension_point(run.kind), run.name)).or_insert_with_key(
                |labels| {
                    let cell = Arc::default();
                    shard.plugins.put(*labels, &cell);
                    cell
                },
            );
            cell.0.observe(run.took.as_secs_f64());
        }
    }

    /// Counts a record, in the shard and in the cells of its labels.
    pub(crate) fn count(&mut self, shard: &Shard, record: &Record) {
        shard.count(record);
        // 0: the client went away before there was a response.
        if record.status != 0 {
            cell(&mut self.responses, &shard.responses, record.status).add(1);
        }
        if let Some(refused) = &record.refusal {
            cell(&mut self.refusals, &shard.refusals, (refused.step, refused.reason)).add(1);
        }
        if let Some(asked) = &record.picker {
            self.picker(shard, asked).count(asked);
        }
        if let Some(pool) = &record.backend {
            let labels = RequestLabelsRef::of(record, pool);
            self.request(shard, labels, record.target_chosen).count(record);
            if let Some(rewrite) = &record.rewritten_by {
                let RequestLabelsRef { model, target, .. } = labels;
                self.rewritten(shard, RewriteLabelsRef { rewrite, model, target });
            }
        }
    }
}

fn cell<'m, K: Copy + Eq + Hash>(map: &'m mut Map<K, Count>, shelf: &Shelf<K, Count>, key: K) -> &'m Count {
    map.entry(key).or_insert_with(|| {
        let cell = Arc::default();
        shelf.put(key, &cell);
        cell
    })
}
