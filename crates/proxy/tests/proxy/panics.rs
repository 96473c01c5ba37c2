//! A request that panics ends alone.

use crate::support::{Endpoint, Gate, PATIENCE, chunk, post, to_pool, until};
use std::sync::Mutex;
use std::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const CHAT: &str = r#"{"model":"m","messages":[]}"#;
const BEGUN: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
/// The host whose requests panic, once their answer's head has come.
const FAULTY: &str = "faulty.example";

/// What the panic says.
const FAULT: &str = "a test's fault";

/// A log that cannot bear to hear of one host: the only way to have a sound journey panic.
struct Fragile;

impl Subscriber for Fragile {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "proxy::request"
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fragile);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Fragile {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        assert!(format!("{value:?}") != FAULTY, "{FAULT}");
    }
}

#[test]
fn a_panic_ends_its_own_connection_gives_its_reservation_back_and_is_counted() {
    tracing::subscriber::set_global_default(Fragile).unwrap();
    // Nobody needs its backtrace, which may take longer to write than the others have patience.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(FAULT) {
            tell(panic);
        }
    }));
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let endpoint = Endpoint::start(move |mut connection| {
        while connection.request().is_some() {
            connection.send(BEGUN);
            connection.send(chunk("begun "));
            wait.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            connection.send([&chunk("ended"), "0\r\n\r\n"].concat());
        }
    });
    let gate = Gate::start(&to_pool(&[endpoint.address]));
    let mut other = gate.client();
    other.send(post("/v1/completions", "", CHAT));
    other.head();
    assert_eq!(other.chunk().unwrap(), b"begun ");

    let mut faulty = gate.client();
    faulty.send(post("/v1/completions", "", CHAT).replace("a.example", FAULTY));
    assert!(faulty.try_response().is_none(), "the panic ends its connection");
    until("its reservation is given back", || (gate.in_flight() == 1).then_some(()));
    until("its connection is counted out", || (gate.handle().connections() == 1).then_some(()));
    let metrics = gate.telemetry.text(&telemetry::Gauges::default());
    assert!(metrics.contains("\npointsman_panics_total 1\n"), "{metrics}");

    go.send(()).unwrap();
    assert_eq!(other.chunk().unwrap(), b"ended");
    assert_eq!(other.chunk().unwrap(), b"");
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(gate.ask(&post("/v1/completions", "", CHAT)).status, 200);
    until("every reservation is given back", || (gate.in_flight() == 0).then_some(()));
}
