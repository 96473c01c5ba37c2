//! What HTTPRoutes refer to: their parents, and where they send.

use super::{References, names};
use crate::gateway::{FromNamespaces, Gateway, GatewayListener};
use crate::http_route::{
    BackendKind, BackendRef, BackendTarget, Filter, HttpRoute, HttpRouteRule, ParentRef,
};
use crate::inference_pool::PoolVersion;
use crate::object::{Labels, ObjectName};
use crate::report::Report;
use crate::store::{Grant, Reference, Store};
use std::sync::Arc;
use yaml::{FieldPath, field};

impl References<'_> {
    /// Every HTTPRoute.
    pub(super) fn http_routes(&mut self) {
        for route in self.store.http_routes.values() {
            self.about("HTTPRoute", &route.meta, |store, report| {
                if route.spec.parent_refs.is_empty() {
                    let message = "no parentRefs: the route is attached to no Gateway and matches nothing";
                    report.warning("no-parent", &field!["spec", "parentRefs"], message);
                }
                for (index, parent) in route.spec.parent_refs.iter().enumerate() {
                    parent_of(store, route, (parent, field!["spec", "parentRefs", index]), report);
                }
                for (index, rule) in route.spec.rules.iter().enumerate() {
                    rule_of(store, route, (rule, field!["spec", "rules", index]), report);
                }
            });
        }
    }
}

/// The Gateway is there, has the listener, and lets the route in.
fn parent_of(
    store: &Store,
    route: &HttpRoute,
    (parent, at): (&ParentRef, FieldPath),
    report: &mut Report<'_>,
) {
    if !parent.is_gateway() {
        let kind = parent.kind.as_deref().unwrap_or("Gateway");
        report.warning(
            "parent-not-served",
            &at,
            format!("a {kind} is no parent here; routes attach to Gateways"),
        );
        return;
    }
    let name = parent.target(&route.meta.name.namespace);
    let Some(gateway) = store.gateways.get(&name) else {
        let there = names(store.gateways.keys().map(|gateway| &*gateway.name));
        let message = format!("no Gateway `{name}`: the route does not attach; {there}");
        report.error("parent-not-found", &at.then("name"), message);
        return;
    };
    let named = |listener: &&GatewayListener| {
        parent.section_name.as_ref().is_none_or(|name| *name == listener.name)
            && parent.port.is_none_or(|port| port == listener.port)
    };
    let listeners: Vec<_> = gateway.spec.listeners.iter().filter(named).collect();
    if listeners.is_empty() {
        let there = names(gateway.spec.listeners.iter().map(|listener| &*listener.name));
        let (part, what) = match &parent.section_name {
            Some(name) => ("sectionName", format!("listener `{name}`")),
            None => ("port", "listener of this port".to_owned()),
        };
        report.error(
            "listener-not-found",
            &at.then(part),
            format!("Gateway `{name}` has no {what}; {there}"),
        );
        return;
    }
    let open: Vec<_> = listeners.into_iter().filter(|l| lets_in(store, gateway, l, route)).collect();
    if open.is_empty() {
        let message = format!(
            "no listener of Gateway `{name}` allows HTTPRoutes of this namespace: see its `allowedRoutes`"
        );
        report.error("route-not-allowed", &at, message);
        return;
    }
    let host =
        |listener: &&GatewayListener| shares_a_host(listener.hostname.as_deref(), &route.spec.hostnames);
    if !open.iter().any(host) {
        let message = format!("no hostname of the route is one that its listeners at Gateway `{name}` take");
        report.error("hostname-outside-listener", &field!["spec", "hostnames"], message);
    }
}

/// Whether a listener's `allowedRoutes` lets a route attach.
fn lets_in(store: &Store, gateway: &Gateway, listener: &GatewayListener, route: &HttpRoute) -> bool {
    let allowed = &listener.allowed_routes;
    let from = &route.meta.name.namespace;
    let here = match allowed.namespaces.from {
        FromNamespaces::All => true,
        FromNamespaces::Same => *from == gateway.meta.name.namespace,
        FromNamespaces::None => false,
        FromNamespaces::Selector => allowed.namespaces.selector.matches(&labels_of(store, from)),
    };
    here && allowed.allows_http_routes()
}

/// The labels of a namespace; the API server puts its name among them.
fn labels_of(store: &Store, namespace: &Arc<str>) -> Labels {
    let declared = store.namespaces.get(&ObjectName::new("", namespace.clone()));
    let mut labels = declared.map(|namespace| namespace.meta.labels.clone()).unwrap_or_default();
    labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_string());
    labels
}

/// Whether a listener takes one of a route's hosts. None on either side takes all.
fn shares_a_host(listener: Option<&str>, hostnames: &[Arc<str>]) -> bool {
    let Some(listener) = listener else { return true };
    hostnames.is_empty() || hostnames.iter().any(|hostname| overlap(listener, hostname))
}

/// Whether two hostnames, either perhaps with `*.`, take a common host.
fn overlap(a: &str, b: &str) -> bool {
    // `*.example.com` takes `x.example.com` and `x.y.example.com`, not `example.com`.
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        (None, None) => a == b,
        (Some(a), None) => b.len() > a.len() && b.ends_with(a),
        (None, Some(b)) => a.len() > b.len() && a.ends_with(b),
        (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
    }
}

/// Where a rule sends, and how much.
fn rule_of(
    store: &Store,
    route: &HttpRoute,
    (rule, at): (&HttpRouteRule, FieldPath),
    report: &mut Report<'_>,
) {
    let redirects = rule.filters.iter().any(|filter| matches!(filter, Filter::RequestRedirect(_)));
    let backends = &rule.backend_refs;
    if backends.is_empty() && !redirects {
        report.warning("no-backend", &at, "no backendRefs: every request that matches is answered with 500");
    }
    if !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0) {
        let message = "all weights are 0: every request that matches is answered with 500";
        report.warning("no-weight", &at.then("backendRefs"), message);
    }
    filters_of(store, route, (&rule.filters, &at), report);
    for (index, BackendRef { target, filters, .. }) in backends.iter().enumerate() {
        let at = at.then("backendRefs").then(index);
        backend_of(store, route, (target, &at), report);
        filters_of(store, route, (filters, &at), report);
    }
}

fn filters_of(
    store: &Store,
    route: &HttpRoute,
    (filters, at): (&[Filter], &FieldPath),
    report: &mut Report<'_>,
) {
    for (index, filter) in filters.iter().enumerate() {
        let at = at.then("filters").then(index);
        match filter {
            Filter::RequestMirror(mirror) => {
                let at = at.then("requestMirror").then("backendRef");
                backend_of(store, route, (&mirror.backend_ref, &at), report);
            }
            Filter::Unsupported(filter_type) => {
                let message =
                    format!("filter {filter_type} is not served: requests that match are answered with 500");
                report.error("filter-not-served", &at.then("type"), message);
            }
            _ => {}
        }
    }
}

/// A backend is of a kind that is served, is there, and may be referred to.
fn backend_of(
    store: &Store,
    route: &HttpRoute,
    (target, at): (&BackendTarget, &FieldPath),
    report: &mut Report<'_>,
) {
    let name = target.object(&route.meta.name.namespace);
    let kind = target.kind.as_deref().unwrap_or("Service");
    let group = match target.kind() {
        BackendKind::Service => "",
        BackendKind::InferencePool(version) => {
            if version.is_none() {
                let message =
                    format!("a group-less InferencePool means `group: {}`; write it", crate::INFERENCE_GROUP);
                report.warning("group-missing", at, message);
            }
            version.unwrap_or(PoolVersion::V1).group()
        }
        BackendKind::Unknown => {
            let group = target.group.as_deref().unwrap_or_default();
            let message =
                format!("`{kind}` of group `{group}` is not served; send to a Service or an InferencePool");
            report.error("backend-kind-not-served", &at.then("kind"), message);
            return;
        }
    };
    let reference = Reference {
        from_group: crate::GATEWAY_GROUP,
        from_kind: "HTTPRoute",
        from_namespace: &route.meta.name.namespace,
        to_group: group,
        to_kind: kind,
        to: &name,
    };
    if store.grant(&reference) == Grant::Missing {
        let namespace = &name.namespace;
        let message = format!(
            "no ReferenceGrant in namespace `{namespace}` lets HTTPRoutes of `{}` send to {kind} `{name}`",
            route.meta.name.namespace
        );
        report.error("reference-not-granted", at, message);
        return;
    }
    is_there(store, target, (&name, at), report);
}

fn is_there(
    store: &Store,
    target: &BackendTarget,
    (name, at): (&ObjectName, &FieldPath),
    report: &mut Report<'_>,
) {
    match target.kind() {
        BackendKind::InferencePool(version) if store.inference_pool(name, version).is_none() => {
            let there = names(store.inference_pools.keys().map(|(_, pool)| &*pool.name));
            let message = format!("no InferencePool `{name}`: its requests get 500; {there}");
            report.error("backend-not-found", &at.then("name"), message);
        }
        BackendKind::Service => match store.services.get(name) {
            None => {
                let there = names(store.services.keys().map(|service| &*service.name));
                let message = format!("no Service `{name}`: its requests get 500; {there}");
                report.error("backend-not-found", &at.then("name"), message);
            }
            Some(service) if service.spec.ports.iter().all(|port| Some(port.port) != target.port) => {
                let there = service
                    .spec
                    .ports
                    .iter()
                    .map(|port| port.port.to_string())
                    .collect::<Vec<_>>()
                    .join(", ");
                let message =
                    format!("Service `{name}` has no such port: its requests get 500; it has: {there}");
                report.error("port-not-found", &at.then("port"), message);
            }
            Some(_) => {}
        },
        BackendKind::InferencePool(_) | BackendKind::Unknown => {}
    }
}
