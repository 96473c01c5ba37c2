//! What a picker changes of headers.
//!
//! Source: Envoy's `ext_proc` filter: removals first; a header that is set replaces any of its name, unless it says that it
//! is to be appended; routing headers are not a picker's to change. Beyond that, what frames a message or belongs to one
//! connection is left alone.

use crate::wire::{HeaderMutation, HeaderValueOption};
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// How a header is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Append,
    AddIfAbsent,
    Overwrite,
    OverwriteIfPresent,
}

impl Manner {
    /// `append` goes before `append_action`, whose 0 cannot be told from its absence: then Envoy's filter overwrites.
    fn of(option: &HeaderValueOption) -> Manner {
        match (option.append, option.append_action) {
            (Some(true), _) => Manner::Append,
            (Some(false), _) => Manner::Overwrite,
            (None, 1) => Manner::AddIfAbsent,
            (None, 3) => Manner::OverwriteIfPresent,
            (None, _) => Manner::Overwrite,
        }
    }
}

/// Applies what a picker asks for. What it may not change, and what is no header at all, is left out.
pub fn apply(mutation: &HeaderMutation, headers: &mut HeaderMap) {
    for name in mutation.remove_headers.iter().filter_map(|name| changeable(name)) {
        headers.remove(name);
    }
    for option in &mutation.set_headers {
        let Some(set) = &option.header else { continue };
        let Some(name) = changeable(&set.key) else { continue };
        let Ok(value) = HeaderValue::from_maybe_shared(set.bytes().clone()) else { continue };
        // Pickers set every header again that they were shown: one that stands already, perhaps among others of its name,
        // is not to replace them.
        let stands = headers.get_all(&name).iter().any(|own| *own == value);
        match Manner::of(option) {
            Manner::Append => {
                headers.append(name, value);
            }
            Manner::AddIfAbsent if headers.contains_key(&name) => {}
            Manner::OverwriteIfPresent if !headers.contains_key(&name) => {}
            _ if stands => {}
            _ => {
                headers.insert(name, value);
            }
        }
    }
}

/// The status that a picker gives to a response, as its pseudo header. Envoy lets it be overwritten by any from 200 on, and
/// passes over what else is asked of it.
pub fn status(mutation: &HeaderMutation) -> Option<StatusCode> {
    let overwrites = |option: &&HeaderValueOption| {
        matches!(Manner::of(option), Manner::Overwrite | Manner::OverwriteIfPresent)
    };
    let set = mutation.set_headers.iter().filter(overwrites).filter_map(|option| option.header.as_ref());
    let statuses = set.filter(|header| header.key == ":status").filter_map(|header| {
        let status = StatusCode::from_bytes(header.bytes()).ok()?;
        (!status.is_informational()).then_some(status)
    });
    statuses.last()
}

/// The name of a header that a picker may change.
fn changeable(name: &[u8]) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(name).ok()?;
    let ours = [
        header::HOST,
        header::CONTENT_LENGTH,
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let is_ours = ours.contains(&name) || matches!(name.as_str(), "keep-alive" | "proxy-connection");
    (!is_ours).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::HeaderValue as Sent;

    fn set(name: &'static str, value: &'static str) -> HeaderValueOption {
        HeaderValueOption { header: Some(Sent::raw(name, value)), ..HeaderValueOption::default() }
    }

    fn told(headers: &HeaderMap) -> Vec<String> {
        let mut told: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        told.sort();
        told
    }

    #[test]
    fn headers_are_changed_as_envoy_changes_them() {
        let append = |option| HeaderValueOption { append: Some(true), ..option };
        let act = |append_action, option| HeaderValueOption { append_action, ..option };
        let table = [
            (set("x-a", "2"), "x-a: 2"),
            (set("X-A", "2"), "x-a: 2"),
            (set("x-a", "1"), "x-a: 1"),
            (append(set("x-a", "2")), "x-a: 1 x-a: 2"),
            (act(1, set("x-a", "2")), "x-a: 1"),
            (act(1, set("x-b", "2")), "x-a: 1 x-b: 2"),
            (act(2, set("x-a", "2")), "x-a: 2"),
            (act(3, set("x-b", "2")), "x-a: 1"),
            (act(3, set("x-a", "2")), "x-a: 2"),
            (set(":path", "/"), "x-a: 1"),
            (set("host", "evil"), "x-a: 1"),
            (set("Content-Length", "9"), "x-a: 1"),
            (set("transfer-encoding", "chunked"), "x-a: 1"),
            (set("keep-alive", "1"), "x-a: 1"),
            (set("x-b", "line\nend"), "x-a: 1"),
            (set("not a name", "2"), "x-a: 1"),
        ];
        for (option, expected) in table {
            let mut headers =
                HeaderMap::from_iter([(HeaderName::from_static("x-a"), HeaderValue::from_static("1"))]);
            let mutation = HeaderMutation { set_headers: vec![option.clone()], remove_headers: Vec::new() };
            apply(&mutation, &mut headers);
            assert_eq!(told(&headers).join(" "), expected, "{option:?}");
        }
    }

    #[test]
    fn a_status_is_overwritten_as_envoy_lets_it_be_and_is_never_a_header() {
        let append = |option| HeaderValueOption { append: Some(true), ..option };
        let act = |append_action, option| HeaderValueOption { append_action, ..option };
        let twice = vec![set(":status", "503"), set(":status", "404"), set(":status", "no")];
        let table = [
            (vec![set(":status", "200")], Some(200)),
            (vec![set(":status", "999")], Some(999)),
            (twice, Some(404)),
            (vec![act(2, set(":status", "418"))], Some(418)),
            (vec![act(3, set(":status", "418"))], Some(418)),
            (vec![act(1, set(":status", "418"))], None),
            (vec![append(set(":status", "418"))], None),
            (vec![set(":status", "199")], None),
            (vec![set(":status", "0")], None),
            (vec![set(":status", "1000")], None),
            (vec![set("status", "418")], None),
            (Vec::new(), None),
        ];
        for (set_headers, expected) in table {
            let mutation = HeaderMutation { set_headers, remove_headers: vec![":status".into()] };
            assert_eq!(status(&mutation).map(|status| status.as_u16()), expected, "{mutation:?}");
            let mut headers = HeaderMap::new();
            apply(&mutation, &mut headers);
            assert!(!headers.contains_key(":status") && headers.len() <= 1, "{headers:?}");
        }
    }

    #[test]
    fn removals_come_first_and_never_take_what_frames_the_message() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("host", "a"), ("content-length", "3"), ("x-b", "1")] {
            headers.insert(name, value.parse().unwrap());
        }
        let mutation = HeaderMutation {
            set_headers: vec![set("x-b", "2")],
            remove_headers: ["X-A", "host", "content-length", "x-b", ""].map(Into::into).to_vec(),
        };
        apply(&mutation, &mut headers);
        assert_eq!(told(&headers), ["content-length: 3", "host: a", "x-b: 2"]);
    }

    #[test]
    fn every_header_set_again_keeps_those_that_stand_twice_and_the_last_word_wins() {
        let mut headers = HeaderMap::new();
        headers.append("x-twice", "a".parse().unwrap());
        headers.append("x-twice", "b".parse().unwrap());
        let mutation = HeaderMutation {
            set_headers: vec![
                set("x-twice", "a"),
                set("x-twice", "b"),
                set("x-c", "first"),
                set("x-c", "last"),
            ],
            remove_headers: Vec::new(),
        };
        apply(&mutation, &mut headers);
        assert_eq!(told(&headers), ["x-c: last", "x-twice: a", "x-twice: b"]);
    }
}
