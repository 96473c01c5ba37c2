//! Connections to endpoints that wait for their next request; each data thread has its own.

use super::heard::Heard;
use crate::body::UpstreamBody;
use crate::deadlines::Deadlines;
use crate::settings::Settings;
use hyper::client::conn::http1::SendRequest;
use journey::Now;
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// A connection's handle; its socket lives in a task of this thread, which also notices that the endpoint closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<UpstreamBody>,
    pub(crate) heard: Heard,
}

/// Idle connections by endpoint, newest last.
#[derive(Debug)]
pub(crate) struct Endpoints {
    idle: RefCell<HashMap<SocketAddr, Vec<Idle>, foldhash::fast::RandomState>>,
    deadlines: Rc<Deadlines>,
    idle_timeout: Duration,
    idle_max: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Now,
}

impl Endpoints {
    pub(crate) fn new(settings: &Settings, deadlines: Rc<Deadlines>) -> Endpoints {
        Endpoints {
            idle: RefCell::default(),
            deadlines,
            idle_timeout: settings.upstream_idle_timeout,
            // Its share, not a shared counter: what is idle here is never looked for by another thread.
            idle_max: settings.upstream_idle_max.div_ceil(settings.cores.max(1)),
        }
    }

    /// The connection that was used last and still stands: the others may grow old and be closed.
    pub(crate) fn take(&self, endpoint: SocketAddr) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.get_mut(&endpoint)?;
        while let Some(Idle { connection, since }) = waiting.pop() {
            if self.deadlines.coarse().since(since) > self.idle_timeout {
                waiting.clear();
                break;
            }
            // Not ready: closed by the endpoint, or an early answer whose request is still being written.
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn put(&self, endpoint: SocketAddr, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let waiting = idle.entry(endpoint).or_default();
        if waiting.len() < self.idle_max {
            waiting.push(Idle { connection, since: self.deadlines.coarse() });
        }
    }

    /// Closes what has waited too long, and forgets endpoints that nobody asks for.
    pub(crate) fn reap(&self) {
        let now = self.deadlines.coarse();
        self.idle.borrow_mut().retain(|_, waiting| {
            let old = waiting.partition_point(|idle| now.since(idle.since) > self.idle_timeout);
            waiting.drain(..old);
            !waiting.is_empty()
        });
    }

    /// Closes everything.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}

/// A connection in use. Dropped before it is [released](Lease::release) it is closed, and with it the request that is
/// under way.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) endpoint: SocketAddr,
    pub(crate) connection: Connection,
}

impl Lease {
    /// The response came whole: the connection may serve another request.
    pub(crate) fn release(self, endpoints: &Endpoints) {
        endpoints.put(self.endpoint, self.connection);
    }
}
