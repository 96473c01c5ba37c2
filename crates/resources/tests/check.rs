//! Every rule of `check`, each by a manifest that breaks it: what is said, of which field, on which line.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use resources::{Audience, Finding, Folder, ObjectName, Severity, check};

/// What a finding says, without its words.
type Said = (Severity, &'static str, String, u32);

/// What is said of a manifest besides that nothing is sent to what it declares alone.
fn findings(manifest: &str) -> Vec<Finding> {
    let alone = ["gateway-without-route", "pool-without-route"];
    let all = of_files(&[("manifest.yaml", manifest.as_bytes())]);
    all.into_iter().filter(|finding| !alone.contains(&finding.code)).collect()
}

/// What is said of a folder with these files.
fn of_files(files: &[(&str, &[u8])]) -> Vec<Finding> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    check(&[folder.path().to_owned()])
}

/// The same in short: file and line, rule, message. The folder's own name is left out.
fn told_of(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    let told = |finding: Finding| {
        let folder = format!("{}/", finding.origin.file.parent().unwrap().display());
        format!("{} {}: {}", finding.origin, finding.code, finding.message).replace(&folder, "")
    };
    of_files(&files).into_iter().map(told).collect()
}

fn said(manifest: &str) -> Vec<Said> {
    findings(manifest).into_iter().map(|f| (f.severity, f.code, f.field, f.origin.line)).collect()
}

/// Of an object with this head, which has five lines, and these lines below, exactly this is said: a code, a field, a line
/// below the head.
#[track_caller]
fn only(head: &str, below: &str, severity: Severity, (code, field, line): (&'static str, &str, u32)) {
    assert_eq!(head.lines().count(), 5);
    assert_eq!(said(&format!("{head}{below}\n")), [(severity, code, field.to_owned(), 5 + line)], "{below}");
}

#[track_caller]
fn error(head: &str, below: &str, what: (&'static str, &str, u32)) {
    only(head, below, Severity::Error, what);
}

#[track_caller]
fn warning(head: &str, below: &str, what: (&'static str, &str, u32)) {
    only(head, below, Severity::Warning, what);
}

const ROUTE: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: route
spec:
";

/// A route whose first rule has these lines below the head; the last line makes it whole.
fn rule(lines: &str) -> String {
    format!("  rules:\n  - {}", lines.replace('\n', "\n    "))
}

const GATEWAY: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: pointsman
";

const POOL: &str = "\
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata:
  name: pool
spec:
";

const OLD_POOL: &str = "\
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferencePool
metadata:
  name: pool
spec:
";

const MODEL: &str = "\
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata:
  name: model
spec:
";

const SLICE: &str = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: slice
addressType: IPv4
";

#[test]
fn a_document_has_to_be_an_object_that_is_known() {
    let of = |manifest: &str| {
        let said = said(manifest).into_iter().filter(|(_, code, _, _)| *code != "nothing-declared");
        said.map(|(_, code, field, line)| (code, field, line)).collect::<Vec<_>>()
    };
    assert_eq!(of("- 1\n"), [("not-an-object", String::new(), 1)]);
    assert_eq!(of("a: b\n"), [("not-an-object", String::new(), 1)]);
    assert_eq!(of("a: [\n"), [("not-yaml", String::new(), 1)]);
    assert_eq!(of("a: 1\nb: 2\na: 3\n"), [("not-yaml", String::new(), 3)]);
    let kind =
        |api: &str, kind: &str| of(&format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\n"));
    let unknown = [("unknown-kind", "apiVersion".to_owned(), 1)];
    assert_eq!(kind("gateway.networking.k8s.io/v1alpha2", "HTTPRoute"), unknown);
    assert_eq!(kind("gateway.networking.k8s.io/v1", "HttpRoute"), unknown);
    assert_eq!(kind("gateway.networking.k8s.io/v1", "HTTPRoutes"), unknown);
    assert_eq!(kind("gateway.networking.k8s.o/v1", "HTTPRoute"), unknown);
    assert_eq!(kind("inference.networking.k8s.io/v1alpha2", "InferencePool"), unknown);
    let ignored = [("ignored-kind", "kind".to_owned(), 1)];
    assert_eq!(kind("apps/v1", "Deployment"), ignored);
    assert_eq!(kind("networking.istio.io/v1", "Gateway"), ignored);
    assert_eq!(kind("gateway.networking.k8s.io/v1", "GRPCRoute"), ignored);
}

#[test]
fn kinds_that_are_not_read_give_one_warning_together() {
    let other = "apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: v1\nkind: PersistentVolume\n---\n";
    let found = findings(&other.repeat(3));
    let [nothing, ignored] = &found[..] else { panic!("{found:?}") };
    assert_eq!(nothing.code, "nothing-declared");
    assert!(ignored.message.ends_with("Deployment (3), PersistentVolume (3)"), "{}", ignored.message);
}

#[test]
fn a_deprecated_version_is_a_warning() {
    let class = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: GatewayClass\nmetadata: {name: a}
spec: {controllerName: pointsman.dev/gateway}";
    assert_eq!(said(class), [(Severity::Warning, "deprecated-version", "apiVersion".to_owned(), 1)]);
}

#[test]
fn unknown_fields_are_named_with_the_nearest_known_one() {
    let below = "  parentRefs: [{name: g}]\n  hostname: [a]\n";
    let found = findings(&format!("{ROUTE}{below}"));
    let unknown = found.iter().find(|finding| finding.code == "unknown-field").unwrap();
    assert_eq!((unknown.field.as_str(), unknown.origin.line), ("spec.hostname", 7));
    assert!(unknown.message.contains("did you mean `hostnames`"), "{}", unknown.message);
    assert_eq!(unknown.severity, Severity::Warning);
    let found = findings(&format!("{ROUTE}{}", rule("backendRef: [{name: a}]\ncompletelyOther: 1")));
    let message = |field: &str| found.iter().find(|f| f.field == field).map(|f| f.message.clone()).unwrap();
    assert!(message("spec.rules[0].backendRef").contains("did you mean `backendRefs`"));
    assert!(message("spec.rules[0].completelyOther").contains("it has no effect"));
    let found = findings(&format!("{}\n", ROUTE.replace("name: route", "name: route\n  label: {a: b}")));
    assert!(found.iter().any(|f| f.message.contains("did you mean `labels`")));
}

/// Below a route's head: what is said besides that it has no parent (and no backend).
#[track_caller]
fn route(below: &str, what: (&'static str, &str, u32)) {
    let all = said(&format!("{ROUTE}{below}\n"));
    let rest: Vec<_> =
        all.into_iter().filter(|(_, code, _, _)| !matches!(*code, "no-parent" | "no-backend")).collect();
    let (code, field, line) = what;
    assert_eq!(rest, [(Severity::Error, code, field.to_owned(), 5 + line)], "{below}");
}

#[test]
fn the_fields_of_an_http_route_are_checked() {
    route("  parentRefs: [{kind: Gateway}]", ("missing-field", "spec.parentRefs[0].name", 1));
    route("  parentRefs: [{name: g, namespace: A_b}]", ("malformed", "spec.parentRefs[0].namespace", 1));
    route("  parentRefs:\n  - name: g\n  - name: g", ("duplicate-parent", "spec.parentRefs[1]", 3));
    route("  hostnames: ['a.example.com:80']", ("malformed", "spec.hostnames[0]", 1));
    route("  hostnames: ['*']", ("malformed", "spec.hostnames[0]", 1));
    route("  hostnames: a.example.com", ("wrong-type", "spec.hostnames", 1));
    route("  rules: []", ("wrong-number-of-items", "spec.rules", 1));
    route("  rules:\n  - name: a\n  - name: a", ("duplicate-item", "spec.rules[1]", 3));
    let at = "spec.rules[0]";
    let row =
        |lines: &str, code, field: &str, line| route(&rule(lines), (code, &format!("{at}{field}"), line));
    row("matches:\n- path: {value: a}", "malformed", ".matches[0].path.value", 3);
    row("matches:\n- path: {value: /a//b}", "malformed", ".matches[0].path.value", 3);
    row("matches:\n- path: {value: /a/./b}", "malformed", ".matches[0].path.value", 3);
    row("matches:\n- path: {value: /a/..}", "malformed", ".matches[0].path.value", 3);
    row("matches:\n- path: {value: /a%2Fb}", "malformed", ".matches[0].path.value", 3);
    row("matches:\n- path: {value: '/a b'}", "malformed", ".matches[0].path.value", 3);
    row("matches:\n- path: {type: Prefix}", "not-one-of", ".matches[0].path.type", 3);
    row("matches:\n- method: get", "not-one-of", ".matches[0].method", 3);
    row("matches:\n- headers: [{name: a}]", "missing-field", ".matches[0].headers[0].value", 3);
    row("matches:\n- headers: [{name: 'a b', value: c}]", "malformed", ".matches[0].headers[0].name", 3);
    row("matches:\n- headers: [{name: a, value: 1}]", "wrong-type", ".matches[0].headers[0].value", 3);
    row("matches:\n- headers: [{name: a, value: ''}]", "wrong-length", ".matches[0].headers[0].value", 3);
    row(
        "matches:\n- headers:\n  - {name: a, value: b}\n  - {name: a, value: c}",
        "duplicate-item",
        ".matches[0].headers[1]",
        5,
    );
    row(
        "matches:\n- headers: [{type: RegularExpression, name: a, value: '('}]",
        "not-a-regular-expression",
        ".matches[0].headers[0].value",
        3,
    );
    row("timeouts: {request: 10}", "wrong-type", ".timeouts.request", 2);
    row("timeouts: {request: 1.5s}", "malformed", ".timeouts.request", 2);
    row(
        "timeouts:\n  request: 1s\n  backendRequest: 2s",
        "timeout-longer-than-request",
        ".timeouts.backendRequest",
        4,
    );
    row("retry: {codes: [200]}", "out-of-range", ".retry.codes[0]", 2);
}

#[test]
fn the_backends_and_filters_of_an_http_route_are_checked() {
    let at = "spec.rules[0]";
    let row =
        |lines: &str, code, field: &str, line| route(&rule(lines), (code, &format!("{at}{field}"), line));
    row("backendRefs:\n- name: a", "missing-field", ".backendRefs[0].port", 3);
    row("backendRefs:\n- {name: a, port: 0}", "out-of-range", ".backendRefs[0].port", 3);
    row("backendRefs:\n- {name: a, port: 80, weight: -1}", "out-of-range", ".backendRefs[0].weight", 3);
    row("backendRefs:\n- {name: a, port: 80, weight: 1000001}", "out-of-range", ".backendRefs[0].weight", 3);
    row("filters:\n- type: Nonsense", "not-one-of", ".filters[0].type", 3);
    row("filters:\n- type: URLRewrite", "missing-field", ".filters[0].urlRewrite", 3);
    row(
        "filters:\n- type: URLRewrite\n  urlRewrite: {hostname: a}\n  requestRedirect: {port: 1}",
        "field-of-another-type",
        ".filters[0].requestRedirect",
        5,
    );
    let redirect = "- {type: RequestRedirect, requestRedirect: {port: 80}}";
    let rewrite = "- {type: URLRewrite, urlRewrite: {hostname: a}}";
    row(&format!("filters:\n{redirect}\n{rewrite}"), "redirect-with-rewrite", ".filters", 2);
    row(&format!("filters:\n{rewrite}\n{rewrite}"), "duplicate-filter", ".filters[1]", 4);
    let code = "- {type: RequestRedirect, requestRedirect: {statusCode: 200}}";
    row(&format!("filters:\n{code}"), "not-one-of", ".filters[0].requestRedirect.statusCode", 3);
    row(
        &format!("filters:\n{redirect}\nbackendRefs:\n- {{name: a, port: 80}}"),
        "redirect-with-backends",
        ".backendRefs",
        4,
    );
    let prefix = "{type: ReplacePrefixMatch, replacePrefixMatch: /a}";
    row(
        &format!(
            "matches:\n- path: {{type: Exact, value: /x}}\nfilters:\n- type: URLRewrite\n  urlRewrite:\n    path: {prefix}"
        ),
        "prefix-not-matched",
        ".filters[0].urlRewrite.path",
        7,
    );
    row(
        "filters:\n- type: URLRewrite\n  urlRewrite: {path: {type: ReplaceFullPath}}",
        "missing-field",
        ".filters[0].urlRewrite.path.replaceFullPath",
        4,
    );
    let mirror =
        "filters:\n- type: RequestMirror\n  requestMirror:\n    backendRef: {name: a, port: 1}\n    ";
    row(
        &format!("{mirror}fraction: {{numerator: 2, denominator: 1}}"),
        "out-of-range",
        ".filters[0].requestMirror.fraction",
        6,
    );
    row(
        "filters:\n- type: CORS\n  cors: {allowMethods: ['*', GET]}",
        "star-with-others",
        ".filters[0].cors.allowMethods",
        4,
    );
}

/// Below a Gateway's head, on the third line: a listener whose protocol is not served, and what else is said of it.
#[track_caller]
fn unspoken(below: &str, (code, field): (&'static str, &str)) {
    let warning = |code, field: &str| (Severity::Warning, code, field.to_owned(), 8);
    let expected = [warning("protocol-not-served", "spec.listeners[1].protocol"), warning(code, field)];
    assert_eq!(said(&format!("{GATEWAY}{below}\n")), expected, "{below}");
}

#[test]
fn a_gateway_is_checked() {
    error(GATEWAY, "  listeners: []", ("wrong-number-of-items", "spec.listeners", 1));
    let row = |lines: &str, code, field: &str, line| {
        error(GATEWAY, &format!("  listeners:\n{lines}"), (code, &format!("spec.listeners{field}"), line));
    };
    row("  - {name: a, port: 80}", "missing-field", "[0].protocol", 2);
    row("  - {name: a, port: 70000, protocol: HTTP}", "out-of-range", "[0].port", 2);
    row("  - {name: A, port: 80, protocol: HTTP}", "malformed", "[0].name", 2);
    row(
        "  - {name: a, port: 80, protocol: HTTP}\n  - {name: b, port: 80, protocol: HTTP}",
        "duplicate-listener",
        "[1]",
        3,
    );
    row(
        "  - {name: a, port: 80, protocol: HTTP}\n  - {name: a, port: 81, protocol: HTTP}",
        "duplicate-item",
        "[1]",
        3,
    );
    row(
        "  - {name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: a}]}}",
        "tls-without-tls",
        "[0].tls",
        2,
    );
    row(
        "  - {name: a, port: 443, protocol: HTTPS, tls: {mode: Terminate}}",
        "missing-field",
        "[0].tls.certificateRefs",
        2,
    );
    row("  - {name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}}", "tls-mode", "[0].tls.mode", 2);
    let missing =
        "  listeners:\n  - {name: b, port: 80, protocol: HTTP}\n  - {name: a, port: 443, protocol: HTTPS}";
    unspoken(missing, ("tls-missing", "spec.listeners[1].tls"));
}

#[test]
fn the_inference_kinds_are_checked() {
    let pool = |lines: &str, code, field: &str, line| error(POOL, lines, (code, field, line));
    let selector = "  selector: {matchLabels: {a: b}}\n";
    pool("  selector: {matchLabels: {a: b}}", "missing-field", "spec.targetPorts", 0);
    pool(
        "  selector: {matchLabels: {}}\n  targetPorts: [{number: 1}]",
        "wrong-number-of-items",
        "spec.selector.matchLabels",
        1,
    );
    pool(
        "  selector: {matchLabels: {'a b': c}}\n  targetPorts: [{number: 1}]",
        "malformed",
        "spec.selector.matchLabels.a b",
        1,
    );
    pool(&format!("{selector}  targetPorts: []"), "wrong-number-of-items", "spec.targetPorts", 2);
    pool(
        &format!("{selector}  targetPorts: [{{number: 1}}, {{number: 1}}]"),
        "duplicate-item",
        "spec.targetPorts[1]",
        2,
    );
    let nine: Vec<String> = (1..=9).map(|port| format!("{{number: {port}}}")).collect();
    pool(
        &format!("{selector}  targetPorts: [{}]", nine.join(", ")),
        "wrong-number-of-items",
        "spec.targetPorts",
        2,
    );
    let ports = format!("{selector}  targetPorts: [{{number: 1}}]\n");
    pool(
        &format!("{ports}  endpointPickerRef: {{name: a}}"),
        "missing-field",
        "spec.endpointPickerRef.port",
        3,
    );
    pool(
        &format!("{ports}  endpointPickerRef: {{name: a, port: {{number: 1}}, failureMode: failopen}}"),
        "not-one-of",
        "spec.endpointPickerRef.failureMode",
        3,
    );
    pool(&format!("{ports}  appProtocol: http2"), "not-one-of", "spec.appProtocol", 3);
    error(OLD_POOL, "  selector: {a: b}\n  targetPortNumber: 1", ("missing-field", "spec.extensionRef", 0));
    let model = |lines: &str, code, field: &str, line| error(MODEL, lines, (code, field, line));
    model("  poolRef: {name: a}", "missing-field", "spec.modelName", 0);
    let name = "  modelName: a\n  poolRef: {name: a}\n";
    model(
        &format!("  modelName: {}\n  poolRef: {{name: a}}", "x".repeat(257)),
        "wrong-length",
        "spec.modelName",
        1,
    );
    model(&format!("{name}  criticality: High"), "not-one-of", "spec.criticality", 3);
    model(
        &format!("{name}  targetModels: [{{name: a, weight: 1}}, {{name: b}}]"),
        "some-weights",
        "spec.targetModels",
        3,
    );
    model(
        &format!("{name}  targetModels: [{{name: a, weight: 0}}]"),
        "out-of-range",
        "spec.targetModels[0].weight",
        3,
    );
}

#[test]
fn slices_and_services_are_checked() {
    error(SLICE, "endpoints: [{addresses: []}]", ("wrong-number-of-items", "endpoints[0].addresses", 1));
    error(SLICE, "endpoints: [{addresses: [a.example.com]}]", ("malformed", "endpoints[0].addresses[0]", 1));
    error(SLICE, "endpoints: [{addresses: ['10.0.0.1:80']}]", ("malformed", "endpoints[0].addresses[0]", 1));
    assert_eq!(said(&format!("{SLICE}endpoints: [{{addresses: [127.0.0.1]}}]")), []);
    let service = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n";
    error(service, "  ports: []", ("missing-field", "spec.ports", 1));
    error(
        service,
        "  ports:\n  - port: 1\n  - {name: b, port: 2}",
        ("missing-field", "spec.ports[0].name", 2),
    );
    error(service, "  type: Nodeport\n  ports: [{port: 1}]", ("not-one-of", "spec.type", 1));
}

/// A world that is right: a Gateway, its class, a pool with an endpoint, and a Service.
const WORLD: &str = "\
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  gatewayClassName: pointsman
  listeners:
  - {name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: pool}
spec:
  selector: {matchLabels: {app: pool}}
  targetPorts: [{number: 8000}]
---
apiVersion: v1
kind: Pod
metadata: {name: pod, labels: {app: pool}}
status: {podIP: 127.0.0.1}
---
apiVersion: v1
kind: Service
metadata: {name: service}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: service, labels: {kubernetes.io/service-name: service}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [127.0.0.1]}]
";

/// What is said of an object in [`WORLD`].
fn in_world(object: &str) -> Vec<(&'static str, String, u32)> {
    let all = said(&format!("{object}\n{WORLD}"));
    all.into_iter().map(|(_, code, field, line)| (code, field, line)).collect()
}

/// A route to the Gateway of [`WORLD`] with these backendRefs.
fn route_to(backends: &str) -> String {
    format!("{ROUTE}  parentRefs: [{{name: gateway}}]\n  rules:\n  - backendRefs:\n{backends}")
}

#[test]
fn a_world_that_is_right_gives_no_finding() {
    let pool = "    - {group: inference.networking.k8s.io, kind: InferencePool, name: pool}";
    assert_eq!(in_world(&route_to(pool)), []);
    assert_eq!(in_world(&route_to("    - {name: service, port: 80}")), []);
}

#[test]
fn what_a_route_sends_to_is_checked() {
    let at = "spec.rules[0].backendRefs";
    let row = |backend: &str, code, field: &str| {
        let found = in_world(&route_to(&format!("    - {backend}")));
        assert_eq!(found, [(code, format!("{at}{field}"), 9)], "{backend}");
    };
    row("{kind: InferencePool, name: pool}", "group-missing", "[0]");
    row(
        "{group: inference.networking.x-k8s.io, kind: InferencePool, name: pool}",
        "backend-not-found",
        "[0].name",
    );
    row("{name: other, port: 80}", "backend-not-found", "[0].name");
    row("{name: service, port: 81}", "port-not-found", "[0].port");
    row("{name: service, namespace: other, port: 80}", "reference-not-granted", "[0]");
    row("{group: example.com, kind: Bucket, name: a}", "backend-kind-not-served", "[0].kind");
    let found = in_world(&route_to("    - {name: service, port: 80, weight: 0}"));
    assert_eq!(found, [("no-weight", at.to_owned(), 8)]);
    let service = |name: &str, spec: &str| {
        let service = format!("---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {spec}");
        in_world(&format!("{}\n{service}", route_to(&format!("    - {{name: {name}, port: 80}}"))))
    };
    let name = || format!("{at}[0].name");
    assert_eq!(service("lonely", "{ports: [{port: 80}]}"), [("service-without-endpoints", name(), 9)]);
    let elsewhere = "{type: ExternalName, externalName: a.example.com, ports: [{port: 80}]}";
    assert_eq!(service("elsewhere", elsewhere), [("service-not-served", name(), 9)]);
}

#[test]
fn a_rule_that_answers_500_is_an_error_whatever_the_reason() {
    let of = |rule: &str| {
        said(&format!("{ROUTE}  parentRefs: [{{name: gateway}}]\n  rules:\n  - {rule}\n{WORLD}"))
    };
    let at = |field: &str| format!("spec.rules[0]{field}");
    let expected = [
        (Severity::Warning, "unknown-field", at(".backendRef"), 8),
        (Severity::Error, "no-backend", at(""), 8),
    ];
    assert_eq!(of("backendRef: [{name: service, port: 80}]"), expected, "a slip of the pen");
    let redirect = "filters: [{type: RequestRedirect, requestRedirect: {port: 1}}]";
    assert_eq!(of(redirect), []);
    let served =
        |filter: &str| of(&format!("backendRefs: [{{name: service, port: 80}}]\n    filters: [{filter}]"));
    let not_served = [(Severity::Error, "filter-not-served", at(".filters[0].type"), 9)];
    for filter in [
        "{type: CORS, cors: {}}",
        "{type: ExtensionRef, extensionRef: {group: a.b, kind: C, name: d}}",
        "{type: RequestHeaderModifier, requestHeaderModifier: {remove: ['a b']}}",
        "{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: a, value: \"a\\n\"}]}}",
    ] {
        assert_eq!(served(filter), not_served, "{filter}");
    }
    assert_eq!(
        served("{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: a, value: b}]}}"),
        []
    );
    let huge = "matches: [{path: {type: RegularExpression, value: 'a{1000}{1000}'}}]";
    assert_eq!(of(huge)[0].1, "not-a-regular-expression", "it would never match");
}

#[test]
fn a_reference_grant_lets_a_route_send_to_another_namespace() {
    let other = "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: service, namespace: other}\nspec: {ports: [{port: 80}]}
---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice
metadata: {name: service, namespace: other, labels: {kubernetes.io/service-name: service}}
addressType: IPv4\nports: [{port: 80}]\nendpoints: [{addresses: [127.0.0.1]}]";
    let grant = "\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\nmetadata: {name: g, namespace: other}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]
  to: [{group: '', kind: Service}]";
    let route = route_to("    - {name: service, namespace: other, port: 80}");
    assert_eq!(in_world(&format!("{route}{other}")).len(), 1);
    assert_eq!(in_world(&format!("{route}{other}{grant}")), []);
}

#[test]
fn the_parents_of_a_route_are_checked() {
    let backend = "\n  rules: [{backendRefs: [{name: service, port: 80}]}]";
    let row = |below: &str, code, field: &str| {
        let found = in_world(&format!("{ROUTE}{below}{backend}"));
        assert_eq!(found, [(code, field.to_owned(), 6)], "{below}");
    };
    row("  parentRefs: [{name: other}]", "parent-not-found", "spec.parentRefs[0].name");
    row(
        "  parentRefs: [{name: gateway, sectionName: other}]",
        "listener-not-found",
        "spec.parentRefs[0].sectionName",
    );
    row("  parentRefs: [{name: gateway, port: 81}]", "listener-not-found", "spec.parentRefs[0].port");
    row("  parentRefs: [{kind: Service, group: '', name: a}]", "parent-not-served", "spec.parentRefs[0]");
    row(
        "  hostnames: [a.example.org]\n  parentRefs: [{name: gateway}]",
        "hostname-outside-listener",
        "spec.hostnames",
    );
    for inside in ["a.example.com", "a.b.example.com", "'*.example.com'", "'*.a.example.com'", "'*.com'"] {
        let route = format!("{ROUTE}  parentRefs: [{{name: gateway}}]\n  hostnames: [{inside}]{backend}");
        assert_eq!(in_world(&route), [], "{inside}");
    }
    let elsewhere = ROUTE.replace("name: route", "name: route\n  namespace: other");
    let rule = "\n  rules: [{backendRefs: [{name: service, namespace: default, port: 80}]}]";
    let found = in_world(&format!("{elsewhere}  parentRefs: [{{name: gateway, namespace: default}}]{rule}"));
    let codes: Vec<_> = found.iter().map(|(code, _, _)| *code).collect();
    assert_eq!(codes, ["route-not-allowed", "reference-not-granted"]);
}

/// Two Services of endpoint pickers; only one has an endpoint.
const EPP: &str = "
---
apiVersion: v1
kind: Service
metadata: {name: epp}
spec: {ports: [{port: 9002}]}
---
apiVersion: v1
kind: Service
metadata: {name: lonely}
spec: {ports: [{port: 9002}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: epp, labels: {kubernetes.io/service-name: epp}}
addressType: IPv4
ports: [{port: 9002}]
endpoints: [{addresses: [10.0.0.9]}]";

#[test]
fn what_the_inference_kinds_refer_to_is_checked() {
    let pool = "  selector: {matchLabels: {app: none}}\n  targetPorts: [{number: 1}]";
    let found = in_world(&format!("{}{pool}", POOL.replace("name: pool", "name: empty")));
    assert_eq!(found, [("pool-without-endpoints", "spec.selector".to_owned(), 6)]);
    let old =
        format!("{OLD_POOL}  selector: {{app: pool}}\n  targetPortNumber: 1\n  extensionRef: {{name: epp}}");
    assert_eq!(in_world(&old), [("endpoint-picker-not-found", "spec.extensionRef.name".to_owned(), 8)]);
    let asks = |service: &str, port: u16| {
        let reference = format!("  endpointPickerRef: {{name: {service}, port: {{number: {port}}}}}");
        let pool = "  selector: {matchLabels: {app: pool}}\n  targetPorts: [{number: 1}]";
        let found =
            in_world(&format!("{}{pool}\n{reference}{EPP}", POOL.replace("name: pool", "name: asks")));
        found.into_iter().map(|(code, field, _)| (code, field)).collect::<Vec<_>>()
    };
    assert_eq!(asks("epp", 9002), []);
    let unready = [("endpoint-picker-without-endpoints", "spec.endpointPickerRef.name".to_owned())];
    assert_eq!(asks("epp", 9003), unready, "a port that it does not have");
    assert_eq!(asks("lonely", 9002), unready, "no endpoint");
    let lost = in_world(&format!("{MODEL}  modelName: a\n  poolRef: {{name: other}}"));
    assert_eq!(lost, [("pool-not-found", "spec.poolRef.name".to_owned(), 7)]);
    let model = format!("{MODEL}  modelName: a\n  poolRef: {{name: pool}}");
    let younger = model.replace("name: model", "name: younger\n  creationTimestamp: 2026-01-01T00:00:00Z");
    let found = in_world(&format!("{younger}\n---\n{model}"));
    assert_eq!(found, [("model-name-in-use", "spec.modelName".to_owned(), 7)]);
}

/// What is told to the endpoint picker of `default/pool`, rule and message.
fn told_to_the_picker(manifest: &str) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("manifest.yaml"), manifest).unwrap();
    let picker = Audience::EndpointPicker(vec![(ObjectName::new("default", "pool"), None)]);
    let told = Folder::new(&[folder.path().to_owned()]).read_by(picker).load();
    told.findings.into_iter().map(|finding| (finding.code, finding.message)).collect()
}

#[test]
fn a_pool_of_another_group_is_told_to_its_picker_too_and_a_pool_that_is_away_is_not() {
    let old = MODEL.replace("InferenceModel", "InferenceObjective")
        + "  poolRef: {group: inference.networking.x-k8s.io, name: pool}";
    let told = "no InferencePool `pool` of group `inference.networking.x-k8s.io` in namespace `default`: it has no effect; \
                it is of the group `inference.networking.k8s.io` here";
    assert_eq!(told_to_the_picker(&format!("{old}\n{WORLD}")), [("pool-not-found", told.to_owned())]);
    assert_eq!(findings(&format!("{old}\n{WORLD}"))[0].message, told);
    let away = WORLD.replace("metadata: {name: pool}", "metadata: {name: another}");
    assert_ne!(away, WORLD);
    assert_eq!(told_to_the_picker(&format!("{old}\n{away}")), [], "it says so itself");
}

#[test]
fn a_picker_says_what_it_answers_for_a_pool_that_is_away() {
    let route = route_to("    - {group: inference.networking.k8s.io, kind: InferencePool, name: pool}");
    let away = WORLD.replace("metadata: {name: pool}", "metadata: {name: another}");
    let told = "the InferencePool default/pool is not declared: this endpoint picker answers its requests with 503; \
                there are: another";
    let manifest = format!("{route}\n{away}");
    assert_eq!(told_to_the_picker(&manifest), [("backend-not-found", told.to_owned())]);
    assert!(findings(&manifest)[0].message.contains("its requests get 500"));
}

#[test]
fn what_a_gateway_refers_to_is_checked() {
    let class = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: other}\nspec: {controllerName: a.b/c}";
    assert_eq!(in_world(class), [("gateway-class-not-found", "spec.gatewayClassName".to_owned(), 10)]);
    let below = "  listeners: [{name: a, port: 1, protocol: HTTP}]\n  infrastructure: {parametersRef: {group: '', kind: ConfigMap, name: a}}";
    let at = "spec.infrastructure.parametersRef.name";
    error(GATEWAY, below, ("config-map-not-found", at, 2));
    let http = "  listeners:\n  - {name: b, port: 2, protocol: HTTP}\n";
    let tls =
        format!("{http}  - {{name: a, port: 1, protocol: HTTPS, tls: {{certificateRefs: [{{name: a}}]}}}}");
    unspoken(&tls, ("secret-not-found", "spec.listeners[1].tls.certificateRefs[0].name"));
    let tcp = "  - {name: a, port: 1, protocol: TCP}";
    warning(GATEWAY, &format!("{http}{tcp}"), ("protocol-not-served", "spec.listeners[1].protocol", 3));
    let alone: Vec<_> =
        said(&format!("{GATEWAY}  listeners:\n{tcp}\n")).into_iter().map(|said| said.1).collect();
    assert_eq!(alone, ["no-listener", "protocol-not-served"], "there is nothing to listen on");
    let twin = WORLD.replace("{name: gateway}", "{name: younger, creationTimestamp: 2026-01-01T00:00:00Z}");
    let twin = twin.split("---").nth(1).unwrap();
    assert_eq!(in_world(twin), [("listener-taken", "spec.listeners[0]".to_owned(), 8)]);
}

#[test]
fn of_two_objects_with_one_name_the_first_by_file_stands_whatever_their_age() {
    let folder = tempfile::tempdir().unwrap();
    let map = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: {value}}}\n")
    };
    std::fs::write(folder.path().join("b.yaml"), map("second")).unwrap();
    std::fs::write(folder.path().join("a.yaml"), map("first")).unwrap();
    let load = resources::Folder::new([folder.path()]).load();
    assert_eq!(load.store.config_maps.values().next().unwrap().data["k"], "first");
    let [finding] = &load.findings[..] else { panic!("{:?}", load.findings) };
    assert_eq!(
        (finding.code, &*finding.origin.file),
        ("duplicate-object", folder.path().join("b.yaml").as_path())
    );
    assert!(finding.message.contains("a.yaml line 1"), "{}", finding.message);
}

#[test]
fn a_file_without_an_object_is_a_warning_where_others_have_some() {
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let told = told_of(&[("a.yaml", map), ("b.yaml", ""), ("c.yaml", "# all is commented out\n")]);
    assert_eq!(
        told,
        ["b.yaml empty-file: no object in this file", "c.yaml empty-file: no object in this file",]
    );
    let codes: Vec<_> = of_files(&[("a.yaml", b""), ("b.yaml", b"")]).iter().map(|f| f.code).collect();
    assert_eq!(codes, ["nothing-declared"]);
}

#[test]
fn a_body_based_router_misses_nothing_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let of = |audience| Folder::new(&[folder.path().to_owned()]).read_by(audience).load().findings.len();
    assert_eq!((of(Audience::Gateway), of(Audience::BodyBasedRouter)), (1, 0));
}

#[test]
fn a_gateway_without_a_route_and_a_pool_without_a_rule_are_warnings() {
    let codes = |text: String| {
        let all = of_files(&[("a.yaml", text.as_bytes())]);
        all.into_iter().map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(WORLD.to_owned()), ["gateway-without-route"]);
    let to_pool = "{group: inference.networking.k8s.io, kind: InferencePool, name: pool}";
    assert_eq!(codes(format!("{}\n{WORLD}", route_to(&format!("    - {to_pool}")))), [""; 0]);
    let to_service = route_to("    - {name: service, port: 80}");
    assert_eq!(codes(format!("{to_service}\n{WORLD}")), ["pool-without-route"]);
    let mirror = format!(
        "{to_service}\n    filters: [{{type: RequestMirror, requestMirror: {{backendRef: {to_pool}}}}}]"
    );
    assert_eq!(codes(format!("{mirror}\n{WORLD}")), [""; 0]);
    let lone_pool = WORLD.split("---").skip(2).collect::<Vec<_>>().join("---");
    assert_eq!(codes(lone_pool), [""; 0], "it is for an endpoint picker");
}

#[test]
fn what_refers_to_a_refused_object_is_told_so() {
    let pool = "{group: inference.networking.k8s.io, kind: InferencePool, name: pool}";
    let route = route_to(&format!("    - {pool}"));
    let files = |world: &str| told_of(&[("route.yaml", &route), ("world.yaml", world)]);
    assert_eq!(files(WORLD), [""; 0]);
    assert_eq!(
        files(&WORLD.replace("number: 8000", "number: 800000")),
        [
            "route.yaml:9 backend-not-found: InferencePool `default/pool` is declared in world.yaml:10, but refused there: \
         its requests get 500",
            "world.yaml:15 out-of-range: 800000 must be from 1 to 65535",
        ]
    );
    assert_eq!(
        files(&WORLD.replace("{name: http, port: 80,", "{name: http, port: 0,")),
        [
            "route.yaml:6 parent-not-found: Gateway `default/gateway` is declared in world.yaml:2, but refused there: \
         the route does not attach",
            "world.yaml:8 out-of-range: 0 must be from 1 to 65535",
        ]
    );
    let no_pod = WORLD.replace("status: {podIP: 127.0.0.1}", "status: {podIP: 127.0.0.1, conditions: 1}");
    assert_eq!(files(&no_pod), ["world.yaml:20 wrong-type: must be a list, but is the number 1"]);
    let twice =
        WORLD.replace("  gatewayClassName: pointsman\n", "  gatewayClassName: a\n  gatewayClassName: b\n");
    let told = files(&twice);
    let unread = "it may stand in world.yaml:";
    assert!(told.iter().any(|line| line.contains("parent-not-found") && line.contains(unread)), "{told:?}");
    assert!(told.iter().any(|line| line.contains("backend-not-found") && line.contains(unread)), "{told:?}");
}

#[test]
fn an_expression_beside_a_rule_of_everything_is_never_met() {
    let codes = |all: &str| {
        let backend = "backendRefs: [{name: service, port: 80}]";
        let expression = "matches: [{path: {type: RegularExpression, value: '/v[12]/.*'}}]";
        let route = format!(
            "{ROUTE}  parentRefs: [{{name: gateway}}]\n  rules:\n  - {{{expression}, {backend}}}\n  - {{{all}{backend}}}"
        );
        in_world(&route)
    };
    let never = [("expression-never-met", "spec.rules[0].matches[0].path".to_owned(), 8)];
    assert_eq!(codes(""), never);
    assert_eq!(codes("matches: [{}], "), never);
    assert_eq!(codes("matches: [{path: {type: PathPrefix, value: /}}], "), never);
    for narrower in [
        "path: {value: /v1}",
        "method: GET",
        "headers: [{name: a, value: b}]",
        "queryParams: [{name: a, value: b}]",
        "path: {type: RegularExpression, value: '.*'}",
    ] {
        assert_eq!(codes(&format!("matches: [{{{narrower}}}], ")), [], "{narrower}");
    }
}

#[test]
fn an_object_with_an_error_may_be_a_second_declaration_as_well() {
    let good = format!("{POOL}  selector: {{matchLabels: {{app: a}}}}\n  targetPorts: [{{number: 1}}]\n");
    let bad = good.replace("number: 1", "number: 0");
    let duplicates = |files: [&str; 2]| {
        let told = told_of(&[("a.yaml", files[0]), ("b.yaml", files[1])]);
        told.into_iter().filter(|line| line.contains("duplicate-object")).collect::<Vec<_>>()
    };
    let second = "b.yaml:4 duplicate-object: declared before in a.yaml line 1; rename or remove one of them";
    assert_eq!(duplicates([&good, &bad]), [second]);
    assert_eq!(duplicates([&bad, &good]), [second]);
    assert_eq!(duplicates([&bad, &bad]), [second]);
    let other = good.replace("inference.networking.k8s.io/v1", "inference.networking.x-k8s.io/v1alpha2");
    assert_eq!(duplicates([&bad, &other]), [""; 0], "another group");
    let nameless = "kind: Service\nspec: {}\n";
    assert_eq!(duplicates([nameless, nameless]), [""; 0], "without a name");
}

#[test]
fn what_is_no_regular_expression_and_what_is_not_utf8_is_said_in_one_voice() {
    let route =
        format!("{ROUTE}  rules:\n  - matches: [{{path: {{type: RegularExpression, value: '/(a'}}}}]\n");
    let told = told_of(&[("a.yaml", &route)]);
    assert!(told[0].ends_with(": not a regular expression: unclosed group"), "{told:?}");
    let [finding] = &of_files(&[("u.yaml", b"kind: K\xf6ln\n")])[..] else { panic!("one") };
    assert_eq!((finding.code, &*finding.message), ("not-yaml", "not UTF-8: byte 8 of the text is 0xf6"));
}

#[test]
fn an_object_with_an_error_is_not_served_and_one_with_a_warning_is() {
    let folder = tempfile::tempdir().unwrap();
    let bad = format!("{POOL}  selector: {{}}\n");
    let odd = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nsurprise: 1\n";
    std::fs::write(folder.path().join("a.yaml"), format!("{bad}{odd}")).unwrap();
    let load = resources::Folder::new([folder.path()]).load();
    assert_eq!((load.store.inference_pools.len(), load.store.config_maps.len()), (0, 1));
}

#[test]
fn a_few_lines_cannot_become_gigabytes() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(",");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    assert_eq!(findings(&bomb)[0].code, "not-yaml");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(findings(&deep)[0].code, "not-yaml");
}

#[test]
fn a_config_map_of_base_models_is_checked() {
    let map = |label: &str, data: &str| {
        said(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, labels: {{{label}: 'true'}}}}\ndata:\n{data}\n"
        ))
    };
    let managed = "inference.networking.k8s.io/bbr-managed";
    let wrong = |field: &str, line| [(Severity::Error, "base-model-not-read", format!("data{field}"), line)];
    assert_eq!(map(managed, "  baseModel: gemma\n  adapters: '- food'"), []);
    assert_eq!(map(managed, "  adapters: '- food'"), wrong(".baseModel", 4));
    assert_eq!(map(managed, "  baseModel: \"two\\nlines\""), wrong(".baseModel", 5));
    assert_eq!(map(managed, "  baseModel: gemma\n  adapters: food"), wrong(".adapters", 6));
    assert_eq!(map("app", "  adapters: food"), [], "it is for something else");
}
