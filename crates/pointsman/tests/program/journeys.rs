//! Every journey, played through this door: the program as a user has it, before endpoints that tell what they were sent.

use crate::recorder::Recorder;
use crate::support::{self, Bench};
use ::journeys::{Answer, Door, Ends, Journey, PerEndpoint, Report, Request, Response, SIDE_BY_SIDE, Step};
use bytes::Bytes;
use http::header::{HeaderValue, TRANSFER_ENCODING};
use http_body_util::combinators::WithTrailers;
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
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
        recorder.reply(step.replies.clone());
        let mut answers = Vec::new();
        while answers.len() < step.times {
            let mut sending = JoinSet::new();
            for _ in 0..SIDE_BY_SIDE.min(step.times - answers.len()) {
                sending.spawn_local(tokio::time::timeout(
                    support::PATIENCE,
                    send(bench.gateway, request(&step.request), reply_that_never_ends(step)),
                ));
            }
            for response in sending.join_all().await {
                let response = response.expect("an answer in time");
                let explained = match step.asks_why() {
                    true => Some(explain(bench, &response).await),
                    false => None,
                };
                let sent = recorder.sent(&response.headers);
                answers.push(Answer { response: Some(response), sent, explained });
            }
        }
        playing.hold(step, &answers);
    }
    bench.endpoints_become(|told| endpoints(told).all(|endpoint| endpoint["in_flight"] == 0)).await;
}

type RequestBody = WithTrailers<Full<Bytes>, Ready<Option<Result<http::HeaderMap, Infallible>>>>;

fn request(described: &Request) -> http::Request<RequestBody> {
    let trailers = described.trailers().map(Ok);
    let mut headers = described.headers();
    if trailers.is_some() {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = http::Request::new(Full::new(described.body()).with_trailers(ready(trailers)));
    *request.method_mut() = described.method.parse().unwrap();
    *request.uri_mut() = described.path.parse().unwrap();
    *request.headers_mut() = headers;
    request
}

/// The bytes of an answer after which nothing comes.
fn reply_that_never_ends(step: &Step) -> Option<usize> {
    let reply = step.reply(0);
    (reply.ends == Ends::Never).then(|| reply.body().len())
}

/// Sends a request and reads its answer as far as it comes; hangs up after so many bytes.
async fn send(
    gateway: SocketAddr,
    request: http::Request<RequestBody>,
    hangs_up_after: Option<usize>,
) -> Response {
    let (head, mut body) = support::open(gateway, request).await.into_parts();
    let mut came = Vec::new();
    while hangs_up_after.is_none_or(|bytes| came.len() < bytes)
        && let Some(Ok(frame)) = body.frame().await
    {
        came.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    Response { status: head.status.as_u16(), headers: head.headers, body: came.into() }
}

/// What `/explain` tells of the request that was answered so, once it has ended.
async fn explain(bench: &Bench, response: &Response) -> Value {
    let path = format!("/explain/{}", response.headers["x-request-id"].to_str().unwrap());
    support::until("the request has ended", async || {
        let told = bench.admin(&path).await;
        (told.status == 200).then(|| told.json())
    })
    .await
}

/// Makes the endpoints of a pool report something, and waits until the gateway knows.
async fn report(bench: &Bench, recorder: &Recorder, pool: &str, given: &PerEndpoint<Report>) {
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
