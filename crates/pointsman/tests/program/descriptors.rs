//! Out of descriptors: accepting pauses, what is served goes on, and accepting goes on when some are free again.

use crate::support::{Bench, chat, on_a_runtime, until};
use http::StatusCode;
use tokio::net::TcpStream;

/// Descriptors that the program may have open.
const DESCRIPTORS: u32 = 64;

#[test]
fn accepting_pauses_without_descriptors_and_goes_on_with_them() {
    on_a_runtime(async {
        let bench = Bench::two_models_with_descriptors(DESCRIPTORS).await;
        assert_eq!(bench.send(chat("chatbot", 5, false)).await.status, StatusCode::OK);
        let mut idle = Vec::new();
        for _ in 0..2 * DESCRIPTORS {
            // The kernel takes them; the program has no descriptor for the last ones.
            idle.push(TcpStream::connect(bench.gateway).await.unwrap());
        }
        let pauses = |line: &serde_json::Value| line["message"] == "accepting connections pauses";
        until("accepting pauses", async || (!bench.logged(pauses).is_empty()).then_some(())).await;
        drop(idle);
        assert_eq!(bench.send(chat("recommender", 5, false)).await.status, StatusCode::OK);
    });
}
