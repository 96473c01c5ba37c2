//! A request as a table describes it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;

/// What is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// `GET`, `POST` …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The `Host`.
    #[serde(default = "localhost")]
    pub host: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Value,
    coded: Option<Coding>,
    #[serde(default)]
    trailers: BTreeMap<String, String>,
    /// The places of the endpoints that the gateway in front would take; `None` if it says nothing.
    pub subset: Option<Vec<usize>>,
}

/// How a body is coded before it is sent.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// The body as it is sent.
    pub(crate) fn code(coding: Option<Coding>, body: Vec<u8>) -> Bytes {
        match coding {
            None => body.into(),
            Some(Coding::Gzip) => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&body).unwrap();
                encoder.finish().unwrap().into()
            }
            Some(Coding::Zstd) => zstd::encode_all(&body[..], 0).unwrap().into(),
        }
    }
}

fn localhost() -> String {
    "localhost".to_owned()
}

impl Request {
    /// The headers, `Host` among them.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = headers(&self.headers);
        headers.insert(http::header::HOST, self.host.parse().unwrap());
        headers
    }

    /// The body, coded as it is sent.
    pub fn body(&self) -> Bytes {
        Coding::code(self.coded, bytes(&self.body))
    }

    /// The trailers; `None` if there are none.
    pub fn trailers(&self) -> Option<HeaderMap> {
        (!self.trailers.is_empty()).then(|| headers(&self.trailers))
    }

    /// The model that an uncoded JSON body asks for.
    pub(crate) fn model(&self) -> Option<String> {
        crate::answer::model(&bytes(&self.body))
    }
}

/// Headers by their names.
pub(crate) fn headers(described: &BTreeMap<String, String>) -> HeaderMap {
    let header = |(name, value): (&String, &String)| {
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    };
    described.iter().map(header).collect()
}

/// The bytes of a described body: compact JSON of an object, a string's own, or pieces behind each other.
pub(crate) fn bytes(described: &Value) -> Vec<u8> {
    match described {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(pieces) => pieces.iter().flat_map(piece).collect(),
        object => object.to_string().into_bytes(),
    }
}

/// A piece: a string, `{"repeat": TEXT, "times": COUNT}`, or `{"bytes": [BYTE …]}`.
fn piece(described: &Value) -> Vec<u8> {
    if let Some(text) = described.as_str() {
        return text.into();
    }
    if let Some(text) = described["repeat"].as_str() {
        return text.repeat(described["times"].as_u64().expect("how often it is repeated") as usize).into();
    }
    let bytes = described["bytes"].as_array().expect("a string, `repeat` or `bytes`");
    bytes.iter().map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap()).collect()
}
