//! The fields of Gateway, `gateway.networking.k8s.io/v1`.

use super::form::Form;
use super::shape::{
    Field, GROUP, KIND, LABEL_SELECTOR, LONG, Map, NAMESPACE, OBJECT_NAME, PORT, SECTION_NAME, Shape, form,
    form_or_empty, list, optional, required, text,
};
use crate::report::Report;
use std::collections::HashMap;
use yaml::{FieldPath, Tree, field};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[required("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    optional("addresses", Shape::List(&list(Shape::Object(ADDRESS), 0, 16))),
    optional(
        "allowedListeners",
        Shape::Object(&[optional("namespaces", Shape::Object(LISTENER_NAMESPACES))]),
    ),
    optional("defaultScope", Shape::OneOf(&["All", "None"])),
    required("gatewayClassName", OBJECT_NAME),
    optional("infrastructure", Shape::Object(INFRASTRUCTURE)),
    required("listeners", Shape::List(&list(Shape::Object(LISTENER), 1, 64).unique_by("name"))),
    optional("tls", Shape::Object(GATEWAY_TLS)),
];

const ADDRESS: &[Field] = &[optional("type", text(1, 253)), optional("value", text(0, 253))];

const LISTENER_NAMESPACES: &[Field] = &[
    optional("from", Shape::OneOf(&["All", "Selector", "Same", "None"])),
    optional("selector", LABEL_SELECTOR),
];

const INFRASTRUCTURE: &[Field] = &[
    optional(
        "annotations",
        Shape::Map(&Map { key: Some(Form::LabelKey), value: text(0, 4096), min: 0, max: 16 }),
    ),
    optional(
        "labels",
        Shape::Map(&Map {
            key: Some(Form::LabelKey),
            value: form_or_empty(63, Form::LabelValue),
            min: 0,
            max: 8,
        }),
    ),
    optional("parametersRef", Shape::Object(PARAMETERS_REF)),
];

const PARAMETERS_REF: &[Field] =
    &[required("group", GROUP), required("kind", KIND), required("name", OBJECT_NAME)];

const LISTENER: &[Field] = &[
    optional("allowedRoutes", Shape::Object(ALLOWED_ROUTES)),
    optional("hostname", form(253, Form::Hostname)),
    required("name", SECTION_NAME),
    required("port", PORT),
    required("protocol", form(255, Form::Protocol)),
    optional("tls", Shape::Object(LISTENER_TLS)),
];

const ALLOWED_ROUTES: &[Field] = &[
    optional("kinds", Shape::List(&list(Shape::Object(ROUTE_KIND), 0, 8))),
    optional("namespaces", Shape::Object(ROUTE_NAMESPACES)),
];

const ROUTE_KIND: &[Field] = &[optional("group", GROUP), required("kind", KIND)];

const ROUTE_NAMESPACES: &[Field] =
    &[optional("from", Shape::OneOf(&["All", "Selector", "Same"])), optional("selector", LABEL_SELECTOR)];

const LISTENER_TLS: &[Field] = &[
    optional("certificateRefs", Shape::List(&list(Shape::Object(SECRET_REF), 0, 64))),
    optional("mode", Shape::OneOf(&["Terminate", "Passthrough"])),
    optional("options", Shape::Map(&Map { key: None, value: text(0, 4096), min: 0, max: 16 })),
];

const SECRET_REF: &[Field] = &[
    optional("group", GROUP),
    optional("kind", KIND),
    required("name", OBJECT_NAME),
    optional("namespace", NAMESPACE),
];

const GATEWAY_TLS: &[Field] = &[
    optional("backend", Shape::Object(&[optional("clientCertificateRef", Shape::Object(SECRET_REF))])),
    optional("frontend", Shape::Object(FRONTEND_TLS)),
];

const FRONTEND_TLS: &[Field] = &[
    required("default", Shape::Object(FRONTEND_TLS_CONFIG)),
    optional("perPort", Shape::List(&list(Shape::Object(PORT_TLS), 0, 64).unique_by("port"))),
];

const PORT_TLS: &[Field] = &[required("port", PORT), required("tls", Shape::Object(FRONTEND_TLS_CONFIG))];

const FRONTEND_TLS_CONFIG: &[Field] = &[optional("validation", Shape::Object(FRONTEND_VALIDATION))];

const FRONTEND_VALIDATION: &[Field] = &[
    required("caCertificateRefs", Shape::List(&list(Shape::Object(CA_REF), 1, 16))),
    optional("mode", Shape::OneOf(&["AllowValidOnly", "AllowInsecureFallback"])),
];

const CA_REF: &[Field] = &[
    required("group", GROUP),
    required("kind", KIND),
    required("name", text(1, LONG)),
    optional("namespace", NAMESPACE),
];

/// What the fields have to do with each other.
pub(crate) fn rules(tree: &Tree, report: &mut Report<'_>) {
    let listeners = tree.get("spec").map(|spec| spec.list("listeners")).unwrap_or_default();
    let mut first_of = HashMap::new();
    for (index, listener) in listeners.iter().enumerate() {
        let at = field!["spec", "listeners", index];
        protocol(listener, &at, report);
        certificates(listener, &at, report);
        let place = (listener.integer("port"), listener.text("protocol"), listener.text("hostname"));
        if let Some(first) = first_of.insert(place, index) {
            let message =
                format!("port, protocol and hostname are those of listener {first}; one of them must differ");
            report.tell("duplicate-listener", &at, message);
        }
    }
}

/// Whether TLS and a hostname go with the protocol.
fn protocol(listener: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let protocol = listener.text("protocol").unwrap_or_default();
    let tls = listener.get("tls");
    let mode = tls.and_then(|tls| tls.text("mode"));
    let tls_at = at.then("tls");
    match protocol {
        "HTTP" | "TCP" | "UDP" if tls.is_some() => {
            report.tell(
                "tls-without-tls",
                &tls_at,
                format!("protocol {protocol} has no `tls`; remove it or write HTTPS"),
            );
        }
        "HTTPS" if tls.is_none() => {
            report.tell("tls-missing", &tls_at, "protocol HTTPS needs `tls` with `certificateRefs`");
        }
        "HTTPS" if mode == Some("Passthrough") => {
            report.tell("tls-mode", &tls_at.then("mode"), "protocol HTTPS ends TLS here: write `Terminate`");
        }
        "TLS" if mode.is_none() => {
            report.tell("tls-mode", &tls_at.then("mode"), "protocol TLS needs a `tls.mode`")
        }
        _ => {}
    }
    if matches!(protocol, "TCP" | "UDP") && listener.get("hostname").is_some() {
        report.tell(
            "hostname-without-http",
            &at.then("hostname"),
            format!("protocol {protocol} knows no hostname"),
        );
    }
}

/// TLS that ends here needs a certificate.
fn certificates(listener: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let Some(tls) = listener.get("tls") else { return };
    let terminates = tls.text("mode").unwrap_or("Terminate") == "Terminate";
    if terminates && tls.list("certificateRefs").is_empty() && tls.get("options").is_none() {
        let message = "certificateRefs or options must be specified when mode is Terminate";
        report.tell("missing-field", &at.then("tls").then("certificateRefs"), message);
    }
}
