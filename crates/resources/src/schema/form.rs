//! The forms that texts may have.
//!
//! In: a text. Out: whether it has the form, and how the form is called in messages.
//! Source: the patterns of the CRDs; RFC 1123 labels and subdomains; RFC 9110 field names.

use crate::duration::parse_duration;

/// A form of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `my-name`
    Label,
    /// `my-name.example.com`
    Subdomain,
    /// An API group, which may be empty.
    Group,
    /// `HTTPRoute`
    Kind,
    /// `*.example.com`
    Hostname,
    /// `app.kubernetes.io/name`
    LabelKey,
    /// `my_Value.1`, or empty.
    LabelValue,
    /// `X-Model`
    HeaderName,
    /// `gemma 3`
    HeaderValue,
    /// `1m30s`
    Duration,
    /// `example.com/gateway`
    ControllerName,
    /// `HTTP`, `example.com/bar`
    Protocol,
    /// `https://*.example.com:8443`
    Origin,
    /// `my.key_1`
    DataKey,
}

impl Form {
    /// Whether a text has it.
    pub(crate) fn accepts(self, text: &str) -> bool {
        match self {
            Form::Label => is_label(text),
            Form::Subdomain => is_subdomain(text),
            Form::Group => text.is_empty() || is_subdomain(text),
            Form::Kind => {
                text.starts_with(|c: char| c.is_ascii_alphabetic())
                    && is_bounded_by_alphanumerics(text, |b| b == b'-')
            }
            Form::Hostname => is_subdomain(text.strip_prefix("*.").unwrap_or(text)),
            Form::LabelKey => is_label_key(text),
            Form::LabelValue => text.is_empty() || is_bounded_by_alphanumerics(text, is_label_middle),
            Form::HeaderName => !text.is_empty() && text.bytes().all(is_token),
            Form::HeaderValue => text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)),
            Form::Duration => parse_duration(text).is_ok(),
            Form::ControllerName => is_domain_with_path(text),
            Form::Protocol => is_bounded_by_alphanumerics(text, |b| b == b'-') || is_domain_with_path(text),
            Form::Origin => is_origin(text),
            Form::DataKey => {
                !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || is_label_middle(b))
            }
        }
    }

    /// What it is, for messages.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Form::Label => {
                "lower-case letters, digits and `-`, with a letter or digit at both ends: `my-name`"
            }
            Form::Subdomain => "lower-case letters, digits, `-` and `.`, as in `my-name.example.com`",
            Form::Group => "an API group, as in `gateway.networking.k8s.io`, or empty",
            Form::Kind => "a kind: letters, digits and `-`, a letter first",
            Form::Hostname => {
                "a lower-case hostname without port, perhaps with `*.` before it: `*.example.com`"
            }
            Form::LabelKey => {
                "a label's key: letters, digits, `-`, `_` and `.`, perhaps with a domain and `/` before it"
            }
            Form::LabelValue => {
                "a label's value: letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
            }
            Form::HeaderName => "a header's name: letters, digits and any of !#$%&'*+-.^_`|~",
            Form::HeaderValue => "printable ASCII, as a header's value is",
            Form::Duration => {
                "a duration: up to four numbers of at most five digits with h, m, s or ms: `1m30s`"
            }
            Form::ControllerName => "a domain and a path: `example.com/gateway`",
            Form::Protocol => {
                "a protocol: `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP` or one with a domain, as `example.com/bar`"
            }
            Form::Origin => "`*` or scheme, host and perhaps port: `https://*.example.com:8443`",
            Form::DataKey => "letters, digits, `-`, `_` and `.`",
        }
    }
}

/// Letters and digits at both ends, and others as told between.
fn is_bounded_by_alphanumerics(text: &str, between: fn(u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    end(bytes.first()) && end(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || between(*b))
}

fn is_label(text: &str) -> bool {
    is_bounded_by_alphanumerics(text, |b| b == b'-') && !text.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_label_middle(byte: u8) -> bool {
    matches!(byte, b'-' | b'_' | b'.')
}

/// The longest name in a label's key, without its domain.
const LABEL_NAME_MAX: usize = 63;

fn is_label_key(text: &str) -> bool {
    let (domain, name) = match text.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, text),
    };
    domain.is_none_or(|domain| domain.len() <= 253 && is_subdomain(&domain.to_ascii_lowercase()))
        && name.len() <= LABEL_NAME_MAX
        && is_bounded_by_alphanumerics(name, is_label_middle)
}

/// RFC 9110 `tchar`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_domain_with_path(text: &str) -> bool {
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    text.split_once('/')
        .is_some_and(|(domain, path)| is_subdomain(domain) && !path.is_empty() && path.bytes().all(in_path))
}

fn is_origin(text: &str) -> bool {
    if text == "*" {
        return true;
    }
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_port = |port: &str| (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    (host == "*" || host.strip_prefix("*.").unwrap_or(host).split('.').all(label)) && port.is_none_or(is_port)
}
