//! What Gateways refer to: their class, settings and certificates; and what is not served or attached for it.

use super::{Audience, References};
use crate::attachment::{Left, Reason, ServedListener, attach};
use crate::gateway::{Gateway, GatewayListener};
use crate::http_route::{BackendKind, BackendTarget, Filter, HttpRoute};
use crate::inference_pool::PoolVersion;
use crate::object::{Object, ObjectName};
use crate::refused::Refused;
use crate::report::Report;
use crate::store::{Grant, Reference, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use yaml::{FieldPath, field};

impl References<'_> {
    /// Every Gateway, and what is left out of serving.
    pub(super) fn gateways(&mut self) {
        let (listeners, left) = attach(self.store);
        let refused = self.refused;
        for Left { kind, meta, reason: Reason { code, at, why, missing } } in &left {
            let (kind_missing, then) = match *code {
                "gateway-class-not-found" => ("GatewayClass", "this Gateway is not served"),
                _ => (Gateway::KIND, "the route does not attach"),
            };
            let declared = missing.as_ref().and_then(|name| refused.why_missing(kind_missing, name));
            let declared = declared.map(|declared| format!("{declared}: {then}"));
            self.about(kind, meta, |_, report| report.tell(code, at, declared.as_ref().unwrap_or(why)));
        }
        if *self.audience == Audience::Gateway {
            self.without_routes(&listeners);
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
                parameters((store, refused), gateway, report);
                for (index, listener) in gateway.spec.listeners.iter().enumerate() {
                    let at = field!["spec", "listeners", index];
                    certificates((store, refused), gateway, (listener, at), report);
                }
            });
        }
    }

    /// Served Gateways that no route names, and pools that no rule sends to. What a refused route names is not known.
    fn without_routes(&mut self, listeners: &[ServedListener<'_>]) {
        let routes = || self.store.http_routes.values();
        if listeners.is_empty() || self.refused.has("HTTPRoute") {
            return;
        }
        let mut lonely: Vec<&Gateway> = Vec::new();
        for ServedListener { gateway, .. } in listeners {
            let names_it = |route: &Arc<HttpRoute>| {
                let from = &route.meta.name.namespace;
                route.spec.parent_refs.iter().any(|p| p.is_gateway() && p.target(from) == gateway.meta.name)
            };
            if !routes().any(names_it) && !lonely.iter().any(|known| std::ptr::eq(*known, *gateway)) {
                lonely.push(gateway);
            }
        }
        let named: BTreeSet<_> = routes().flat_map(|route| pools_of(self.store, route)).collect();
        let unnamed: Vec<_> =
            self.pools().filter(|pool| !named.contains(&(pool.version, &pool.meta.name))).collect();
        let any = routes().next().is_some();
        for gateway in lonely {
            self.about("Gateway", &gateway.meta, |_, report| {
                let message = "no HTTPRoute names this Gateway: it answers 404 to everything";
                report.tell("gateway-without-route", &FieldPath::default(), message);
            });
        }
        for pool in unnamed.into_iter().filter(|_| any) {
            self.about("InferencePool", &pool.meta, |_, report| {
                let message = "no rule of an HTTPRoute sends to this pool: it gets no request";
                report.tell("pool-without-route", &FieldPath::default(), message);
            });
        }
    }
}

/// The pools that the rules of a route send or mirror to.
fn pools_of<'s>(store: &'s Store, route: &HttpRoute) -> Vec<(PoolVersion, &'s ObjectName)> {
    let pool = |target: &BackendTarget| {
        let BackendKind::InferencePool(version) = target.kind() else { return None };
        let pool = store.inference_pool(&target.object(&route.meta.name.namespace), version)?;
        Some((pool.version, &pool.meta.name))
    };
    let mirrored = |filter: &'_ Filter| match filter {
        Filter::RequestMirror(mirror) => pool(&mirror.backend_ref),
        _ => None,
    };
    let mut pools = Vec::new();
    for rule in &route.spec.rules {
        pools.extend(rule.filters.iter().filter_map(mirrored));
        for backend in &rule.backend_refs {
            pools.extend(pool(&backend.target));
            pools.extend(backend.filters.iter().filter_map(mirrored));
        }
    }
    pools
}

fn parameters((store, refused): (&Store, &Refused), gateway: &Gateway, report: &mut Report<'_>) {
    let Some(parameters) = &gateway.spec.infrastructure.parameters_ref else { return };
    let at = field!["spec", "infrastructure", "parametersRef"];
    let name = ObjectName::new(gateway.meta.name.namespace.clone(), parameters.name.clone());
    if (&*parameters.group, &*parameters.kind) != ("", "ConfigMap") {
        let message = format!("settings are read from a ConfigMap, not from a {}", parameters.kind);
        report.tell("parameters-not-read", &at, message);
    } else if !store.config_maps.contains_key(&name) {
        let declared = refused.why_missing("ConfigMap", &name);
        let message = declared.unwrap_or_else(|| format!("no ConfigMap `{name}`"));
        report.tell("config-map-not-found", &at.then("name"), message);
    }
}

fn certificates(
    (store, refused): (&Store, &Refused),
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
            let declared = refused.why_missing("Secret", &name);
            let message = declared.unwrap_or_else(|| format!("no Secret `{name}` among these manifests"));
            report.tell("secret-not-found", &at.then("name"), message);
        }
    }
}
