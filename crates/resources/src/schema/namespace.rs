//! The fields of Namespace, `v1`.

use super::shape::{Field, Shape, TEXTS, optional};

/// All fields.
pub(crate) const FIELDS: &[Field] =
    &[optional("spec", Shape::Object(&[optional("finalizers", TEXTS)])), optional("status", Shape::Any)];
