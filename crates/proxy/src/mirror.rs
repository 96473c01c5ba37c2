//! `RequestMirror`: a copy of a request for a backend whose answer nobody waits for.
//!
//! A copy is sent once, on a task of the client's connection: at most [`MIRRORS_MAX`] are under way for one connection,
//! those beyond it are not sent, and they end with it.
//! Source: Gateway API v1.6, HTTPRequestMirrorFilter.

use crate::client_io::Watch;
use crate::core::Core;
use crate::upstream::{Outbound, Payload, try_once};
use routing::{Rule, Weighted};
use state::Backend;
use std::net::SocketAddr;
use std::rc::Rc;

/// Copies under way for one client connection.
pub(crate) const MIRRORS_MAX: usize = 16;

/// Whether a rule mirrors: then the body is held, because it is sent more than once.
pub(crate) fn wants_body(rule: &Rule<Backend>) -> bool {
    let own = rule.backends.iter().filter_map(|backend| backend.filters.as_ref());
    !rule.filters.mirrors.is_empty() || own.into_iter().any(|filters| !filters.mirrors.is_empty())
}

/// Sends a copy of `outbound` to each mirror that is drawn.
pub(crate) fn send(
    core: &Rc<Core>,
    watch: &Rc<Watch>,
    rule: &Rule<Backend>,
    backend: &Weighted<Backend>,
    outbound: &Outbound,
) {
    if !wants_body(rule) {
        return;
    }
    // A generator of its own: whose turn it is may need the thread's.
    let mut random = core.random.borrow_mut().fork();
    for mirror in rule.mirrors(backend, &mut random) {
        let Some(endpoint) = endpoint(core, mirror) else { continue };
        let body = match &outbound.body {
            Payload::Held(held) => Payload::Held(Rc::clone(held)),
            Payload::Empty => Payload::Empty,
            Payload::Streamed(_) => continue,
        };
        let copy = Outbound { head: outbound.head.clone(), body };
        let core = Rc::clone(core);
        watch.mirror(async move { try_once(&core, endpoint, copy).await });
    }
}

/// A mirror is not admitted or picked for: it takes its turn among the endpoints, and counts for nobody.
fn endpoint(core: &Core, mirror: &Backend) -> Option<SocketAddr> {
    match mirror {
        Backend::Service(service) => service.endpoints.get(core.turn(service)).copied(),
        Backend::Pool(pool) => {
            let at = core.turn_of(std::sync::Arc::as_ptr(pool).addr(), pool.endpoints.len());
            pool.endpoints.get(at).map(|(_, key)| key.address)
        }
        Backend::Broken(_) => None,
    }
}
