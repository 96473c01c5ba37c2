//! Routes attach to listeners, and requests find them.

use crate::support::{GATEWAY, backend, codes, pool, route, route_to_pool, slice, told, world};
use routing::Model;

/// The route of the main job, as its user wrote it.
const ROUTES_TO_LLMS: &str = include_str!("../../../../examples/two-models/manifests/httproute.yaml");

#[test]
fn two_models_behind_one_address_go_to_their_pools() {
    let pools = [pool("gemma3"), pool("deepseek-r1")].concat();
    let slices = [slice("g", "app: gemma3", 18101), slice("d", "app: deepseek-r1", 18201)].concat();
    let world = world(&[GATEWAY, ROUTES_TO_LLMS, "---", &pools, &slices].concat());
    let snapshot = world.load();
    let to = |model| told(backend(&snapshot, "localhost", "/v1/chat/completions", model));
    assert_eq!(to(Model::Unread), "nothing", "the body must be read first");
    assert_eq!(to(Model::Named("chatbot")), "pool default/gemma3");
    assert_eq!(to(Model::Named("recommender")), "pool default/deepseek-r1");
    assert_eq!(to(Model::Named("nobody")), "nothing");
    let listener = snapshot.listener(8080, "localhost").unwrap();
    assert!(listener.routes.models("localhost").eq(["chatbot", "recommender"]));
    assert_eq!(snapshot.pools[1].known_models.iter().map(|model| &**model).collect::<Vec<_>>(), ["chatbot"]);
}

#[test]
fn the_listener_of_the_most_specific_hostname_takes_the_request() {
    let gateway = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inference-gateway}
spec:
  gatewayClassName: pointsman
  listeners:
  - {name: any, protocol: HTTP, port: 8080}
  - {name: wide, protocol: HTTP, port: 8080, hostname: '*.example.com'}
  - {name: narrow, protocol: HTTP, port: 8080, hostname: '*.a.example.com'}
  - {name: one, protocol: HTTP, port: 8080, hostname: x.a.example.com}
  - {name: elsewhere, protocol: HTTP, port: 8081}
  - {name: secure, protocol: HTTPS, port: 8443, tls: {certificateRefs: [{name: c}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: younger}
spec:
  gatewayClassName: pointsman
  listeners: [{name: twin, protocol: HTTP, port: 8080, hostname: x.a.example.com}]
---
";
    let world = world(gateway);
    let snapshot = world.load();
    let name = |port, host| snapshot.listener(port, host).map(|listener| listener.name.to_string());
    let table = [
        ("x.a.example.com", "one"),
        ("y.a.example.com", "narrow"),
        ("z.y.a.example.com", "narrow"),
        ("a.example.com", "wide"),
        ("example.com", "any"),
        ("127.0.0.1", "any"),
    ];
    for (host, expected) in table {
        assert_eq!(name(8080, host).as_deref(), Some(expected), "{host}");
    }
    assert_eq!(name(8081, "x.a.example.com").as_deref(), Some("elsewhere"));
    assert_eq!(name(8443, "x"), None);
    assert_eq!(snapshot.ports(), [8080, 8081]);
    let codes = codes(&snapshot);
    assert!(codes.contains(&"protocol-not-served") && codes.contains(&"listener-taken"), "{codes:?}");
}

#[test]
fn a_route_attaches_where_its_parent_its_namespace_and_its_hosts_allow() {
    let manifests = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: inference-gateway}
spec:
  gatewayClassName: pointsman
  listeners:
  - {name: same, protocol: HTTP, port: 8080, hostname: '*.same'}
  - {name: all, protocol: HTTP, port: 8080, hostname: '*.all', allowedRoutes: {namespaces: {from: All}}}
  - name: chosen
    protocol: HTTP
    port: 8080
    hostname: '*.chosen'
    allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: red}}}}
  - {name: grpc, protocol: HTTP, port: 8080, hostname: '*.grpc', allowedRoutes: {kinds: [{kind: GRPCRoute}]}}
---
apiVersion: v1
kind: Namespace
metadata: {name: red, labels: {team: red}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: home}
spec: {parentRefs: [{name: inference-gateway}], rules: [{matches: [{path: {value: /home}}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: red, namespace: red}
spec:
  parentRefs: [{name: inference-gateway, namespace: default}]
  hostnames: [a.all, '*.chosen', a.same]
  rules: [{matches: [{path: {value: /red}}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: blue, namespace: blue}
spec:
  parentRefs: [{name: inference-gateway, namespace: default, sectionName: chosen}]
  rules: [{matches: [{path: {value: /blue}}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: lost}
spec: {parentRefs: [{name: nowhere}, {name: inference-gateway, port: 1}], rules: [{}]}
---
";
    let world = world(manifests);
    let snapshot = world.load();
    let attached = |name: &str| {
        let listener = snapshot.listeners.iter().find(|listener| *listener.name == *name).unwrap();
        let mut routes: Vec<_> = listener.routes.rules().iter().map(|rule| rule.route.to_string()).collect();
        routes.sort();
        routes
    };
    assert_eq!(attached("same"), ["default/home"]);
    assert_eq!(attached("all"), ["default/home", "red/red"]);
    assert_eq!(attached("chosen"), ["red/red"]);
    assert_eq!(attached("grpc"), Vec::<String>::new());
    let of_parents = snapshot.findings.iter().filter(|finding| finding.field.starts_with("spec.parentRefs"));
    let found: Vec<_> = of_parents.map(|finding| (finding.code, &*finding.object, &*finding.field)).collect();
    let expected = [
        ("route-not-allowed", "HTTPRoute blue/blue", "spec.parentRefs[0]"),
        ("listener-not-found", "HTTPRoute default/lost", "spec.parentRefs[1].port"),
        ("parent-not-found", "HTTPRoute default/lost", "spec.parentRefs[0].name"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn only_gateways_of_our_classes_are_served_once_a_class_is_declared() {
    let class = |name: &str, controller: &str| {
        format!(
            "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: {name}}}
spec: {{controllerName: {controller}}}
---
"
        )
    };
    let ours = class("pointsman", "pointsman.dev/gateway");
    let others = class("pointsman", "example.com/other");
    let elsewhere = class("other", "pointsman.dev/gateway");
    for (class, expected) in [("", 1), (&*ours, 1), (&*others, 0), (&*elsewhere, 0)] {
        let world = world(&[GATEWAY, class].concat());
        assert_eq!(world.load().listeners.len(), expected, "{class}");
    }
}

#[test]
fn the_oldest_route_wins_and_then_the_first_by_name() {
    let dated = |name: &str, year: u16, path: &str| {
        route(name, &format!("rules: [{{matches: [{{path: {{value: {path}}}}}]}}]")).replace(
            &format!("{{name: {name}}}"),
            &format!("{{name: {name}, creationTimestamp: '{year}-01-01T00:00:00Z'}}"),
        )
    };
    let manifests = [
        GATEWAY,
        &dated("a", 2026, "/old"),
        &dated("b", 2025, "/old"),
        &dated("d", 2026, "/tie"),
        &dated("c", 2026, "/tie"),
    ];
    let world = world(&manifests.concat());
    let snapshot = world.load();
    let rules = snapshot.listener(8080, "h").unwrap().routes.rules();
    let first = |prefix: &str| {
        rules.iter().find(|rule| prefix.contains(&*rule.route.name)).map(|rule| rule.route.name.to_string())
    };
    assert_eq!(first("ab").as_deref(), Some("b"));
    assert_eq!(first("cd").as_deref(), Some("c"));
}

#[test]
fn a_request_of_another_host_than_the_route_has_finds_nothing() {
    let one = route_to_pool("p").replace("rules:", "hostnames: [a.example],rules:");
    let world = world(&[GATEWAY, &pool("p"), &slice("s", "app: p", 1), &one].concat());
    let snapshot = world.load();
    assert_eq!(told(backend(&snapshot, "a.example", "/", Model::Absent)), "pool default/p");
    assert_eq!(told(backend(&snapshot, "b.example", "/", Model::Absent)), "nothing");
}
