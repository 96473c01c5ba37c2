//! What the API server would say about one object: its fields, their types and limits, and what they have to do with each
//! other.
//!
//! In: a document as it was written, and the table of its kind. Out: findings. A table lists *all* fields of a kind, read
//! or not, so that a slip of the pen is told from a field that means nothing here; one kind, one file.
//! Never: another object (that is `references`).
//! Source: the CRDs of Gateway API v1.6 (standard, with the experimental fields that are read), of Gateway API Inference
//! Extension v0.5.1 to v1.6, and Kubernetes' own validation.

pub(crate) mod config_map;
pub(crate) mod endpoint_slice;
mod form;
pub(crate) mod gateway;
pub(crate) mod gateway_class;
pub(crate) mod http_route;
pub(crate) mod http_route_rules;
pub(crate) mod inference_model;
pub(crate) mod inference_model_rewrite;
pub(crate) mod inference_objective;
pub(crate) mod inference_pool;
pub(crate) mod inference_pool_v1alpha2;
mod metadata;
pub(crate) mod namespace;
pub(crate) mod pod;
pub(crate) mod reference_grant;
pub(crate) mod secret;
pub(crate) mod service;
mod shape;

pub(crate) use form::Form;
pub(crate) use shape::{Field, Shape};

use crate::kinds::{Kind, Scope};
use crate::report::Report;
use shape::{List, Map, Text};
use std::collections::BTreeSet;
use yaml::{Entry, FieldPath, Tree, Value, field, nearest, shorten};

/// What the fields of a kind have to do with each other.
pub(crate) type Rules = fn(&Tree, &mut Report<'_>);

/// Of a kind whose fields have nothing to do with each other.
pub(crate) fn no_rules(_: &Tree, _: &mut Report<'_>) {}

/// Checks one object of a kind.
pub(crate) fn check(kind: &Kind, tree: &Tree, report: &mut Report<'_>) {
    let mut walk = Walk { report };
    let entries = match &tree.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    walk.fields(&[metadata::OBJECT, kind.fields], entries, &FieldPath::default());
    if kind.scope == Scope::Cluster
        && tree.get("metadata").is_some_and(|meta| meta.get("namespace").is_some())
    {
        let message = format!("a {} has no namespace; remove it", kind.name);
        walk.report.tell("namespace-of-cluster-object", &field!["metadata", "namespace"], message);
    }
    (kind.rules)(tree, walk.report);
}

/// Goes through a document beside its table.
struct Walk<'r, 't> {
    report: &'r mut Report<'t>,
}

impl Walk<'_, '_> {
    /// An object's fields: those that are there, each as its shape has it; those that must be; and those nobody knows.
    fn fields(&mut self, tables: &[&'static [Field]], entries: &[Entry], at: &FieldPath) {
        let known = || tables.iter().flat_map(|table| table.iter());
        for entry in entries {
            match known().find(|field| field.name == entry.name) {
                Some(field) => self.value(&field.shape, &entry.value, &at.then(field.name)),
                None => self.unknown(&entry.name, known().map(|field| field.name), at),
            }
        }
        for field in known().filter(|field| field.required) {
            let there = |entry: &&Entry| entry.name == field.name && entry.value.value != Value::Null;
            if !entries.iter().any(|entry| there(&entry)) {
                let message = format!("`{}` is required", field.name);
                self.report.tell("missing-field", &at.then(field.name), message);
            }
        }
    }

    fn unknown(&mut self, name: &str, known: impl Iterator<Item = &'static str>, at: &FieldPath) {
        let message = match nearest(name, known) {
            Some(near) => format!("unknown field `{}`; did you mean `{near}`?", shorten(name)),
            None => format!("unknown field `{}`; it has no effect", shorten(name)),
        };
        self.report.tell("unknown-field", &at.then(name), message);
    }

    /// A value, as its shape has it. `null` is as good as nothing.
    fn value(&mut self, shape: &'static Shape, tree: &Tree, at: &FieldPath) {
        match (shape, &tree.value) {
            (_, Value::Null) | (Shape::Any, _) => {}
            (Shape::Object(fields), Value::Map(entries)) => self.fields(&[fields], entries, at),
            (Shape::List(list), Value::List(elements)) => self.list(list, elements, at),
            (Shape::Map(map), Value::Map(entries)) => self.map(map, entries, at),
            (Shape::Text(text), Value::Text(value)) => self.text(text, value, at),
            (Shape::OneOf(words), Value::Text(value)) => self.one_of(words, value, at),
            (Shape::Integer { min, max }, Value::Integer(value)) => self.integer(*min, *max, *value, at),
            (Shape::Code(codes), Value::Integer(value)) => self.code(codes, *value, at),
            (Shape::Boolean, Value::Boolean(_)) => {}
            (Shape::IntegerOrText, Value::Integer(_) | Value::Text(_)) => {}
            _ => {
                let hint = shape.hint(&tree.value);
                let message = format!("must be {}, but is {}{hint}", shape.what(), tree.what());
                self.report.tell("wrong-type", at, message);
            }
        }
    }

    fn list(&mut self, list: &'static List, elements: &[Tree], at: &FieldPath) {
        if elements.len() < list.min || elements.len() > list.max {
            let message = format!("has {} items, but must have {} to {}", elements.len(), list.min, list.max);
            self.report.tell("wrong-number-of-items", at, message);
        }
        let mut keys = BTreeSet::new();
        for (index, element) in elements.iter().enumerate() {
            let at = at.then(index);
            self.value(&list.of, element, &at);
            if let Some(key) = list.key_of(element)
                && !keys.insert(key.clone())
            {
                self.report.tell(
                    "duplicate-item",
                    &at,
                    format!("`{}` stands twice in this list", shorten(&key)),
                );
            }
        }
    }

    fn map(&mut self, map: &'static Map, entries: &[Entry], at: &FieldPath) {
        if entries.len() < map.min || entries.len() > map.max {
            let message = format!("has {} entries, but must have {} to {}", entries.len(), map.min, map.max);
            self.report.tell("wrong-number-of-items", at, message);
        }
        for entry in entries {
            let at = at.then(entry.name.as_str());
            if let Some(form) = map.key
                && !form.accepts(&entry.name)
            {
                let message = format!("the key `{}` must be {}", shorten(&entry.name), form.what());
                self.report.tell("malformed", &at, message);
            }
            self.value(&map.value, &entry.value, &at);
        }
    }

    fn text(&mut self, text: &Text, value: &str, at: &FieldPath) {
        let chars = value.chars().count();
        if chars < text.min || chars > text.max {
            let message = match chars {
                0 => "must not be empty".to_owned(),
                _ => format!("has {chars} characters, but must have {} to {}", text.min, text.max),
            };
            self.report.tell("wrong-length", at, message);
        } else if let Some(form) = text.form
            && !form.accepts(value)
        {
            let message = format!("`{}` must be {}", shorten(value), form.what());
            self.report.tell("malformed", at, message);
        }
    }

    fn one_of(&mut self, words: &[&'static str], value: &str, at: &FieldPath) {
        if words.contains(&value) {
            return;
        }
        let near = nearest(value, words.iter().copied());
        let hint = near.map_or(String::new(), |word| format!("; did you mean `{word}`?"));
        let message = format!("`{}` must be one of {}{hint}", shorten(value), words.join(", "));
        self.report.tell("not-one-of", at, message);
    }

    fn integer(&mut self, min: i64, max: i64, value: i64, at: &FieldPath) {
        if value < min || value > max {
            self.report.tell("out-of-range", at, format!("{value} must be from {min} to {max}"));
        }
    }

    fn code(&mut self, codes: &[i64], value: i64, at: &FieldPath) {
        if !codes.contains(&value) {
            let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
            self.report.tell("not-one-of", at, format!("{value} must be one of {}", codes.join(", ")));
        }
    }
}
