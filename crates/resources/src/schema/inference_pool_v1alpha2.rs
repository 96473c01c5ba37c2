//! The fields of InferencePool, `inference.networking.x-k8s.io/v1alpha2`.

use super::shape::{Field, GROUP, KIND, LABELS, OBJECT_NAME, PORT, Shape, optional, required};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    required("extensionRef", Shape::Object(EXTENSION_REF)),
    required("selector", LABELS),
    required("targetPortNumber", PORT),
];

const EXTENSION_REF: &[Field] = &[
    optional("failureMode", Shape::OneOf(&["FailOpen", "FailClose"])),
    optional("group", GROUP),
    optional("kind", KIND),
    required("name", OBJECT_NAME),
    optional("portNumber", PORT),
];
