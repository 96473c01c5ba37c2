//! A policy from an EndpointPickerConfig picks for every pool.

use crate::support::{load, pool, request, slice};
use bytes::Bytes;
use payload::{BodyHead, Limits, RequestParser, Rope};
use scheduling::config::{self, TestPlugins};
use state::{Clock, Dispatch, Settings, World, dispatch};
use std::sync::Arc;

fn configured(plugins: &str) -> World {
    let head = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\nplugins: ";
    let configured = config::read(&format!("{head}{plugins}"), TestPlugins::Allowed).expect("a sound file");
    let settings = Settings { policy: Arc::new(configured.policy), ..Settings::default() };
    let world = World::new(settings, Clock::start());
    world.apply(load(&two_endpoints()));
    world
}

fn two_endpoints() -> String {
    [pool("p"), slice("a", "app: p", 1), slice("b", "app: p", 2)].concat()
}

#[test]
fn a_configured_prefix_scorer_finds_the_prompt_in_an_index_of_its_own() {
    let world = configured("[{type: prefix-cache-scorer}]");
    let pool = world.load().pools[0].clone();
    let random = &mut fastrand::Rng::with_seed(1);
    let mut first_of = |prompt: &str| {
        let body = Bytes::from(format!(r#"{{"model":"m","prompt":"{prompt}"}}"#));
        let mut parser =
            RequestParser::new(BodyHead::new("/v1/completions", None, None).unwrap(), Limits::default());
        parser.feed(&body).unwrap();
        let request = parser.finish().unwrap();
        let rope = Rope::from_iter([body]);
        let at = Dispatch {
            request: &request,
            objective: None,
            rewrite: None,
            subset: None,
            body: Some(&rope),
            test_selection: None,
        };
        let flight = dispatch(&pool, &at, random, world.clock()).unwrap();
        (flight.at().slot, flight.decision.candidates[0].total, flight.decision.endpoints.len())
    };
    // 300 bytes with the quote before them: four whole blocks of 64, far less than a block of the built-in index.
    let prompt = "x".repeat(299);
    let (home, nothing, named) = first_of(&prompt);
    assert_eq!((nothing, named), (0.0, 1));
    for _ in 0..20 {
        assert_eq!(first_of(&prompt), (home, 1.0, 1));
    }
    let half = format!("{}{}", "x".repeat(127), "y".repeat(172));
    assert_eq!(first_of(&half), (home, 0.5, 1));
    world.apply(load(&[two_endpoints(), slice("c", "app: p", 3)].concat()));
    assert!(world.load().pools[0].domain.prefix_entries() > 0, "a reload keeps what was learnt");
    let kept = world.load().pools[0].blocks.clone().expect("an index");
    assert!(Arc::ptr_eq(&kept, pool.blocks.as_ref().expect("an index")));
}

#[test]
fn a_test_picks_its_endpoint_where_that_is_allowed() {
    let world = configured("[{type: header-based-testing-filter}]");
    let pool = world.load().pools[0].clone();
    let request = request("m");
    let ask = |test_selection| {
        let at = Dispatch {
            request: &request,
            objective: None,
            rewrite: None,
            subset: None,
            body: None,
            test_selection,
        };
        dispatch(&pool, &at, &mut fastrand::Rng::with_seed(1), world.clock())
            .map(|flight| flight.at().address.port())
            .map_err(|refusal| (refusal.reason(), refusal.priority()))
    };
    assert_eq!(ask(Some("127.0.0.1:2")), Ok(2));
    assert_eq!(ask(Some("127.0.0.1:1, 10.0.0.1")), Ok(1));
    assert_eq!(ask(Some("10.0.0.1")), Err(("every_endpoint_filtered", Some(0))));
    assert_eq!(ask(None), Err(("every_endpoint_filtered", Some(0))));
}
