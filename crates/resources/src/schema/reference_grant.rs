//! The fields of ReferenceGrant, `gateway.networking.k8s.io/v1`.

use super::shape::{Field, GROUP, KIND, NAMESPACE, OBJECT_NAME, Shape, list, optional, required};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC))];

const SPEC: &[Field] = &[
    required("from", Shape::List(&list(Shape::Object(FROM), 1, 16))),
    required("to", Shape::List(&list(Shape::Object(TO), 1, 16))),
];

const FROM: &[Field] = &[required("group", GROUP), required("kind", KIND), required("namespace", NAMESPACE)];

const TO: &[Field] = &[required("group", GROUP), required("kind", KIND), optional("name", OBJECT_NAME)];
