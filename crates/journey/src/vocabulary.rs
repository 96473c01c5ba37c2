//! The words of a request.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A moment, in nanoseconds since the process (or the simulation) began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(pub u64);

impl Now {
    /// Time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Now) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `after` more.
    pub fn plus(self, after: Duration) -> Now {
        Now(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A count with its noun, as a message says it: `1 endpoint`, `2 endpoints`.
pub fn counted(count: impl TryInto<u64> + Display + Copy, noun: &str) -> String {
    let plural = if matches!(count.try_into(), Ok(1)) { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// The model that is sent: the name asked for, or what a rewrite made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetModel(pub Arc<str>);

/// What an endpoint's state is keyed by: it survives every reload, and a new Pod at an old address starts afresh.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointKey {
    /// The Pod's UID, where there is one.
    pub pod_uid: Option<Arc<str>>,
    /// Address and port.
    pub address: SocketAddr,
}
