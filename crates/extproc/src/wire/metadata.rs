//! Metadata of the gateway's filters, and `google.protobuf.Struct`, of which it is made.

use super::fields::Fields;
use bytes::Bytes;
use prost::{DecodeError, Message};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The namespace of the destination and of the endpoint that served.
pub const LB_NAMESPACE: &str = "envoy.lb";

/// The namespace of the endpoints that the gateway would take.
pub const SUBSET_NAMESPACE: &str = "envoy.lb.subset_hint";

/// What filters say, by namespace.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// By namespace.
    #[prost(btree_map = "string, message", tag = "1")]
    pub filter_metadata: BTreeMap<String, Struct>,
}

impl Metadata {
    /// The value of `key` in `namespace`, read where the metadata lie.
    pub fn told(metadata: &[Bytes], namespace: &str, key: &str) -> Result<Option<Value>, DecodeError> {
        let mut told = None;
        for metadata in metadata {
            if let Some(object) = entry(metadata, namespace)? {
                told = value(&object, key)?;
            }
        }
        Ok(told)
    }
}

/// The value of `key` in the first object that has it, of a message's attributes: each has a name and its object.
pub fn attribute(attributes: &[Bytes], key: &str) -> Result<Option<Value>, DecodeError> {
    for attribute in attributes {
        let (_, object) = name_and_value(attribute)?;
        if let Some(value) = value(&object, key)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The value of `key` in an object.
fn value(object: &[u8], key: &str) -> Result<Option<Value>, DecodeError> {
    entry(object, key)?.map(|value| Value::decode(&*value)).transpose()
}

/// The last value of `key` in a message that is a map of messages.
fn entry<'a>(map: &'a [u8], key: &str) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
    let mut last = None;
    for entry in Fields(map) {
        let (1, entry) = entry? else { continue };
        let (name, value) = name_and_value(entry)?;
        if name == key.as_bytes() {
            last = Some(value);
        }
    }
    Ok(last)
}

/// What an entry of a map of messages has. A message that stands twice is one: what is written of it, one behind the other.
fn name_and_value(entry: &[u8]) -> Result<(&[u8], Cow<'_, [u8]>), DecodeError> {
    let (mut name, mut value) = (&[][..], Cow::Borrowed(&[][..]));
    for field in Fields(entry) {
        match field? {
            (1, field) => name = field,
            (2, field) if value.is_empty() => value = Cow::Borrowed(field),
            (2, field) => value.to_mut().extend_from_slice(field),
            _ => {}
        }
    }
    Ok((name, value))
}

/// A JSON object.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Struct {
    /// Its fields.
    #[prost(btree_map = "string, message", tag = "1")]
    pub fields: BTreeMap<String, Value>,
}

impl Struct {
    /// An object with one field.
    pub fn of(key: &str, value: Value) -> Struct {
        Struct { fields: BTreeMap::from([(key.to_owned(), value)]) }
    }
}

/// A JSON value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Of which kind.
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    pub kind: Option<Kind>,
}

impl Value {
    /// A string.
    pub fn string(text: impl Into<String>) -> Value {
        Value { kind: Some(Kind::StringValue(text.into())) }
    }

    /// An object.
    pub fn object(object: Struct) -> Value {
        Value { kind: Some(Kind::StructValue(object)) }
    }

    /// A list.
    pub fn list(values: Vec<Value>) -> Value {
        Value { kind: Some(Kind::ListValue(ListValue { values })) }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Some(Kind::StringValue(text)) => Some(text),
            _ => None,
        }
    }
}

/// The kinds of JSON values.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Kind {
    /// `null`.
    #[prost(int32, tag = "1")]
    NullValue(i32),
    /// A number.
    #[prost(double, tag = "2")]
    NumberValue(f64),
    /// A string.
    #[prost(string, tag = "3")]
    StringValue(String),
    /// `true` or `false`.
    #[prost(bool, tag = "4")]
    BoolValue(bool),
    /// An object.
    #[prost(message, tag = "5")]
    StructValue(Struct),
    /// A list.
    #[prost(message, tag = "6")]
    ListValue(ListValue),
}

/// A JSON list.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListValue {
    /// Its values.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<Value>,
}
