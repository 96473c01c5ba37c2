//! Every journey, played through this door: the program as a user has it, before endpoints that tell what they were sent.

use crate::recorder::Recorder;
use crate::support::{self, Bench};
use ::journeys::{Answer, Door, Given, Journey, Request, Response, SIDE_BY_SIDE};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::task::JoinSet;

#[test]
fn every_journey_does_at_this_door_what_its_table_says() {
    support::on_a_runtime(async {
        for folder in ::journeys::tables() {
            let journey = Journey::read(&folder);
            let (bench, recorder) = Bench::of(&journey).await;
            play(&bench, &recorder, &journey).await;
        }
    });
}

/// Sends what the steps of a journey say, and holds the answers against what they expect.
pub(crate) async fn play(bench: &Bench, recorder: &Recorder, journey: &Journey) {
    let mut playing = journey.at(Door::Gateway);
    for step in playing.steps() {
        for (pool, given) in &step.given {
            report(bench, recorder, pool, given).await;
        }
        let mut answers = Vec::new();
        while answers.len() < step.times {
            let mut sending = JoinSet::new();
            for _ in 0..SIDE_BY_SIDE.min(step.times - answers.len()) {
                sending.spawn_local(support::send(bench.gateway, request(&step.request)));
            }
            let answered = |answer: support::Answer| {
                let support::Answer { status, headers, body } = answer;
                let sent = recorder.sent(&headers);
                Answer { response: Some(Response { status: status.as_u16(), headers, body }), sent }
            };
            answers.extend(sending.join_all().await.into_iter().map(answered));
        }
        playing.hold(step, &answers);
    }
}

fn request(described: &Request) -> http::Request<Full<bytes::Bytes>> {
    let mut request = http::Request::new(Full::new(described.body()));
    *request.method_mut() = described.method.parse().unwrap();
    *request.uri_mut() = described.path.parse().unwrap();
    *request.headers_mut() = described.headers();
    request
}

/// Makes the endpoints of a pool report something, and waits until the gateway knows.
async fn report(bench: &Bench, recorder: &Recorder, pool: &str, given: &Given) {
    let addresses = &bench.servers[pool].addresses;
    (0..addresses.len()).for_each(|place| recorder.report(pool, place, given.of(place)));
    let known = |told: &Value, place: usize| {
        let (report, address) = (given.of(place), json!(addresses[place]));
        let endpoint = endpoints(told).find(|endpoint| endpoint["endpoint"] == address);
        endpoint.is_some_and(|endpoint| {
            endpoint["waiting"].as_u64() == Some(report.waiting.into())
                && endpoint["kv_used"]
                    .as_f64()
                    .is_some_and(|used| (used - f64::from(report.kv_used)).abs() < 1e-3)
                && endpoint["adapters"]["running"] == json!(report.adapters)
        })
    };
    bench.endpoints_become(|told| (0..addresses.len()).all(|place| known(told, place))).await;
}

/// Every endpoint of every pool that `/endpoints` tells.
fn endpoints(told: &Value) -> impl Iterator<Item = &Value> {
    told.as_array().into_iter().flatten().flat_map(|pool| pool["endpoints"].as_array().into_iter().flatten())
}
