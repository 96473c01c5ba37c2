//! Requests reserve, learn, move on and release.

use crate::support::{GATEWAY, addresses, fly, in_flight, load, pool, request, slice, world};
use journey::{Outcome, Refusal};
use payload::{Prompt, Usage};
use scheduling::plugins::PluginKind;
use state::{Alone, Dispatch, PICKS_PER_SAMPLE, assign, dispatch};
use telemetry::TargetChosen;

fn two_endpoints() -> String {
    [pool("p"), slice("a", "app: p", 1), slice("b", "app: p", 2)].concat()
}

#[test]
fn a_flight_reserves_its_endpoint_and_releases_it_once() {
    let world = world(&two_endpoints());
    let pool = world.load().pools[0].clone();
    let total = || in_flight(&world, &pool).iter().map(|(_, count)| count).sum::<u32>();
    let mut first = fly(&world, &pool, "m").unwrap();
    let second = fly(&world, &pool, "m").unwrap();
    assert_ne!(first.at().slot, second.at().slot, "the second sees that the first has reserved");
    assert_eq!(total(), 2);
    first.first_token();
    first.tokens(100);
    first.finish(Outcome::Served, Usage::default());
    assert_eq!(total(), 1);
    drop(second);
    assert_eq!(total(), 0);
}

#[test]
fn the_plugins_of_one_pick_in_many_are_timed_in_the_order_in_which_they_ran() {
    let world = world(&two_endpoints());
    let pool = world.load().pools[0].clone();
    let timed: Vec<_> =
        (0..=PICKS_PER_SAMPLE).map(|_| fly(&world, &pool, "m").unwrap().plugin_runs.clone()).collect();
    let places: Vec<usize> =
        timed.iter().enumerate().filter(|(_, runs)| runs.is_some()).map(|(place, _)| place).collect();
    assert_eq!(places, [0, PICKS_PER_SAMPLE as usize]);
    let runs = timed[0].as_ref().unwrap();
    let policy = &pool.view.policy;
    let mut expected: Vec<_> =
        policy.scorer_names().into_iter().map(|name| (PluginKind::Scorer, name)).collect();
    expected.push((PluginKind::Picker, policy.picker.name()));
    assert_eq!(runs.iter().map(|run| (run.kind, run.name)).collect::<Vec<_>>(), expected);
}

#[test]
fn a_flight_knows_the_rewrite_that_chose_its_model() {
    let rewrite = "
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModelRewrite
metadata: {name: rollout}
spec:
  poolRef: {name: p}
  rules:
  - matches: [{model: {value: chat}}]
    targets: [{modelRewrite: chat-v2}]
  - matches: [{model: {value: same}}]
    targets: [{modelRewrite: same}]
---
";
    let world = world(&[&two_endpoints(), rewrite].concat());
    let pool = world.load().pools[0].clone();
    for (asked, sent, by) in
        [("chat", Some("chat-v2"), Some("rollout")), ("same", None, Some("rollout")), ("other", None, None)]
    {
        let flight = fly(&world, &pool, asked).unwrap();
        let told = (flight.rewrite.as_ref().map(|target| &*target.0), flight.rewritten_by.as_deref());
        assert_eq!(told, (sent, by), "{asked}");
    }
}

#[test]
fn a_retry_moves_the_reservation_until_no_endpoint_is_left() {
    let world = world(&two_endpoints());
    let pool = world.load().pools[0].clone();
    let mut flight = fly(&world, &pool, "m").unwrap();
    let first = flight.at();
    let second = flight.retry(Outcome::Broken, Alone::Ends).unwrap();
    assert_ne!(first, second);
    assert_eq!(flight.at(), second);
    assert!(flight.retry(Outcome::Broken, Alone::Ends).is_none());
    assert_eq!(flight.at(), second);
    drop(flight);
    let left: u32 = in_flight(&world, &pool)
        .iter()
        .filter(|(address, _)| *address == second.address.to_string())
        .map(|(_, count)| count)
        .sum();
    assert_eq!(left, 0);
}

#[test]
fn endpoints_that_the_gateway_passed_over_failed_only_if_it_was_given_a_list() {
    let slices: String = (1..=6).map(|port| slice(&format!("s{port}"), "app: p", port)).collect();
    let world = world(&[pool("p"), slices].concat());
    let pool = world.load().pools[0].clone();
    let request = request("m");
    let at = |port: u16| std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let serve = |given: &[u16], served: u16| {
        let headers = http::HeaderMap::new();
        let asked = Dispatch::told(&request, &headers);
        let given: Vec<_> = given.iter().map(|port| at(*port)).collect();
        let mut flight = assign(&pool, &asked, &given, world.clock()).unwrap();
        let moved = flight.served_at(at(served));
        let now_at = flight.at().address.port();
        flight.finish(Outcome::Served, Usage::default());
        (moved, now_at)
    };
    let ejected = || {
        let endpoints = pool.domain.lock().endpoints(world.clock().now());
        let mut ports: Vec<u16> = endpoints
            .iter()
            .filter(|endpoint| endpoint.ejections > 0)
            .map(|endpoint| endpoint.key.address.port())
            .collect();
        ports.sort_unstable();
        ports
    };
    for _ in 0..10 {
        assert_eq!(serve(&[4], 5), (Some(Outcome::Cancelled), 5), "it chose for itself");
        assert_eq!(serve(&[6, 5, 4, 3], 1), (Some(Outcome::Cancelled), 1));
        assert_eq!(serve(&[5], 5), (None, 5));
        assert_eq!(serve(&[5], 99), (None, 5), "no endpoint of the pool");
    }
    assert!(ejected().is_empty());
    for _ in 0..3 {
        assert_eq!(serve(&[1, 2, 3], 3), (Some(Outcome::Broken), 3));
    }
    assert_eq!(ejected(), [1, 2]);
    assert!(in_flight(&world, &pool).iter().all(|(_, count)| *count == 0));
}

#[test]
fn a_prompt_is_known_wherever_a_retry_took_it() {
    let world = world(&two_endpoints());
    let pool = world.load().pools[0].clone();
    let mut request = request("m");
    request.prompt = Prompt { bytes: 2048, blocks: [1, 2].into_iter().collect(), salt: 0 };
    let at = Dispatch {
        request: &request,
        objective: None,
        rewrite: None,
        subset: None,
        body: None,
        test_selection: None,
    };
    let mut flight = dispatch(&pool, &at, &mut fastrand::Rng::with_seed(1), world.clock()).unwrap();
    let first = flight.at().slot;
    let known = || {
        let heads = pool.domain.prefixes.lookup("m", &request.prompt).heads;
        heads.iter().map(|&(slot, _)| slot).collect::<Vec<_>>()
    };
    assert_eq!(known(), [first]);
    let second = flight.retry(Outcome::Broken, Alone::Ends).unwrap().slot;
    assert_eq!(known().len(), 2);
    assert!(known().contains(&second));
}

#[test]
fn a_panic_under_a_domains_lock_costs_nobody_the_domain() {
    let world = world(&two_endpoints());
    let pool = world.load().pools[0].clone();
    let flight = fly(&world, &pool, "m").unwrap();
    let panicked = std::thread::scope(|scope| {
        let under_lock = || {
            let _state = pool.domain.lock();
            panic!("a test's fault");
        };
        scope.spawn(under_lock).join().is_err()
    });
    assert!(panicked && pool.domain.state.is_poisoned());
    let total = || in_flight(&world, &pool).iter().map(|(_, count)| count).sum::<u32>();
    assert_eq!(total(), 1);
    assert!(!pool.domain.state.is_poisoned(), "it was recounted, once");
    drop(flight);
    assert_eq!(total(), 0);
}

#[test]
fn a_pool_without_endpoints_refuses() {
    let world = world(&pool("p"));
    let pool = world.load().pools[0].clone();
    let refusal = fly(&world, &pool, "m").unwrap_err();
    assert!(matches!(refusal, Refusal::NoReadyEndpoint { endpoints: 0, .. }), "{refusal:?}");
}

#[test]
fn a_flight_at_an_endpoint_that_left_still_releases() {
    let world = world(&two_endpoints());
    let before = world.load().pools[0].clone();
    let flights = [fly(&world, &before, "m").unwrap(), fly(&world, &before, "m").unwrap()];
    world.apply(load(&[pool("p"), slice("b", "app: p", 2)].concat()));
    let after = world.load().pools[0].clone();
    assert_eq!(addresses(&after), ["127.0.0.1:2"]);
    for _ in 0..4 {
        let flight = fly(&world, &after, "m").unwrap();
        assert_eq!(flight.at().address.port(), 2, "nothing new goes to the one that left");
    }
    assert_eq!(in_flight(&world, &after), [("127.0.0.1:1".to_owned(), 1), ("127.0.0.1:2".to_owned(), 1)]);
    drop(flights);
    assert_eq!(in_flight(&world, &after), [("127.0.0.1:2".to_owned(), 0)], "the one that left is forgotten");
}

#[test]
fn models_are_rewritten_and_the_oldest_object_wins() {
    let model = |name: &str, year: u16, target: &str| {
        format!(
            "
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {{name: {name}, creationTimestamp: '{year}-01-01T00:00:00Z'}}
spec: {{modelName: chatbot, criticality: Critical, poolRef: {{name: p}}, targetModels: [{{name: {target}}}]}}
---
"
        )
    };
    let manifests = [two_endpoints(), model("a", 2026, "young"), model("b", 2025, "old")].concat();
    let world = world(&manifests);
    let snapshot = world.load();
    let flight = fly(&world, &snapshot.pools[0], "chatbot").unwrap();
    assert_eq!((flight.priority, flight.rewrite.as_ref().map(|target| &*target.0)), (Some(1), Some("old")));
    assert!(fly(&world, &snapshot.pools[0], "other").unwrap().rewrite.is_none());
    assert!(crate::support::codes(&snapshot).contains(&"model-name-in-use"));
    let known: Vec<_> = snapshot.pools[0].known_models.iter().map(|model| &**model).collect();
    assert_eq!(known, ["chatbot", "old"]);
}

#[test]
fn a_model_sent_that_the_client_chose_is_told_from_what_the_configuration_gives() {
    let model = "
apiVersion: inference.networking.x-k8s.io/v1alpha2
kind: InferenceModel
metadata: {name: a}
spec: {modelName: chatbot, poolRef: {name: p}, targetModels: [{name: v1}, {name: v2}]}
---
";
    let world = world(&[two_endpoints(), model.to_owned()].concat());
    let snapshot = world.load();
    for (asked, header, chosen) in [
        ("chatbot", "v2", TargetChosen::ByConfiguration),
        ("chatbot", "chatbot", TargetChosen::ByConfiguration),
        ("other", "v2", TargetChosen::ByClient),
        ("chatbot", "evil", TargetChosen::FromNowhere),
        ("other", "v", TargetChosen::FromNowhere),
    ] {
        let (request, headers) = (request(asked), http::HeaderMap::new());
        let at = Dispatch { rewrite: Some(header), ..Dispatch::told(&request, &headers) };
        let random = &mut fastrand::Rng::with_seed(1);
        let flight = dispatch(&snapshot.pools[0], &at, random, world.clock()).unwrap();
        let asked = request.model.as_ref().map(|field| &field.name);
        assert_eq!(flight.target_chosen(asked), chosen, "{header}");
    }
}

#[test]
fn what_somebody_elses_picker_picked_is_in_flight_here_and_stays_in_the_pool() {
    let slices = [slice("a", "app: p", 1), slice("b", "app: p", 2), slice("c", "app: other", 3)].concat();
    let world = world(&[GATEWAY, &pool("p"), &pool("other"), &slices].concat());
    let snapshot = world.load();
    let pool = snapshot.pools.iter().find(|pool| &*pool.name.name == "p").expect("it is declared");
    let chosen = ["127.0.0.1:3", "127.0.0.1:2", "127.0.0.1:1"].map(|address| address.parse().unwrap());
    let (request, headers) = (request("m"), http::HeaderMap::new());
    let asked = Dispatch::told(&request, &headers);
    let mut flight = assign(pool, &asked, &chosen, world.clock()).expect("two are of the pool");
    assert_eq!(flight.at().address, chosen[1]);
    assert_eq!(in_flight(&world, pool), [("127.0.0.1:1".to_owned(), 0), ("127.0.0.1:2".to_owned(), 1)]);
    assert_eq!(flight.retry(Outcome::Broken, Alone::Ends).map(|target| target.address), Some(chosen[2]));
    assert_eq!(flight.retry(Outcome::Broken, Alone::Ends), None);
    drop(flight);
    assert_eq!(in_flight(&world, pool), [("127.0.0.1:1".to_owned(), 0), ("127.0.0.1:2".to_owned(), 0)]);
    assert!(assign(pool, &asked, &chosen[..1], world.clock()).is_none());
}
