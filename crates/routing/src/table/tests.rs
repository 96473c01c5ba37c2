use super::*;
use crate::matching::ValueMatch;
use crate::rule::{Timeouts, Weighted};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use proptest::sample::select;
use resources::ObjectName;
use resources::anchored;
use std::cmp::Reverse;

fn entry(name: &str, hosts: &[&str], matching: Match, created: Option<i64>) -> Entry<()> {
    let hosts: Vec<Arc<str>> = hosts.iter().map(|&host| Arc::from(host)).collect();
    let rule = Rule {
        label: Arc::from(name),
        route: ObjectName { namespace: Arc::from("default"), name: Arc::from(name) },
        rule_index: 0,
        match_index: 0,
        rule_name: None,
        backends: vec![Weighted { weight: 1, backend: (), filters: None }],
        filters: Arc::default(),
        timeouts: Timeouts::default(),
        retry: None,
        prefix: None,
        has_pool_backend: false,
    };
    Entry { hosts: hosts.into(), matching, rule, created }
}

fn model(name: &str) -> Match {
    Match { model: Some(ValueMatch::Exact(Arc::from(name))), ..Match::any() }
}

fn walk(table: &RouteTable<()>, host: &str, path: &str, model: Model<'_>) -> String {
    let headers = HeaderMap::new();
    let head = RequestHead { method: &Method::POST, host, path, query: None, headers: &headers };
    told(&table.walk(&head, model))
}

fn told(walk: &Walk<'_, ()>) -> String {
    match walk {
        Walk::Rule(rule) => rule.label.to_string(),
        Walk::ReadBody => "read".to_owned(),
        Walk::Nothing { for_want_of_model } => format!("nothing {for_want_of_model}"),
    }
}

#[test]
fn the_body_is_read_only_if_a_rule_that_tests_the_model_comes_first() {
    let deep = Match { path: PathMatch::prefix("/static"), ..Match::any() };
    let table = RouteTable::build(vec![
        entry("chatbot", &[], model("chatbot"), None),
        entry("static", &[], deep, None),
        entry("rest", &[], Match::any(), None),
    ]);
    assert_eq!(walk(&table, "h", "/static/logo.png", Model::Unread), "static");
    assert_eq!(walk(&table, "h", "/v1/completions", Model::Unread), "read");
    assert_eq!(walk(&table, "h", "/v1/completions", Model::Named("chatbot")), "chatbot");
    assert_eq!(walk(&table, "h", "/v1/completions", Model::Named("other")), "rest");
    assert_eq!(walk(&table, "h", "/v1/completions", Model::Absent), "rest");
}

#[test]
fn a_walk_that_fails_tells_whether_it_was_for_want_of_a_model() {
    let v1 = Match { path: PathMatch::prefix("/v1"), ..model("chatbot") };
    let table = RouteTable::build(vec![entry("chatbot", &[], v1, None)]);
    assert_eq!(walk(&table, "h", "/v1/completions", Model::Absent), "nothing true");
    assert_eq!(walk(&table, "h", "/v1/completions", Model::Named("other")), "nothing true");
    assert_eq!(walk(&table, "h", "/v2", Model::Absent), "nothing false");
    assert_eq!(walk(&table, "h", "/v2", Model::Unread), "nothing false");
}

#[test]
fn the_clients_own_model_header_does_not_count() {
    let table = RouteTable::build(vec![entry("chatbot", &[], model("chatbot"), None)]);
    let headers = HeaderMap::from_iter([(journey::headers::MODEL_NAME, HeaderValue::from_static("chatbot"))]);
    let head = RequestHead { method: &Method::POST, host: "h", path: "/", query: None, headers: &headers };
    assert_eq!(told(&table.walk(&head, Model::Named("other"))), "nothing true");
}

#[test]
fn the_more_specific_hostname_goes_first_and_hides_nothing() {
    let old = |path| Match { path: PathMatch::prefix(path), ..Match::any() };
    let table = RouteTable::build(vec![
        entry("every", &[], old("/every"), Some(1)),
        entry("wide", &["*.com"], old("/a/b/c"), Some(2)),
        entry("narrow", &["*.example.com"], old("/a/b"), Some(3)),
        entry("exact", &["x.example.com"], old("/a"), Some(4)),
    ]);
    assert_eq!(walk(&table, "x.example.com", "/a/b/c", Model::Absent), "exact");
    assert_eq!(walk(&table, "y.example.com", "/a/b/c", Model::Absent), "narrow");
    assert_eq!(walk(&table, "example.com", "/a/b/c", Model::Absent), "wide");
    assert_eq!(walk(&table, "x.example.com", "/every", Model::Absent), "every");
    assert_eq!(walk(&table, "example.org", "/a", Model::Absent), "nothing false");
}

#[test]
fn models_of_a_host_are_told_sorted_and_each_once() {
    let mut entries: Vec<_> =
        (0..40).map(|n| entry(&format!("r{n}"), &["a.b"], model(&format!("m{n:02}")), None)).collect();
    for (name, host, asks) in
        [("every", None, "a-model"), ("again", Some("*.b"), "m00"), ("wide", Some("*.b"), "n")]
    {
        entries.push(entry(name, host.as_slice(), model(asks), None));
    }
    let table = RouteTable::build(entries);
    let told: Vec<&str> = table.models("a.b").collect();
    assert_eq!((told.len(), told[0], told[1], told[41]), (42, "a-model", "m00", "n"));
    assert!(told.is_sorted());
    assert!(table.models("other").eq(["a-model"]));
}

#[test]
fn of_five_thousand_routes_a_walk_looks_at_those_that_may_match() {
    let by_model = |n: usize| entry(&format!("r{n}"), &[], model(&format!("m{n}")), None);
    let by_host = |n: usize| entry(&format!("r{n}"), &[&format!("h{n}.example")], Match::any(), None);
    let by_path = |n: usize| {
        let path = PathMatch::prefix(&format!("/tenant/{n}"));
        entry(&format!("r{n}"), &[], Match { path, ..Match::any() }, None)
    };
    let looked_at = |build: &dyn Fn(usize) -> Entry<()>| {
        let table = RouteTable::build((0..5_000).map(build).collect());
        let (headers, host, path) = (HeaderMap::new(), "h4321.example", "/tenant/4321/v1");
        let head = RequestHead { method: &Method::POST, host, path, query: None, headers: &headers };
        let model = Model::Named("m4321");
        assert_eq!(told(&table.walk(&head, model)), "r4321");
        table.buckets(&head).flat_map(|bucket| bucket.ranks(model)).count()
    };
    assert_eq!((looked_at(&by_model), looked_at(&by_host), looked_at(&by_path)), (1, 1, 1));
}

/// What the standard says, word for word, over all rules at once.
fn reference(entries: &[Entry<()>], head: &RequestHead<'_>, model: Model<'_>) -> String {
    let host_rank = |pattern: &str| match pattern.strip_prefix('*') {
        None => (head.host == pattern).then_some((Reverse(pattern.len()), Reverse(pattern.len()))),
        Some(suffix) => (head.host.len() > suffix.len() && head.host.ends_with(suffix))
            .then_some((Reverse(0), Reverse(pattern.len()))),
    };
    let rank = |entry: &Entry<()>| {
        if entry.hosts.is_empty() {
            return Some((Reverse(0), Reverse(0)));
        }
        entry.hosts.iter().filter_map(|host| host_rank(host)).min()
    };
    let mut matching: Vec<_> = entries
        .iter()
        .filter(|entry| entry.matching.fits_head(head))
        .filter_map(|entry| Some(((rank(entry)?, entry.precedence()), entry)))
        .collect();
    matching.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, entry) in &matching {
        match entry.matching.fits_model(model) {
            ModelVerdict::Fits => return entry.rule.label.to_string(),
            ModelVerdict::Unknown => return "read".to_owned(),
            ModelVerdict::Differs => {}
        }
    }
    format!("nothing {}", matching.iter().any(|(_, entry)| entry.matching.model.is_some()))
}

const HOSTS: [&str; 6] = ["a.b", "x.a.b", "*.b", "*.a.b", "b", "c"];
const PATHS: [&str; 7] = ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/é/b"];

fn any_path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        1 => select(&PATHS[..]).prop_map(|path| PathMatch::Exact(Arc::from(path))),
        4 => select(&PATHS[..]).prop_map(PathMatch::prefix),
        8 => Just(PathMatch::prefix("/")),
        1 => select(&["/a.*", "/(a|b)/.*", ".*"][..]).prop_map(|path| PathMatch::Regex(anchored(path).unwrap())),
    ]
}

fn any_model() -> impl Strategy<Value = Option<ValueMatch>> {
    prop_oneof![
        1 => Just(None),
        4 => select(&["m", "n", "o"][..]).prop_map(|model| Some(ValueMatch::Exact(Arc::from(model)))),
        1 => Just(Some(ValueMatch::Regex(anchored("m|p.*").unwrap()))),
    ]
}

/// Often none: then buckets grow large enough to be indexed.
fn any_hosts() -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![Just(Vec::new()), proptest::collection::vec(select(&HOSTS[..]), 1..3)]
}

prop_compose! {
    fn any_match()(
        path in any_path(),
        method in proptest::option::weighted(0.2, select(&[Method::GET, Method::POST][..])),
        model in any_model(),
        header in proptest::option::weighted(0.2, select(&["1", "2"][..])),
        query in proptest::option::weighted(0.2, select(&["1", "2"][..])),
    ) -> Match {
        let exact = |value| ValueMatch::Exact(Arc::from(value));
        let headers = header.map(|value| (HeaderName::from_static("h"), exact(value)));
        let query = query.map(|value| (Arc::from("q"), exact(value)));
        Match { path, method, model, headers: headers.into_iter().collect(), query: query.into_iter().collect() }
    }
}

prop_compose! {
    fn any_entries()(
        parts in proptest::collection::vec(
            (any_hosts(), any_match(), proptest::option::of(0_i64..3)),
            0..150,
        ),
    ) -> Vec<Entry<()>> {
        let numbered = parts.into_iter().enumerate();
        numbered
            .map(|(number, (mut hosts, matching, created))| {
                hosts.sort_unstable();
                hosts.dedup();
                entry(&format!("r{number}"), &hosts, matching, created)
            })
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn a_walk_finds_what_the_standard_says(
        entries in any_entries(),
        requests in proptest::collection::vec(
            (
                select(&["a.b", "x.a.b", "y.a.b", "y.b", "b", "c", "d", ""][..]),
                select(&["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c/d", "/é/b", "*", ""][..]),
                select(&[Method::GET, Method::POST][..]),
                select(&[Model::Unread, Model::Absent, Model::Named("m"), Model::Named("n"), Model::Named("px")][..]),
                proptest::option::of(select(&["1", "2"][..])),
                proptest::option::of(select(&["q=1", "q=2", "x"][..])),
            ),
            1..20,
        ),
    ) {
        let copies = entries.iter().map(|e| {
            let hosts: Vec<&str> = e.hosts.iter().map(|host| &**host).collect();
            entry(&e.rule.label, &hosts, e.matching.clone(), e.created)
        });
        let table = RouteTable::build(copies.collect());
        for (host, path, method, model, header, query) in requests {
            let headers: HeaderMap = header
                .map(|value| (HeaderName::from_static("h"), HeaderValue::from_static(value)))
                .into_iter()
                .collect();
            let head = RequestHead { method: &method, host, path, query, headers: &headers };
            prop_assert_eq!(told(&table.walk(&head, model)), reference(&entries, &head, model));
        }
    }
}
