//! The fields of GatewayClass, `gateway.networking.k8s.io/v1`.

use super::form::Form;
use super::shape::{Field, GROUP, KIND, NAMESPACE, OBJECT_NAME, Shape, form, optional, required, text};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    required("controllerName", form(253, Form::ControllerName)),
    optional("description", text(0, 64)),
    optional("parametersRef", Shape::Object(PARAMETERS_REF)),
];

const PARAMETERS_REF: &[Field] = &[
    required("group", GROUP),
    required("kind", KIND),
    required("name", OBJECT_NAME),
    optional("namespace", NAMESPACE),
];
