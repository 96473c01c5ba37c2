//! What Gateways refer to: their class, settings and certificates.

use super::{References, names};
use crate::gateway::{Gateway, GatewayListener, Protocol};
use crate::object::ObjectName;
use crate::report::Report;
use crate::store::{Grant, Reference, Store};
use yaml::{FieldPath, field};

impl References<'_> {
    /// Every Gateway.
    pub(super) fn gateways(&mut self) {
        for gateway in self.store.gateways.values() {
            self.about("Gateway", &gateway.meta, |store, report| {
                class(store, gateway, report);
                parameters(store, gateway, report);
                for (index, listener) in gateway.spec.listeners.iter().enumerate() {
                    listener_of(store, gateway, (listener, field!["spec", "listeners", index]), report);
                }
            });
        }
    }
}

/// With no GatewayClass at all every Gateway is served.
fn class(store: &Store, gateway: &Gateway, report: &mut Report<'_>) {
    let wanted = &gateway.spec.gateway_class_name;
    let mut classes = store.gateway_classes.keys();
    if store.gateway_classes.is_empty() || classes.any(|class| class.name == *wanted) {
        return;
    }
    let there = names(store.gateway_classes.keys().map(|class| &*class.name));
    let message = format!("no GatewayClass `{wanted}`: this Gateway is not served; {there}");
    report.error("gateway-class-not-found", &field!["spec", "gatewayClassName"], message);
}

fn parameters(store: &Store, gateway: &Gateway, report: &mut Report<'_>) {
    let Some(parameters) = &gateway.spec.infrastructure.parameters_ref else { return };
    let at = field!["spec", "infrastructure", "parametersRef"];
    let name = ObjectName::new(gateway.meta.name.namespace.clone(), parameters.name.clone());
    if (&*parameters.group, &*parameters.kind) != ("", "ConfigMap") {
        let message = format!("settings are read from a ConfigMap, not from a {}", parameters.kind);
        report.error("parameters-not-read", &at, message);
    } else if !store.config_maps.contains_key(&name) {
        report.error("config-map-not-found", &at.then("name"), format!("no ConfigMap `{name}`"));
    }
}

fn listener_of(
    store: &Store,
    gateway: &Gateway,
    (listener, at): (&GatewayListener, FieldPath),
    report: &mut Report<'_>,
) {
    if let Protocol::Other(protocol) = &listener.protocol {
        let message = format!("protocol {protocol} is not served here; write HTTP or HTTPS");
        report.warning("protocol-not-served", &at.then("protocol"), message);
    }
    let certificates = listener.tls.iter().flat_map(|tls| &tls.certificate_refs).enumerate();
    for (index, secret) in certificates {
        let at = at.then("tls").then("certificateRefs").then(index);
        let namespace = secret.namespace.as_ref().unwrap_or(&gateway.meta.name.namespace);
        let name = ObjectName::new(namespace.clone(), secret.name.clone());
        let reference = Reference {
            from_group: crate::GATEWAY_GROUP,
            from_kind: "Gateway",
            from_namespace: &gateway.meta.name.namespace,
            to_group: "",
            to_kind: "Secret",
            to: &name,
        };
        if store.grant(&reference) == Grant::Missing {
            let message =
                format!("no ReferenceGrant in namespace `{namespace}` lets Gateways use Secret `{name}`");
            report.error("reference-not-granted", &at, message);
        } else if !store.secrets.contains_key(&name) {
            report.warning(
                "secret-not-found",
                &at.then("name"),
                format!("no Secret `{name}` among these manifests"),
            );
        }
    }
}
