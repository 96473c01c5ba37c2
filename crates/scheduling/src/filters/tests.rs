//! Golden cases: endpoints and a request in, the endpoints that are left out. The rules are those of GAIE v0.5.1.

use super::*;
use crate::{AdapterFit, Slot};
use std::net::SocketAddr;

/// Endpoints with these queues and KV uses.
fn yard(reports: &[(u32, f32)]) -> Vec<Load> {
    let load = |(slot, &(queue, kv_used)): (u32, &(u32, f32))| Load {
        waiting: Some(queue),
        kv_used,
        ..Load::idle(Slot(slot))
    };
    (0u32..).zip(reports).map(load).collect()
}

fn left(filter: &Filter, mut candidates: Vec<Load>, random: &mut fastrand::Rng) -> Vec<u32> {
    let mut aside = Vec::new();
    filter.keep(&mut candidates, &mut aside, &Ask::default(), random);
    assert!(aside.is_empty(), "the stack is left as it was found");
    candidates.iter().map(|load| load.slot.0).collect()
}

fn of_queues(filter: Filter, queues: &[u32]) -> Vec<u32> {
    let reports: Vec<(u32, f32)> = queues.iter().map(|&queue| (queue, 0.0)).collect();
    left(&filter, yard(&reports), &mut fastrand::Rng::with_seed(1))
}

#[test]
fn the_low_queue_filter_keeps_up_to_its_threshold() {
    let filter = |threshold| Filter::LowQueue(LowQueueFilter { threshold });
    assert_eq!(of_queues(Filter::LowQueue(LowQueueFilter::default()), &[127, 128, 129]), [0, 1]);
    assert_eq!(of_queues(filter(0), &[0, 1]), [0]);
    assert_eq!(of_queues(filter(3), &[4, 5]), [0u32; 0]);
}

#[test]
fn the_least_queue_filter_keeps_the_lowest_band_in_whole_requests() {
    let filter = || Filter::LeastQueue(LeastQueueFilter);
    let table: [(&[u32], &[u32]); 6] = [
        (&[], &[]),
        (&[7], &[0]),
        (&[0, 3, 6], &[0]),    // 0 + 6/3 = 2
        (&[0, 2, 6], &[0, 1]), // 2 is in
        (&[10, 10, 10], &[0, 1, 2]),
        (&[3, 4, 5, 9], &[0, 1]), // 3 + 6/4 = 4, whole
    ];
    for (queues, expected) in table {
        assert_eq!(of_queues(filter(), queues), expected, "{queues:?}");
    }
}

#[test]
fn the_least_kv_cache_filter_keeps_the_lowest_band() {
    let filter = Filter::LeastKvCache(LeastKvCacheFilter);
    let table: [(&[f32], &[u32]); 4] = [
        (&[], &[]),
        (&[0.25, 0.5, 1.0], &[0, 1]), // 0.25 + 0.75/3 = 0.5
        (&[0.25, 0.51, 1.0], &[0]),
        (&[0.9, 0.9], &[0, 1]),
    ];
    for (uses, expected) in table {
        let reports: Vec<(u32, f32)> = uses.iter().map(|&kv_used| (0, kv_used)).collect();
        assert_eq!(left(&filter, yard(&reports), &mut fastrand::Rng::with_seed(1)), expected, "{uses:?}");
    }
}

/// Endpoints of which these things are known about the adapter.
fn adapters(fits: &[AdapterFit]) -> Vec<Load> {
    let load = |(slot, &adapter): (u32, &AdapterFit)| Load { adapter, ..Load::idle(Slot(slot)) };
    (0u32..).zip(fits).map(load).collect()
}

#[test]
fn the_lora_affinity_filter_keeps_who_has_the_adapter_then_who_has_room() {
    let filter = Filter::LoraAffinity(LoraAffinityFilter { threshold: 1.0 });
    let (active, waiting, room, full) =
        (AdapterFit::ACTIVE, AdapterFit::WAITING, AdapterFit::ROOM, AdapterFit::FULL);
    let table: [(&[AdapterFit], &[u32]); 5] = [
        (&[room, active, full, waiting], &[1, 3]),
        (&[active.and(room), room], &[0]),
        (&[full, active], &[1]),
        (&[room, full, room], &[0, 2]),
        (&[full, AdapterFit::UNTOLD], &[]),
    ];
    for (fits, expected) in table {
        let kept = left(&filter, adapters(fits), &mut fastrand::Rng::with_seed(1));
        assert_eq!(kept, expected, "{fits:?}");
    }
}

#[test]
fn the_lora_affinity_filter_now_and_then_lets_another_endpoint_load_the_adapter() {
    let filter = Filter::LoraAffinity(LoraAffinityFilter { threshold: 0.75 });
    let mut random = fastrand::Rng::with_seed(5);
    let fits = [AdapterFit::ACTIVE, AdapterFit::ROOM];
    let stayed = (0..4000).filter(|_| left(&filter, adapters(&fits), &mut random) == [0]).count();
    assert!(stayed.abs_diff(3000) < 150, "{stayed}");
}

fn tree(current: Filter, success: Option<Filter>, failure: Option<Filter>) -> Filter {
    let tree = DecisionTreeFilter { current, next_on_success: success, next_on_failure: failure };
    Filter::DecisionTree(Box::new(tree))
}

fn low(threshold: u32) -> Filter {
    Filter::LowQueue(LowQueueFilter { threshold })
}

#[test]
fn a_decision_tree_follows_success_with_what_is_left_and_failure_with_all() {
    let least = || Some(Filter::LeastQueue(LeastQueueFilter));
    let table: [(&str, Filter, &[u32]); 7] = [
        ("no branch: what is left", tree(low(5), None, None), &[0, 1]),
        ("no branch: nobody", tree(low(1), None, None), &[]),
        ("success: least of what is left", tree(low(5), least(), None), &[0]),
        ("failure: least of all", tree(low(1), None, least()), &[0, 1]),
        ("failure without a branch", tree(low(1), least(), None), &[]),
        ("a tree in a tree", tree(tree(low(1), None, Some(low(4))), least(), Some(low(9))), &[0]),
        (
            "a failing tree gives all back",
            tree(tree(low(1), None, Some(low(2))), None, Some(low(9))),
            &[0, 1, 2],
        ),
    ];
    for (what, filter, expected) in table {
        assert_eq!(of_queues(filter, &[3, 4, 9]), expected, "{what}");
    }
}

#[test]
fn the_testing_filter_keeps_whom_the_header_names() {
    let endpoint = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let table = [
        ("10.0.0.1", "10.0.0.1:8000", true),
        (" 10.0.0.2 , 10.0.0.1:8000", "10.0.0.1:8000", true),
        ("10.0.0.1:8001", "10.0.0.1:8000", false),
        ("10.0.0.10", "10.0.0.1:8000", false),
        ("[fd00::1]", "[fd00::1]:8000", true),
        ("fd00::1", "[fd00::1]:8000", true),
        ("[fd00::1]:8000", "[fd00::1]:8000", true),
        ("", "10.0.0.1:8000", false),
        ("nonsense,,", "10.0.0.1:8000", false),
    ];
    for (value, address, expected) in table {
        assert_eq!(HeaderBasedTestingFilter::names(value, endpoint(address)), expected, "{value} {address}");
    }
    let mut named = yard(&[(0, 0.0), (0, 0.0)]);
    named[1].test_selected = true;
    let filter = Filter::HeaderBasedTesting(HeaderBasedTestingFilter);
    assert_eq!(left(&filter, named, &mut fastrand::Rng::with_seed(1)), [1]);
}
