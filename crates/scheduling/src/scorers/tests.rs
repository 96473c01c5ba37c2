use super::*;
use crate::{AdapterFit, Slot};

const ASK: Ask = Ask { prompt_bytes: 1000, prompt_blocks: 128 };

/// Three endpoints: idle and silent, half busy, full.
fn yard() -> [Load; 3] {
    let silent = Load::idle(Slot(0));
    let busy = Load {
        in_flight: 4,
        unseen: 2.0,
        waiting: Some(2),
        running: 5,
        kv_used: 0.5,
        backlog_seconds: 0.25,
        matched_bytes: 500,
        matched_blocks: 64,
        adapter: AdapterFit::ACTIVE,
        ..Load::idle(Slot(1))
    };
    let full = Load {
        in_flight: 8,
        waiting: Some(4),
        running: 10,
        kv_used: 0.9,
        backlog_seconds: 1.0,
        matched_bytes: 2000,
        matched_blocks: 256,
        adapter: AdapterFit::FULL,
        ..Load::idle(Slot(2))
    };
    [silent, busy, full]
}

#[test]
fn scorers_answer_by_their_formulas() {
    let table: [(Scorer, [f32; 3]); 10] = [
        (Scorer::ActiveRequest(ActiveRequestScorer), [1.0, 0.5, 0.0]),
        (Scorer::InFlight(InFlightScorer), [0.0, -0.24, -0.4]),
        (Scorer::KvCacheUtilization(KvCacheUtilizationScorer), [1.0, 0.5, 0.1]),
        (Scorer::KvPressure(KvPressureScorer), [0.0, 0.0, -0.5]),
        (Scorer::LoraAffinity(LoraAffinityScorer::default()), [0.0, 1.0, 0.0]),
        (Scorer::PrefixCache(PrefixCacheScorer::default()), [0.0, 0.5, 1.0]),
        (Scorer::PromptBacklog(PromptBacklogScorer), [0.0, -0.25, -1.0]),
        (Scorer::Queue(QueueScorer), [1.0, 0.5, 0.0]),
        (Scorer::RunningRequestsSize(RunningRequestsSizeScorer), [1.0, 0.5, 0.0]),
        (Scorer::UncachedPrompt(UncachedPromptScorer), [-0.016, -0.008, 0.0]),
    ];
    for (scorer, expected) in table {
        let mut scores = [f32::NAN; 3];
        scorer.score(&yard(), &ASK, &mut scores);
        for (score, expected) in scores.iter().zip(expected) {
            assert!((score - expected).abs() < 1e-5, "{}: {scores:?}", scorer.name());
        }
    }
}

#[test]
fn equal_counts_score_one() {
    for scorer in [Scorer::Queue(QueueScorer), Scorer::RunningRequestsSize(RunningRequestsSizeScorer)] {
        let mut scores = [0.0; 2];
        scorer.score(&[yard()[2], yard()[2]], &ASK, &mut scores);
        assert_eq!(scores, [1.0, 1.0]);
    }
}

#[test]
fn an_adapter_scores_by_the_best_that_is_known_of_it() {
    let table = [
        (AdapterFit::ACTIVE.and(AdapterFit::WAITING), 1.0),
        (AdapterFit::ROOM.and(AdapterFit::WAITING), 0.8),
        (AdapterFit::WAITING, 0.6),
        (AdapterFit::FULL, 0.0),
        (AdapterFit::UNTOLD, 0.0),
    ];
    for (adapter, expected) in table {
        let mut scores = [f32::NAN];
        LoraAffinityScorer::default().score(&[Load { adapter, ..yard()[0] }], &mut scores);
        assert_eq!(scores, [expected], "{adapter:?}");
    }
}

#[test]
fn a_prompt_shorter_than_a_block_is_held_by_nobody() {
    let mut scores = [f32::NAN; 3];
    PrefixCacheScorer::default().score(&yard(), &Ask::default(), &mut scores);
    assert_eq!(scores, [0.0; 3]);
}
