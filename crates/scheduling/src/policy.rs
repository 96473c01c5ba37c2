//! How a pool picks: filters, weighted scorers, a picker.

use crate::filters::Filter;
use crate::pickers::{MaxScorePicker, Picker};
use crate::plugins::PluginKind;
use crate::scorers::{
    InFlightScorer, KvPressureScorer, LoraAffinityScorer, PromptBacklogScorer, Scorer, UncachedPromptScorer,
};
use crate::{
    Ask, BlockSettings, CANDIDATES_MAX, ENDPOINTS_MAX, FILTERS_MAX, Load, PASSED_OVER_MAX, SCORERS_MAX, Slot,
    Unwatched, Watch,
};
use arrayvec::ArrayVec;

/// A pool's way of picking; compiled once, when the snapshot is built.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Run in order; each takes candidates away.
    pub filters: ArrayVec<Filter, FILTERS_MAX>,
    /// Summed, each times its weight.
    pub scorers: ArrayVec<(Scorer, f32), SCORERS_MAX>,
    /// Orders what is left by the sums.
    pub picker: Picker,
    /// The most endpoints that a decision names, 1 to [`ENDPOINTS_MAX`]: the picker's `maxNumOfEndpoints`.
    pub endpoints_max: usize,
}

impl Default for Policy {
    /// Our own: every part is in seconds of delay, so that nothing has to be normalised and parts may be compared.
    ///
    /// A prompt's own work counts twice, since it also delays whoever comes behind it; an adapter that has to be loaded
    /// counts a fifth of a second, and an endpoint that tells nothing of adapters is taken to have room for it.
    fn default() -> Policy {
        let scorers = [
            (Scorer::InFlight(InFlightScorer), 1.0),
            (Scorer::PromptBacklog(PromptBacklogScorer), 1.0),
            (Scorer::UncachedPrompt(UncachedPromptScorer), 2.0),
            (Scorer::KvPressure(KvPressureScorer), 1.0),
            (Scorer::LoraAffinity(LoraAffinityScorer { untold: 0.8 }), 0.2),
        ];
        Policy {
            filters: ArrayVec::new(),
            scorers: scorers.into_iter().collect(),
            picker: Picker::MaxScore(MaxScorePicker),
            endpoints_max: ENDPOINTS_MAX,
        }
    }
}

impl Policy {
    /// The scorers' names, in the order of a candidate's parts.
    pub fn scorer_names(&self) -> ArrayVec<&'static str, SCORERS_MAX> {
        self.scorers.iter().map(|(scorer, _)| scorer.name()).collect()
    }

    /// How prompts are cut for the index of a configured `prefix-cache-scorer`; `None` without one.
    pub fn blocks(&self) -> Option<BlockSettings> {
        self.scorers.iter().find_map(|(scorer, _)| match scorer {
            Scorer::PrefixCache(scorer) => Some(scorer.blocks),
            _ => None,
        })
    }

    /// Orders `weighing.candidates`, best first; answers places in it. Empty if nothing is left to pick from.
    pub fn rank(
        &self,
        weighing: &mut Weighing,
        ask: &Ask,
        random: &mut fastrand::Rng,
    ) -> ArrayVec<usize, CANDIDATES_MAX> {
        self.rank_watched(weighing, ask, random, &mut Unwatched)
    }

    /// The same, while somebody looks on.
    pub fn rank_watched(
        &self,
        weighing: &mut Weighing,
        ask: &Ask,
        random: &mut fastrand::Rng,
        watch: &mut impl Watch,
    ) -> ArrayVec<usize, CANDIDATES_MAX> {
        watch.begins();
        weighing.filtered.clear();
        for filter in &self.filters {
            weighing.stood.clear();
            weighing.stood.extend(weighing.candidates.iter().map(|load| load.slot));
            filter.keep(&mut weighing.candidates, &mut weighing.aside, ask, random);
            watch.ran(PluginKind::Filter, filter.name());
            weighing.note_filtered(filter.name());
        }
        weighing.score(&self.scorers, ask, watch);
        let ranked = self.picker.pick(&weighing.totals, random);
        watch.ran(PluginKind::Picker, self.picker.name());
        ranked
    }
}

/// The paper a pick is worked out on: kept between picks, so that a pick allocates nothing.
#[derive(Debug, Default)]
pub struct Weighing {
    /// Who may be picked; filled by the caller, thinned by filters.
    pub candidates: Vec<Load>,
    /// Candidates that a filter may bring back.
    aside: Vec<Load>,
    /// Those that stood before the filter that runs.
    stood: Vec<Slot>,
    /// Whom the filters took away, and which of them did: the first of each, as far as there is room.
    filtered: ArrayVec<(Slot, &'static str), PASSED_OVER_MAX>,
    /// Weighted parts: all candidates' of the first scorer, then all of the second …
    parts: Vec<f32>,
    /// Their sums, by candidate.
    totals: Vec<f32>,
}

impl Weighing {
    /// The sum that ordered the candidate at `place`.
    pub fn total(&self, place: usize) -> f32 {
        self.totals[place]
    }

    /// Each scorer's weighted part of that sum.
    pub fn parts(&self, place: usize) -> [f32; SCORERS_MAX] {
        let mut parts = [0.0; SCORERS_MAX];
        let columns = self.parts.chunks_exact(self.candidates.len().max(1));
        for (part, column) in parts.iter_mut().zip(columns) {
            *part = column[place];
        }
        parts
    }

    /// Whom the filters took away, and which of them did; the first few.
    pub fn filtered(&self) -> &[(Slot, &'static str)] {
        &self.filtered
    }

    fn note_filtered(&mut self, filter: &'static str) {
        let mut left = self.candidates.iter().map(|load| load.slot).peekable();
        for &slot in &self.stood {
            if left.next_if_eq(&slot).is_none() && self.filtered.try_push((slot, filter)).is_err() {
                return;
            }
        }
    }

    fn score(&mut self, scorers: &[(Scorer, f32)], ask: &Ask, watch: &mut impl Watch) {
        let count = self.candidates.len();
        self.totals.clear();
        self.totals.resize(count, 0.0);
        // Not cleared: each scorer writes its whole column.
        self.parts.resize(count * scorers.len(), 0.0);
        let columns = self.parts.chunks_exact_mut(count.max(1));
        for ((scorer, weight), column) in scorers.iter().zip(columns) {
            scorer.score(&self.candidates, ask, column);
            for (part, total) in column.iter_mut().zip(&mut self.totals) {
                *part *= weight;
                *total += *part;
            }
            watch.ran(PluginKind::Scorer, scorer.name());
        }
    }
}
