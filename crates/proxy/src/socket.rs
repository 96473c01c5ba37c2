//! How every TCP connection of this door is set, to clients and to endpoints.
//!
//! Not set, on purpose: `TCP_USER_TIMEOUT`. It would end a connection whose peer takes no byte for so long even if its system
//! answers each probe: a busy model server that lets a long prompt wait in its socket. And it takes the place of the count of
//! keepalive's probes. What is lost is little: bytes that a dead machine never acknowledged are given up by the system's
//! own count (15 minutes), or by a route's time limits before.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;

/// A peer that has said nothing for so long is asked by the kernel whether it is still there, and asked again as often.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Questions without an answer after which the connection is broken: a machine that lost its power says no goodbye, and a
/// request that it had taken would wait for ever.
const KEEPALIVE_PROBES: u32 = 4;

/// Sends small pieces at once, and notices a peer that is gone.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVE_PROBES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_connection_asks_whether_its_peer_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tune(&stream).unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
    }
}
