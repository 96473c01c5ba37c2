//! Golden cases: the reference's own files pick as the reference does. What is expected was worked out by hand from its
//! documented formulas; where it draws, who may be drawn.

use scheduling::config::{self, Configured, MetricsSource, TestPlugins};
use scheduling::pickers::{Picker, WeightedRandomPicker};
use scheduling::saturation::{SaturationDetector, UtilizationDetector};
use scheduling::scorers::{PrefixCacheScorer, Scorer};
use scheduling::{AdapterFit, Ask, BlockSettings, Load, Policy, Slot, Weighing};
use std::collections::BTreeSet;

fn read(text: &str) -> Configured {
    config::read(text, TestPlugins::Refused).unwrap_or_else(|error| panic!("{error}"))
}

const TREE: &str = include_str!("configs/v0.5.1-default-plugins.yaml");
const V2: &str = include_str!("configs/v0.5.1-plugins-v2.yaml");
const V1_0: &str = include_str!("configs/v1.0-default-plugins.yaml");
const V1_2: &str = include_str!("configs/v1.2-default-plugins.yaml");
const EVERYTHING: &str = include_str!("configs/v1.4-everything.yaml");

/// An endpoint: queue, KV use, blocks of the prompt of 8 that it holds.
fn endpoint(place: usize, &(queue, kv_used, matched_blocks): &(u32, f32, u16)) -> Load {
    Load { waiting: Some(queue), kv_used, matched_blocks, ..Load::idle(Slot(place as u32)) }
}

fn weigh(policy: &Policy, candidates: Vec<Load>, seed: u64) -> (Weighing, Vec<u32>) {
    let mut weighing = Weighing::default();
    weighing.candidates = candidates;
    let ask = Ask { prompt_bytes: 8 * 64, prompt_blocks: 8 };
    let ranked = policy.rank(&mut weighing, &ask, &mut fastrand::Rng::with_seed(seed));
    let slots = ranked.iter().map(|&place| weighing.candidates[place].slot.0).collect();
    (weighing, slots)
}

#[test]
fn the_scorers_of_the_charts_rank_as_the_reference_does() {
    let yard = [(0, 0.9, 0), (4, 0.2, 8), (8, 0.1, 2), (2, 0.5, 4)];
    // queue (8 − q) / 8: 1, 0.5, 0, 0.75; KV 1 − u: 0.1, 0.8, 0.9, 0.5; prefix m / 8: 0, 1, 0.25, 0.5.
    let table = [
        (V2, [1.1, 2.3, 1.15, 1.75], [1, 3, 2, 0]),
        (V1_0, [1.1, 2.3, 1.15, 1.75], [1, 3, 2, 0]),
        // 2, 2, 3.
        (V1_2, [2.2, 5.6, 2.55, 4.0], [1, 3, 2, 0]),
    ];
    for (file, sums, order) in table {
        let policy = read(file).policy;
        let loads = yard.iter().enumerate().map(|(place, state)| endpoint(place, state)).collect();
        let (weighing, ranked) = weigh(&policy, loads, 1);
        assert_eq!(ranked, order);
        for (place, sum) in sums.into_iter().enumerate() {
            assert!((weighing.total(place) - sum).abs() < 1e-5, "{place}: {}", weighing.total(place));
        }
        assert_eq!(policy.endpoints_max, 1, "the header names one endpoint");
    }
}

#[test]
fn the_weights_of_v1_2_prefer_the_cache_where_equal_weights_do_not() {
    // 1, 1, 1: 1 + 0.9 + 0 against 0 + 0.9 + 0.75; 2, 2, 3: 3.8 against 4.05.
    let yard = [(0, 0.1, 0), (5, 0.1, 6)];
    let loads = || yard.iter().enumerate().map(|(place, state)| endpoint(place, state)).collect();
    assert_eq!(weigh(&read(V1_0).policy, loads(), 1).1[0], 0);
    assert_eq!(weigh(&read(V1_2).policy, loads(), 1).1[0], 1);
}

/// Who comes first in some draw.
fn drawn(policy: &Policy, candidates: &[Load]) -> BTreeSet<u32> {
    (0..60).map(|seed| weigh(policy, candidates.to_vec(), seed).1[0]).collect()
}

#[test]
fn the_decision_tree_of_v0_5_1_leaves_who_the_reference_leaves() {
    let policy = read(TREE).policy;
    let (untold, active, room) = (AdapterFit::UNTOLD, AdapterFit::ACTIVE, AdapterFit::ROOM);
    // Queue, KV use, adapter; who may be drawn.
    type Yard<'y> = &'y [(u32, f32, AdapterFit)];
    let table: [(&str, Yard<'_>, &[u32]); 6] = [
        ("all alike", &[(0, 0.0, untold), (0, 0.0, untold)], &[0, 1]),
        (
            "the shortest queue, whole bands: 9 / 3",
            &[(0, 0.5, untold), (3, 0.5, untold), (9, 0.5, untold)],
            &[0, 1],
        ),
        (
            "then the emptiest cache: 0.1 + 0.4 / 2",
            &[(0, 0.5, untold), (0, 0.1, untold), (9, 0.0, untold)],
            &[1],
        ),
        ("the adapter before the queue", &[(0, 0.0, room), (5, 0.9, active)], &[1]),
        ("a queue over 128 is left out", &[(128, 0.9, untold), (129, 0.0, active)], &[0]),
        ("all over 128: the queue before the adapter", &[(130, 0.0, room), (200, 0.0, active)], &[0]),
    ];
    for (what, yard, expected) in table {
        let loads: Vec<Load> = yard
            .iter()
            .enumerate()
            .map(|(place, &(queue, kv_used, adapter))| Load {
                adapter,
                ..endpoint(place, &(queue, kv_used, 0))
            })
            .collect();
        assert_eq!(drawn(&policy, &loads), expected.iter().copied().collect(), "{what}");
    }
}

#[test]
fn every_section_of_v1_4_is_taken() {
    let configured = read(EVERYTHING);
    let blocks = BlockSettings {
        block_bytes: 128,
        blocks_max: 128,
        prefix_bytes_max: None,
        capacity_blocks: 5000,
        auto_tune: false,
    };
    let policy = &configured.policy;
    let names: Vec<&str> = policy.scorer_names().into_iter().collect();
    assert_eq!(names, ["running-requests-size-scorer", "lora-affinity-scorer", "prefix-cache-scorer"]);
    let weights: Vec<f32> = policy.scorers.iter().map(|(_, weight)| *weight).collect();
    assert_eq!(weights, [0.5, 1.0, 2.25]);
    assert_eq!(policy.scorers[2].0, Scorer::PrefixCache(PrefixCacheScorer { blocks }));
    assert_eq!((policy.picker, policy.endpoints_max), (Picker::WeightedRandom(WeightedRandomPicker), 3));
    let detector = UtilizationDetector {
        queue_depth_threshold: 10,
        kv_cache_util_threshold: 0.9,
        metrics_staleness_threshold_seconds: 0.5,
        headroom: 0.0,
    };
    assert_eq!(configured.detector, Some(SaturationDetector::Utilization(detector)));
    assert_eq!(configured.metrics.path.as_deref(), Some("/prometheus/metrics"));
    let noted: Vec<&str> = configured.notes.iter().map(|note| &*note.field).collect();
    assert_eq!(noted, ["flowControl", "plugins[5].parameters.defaultEngine"]);
}

#[test]
fn a_file_leaves_to_the_process_what_it_does_not_say() {
    for file in [TREE, V2, V1_0, V1_2] {
        let configured = read(file);
        assert_eq!((configured.detector, configured.metrics), (None, MetricsSource::default()));
        assert_eq!(configured.notes, []);
    }
}
