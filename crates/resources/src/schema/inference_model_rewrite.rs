//! The fields of InferenceModelRewrite, `inference.networking.x-k8s.io/v1alpha2`.

use super::inference_model::{POOL_REF, WEIGHT};
use super::shape::{Field, LONG, MANY, Shape, list, optional, required, text};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    required("poolRef", Shape::Object(POOL_REF)),
    required("rules", Shape::List(&list(Shape::Object(RULE), 0, MANY))),
];

const RULE: &[Field] = &[
    optional("matches", Shape::List(&list(Shape::Object(MATCH), 0, MANY))),
    required("targets", Shape::List(&list(Shape::Object(TARGET), 1, MANY))),
];

const MATCH: &[Field] = &[required("model", Shape::Object(MODEL))];

const MODEL: &[Field] = &[optional("type", Shape::OneOf(&["Exact"])), required("value", text(1, LONG))];

const TARGET: &[Field] = &[required("modelRewrite", text(1, LONG)), optional("weight", WEIGHT)];
