//! The bound that the hot path has to keep.

use journey_bench::Journey;

const WARM_UP: usize = 200;
const MEASURED: usize = 1_000;

#[test]
fn a_chat_request_of_1_kb_over_10_endpoints_takes_fewer_than_10_allocations() {
    let mut journey = Journey::new(10, 1 << 10, WARM_UP + MEASURED).unwrap();
    for _ in 0..WARM_UP {
        journey.request();
    }
    let info = allocation_counter::measure(|| {
        for _ in 0..MEASURED {
            journey.request();
        }
    });
    let each = info.count_total as f64 / MEASURED as f64;
    assert!(each < 10.0, "{each} allocations");
}
