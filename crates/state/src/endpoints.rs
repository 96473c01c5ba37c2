//! Which endpoints an InferencePool or a Service has.
//!
//! In: EndpointSlices and Pods, and what names were resolved to. Out: addresses with ports, each once.
//! A pool selects by its labels Pods, and EndpointSlices as far as no Pod stands behind their endpoints (from an API
//! server those repeat the Pods). A slice's own port wins over the pool's, since several model servers may live on one
//! host.

use crate::findings::{Findings, about};
use crate::names::Addresses;
use journey::EndpointKey;
use resources::{
    AddressType, EndpointSlice, InferencePool, Object, Pod, ServicePort, Severity, SliceEndpoint, SlicePort,
    Store,
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

impl EndpointReader<'_> {
    /// The endpoints of a pool.
    pub(crate) fn of_pool(&mut self, pool: &InferencePool, findings: &mut Findings) -> Endpoints {
        let mut endpoints = Endpoints::new();
        let store = self.store;
        for slice in store.endpoint_slices.values() {
            if pool.selects(&slice.meta.name.namespace, &slice.meta.labels) {
                self.add_slice_of_pool(slice, pool, &mut endpoints, findings);
            }
        }
        for pod in store.pods.values() {
            if pool.selects(&pod.meta.name.namespace, &pod.meta.labels) && pod.is_ready() {
                add_pod(pod, pool, &mut endpoints, findings);
            }
        }
        if endpoints.len() > ENDPOINTS_OF_POOL_MAX {
            let message = format!(
                "{} endpoints are more than {ENDPOINTS_OF_POOL_MAX}: the rest are left out",
                endpoints.len()
            );
            findings.push(about(&pool.meta, "InferencePool", Severity::Error, "too-many-endpoints"), message);
            endpoints = endpoints.into_iter().take(ENDPOINTS_OF_POOL_MAX).collect();
        }
        endpoints
    }

    fn add_slice_of_pool(
        &mut self,
        slice: &EndpointSlice,
        pool: &InferencePool,
        endpoints: &mut Endpoints,
        findings: &mut Findings,
    ) {
        let own: Vec<u16> = slice.ports.iter().filter_map(|port| port.port).collect();
        let ports = if own.is_empty() { &pool.target_ports } else { &own };
        for endpoint in slice.endpoints.iter().filter(|endpoint| !endpoint.is_pod()) {
            for address in self.addresses(slice, endpoint, findings) {
                endpoints.extend(ports.iter().map(|&port| (SocketAddr::new(address, port), None)));
            }
        }
    }

    /// The endpoints behind a Service's port, ready ones only.
    pub(crate) fn of_service(
        &mut self,
        service: &resources::Service,
        port: &ServicePort,
        findings: &mut Findings,
    ) -> Vec<SocketAddr> {
        let store = self.store;
        let mut endpoints = BTreeSet::new();
        for slice in store.slices_of(&service.meta.name) {
            let Some(port) = slice.ports.iter().find_map(|of_slice| slice_port(of_slice, port)) else {
                continue;
            };
            for endpoint in &slice.endpoints {
                let addresses = self.addresses(slice, endpoint, findings);
                endpoints.extend(addresses.into_iter().map(|address| SocketAddr::new(address, port)));
            }
        }
        endpoints.into_iter().take(ENDPOINTS_OF_POOL_MAX).collect()
    }

    /// The addresses of one endpoint, if it is ready: one, or those of its name.
    fn addresses(
        &mut self,
        slice: &EndpointSlice,
        endpoint: &SliceEndpoint,
        findings: &mut Findings,
    ) -> Vec<IpAddr> {
        let Some(address) = endpoint.addresses.first().filter(|_| endpoint.conditions.is_ready()) else {
            return Vec::new();
        };
        let told = |code| about(&slice.meta, EndpointSlice::KIND, Severity::Warning, code);
        if slice.address_type != AddressType::Fqdn {
            return match address.parse() {
                Ok(address) => vec![address],
                Err(_) => {
                    findings.push(told("invalid-address"), format!("{address:?} is not an IP address"));
                    Vec::new()
                }
            };
        }
        self.names.insert(Arc::clone(address));
        match self.resolved.get(address) {
            Some(addresses) => addresses.clone(),
            None => {
                findings.push(told("unresolved-name"), format!("the name {address:?} is not resolved (yet)"));
                Vec::new()
            }
        }
    }
}

fn add_pod(pod: &Pod, pool: &InferencePool, endpoints: &mut Endpoints, findings: &mut Findings) {
    let Some(address) = pod.status.pod_ip else {
        let message = "it has no status.podIP, and so it is no endpoint of its pool".to_owned();
        findings.push(about(&pod.meta, Pod::KIND, Severity::Warning, "pod-without-address"), message);
        return;
    };
    let active = pod.active_ports();
    for &port in &pool.target_ports {
        if active.as_ref().is_none_or(|active| active.contains(&port)) {
            let uid = endpoints.entry(SocketAddr::new(address, port)).or_default();
            *uid = uid.take().max(pod.meta.uid.clone());
        }
    }
}

/// The number of a slice's port, if it is the Service's: they have one name.
fn slice_port(of_slice: &SlicePort, of_service: &ServicePort) -> Option<u16> {
    let name = of_service.name.as_deref().unwrap_or_default();
    (of_slice.name == name).then(|| of_slice.port.unwrap_or(of_service.port))
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
