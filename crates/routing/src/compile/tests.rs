use super::*;
use crate::{Arrived, Model, RequestHead, Walk};
use http::HeaderMap;

/// A backend is its name; names that begin with `pool` are pools.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named(Arc<str>);

impl Destination for Named {
    fn kind(&self) -> DestinationKind {
        if self.0.starts_with("pool") { DestinationKind::Pool } else { DestinationKind::Plain }
    }

    fn broken(_: Arc<str>) -> Named {
        Named(Arc::from("broken"))
    }
}

fn route(spec: &str) -> HttpRoute {
    let indented = spec.replace('\n', "\n  ");
    serde_saphyr::from_str(&format!("metadata: {{name: r}}\nspec:\n  {indented}")).unwrap()
}

fn compiled(route: &HttpRoute) -> RouteTable<Named> {
    let attached = Attached { route, hosts: Arc::new([]) };
    compile([attached], &mut |_, target| Named(target.name.clone()))
}

fn walk<'t>(table: &'t RouteTable<Named>, path: &str, model: Model<'_>) -> Option<&'t Rule<Named>> {
    let headers = HeaderMap::from_iter([(HeaderName::from_static("x-a"), HeaderValue::from_static("1"))]);
    let head = RequestHead { method: &Method::POST, host: "h", path, query: Some("q=1"), headers: &headers };
    match table.walk(&head, model) {
        Walk::Rule(rule) => Some(rule),
        Walk::ReadBody | Walk::Nothing { .. } => None,
    }
}

#[test]
fn a_rule_has_its_name_its_limits_and_its_backends() {
    let route = route(
        "rules:
- name: first
  matches:
  - path: {value: /other}
  - headers:
    - {name: X-Gateway-Model-Name, value: chatbot}
    - {name: x-gateway-model-name, value: ignored}
    - {name: X-A, value: '1'}
    - {name: x-a, value: ignored}
    queryParams: [{name: q, value: '1'}, {name: q, value: ignored}]
    method: POST
  backendRefs: [{name: pool-a, weight: 0}, {name: service, weight: 3}]
  timeouts: {request: 10s, backendRequest: 0s}
  retry: {codes: [503, 500], attempts: 2, backoff: 100ms}",
    );
    let table = compiled(&route);
    let rule = walk(&table, "/", Model::Named("chatbot")).unwrap();
    assert_eq!(&*rule.label, "default/r rule 0 match 1");
    assert_eq!((rule.rule_name.as_deref(), rule.rule_index, rule.match_index), (Some("first"), 0, 1));
    assert_eq!(rule.timeouts.request, Some(std::time::Duration::from_secs(10)));
    assert_eq!(rule.timeouts.backend_request, None, "zero is no limit");
    let retry = rule.retry.as_ref().unwrap();
    assert_eq!(
        (&retry.codes[..], retry.attempts),
        (&[StatusCode::SERVICE_UNAVAILABLE, StatusCode::INTERNAL_SERVER_ERROR][..], Some(2))
    );
    assert!(!rule.has_pool_backend(), "a pool without a share gets no request");
    assert_eq!(&*rule.draw(&mut fastrand::Rng::with_seed(1)).unwrap().backend.0, "service");
    assert!(walk(&table, "/", Model::Named("recommender")).is_none());
    assert!(walk(&table, "/", Model::Unread).is_none());
}

#[test]
fn a_rule_without_matches_takes_everything() {
    let route = route("rules: [{backendRefs: [{name: pool-a}]}]");
    let table = compiled(&route);
    let rule = walk(&table, "/any/path", Model::Unread).unwrap();
    assert!(rule.has_pool_backend());
}

#[test]
fn a_broken_expression_never_matches() {
    let route = route(
        "rules:
- matches:
  - path: {type: RegularExpression, value: '/(a'}
  - headers: [{type: RegularExpression, name: X-Gateway-Model-Name, value: 'a{1000}{1000}'}]
  - path: {value: /fine}",
    );
    let table = compiled(&route);
    assert!(walk(&table, "/(a", Model::Absent).is_none());
    assert_eq!(walk(&table, "/fine", Model::Absent).unwrap().match_index, 2);
}

#[test]
fn a_filter_that_is_not_supported_breaks_its_rule_or_backend() {
    let route = route(
        "rules:
- matches: [{path: {value: /rule}}]
  filters: [{type: RequestRedirect, requestRedirect: {}}, {type: ExtensionRef}]
  backendRefs: [{name: pool-a}]
- matches: [{path: {value: /backend}}]
  backendRefs: [{name: a, filters: [{type: CORS, cors: {}}]}, {name: b}]
- matches: [{path: {value: /header}}]
  filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: ['a b']}}]
  backendRefs: [{name: a}]",
    );
    let table = compiled(&route);
    let backends = |path| {
        let rule = walk(&table, path, Model::Absent).unwrap();
        assert!(!rule.has_pool_backend() && rule.filters.redirect.is_none());
        rule.backends.iter().map(|backend| backend.backend.0.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(backends("/rule"), ["broken"]);
    assert_eq!(backends("/backend"), ["broken", "b"]);
    assert_eq!(backends("/header"), ["broken"]);
}

#[test]
fn filters_of_the_rule_and_of_the_backend_both_run() {
    let route = route(
        "rules:
- matches: [{path: {value: /v1/}}]
  filters:
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: rule}], add: [{name: b, value: rule}]}}
  - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: c, value: rule}]}}
  - {type: URLRewrite, urlRewrite: {hostname: up.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /api}}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: copy}}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: never}, percent: 0}}
  backendRefs:
  - name: service
    filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: backend}], remove: [x-a]}}
    - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: c, value: backend}]}}",
    );
    let table = compiled(&route);
    let rule = walk(&table, "/v1/chat", Model::Unread).unwrap();
    let backend = &rule.backends[0];
    let mut headers = HeaderMap::from_iter([(HeaderName::from_static("x-a"), HeaderValue::from_static("1"))]);
    rule.change_request_headers(backend, &mut headers);
    assert_eq!(
        (&headers["a"], &headers["b"], headers.get("x-a")),
        (&"backend".parse().unwrap(), &"rule".parse().unwrap(), None)
    );
    rule.change_response_headers(backend, &mut headers);
    assert_eq!(headers["c"], "rule", "a response meets the backend's filters first");
    assert_eq!(rule.rewritten_path(backend, "/v1/chat").as_deref(), Some("/api/chat"));
    assert_eq!(rule.rewritten_host(backend).unwrap(), "up.example");
    let mut random = fastrand::Rng::with_seed(1);
    let mirrors: Vec<_> = rule.mirrors(backend, &mut random).map(|to| &*to.0).collect();
    assert_eq!(mirrors, ["copy"]);
}

#[test]
fn a_redirect_reads_no_body_and_tells_where_to_go() {
    let route = route(
        "rules:
- matches: [{path: {value: /old}}]
  filters:
  - type: RequestRedirect
    requestRedirect: {scheme: https, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}
  backendRefs: [{name: pool-a}]
- matches: [{path: {value: /wrong}}]
  filters: [{type: RequestRedirect, requestRedirect: {statusCode: 200}}]",
    );
    let table = compiled(&route);
    assert_eq!(&*walk(&table, "/wrong", Model::Absent).unwrap().backends[0].backend.0, "broken");
    let rule = walk(&table, "/old/page", Model::Unread).unwrap();
    assert!(!rule.has_pool_backend());
    let arrived = Arrived { scheme: "http", host: "h", port: 8080, path: "/old/page", query: Some("q=1") };
    let (status, location) = rule.redirect(&arrived).unwrap();
    assert_eq!(
        (status, location.to_str().unwrap()),
        (StatusCode::MOVED_PERMANENTLY, "https://h/new/page?q=1")
    );
}
