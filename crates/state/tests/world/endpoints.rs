//! A pool's endpoints: slices, Pods, names.

use crate::support::{GATEWAY, addresses, codes, pool, route, slice, world};
use state::{Applied, ENDPOINTS_OF_POOL_MAX};

#[test]
fn a_slices_own_port_wins_over_the_pools() {
    let bare = slice("bare", "app: p", 1).replace("ports: [{port: 1}]", "ports: []");
    let world = world(&[pool("p"), slice("one", "app: p", 18101), bare].concat());
    assert_eq!(addresses(&world.load().pools[0]), ["127.0.0.1:8000", "127.0.0.1:18101"]);
}

#[test]
fn endpoints_that_are_not_ready_or_stand_for_pods_are_left_out() {
    let slice = "
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s, labels: {app: p}}
addressType: IPv4
endpoints:
- {addresses: [10.0.0.1, 10.0.0.9]}
- {addresses: [10.0.0.2], conditions: {ready: false}}
- {addresses: [10.0.0.3], targetRef: {kind: Pod, name: x}}
- {addresses: [10.0.0.4], conditions: {ready: true}}
ports: [{port: 1}]
---
";
    let others = slice.replace("app: p", "app: other").replace("name: s", "name: t");
    let elsewhere = slice.replace("name: s", "name: u, namespace: elsewhere");
    let world = world(&[&pool("p"), slice, &others, &elsewhere].concat());
    assert_eq!(addresses(&world.load().pools[0]), ["10.0.0.1:1", "10.0.0.4:1"]);
}

#[test]
fn a_pod_gives_one_endpoint_for_each_port_that_it_serves() {
    let pool = pool("p").replace("[{number: 8000}]", "[{number: 8000}, {number: 8001}]");
    let pods = "
apiVersion: v1
kind: Pod
metadata: {name: both, uid: u1, labels: {app: p}}
status: {podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata:
  name: one
  labels: {app: p}
  annotations: {inference.networking.k8s.io/active-ports: '8001, 9000'}
status: {podIP: 10.0.0.2, phase: Running, conditions: [{type: Ready, status: 'True'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: unready, labels: {app: p}}
status: {podIP: 10.0.0.3, conditions: [{type: Ready, status: 'False'}]}
---
apiVersion: v1
kind: Pod
metadata: {name: going, labels: {app: p}, deletionTimestamp: '2026-01-01T00:00:00Z'}
status: {podIP: 10.0.0.4}
---
apiVersion: v1
kind: Pod
metadata: {name: young, labels: {app: p}}
status: {}
---
";
    let world = world(&[&*pool, pods].concat());
    let snapshot = world.load();
    assert_eq!(addresses(&snapshot.pools[0]), ["10.0.0.1:8000", "10.0.0.1:8001", "10.0.0.2:8001"]);
    let uid = |place: usize| snapshot.pools[0].endpoints[place].1.pod_uid.as_deref();
    assert_eq!((uid(0), uid(1), uid(2)), (Some("u1"), Some("u1"), None));
    let pods: Vec<_> = snapshot.pools[0].pods.values().map(|pod| &**pod).collect();
    assert_eq!(pods, ["both-rank-0", "both-rank-1", "one-rank-1"], "as the reference names endpoints");
    assert!(codes(&snapshot).contains(&"pod-without-address"));
}

#[test]
fn two_objects_of_one_address_are_one_endpoint_and_their_pools_one_domain() {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: x, uid: u1, labels: {app: b}}
status: {podIP: 127.0.0.1}
---
";
    let slices = [slice("s", "app: a", 8000), slice("t", "app: a", 8000), slice("u", "app: c", 1)].concat();
    let world = world(&[&pool("a"), &pool("b"), &pool("c"), &*slices, pod].concat());
    let snapshot = world.load();
    let [a, b, c] = &snapshot.pools[..] else { panic!("three pools") };
    assert_eq!(a.endpoints, b.endpoints);
    assert_eq!((a.endpoints.len(), a.endpoints[0].1.pod_uid.as_deref()), (1, Some("u1")));
    assert!(std::sync::Arc::ptr_eq(&a.domain, &b.domain));
    assert!(!std::sync::Arc::ptr_eq(&a.domain, &c.domain));
}

#[tokio::test]
async fn names_are_endpoints_once_they_are_looked_up() {
    let slice = slice("s", "app: p", 18101).replace("IPv4", "FQDN").replace("127.0.0.1", "localhost");
    let world = world(&[pool("p"), slice].concat());
    assert_eq!(addresses(&world.load().pools[0]), Vec::<String>::new());
    assert!(!codes(&world.load()).contains(&"unresolved-name"), "nobody has looked yet");
    assert_eq!(world.look_up_names().await, Applied::Changed);
    let found = addresses(&world.load().pools[0]);
    assert!(found == ["127.0.0.1:18101"] || found == ["[::1]:18101"], "{found:?}");
    assert!(!codes(&world.load()).contains(&"unresolved-name"));
    assert_eq!(world.look_up_names().await, Applied::Unchanged);
}

#[tokio::test]
async fn a_name_that_cannot_be_looked_up_is_told_on_its_line() {
    // No label may have more than 63 letters: no resolver is asked.
    let nowhere = format!("{}.example", "a".repeat(64));
    let slice = slice("s", "app: p", 18101).replace("IPv4", "FQDN").replace("127.0.0.1", &nowhere);
    let world = world(&[pool("p"), slice].concat());
    assert_eq!(world.look_up_names().await, Applied::Changed);
    let snapshot = world.load();
    let [finding] = &snapshot.findings[..] else { panic!("{:?}", snapshot.findings) };
    let told = (finding.code, &*finding.field, finding.origin.line, &*finding.object);
    let line = 12; // Of `endpoints: [{addresses: …}]`.
    assert_eq!(told, ("unresolved-name", "endpoints[0].addresses[0]", line, "EndpointSlice default/s"));
    assert_eq!(world.look_up_names().await, Applied::Unchanged);
}

#[test]
fn endpoints_beyond_the_most_of_one_pool_or_service_are_left_out_and_that_is_told() {
    let slices: String = (0..=ENDPOINTS_OF_POOL_MAX / 1000)
        .map(|number| {
            let one = |host: usize| format!("{{addresses: [10.{number}.{}.{}]}}", host / 256, host % 256);
            let endpoints: Vec<String> = (0..1000).map(one).collect();
            slice(&format!("s{number}"), "app: p, kubernetes.io/service-name: s", 1)
                .replace("{addresses: [127.0.0.1]}", &endpoints.join(", "))
        })
        .collect();
    let service = "
apiVersion: v1
kind: Service
metadata: {name: s}
spec: {ports: [{port: 80}]}
---
";
    let route = route("r", "rules: [{backendRefs: [{name: s, port: 80}]}]");
    let snapshot = world(&[GATEWAY, &pool("p"), service, &route, &slices].concat()).load();
    assert_eq!(addresses(&snapshot.pools[0]).len(), ENDPOINTS_OF_POOL_MAX);
    let told = snapshot.findings.iter().filter(|finding| finding.code == "too-many-endpoints");
    let objects: Vec<_> = told.map(|finding| &*finding.object).collect();
    assert_eq!(objects, ["InferencePool default/p", "Service default/s"]);
}
