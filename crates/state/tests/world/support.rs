//! Manifests, requests and how to ask for them.

use journey::Refusal;
use payload::{Dialect, InferenceRequest, Media, ModelField, ModelName, Prompt};
use resources::{Folder, Load};
use routing::{Model, RequestHead, Walk};
use state::{Backend, Clock, Dispatch, Flight, Pool, Settings, Snapshot, World, dispatch};
use std::sync::Arc;

/// A Gateway with one listener on port 8080.
pub(crate) const GATEWAY: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inference-gateway}
spec:
  gatewayClassName: pointsman
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
";

/// The manifests as a folder gives them.
pub(crate) fn load(manifests: &str) -> Load {
    let folder = tempfile::tempdir().expect("a folder for manifests");
    std::fs::write(folder.path().join("manifests.yaml"), manifests).expect("manifests are written");
    Folder::new([folder.path()]).load()
}

/// A world of these manifests.
pub(crate) fn world(manifests: &str) -> World {
    let world = World::new(Settings::default(), Clock::start());
    world.apply(load(manifests));
    world
}

/// A v1 InferencePool that selects `app: NAME`, with the target port 8000.
pub(crate) fn pool(name: &str) -> String {
    format!(
        "
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: {name}}}
spec: {{selector: {{matchLabels: {{app: {name}}}}}, targetPorts: [{{number: 8000}}]}}
---
"
    )
}

/// An EndpointSlice of one loopback endpoint, with labels as `a: b, c: d`.
pub(crate) fn slice(name: &str, labels: &str, port: u16) -> String {
    format!(
        "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: {name}, labels: {{{labels}}}}}
addressType: IPv4
endpoints: [{{addresses: [127.0.0.1]}}]
ports: [{{port: {port}}}]
---
"
    )
}

/// An HTTPRoute with this `spec` at the Gateway.
pub(crate) fn route(name: &str, spec: &str) -> String {
    format!(
        "
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}}}
spec: {{parentRefs: [{{name: inference-gateway}}], {spec}}}
---
"
    )
}

/// An HTTPRoute that sends everything to one pool.
pub(crate) fn route_to_pool(pool: &str) -> String {
    let backend = format!("{{group: inference.networking.k8s.io, kind: InferencePool, name: {pool}}}");
    route(&format!("to-{pool}"), &format!("rules: [{{backendRefs: [{backend}]}}]"))
}

/// Where a request goes: the backend that is drawn, if a rule matches.
pub(crate) fn backend(snapshot: &Snapshot, host: &str, path: &str, model: Model<'_>) -> Option<Backend> {
    let headers = http::HeaderMap::new();
    let head = RequestHead { method: &http::Method::POST, host, path, query: None, headers: &headers };
    match snapshot.listener(8080, host)?.routes.walk(&head, model) {
        Walk::Rule(rule) => rule.draw(&mut fastrand::Rng::with_seed(1)).map(|drawn| drawn.backend.clone()),
        Walk::ReadBody | Walk::Nothing { .. } => None,
    }
}

/// What a backend is, in a word.
pub(crate) fn told(backend: Option<Backend>) -> String {
    match backend {
        Some(Backend::Pool(pool)) => format!("pool {}", pool.name),
        Some(Backend::Service(service)) => format!("service {}:{}", service.name, service.port),
        Some(Backend::Broken(why)) => why.to_string(),
        None => "nothing".to_owned(),
    }
}

/// The addresses of a pool.
pub(crate) fn addresses(pool: &Pool) -> Vec<String> {
    pool.endpoints.iter().map(|(_, key)| key.address.to_string()).collect()
}

/// The codes of what was found, each once.
pub(crate) fn codes(snapshot: &Snapshot) -> Vec<&'static str> {
    let mut codes: Vec<_> = snapshot.findings.iter().map(|finding| finding.code).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

/// A chat request for a model.
pub(crate) fn request(model: &str) -> InferenceRequest {
    InferenceRequest {
        dialect: Dialect::ChatCompletions,
        model: Some(ModelField { name: ModelName(Arc::from(model)), span: 0..0 }),
        media: Media::Json,
        names_empty_model: false,
        stream: false,
        max_tokens: None,
        prompt: Prompt::default(),
        prompt_span: 0..0,
        bytes: 0,
        decoded: None,
        asked: None,
    }
}

/// Sends a request for a model to a pool.
pub(crate) fn fly(world: &World, pool: &Arc<Pool>, model: &str) -> Result<Flight, Refusal> {
    let request = request(model);
    let at = Dispatch {
        request: &request,
        objective: None,
        rewrite: None,
        subset: None,
        body: None,
        test_selection: None,
    };
    dispatch(pool, &at, &mut fastrand::Rng::with_seed(1), world.clock())
}

/// Requests in flight at the endpoints of a pool's domain, by address.
pub(crate) fn in_flight(world: &World, pool: &Pool) -> Vec<(String, u32)> {
    let endpoints = pool.domain.lock().endpoints(world.clock().now());
    let mut counts: Vec<_> =
        endpoints.iter().map(|status| (status.key.address.to_string(), status.in_flight)).collect();
    counts.sort();
    counts
}
