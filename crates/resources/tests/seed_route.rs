//! The route of the main job, exactly as people have it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use resources::{BackendKind, Folder, ObjectName, PathMatch, Severity, ValueMatch};

const ROUTE: &str = include_str!("../../../examples/two-models/manifests/httproute.yaml");

const REST: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inference-gateway}
spec:
  gatewayClassName: pointsman
  listeners:
  - {name: http, protocol: HTTP, port: 8080}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: gemma3}
spec:
  selector: {matchLabels: {app: gemma3}}
  targetPorts: [{number: 8000}]
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: deepseek-r1}
spec:
  selector: {app: deepseek-r1}
  targetPortNumber: 8000
  extensionRef: {name: deepseek-r1-epp}
---
apiVersion: v1
kind: List
items:
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: gemma3, labels: {app: gemma3}}
  addressType: IPv4
  endpoints: [{addresses: [127.0.0.1]}]
  ports: [{port: 9001}]
- apiVersion: v1
  kind: Pod
  metadata: {name: deepseek-r1-0, labels: {app: deepseek-r1}}
  status: {podIP: 127.0.0.1}
";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("route.yaml"), ROUTE).unwrap();
    std::fs::write(folder.path().join("world.yaml"), REST).unwrap();
    folder
}

#[test]
fn the_seed_route_is_read_without_an_error() {
    let folder = folder();
    let load = Folder::new([folder.path()]).load();
    assert_eq!(load.broken().count(), 0, "{:?}", load.findings);
    let route = &load.store.http_routes[&ObjectName::new("default", "routes-to-llms")];
    assert_eq!(route.meta.origin.line, 1);
    let rule = &route.spec.rules[0];
    assert_eq!(rule.matches[0].path, PathMatch::Prefix("/".to_owned()));
    assert_eq!(rule.matches[0].headers[0].value, ValueMatch::Exact("chatbot".to_owned()));
    let backend = &rule.backend_refs[0];
    assert_eq!((backend.weight, backend.target.kind()), (1, BackendKind::InferencePool(None)));
    for name in ["gemma3", "deepseek-r1"] {
        assert!(load.store.inference_pool(&ObjectName::new("default", name), None).is_some());
    }
    assert_eq!((load.store.endpoint_slices.len(), load.store.pods.len()), (1, 1));
}

#[test]
fn the_seed_route_gives_one_kind_of_warning_and_no_error() {
    let folder = folder();
    let route = folder.path().join("route.yaml");
    let found = resources::check(&[folder.path().to_owned()]);
    let of_route: Vec<_> = found
        .iter()
        .filter(|finding| *finding.origin.file == *route)
        .map(|finding| (finding.severity, finding.code, finding.field.as_str(), finding.origin.line))
        .collect();
    let warning = |field, line| (Severity::Warning, "group-missing", field, line);
    assert_eq!(
        of_route,
        [warning("spec.rules[0].backendRefs[0]", 18), warning("spec.rules[1].backendRefs[0]", 29)]
    );
    assert!(found.iter().all(|finding| finding.severity == Severity::Warning), "{found:?}");
}
