//! What a rule does to a head: headers changed, path and host rewritten, or the request redirected or mirrored.
//!
//! Filters are compiled once; applying one cannot fail. Nothing is sent here.
//! Source: Gateway API v1.6, HTTPRouteFilter.

use crate::matching::after_prefix;
use crate::{Rule, Weighted};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use std::borrow::Cow;
use std::sync::Arc;

/// The filters of a rule or of a backendRef.
#[derive(Debug)]
pub struct Filters<B> {
    /// `RequestHeaderModifier`.
    pub request_headers: HeaderChanges,
    /// `ResponseHeaderModifier`.
    pub response_headers: HeaderChanges,
    /// `URLRewrite`.
    pub rewrite: Option<Rewrite>,
    /// `RequestRedirect`: nothing is sent to a backend.
    pub redirect: Option<Redirect>,
    /// `RequestMirror`, each with its share.
    pub mirrors: Vec<Mirror<B>>,
}

impl<B> Default for Filters<B> {
    fn default() -> Filters<B> {
        Filters {
            request_headers: HeaderChanges::default(),
            response_headers: HeaderChanges::default(),
            rewrite: None,
            redirect: None,
            mirrors: Vec::new(),
        }
    }
}

/// Changes to a set of headers; no name stands in two of the lists in a valid filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Replaced, or added where there is none.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Added to what is there.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Taken away.
    pub remove: Vec<HeaderName>,
}

impl HeaderChanges {
    /// Changes `headers`.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }

    /// True if nothing is changed.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }
}

/// A new path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathChange {
    /// The whole path; the query stays.
    Full(Arc<str>),
    /// Only the prefix that the rule matched; kept without its trailing slash.
    Prefix(Arc<str>),
}

impl PathChange {
    /// `matched` is the prefix that matched, without its trailing slash; a rule that matched otherwise has none, and
    /// then there is nothing to replace.
    fn apply<'p>(&'p self, path: &'p str, matched: Option<&str>) -> Cow<'p, str> {
        match self {
            PathChange::Full(full) => Cow::Borrowed(full),
            PathChange::Prefix(prefix) => match matched.and_then(|matched| after_prefix(path, matched)) {
                None => Cow::Borrowed(path),
                Some("") if prefix.is_empty() => Cow::Borrowed("/"),
                Some(rest) => Cow::Owned(format!("{prefix}{rest}")),
            },
        }
    }
}

/// `URLRewrite`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The `Host` sent upstream.
    pub hostname: Option<HeaderValue>,
    /// The path sent upstream.
    pub path: Option<PathChange>,
}

/// `RequestRedirect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`; `None` is the request's.
    pub scheme: Option<Arc<str>>,
    /// `None` is the request's host.
    pub hostname: Option<Arc<str>>,
    /// `None` leaves the path.
    pub path: Option<PathChange>,
    /// `None` follows from the scheme, or is the listener's.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: StatusCode,
}

/// `RequestMirror`: the request is also sent to a backend whose answer is not read.
#[derive(Debug, Clone)]
pub struct Mirror<B> {
    /// Where to.
    pub backend: B,
    /// Of `denominator` requests, these.
    pub numerator: u32,
    /// At least 1.
    pub denominator: u32,
}

/// How the request came, for a redirect's `Location`.
#[derive(Debug, Clone, Copy)]
pub struct Arrived<'r> {
    /// `http` or `https`.
    pub scheme: &'r str,
    /// The host, without its port.
    pub host: &'r str,
    /// The listener's port.
    pub port: u16,
    /// The path, as sent.
    pub path: &'r str,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
}

impl Redirect {
    /// The `Location`. The port is left out where the scheme implies it.
    fn location(&self, arrived: &Arrived<'_>, matched: Option<&str>) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(arrived.scheme);
        let well_known = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        let implied = if self.scheme.is_some() { well_known } else { None };
        let port = self.port.or(implied).unwrap_or(arrived.port);
        let host = self.hostname.as_deref().unwrap_or(arrived.host);
        let path = match &self.path {
            Some(change) => change.apply(arrived.path, matched),
            None => Cow::Borrowed(arrived.path),
        };
        let mut location = format!("{scheme}://{host}");
        if well_known != Some(port) {
            location.push_str(&format!(":{port}"));
        }
        location.push_str(&path);
        if let Some(query) = arrived.query {
            location.push('?');
            location.push_str(query);
        }
        location
    }
}

impl<B> Rule<B> {
    /// Where the client is sent instead, if the rule redirects. `None` also where the path sent by the client cannot
    /// stand in a header.
    pub fn redirect(&self, arrived: &Arrived<'_>) -> Option<(StatusCode, HeaderValue)> {
        let redirect = self.filters.redirect.as_ref()?;
        let location = redirect.location(arrived, self.prefix.as_deref());
        Some((redirect.status, HeaderValue::try_from(location).ok()?))
    }

    /// The path to send upstream to `backend`, if it is another than `path`.
    pub fn rewritten_path<'p>(&'p self, backend: &'p Weighted<B>, path: &'p str) -> Option<Cow<'p, str>> {
        let change = self.rewrites(backend).find_map(|rewrite| rewrite.path.as_ref())?;
        Some(change.apply(path, self.prefix.as_deref()))
    }

    /// The `Host` to send upstream to `backend`, if it is another than the client's.
    pub fn rewritten_host<'p>(&'p self, backend: &'p Weighted<B>) -> Option<&'p HeaderValue> {
        self.rewrites(backend).find_map(|rewrite| rewrite.hostname.as_ref())
    }

    /// The backendRef's own rewrite goes before the rule's.
    fn rewrites<'p>(&'p self, backend: &'p Weighted<B>) -> impl Iterator<Item = &'p Rewrite> {
        let own = backend.filters.as_deref().and_then(|filters| filters.rewrite.as_ref());
        own.into_iter().chain(self.filters.rewrite.as_ref())
    }

    /// Changes the headers to send upstream to `backend`: the rule's changes, then the backendRef's.
    pub fn change_request_headers(&self, backend: &Weighted<B>, headers: &mut HeaderMap) {
        self.filters.request_headers.apply(headers);
        if let Some(own) = &backend.filters {
            own.request_headers.apply(headers);
        }
    }

    /// Changes the headers of an answer of `backend`: the backendRef's changes, then the rule's.
    pub fn change_response_headers(&self, backend: &Weighted<B>, headers: &mut HeaderMap) {
        if let Some(own) = &backend.filters {
            own.response_headers.apply(headers);
        }
        self.filters.response_headers.apply(headers);
    }

    /// The backends that get a copy of this request, each drawn by its share.
    pub fn mirrors<'p>(
        &'p self,
        backend: &'p Weighted<B>,
        random: &'p mut fastrand::Rng,
    ) -> impl Iterator<Item = &'p B> {
        let own = backend.filters.iter().flat_map(|filters| &filters.mirrors);
        let drawn = move |mirror: &&Mirror<B>| random.u32(..mirror.denominator.max(1)) < mirror.numerator;
        self.filters.mirrors.iter().chain(own).filter(drawn).map(|mirror| &mirror.backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_a_prefix_follows_the_standards_table() {
        let table = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/bar", "/", "/xyz", "/xyz/bar"),
            ("/", "/", "/xyz", "/xyz/"),
        ];
        for (path, matched, replacement, expected) in table {
            let change = PathChange::Prefix(Arc::from(replacement.trim_end_matches('/')));
            let matched = matched.trim_end_matches('/');
            assert_eq!(change.apply(path, Some(matched)), expected, "{path} {matched} {replacement}");
        }
        assert_eq!(PathChange::Prefix(Arc::from("/xyz")).apply("/foo", None), "/foo");
        assert_eq!(PathChange::Full(Arc::from("/whole")).apply("/foo/bar", Some("/foo")), "/whole");
    }

    #[test]
    fn the_port_of_a_location_follows_the_standard() {
        let arrived =
            |port| Arrived { scheme: "http", host: "a.example", port, path: "/p", query: Some("q=1") };
        let to = |scheme: Option<&str>, port| Redirect {
            scheme: scheme.map(Arc::from),
            hostname: None,
            path: None,
            port,
            status: StatusCode::FOUND,
        };
        let table = [
            (to(None, None), 80, "http://a.example/p?q=1"),
            (to(None, None), 8080, "http://a.example:8080/p?q=1"),
            (to(Some("https"), None), 8080, "https://a.example/p?q=1"),
            (to(Some("http"), None), 8080, "http://a.example/p?q=1"),
            (to(Some("https"), Some(8443)), 80, "https://a.example:8443/p?q=1"),
            (to(Some("https"), Some(443)), 80, "https://a.example/p?q=1"),
            (to(None, Some(80)), 8080, "http://a.example/p?q=1"),
            (to(None, Some(443)), 8080, "http://a.example:443/p?q=1"),
        ];
        for (redirect, listener, expected) in table {
            assert_eq!(redirect.location(&arrived(listener), None), expected, "{redirect:?} on {listener}");
        }
    }

    #[test]
    fn headers_are_set_added_and_removed() {
        let pair = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let changes = HeaderChanges {
            set: vec![pair("a", "new")],
            add: vec![pair("b", "two")],
            remove: vec![HeaderName::from_static("c")],
        };
        let mut headers: HeaderMap =
            [pair("a", "old"), pair("b", "one"), pair("c", "gone")].into_iter().collect();
        changes.apply(&mut headers);
        let all = |name: &str| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(all("a"), ["new"]);
        assert_eq!(all("b"), ["one", "two"]);
        assert!(all("c").is_empty());
    }
}
