//! HTTPRoutes become a [`RouteTable`]: once for each snapshot and listener, never on a request's way.
//!
//! In: the routes attached to a listener, each with its effective hostnames, and how a backendRef is resolved. Out: the
//! table. A match with a broken expression never matches; requests of a filter that is not supported get 500, by the standard.
//! (Both are told by `resources`.)

use crate::filters::{Filters, HeaderChanges, Mirror, PathChange, Redirect, Rewrite};
use crate::matching::{Match, PathMatch, ValueMatch};
use crate::rule::{Destination, DestinationKind, Retry, Rule, Timeouts, Weighted};
use crate::table::{Entry, RouteTable};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use journey::headers::MODEL_NAME;
use resources::{
    Attached, BackendRef, BackendTarget, Filter, HttpRoute, HttpRouteMatch, HttpRouteRule, NamedMatch,
    anchored,
};
use std::sync::Arc;

/// Compiles the routes of one listener.
pub fn compile<'r, B: Destination>(
    routes: impl IntoIterator<Item = Attached<'r>>,
    resolve: &mut dyn FnMut(&HttpRoute, &BackendTarget) -> B,
) -> RouteTable<B> {
    let mut entries = Vec::new();
    for Attached { route, hosts } in routes {
        for (rule_index, declared) in route.spec.rules.iter().enumerate() {
            let mut compiler = RuleCompiler { route, rule_index, resolve: &mut *resolve };
            entries.extend(compiler.entries(declared, &hosts));
        }
    }
    RouteTable::build(entries)
}

/// Compiles one rule of one route.
struct RuleCompiler<'c, B> {
    route: &'c HttpRoute,
    rule_index: usize,
    resolve: &'c mut dyn FnMut(&HttpRoute, &BackendTarget) -> B,
}

impl<B: Destination> RuleCompiler<'_, B> {
    /// One entry for each match. A rule without matches takes everything.
    fn entries(&mut self, declared: &HttpRouteRule, hosts: &Arc<[Arc<str>]>) -> Vec<Entry<B>> {
        let mut backends = Vec::with_capacity(declared.backend_refs.len());
        for backend in &declared.backend_refs {
            backends.push(self.backend(backend));
        }
        let filters = self.filters(&declared.filters).unwrap_or_else(|why| {
            backends = vec![Weighted { weight: 1, backend: B::broken(why), filters: None }];
            Arc::default()
        });
        let mut entries = Vec::with_capacity(declared.matches.len().max(1));
        for match_index in 0..declared.matches.len().max(1) {
            let matching = match declared.matches.get(match_index) {
                Some(matching) => matching_of(matching),
                None => Some(Match::any()),
            };
            let Some(matching) = matching else { continue };
            let rule = self.rule(declared, match_index, &matching, (&backends, &filters));
            entries.push(Entry { hosts: hosts.clone(), matching, rule, created: self.route.meta.created });
        }
        entries
    }

    fn backend(&mut self, declared: &BackendRef) -> Weighted<B> {
        let weight = declared.weight;
        match self.filters(&declared.filters) {
            Ok(filters) => Weighted {
                weight,
                backend: (self.resolve)(self.route, &declared.target),
                filters: (!declared.filters.is_empty()).then_some(filters),
            },
            Err(why) => Weighted { weight, backend: B::broken(why), filters: None },
        }
    }

    fn rule(
        &self,
        declared: &HttpRouteRule,
        match_index: usize,
        matching: &Match,
        (backends, filters): (&[Weighted<B>], &Arc<Filters<B>>),
    ) -> Rule<B> {
        let pool =
            |backend: &Weighted<B>| backend.weight > 0 && backend.backend.kind() == DestinationKind::Pool;
        // By the standard a timeout of zero is none.
        let limit = |limit: Option<std::time::Duration>| limit.filter(|limit| !limit.is_zero());
        let retry = declared.retry.as_ref().map(|retry| Retry {
            codes: retry.codes.iter().filter_map(|&code| StatusCode::from_u16(code).ok()).collect(),
            attempts: retry.attempts,
            backoff: retry.backoff,
        });
        Rule {
            label: format!("{} rule {} match {match_index}", self.route.meta.name, self.rule_index).into(),
            route: self.route.meta.name.clone(),
            rule_index: self.rule_index,
            match_index,
            rule_name: declared.name.clone(),
            backends: backends.to_vec(),
            filters: Arc::clone(filters),
            timeouts: Timeouts {
                request: limit(declared.timeouts.request),
                backend_request: limit(declared.timeouts.backend_request),
            },
            retry,
            prefix: match &matching.path {
                PathMatch::Prefix(prefix) => Some(Arc::clone(prefix)),
                _ => None,
            },
            has_pool_backend: filters.redirect.is_none() && backends.iter().any(pool),
        }
    }

    /// The filters, or why the requests that should meet them get 500.
    fn filters(&mut self, declared: &[Filter]) -> Result<Arc<Filters<B>>, Arc<str>> {
        let mut filters = Filters::default();
        for filter in declared {
            if let Some(why) = filter.why_not_served() {
                return Err(why.into());
            }
            self.add_filter(&mut filters, filter)?;
        }
        Ok(Arc::new(filters))
    }

    fn add_filter(&mut self, filters: &mut Filters<B>, filter: &Filter) -> Result<(), String> {
        match filter {
            Filter::RequestHeaderModifier(modifier) => filters.request_headers = header_changes(modifier)?,
            Filter::ResponseHeaderModifier(modifier) => filters.response_headers = header_changes(modifier)?,
            Filter::RequestMirror(mirror) => {
                let share = mirror.share();
                filters.mirrors.push(Mirror {
                    backend: (self.resolve)(self.route, &mirror.backend_ref),
                    numerator: share.numerator,
                    denominator: share.denominator.max(1),
                });
            }
            Filter::RequestRedirect(redirect) => filters.redirect = Some(compiled_redirect(redirect)?),
            Filter::UrlRewrite(rewrite) => {
                let hostname = rewrite.hostname.as_deref().map(header_value).transpose()?;
                filters.rewrite = Some(Rewrite { hostname, path: rewrite.path.as_ref().map(path_change) });
            }
            // Refused before.
            Filter::Cors(_) | Filter::Unsupported(_) => {}
        }
        Ok(())
    }
}

/// `None` if the match can never be met: an expression, a name or a method in it is broken.
fn matching_of(declared: &HttpRouteMatch) -> Option<Match> {
    let path = match &declared.path {
        resources::PathMatch::Exact(path) => PathMatch::Exact(Arc::from(&**path)),
        resources::PathMatch::Prefix(prefix) => PathMatch::prefix(prefix),
        resources::PathMatch::RegularExpression(expression) => PathMatch::Regex(anchored(expression).ok()?),
    };
    let mut matching = Match { path, ..Match::any() };
    if let Some(method) = &declared.method {
        matching.method = Some(Method::from_bytes(method.as_bytes()).ok()?);
    }
    for header in &declared.headers {
        add_header(&mut matching, header)?;
    }
    for parameter in &declared.query_params {
        if !matching.query.iter().any(|(name, _)| **name == *parameter.name) {
            matching.query.push((Arc::from(&*parameter.name), value_of(parameter)?));
        }
    }
    Some(matching)
}

fn add_header(matching: &mut Match, header: &NamedMatch) -> Option<()> {
    let value = value_of(header)?;
    if MODEL_NAME == *header.name {
        matching.model.get_or_insert(value);
        return Some(());
    }
    let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
    if !matching.headers.iter().any(|(known, _)| *known == name) {
        matching.headers.push((name, value));
    }
    Some(())
}

fn value_of(named: &NamedMatch) -> Option<ValueMatch> {
    Some(match &named.value {
        resources::ValueMatch::Exact(value) => ValueMatch::Exact(Arc::from(&**value)),
        resources::ValueMatch::RegularExpression(expression) => ValueMatch::Regex(anchored(expression).ok()?),
    })
}

fn compiled_redirect(redirect: &resources::Redirect) -> Result<Redirect, String> {
    let status = StatusCode::from_u16(redirect.status_code).map_err(|error| error.to_string())?;
    Ok(Redirect {
        scheme: redirect.scheme.as_deref().map(Arc::from),
        hostname: redirect.hostname.as_deref().map(Arc::from),
        path: redirect.path.as_ref().map(path_change),
        port: redirect.port,
        status,
    })
}

fn path_change(modifier: &resources::PathModifier) -> PathChange {
    match modifier {
        resources::PathModifier::ReplaceFullPath { replace_full_path: full } => {
            PathChange::Full(Arc::from(&**full))
        }
        resources::PathModifier::ReplacePrefixMatch { replace_prefix_match: prefix } => {
            PathChange::Prefix(Arc::from(prefix.trim_end_matches('/')))
        }
    }
}

fn header_changes(modifier: &resources::HeaderModifier) -> Result<HeaderChanges, String> {
    let pairs = |declared: &[resources::HeaderValue]| -> Result<Vec<_>, String> {
        declared.iter().map(|header| Ok((header_name(&header.name)?, header_value(&header.value)?))).collect()
    };
    Ok(HeaderChanges {
        set: pairs(&modifier.set)?,
        add: pairs(&modifier.add)?,
        remove: modifier.remove.iter().map(|name| header_name(name)).collect::<Result<_, _>>()?,
    })
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|error| format!("{name:?} is no header name: {error}"))
}

fn header_value(value: &str) -> Result<HeaderValue, String> {
    value.parse().map_err(|error| format!("{value:?} is no header value: {error}"))
}

#[cfg(test)]
mod tests;
