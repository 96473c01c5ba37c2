//! The addresses of an InferencePool's or a Service's endpoints.
//!
//! In: what the manifests declare as endpoints, and what names were resolved to. Out: addresses with ports, each once.

use crate::findings::Findings;
use crate::names::Addresses;
use journey::EndpointKey;
use resources::{
    AddressType, EndpointSlice, InferencePool, Meta, Object, Service, ServicePort, SlicedEndpoint, Store,
    field,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The most endpoints of one pool or Service; more are left out, and a finding says so.
pub const ENDPOINTS_OF_POOL_MAX: usize = 10_000;

/// Endpoints by address: two objects that give one address are one endpoint, and a Pod's says more.
pub(crate) type Endpoints = BTreeMap<SocketAddr, Option<Arc<str>>>;

/// Reads endpoints; keeps what names it met.
#[derive(Debug)]
pub(crate) struct EndpointReader<'c> {
    pub(crate) store: &'c Store,
    pub(crate) resolved: &'c Addresses,
    /// Names that slices give, resolved or not.
    pub(crate) names: BTreeSet<Arc<str>>,
}

impl<'c> EndpointReader<'c> {
    /// The endpoints of a pool.
    pub(crate) fn of_pool(&mut self, pool: &InferencePool, findings: &mut Findings<'_>) -> Endpoints {
        let mut endpoints = Endpoints::new();
        let store = self.store;
        for endpoint in store.sliced_endpoints(pool) {
            endpoints.extend(self.addresses(&endpoint, findings).into_iter().map(|address| (address, None)));
        }
        for pod in store.pods_of(pool) {
            for address in pod.addresses(&pool.target_ports) {
                let uid = endpoints.entry(address).or_default();
                *uid = uid.take().max(pod.meta.uid.clone());
            }
        }
        if tell_of_too_many(endpoints.len(), ("InferencePool", &pool.meta), findings) {
            endpoints = endpoints.into_iter().take(ENDPOINTS_OF_POOL_MAX).collect();
        }
        endpoints
    }

    /// The addresses of the endpoints of a Service's port.
    pub(crate) fn of_service(
        &mut self,
        service: &'c Service,
        port: &'c ServicePort,
        findings: &mut Findings<'_>,
    ) -> Vec<SocketAddr> {
        let endpoints = self.store.endpoints_behind(service, port);
        let addresses: BTreeSet<SocketAddr> =
            endpoints.flat_map(|endpoint| self.addresses(&endpoint, findings)).collect();
        tell_of_too_many(addresses.len(), ("Service", &service.meta), findings);
        addresses.into_iter().take(ENDPOINTS_OF_POOL_MAX).collect()
    }

    /// The addresses of one endpoint: one, or those of its name.
    fn addresses(&mut self, endpoint: &SlicedEndpoint<'_>, findings: &mut Findings<'_>) -> Vec<SocketAddr> {
        let SlicedEndpoint { slice, place, address, ports } = endpoint;
        let addresses: Vec<IpAddr> = if slice.address_type == AddressType::Fqdn {
            self.names.insert(Arc::clone(address));
            let resolved = self.resolved.get(*address);
            if resolved.is_some_and(Vec::is_empty) {
                let at = field!["endpoints", *place, "addresses", 0];
                let message = format!("the name `{address}` cannot be looked up: it gives no endpoint");
                findings.tell("unresolved-name", (EndpointSlice::KIND, &slice.meta), &at, message);
            }
            resolved.cloned().unwrap_or_default()
        } else {
            address.parse().into_iter().collect()
        };
        let at = |address| ports.iter().map(move |&port| SocketAddr::new(address, port));
        addresses.into_iter().flat_map(at).collect()
    }
}

/// Whether these are more than are taken of one object.
fn tell_of_too_many(endpoints: usize, object: (&str, &Meta), findings: &mut Findings<'_>) -> bool {
    let too_many = endpoints > ENDPOINTS_OF_POOL_MAX;
    if too_many {
        let message =
            format!("{endpoints} endpoints are more than {ENDPOINTS_OF_POOL_MAX}: the rest are left out");
        findings.tell("too-many-endpoints", object, &field!["spec", "selector"], message);
    }
    too_many
}

/// The Pods behind a pool's addresses, as the reference names an endpoint: `POD-rank-N`, N being the place of its port in the
/// pool. A slice's address has none: a pool takes no endpoint of a slice that stands for a Pod.
/// Source: GAIE v1.1 to v1.5, `pkg/epp/datastore`.
pub(crate) fn pods_behind(pool: &InferencePool, store: &Store) -> BTreeMap<SocketAddr, Arc<str>> {
    let mut names = BTreeMap::new();
    for pod in store.pods_of(pool) {
        for address in pod.addresses(&pool.target_ports) {
            let rank = pool.target_ports.iter().position(|port| *port == address.port()).unwrap_or(0);
            names.insert(address, format!("{}-rank-{rank}", pod.meta.name.name).into());
        }
    }
    names
}

/// Makes one endpoint of one address over all pools: a Pod's says more.
pub(crate) fn keys(pools: &[Endpoints]) -> Vec<Vec<EndpointKey>> {
    let mut uids = Endpoints::new();
    for (address, uid) in pools.iter().flatten() {
        let known = uids.entry(*address).or_default();
        *known = known.take().max(uid.clone());
    }
    let key = |address: &SocketAddr| EndpointKey { pod_uid: uids[address].clone(), address: *address };
    pools.iter().map(|endpoints| endpoints.keys().map(key).collect()).collect()
}
