//! Golden cases: what endpoints reported in, how full they are out.

use super::*;
use crate::Slot;

/// An endpoint with a report of this age.
fn reported(queue: u32, kv_used: f32, report_age_seconds: f32) -> Load {
    Load { waiting: Some(queue), kv_used, report_age_seconds, ..Load::idle(Slot(0)) }
}

fn busy(in_flight: u32) -> Load {
    Load { in_flight, ..Load::idle(Slot(0)) }
}

#[test]
fn utilization_is_the_mean_of_the_fuller_of_queue_and_kv_cache() {
    let detector = SaturationDetector::Utilization(UtilizationDetector::default());
    let table: [(&[Load], f32); 6] = [
        (&[], 1.0),
        (&[reported(5, 0.0, 0.1)], 1.0),
        (&[reported(1, 0.4, 0.1)], 0.5),
        (&[reported(10, 0.0, 0.1), reported(0, 0.0, 0.1)], 1.0),
        (&[reported(0, 0.0, 0.3), reported(0, 0.0, 0.1)], 0.5),
        (&[Load::idle(Slot(0)), reported(0, 0.4, 0.2)], 0.75),
    ];
    for (endpoints, expected) in table {
        let saturation = detector.saturation(endpoints);
        assert!((saturation - expected).abs() < 1e-6, "{endpoints:?}: {saturation}");
    }
}

#[test]
fn a_pool_has_no_room_when_no_endpoint_has_both() {
    let detector = SaturationDetector::default();
    let table: [(&[Load], f32); 6] = [
        (&[reported(5, 0.8, 0.0)], 0.0),
        (&[reported(6, 0.0, 0.0), reported(0, 0.81, 0.0)], 1.0),
        (&[reported(6, 0.0, 0.0), reported(0, 0.1, 9.0)], 0.0),
        (&[busy(5)], 0.0),
        (&[busy(6)], 1.0),
        (&[], 1.0),
    ];
    for (endpoints, expected) in table {
        assert_eq!(detector.saturation(endpoints), expected, "{endpoints:?}");
    }
}

#[test]
fn where_reports_must_be_fresh_an_endpoint_without_one_has_no_room() {
    let detector = SaturationDetector::NoRoom(NoRoomDetector {
        report_age_seconds_max: Some(0.2),
        ..NoRoomDetector::default()
    });
    let table: [(&[Load], f32); 3] = [
        (&[reported(0, 0.0, 0.2)], 0.0),
        (&[reported(0, 0.0, 0.3), busy(0)], 1.0),
        (&[reported(0, 0.0, 0.3), reported(0, 0.0, 0.1)], 0.0),
    ];
    for (endpoints, expected) in table {
        assert_eq!(detector.saturation(endpoints), expected, "{endpoints:?}");
    }
    assert!(detector.why(1).ends_with("or no report of the last 0.2 s"), "{}", detector.why(1));
}

#[test]
fn concurrency_is_the_share_of_all_requests_that_may_be_in_flight() {
    let detector = SaturationDetector::Concurrency(ConcurrencyDetector { max_concurrency: 4, headroom: 0.0 });
    assert_eq!(detector.saturation(&[busy(4), busy(2)]), 0.75);
    assert_eq!(detector.saturation(&[busy(8), busy(0)]), 1.0);
    assert_eq!(detector.saturation(&[]), 1.0);
}

#[test]
fn a_threshold_is_told_as_one_and_not_as_what_was_measured() {
    let utilization = SaturationDetector::Utilization(UtilizationDetector::default());
    assert_eq!(
        utilization.why(3),
        "its 3 ready endpoints have on average reached the limit of 5 requests waiting or KV use 0.8; one without a report \
         of the last 0.2 s counts as full"
    );
    let concurrency = SaturationDetector::Concurrency(ConcurrencyDetector::default());
    assert_eq!(
        concurrency.why(1),
        "its one ready endpoint has on average 100 or more requests of this gateway in flight"
    );
}

#[test]
fn a_detector_in_a_profile_keeps_who_has_room() {
    let left = |keep: &dyn Fn(&mut Vec<Load>), endpoints: &[Load]| {
        let mut candidates = endpoints.to_vec();
        keep(&mut candidates);
        candidates.len()
    };
    let concurrency = ConcurrencyDetector { max_concurrency: 10, headroom: 0.25 };
    assert_eq!(left(&|all| concurrency.keep(all), &[busy(11), busy(12)]), 1, "up to 12.5, whole");
    assert_eq!(left(&|all| concurrency.keep(all), &[busy(12)]), 0);
    let utilization = UtilizationDetector { headroom: 0.2, ..UtilizationDetector::default() };
    let mixed = [reported(5, 0.9, 0.1), reported(6, 0.0, 0.1), reported(0, 0.0, 0.5)];
    assert_eq!(left(&|all| utilization.keep(all), &mixed), 1);
    assert_eq!(left(&|all| utilization.keep(all), &mixed[1..]), 2, "nobody: all stay");
}
