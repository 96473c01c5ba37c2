//! What every object has: `apiVersion`, `kind`, `metadata`.

use super::form::Form;
use super::shape::{
    ANNOTATIONS, ANY_LIST, Field, INTEGER, LABELS, NAMESPACE, Shape, TEXT, TEXTS, form, optional, required,
};

/// The fields of every object.
pub(super) const OBJECT: &[Field] =
    &[required("apiVersion", TEXT), required("kind", TEXT), required("metadata", Shape::Object(METADATA))];

const METADATA: &[Field] = &[
    optional("annotations", ANNOTATIONS),
    optional("creationTimestamp", TEXT),
    optional("deletionGracePeriodSeconds", INTEGER),
    optional("deletionTimestamp", TEXT),
    optional("finalizers", TEXTS),
    optional("generateName", TEXT),
    optional("generation", Shape::Integer { min: i64::MIN, max: i64::MAX }),
    optional("labels", LABELS),
    optional("managedFields", ANY_LIST),
    required("name", form(253, Form::Subdomain)),
    optional("namespace", NAMESPACE),
    optional("ownerReferences", ANY_LIST),
    optional("resourceVersion", TEXT),
    optional("selfLink", TEXT),
    optional("uid", TEXT),
];
