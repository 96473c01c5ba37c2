//! What HTTPRoutes refer to: where they send. (Their parents are told with the Gateways.)

use super::{Audience, References, names};
use crate::backend::{Dangling, DeclaredBackend};
use crate::http_route::{
    BackendKind, BackendRef, BackendTarget, Filter, HttpRoute, HttpRouteMatch, HttpRouteRule, PathMatch,
};
use crate::refused::Refused;
use crate::report::Report;
use crate::store::Store;
use yaml::{FieldPath, field};

impl References<'_> {
    /// Every HTTPRoute.
    pub(super) fn http_routes(&mut self) {
        for route in self.store.http_routes.values() {
            let (refused, audience) = (self.refused, self.audience);
            self.about("HTTPRoute", &route.meta, |store, report| {
                if route.spec.parent_refs.is_empty() {
                    let message = "no parentRefs: the route is attached to no Gateway and matches nothing";
                    report.tell("no-parent", &field!["spec", "parentRefs"], message);
                }
                never_matched(route, report);
                for (index, rule) in route.spec.rules.iter().enumerate() {
                    let at = field!["spec", "rules", index];
                    rule_of((store, refused, audience), route, (rule, at), report);
                }
            });
        }
    }
}

/// Matches by a regular expression beside one of everything, which goes before them: a path's expression comes last.
fn never_matched(route: &HttpRoute, report: &mut Report<'_>) {
    let is_root = |path: &PathMatch| matches!(path, PathMatch::Prefix(prefix) if prefix == "/");
    let takes_all = |m: &HttpRouteMatch| {
        is_root(&m.path) && m.headers.is_empty() && m.query_params.is_empty() && m.method.is_none()
    };
    let of_all = |rule: &HttpRouteRule| rule.matches.is_empty() || rule.matches.iter().any(takes_all);
    let rules = &route.spec.rules;
    let Some(catch_all) = rules.iter().position(of_all) else { return };
    for (index, rule) in rules.iter().enumerate() {
        for (place, matched) in rule.matches.iter().enumerate() {
            if matches!(matched.path, PathMatch::RegularExpression(_)) {
                let message = format!(
                    "never met: rule {catch_all} of this route matches every path, and a PathPrefix goes before every regular \
                     expression; give rule {catch_all} a condition more, or a route of its own host"
                );
                let at = field!["spec", "rules", index, "matches", place, "path"];
                report.tell("expression-never-met", &at, message);
            }
        }
    }
}

/// Where a rule sends, and how much.
fn rule_of(
    (store, refused, audience): (&Store, &Refused, &Audience),
    route: &HttpRoute,
    (rule, at): (&HttpRouteRule, FieldPath),
    report: &mut Report<'_>,
) {
    let redirects = rule.filters.iter().any(|filter| matches!(filter, Filter::RequestRedirect(_)));
    let backends = &rule.backend_refs;
    if backends.is_empty() && !redirects {
        report.tell(
            "no-backend",
            &at,
            "no backendRefs and no redirection: every request that matches is answered with 500",
        );
    }
    if !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0) {
        let message = "all weights are 0: every request that matches is answered with 500";
        report.tell("no-weight", &at.then("backendRefs"), message);
    }
    filters_of((store, refused), route, (&rule.filters, &at), report);
    for (index, BackendRef { target, filters, .. }) in backends.iter().enumerate() {
        let at = at.then("backendRefs").then(index);
        let pool = target.object(&route.meta.name.namespace);
        let without = match target.kind() {
            BackendKind::InferencePool(_) if audience.picks_for(&pool) => {
                "this endpoint picker answers its requests with 503"
            }
            _ => "its requests get 500",
        };
        backend_of((store, refused), route, (target, &at, without), report);
        filters_of((store, refused), route, (filters, &at), report);
    }
}

fn filters_of(
    (store, refused): (&Store, &Refused),
    route: &HttpRoute,
    (filters, at): (&[Filter], &FieldPath),
    report: &mut Report<'_>,
) {
    for (index, filter) in filters.iter().enumerate() {
        let at = at.then("filters").then(index);
        if let Filter::RequestMirror(mirror) = filter {
            let at = at.then("requestMirror").then("backendRef");
            backend_of((store, refused), route, (&mirror.backend_ref, &at, "nothing is mirrored"), report);
        }
        if let Some(why) = filter.why_not_served() {
            let message = format!("{why}: requests that should meet it are answered with 500");
            report.tell("filter-not-served", &at.then("type"), message);
        }
    }
}

/// A backend is of a kind that is served, is there, may be referred to, and has endpoints; `without` it something happens.
fn backend_of(
    (store, refused): (&Store, &Refused),
    route: &HttpRoute,
    (target, at, without): (&BackendTarget, &FieldPath, &str),
    report: &mut Report<'_>,
) {
    if target.kind() == BackendKind::InferencePool(None) {
        let message =
            format!("a group-less InferencePool means `group: {}`; write it", crate::INFERENCE_GROUP);
        report.tell("group-missing", at, message);
    }
    match store.backend(route, target) {
        Ok(DeclaredBackend::Service(service, port))
            if store.endpoints_behind(service, port).next().is_none() && !refused.has("EndpointSlice") =>
        {
            let message = format!(
                "no EndpointSlice of Service `{}` has a ready endpoint for port {}",
                service.meta.name, port.port
            );
            report.tell("service-without-endpoints", &at.then("name"), message);
        }
        Ok(_) => {}
        Err(Dangling { code, part, why }) => {
            let at = part.map_or_else(|| at.clone(), |part| at.then(part));
            let declared =
                (code == "backend-not-found").then(|| refused_backend(refused, route, target)).flatten();
            let message = match declared {
                Some(declared) => format!("{declared}: {without}"),
                None => format!("{why}: {without}{}", instead(store, route, target, code)),
            };
            report.tell(code, &at, message);
        }
    }
}

/// Where a backend that is not found may be declared all the same.
fn refused_backend(refused: &Refused, route: &HttpRoute, target: &BackendTarget) -> Option<String> {
    let kind = match target.kind() {
        BackendKind::InferencePool(_) => "InferencePool",
        BackendKind::Service | BackendKind::Unknown => "Service",
    };
    refused.why_missing(kind, &target.object(&route.meta.name.namespace))
}

/// What might have been meant.
fn instead(store: &Store, route: &HttpRoute, target: &BackendTarget, code: &str) -> String {
    let there = match (code, target.kind()) {
        ("backend-kind-not-served", _) => return "; send to a Service or an InferencePool".to_owned(),
        ("backend-not-found", BackendKind::InferencePool(_)) => {
            names(store.inference_pools.keys().map(|(_, pool)| &*pool.name))
        }
        ("backend-not-found", _) => names(store.services.keys().map(|service| &*service.name)),
        ("port-not-found", _) => {
            let service = store.services.get(&target.object(&route.meta.name.namespace));
            let ports =
                service.iter().flat_map(|service| &service.spec.ports).map(|port| port.port.to_string());
            names(ports.collect::<Vec<_>>().iter().map(String::as_str))
        }
        _ => return String::new(),
    };
    format!("; {there}")
}
