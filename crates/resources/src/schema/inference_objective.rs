//! The fields of InferenceObjective, `inference.networking.x-k8s.io/v1alpha2`.

use super::inference_model::POOL_REF;
use super::shape::{Field, INTEGER, Shape, optional, required};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[required("poolRef", Shape::Object(POOL_REF)), optional("priority", INTEGER)];
