//! The fields of EndpointSlice, `discovery.k8s.io/v1`.

use super::form::Form;
use super::shape::{
    ANY_LIST, Field, NAMESPACE, PORT, Shape, TEXT, TEXT_MAP, form, form_or_empty, list, optional, required,
    text,
};
use crate::report::Report;
use std::net::{Ipv4Addr, Ipv6Addr};
use yaml::{Tree, field};

/// All fields.
pub(crate) const FIELDS: &[Field] = &[
    required("addressType", Shape::OneOf(&["IPv4", "IPv6", "FQDN"])),
    required("endpoints", Shape::List(&list(Shape::Object(ENDPOINT), 0, 1000))),
    optional("ports", Shape::List(&list(Shape::Object(SLICE_PORT), 0, 20_000).unique_by("name"))),
];

const ENDPOINT: &[Field] = &[
    required("addresses", Shape::List(&list(text(1, 253), 1, 100))),
    optional("conditions", Shape::Object(CONDITIONS)),
    optional("deprecatedTopology", TEXT_MAP),
    optional("hints", Shape::Object(&[optional("forNodes", ANY_LIST), optional("forZones", ANY_LIST)])),
    optional("hostname", form(63, Form::Label)),
    optional("nodeName", TEXT),
    optional("targetRef", Shape::Object(TARGET_REF)),
    optional("zone", TEXT),
];

const CONDITIONS: &[Field] = &[
    optional("ready", Shape::Boolean),
    optional("serving", Shape::Boolean),
    optional("terminating", Shape::Boolean),
];

const TARGET_REF: &[Field] = &[
    optional("apiVersion", TEXT),
    optional("fieldPath", TEXT),
    optional("kind", TEXT),
    optional("name", TEXT),
    optional("namespace", NAMESPACE),
    optional("resourceVersion", TEXT),
    optional("uid", TEXT),
];

const SLICE_PORT: &[Field] = &[
    optional("appProtocol", TEXT),
    optional("name", form_or_empty(63, Form::Group)),
    optional("port", PORT),
    optional("protocol", Shape::OneOf(&["TCP", "UDP", "SCTP"])),
];

/// What the fields have to do with each other: addresses are of the slice's type. (Loopback addresses, which the API
/// server refuses, are the way to have endpoints on one machine.)
pub(crate) fn rules(tree: &Tree, report: &mut Report<'_>) {
    let Some(address_type) = tree.text("addressType") else { return };
    for (index, endpoint) in tree.list("endpoints").iter().enumerate() {
        for (place, address) in endpoint.list("addresses").iter().enumerate() {
            let Some(address) = address.as_text() else { continue };
            let (fits, wanted) = match address_type {
                "IPv4" => (address.parse::<Ipv4Addr>().is_ok(), "an IPv4 address: `10.0.0.1`"),
                "IPv6" => (address.parse::<Ipv6Addr>().is_ok(), "an IPv6 address: `fd00::1`"),
                "FQDN" => {
                    (Form::Subdomain.accepts(address.trim_end_matches('.')), "a name: `model.example.com`")
                }
                _ => continue,
            };
            if !fits {
                let message =
                    format!("`{address}` must be {wanted}, as `addressType` says; a port goes to `ports`");
                report.tell("malformed", &field!["endpoints", index, "addresses", place], message);
            }
        }
    }
}
