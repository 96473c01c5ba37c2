//! The fields of Service, `v1`.

use super::form::Form;
use super::shape::{Field, INTEGER, LABELS, MANY, PORT, Shape, TEXT, TEXTS, form, list, optional, required};
use crate::report::Report;
use yaml::{Tree, field};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[optional("spec", Shape::Object(SPEC)), optional("status", Shape::Any)];

const SPEC: &[Field] = &[
    optional("allocateLoadBalancerNodePorts", Shape::Boolean),
    optional("clusterIP", TEXT),
    optional("clusterIPs", TEXTS),
    optional("externalIPs", TEXTS),
    optional("externalName", TEXT),
    optional("externalTrafficPolicy", Shape::OneOf(&["Cluster", "Local"])),
    optional("healthCheckNodePort", INTEGER),
    optional("internalTrafficPolicy", Shape::OneOf(&["Cluster", "Local"])),
    optional("ipFamilies", Shape::List(&list(Shape::OneOf(&["IPv4", "IPv6"]), 0, 2).unique())),
    optional("ipFamilyPolicy", Shape::OneOf(&["SingleStack", "PreferDualStack", "RequireDualStack"])),
    optional("loadBalancerClass", TEXT),
    optional("loadBalancerIP", TEXT),
    optional("loadBalancerSourceRanges", TEXTS),
    optional("ports", Shape::List(&list(Shape::Object(SERVICE_PORT), 0, MANY).unique_by("name"))),
    optional("publishNotReadyAddresses", Shape::Boolean),
    optional("selector", LABELS),
    optional("sessionAffinity", Shape::OneOf(&["ClientIP", "None"])),
    optional("sessionAffinityConfig", Shape::Any),
    optional("trafficDistribution", TEXT),
    optional("type", Shape::OneOf(&["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"])),
];

const SERVICE_PORT: &[Field] = &[
    optional("appProtocol", TEXT),
    optional("name", form(63, Form::Label)),
    optional("nodePort", INTEGER),
    required("port", PORT),
    optional("protocol", Shape::OneOf(&["TCP", "UDP", "SCTP"])),
    optional("targetPort", Shape::IntegerOrText),
];

/// What the fields have to do with each other.
pub(crate) fn rules(tree: &Tree, report: &mut Report<'_>) {
    let Some(spec) = tree.get("spec") else { return };
    let ports = spec.list("ports");
    let has_ports =
        matches!(spec.text("type"), Some("ExternalName")) || spec.text("clusterIP") == Some("None");
    if ports.is_empty() && !has_ports {
        report.tell("missing-field", &field!["spec", "ports"], "a Service needs at least one port");
    }
    for (index, port) in ports.iter().enumerate().filter(|_| ports.len() > 1) {
        if port.get("name").is_none() {
            let message = "each port needs a name where there are several";
            report.tell("missing-field", &field!["spec", "ports", index, "name"], message);
        }
    }
}
