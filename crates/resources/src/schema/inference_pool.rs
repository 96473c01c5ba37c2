//! The fields of InferencePool, `inference.networking.k8s.io/v1`.

use super::form::Form;
use super::shape::{
    Field, GROUP, KIND, Map, OBJECT_NAME, PORT, Shape, form_or_empty, list, optional, required,
};
use crate::report::Report;
use yaml::{Tree, field};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    optional("appProtocol", Shape::OneOf(&["http", "kubernetes.io/h2c"])),
    optional("endpointPickerRef", Shape::Object(ENDPOINT_PICKER_REF)),
    required("selector", Shape::Object(&[required("matchLabels", MATCH_LABELS)])),
    required("targetPorts", Shape::List(&list(Shape::Object(TARGET_PORT), 1, 8).unique_by("number"))),
];

const MATCH_LABELS: Shape = Shape::Map(&Map {
    key: Some(Form::LabelKey),
    value: form_or_empty(63, Form::LabelValue),
    min: 1,
    max: 64,
});

const TARGET_PORT: &[Field] = &[required("number", PORT)];

const ENDPOINT_PICKER_REF: &[Field] = &[
    optional("failureMode", Shape::OneOf(&["FailOpen", "FailClose"])),
    optional("group", GROUP),
    optional("kind", KIND),
    required("name", OBJECT_NAME),
    optional("port", Shape::Object(TARGET_PORT)),
];

/// What the fields have to do with each other.
pub(crate) fn rules(tree: &Tree, report: &mut Report<'_>) {
    let Some(picker) = tree.get("spec").and_then(|spec| spec.get("endpointPickerRef")) else { return };
    if picker.text("kind").unwrap_or("Service") == "Service" && picker.get("port").is_none() {
        let message = "port is required when kind is 'Service' or unspecified; write `port: {number: 9002}`";
        report.tell("missing-field", &field!["spec", "endpointPickerRef", "port"], message);
    }
}
