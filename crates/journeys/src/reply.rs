//! What an endpoint answers, as a table describes it.

use crate::request::{Coding, bytes, headers};
use bytes::Bytes;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What an endpoint answers to a step; `200` and `{}` where nothing is said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    headers: BTreeMap<String, String>,
    body: Value,
    coded: Option<Coding>,
    trailers: BTreeMap<String, String>,
    /// How it ends.
    pub ends: Ends,
}

/// How an endpoint's answer ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ends {
    /// With its last byte.
    #[default]
    Whole,
    /// The connection breaks before that.
    Broken,
    /// Not at all: the client hangs up when it has what came.
    Never,
    /// It does not even begin: the route's time limit ends it.
    Silent,
}

impl Default for Reply {
    fn default() -> Reply {
        Reply {
            status: 200,
            headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
            body: "{}".into(),
            coded: None,
            trailers: BTreeMap::new(),
            ends: Ends::Whole,
        }
    }
}

impl Reply {
    /// The headers, without what frames the body.
    pub fn headers(&self) -> HeaderMap {
        headers(&self.headers)
    }

    /// The body, coded as it is sent.
    pub fn body(&self) -> Bytes {
        Coding::code(self.coded, bytes(&self.body))
    }

    /// The trailers; `None` if there are none.
    pub fn trailers(&self) -> Option<HeaderMap> {
        (!self.trailers.is_empty()).then(|| headers(&self.trailers))
    }
}
