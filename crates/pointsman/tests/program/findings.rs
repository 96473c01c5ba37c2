//! What is wrong with manifests is one list: `check` prints it, and who runs with them logs the same.

use crate::support::{Bench, FREE_PORTS, chat, logged_at_start, on_a_runtime, pointsman, until};
use http::StatusCode;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A finding, but for its words: where, how bad, which rule, which object and field.
type Told = (String, String, String, String, String);

fn texts<'v>(line: &'v Value, names: [&str; 3]) -> [&'v str; 3] {
    names.map(|name| line[name].as_str().unwrap_or_default())
}

/// What `check` says of a folder.
fn checked(folder: &Path) -> BTreeSet<Told> {
    let out = pointsman(&["check", "--json", folder.to_str().unwrap()]).stdout;
    let lines =
        out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let told = lines.map(|line| {
        let [file, severity, code] = texts(&line, ["file", "severity", "code"]);
        let [object, field, _] = texts(&line, ["object", "field", ""]);
        let place = match line["line"].as_u64().unwrap() {
            0 => file.to_owned(),
            number => format!("{file}:{number}"),
        };
        (place, severity.to_owned(), code.to_owned(), object.to_owned(), field.to_owned())
    });
    told.collect()
}

/// What lines of a log say.
fn of_log(lines: &[Value]) -> BTreeSet<Told> {
    let told = lines.iter().filter(|line| line["code"].is_string()).map(|line| {
        let [place, level, code] = texts(line, ["place", "level", "code"]);
        let [object, field, _] = texts(line, ["object", "field", ""]);
        let severity = if level == "ERROR" { "error" } else { "warning" };
        (place.to_owned(), severity.to_owned(), code.to_owned(), object.to_owned(), field.to_owned())
    });
    told.collect()
}

fn codes(told: &BTreeSet<Told>) -> BTreeSet<&str> {
    told.iter().map(|(_, _, code, _, _)| &**code).collect()
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: pointsman
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}
  - {name: tls, port: 443, protocol: TLS, tls: {mode: Passthrough}}
  infrastructure:
    parametersRef: {group: '', kind: ConfigMap, name: none}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: later, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  gatewayClassName: pointsman
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}
";

const ROUTES: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: dangling}
spec:
  parentRefs: [{name: gateway}]
  rules:
  - backendRefs:
    - {name: gone, kind: InferencePool}
    - {name: away, namespace: other, port: 80}
    - {name: bucket, kind: Bucket, group: example.com}
    - {name: lonely, port: 80}
    - {name: lonely, port: 81}
    - {name: elsewhere, port: 80}
  - backendRefs: [{name: pool, group: inference.networking.k8s.io, kind: InferencePool, weight: 0}]
  - backendRef: [{name: lonely, port: 80}]
    filters:
    - {type: CORS, cors: {}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: lost}
spec:
  hostnames: [example.org]
  parentRefs:
  - {name: nowhere}
  - {name: gateway, sectionName: http}
  - {name: gateway, sectionName: tls}
  - {name: gateway, port: 1}
  rules:
  - filters: [{type: RequestRedirect, requestRedirect: {port: 1}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: foreign, namespace: other}
spec: {parentRefs: [{name: gateway, namespace: default}, {kind: Service, group: '', name: a}]}
";

const POOLS: &str = "\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec:
  selector: {matchLabels: {app: pool}}
  targetPorts: [{number: 8000}]
  appProtocol: kubernetes.io/h2c
  endpointPickerRef: {name: none, port: {number: 9002}}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: other}
spec:
  selector: {matchLabels: {app: other}}
  targetPorts: [{number: 8000}]
  endpointPickerRef: {name: lonely, port: {number: 80}}
---
apiVersion: v1
kind: Pod
metadata: {name: young, labels: {app: pool}}
---
apiVersion: v1
kind: Service
metadata: {name: lonely}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere}
spec: {type: ExternalName, externalName: a.example.com, ports: [{port: 80}]}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: model}
spec: {modelName: m, poolRef: {name: pool}}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: second, creationTimestamp: 2026-01-01T00:00:00Z}
spec:
  modelName: m
  poolRef: {name: pool}
---
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceObjective
metadata: {name: objective}
spec: {priority: 1, poolRef: {name: gone}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: base, labels: {inference.networking.k8s.io/bbr-managed: 'true'}}
data:
  adapters: '- a'
---
apiVersion: apps/v1
kind: Deployment
";

const UNUSABLE: &str = "\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: unusable}
spec:
  selector: {matchLabels: {app: pool}}
  targetPort: [{number: 8000}]
  targetPorts: [{number: 80000}]
";

#[test]
fn check_and_who_runs_with_the_manifests_tell_the_same() {
    let served = [("gateway.yaml", GATEWAY), ("routes.yaml", ROUTES), ("pools.yaml", POOLS)];
    let broken = [&served[..], &[("a.yaml", UNUSABLE), ("b.yaml", "kind: ["), ("c.yaml", GATEWAY)]].concat();
    let alone = [(
        "tls.yaml",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec:\n  gatewayClassName: c\n  listeners:\n  - {name: a, port: 1, protocol: TCP}\n",
    )];
    for (files, at_least) in [(&served[..], 25), (&broken, 28), (&alone, 2), (&[], 1)] {
        let folder = folder(files);
        let expected = checked(folder.path());
        let found = codes(&expected).len();
        assert!(found >= at_least, "only {found}: {:?}", codes(&expected));
        let path = folder.path().to_str().unwrap();
        let run = ["run", "--free-ports", "--bind", "127.0.0.1", "--admin", "127.0.0.1:0", "--config", path];
        assert_eq!(of_log(&logged_at_start(&run)), expected, "run with {files:?}");
        let bbr = [&["bbr", "--config", path][..], &FREE_PORTS].concat();
        let bbr = of_log(&logged_at_start(&bbr));
        let missed: Vec<_> = expected.difference(&bbr).map(|told| &*told.2).collect();
        let of_gateways = ["no-listener", "nothing-declared", "gateway-without-route", "pool-without-route"];
        assert!(
            bbr.is_subset(&expected) && missed.iter().all(|code| of_gateways.contains(code)),
            "{missed:?}"
        );
    }
}

#[test]
fn an_endpoint_picker_tells_the_same_but_of_other_pools_and_of_itself() {
    let folder = folder(&[("gateway.yaml", GATEWAY), ("routes.yaml", ROUTES), ("pools.yaml", POOLS)]);
    let path = folder.path().to_str().unwrap();
    let epp = ["epp", "--admin", "127.0.0.1:0", "--pool-name", "pool", "--config", path];
    let epp = [&epp[..], &FREE_PORTS].concat();
    let (told, checked) = (of_log(&logged_at_start(&epp)), checked(folder.path()));
    assert!(told.is_subset(&checked));
    let left_out = checked.difference(&told).map(|(_, _, code, object, _)| (&**code, &**object));
    let expected = [
        ("endpoint-picker-not-found", "InferencePool default/pool"),
        ("endpoint-picker-without-endpoints", "InferencePool default/other"),
        ("pool-without-endpoints", "InferencePool default/other"),
        ("pool-without-route", "InferencePool default/other"),
    ];
    assert_eq!(left_out.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

#[test]
fn a_slip_of_the_pen_that_refuses_requests_is_told_as_check_tells_it() {
    on_a_runtime(async {
        let bench = Bench::two_models().await;
        let route = bench.read("httproute.yaml").replacen("backendRefs:", "backendRef:", 1);
        bench.write("httproute.yaml", &route);
        let in_force = until("the change is in force", async || {
            bench
                .logged(|line| line["message"].as_str().is_some_and(|told| told.contains("have changed")))
                .pop()
        });
        let in_force = in_force.await;
        assert_eq!((in_force["level"].as_str(), in_force["unserved"].as_u64()), (Some("WARN"), Some(1)));
        assert_eq!(bench.send(chat("chatbot", 2, false)).await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(bench.send(chat("recommender", 2, false)).await.status, StatusCode::OK);
        let path = bench.folder.path();
        assert_eq!(pointsman(&["check", path.to_str().unwrap()]).status.code(), Some(1));
        let told = of_log(&bench.logged(|_| true));
        let new = told.iter().map(|(_, severity, code, _, field)| (&**severity, &**code, &**field));
        let expected = [
            ("error", "no-backend", "spec.rules[0]"),
            ("warning", "pool-without-route", ""),
            ("warning", "unknown-field", "spec.rules[0].backendRef"),
        ];
        assert_eq!(new.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
        assert!(told.is_subset(&checked(path)));
    });
}

#[test]
fn a_path_that_is_not_there_is_told_in_one_line_without_what_is_not_known() {
    for command in ["run", "bbr"] {
        let told = logged_at_start(&[command, "--config", "/nope"]);
        let [told] = &told[..] else { panic!("{told:?}") };
        assert_eq!((told["place"].as_str(), told["code"].as_str()), (Some("/nope"), Some("unreadable")));
        assert_eq!(told["message"], "there is no such file or folder");
        assert_eq!((told.get("object"), told.get("field")), (None, None));
        let plain = String::from_utf8(pointsman(&[command, "--config", "/nope"]).stderr).unwrap();
        assert!(
            plain.contains("the manifests have 1 error; `pointsman check /nope` tells them all"),
            "{plain}"
        );
    }
}
