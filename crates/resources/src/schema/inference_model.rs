//! The fields of InferenceModel, `inference.networking.x-k8s.io/v1alpha2`.

use super::shape::{Field, GROUP, KIND, OBJECT_NAME, Shape, list, optional, required, text};
use crate::report::Report;
use yaml::{Tree, field};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    optional("criticality", Shape::OneOf(&["Critical", "Standard", "Sheddable"])),
    required("modelName", text(1, 256)),
    required("poolRef", Shape::Object(POOL_REF)),
    optional("targetModels", Shape::List(&list(Shape::Object(TARGET_MODEL), 0, 10))),
];

/// Names a pool of the same namespace.
pub(super) const POOL_REF: &[Field] =
    &[optional("group", GROUP), optional("kind", KIND), required("name", OBJECT_NAME)];

const TARGET_MODEL: &[Field] = &[required("name", text(1, 253)), optional("weight", WEIGHT)];

/// The share of a model.
pub(super) const WEIGHT: Shape = Shape::Integer { min: 1, max: 1_000_000 };

/// What the fields have to do with each other.
pub(crate) fn rules(tree: &Tree, report: &mut Report<'_>) {
    let targets = tree.get("spec").map(|spec| spec.list("targetModels")).unwrap_or_default();
    let weighted = targets.iter().filter(|target| target.get("weight").is_some()).count();
    if weighted != 0 && weighted != targets.len() {
        let message = "weights should be set for all models, or none of the models";
        report.tell("some-weights", &field!["spec", "targetModels"], message);
    }
}
