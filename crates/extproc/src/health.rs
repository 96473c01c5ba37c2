//! `grpc.health.v1.Health`: whether to send anything here.
//!
//! Source: the gRPC health checking protocol; which service names are known is GAIE's.

use crate::grpc::Status;
use crate::replies::Replies;
use crate::session::{Next, Session};
use crate::wire::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse, ServingStatus,
};
use journey::Now;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Path of the method that asks for one service.
pub(crate) const CHECK_PATH: &str = "/grpc.health.v1.Health/Check";
/// Path of the method that asks for all.
pub(crate) const LIST_PATH: &str = "/grpc.health.v1.Health/List";

/// Whether the process should get streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Serving {
    /// Not yet, or not any more.
    No = 0,
    /// Yes.
    Yes = 1,
}

/// What is told of health, to anybody who asks: of the process's, or of a port's.
#[derive(Debug)]
pub struct Health {
    serving: AtomicU8,
    known: Known,
}

/// The names of services that are asked for.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// Every name is answered alike.
    Any,
    /// These; another is `SERVICE_UNKNOWN`.
    Names { live: &'static [&'static str], ready: &'static [&'static str] },
}

impl Health {
    /// Health that is the same by whatever name it is asked for.
    pub fn of_any_name() -> Health {
        Health { serving: AtomicU8::new(Serving::No as u8), known: Known::Any }
    }

    /// Health of services `live`, which serve as long as the process lives, and `ready`, which serve when it does.
    pub fn of_names(live: &'static [&'static str], ready: &'static [&'static str]) -> Health {
        Health { serving: AtomicU8::new(Serving::No as u8), known: Known::Names { live, ready } }
    }

    /// The process serves, or does not.
    pub fn becomes(&self, serving: Serving) {
        self.serving.store(serving as u8, Relaxed);
    }

    /// Whether it does.
    pub fn serving(&self) -> Serving {
        if self.serving.load(Relaxed) == Serving::Yes as u8 { Serving::Yes } else { Serving::No }
    }

    /// The status of a service.
    fn status(&self, service: &str) -> ServingStatus {
        let ready = match self.serving() {
            Serving::Yes => ServingStatus::Serving,
            Serving::No => ServingStatus::NotServing,
        };
        match self.known {
            Known::Any => ready,
            Known::Names { live, .. } if live.contains(&service) => ServingStatus::Serving,
            Known::Names { ready: names, .. } if names.contains(&service) => ready,
            Known::Names { .. } => ServingStatus::ServiceUnknown,
        }
    }

    fn list(&self) -> HealthListResponse {
        let names = match self.known {
            Known::Any => vec![crate::wire::SERVICE],
            Known::Names { live, ready } => [live, ready].concat(),
        };
        let statuses = names
            .into_iter()
            .map(|name| (name.to_owned(), HealthCheckResponse { status: self.status(name) as i32 }));
        HealthListResponse { statuses: statuses.collect() }
    }
}

/// One question about health.
#[derive(Debug)]
pub(crate) struct Asked<M> {
    health: Arc<Health>,
    message: PhantomData<fn(M)>,
}

impl<M> Asked<M> {
    pub(crate) fn new(health: &Arc<Health>) -> Asked<M> {
        Asked { health: Arc::clone(health), message: PhantomData }
    }
}

impl Session for Asked<HealthCheckRequest> {
    type Message = HealthCheckRequest;

    fn on(&mut self, asked: HealthCheckRequest, _now: Now, replies: &mut Replies) -> Next {
        replies.send(&HealthCheckResponse { status: self.health.status(&asked.service) as i32 });
        Next::End(Status::OK)
    }
}

impl Session for Asked<HealthListRequest> {
    type Message = HealthListRequest;

    fn on(&mut self, _asked: HealthListRequest, _now: Now, replies: &mut Replies) -> Next {
        replies.send(&self.health.list());
        Next::End(Status::OK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_live_ready_or_unknown_and_any_name_will_do_where_none_is_known() {
        let any = Health::of_any_name();
        let named = Health::of_names(&["liveness"], &["readiness", ""]);
        for (serving, ready) in
            [(Serving::No, ServingStatus::NotServing), (Serving::Yes, ServingStatus::Serving)]
        {
            any.becomes(serving);
            named.becomes(serving);
            assert_eq!(any.status("whatever"), ready);
            assert_eq!(named.status("liveness"), ServingStatus::Serving);
            assert_eq!(named.status(""), ready);
            assert_eq!(named.status("other"), ServingStatus::ServiceUnknown);
        }
        assert_eq!(named.list().statuses.len(), 3);
    }
}
