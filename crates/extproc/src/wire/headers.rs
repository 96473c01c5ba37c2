//! Headers, and what is to be done with them.

use super::fields::Fields;
use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderName;
use prost::DecodeError;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};

/// Room taken for headers at once: few requests have more.
const HEADERS: usize = 32;

/// The headers of a request or a response.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpHeaders {
    /// A `HeaderMap`, to be read where it lies; several are one, cut anywhere between two headers.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub headers: Vec<Bytes>,
    /// No body follows.
    #[prost(bool, tag = "3")]
    pub end_of_stream: bool,
}

impl HttpHeaders {
    /// Headers with these names and values, which are written to `raw_value`.
    pub fn of<'h>(
        headers: impl IntoIterator<Item = (&'h [u8], &'h [u8])>,
        end_of_stream: bool,
    ) -> HttpHeaders {
        let mut map = BytesMut::new();
        for (name, value) in headers {
            let length = field_bytes(name) + field_bytes(value);
            encode_key(1, WireType::LengthDelimited, &mut map);
            encode_varint(length as u64, &mut map);
            for (number, field) in [(1, name), (3, value)] {
                encode_key(number, WireType::LengthDelimited, &mut map);
                encode_varint(field.len() as u64, &mut map);
                map.put_slice(field);
            }
        }
        HttpHeaders { headers: vec![map.freeze()], end_of_stream }
    }

    /// The headers.
    pub fn read(&self) -> Result<Headers<'_>, DecodeError> {
        let mut headers = Vec::with_capacity(HEADERS);
        for entry in self.headers.iter().flat_map(|map| Fields(map)) {
            let (1, header) = entry? else { continue };
            let [mut name, mut value, mut raw_value] = [&[][..]; 3];
            for field in Fields(header) {
                match field? {
                    (1, field) => name = field,
                    (2, field) => value = field,
                    (3, field) => raw_value = field,
                    _ => {}
                }
            }
            headers.push((name, if raw_value.is_empty() { value } else { raw_value }));
        }
        Ok(Headers { headers, end_of_stream: self.end_of_stream })
    }
}

/// How long a field of these bytes is, whose number is below 16.
fn field_bytes(field: &[u8]) -> usize {
    1 + encoded_len_varint(field.len() as u64) + field.len()
}

/// Headers, read.
#[derive(Debug)]
pub struct Headers<'a> {
    headers: Vec<(&'a [u8], &'a [u8])>,
    /// No body follows.
    pub end_of_stream: bool,
}

impl<'a> Headers<'a> {
    /// The value of the first header with this lower-case name; Envoy writes every name in lower case.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value)
    }

    /// The same, of a value that is UTF-8.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The request's path without its query; empty where there is none.
    pub fn path(&self) -> &'a str {
        self.text(":path").and_then(|path| path.split('?').next()).unwrap_or_default()
    }

    /// Names and values; a name may stand more than once.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.headers.iter().copied()
    }

    /// True if what follows is no body but a conversation, which need not end before it is answered: a WebSocket's, say. An
    /// offer to speak HTTP/2 in the clear opens none: whoever passes it over reads the body behind it as ever.
    pub fn opens_a_conversation(&self) -> bool {
        self.get(":method") == Some(b"CONNECT")
            || self.get("upgrade").is_some_and(|to| !to.eq_ignore_ascii_case(b"h2c"))
    }

    /// Bytes of the body as its sender announced them.
    pub fn content_length(&self) -> Option<u64> {
        self.text("content-length")?.parse().ok()
    }
}

/// The trailers of a request or a response.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HttpTrailers {}

/// One header.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HeaderValue {
    /// Its name, in lower case where Envoy sends it.
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// Its value; empty where `raw_value` has it. A string on the wire.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// Its value, whatever bytes it holds.
    #[prost(bytes = "bytes", tag = "3")]
    pub raw_value: Bytes,
}

impl HeaderValue {
    /// A header with its value in `raw_value`.
    pub fn raw(key: impl Into<Bytes>, value: impl Into<Bytes>) -> HeaderValue {
        HeaderValue { key: key.into(), value: Bytes::new(), raw_value: value.into() }
    }

    /// The value, from wherever it stands.
    pub fn bytes(&self) -> &Bytes {
        if self.raw_value.is_empty() { &self.value } else { &self.raw_value }
    }
}

/// A header's name as it stands in a message.
pub fn key(name: &HeaderName) -> Bytes {
    Bytes::copy_from_slice(name.as_str().as_bytes())
}

/// Changes of headers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HeaderMutation {
    /// Set.
    #[prost(message, repeated, tag = "1")]
    pub set_headers: Vec<HeaderValueOption>,
    /// Removed, by name. Strings on the wire.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub remove_headers: Vec<Bytes>,
}

impl HeaderMutation {
    /// Sets a header, in place of any of this name.
    pub fn set(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        let header = Some(HeaderValue::raw(key, value));
        self.set_headers.push(HeaderValueOption { header, ..HeaderValueOption::default() });
    }

    /// Removes every header of this name.
    pub fn remove(&mut self, name: &HeaderName) {
        self.remove_headers.push(key(name));
    }

    /// True if it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.set_headers.is_empty() && self.remove_headers.is_empty()
    }
}

/// A header to be set. This room's own answers write neither `append` nor `append_action`: then Envoy overwrites.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HeaderValueOption {
    /// The header.
    #[prost(message, optional, tag = "1")]
    pub header: Option<HeaderValue>,
    /// Whether it is added to those of its name, or replaces them; goes before `append_action`. A `BoolValue`.
    #[prost(message, optional, tag = "2")]
    pub append: Option<bool>,
    /// The same with more choices, of which 0 is not told from nothing.
    #[prost(int32, tag = "3")]
    pub append_action: i32,
}
