//! One example of every refusal: the source of the generated table of errors, and of what is counted.

use super::{Cause, Refusal, Unnamed};
use payload::ParseError;
use scheduling::saturation::SaturationDetector;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

impl Refusal {
    /// One example of every variant, in the order of the journey.
    pub fn table() -> Vec<Refusal> {
        let mut table: Vec<Refusal> = parse_errors().into_iter().map(Refusal::Parse).collect();
        table.extend(before_the_pool());
        table.extend(at_the_pool());
        table
    }
}

fn parse_errors() -> [ParseError; 11] {
    [
        ParseError::NotJson { what: "expected a value", offset: 17 },
        ParseError::NotAnObject { found: "an array" },
        ParseError::ModelNotAString { found: "a number" },
        ParseError::ModelTwice,
        ParseError::FieldTwice { field: "user".into() },
        ParseError::ModelTooLong { limit: 256 },
        ParseError::TooDeep { limit: 128 },
        ParseError::TooLarge { limit: 32 << 20 },
        ParseError::UnsupportedCoding { coding: "br".to_owned() },
        ParseError::BrokenCoding { coding: "gzip" },
        ParseError::BrokenMultipart { what: "no closing boundary" },
    ]
}

fn before_the_pool() -> [Refusal; 14] {
    let models = vec!["gemma3".to_owned(), "llama3".to_owned()];
    let host = "models.example.com".to_owned();
    [
        Refusal::MalformedRequest { what: "`Host` is missing" },
        Refusal::TargetTooLong { limit: 65_534 },
        Refusal::HeadTooLarge { bytes_max: 64 << 10, headers_max: 100 },
        Refusal::BodySlow { received: 4096, after: Duration::from_secs(30), rate_min: 1024 },
        Refusal::BodyStalled { received: 4096, stalled: Duration::from_secs(30) },
        Refusal::BodyLate { received: 4096, limit: Duration::from_secs(60) },
        Refusal::BodyBudgetSpent { held: 1 << 30, limit: 1 << 30 },
        Refusal::BodyOverBudget { needed: 3 << 29, limit: 1 << 30 },
        Refusal::Stopping,
        Refusal::NoListener { host: host.clone() },
        Refusal::NoRoute { method: "POST".to_owned(), path: "/v1/chat/completions".to_owned(), host },
        Refusal::ModelMissing {
            models: models.clone(),
            why: Unnamed::Unread { content_type: "application/x-www-form-urlencoded".to_owned() },
        },
        Refusal::ModelUnknown { model: "gemma4".to_owned(), models },
        Refusal::BackendUnresolved {
            route: Arc::from("default/llm"),
            why: "InferencePool default/gemma3 does not exist".to_owned(),
        },
    ]
}

fn at_the_pool() -> [Refusal; 10] {
    let pool: Arc<str> = Arc::from("default/gemma3");
    let endpoint = SocketAddr::from(([10, 0, 1, 7], 8000));
    [
        Refusal::PoolNotDeclared { pool: pool.clone() },
        Refusal::Saturated {
            pool: pool.clone(),
            priority: -1,
            ready: 4,
            detector: SaturationDetector::default(),
            retry_after: Duration::from_secs(2),
        },
        Refusal::NoReadyEndpoint {
            pool: pool.clone(),
            priority: 0,
            endpoints: 0,
            resting: 0,
            outside_subset: 0,
            cause: Cause::Empty,
        },
        Refusal::EveryEndpointFiltered { pool: pool.clone(), priority: 0, ready: 4 },
        Refusal::EndpointPickerFailed {
            pool,
            picker: Arc::from("default/gemma3-epp:9002"),
            why: "10.0.1.9:9002 did not answer within 10s".to_owned(),
        },
        Refusal::RequestTimeout { limit: Duration::from_secs(60) },
        Refusal::EmptyService { service: Arc::from("default/web:80") },
        Refusal::EveryEndpointFailed { tried: 3, last: endpoint, why: "connection refused".to_owned() },
        Refusal::UpstreamReset { endpoint, why: "connection reset by peer".to_owned() },
        Refusal::UpstreamTimeout { endpoint, limit: Duration::from_secs(60) },
    ]
}
