//! What the gateway says in metadata: which endpoints it would take, and which one it took.

use crate::wire::{Kind, Metadata};
use journey::headers::{DESTINATION_ENDPOINT_SERVED, DESTINATION_ENDPOINT_SUBSET};
use smallvec::SmallVec;
use state::Pool;
use std::net::{IpAddr, SocketAddr};

/// Namespace of the subset.
const SUBSET_NAMESPACE: &str = "envoy.lb.subset_hint";
/// Namespace of the endpoint that served.
const SERVED_NAMESPACE: &str = "envoy.lb";

/// Endpoints that the gateway would take.
pub(super) type Subset = SmallVec<[SocketAddr; 16]>;

/// The endpoints of `pool` that the gateway would take; `None` if it says nothing. An entry is `ip:port`, or an IP that
/// stands for each of its ports; what cannot be read matches nothing.
pub(super) fn subset(metadata: Option<&Metadata>, pool: &Pool) -> Option<Subset> {
    let hint = metadata?.get(SUBSET_NAMESPACE, DESTINATION_ENDPOINT_SUBSET.as_str())?;
    let entries: SmallVec<[&str; 16]> = match &hint.kind {
        Some(Kind::ListValue(list)) => list.values.iter().filter_map(|value| value.as_str()).collect(),
        Some(Kind::StringValue(text)) => text.split(',').collect(),
        _ => SmallVec::new(),
    };
    let mut subset = Subset::new();
    let mut addresses: SmallVec<[IpAddr; 16]> = SmallVec::new();
    for entry in entries.into_iter().map(str::trim) {
        if let Ok(endpoint) = entry.parse() {
            subset.push(endpoint);
        } else if let Ok(address) = entry.trim_start_matches('[').trim_end_matches(']').parse() {
            addresses.push(address);
        }
    }
    if !addresses.is_empty() {
        addresses.sort_unstable();
        let endpoints = pool.endpoints.iter().map(|(_, key)| key.address);
        subset.extend(endpoints.filter(|endpoint| addresses.binary_search(&endpoint.ip()).is_ok()));
    }
    Some(subset)
}

/// The endpoint that the gateway took.
pub(super) fn served(metadata: Option<&Metadata>) -> Option<SocketAddr> {
    metadata?.get(SERVED_NAMESPACE, DESTINATION_ENDPOINT_SERVED.as_str())?.as_str()?.trim().parse().ok()
}
