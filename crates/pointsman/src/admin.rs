//! The admin server: what a running gateway is, knows and did, on a port and a thread of its own.
//!
//! In: `GET` requests, by default from this machine only. Out: health, metrics, the compiled configuration, endpoints with
//! what is known of them, the explanation of a past request.
//! Never: a change to anything, a secret, a way to slow the data path beyond short locks of a pool's state.

use crate::gateway::decimal;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use journey::{EndpointStatus, Now};
use resources::Severity;
use serde_json::{Value, json};
use state::{Backend, Pool, Snapshot};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use telemetry::{Explanation, Gauges, PoolGauges, Telemetry};

mod server;

pub(crate) use server::Admin;

/// Whether this process should get requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// Not yet: no configuration has been read, or a listener does not listen.
    Starting,
    /// Yes.
    Ready,
    /// Not any more: it is stopping.
    Draining,
}

/// What the admin server asks of the gateway.
pub(crate) trait World: Send + Sync + 'static {
    /// The snapshot that is being served.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// The gateway's clock.
    fn now(&self) -> Now;
    /// Whether this process should get requests.
    fn readiness(&self) -> Readiness;
    /// The listeners' ports that are listened on; `None` of a process that has no listeners.
    fn open_ports(&self) -> Option<Vec<u16>>;
    /// Bytes of request bodies held.
    fn held_body_bytes(&self) -> u64;
    /// The settings of the process, without secrets.
    fn settings(&self) -> Value;
}

/// What every handler has.
#[derive(Clone)]
struct Shared {
    telemetry: Arc<Telemetry>,
    world: Arc<dyn World>,
}

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const INDEX: &str = "\
Pointsman, admin

/healthz        the process lives
/readyz         it should get requests
/metrics        Prometheus
/config         what is compiled in: listeners, rules, pools, settings
/endpoints      every endpoint and what is known of it
/explain/ID     why a request went where it went (ID: its x-request-id); ?format=text for people
";

/// The pages of the admin server.
pub(crate) fn router(telemetry: Arc<Telemetry>, world: Arc<dyn World>) -> Router {
    Router::new()
        .route("/", get(INDEX))
        .route("/healthz", get("ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/config", get(config))
        .route("/endpoints", get(endpoints))
        .route("/explain", get(explain_what))
        .route("/explain/", get(explain_what))
        .route("/explain/{id}", get(explain))
        .fallback(no_page)
        .with_state(Shared { telemetry, world })
}

/// The pages of a program that has only metrics.
pub(crate) fn metrics_router(page: impl Fn() -> String + Clone + Send + Sync + 'static) -> Router {
    let metrics = move || std::future::ready(([(CONTENT_TYPE, METRICS_TYPE)], page()));
    Router::new().route("/healthz", get("ok\n")).route("/metrics", get(metrics))
}

async fn readyz(State(Shared { world, .. }): State<Shared>) -> (StatusCode, String) {
    match (world.readiness(), world.open_ports()) {
        (Readiness::Ready, Some(open)) => listening(&world.snapshot().ports(), &open),
        (Readiness::Ready, None) => (StatusCode::OK, "ready\n".to_owned()),
        (Readiness::Starting, _) => (StatusCode::SERVICE_UNAVAILABLE, "starting\n".to_owned()),
        (Readiness::Draining, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
    }
}

/// Whether a gateway that should listen on `wanted` can be reached: one port that cannot be had takes no request from the
/// others.
fn listening(wanted: &[u16], open: &[u16]) -> (StatusCode, String) {
    let closed: Vec<_> = wanted.iter().filter(|port| !open.contains(port)).map(u16::to_string).collect();
    let ports = closed.join(", ");
    if wanted.is_empty() {
        let why = "listening on no port: no Gateway of ours has an HTTP listener in the manifests\n";
        (StatusCode::SERVICE_UNAVAILABLE, why.to_owned())
    } else if closed.len() == wanted.len() {
        let why = format!("listening on no port: {ports} cannot be had, the log says why\n");
        (StatusCode::SERVICE_UNAVAILABLE, why)
    } else if closed.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        (StatusCode::OK, format!("ready, but not on {ports}, which cannot be had: the log says why\n"))
    }
}

async fn metrics(State(Shared { telemetry, world }): State<Shared>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], metrics_text(&telemetry, &*world))
}

/// Every metric, in Prometheus' text format.
pub(crate) fn metrics_text(telemetry: &Telemetry, world: &dyn World) -> String {
    let (snapshot, now) = (world.snapshot(), world.now());
    let severity =
        |wanted| snapshot.findings.iter().filter(|finding| finding.severity == wanted).count() as u64;
    let pools = snapshot.pools.iter();
    telemetry.text(&Gauges {
        pools: pools
            .map(|pool| PoolGauges {
                name: Arc::clone(&pool.name.name),
                pool: name(pool),
                endpoints: statuses(pool, now),
                pods: Arc::clone(&pool.pods),
                reports_fresh: Duration::from_secs_f32(pool.view.admission.reports_fresh_seconds),
            })
            .collect(),
        held_body_bytes: world.held_body_bytes(),
        prefix_entries: prefix_entries(&snapshot.pools),
        generation: snapshot.generation,
        errors: severity(Severity::Error),
        warnings: severity(Severity::Warning),
    })
}

async fn config(State(Shared { world, .. }): State<Shared>) -> Json<Value> {
    let snapshot = world.snapshot();
    Json(json!({
        "generation": snapshot.generation,
        "settings": world.settings(),
        "listeners": snapshot.listeners.iter().map(|listener| json!({
            "gateway": listener.gateway.to_string(),
            "name": listener.name,
            "port": listener.port,
            "hostname": listener.hostname,
            "rules": listener.routes.rules().iter().map(|rule| json!({
                "rule": rule.label,
                "backends": rule.backends.iter().map(|weighted| json!({
                    "weight": weighted.weight,
                    "backend": backend(&weighted.backend),
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "pools": snapshot.pools.iter().map(|pool| json!({
            "name": pool.name.to_string(),
            "filters": pool.view.policy.filters.iter().map(scheduling::filters::Filter::name).collect::<Vec<_>>(),
            "scorers": pool.view.policy.scorer_names().as_slice(),
            "picker": pool.view.policy.picker.name(),
            "saturated_when": pool.view.admission.detector.why(pool.endpoints.len() as u32),
            "endpoints": pool.endpoints.iter().map(|(_, key)| key.address).collect::<Vec<_>>(),
            "models": pool.known_models,
        })).collect::<Vec<_>>(),
        "findings": snapshot.findings.iter().map(|finding| json!({
            "severity": finding.severity.name(),
            "effect": finding.effect().name(),
            "code": finding.code,
            "file": finding.origin.file,
            "line": finding.origin.line,
            "object": finding.object,
            "field": finding.field,
            "message": finding.message,
        })).collect::<Vec<_>>(),
    }))
}

fn backend(backend: &Backend) -> Value {
    match backend {
        Backend::Pool(pool) => json!({ "pool": pool.name.to_string() }),
        Backend::Service(service) => json!({
            "service": service.name.to_string(),
            "port": service.port,
            "endpoints": service.endpoints,
        }),
        Backend::Broken(why) => json!({ "broken": why }),
    }
}

async fn endpoints(State(Shared { world, .. }): State<Shared>) -> Json<Value> {
    let (snapshot, now) = (world.snapshot(), world.now());
    let pools = snapshot.pools.iter().map(|pool| {
        let endpoints: Vec<Value> = statuses(pool, now).iter().map(endpoint).collect();
        json!({ "pool": pool.name.to_string(), "endpoints": endpoints })
    });
    Json(pools.collect())
}

fn endpoint(status: &EndpointStatus) -> Value {
    let signals = &status.signals;
    json!({
        "endpoint": status.key.address,
        "pod_uid": status.key.pod_uid,
        "in_flight": status.in_flight,
        "waiting": signals.waiting,
        "running": signals.running,
        "kv_used": signals.kv_used.and_then(decimal),
        "block_tokens": signals.block_tokens,
        "blocks": signals.blocks,
        "adapters": signals.adapters.as_ref().map(|adapters| json!({
            "max": adapters.max,
            "running": adapters.running,
            "waiting": adapters.waiting,
        })),
        "scraped_seconds_ago": status.scraped.map(|age| age.as_secs_f64()),
        "ejections": status.ejections,
        "resting_for_seconds": status.resting.map(|left| left.as_secs_f64()),
        "on_trial": status.on_trial,
    })
}

#[derive(serde::Deserialize)]
struct ExplainQuery {
    #[serde(default)]
    format: ExplainFormat,
}

#[derive(Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExplainFormat {
    #[default]
    Json,
    Text,
}

async fn explain(
    State(Shared { telemetry, world }): State<Shared>,
    Path(id): Path<String>,
    Query(query): Query<ExplainQuery>,
) -> Response {
    let Some(record) = telemetry.record(&id) else {
        let error = format!("no record of request {id:?}: only the newest requests are kept");
        return match query.format {
            ExplainFormat::Json => (StatusCode::NOT_FOUND, Json(json!({ "error": error }))).into_response(),
            ExplainFormat::Text => (StatusCode::NOT_FOUND, error + "\n").into_response(),
        };
    };
    let snapshot = world.snapshot();
    let pool = snapshot.pools.iter().find(|pool| record.backend.as_deref() == Some(&*name(pool)));
    let scorers = pool.map(|pool| pool.view.policy.scorer_names()).unwrap_or_default();
    let explanation = Explanation::new(&record, &scorers);
    match query.format {
        ExplainFormat::Json => Json(explanation).into_response(),
        ExplainFormat::Text => explanation.to_string().into_response(),
    }
}

async fn explain_what() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "which request? /explain/ID, where ID is the x-request-id of its answer\n")
}

async fn no_page(uri: Uri) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("no page {:?} here; / lists them\n", uri.path()))
}

/// The pool's name as records and labels have it.
fn name(pool: &Pool) -> Arc<str> {
    Arc::clone(&pool.view.name)
}

/// Pools may share a domain, and with it a prefix index.
fn prefix_entries(pools: &[Arc<Pool>]) -> u64 {
    let mut domains: Vec<_> = pools.iter().map(|pool| &pool.domain).collect();
    domains.sort_unstable_by_key(|domain| Arc::as_ptr(domain));
    domains.dedup_by(|one, other| Arc::ptr_eq(one, other));
    domains.iter().map(|domain| domain.prefix_entries()).sum()
}

/// Endpoints that are looked at in one lock of a domain: a pick that waits for it waits for microseconds.
const ENDPOINTS_AT_ONCE: usize = 16;

/// The pool's own endpoints; its domain may have those of other pools too.
fn statuses(pool: &Pool, now: Now) -> Vec<EndpointStatus> {
    let mut statuses = Vec::with_capacity(pool.view.slots.len());
    for slots in pool.view.slots.chunks(ENDPOINTS_AT_ONCE) {
        // A panic under the lock is the data path's to repair; what is there can still be told.
        let state = pool.domain.state.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.extend(state.endpoints_at(slots, now));
    }
    statuses
}

#[cfg(test)]
mod tests;
