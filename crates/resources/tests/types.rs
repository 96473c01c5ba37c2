//! The types: defaults as the API server has them, two versions as one, what selects what.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use resources::{
    AppProtocol, Criticality, EndpointPickerRef, FailureMode, Filter, Folder, Grant, HttpRoute,
    InferencePool, LabelSelector, ObjectName, PathMatch, Pod, PoolVersion, Reference, Store,
};
use std::sync::Arc;

/// The store of a manifest that has no error.
fn store(manifest: &str) -> Store {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.yaml"), manifest).unwrap();
    let load = Folder::new([folder.path()]).load();
    assert_eq!(load.broken().count(), 0, "{:?}", load.findings);
    load.store
}

fn named(name: &str) -> ObjectName {
    ObjectName::new("default", name)
}

fn route(spec: &str) -> Arc<HttpRoute> {
    let head = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n";
    store(&format!("{head}spec: {spec}\n")).http_routes[&named("a")].clone()
}

fn pool(manifest: &str, version: PoolVersion) -> Arc<InferencePool> {
    store(manifest).inference_pool(&named("a"), Some(version)).unwrap().clone()
}

#[test]
fn a_route_without_rules_matches_everything_and_has_no_backend() {
    assert_eq!(route("{}").spec.rules.len(), 1);
    assert_eq!(route("{rules: null}").spec.rules.len(), 1);
    assert!(route("{}").spec.rules[0].matches.is_empty());
}

#[test]
fn what_a_route_leaves_out_has_the_defaults_of_the_api_server() {
    let route = route(
        "{rules: [{matches: [{method: GET}, {path: {type: Exact}}], filters: [
        {type: RequestRedirect, requestRedirect: {}},
        {type: ExtensionRef, extensionRef: {group: '', kind: A, name: b}}]}]}",
    );
    let rule = &route.spec.rules[0];
    assert_eq!(rule.matches[0].path, PathMatch::Prefix("/".to_owned()));
    assert_eq!(rule.matches[1].path, PathMatch::Exact("/".to_owned()));
    let Filter::RequestRedirect(redirect) = &rule.filters[0] else { panic!("{:?}", rule.filters) };
    assert_eq!(redirect.status_code, 302);
    assert_eq!(rule.filters[1], Filter::Unsupported("ExtensionRef".to_owned()));
}

#[test]
fn both_versions_of_a_pool_are_read_into_one_type() {
    let new = pool(
        "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  targetPorts: [{number: 8000}, {number: 8001}]
  appProtocol: kubernetes.io/h2c
  endpointPickerRef: {name: epp, port: {number: 9003}, failureMode: FailOpen}",
        PoolVersion::V1,
    );
    assert_eq!((new.target_ports.as_slice(), new.app_protocol), (&[8000, 8001][..], AppProtocol::H2c));
    let picker = |port, failure_mode| EndpointPickerRef {
        group: String::new(),
        kind: "Service".to_owned(),
        name: "epp".into(),
        port: Some(port),
        failure_mode,
    };
    assert_eq!(new.endpoint_picker, Some(picker(9003, FailureMode::FailOpen)));
    let old = pool(
        "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferencePool\nmetadata: {name: a}
spec: {selector: {app: a}, targetPortNumber: 8000, extensionRef: {name: epp}}",
        PoolVersion::V1Alpha2,
    );
    assert_eq!((old.target_ports.as_slice(), &old.selector), (&[8000][..], &new.selector));
    assert_eq!(old.endpoint_picker, Some(picker(9002, FailureMode::FailClose)));
    let labels =
        |value: &str| [("app".to_owned(), value.to_owned()), ("b".to_owned(), "c".to_owned())].into();
    assert!(old.selects("default", &labels("a")));
    assert!(!old.selects("other", &labels("a")));
    assert!(!old.selects("default", &labels("b")));
}

#[test]
fn a_model_names_a_pool_of_either_version_and_an_objective_only_that_of_its_group() {
    let store = store(
        "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferencePool\nmetadata: {name: a}
spec: {selector: {app: a}, targetPortNumber: 8000, extensionRef: {name: epp}}
---
apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {name: a}
spec: {selector: {matchLabels: {app: a}}, targetPorts: [{number: 8000}]}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\nmetadata: {name: m}
spec: {modelName: m, poolRef: {name: a}, targetModels: [{name: x}, {name: z}]}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceObjective\nmetadata: {name: o}
spec: {poolRef: {name: a}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModelRewrite\nmetadata: {name: r}
spec:
  poolRef: {name: a, group: inference.networking.x-k8s.io}
  rules: [{matches: [{model: {value: m}}], targets: [{modelRewrite: other, weight: 3}]}]",
    );
    let of = |version| store.inference_pool(&named("a"), version).unwrap();
    let (new, old) = (of(Some(PoolVersion::V1)), of(Some(PoolVersion::V1Alpha2)));
    assert_eq!(of(None).version, PoolVersion::V1);
    let model = &store.inference_models[&named("m")];
    assert_eq!((model.is_of(new), model.is_of(old)), (true, true));
    assert_eq!((model.spec.criticality, model.spec.target_models[1].weight), (Criticality::Standard, 1));
    let objective = &store.inference_objectives[&named("o")];
    assert_eq!((objective.is_of(new), objective.is_of(old), objective.spec.priority), (true, false, 0));
    let rewrite = &store.inference_model_rewrites[&named("r")];
    assert_eq!((rewrite.is_of(new), rewrite.is_of(old)), (false, true));
    let rule = &rewrite.spec.rules[0];
    assert_eq!((&*rule.matches[0], &*rule.targets[0].name, rule.targets[0].weight), ("m", "other", 3));
}

#[test]
fn a_pod_is_ready_unless_something_says_that_it_is_not() {
    let pod = |more: &str| -> Arc<Pod> {
        let manifest = format!("{{apiVersion: v1, kind: Pod, metadata: {{name: a {more}");
        store(&manifest).pods[&named("a")].clone()
    };
    assert!(pod("}}").is_ready());
    assert!(
        pod("}, status: {podIP: '', phase: Running, conditions: [{type: Ready, status: 'True'}]}}")
            .is_ready()
    );
    assert!(!pod("}, status: {phase: Pending}}").is_ready());
    assert!(!pod("}, status: {conditions: [{type: Ready, status: 'False'}]}}").is_ready());
    assert!(!pod(", deletionTimestamp: '2026-01-01T00:00:00Z'}}").is_ready());
    let ports =
        pod(", annotations: {inference.networking.k8s.io/active-ports: '8000, 8002,x'}}}").active_ports();
    assert_eq!(ports, Some([8000, 8002].into()));
    assert_eq!(pod("}}").active_ports(), None);
}

#[test]
fn a_label_selector_asks_for_all_it_says() {
    let selects = |selector: &str| {
        let selector: LabelSelector = serde_json::from_str(selector).unwrap();
        selector.matches(&[("a".to_owned(), "1".to_owned())].into())
    };
    assert!(selects("{}"));
    assert!(selects(r#"{"matchLabels": {"a": "1"}}"#));
    assert!(!selects(r#"{"matchLabels": {"a": "1", "b": "2"}}"#));
    let expression = |key: &str, operator: &str| {
        selects(&format!(
            r#"{{"matchExpressions": [{{"key": "{key}", "operator": "{operator}", "values": ["1"]}}]}}"#
        ))
    };
    assert_eq!(["a", "b"].map(|key| expression(key, "In")), [true, false]);
    assert_eq!(["a", "b"].map(|key| expression(key, "NotIn")), [false, true]);
    assert_eq!(["a", "b"].map(|key| expression(key, "Exists")), [true, false]);
    assert_eq!(["a", "b"].map(|key| expression(key, "DoesNotExist")), [false, true]);
}

#[test]
fn a_reference_leaves_its_namespace_only_with_a_grant_for_its_kind_and_name() {
    let store = store(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: theirs}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: '', kind: Service, name: a}]",
    );
    let grant = |from_namespace, to_kind, name: &str, namespace: &str| {
        store.grant(&Reference {
            from_group: resources::GATEWAY_GROUP,
            from_kind: "HTTPRoute",
            from_namespace,
            to_group: "",
            to_kind,
            to: &ObjectName::new(namespace, name),
        })
    };
    assert_eq!(grant("default", "Service", "a", "theirs"), Grant::Allowed);
    assert_eq!(grant("default", "Service", "x", "default"), Grant::Allowed);
    assert_eq!(grant("default", "Service", "b", "theirs"), Grant::Missing);
    assert_eq!(grant("default", "Secret", "a", "theirs"), Grant::Missing);
    assert_eq!(grant("other", "Service", "a", "theirs"), Grant::Missing);
}

#[test]
fn two_loads_of_one_folder_are_equal() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("a.json"),
        r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}"#,
    )
    .unwrap();
    let mut folder = Folder::new([folder.path()]);
    assert_eq!(folder.load(), folder.load());
    assert!(folder.load().store.namespaces.contains_key(&ObjectName::new("", "a")));
}
