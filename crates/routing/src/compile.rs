//! HTTPRoutes become a [`RouteTable`]: once for each snapshot and listener, never on a request's way.
//!
//! In: the routes attached to a listener, each with its effective hostnames, and how a backendRef is resolved. Out: the
//! table, and what could not be honoured: a match with a broken expression never matches; requests of a filter that is
//! not supported get 500, by the standard.

use crate::filters::{Filters, HeaderChanges, Mirror, PathChange, Redirect, Rewrite};
use crate::matching::{Match, PathMatch, ValueMatch};
use crate::pattern::anchored;
use crate::rule::{Destination, DestinationKind, Retry, Rule, Timeouts, Weighted};
use crate::table::{Entry, RouteTable};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use journey::headers::MODEL_NAME;
use resources::{
    BackendRef, BackendTarget, Filter, Finding, HttpRoute, HttpRouteMatch, HttpRouteRule, NamedMatch,
    Severity,
};
use std::sync::Arc;

/// A route as it is attached to a listener.
#[derive(Debug, Clone)]
pub struct Attached<'r> {
    /// The route.
    pub route: &'r HttpRoute,
    /// The hosts it takes here, lower case, perhaps `*.example.com`; empty takes every host.
    pub hosts: Arc<[Arc<str>]>,
}

/// Compiles the routes of one listener.
pub fn compile<'r, B: Destination>(
    routes: impl IntoIterator<Item = Attached<'r>>,
    resolve: &mut dyn FnMut(&HttpRoute, &BackendTarget) -> B,
) -> (RouteTable<B>, Vec<Finding>) {
    let mut entries = Vec::new();
    let mut findings = Vec::new();
    for Attached { route, hosts } in routes {
        for (rule_index, declared) in route.spec.rules.iter().enumerate() {
            let mut compiler =
                RuleCompiler { route, rule_index, resolve: &mut *resolve, findings: &mut findings };
            entries.extend(compiler.entries(declared, &hosts));
        }
    }
    (RouteTable::build(entries), findings)
}

/// Compiles one rule of one route.
struct RuleCompiler<'c, B> {
    route: &'c HttpRoute,
    rule_index: usize,
    resolve: &'c mut dyn FnMut(&HttpRoute, &BackendTarget) -> B,
    findings: &'c mut Vec<Finding>,
}

impl<B: Destination> RuleCompiler<'_, B> {
    /// One entry for each match. A rule without matches takes everything.
    fn entries(&mut self, declared: &HttpRouteRule, hosts: &Arc<[Arc<str>]>) -> Vec<Entry<B>> {
        let mut backends = Vec::with_capacity(declared.backend_refs.len());
        for (index, backend) in declared.backend_refs.iter().enumerate() {
            backends.push(self.backend(backend, &format!(".backendRefs[{index}]")));
        }
        let filters = self.filters(&declared.filters, "").unwrap_or_else(|why| {
            backends = vec![Weighted { weight: 1, backend: B::broken(why), filters: None }];
            Arc::default()
        });
        let mut entries = Vec::with_capacity(declared.matches.len().max(1));
        for match_index in 0..declared.matches.len().max(1) {
            let matching = match declared.matches.get(match_index) {
                Some(matching) => self.matching(matching, match_index),
                None => Some(Match::any()),
            };
            let Some(matching) = matching else { continue };
            let rule = self.rule(declared, match_index, &matching, (&backends, &filters));
            entries.push(Entry { hosts: hosts.clone(), matching, rule, created: self.route.meta.created });
        }
        entries
    }

    fn backend(&mut self, declared: &BackendRef, field: &str) -> Weighted<B> {
        let weight = declared.weight;
        match self.filters(&declared.filters, field) {
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

    /// `None` if the match can never be met: an expression, a name or a method in it is broken.
    fn matching(&mut self, declared: &HttpRouteMatch, match_index: usize) -> Option<Match> {
        let field = format!(".matches[{match_index}]");
        let path = match &declared.path {
            resources::PathMatch::Exact(path) => PathMatch::Exact(Arc::from(&**path)),
            resources::PathMatch::Prefix(prefix) => PathMatch::prefix(prefix),
            resources::PathMatch::RegularExpression(expression) => {
                PathMatch::Regex(self.expression(expression, &format!("{field}.path.value"))?)
            }
        };
        let mut matching = Match { path, ..Match::any() };
        if let Some(method) = &declared.method {
            let named = Method::from_bytes(method.as_bytes());
            matching.method = Some(self.honoured(named, "invalid-method", &format!("{field}.method"))?);
        }
        for (index, header) in declared.headers.iter().enumerate() {
            self.add_header(&mut matching, header, &format!("{field}.headers[{index}]"))?;
        }
        for (index, parameter) in declared.query_params.iter().enumerate() {
            if !matching.query.iter().any(|(name, _)| **name == *parameter.name) {
                let value = self.value(parameter, &format!("{field}.queryParams[{index}]"))?;
                matching.query.push((Arc::from(&*parameter.name), value));
            }
        }
        Some(matching)
    }

    fn add_header(&mut self, matching: &mut Match, header: &NamedMatch, field: &str) -> Option<()> {
        let value = self.value(header, field)?;
        if MODEL_NAME == *header.name {
            matching.model.get_or_insert(value);
            return Some(());
        }
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = self.honoured(name, "invalid-header-name", &format!("{field}.name"))?;
        if !matching.headers.iter().any(|(known, _)| *known == name) {
            matching.headers.push((name, value));
        }
        Some(())
    }

    fn value(&mut self, named: &NamedMatch, field: &str) -> Option<ValueMatch> {
        Some(match &named.value {
            resources::ValueMatch::Exact(value) => ValueMatch::Exact(Arc::from(&**value)),
            resources::ValueMatch::RegularExpression(expression) => {
                ValueMatch::Regex(self.expression(expression, &format!("{field}.value"))?)
            }
        })
    }

    fn expression(&mut self, expression: &str, field: &str) -> Option<regex::bytes::Regex> {
        self.honoured(anchored(expression), "invalid-regular-expression", field)
    }

    /// The value; or nothing, and a finding that its match never matches.
    fn honoured<T, E: std::fmt::Display>(
        &mut self,
        value: Result<T, E>,
        code: &'static str,
        field: &str,
    ) -> Option<T> {
        match value {
            Ok(value) => Some(value),
            Err(error) => {
                self.find(code, field, format!("this match never matches: {error}"));
                None
            }
        }
    }

    /// The filters, or why the requests that should meet them get 500.
    fn filters(&mut self, declared: &[Filter], field: &str) -> Result<Arc<Filters<B>>, Arc<str>> {
        let mut filters = Filters::default();
        for (index, filter) in declared.iter().enumerate() {
            if let Err(why) = self.add_filter(&mut filters, filter) {
                let field = format!("{field}.filters[{index}]");
                self.find("filter-not-served", &field, format!("requests here get 500: {why}"));
                return Err(why.into());
            }
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
            Filter::Cors(_) => return Err("the CORS filter is not supported".to_owned()),
            Filter::Unsupported(kind) => return Err(format!("the filter {kind} is not supported")),
        }
        Ok(())
    }

    fn find(&mut self, code: &'static str, field: &str, message: String) {
        self.findings.push(Finding {
            origin: self.route.meta.origin.clone(),
            severity: Severity::Error,
            code,
            object: format!("HTTPRoute {}", self.route.meta.name).into(),
            field: format!("spec.rules[{}]{field}", self.rule_index),
            message,
        });
    }
}

fn compiled_redirect(redirect: &resources::Redirect) -> Result<Redirect, String> {
    let status = StatusCode::from_u16(redirect.status_code)
        .ok()
        .filter(|status| [301, 302, 303, 307, 308].contains(&status.as_u16()))
        .ok_or_else(|| format!("the status {} is no redirection", redirect.status_code))?;
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
