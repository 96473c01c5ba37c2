//! Step 2 of 5, route: which rule of which HTTPRoute a request matches, and what the rule does to it.
//!
//! In: a request's head and, once its body was read, its model. Out: a [`Walk`]: the rule, or that the body must be read
//! first, or nothing. Filters are applied to a head by [`Rule`]'s own methods; nothing is sent here.
//! Never: I/O, a clock, hidden randomness (the weighted draw takes its generator).
//! Source: Gateway API v1.6, HTTPRoute, "matches" and its precedence.

mod compile;
mod filters;
mod matching;
mod rule;
mod table;

pub use compile::compile;
pub use filters::{Arrived, Filters, HeaderChanges, Mirror, PathChange, Redirect, Rewrite};
pub use rule::{Destination, DestinationKind, Retry, Rule, Timeouts, Weighted};
pub use table::RouteTable;

pub use resources::Attached;

use http::{HeaderMap, Method};

/// What the model is, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model<'m> {
    /// The body has not been read.
    Unread,
    /// The body was read (or there is none) and has no model.
    Absent,
    /// The body asks for this model. Whatever the client sent as `X-Gateway-Model-Name` does not count.
    Named(&'m str),
}

impl<'m> Model<'m> {
    /// What was found in a body. A name with a control character is the value of no header: no rule can ask for it.
    pub fn found(name: Option<&'m str>) -> Model<'m> {
        match name {
            Some(name) if !name.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') => {
                Model::Named(name)
            }
            _ => Model::Absent,
        }
    }
}

/// A request's head, as routing sees it.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The host, lower case, without its port.
    pub host: &'r str,
    /// The path, as sent.
    pub path: &'r str,
    /// The query, without its `?`.
    pub query: Option<&'r str>,
    /// The headers; `X-Gateway-Model-Name` among them is not looked at.
    pub headers: &'r HeaderMap,
}

/// What walking the rules came to.
#[derive(Debug)]
pub enum Walk<'t, B> {
    /// This rule matches. If one of its backends is an InferencePool the body is read all the same.
    Rule(&'t Rule<B>),
    /// A rule that tests the model and otherwise matches comes before any rule that matches without it.
    ReadBody,
    /// No rule matches. `for_want_of_model`: some rule would, with another model.
    Nothing {
        /// Rules match but for the model.
        for_want_of_model: bool,
    },
}
