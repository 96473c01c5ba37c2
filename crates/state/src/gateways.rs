//! Which listeners are ours, and which routes attach to which.
//!
//! In: Gateways, GatewayClasses, HTTPRoutes, Namespaces. Out: [`OurListener`]s, each with its routes and the hosts that
//! they take there.
//! Source: Gateway API v1.6, Gateway "listeners", HTTPRoute "parentRefs" and "hostnames".

use crate::findings::{Findings, about};
use crate::settings::CONTROLLER_NAME;
use resources::{
    FromNamespaces, Gateway, GatewayListener, HttpRoute, Labels, Object, ObjectName, ParentRef, Protocol,
    Severity, Store,
};
use routing::Attached;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The label that every Namespace has.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A listener that is served, and its routes.
#[derive(Debug)]
pub(crate) struct OurListener<'s> {
    pub(crate) gateway: &'s Gateway,
    pub(crate) declared: &'s GatewayListener,
    /// Lower case.
    pub(crate) hostname: Option<Arc<str>>,
    pub(crate) routes: Vec<Attached<'s>>,
}

/// Why a listener is not served, or a route not attached.
#[derive(Debug)]
struct Refused {
    /// The finding's.
    code: &'static str,
    why: String,
}

impl Refused {
    fn new(code: &'static str, why: impl Into<String>) -> Refused {
        Refused { code, why: why.into() }
    }
}

/// The listeners that are served, most specific hostname first within a port, with their routes.
pub(crate) fn listeners<'s>(store: &'s Store, findings: &mut Findings) -> Vec<OurListener<'s>> {
    let mut listeners = served(store, findings);
    for route in store.http_routes.values() {
        for (index, parent) in route.spec.parent_refs.iter().enumerate() {
            if let Err(refused) = attach(route, parent, &mut listeners, store) {
                let finding = about(&route.meta, HttpRoute::KIND, Severity::Warning, refused.code);
                findings.push_field(finding, format!("spec.parentRefs[{index}]"), refused.why);
            }
        }
    }
    listeners
}

fn is_ours(gateway: &Gateway, store: &Store, findings: &mut Findings) -> bool {
    if store.gateway_classes.is_empty() {
        return true;
    }
    let name = &gateway.spec.gateway_class_name;
    let class = store.gateway_classes.get(&ObjectName::new("", name.clone()));
    if class.is_none() {
        let finding = about(&gateway.meta, Gateway::KIND, Severity::Warning, "gateway-class-not-found");
        let message = format!("the GatewayClass {name} is not declared, and so this Gateway is not served");
        findings.push_field(finding, "spec.gatewayClassName".to_owned(), message);
    }
    class.is_some_and(|class| class.spec.controller_name == CONTROLLER_NAME)
}

/// Without routes yet. Of two listeners of one port and hostname the older Gateway's is served, then the first.
fn served<'s>(store: &'s Store, findings: &mut Findings) -> Vec<OurListener<'s>> {
    let mut gateways: Vec<&Gateway> = store.gateways.values().map(|gateway| &**gateway).collect();
    gateways.retain(|gateway| is_ours(gateway, store, findings));
    gateways.sort_by(|a, b| a.meta.by_age(&b.meta));
    let mut taken = BTreeSet::new();
    let mut listeners = Vec::new();
    for gateway in gateways {
        for (index, declared) in gateway.spec.listeners.iter().enumerate() {
            let hostname = declared.hostname.as_deref().map(lower_case);
            let refused = if declared.protocol != Protocol::Http {
                Some(Refused::new("protocol-not-served", "only listeners of protocol HTTP are served"))
            } else if !taken.insert((declared.port, hostname.clone())) {
                let message = format!("another listener has port {} and this hostname", declared.port);
                Some(Refused::new("duplicate-listener", message))
            } else {
                None
            };
            match refused {
                None => listeners.push(OurListener { gateway, declared, hostname, routes: Vec::new() }),
                Some(Refused { code, why }) => {
                    let finding = about(&gateway.meta, Gateway::KIND, Severity::Warning, code);
                    findings.push_field(finding, format!("spec.listeners[{index}]"), why);
                }
            }
        }
    }
    listeners.sort_by_key(|listener| (listener.declared.port, rank(listener.hostname.as_deref())));
    listeners
}

/// The least is the most specific: a whole name, then the longest wildcard, then none.
fn rank(hostname: Option<&str>) -> (u8, usize) {
    match hostname {
        Some(hostname) if !hostname.starts_with('*') => (0, 0),
        Some(hostname) => (1, usize::MAX - hostname.len()),
        None => (2, 0),
    }
}

/// Attaches a route by one of its parentRefs, to every listener that it names and that lets it.
fn attach<'s>(
    route: &'s HttpRoute,
    parent: &ParentRef,
    listeners: &mut [OurListener<'s>],
    store: &Store,
) -> Result<(), Refused> {
    if !parent.is_gateway() {
        return Err(Refused::new("parent-not-found", "only Gateways are served as parents"));
    }
    let gateway = parent.target(&route.meta.name.namespace);
    if !store.gateways.contains_key(&gateway) {
        return Err(Refused::new("parent-not-found", format!("the Gateway {gateway} is not declared")));
    }
    let named = |listener: &&mut OurListener<'s>| {
        listener.gateway.meta.name == gateway
            && parent.section_name.as_ref().is_none_or(|name| *name == listener.declared.name)
            && parent.port.is_none_or(|port| port == listener.declared.port)
    };
    if listeners.iter().all(|listener| listener.gateway.meta.name != gateway) {
        return Ok(()); // Somebody else's Gateway, or one without a served listener, which was told before.
    }
    let why = format!("the Gateway {gateway} has no such listener that is served");
    let mut last = Refused::new("parent-not-found", why);
    let mut attached = false;
    for listener in listeners.iter_mut().filter(named) {
        match attachment(route, listener, store) {
            Ok(hosts) => {
                attached = true;
                if !listener.routes.iter().any(|known| std::ptr::eq(known.route, route)) {
                    listener.routes.push(Attached { route, hosts });
                }
            }
            Err(refused) => last = refused,
        }
    }
    if attached { Ok(()) } else { Err(last) }
}

/// The hosts that a route takes at a listener, or why it may not attach.
fn attachment(
    route: &HttpRoute,
    listener: &OurListener<'_>,
    store: &Store,
) -> Result<Arc<[Arc<str>]>, Refused> {
    let allowed = &listener.declared.allowed_routes;
    let namespace = &route.meta.name.namespace;
    let from_allowed_namespace = match allowed.namespaces.from {
        FromNamespaces::All => true,
        FromNamespaces::Same => *namespace == listener.gateway.meta.name.namespace,
        FromNamespaces::Selector => allowed.namespaces.selector.matches(&namespace_labels(namespace, store)),
        FromNamespaces::None => false,
    };
    let name = &listener.declared.name;
    if !from_allowed_namespace {
        let why = format!("the listener {name} does not allow routes of the namespace {namespace}");
        return Err(Refused::new("route-not-allowed", why));
    }
    if !allowed.allows_http_routes() {
        return Err(Refused::new(
            "route-not-allowed",
            format!("the listener {name} does not allow HTTPRoutes"),
        ));
    }
    hosts(&route.spec.hostnames, listener.hostname.as_ref()).ok_or_else(|| {
        Refused::new(
            "hostname-outside-listener",
            format!("none of its hostnames is one of the listener {name}"),
        )
    })
}

fn namespace_labels(namespace: &Arc<str>, store: &Store) -> Labels {
    let declared = store.namespaces.get(&ObjectName::new("", namespace.clone()));
    let mut labels = declared.map(|declared| declared.meta.labels.clone()).unwrap_or_default();
    labels.insert(NAMESPACE_NAME_LABEL.to_owned(), namespace.to_string());
    labels
}

/// The hosts of a route at a listener; empty is every host, `None` is none.
fn hosts(of_route: &[Arc<str>], of_listener: Option<&Arc<str>>) -> Option<Arc<[Arc<str>]>> {
    if of_route.is_empty() {
        return Some(of_listener.cloned().into_iter().collect());
    }
    let of_route = of_route.iter().map(|hostname| lower_case(hostname));
    let both: BTreeSet<Arc<str>> = match of_listener {
        None => of_route.collect(),
        Some(listener) => of_route.filter_map(|route| narrower(&route, listener)).collect(),
    };
    (!both.is_empty()).then(|| both.into_iter().collect())
}

/// The more specific of two hostnames, if one takes all that the other takes.
fn narrower(a: &Arc<str>, b: &Arc<str>) -> Option<Arc<str>> {
    if a == b || takes(b, a) { Some(Arc::clone(a)) } else { takes(a, b).then(|| Arc::clone(b)) }
}

/// Whether `pattern` takes every host that `host` (perhaps a wildcard itself) stands for.
pub(crate) fn takes(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

fn lower_case(hostname: &str) -> Arc<str> {
    hostname.to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_a_route_are_those_that_the_listener_takes() {
        let table = [
            ("", None, Some("")),
            ("", Some("a.b"), Some("a.b")),
            ("A.b c", None, Some("a.b c")),
            ("a.b", Some("a.b"), Some("a.b")),
            ("a.b", Some("*.b"), Some("a.b")),
            ("x.a.b", Some("*.b"), Some("x.a.b")),
            ("b", Some("*.b"), None),
            ("*.b", Some("a.b"), Some("a.b")),
            ("*.b", Some("*.a.b"), Some("*.a.b")),
            ("*.a.b", Some("*.b"), Some("*.a.b")),
            ("a.c a.b", Some("*.b"), Some("a.b")),
        ];
        for (of_route, of_listener, expected) in table {
            let declared: Vec<Arc<str>> = of_route.split_whitespace().map(Arc::from).collect();
            let found = hosts(&declared, of_listener.map(Arc::from).as_ref());
            let found = found.map(|hosts| hosts.join(" "));
            assert_eq!(found.as_deref(), expected, "{of_route} at {of_listener:?}");
        }
    }
}
