//! `header-based-testing-filter`: the endpoints that a test names.

use crate::Load;
use std::net::{IpAddr, SocketAddr};

/// Keeps the endpoints that the request's `test-epp-endpoint-selection` header names; without the header, nobody. For
/// conformance tests, and read only where the process allows it: with it a client chooses its endpoint.
/// Source: GAIE, `header-based-testing-filter`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeaderBasedTestingFilter;

impl HeaderBasedTestingFilter {
    /// The plugin's type.
    pub const NAME: &str = "header-based-testing-filter";

    /// The header that it reads.
    pub const HEADER: &str = "test-epp-endpoint-selection";

    /// Whether the header's value, a list of `ip` and `ip:port` with commas between, names this endpoint.
    pub fn names(value: &str, endpoint: SocketAddr) -> bool {
        value.split(',').map(str::trim).any(|item| {
            let bare = item.trim_start_matches('[').trim_end_matches(']');
            match (item.parse::<SocketAddr>(), bare.parse::<IpAddr>()) {
                (Ok(exact), _) => exact == endpoint,
                (_, Ok(ip)) => ip == endpoint.ip(),
                _ => false,
            }
        })
    }

    pub(super) fn keep(self, candidates: &mut Vec<Load>) {
        candidates.retain(|load| load.test_selected);
    }
}
