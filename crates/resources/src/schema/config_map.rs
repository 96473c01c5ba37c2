//! The fields of ConfigMap, `v1`.

use super::form::Form;
use super::shape::{Field, MANY, Map, Shape, TEXT, optional};

/// All fields.
pub(crate) const FIELDS: &[Field] =
    &[optional("binaryData", DATA), optional("data", DATA), optional("immutable", Shape::Boolean)];

const DATA: Shape = Shape::Map(&Map { key: Some(Form::DataKey), value: TEXT, min: 0, max: MANY });
