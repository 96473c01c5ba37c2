//! Which objects give a pool or a Service its endpoints, and who picks for a pool.
//!
//! In: EndpointSlices, Pods, Services. Out: what of them is ready. A pool selects by its labels Pods, and EndpointSlices as far
//! as no Pod stands behind their endpoints (from an API server those repeat the Pods). A slice's own port wins over the pool's,
//! since several model servers may live on one host.
//! Never: what a name resolves to.

use crate::core_v1::{EndpointSlice, Pod, Service, ServicePort, SliceEndpoint, SlicePort};
use crate::inference_pool::{EndpointPickerRef, InferencePool};
use crate::object::{Object, ObjectName};
use crate::store::Store;
use std::borrow::Cow;
use std::sync::Arc;

/// An endpoint of a slice that is ready.
#[derive(Debug, Clone)]
pub struct SlicedEndpoint<'s> {
    /// Its slice.
    pub slice: &'s EndpointSlice,
    /// Its place in the slice, from 0.
    pub place: usize,
    /// The first of its addresses, which all are the same thing.
    pub address: &'s Arc<str>,
    /// Where it is spoken to.
    pub ports: Cow<'s, [u16]>,
}

/// Who picks for a pool.
#[derive(Debug, Clone)]
pub enum PickedBy<'s> {
    /// The built-in endpoint picker.
    BuiltIn,
    /// Somebody who is no Service that is declared: this kind and name.
    Missing(&'s str, ObjectName),
    /// A Service that cannot be asked, and why.
    Unusable(ObjectName, String),
    /// A port of a Service.
    Service(&'s Service, &'s ServicePort),
}

impl Store {
    /// The ready endpoints that slices give a pool.
    pub fn sliced_endpoints<'s>(
        &'s self,
        pool: &'s InferencePool,
    ) -> impl Iterator<Item = SlicedEndpoint<'s>> {
        let selected = |slice: &&EndpointSlice| pool.selects(&slice.meta.name.namespace, &slice.meta.labels);
        let slices = self.endpoint_slices.values().map(|slice| &**slice).filter(selected);
        slices.flat_map(|slice| {
            let own: Vec<u16> = slice.ports.iter().filter_map(|port| port.port).collect();
            let ports = if own.is_empty() { Cow::Borrowed(&*pool.target_ports) } else { Cow::Owned(own) };
            ready(slice, |endpoint| !endpoint.is_pod()).map(move |(place, address)| SlicedEndpoint {
                slice,
                place,
                address,
                ports: ports.clone(),
            })
        })
    }

    /// The Pods of a pool that are ready, whether they have an address or not.
    pub fn pods_of<'s>(&'s self, pool: &'s InferencePool) -> impl Iterator<Item = &'s Pod> {
        let selected = |pod: &&Pod| pool.selects(&pod.meta.name.namespace, &pod.meta.labels);
        self.pods.values().map(|pod| &**pod).filter(selected).filter(|pod| pod.is_ready())
    }

    /// The ready endpoints behind a port of a Service.
    pub fn endpoints_behind<'s>(
        &'s self,
        service: &'s Service,
        port: &'s ServicePort,
    ) -> impl Iterator<Item = SlicedEndpoint<'s>> {
        self.slices_of(&service.meta.name).flat_map(move |slice| {
            let number = slice.ports.iter().find_map(|of_slice| slice_port(of_slice, port));
            ready(slice, move |_| number.is_some()).map(move |(place, address)| {
                let ports = number.into_iter().collect::<Vec<_>>().into();
                SlicedEndpoint { slice, place, address, ports }
            })
        })
    }

    /// Who picks for a pool, as far as it is declared.
    pub fn picked_by<'s>(&'s self, pool: &'s InferencePool) -> PickedBy<'s> {
        let Some(EndpointPickerRef { group, kind, name, port, .. }) = &pool.endpoint_picker else {
            return PickedBy::BuiltIn;
        };
        let name = ObjectName::new(pool.meta.name.namespace.clone(), name.clone());
        let declared = self.services.get(&name).filter(|_| group.is_empty() && kind == Service::KIND);
        let Some(service) = declared else { return PickedBy::Missing(kind, name) };
        let port = port.unwrap_or_default();
        let of_service = service.spec.ports.iter().find(|of_service| of_service.port == port);
        let why = match of_service {
            _ if service.is_external_name() => {
                "it is of type ExternalName, which the standard forbids".to_owned()
            }
            None => format!("it has no port {port}"),
            Some(of_service) if self.endpoints_behind(service, of_service).next().is_none() => {
                "no EndpointSlice of it has a ready endpoint".to_owned()
            }
            Some(of_service) => return PickedBy::Service(service, of_service),
        };
        PickedBy::Unusable(name, why)
    }
}

/// The ready endpoints of a slice that `are` something: place and address.
fn ready(
    slice: &EndpointSlice,
    are: impl Fn(&SliceEndpoint) -> bool,
) -> impl Iterator<Item = (usize, &Arc<str>)> {
    let endpoints = slice.endpoints.iter().enumerate();
    endpoints
        .filter(move |(_, endpoint)| endpoint.conditions.is_ready() && are(endpoint))
        .filter_map(|(place, endpoint)| Some((place, endpoint.addresses.first()?)))
}

/// The number of a slice's port, if it is the Service's: they have one name.
fn slice_port(of_slice: &SlicePort, of_service: &ServicePort) -> Option<u16> {
    let name = of_service.name.as_deref().unwrap_or_default();
    (of_slice.name == name).then(|| of_slice.port.unwrap_or(of_service.port))
}
