//! What a reload keeps and what it changes.

use crate::support::{GATEWAY, addresses, fly, in_flight, load, pool, route_to_pool, slice, world};
use proptest::prelude::*;
use proptest::sample::subsequence;
use state::{Applied, Clock, Pool, Settings, World};
use std::sync::Arc;

fn pool_named(world: &World, name: &str) -> Arc<Pool> {
    world.load().pools.iter().find(|pool| *pool.name.name == *name).expect("the pool is declared").clone()
}

#[test]
fn the_same_manifests_change_nothing() {
    let manifests = [GATEWAY, &pool("p"), &slice("a", "app: p", 1), &route_to_pool("p")].concat();
    let first = load(&manifests);
    let world = World::new(Settings::default(), Clock::start());
    assert_eq!(world.apply(first.clone()), Applied::Changed);
    let before = world.load();
    assert_eq!(world.apply(first), Applied::Unchanged);
    assert!(Arc::ptr_eq(&before, &world.load()));
    assert_eq!(world.apply(load(&manifests)), Applied::Changed, "another folder: the lines are elsewhere");
    let (before, after) = (&before.pools[0], &world.load().pools[0]);
    assert!(Arc::ptr_eq(&before.domain, &after.domain));
    assert_eq!(before.endpoints, after.endpoints);
}

#[test]
fn a_reload_keeps_places_and_what_is_in_flight() {
    let world = world(&[pool("p"), slice("b", "app: p", 2)].concat());
    let before = pool_named(&world, "p");
    let flight = fly(&world, &before, "m").unwrap();
    world.apply(load(&[pool("p"), slice("a", "app: p", 1), slice("b", "app: p", 2)].concat()));
    let after = pool_named(&world, "p");
    assert!(Arc::ptr_eq(&before.domain, &after.domain));
    assert!(after.endpoints.contains(&before.endpoints[0]), "the place of port 2 stays");
    assert_eq!(in_flight(&world, &after)[1], ("127.0.0.1:2".to_owned(), 1));
    let next = fly(&world, &after, "m").unwrap();
    assert_eq!(next.at().address.port(), 1);
    drop(flight);
    assert_eq!(in_flight(&world, &after)[1], ("127.0.0.1:2".to_owned(), 0));
}

#[test]
fn pools_that_come_to_share_endpoints_keep_the_larger_domain() {
    let apart =
        [pool("a"), pool("b"), slice("a1", "app: a", 1), slice("a2", "app: a", 2), slice("b1", "app: b", 3)];
    let world = world(&apart.concat());
    let (a, b) = (pool_named(&world, "a"), pool_named(&world, "b"));
    let flight = fly(&world, &b, "m").unwrap();
    let shared = [apart.concat(), slice("both", "app: b", 1)].concat();
    world.apply(load(&shared));
    let merged = pool_named(&world, "b");
    assert!(Arc::ptr_eq(&merged.domain, &pool_named(&world, "a").domain));
    assert!(Arc::ptr_eq(&merged.domain, &a.domain));
    assert_eq!(addresses(&merged), ["127.0.0.1:1", "127.0.0.1:3"]);
    drop(flight);
    assert_eq!(in_flight(&world, &b), [("127.0.0.1:3".to_owned(), 0)], "released in the domain it came from");
    world.apply(load(&apart.concat()));
    assert!(Arc::ptr_eq(&a.domain, &pool_named(&world, "a").domain));
    assert!(!Arc::ptr_eq(&a.domain, &pool_named(&world, "b").domain));
}

#[test]
fn a_pool_that_loses_its_endpoints_keeps_its_domain() {
    let world = world(&[pool("p"), slice("a", "app: p", 1)].concat());
    let before = pool_named(&world, "p");
    world.apply(load(&pool("p")));
    world.apply(load(&[pool("p"), slice("a", "app: p", 1)].concat()));
    assert!(Arc::ptr_eq(&before.domain, &pool_named(&world, "p").domain));
}

#[tokio::test]
async fn readers_and_watchers_see_a_new_generation() {
    let world = world(GATEWAY);
    let mut reader = world.reader();
    let mut changes = world.changes();
    assert_eq!(reader.snapshot().generation, 1);
    world.apply(load(&[GATEWAY, &pool("p")].concat()));
    changes.changed().await.unwrap();
    assert_eq!(*changes.borrow_and_update(), 2);
    assert_eq!(reader.snapshot().generation, 2);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]
    #[test]
    fn endpoints_that_stay_keep_their_places_whatever_comes_and_goes(
        steps in proptest::collection::vec(subsequence((1_u16..8).collect::<Vec<_>>(), 0..8), 1..6),
    ) {
        let manifests = |ports: &[u16]| {
            let slices: String = ports.iter().map(|port| slice(&format!("s{port}"), "app: p", *port)).collect();
            [pool("p"), slices].concat()
        };
        let world = world(&manifests(&steps[0]));
        let mut before = pool_named(&world, "p");
        for ports in &steps[1..] {
            world.apply(load(&manifests(ports)));
            let after = pool_named(&world, "p");
            prop_assert!(Arc::ptr_eq(&before.domain, &after.domain));
            let found: Vec<u16> = after.endpoints.iter().map(|(_, key)| key.address.port()).collect();
            prop_assert_eq!(&found, ports);
            for endpoint in &before.endpoints {
                let stays = after.endpoints.iter().find(|(_, key)| *key == endpoint.1);
                prop_assert!(stays.is_none_or(|stays| stays == endpoint));
            }
            before = after;
        }
    }
}
