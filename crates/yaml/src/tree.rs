//! A document as it was written: values with their lines.
//!
//! In: YAML (and so JSON). Out: a [`Tree`] for the schema to walk, and the same as JSON for the types to be read from.
//! Never: more than the limits allow, however the text is made.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The value.
    pub value: Value,
    /// Line, from 1. A list or map that is a field's value has the line of its first element.
    pub line: u32,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, or nothing.
    Null,
    /// `true`, `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// A field of a map.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The line of its name.
    pub line: u32,
    /// What it holds.
    pub value: Tree,
}

/// One step from a value into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a field of a map.
    Field(String),
    /// Into an element of a list, from 0.
    Index(usize),
}

impl From<&str> for Step {
    fn from(field: &str) -> Step {
        Step::Field(field.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Step {
        Step::Index(index)
    }
}

/// The way to a field: `spec.rules[0].name`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath(pub Vec<Step>);

impl FieldPath {
    /// This path and one step more.
    pub fn then(&self, step: impl Into<Step>) -> FieldPath {
        let mut steps = self.0.clone();
        steps.push(step.into());
        FieldPath(steps)
    }
}

/// `field!["spec", "rules", 0]`.
#[macro_export]
macro_rules! field {
    ($($step:expr),* $(,)?) => { $crate::FieldPath(vec![$($crate::Step::from($step)),*]) };
}
impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if name.contains(['.', '[', ']']) => write!(f, "[{name}]")?,
                Step::Field(name) if place == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl Tree {
    /// The field of a map; `null` is as good as nothing.
    pub fn get(&self, name: &str) -> Option<&Tree> {
        let Value::Map(entries) = &self.value else { return None };
        let entry = entries.iter().find(|entry| entry.name == name)?;
        (entry.value.value != Value::Null).then_some(&entry.value)
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// The number of a field.
    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.get(name)?.value {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// The elements of a field; none if it is missing or not a list.
    pub fn list(&self, name: &str) -> &[Tree] {
        match self.get(name).map(|field| &field.value) {
            Some(Value::List(elements)) => elements,
            _ => &[],
        }
    }

    /// The text that it is, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The line of a field, or of the last that is there on the way to it.
    pub fn line_of(&self, path: &FieldPath) -> u32 {
        let mut line = self.line;
        let mut at = self;
        for step in &path.0 {
            let next = match (step, &at.value) {
                (Step::Field(name), Value::Map(entries)) => {
                    entries.iter().find(|entry| entry.name == *name).map(|entry| (entry.line, &entry.value))
                }
                (Step::Index(index), Value::List(elements)) => {
                    elements.get(*index).map(|tree| (tree.line, tree))
                }
                _ => None,
            };
            let Some((next_line, tree)) = next else { break };
            (line, at) = (next_line, tree);
        }
        line
    }

    /// The same without lines.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(elements) => elements.iter().map(Tree::to_json).collect(),
            Value::Map(entries) => entries.iter().map(|e| (e.name.clone(), e.value.to_json())).collect(),
        }
    }

    /// What it is, for messages.
    pub fn what(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Boolean(value) => format!("the boolean {value}"),
            Value::Integer(value) => format!("the number {value}"),
            Value::Float(value) => format!("the number {value}"),
            Value::Text(value) => format!("the string \"{}\"", shorten(value)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "an object".to_owned(),
        }
    }
}

/// Values in messages are cut to this many characters.
const SHOWN_CHARS_MAX: usize = 80;

/// A value for a message.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The line as the type of a line.
pub(crate) fn line(location: Location) -> u32 {
    u32::try_from(location.line()).unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tree, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Tree { line: line(spanned.referenced), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = fields.next_key::<Spanned<String>>()? {
            let value = fields.next_value()?;
            entries.push(Entry { line: line(name.referenced), name: name.value, value });
        }
        Ok(Value::Map(entries))
    }
}
