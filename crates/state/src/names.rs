//! Host names of endpoints (`addressType: FQDN`), and what they were resolved to.
//!
//! Compiling asks a map and never the network; names that the map lacks are told, looked up outside, and the world is
//! compiled again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// The most names that are looked up; the rest stay unresolved, and a finding says so.
pub const NAMES_MAX: usize = 1024;
/// The most addresses that one name gives: a name may stand for every Pod of a headless Service.
pub const ADDRESSES_MAX: usize = 256;
/// The longest that one look-up may take.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(5);
/// Look-ups at a time: each may hold a thread of the blocking pool.
const LOOKUPS_AT_A_TIME: usize = 16;

/// What names were resolved to: nothing, if that failed. A name that is missing was never looked up.
pub(crate) type Addresses = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// Looks names up.
pub(crate) async fn look_up(names: BTreeSet<Arc<str>>) -> Addresses {
    let mut waiting = names.into_iter().take(NAMES_MAX);
    let mut running: JoinSet<(Arc<str>, Vec<IpAddr>)> =
        waiting.by_ref().take(LOOKUPS_AT_A_TIME).map(look_up_one).collect();
    let mut found = Addresses::new();
    while let Some(done) = running.join_next().await {
        found.extend(done.ok());
        if let Some(name) = waiting.next() {
            running.spawn(look_up_one(name));
        }
    }
    found
}

async fn look_up_one(name: Arc<str>) -> (Arc<str>, Vec<IpAddr>) {
    let lookup = tokio::net::lookup_host((&*name, 0));
    let addresses = tokio::time::timeout(LOOKUP_TIME_MAX, lookup).await.ok().and_then(Result::ok);
    let addresses = addresses.into_iter().flatten().map(|address: SocketAddr| address.ip()).collect();
    (name, of_one_family(addresses))
}

/// A host that has addresses of both families must not count as two endpoints: IPv4 if there is any.
fn of_one_family(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    if addresses.iter().any(IpAddr::is_ipv4) {
        addresses.retain(IpAddr::is_ipv4);
    }
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_of_both_families_is_one_endpoint() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let both = vec![address("::1"), address("127.0.0.1"), address("127.0.0.1")];
        assert_eq!(of_one_family(both), [address("127.0.0.1")]);
        assert_eq!(of_one_family(vec![address("::1")]), [address("::1")]);
    }

    #[tokio::test]
    async fn names_are_looked_up_and_a_wrong_one_gives_nothing() {
        let names = ["localhost", "not a host name"].into_iter().map(Arc::from).collect();
        let found = look_up(names).await;
        assert_eq!(found["not a host name"], [] as [IpAddr; 0]);
        assert!(found["localhost"][0].is_loopback());
    }
}
