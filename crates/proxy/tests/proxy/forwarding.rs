//! What passes through, and what it looks like on the other side.

use crate::support::{Endpoint, GATEWAY, Gate, answer, get, ok, post, route, service, settings, to_service};

#[test]
fn a_request_and_its_response_pass_through() {
    let endpoint = Endpoint::answering(answer("201 Created", "x-mine: 1\r\n", "hello"));
    let gate = Gate::start(&to_service(&[endpoint.address]));
    let mut client = gate.client();
    for _ in 0..3 {
        client.send(post("/a/b?c=d", "content-type: text/plain\r\n", "body"));
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (201, "hello"));
        assert_eq!(response.header("x-mine"), Some("1"));
    }
    let got = endpoint.got();
    assert_eq!(got.len(), 3);
    assert_eq!(got[0].head.start, "POST /a/b?c=d HTTP/1.1");
    assert_eq!(got[0].header("host"), Some("a.example"));
    assert_eq!(got[0].body, b"body");
}
