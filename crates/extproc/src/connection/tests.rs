use super::*;
use crate::bbr::{Bbr, BbrSettings, PassOn};
use crate::modes::BodyMode;
use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::rt::TokioExecutor;
use journey::BodyPace;
use payload::Budget;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::task::LocalSet;

/// What a client begins with: the preface, and its settings, none.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Enough that nobody waits to write.
const PIPE_BYTES: usize = 64 << 10;

/// Serves one end of a pipe until the connection ends.
async fn served(stream: DuplexStream, draining: watch::Receiver<bool>) {
    let settings = BbrSettings {
        pass_on: PassOn::Early,
        fields: Arc::default(),
        body_mode: BodyMode::Streamed,
        body_bytes_max: 1 << 20,
        body_pace: BodyPace { stall_timeout: Duration::from_secs(30), rate_min: 1024 },
    };
    let door = Bbr::new(settings, Arc::default(), Budget::new(1 << 20), Arc::default());
    let core = Core { door: Rc::new(door), settings: Arc::default(), clock: Clock::start() };
    let deadline = Instant::now() + core.settings.handshake_timeout;
    let serving = greet(Rc::new(core), stream, Services::default(), draining, deadline);
    LocalSet::new().run_until(serving).await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_greet_is_let_go_in_time() {
    for (sent, seconds) in
        [(&GREETING[..0], 10), (&GREETING[..23], 10), (b"GET / HTTP/1.1\r\n\r\n and more", 0)]
    {
        let (mut client, server) = duplex(PIPE_BYTES);
        let draining = watch::Sender::new(false);
        client.write_all(sent).await.unwrap();
        let begun = Instant::now();
        served(server, draining.subscribe()).await;
        assert_eq!(begun.elapsed().as_secs(), seconds, "{sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_did_not_greet_does_not_hold_up_a_drain() {
    let (_client, server) = duplex(PIPE_BYTES);
    let draining = watch::Sender::new(true);
    let begun = Instant::now();
    served(server, draining.subscribe()).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_greeted_may_lie_idle_as_long_as_it_answers_pings() {
    const LONG: Duration = Duration::from_secs(24 * 3600);
    let (client, server) = duplex(PIPE_BYTES);
    let draining = watch::Sender::new(false);
    let client = TokioIo::new(client);
    let (_sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), client)
            .await
            .unwrap();
    tokio::spawn(connection);
    let ended = tokio::time::timeout(LONG, served(server, draining.subscribe())).await;
    assert!(ended.is_err(), "it was closed");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_greeted_and_answers_no_ping_is_gone() {
    let (mut client, server) = duplex(PIPE_BYTES);
    let draining = watch::Sender::new(false);
    client.write_all(GREETING).await.unwrap();
    let begun = Instant::now();
    served(server, draining.subscribe()).await;
    assert_eq!(begun.elapsed().as_secs(), (PING_INTERVAL + PING_TIMEOUT).as_secs());
}
