//! What the gateway says in metadata: which endpoints it would take, and which one it took.

use crate::wire::{Kind, LB_NAMESPACE, Metadata, SUBSET_NAMESPACE};
use bytes::Bytes;
use journey::EndpointKey;
use journey::headers::{DESTINATION_ENDPOINT_SERVED, DESTINATION_ENDPOINT_SUBSET};
use prost::DecodeError;
use scheduling::Slot;
use state::Pool;
use std::cmp::Ordering;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// The endpoints of `pool` that the gateway would take, sorted: however much it names, no more than the pool has. `None` if
/// it says nothing, or nothing that is a list. An entry is `ip:port`, or an IP that stands for each of its ports; what
/// cannot be read matches nothing.
pub(super) fn subset(metadata: &[Bytes], pool: &Pool) -> Result<Option<Box<[SocketAddr]>>, DecodeError> {
    let hint = Metadata::told(metadata, SUBSET_NAMESPACE, DESTINATION_ENDPOINT_SUBSET.as_str())?;
    let Some(kind) = hint.and_then(|hint| hint.kind) else { return Ok(None) };
    let mut taken = Taken { endpoints: &pool.endpoints, is_taken: vec![false; pool.endpoints.len()] };
    match &kind {
        Kind::ListValue(list) => {
            list.values.iter().filter_map(|value| value.as_str()).for_each(|entry| taken.take(entry));
        }
        Kind::StringValue(text) => text.split(',').for_each(|entry| taken.take(entry)),
        _ => return Ok(None),
    }
    Ok(Some(taken.addresses()))
}

/// Which endpoints of a pool a hint names.
struct Taken<'a> {
    /// Those of the pool, in the order of their addresses.
    endpoints: &'a [(Slot, EndpointKey)],
    is_taken: Vec<bool>,
}

impl Taken<'_> {
    fn take(&mut self, entry: &str) {
        let entry = entry.trim();
        let places = if let Ok(endpoint) = entry.parse() {
            self.places(|address| address.cmp(&endpoint))
        } else if let Ok(ip) = entry.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            self.places(|address| address.ip().cmp(&ip))
        } else {
            return;
        };
        self.is_taken[places].fill(true);
    }

    /// Where the addresses stand that are equal in this order, which is the list's.
    fn places(&self, order: impl Fn(&SocketAddr) -> Ordering) -> Range<usize> {
        let first = self.endpoints.partition_point(|(_, key)| order(&key.address).is_lt());
        let behind = self.endpoints.partition_point(|(_, key)| order(&key.address).is_le());
        first..behind
    }

    fn addresses(&self) -> Box<[SocketAddr]> {
        let all = self.endpoints.iter().zip(&self.is_taken);
        all.filter_map(|((_, key), is_taken)| is_taken.then_some(key.address)).collect()
    }
}

/// The endpoint that the gateway took.
pub(super) fn served(metadata: &[Bytes]) -> Option<SocketAddr> {
    let served = Metadata::told(metadata, LB_NAMESPACE, DESTINATION_ENDPOINT_SERVED.as_str());
    served.ok()??.as_str()?.trim().parse().ok()
}
