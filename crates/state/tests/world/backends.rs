//! backendRefs become pools and Services, or say why not.

use crate::support::{GATEWAY, backend, load, pool, route, slice, told, world};
use routing::Model;
use state::{Backend, Clock, EndpointPicker, FailureMode, MissingEndpointPicker, Settings, Transport, World};

/// What a route to this backendRef gets, beside these manifests.
fn reached(backend_ref: &str, manifests: &str) -> String {
    let route = route("r", &format!("rules: [{{backendRefs: [{backend_ref}]}}]"));
    let world = world(&[GATEWAY, &route, manifests].concat());
    told(backend(&world.load(), "h", "/", Model::Absent))
}

#[test]
fn a_pool_without_a_group_is_v1_and_then_v1alpha2() {
    let old = "
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: p}
spec: {selector: {app: old}, targetPortNumber: 8000, extensionRef: {name: epp}}
---
";
    let pool = pool("p");
    let both = [&*pool, old].concat();
    let any = "{kind: InferencePool, name: p}";
    let alpha = "{kind: InferencePool, group: inference.networking.x-k8s.io, name: p}";
    let found = |reference: &str, manifests: &str| {
        let route = route("r", &format!("rules: [{{backendRefs: [{reference}]}}]"));
        let slices = [slice("new", "app: p", 1), slice("old", "app: old", 2)].concat();
        let world = world(&[GATEWAY, &route, manifests, &slices].concat());
        match backend(&world.load(), "h", "/", Model::Absent) {
            Some(Backend::Pool(pool)) => crate::support::addresses(&pool).join(" "),
            other => told(other),
        }
    };
    assert_eq!(found(any, &both), "127.0.0.1:1");
    assert_eq!(found(any, old), "127.0.0.1:2");
    assert_eq!(found(alpha, &both), "127.0.0.1:2");
    assert_eq!(found(alpha, &pool), "the InferencePool default/p is not declared");
}

#[test]
fn a_pool_that_the_process_declares_selects_by_its_labels_beside_those_of_the_manifests() {
    let own = load(&pool("own").replace("app: own", "app: vllm")).store.inference_pools;
    let settings = Settings { pools: own.into_values().collect(), ..Settings::default() };
    let world = World::new(settings, Clock::start());
    world.apply(load(&[pool("p"), slice("a", "app: vllm", 1), slice("b", "app: p", 2)].concat()));
    let snapshot = world.load();
    let found: Vec<_> =
        snapshot.pools.iter().map(|pool| (pool.name.to_string(), crate::support::addresses(pool))).collect();
    let expected = [("default/own", "127.0.0.1:1"), ("default/p", "127.0.0.1:2")];
    assert_eq!(found, expected.map(|(pool, address)| (pool.to_owned(), vec![address.to_owned()])));
    assert!(snapshot.findings.is_empty(), "{:?}", snapshot.findings);
    world.apply(load(&slice("a", "app: vlm", 1)));
    assert_eq!(crate::support::codes(&world.load()), ["pool-without-endpoints"], "nobody else tells of it");
}

const SERVICE: &str = "
apiVersion: v1
kind: Service
metadata: {name: web, namespace: other}
spec: {ports: [{name: http, port: 80, targetPort: 8080}, {port: 81, name: other}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: other, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: other, port: 9}, {name: http, port: 8080}]
endpoints:
- {addresses: [10.0.0.1], targetRef: {kind: Pod, name: a}}
- {addresses: [10.0.0.2], conditions: {ready: false}}
- {addresses: [10.0.0.1]}
---
";

const GRANT: &str = "
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: '', kind: Service}]
---
";

#[test]
fn a_service_of_another_namespace_needs_a_grant() {
    let reference = "{name: web, namespace: other, port: 80}";
    let expected = "no ReferenceGrant lets it refer to the Service other/web";
    assert_eq!(reached(reference, SERVICE), expected);
    let granted = [SERVICE, GRANT].concat();
    assert_eq!(reached(reference, &granted), "service other/web:80");
    assert_eq!(
        reached("{name: web, namespace: other, port: 82}", &granted),
        "the Service other/web has no port 82"
    );
    assert_eq!(reached("{name: gone, port: 80}", &granted), "the Service default/gone is not declared");
    assert_eq!(
        reached("{kind: Bucket, group: storage, name: b}", ""),
        "the kind Bucket of the group \"storage\" is not served as a backend"
    );
}

#[test]
fn a_service_has_the_ready_endpoints_of_its_ports_name() {
    let route = route("r", "rules: [{backendRefs: [{name: web, namespace: other, port: 80}]}]");
    let world = world(&[GATEWAY, &route, SERVICE, GRANT].concat());
    let Some(Backend::Service(service)) = backend(&world.load(), "h", "/", Model::Absent) else {
        panic!("not a Service");
    };
    assert_eq!(service.endpoints, ["10.0.0.1:8080".parse().unwrap()]);
}

#[test]
fn a_pool_whose_picker_is_not_declared_is_picked_for_or_refused() {
    let pool =
        pool("p").replace("targetPorts", "endpointPickerRef: {name: epp, port: {number: 9002}}, targetPorts");
    let route = route("r", "rules: [{backendRefs: [{kind: InferencePool, name: p}]}]");
    let manifests = [GATEWAY, &pool, &route, &slice("s", "app: p", 1)].concat();
    let told_with = |missing_endpoint_picker| {
        let world = World::new(Settings { missing_endpoint_picker, ..Settings::default() }, Clock::start());
        world.apply(load(&manifests));
        assert!(crate::support::codes(&world.load()).contains(&"endpoint-picker-not-found"));
        told(backend(&world.load(), "h", "/", Model::Absent))
    };
    assert_eq!(told_with(MissingEndpointPicker::Builtin), "pool default/p");
    let refused = told_with(MissingEndpointPicker::Refuse);
    assert!(refused.contains("Service default/epp, is not declared"), "{refused}");
}

/// A pool of this version whose endpoint picker is the Service `epp`, and the endpoint picker that it has.
fn picker(pool: &str, manifests: &str) -> (Option<std::sync::Arc<EndpointPicker>>, Vec<&'static str>) {
    let slice = slice("s", "app: p", 1);
    let world = world(&[GATEWAY, pool, &slice, manifests].concat());
    let snapshot = world.load();
    let mut codes = crate::support::codes(&snapshot);
    // No route is of interest here.
    codes.retain(|code| *code != "gateway-without-route");
    (snapshot.pools[0].picker.clone(), codes)
}

fn v1(reference: &str) -> String {
    pool("p").replace("targetPorts", &format!("endpointPickerRef: {{{reference}}}, targetPorts"))
}

const EPP: &str = "
apiVersion: v1
kind: Service
metadata: {name: epp}
spec: {ports: [{name: grpc, port: 9002, appProtocol: http2}, {name: plain, port: 9005, appProtocol: kubernetes.io/h2c}]}
---
";

const EPP_SLICE: &str = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: epp-1, labels: {kubernetes.io/service-name: epp}}
addressType: IPv4
ports: [{name: grpc, port: 19002}, {name: plain, port: 19005}]
endpoints: [{addresses: [10.0.0.7]}, {addresses: [10.0.0.8], conditions: {ready: false}}]
---
";

#[test]
fn a_pools_endpoint_picker_is_the_service_that_it_names() {
    let declared = [EPP, EPP_SLICE].concat();
    let alpha = "
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata: {name: p}
spec: {selector: {app: p}, targetPortNumber: 8000, extensionRef: {name: epp}}
---
";
    let table = [
        (v1("name: epp, port: {number: 9002}"), "10.0.0.7:19002", Transport::Tls, FailureMode::FailClose),
        (
            v1("name: epp, port: {number: 9005}, failureMode: FailOpen"),
            "10.0.0.7:19005",
            Transport::Plaintext,
            FailureMode::FailOpen,
        ),
        (alpha.to_owned(), "10.0.0.7:19002", Transport::Tls, FailureMode::FailClose),
    ];
    for (pool, address, transport, mode) in table {
        let (picker, codes) = picker(&pool, &declared);
        let picker = picker.expect("a declared Service is honoured");
        assert_eq!(picker.endpoints, [address.parse().unwrap()]);
        assert_eq!((picker.transport, picker.failure_mode), (transport, mode));
        assert_eq!(&*picker.host, "epp.default.svc");
        assert_eq!(codes, Vec::<&str>::new(), "{pool}");
    }
}

#[test]
fn an_endpoint_picker_that_cannot_be_asked_is_told() {
    let external = EPP.replace("ports:", "type: ExternalName, externalName: a.example, ports:");
    let table = [
        (v1("name: epp, port: {number: 9002}"), EPP.to_owned()),
        (v1("name: epp, port: {number: 9003}"), [EPP, EPP_SLICE].concat()),
        (v1("name: epp, port: {number: 9002}"), [&external, EPP_SLICE].concat()),
    ];
    for (pool, manifests) in table {
        let (picker, codes) = picker(&pool, &manifests);
        assert_eq!(picker.expect("it is declared").endpoints, []);
        assert_eq!(codes, ["endpoint-picker-without-endpoints"], "{manifests}");
    }
    let other_kind = v1("name: epp, kind: Deployment, group: apps, port: {number: 9002}");
    let (nobody, codes) = picker(&other_kind, &[EPP, EPP_SLICE].concat());
    assert!(nobody.is_none());
    assert_eq!(codes, ["endpoint-picker-not-found"]);
}
