//! Which listeners are ours, and which routes attach to which.
//!
//! In: Gateways, GatewayClasses, HTTPRoutes, Namespaces. Out: [`ServedListener`]s, each with its routes and the hosts that
//! they take there; and why others are not served or not attached, which `references` tells.
//! Source: Gateway API v1.6, Gateway "listeners", HTTPRoute "parentRefs" and "hostnames".

use crate::gateway::{FromNamespaces, Gateway, GatewayListener, Protocol};
use crate::http_route::{HttpRoute, ParentRef};
use crate::object::{Labels, Meta, Object, ObjectName};
use crate::references::names;
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use yaml::{FieldPath, field};

/// The controller whose GatewayClasses are ours.
pub const CONTROLLER_NAME: &str = "pointsman.dev/gateway";

/// The label that every Namespace has.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A listener that is served, and its routes.
#[derive(Debug)]
pub struct ServedListener<'s> {
    /// Its Gateway.
    pub gateway: &'s Gateway,
    /// As it was declared.
    pub declared: &'s GatewayListener,
    /// Lower case; none takes every host.
    pub hostname: Option<Arc<str>>,
    /// Each once.
    pub routes: Vec<Attached<'s>>,
}

/// A route as it is attached to a listener.
#[derive(Debug, Clone)]
pub struct Attached<'r> {
    /// The route.
    pub route: &'r HttpRoute,
    /// The hosts it takes here, lower case, perhaps `*.example.com`; empty takes every host.
    pub hosts: Arc<[Arc<str>]>,
}

/// Why a Gateway or a listener is not served, or a route not attached.
#[derive(Debug)]
pub(crate) struct Left<'s> {
    pub(crate) kind: &'static str,
    pub(crate) meta: &'s Meta,
    pub(crate) reason: Reason,
}

/// The rule that is broken, the field, and the message.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(crate) code: &'static str,
    pub(crate) at: FieldPath,
    pub(crate) why: String,
    /// The GatewayClass or Gateway that is not found.
    pub(crate) missing: Option<ObjectName>,
}

impl Reason {
    fn new(code: &'static str, at: FieldPath, why: String) -> Reason {
        Reason { code, at, why, missing: None }
    }
}

/// The listeners that are served, most specific hostname first within a port, with their routes.
pub fn listeners(store: &Store) -> Vec<ServedListener<'_>> {
    attach(store).0
}

/// The same, and what is left out.
pub(crate) fn attach(store: &Store) -> (Vec<ServedListener<'_>>, Vec<Left<'_>>) {
    let (mut listeners, mut left) = served(store);
    for route in store.http_routes.values() {
        for (index, parent) in route.spec.parent_refs.iter().enumerate() {
            let at = field!["spec", "parentRefs", index];
            if let Err(reason) = attach_to(route, (parent, &at), &mut listeners, store) {
                left.push(Left { kind: HttpRoute::KIND, meta: &route.meta, reason });
            }
        }
    }
    (listeners, left)
}

/// Whether a Gateway is ours; with no GatewayClass at all every one is.
fn is_ours(gateway: &Gateway, store: &Store) -> Result<bool, Reason> {
    if store.gateway_classes.is_empty() {
        return Ok(true);
    }
    let name = &gateway.spec.gateway_class_name;
    let class_name = ObjectName::new("", name.clone());
    if let Some(class) = store.gateway_classes.get(&class_name) {
        return Ok(class.spec.controller_name == CONTROLLER_NAME);
    }
    let there = names(store.gateway_classes.keys().map(|class| &*class.name));
    let why = format!("no GatewayClass `{name}`: this Gateway is not served; {there}");
    let missing = Some(class_name);
    Err(Reason { missing, ..Reason::new("gateway-class-not-found", field!["spec", "gatewayClassName"], why) })
}

/// Without routes yet. Of two listeners of one port and hostname the older Gateway's is served.
fn served(store: &Store) -> (Vec<ServedListener<'_>>, Vec<Left<'_>>) {
    let mut gateways: Vec<&Gateway> = store.gateways.values().map(|gateway| &**gateway).collect();
    gateways.sort_by(|a, b| a.meta.by_age(&b.meta));
    let (mut listeners, mut left) = (Vec::new(), Vec::new());
    let mut taken: BTreeMap<_, &ObjectName> = BTreeMap::new();
    for gateway in gateways {
        let mut leave = |reason| left.push(Left { kind: Gateway::KIND, meta: &gateway.meta, reason });
        match is_ours(gateway, store) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(reason) => {
                leave(reason);
                continue;
            }
        }
        for (index, declared) in gateway.spec.listeners.iter().enumerate() {
            let at = field!["spec", "listeners", index];
            let hostname = declared.hostname.as_deref().map(lower_case);
            if declared.protocol != Protocol::Http {
                let why = "only listeners of protocol HTTP are served".to_owned();
                leave(Reason::new("protocol-not-served", at.then("protocol"), why));
            } else if let Some(older) = taken.get(&(declared.port, hostname.clone())) {
                let why = format!(
                    "a listener of Gateway `{older}`, which goes first, has port {} and this hostname: this one is not served",
                    declared.port
                );
                leave(Reason::new("listener-taken", at, why));
            } else {
                taken.insert((declared.port, hostname.clone()), &gateway.meta.name);
                listeners.push(ServedListener { gateway, declared, hostname, routes: Vec::new() });
            }
        }
    }
    listeners.sort_by_key(|listener| (listener.declared.port, rank(listener.hostname.as_deref())));
    (listeners, left)
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
fn attach_to<'s>(
    route: &'s HttpRoute,
    (parent, at): (&ParentRef, &FieldPath),
    listeners: &mut [ServedListener<'s>],
    store: &Store,
) -> Result<(), Reason> {
    if !parent.is_gateway() {
        let kind = parent.kind.as_deref().unwrap_or("Gateway");
        let why = format!("a {kind} is no parent here; routes attach to Gateways");
        return Err(Reason::new("parent-not-served", at.clone(), why));
    }
    let name = parent.target(&route.meta.name.namespace);
    let Some(gateway) = store.gateways.get(&name) else {
        let there = names(store.gateways.keys().map(|gateway| &*gateway.name));
        let why = format!("no Gateway `{name}`: the route does not attach; {there}");
        let missing = Some(name);
        return Err(Reason { missing, ..Reason::new("parent-not-found", at.then("name"), why) });
    };
    if !matches!(is_ours(gateway, store), Ok(true)) {
        return Ok(()); // Somebody else's business, or told at the Gateway.
    }
    let of_parent = |listener: &&mut ServedListener<'s>| {
        listener.gateway.meta.name == name && names_it(parent, listener.declared)
    };
    let named: Vec<_> = listeners.iter_mut().filter(of_parent).collect();
    if named.is_empty() {
        return Err(not_found(gateway, parent, at));
    }
    let (mut allowed, mut attached) = (false, false);
    for listener in named.into_iter().filter(|listener| lets_in(listener, route, store)) {
        allowed = true;
        let Some(hosts) = hosts(&route.spec.hostnames, listener.hostname.as_ref()) else { continue };
        attached = true;
        if !listener.routes.iter().any(|known| std::ptr::eq(known.route, route)) {
            listener.routes.push(Attached { route, hosts });
        }
    }
    match (allowed, attached) {
        (_, true) => Ok(()),
        (false, false) => {
            let namespace = &route.meta.name.namespace;
            let why = format!(
                "no listener of Gateway `{name}` allows HTTPRoutes of namespace `{namespace}`: see its `allowedRoutes`"
            );
            Err(Reason::new("route-not-allowed", at.clone(), why))
        }
        (true, false) => {
            let why = format!("no hostname of the route is one that its listeners at Gateway `{name}` take");
            Err(Reason::new("hostname-outside-listener", field!["spec", "hostnames"], why))
        }
    }
}

fn names_it(parent: &ParentRef, listener: &GatewayListener) -> bool {
    parent.section_name.as_ref().is_none_or(|name| *name == listener.name)
        && parent.port.is_none_or(|port| port == listener.port)
}

/// Why no served listener is named.
fn not_found(gateway: &Gateway, parent: &ParentRef, at: &FieldPath) -> Reason {
    let name = &gateway.meta.name;
    let declared = &gateway.spec.listeners;
    let (part, what) = match (&parent.section_name, parent.port) {
        (Some(name), _) => (at.then("sectionName"), format!("listener `{name}`")),
        (None, Some(port)) => (at.then("port"), format!("listener of port {port}")),
        (None, None) => (at.then("name"), "listener".to_owned()),
    };
    let why = if declared.iter().any(|listener| names_it(parent, listener)) {
        format!("Gateway `{name}` has no {what} that is served: the route does not attach")
    } else {
        let there = names(declared.iter().map(|listener| &*listener.name));
        format!("Gateway `{name}` has no {what}: the route does not attach; {there}")
    };
    Reason::new("listener-not-found", part, why)
}

/// Whether a listener's `allowedRoutes` lets a route attach.
fn lets_in(listener: &ServedListener<'_>, route: &HttpRoute, store: &Store) -> bool {
    let allowed = &listener.declared.allowed_routes;
    let from = &route.meta.name.namespace;
    let here = match allowed.namespaces.from {
        FromNamespaces::All => true,
        FromNamespaces::Same => *from == listener.gateway.meta.name.namespace,
        FromNamespaces::None => false,
        FromNamespaces::Selector => allowed.namespaces.selector.matches(&labels_of(from, store)),
    };
    here && allowed.allows_http_routes()
}

/// The labels of a namespace; the API server puts its name among them.
fn labels_of(namespace: &Arc<str>, store: &Store) -> Labels {
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
pub fn takes(pattern: &str, host: &str) -> bool {
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
