//! Requests that two readers could read differently: refused, and nothing of them is forwarded.

use crate::support::{Endpoint, Gate, ok, to_service};

/// What follows a smuggled request's head.
const INNER: &str = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn ambiguous_framing_is_refused() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let table = [
        "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "content-length: 5, 6\r\n\r\nhello",
        "content-length: +5\r\n\r\nhello",
        "content-length: -1\r\n\r\nhello",
        "content-length: 0x5\r\n\r\nhello",
        "content-length: \r\n\r\n",
        "transfer-encoding: gzip\r\n\r\nhello",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        " transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "x: y\r\n folded: 1\r\n\r\n",
        "x\0y: 1\r\n\r\n",
        "x: a\rb\r\n\r\n",
        "no-colon\r\n\r\n",
        "host: b\r\n\r\n",
    ];
    for headers in table {
        let mut client = gate.client();
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{headers}{INNER}"));
        let status = client.try_response().map(|response| response.status);
        assert!(matches!(status, None | Some(400 | 501)), "{headers:?} was answered {status:?}");
        client.end_sending();
        assert!(client.is_closed(), "{headers:?}");
    }
    let smuggled = |got: &crate::support::Got| got.head.start.contains("smuggled");
    assert!(!endpoint.got().iter().any(smuggled), "{:?}", endpoint.got());
}

#[test]
fn a_length_beside_chunks_never_reaches_the_endpoint() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    let body = format!("5\r\nhello\r\n0\r\n\r\n{INNER}");
    client.send(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\ntransfer-encoding: chunked\r\n\r\n{body}",
        body.len()
    ));
    client.try_response();
    client.end_sending();
    assert!(client.is_closed());
    for got in endpoint.got() {
        assert!(
            got.header("content-length").is_none() || got.header("transfer-encoding").is_none(),
            "{got:?}"
        );
    }
}

#[test]
fn bad_chunks_break_the_request_off() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    for chunks in [
        "5;ext\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nhello",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
    ] {
        let mut client = gate.client();
        client.send(format!(
            "POST /bad HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{INNER}"
        ));
        let status = client.try_response().map(|response| response.status);
        assert!(matches!(status, None | Some(400 | 408 | 502)), "{chunks:?} was answered {status:?}");
    }
    for got in endpoint.got() {
        assert!(!got.whole && !got.head.start.contains("smuggled"), "{got:?}");
    }
}

#[test]
fn a_peer_cannot_put_a_line_into_the_head_that_is_sent_on() {
    let endpoint = Endpoint::answering(ok("ok"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    gate.ask("GET /a%0d%0ax:1 HTTP/1.1\r\nhost: a\r\nx-request-id: a%0d%0ab\r\n\r\n");
    assert_eq!(endpoint.got()[0].head.start, "GET /a%0d%0ax:1 HTTP/1.1");
    assert_eq!(endpoint.got()[0].header("x"), None);
}
