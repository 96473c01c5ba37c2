//! What a request's target is: its host, its path, and both as they are sent on.
//!
//! Source: RFC 9112, 3.2; RFC 9110, 7.2.

use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Uri};
use http::{Method, Version, request};
use journey::Refusal;
use routing::{Rule, Weighted};
use state::Backend;
use std::borrow::Cow;

/// The path, as sent. `*` and an empty one are themselves.
pub(crate) fn path(head: &request::Parts) -> &str {
    head.uri.path()
}

/// The host: lower case, without its port; empty where HTTP/1.0 sends none. An absolute target's own host goes before
/// the header. HTTP/1.1 with no host or several is malformed, and a favourite of smugglers.
pub(crate) fn host(head: &request::Parts) -> Result<Cow<'_, str>, Refusal> {
    let mut values = head.headers.get_all(HOST).iter();
    let value = values.next();
    let malformed = |what| Refusal::MalformedRequest { what };
    if values.next().is_some() {
        return Err(malformed("`Host` stands twice"));
    }
    if head.method == Method::CONNECT {
        return Err(malformed("CONNECT is not served"));
    }
    let named = match (head.uri.authority(), value) {
        (Some(authority), _) => authority.as_str(),
        (None, Some(value)) => value.to_str().map_err(|_| malformed("`Host` is not a host"))?,
        (None, None) if head.version < Version::HTTP_11 => "",
        (None, None) => return Err(malformed("`Host` is missing")),
    };
    if !named.bytes().all(may_stand_in_a_host) {
        return Err(malformed("`Host` is not a host"));
    }
    let host = without_port(named);
    Ok(if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    })
}

/// RFC 3986, 3.2.2: unreserved, percent-encoded and sub-delims, and the brackets and colons of an address with a port.
fn may_stand_in_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=[]:".contains(&byte)
}

/// `example.com:80` and `[::1]:80` without `:80`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => {
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

/// Writes the target as an endpoint is to see it: path and query, rewritten by the route's filters, over HTTP/1.1.
/// `None` if the rewritten path is none.
pub(crate) fn to_origin_form(
    head: &mut request::Parts,
    rule: &Rule<Backend>,
    backend: &Weighted<Backend>,
) -> Option<()> {
    head.version = Version::HTTP_11;
    // "the host and port of the request target" win over `Host` (RFC 9112, 3.2.2), whatever becomes of the path.
    let authority = head.uri.authority().map(Authority::as_str);
    if let Some(host) = authority.and_then(|host| HeaderValue::from_str(host).ok()) {
        head.headers.insert(HOST, host);
    }
    if let Some(path) = rule.rewritten_path(backend, head.uri.path()) {
        let target = match head.uri.query() {
            Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
            None => PathAndQuery::try_from(path.as_ref()),
        };
        head.uri = Uri::from(target.ok()?);
    } else if head.uri.authority().is_some() {
        let target = head.uri.path_and_query().cloned();
        head.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    if let Some(host) = rule.rewritten_host(backend) {
        head.headers.insert(HOST, host.clone());
    }
    head.headers.entry(HOST).or_insert_with(|| HeaderValue::from_static(""));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn head(target: &str, hosts: &[&'static str], version: Version) -> request::Parts {
        let mut request = Request::builder().uri(target).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_host_is_lower_case_and_has_no_port() {
        for (target, hosts, expected) in [
            ("/", &["Example.COM:8080"][..], "example.com"),
            ("/", &["example.com"], "example.com"),
            ("/", &["[::1]:8080"], "[::1]"),
            ("/", &["[::1]"], "[::1]"),
            ("http://other.example:1/p", &["example.com"], "other.example"),
        ] {
            assert_eq!(host(&head(target, hosts, Version::HTTP_11)).unwrap(), expected, "{target} {hosts:?}");
        }
        assert_eq!(host(&head("/", &[], Version::HTTP_10)).unwrap(), "");
    }

    #[test]
    fn what_cannot_be_a_host_is_malformed() {
        for value in ["a b", "a/b", "user@a", "a?b", "a\\b", "a\"b", "<a>"] {
            let refused = host(&head("/", &[value], Version::HTTP_11)).unwrap_err();
            assert!(matches!(refused, Refusal::MalformedRequest { .. }), "{value}: {refused}");
        }
    }

    #[test]
    fn a_missing_or_second_host_is_malformed() {
        for hosts in [&[][..], &["a", "a"], &["a", "b"]] {
            let refused = host(&head("/", hosts, Version::HTTP_11)).unwrap_err();
            assert!(matches!(refused, Refusal::MalformedRequest { .. }), "{hosts:?}: {refused}");
        }
    }
}
