//! Opening a connection to an endpoint.

use super::heard::{Heard, HeardStream};
use super::pool::{Connection, Lease};
use crate::core::Core;
use crate::deadlines::before;
use crate::socket;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use telemetry::Side;
use tokio::net::TcpStream;

/// What is read of a response at once, and the longest head of one, bytes: a response waits for its client in pieces of this
/// size, and one that comes token by token is far below it.
const RESPONSE_READ_BYTES: usize = 64 << 10;

/// Connects within the settings' time and starts the connection's task on this thread.
pub(crate) async fn connect(core: &Core, endpoint: SocketAddr) -> io::Result<Lease> {
    let limit = core.settings.connect_timeout;
    let deadline = core.deadlines.after(limit);
    let Some(connected) = before(&deadline, open(core, endpoint)).await else {
        let message = format!("no connection within {}s", limit.as_secs_f32());
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    };
    Ok(Lease { endpoint, connection: connected? })
}

async fn open(core: &Core, endpoint: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(endpoint).await?;
    socket::tune(&stream)?;
    let heard = Heard::new();
    let io = TokioIo::new(HeardStream { stream, heard: heard.clone() });
    let handshake = http1::Builder::new().max_buf_size(RESPONSE_READ_BYTES).handshake(io);
    let (sender, connection) = handshake.await.map_err(io::Error::other)?;
    let open = core.telemetry.connection(Side::Upstream);
    tokio::task::spawn_local(async move {
        // Whoever waits for a response on it is told by hyper; between two responses nobody is concerned.
        let _ = connection.await;
        drop(open);
    });
    Ok(Connection { sender, heard })
}

/// Whether a failure to connect is the endpoint's or this process's own.
pub(crate) fn is_ours(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL: nothing was asked of the endpoint.
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12 | 99))
}
