//! What happens to the headers of a request and of a response on their way through.
//!
//! In: the headers as they came, and whether their sender is trusted. Out: the same map without hop-by-hop headers and
//! without what its sender may not say; what the next hop is told is added by the journey's later steps.
//! Never: a copy of the map.
//! Source: RFC 9110, 7.6.1; GAIE's header names.

use crate::settings::Trust;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body::Body;
use journey::Refusal;
use journey::headers::{DESTINATION_ENDPOINT, MODEL_NAME, REQUEST_ID};
use smallvec::SmallVec;

/// Who asked, as a chain of addresses.
pub(crate) const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client spoke.
pub(crate) const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What becomes of a header by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It travels on.
    Passes,
    /// It is about this connection only.
    HopByHop,
    /// `Connection`: hop-by-hop, and names others.
    Connection,
    /// It steers the gateway: only from a trusted peer.
    Steers,
    /// It steers the gateway, and is nobody's to send.
    SteersAlways,
    /// It tells who asked: only from a trusted peer; not counted as steering.
    Forwarded,
}

/// The class of a header, told by its name.
fn class(name: &str) -> Class {
    let bytes = name.as_bytes();
    match bytes[0] {
        b'x' => {}
        b'c' if name == "connection" => return Class::Connection,
        // The body is asked for by whoever reads it.
        b'e' if name == "expect" => return Class::HopByHop,
        b'k' if name == "keep-alive" => return Class::HopByHop,
        b'p' if name == "proxy-connection"
            || name == "proxy-authorization"
            || name == "proxy-authenticate" =>
        {
            return Class::HopByHop;
        }
        // Trailers are dropped: what they carry has passed no rule and no filter.
        b't' if name == "te" || name == "trailer" || name == "transfer-encoding" => return Class::HopByHop,
        b'u' if name == "upgrade" => return Class::HopByHop,
        _ => return Class::Passes,
    }
    if name.contains('_') {
        // Servers that pass headers on as CGI variables cannot tell `_` from `-`: what may not be said, not thus either.
        return class(&name.replace('_', "-"));
    }
    if name.starts_with("x-gateway-") {
        let always = name == MODEL_NAME || name.starts_with(DESTINATION_ENDPOINT.as_str());
        return if always { Class::SteersAlways } else { Class::Steers };
    }
    if name.starts_with("x-slo-") || name.starts_with("x-llm-d-") {
        return Class::Steers;
    }
    if name.starts_with("x-forwarded-") { Class::Forwarded } else { Class::Passes }
}

/// Takes away what a request's sender may not say and what is about its connection only. Tells how many steering
/// headers were taken away because the peer is not trusted.
pub(crate) fn clean_request(headers: &mut HeaderMap, trust: Trust) -> u32 {
    let mut gone: SmallVec<[HeaderName; 8]> = SmallVec::new();
    let mut steering = 0;
    for name in headers.keys() {
        let class = class(name.as_str());
        let leaves = match (class, trust) {
            (Class::Passes, _) | (Class::Steers | Class::Forwarded, Trust::Trusted) => false,
            (Class::Connection, _) => {
                named_by_connection(headers, &mut gone);
                true
            }
            _ => true,
        };
        steering += u32::from(leaves && matches!(class, Class::Steers | Class::SteersAlways));
        if leaves {
            gone.push(name.clone());
        }
    }
    for name in &gone {
        headers.remove(name);
    }
    steering
}

/// Refuses a body in a transfer coding that nobody here undoes: without its header it would be passed on as something else.
pub(crate) fn only_chunked(headers: &HeaderMap) -> Result<(), Refusal> {
    match headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        true => Ok(()),
        false => Err(Refusal::MalformedRequest { what: "its `Transfer-Encoding` is not `chunked` alone" }),
    }
}

/// Takes away what is about the endpoint's connection only.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    let mut gone: SmallVec<[HeaderName; 8]> = SmallVec::new();
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // "Transfer-Encoding overrides the Content-Length" (RFC 9112, 6.3): the length is not the body's.
        gone.push(header::CONTENT_LENGTH);
    }
    for name in headers.keys() {
        if *name == header::CONNECTION {
            named_by_connection(headers, &mut gone);
        } else if ![KEEP_ALIVE, PROXY_CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE].contains(name) {
            continue;
        }
        gone.push(name.clone());
    }
    for name in &gone {
        headers.remove(name);
    }
}

/// The headers that `Connection` names. Those that frame a message are never removed on a peer's word.
fn named_by_connection(headers: &HeaderMap, gone: &mut SmallVec<[HeaderName; 8]>) {
    for value in headers.get_all(header::CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if let Ok(name) = HeaderName::from_bytes(token)
                && name != header::CONTENT_LENGTH
                && name != header::HOST
                && name != header::CONTENT_TYPE
                && name != header::CONTENT_ENCODING
            {
                gone.push(name);
            }
        }
    }
}

/// Tells the endpoint who asked. A trusted peer's own chain is kept and grows; a stranger's was taken away.
pub(crate) fn forward(headers: &mut HeaderMap, peer: &HeaderValue, scheme: &'static str) {
    let chain = {
        let hops = headers.get_all(FORWARDED_FOR).iter().chain([peer]).map(HeaderValue::as_bytes);
        hops.collect::<SmallVec<[&[u8]; 4]>>().join(&b", "[..])
    };
    let chain = HeaderValue::try_from(chain).expect("header values joined by commas are one");
    headers.insert(FORWARDED_FOR, chain);
    headers.entry(FORWARDED_PROTO).or_insert_with(|| HeaderValue::from_static(scheme));
}

/// Tells the next hop the request's id.
pub(crate) fn tell_request_id(headers: &mut HeaderMap, id: &str) {
    let value = HeaderValue::from_str(id).expect("an id is visible ASCII");
    headers.insert(REQUEST_ID, value);
}

/// Says how a body that streams through is framed: by its length if it has one, else in chunks, whatever the method.
pub(crate) fn frame_streamed(headers: &mut HeaderMap, body: &impl Body) {
    if body.size_hint().exact().is_none() {
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_are_removed() {
        let mut headers = map(&[
            ("connection", "close, X-Mine"),
            ("connection", "content-length"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-connection", "keep-alive"),
            ("content-length", "3"),
            ("accept", "*/*"),
        ]);
        assert_eq!(clean_request(&mut headers.clone(), Trust::Trusted), 0);
        clean_request(&mut headers, Trust::Stranger);
        assert_eq!(names(&headers), ["accept", "content-length"]);
    }

    #[test]
    fn a_stranger_steers_nothing_and_a_trusted_peer_neither_model_nor_endpoint() {
        let steering = [
            ("x-gateway-inference-objective", "vip"),
            ("x-gateway-inference-fairness-id", "me"),
            ("x-slo-ttft-ms", "1"),
            ("x-llm-d-anything", "1"),
            ("x-gateway-model-name", "chatbot"),
            ("x-gateway-destination-endpoint", "10.0.0.1:1"),
            ("x-gateway-destination-endpoint-subset", "10.0.0.1:1"),
            ("test-epp-endpoint-selection", "10.0.0.1"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-api-key", "secret"),
        ];
        let mut stranger = map(&steering);
        assert_eq!(clean_request(&mut stranger, Trust::Stranger), 7);
        assert_eq!(names(&stranger), ["test-epp-endpoint-selection", "x-api-key"]);
        let mut trusted = map(&steering);
        assert_eq!(clean_request(&mut trusted, Trust::Trusted), 3);
        assert_eq!(names(&trusted).len(), 7);
    }

    #[test]
    fn a_steering_header_with_underscores_steers_nothing_either() {
        let mut headers =
            map(&[("x_gateway_model_name", "a"), ("x-gateway_model-name", "b"), ("x_mine", "c")]);
        assert_eq!(clean_request(&mut headers, Trust::Trusted), 2);
        assert_eq!(names(&headers), ["x_mine"]);
    }

    #[test]
    fn the_chain_of_addresses_grows_only_behind_a_trusted_peer() {
        let peer = HeaderValue::from_static("9.9.9.9");
        let mut headers = map(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https")]);
        forward(&mut headers, &peer, "http");
        assert_eq!(headers[FORWARDED_FOR], "1.2.3.4, 9.9.9.9");
        assert_eq!(headers[FORWARDED_PROTO], "https");
        let mut headers = map(&[("x-forwarded-for", "1.2.3.4"), ("x-forwarded-for", "5.6.7.8")]);
        forward(&mut headers, &peer, "http");
        assert_eq!(headers[FORWARDED_FOR], "1.2.3.4, 5.6.7.8, 9.9.9.9");
        assert_eq!(headers.get_all(FORWARDED_FOR).iter().count(), 1);
        let mut headers = map(&[]);
        forward(&mut headers, &peer, "http");
        assert_eq!(headers[FORWARDED_FOR], "9.9.9.9");
        assert_eq!(headers[FORWARDED_PROTO], "http");
    }

    #[test]
    fn a_response_loses_what_is_about_the_endpoints_connection_and_what_that_names() {
        let mut headers = map(&[
            ("connection", "close, x-hop, content-type"),
            ("content-type", "text/plain"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("upgrade", "h2c"),
            ("x-hop", "1"),
            ("x-kept", "1"),
        ]);
        clean_response(&mut headers);
        assert_eq!(names(&headers), ["content-type", "x-kept"]);
    }

    #[test]
    fn a_body_in_another_transfer_coding_than_chunked_is_refused() {
        for (codings, taken) in [
            (&[][..], true),
            (&["chunked"], true),
            (&["Chunked"], true),
            (&["gzip, chunked"], false),
            (&["gzip", "chunked"], false),
            (&["identity"], false),
        ] {
            let headers =
                codings.iter().map(|coding| (header::TRANSFER_ENCODING, HeaderValue::from_static(coding)));
            let mut map = HeaderMap::new();
            headers.for_each(|(name, value)| {
                map.append(name, value);
            });
            assert_eq!(only_chunked(&map).is_ok(), taken, "{codings:?}");
        }
    }
}
