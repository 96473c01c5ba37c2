//! Step 5 of 5, learn: whose answer a response is, and so what it says of the endpoint.
//!
//! In: a response's head, and what the gateway says beside it. Out: how the request ends if the response comes whole.
//! An Envoy shows its own answers too (it calls them local replies): that nobody was reached, that somebody could not be, or
//! that a filter behind the picker refused. Where nothing tells them apart, a 5xx counts as the endpoint's failure: so Envoy
//! answers for one that it cannot reach, and one that fails unseen is worse than one that rests for a second.
//! Source: Envoy 1.40, "Response code details", router filter; Endpoint Picker Protocol, "Served Endpoint".

use crate::wire::{Headers, Value, attribute};
use bytes::Bytes;
use journey::Outcome;

/// The attribute that says how a response came about, where `response_attributes` of the gateway's filter ask for it.
const CODE_DETAILS: &str = "response.code_details";

/// Envoy writes it on what came from an endpoint, unless it is told to suppress its headers.
const UPSTREAM_SERVICE_TIME: &str = "x-envoy-upstream-service-time";

/// Envoy writes it on its own answer where a limit of the cluster kept the request from going anywhere.
const OVERLOADED: &str = "x-envoy-overloaded";

/// Whether the gateway named the endpoint that it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Yes,
    No,
}

/// How a request with this response ends if the response comes whole.
pub(super) fn outcome(status: u16, headers: &Headers<'_>, attributes: &[Bytes], named: Named) -> Outcome {
    let details = attribute(attributes, CODE_DETAILS).ok().flatten();
    if let Some(details) = details.as_ref().and_then(Value::as_str).filter(|details| !details.is_empty()) {
        return of_details(details, status);
    }
    if headers.get(UPSTREAM_SERVICE_TIME).is_some() {
        return Outcome::of_status(status);
    }
    match (status, named) {
        (500.., _) if headers.get(OVERLOADED).is_some() => Outcome::LocalReply,
        // A filter behind the picker redirects and refuses as a model server does.
        (300..500, Named::No) => Outcome::LocalReply,
        _ => Outcome::of_status(status),
    }
}

fn of_details(details: &str, status: u16) -> Outcome {
    let begins_with = |start| details.starts_with(start);
    match details {
        "via_upstream" => Outcome::of_status(status),
        _ if begins_with("upstream_reset_before_response_started{overflow") => Outcome::LocalReply,
        _ if begins_with("upstream_reset") => Outcome::Broken,
        // With another status it was the client's request that stood still.
        "response_timeout" | "stream_idle_timeout" | "max_duration_timeout" if status == 504 => {
            Outcome::TimedOut
        }
        _ if begins_with("upstream_") => Outcome::TimedOut,
        _ => Outcome::LocalReply,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{HttpHeaders, Struct};
    use Named::{No, Yes};
    use Outcome::{Broken, LocalReply, Served, TimedOut};
    use bytes::BytesMut;
    use prost::Message as _;

    fn error(status: u16) -> Outcome {
        Outcome::ServerError { status }
    }

    #[test]
    fn what_the_gateway_says_of_how_a_response_came_about_is_believed() {
        for (details, status, expected) in [
            ("via_upstream", 200, Served),
            ("via_upstream", 404, Served),
            ("via_upstream", 503, error(503)),
            ("upstream_reset_before_response_started{connection_termination}", 503, Broken),
            ("upstream_reset_before_response_started{remote_connection_failure|refused}", 503, Broken),
            ("upstream_reset_before_response_started{protocol_error}", 502, Broken),
            ("upstream_reset_before_response_started{overflow}", 503, LocalReply),
            ("upstream_per_try_timeout", 504, TimedOut),
            ("response_timeout", 504, TimedOut),
            ("stream_idle_timeout", 504, TimedOut),
            ("stream_idle_timeout", 408, LocalReply),
            ("max_duration_timeout", 504, TimedOut),
            ("no_healthy_upstream", 503, LocalReply),
            ("rbac_access_denied_matched_policy[all]", 403, LocalReply),
            ("direct_response", 200, LocalReply),
        ] {
            let attributes = attributes(details);
            // Whatever else is told.
            for (headers, named) in [(told(&[UPSTREAM_SERVICE_TIME]), Yes), (told(&[OVERLOADED]), No)] {
                assert_eq!(
                    outcome(status, &headers.read().unwrap(), &attributes, named),
                    expected,
                    "{details}"
                );
            }
        }
    }

    #[test]
    fn without_it_a_failure_is_the_endpoints_unless_a_limit_is_told_and_a_refusal_only_if_it_was_taken() {
        for (status, headers, named, expected) in [
            (200, &[][..], No, Served),
            (101, &[], No, Served),
            (503, &[], No, error(503)),
            (503, &[], Yes, error(503)),
            (503, &[OVERLOADED], No, LocalReply),
            (503, &[OVERLOADED], Yes, LocalReply),
            (503, &[OVERLOADED, UPSTREAM_SERVICE_TIME], Yes, error(503)),
            (403, &[], No, LocalReply),
            (403, &[], Yes, Served),
            (403, &[UPSTREAM_SERVICE_TIME], No, Served),
            (302, &[], No, LocalReply),
        ] {
            let found = outcome(status, &told(headers).read().unwrap(), &[], named);
            assert_eq!(found, expected, "{status} {headers:?} {named:?}");
        }
        for other in [attributes(""), vec![Bytes::from_static(&[2 << 3 | 2, 100])]] {
            assert_eq!(outcome(403, &told(&[]).read().unwrap(), &other, Yes), Served);
        }
    }

    fn attributes(details: &str) -> Vec<Bytes> {
        let object = Struct::of(CODE_DETAILS, Value::string(details)).encode_to_vec();
        let mut entry = BytesMut::new();
        prost::encoding::string::encode(1, &"envoy.filters.http.ext_proc".to_owned(), &mut entry);
        prost::encoding::bytes::encode(2, &object, &mut entry);
        vec![entry.freeze()]
    }

    fn told(names: &[&'static str]) -> HttpHeaders {
        HttpHeaders::of(names.iter().map(|name| (name.as_bytes(), &b"1"[..])), false)
    }
}
