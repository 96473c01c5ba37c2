//! What Gateways refer to: their class, settings and certificates; and what is not served or attached for it.

use super::{Audience, References};
use crate::attachment::{Left, Reason, attach};
use crate::gateway::{Gateway, GatewayListener};
use crate::object::ObjectName;
use crate::report::Report;
use crate::store::{Grant, Reference, Store};
use yaml::{FieldPath, field};

impl References<'_> {
    /// Every Gateway, and what is left out of serving.
    pub(super) fn gateways(&mut self) {
        let (listeners, left) = attach(self.store);
        for Left { kind, meta, reason: Reason { code, at, why } } in &left {
            self.about(kind, meta, |_, report| report.tell(code, at, why.as_str()));
        }
        let unspoken = left.iter().find(|left| left.reason.code == "protocol-not-served");
        let missed = unspoken.filter(|_| listeners.is_empty() && *self.audience == Audience::Gateway);
        if let Some(Left { kind, meta, .. }) = missed {
            self.about(kind, meta, |_, report| {
                let message =
                    "no Gateway of ours has a listener that is served: there is nothing to listen on";
                report.tell("no-listener", &field!["spec", "listeners"], message);
            });
        }
        for gateway in self.store.gateways.values() {
            self.about("Gateway", &gateway.meta, |store, report| {
                parameters(store, gateway, report);
                for (index, listener) in gateway.spec.listeners.iter().enumerate() {
                    let at = field!["spec", "listeners", index];
                    certificates(store, gateway, (listener, at), report);
                }
            });
        }
    }
}

fn parameters(store: &Store, gateway: &Gateway, report: &mut Report<'_>) {
    let Some(parameters) = &gateway.spec.infrastructure.parameters_ref else { return };
    let at = field!["spec", "infrastructure", "parametersRef"];
    let name = ObjectName::new(gateway.meta.name.namespace.clone(), parameters.name.clone());
    if (&*parameters.group, &*parameters.kind) != ("", "ConfigMap") {
        let message = format!("settings are read from a ConfigMap, not from a {}", parameters.kind);
        report.tell("parameters-not-read", &at, message);
    } else if !store.config_maps.contains_key(&name) {
        report.tell("config-map-not-found", &at.then("name"), format!("no ConfigMap `{name}`"));
    }
}

fn certificates(
    store: &Store,
    gateway: &Gateway,
    (listener, at): (&GatewayListener, FieldPath),
    report: &mut Report<'_>,
) {
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
            report.tell("reference-not-granted", &at, message);
        } else if !store.secrets.contains_key(&name) {
            report.tell(
                "secret-not-found",
                &at.then("name"),
                format!("no Secret `{name}` among these manifests"),
            );
        }
    }
}
