//! What the fields of an HTTPRoute have to do with each other: the CRD's CEL rules.

use crate::duration::parse_duration;
use crate::pattern::anchored;
use crate::report::Report;
use std::collections::BTreeSet;
use yaml::{FieldPath, Tree, field, shorten};

/// Matches of all rules together.
const MATCHES_MAX: usize = 128;

/// All rules.
pub(crate) fn rules(tree: &Tree, report: &mut Report<'_>) {
    let Some(spec) = tree.get("spec") else { return };
    parents(spec, report);
    let rules = spec.list("rules");
    let matches: usize = rules.iter().map(|rule| rule.list("matches").len().max(1)).sum();
    if matches > MATCHES_MAX {
        let message = format!("{matches} matches in all rules together; at most {MATCHES_MAX} are allowed");
        report.tell("wrong-number-of-items", &field!["spec", "rules"], message);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = field!["spec", "rules", index];
        for (index, matched) in rule.list("matches").iter().enumerate() {
            let at = at.then("matches").then(index);
            path_match(matched, &at, report);
            expressions(matched, &at, report);
        }
        filters(rule, rule, &at, report);
        if !rule.list("backendRefs").is_empty() && has_filter(rule, "RequestRedirect") {
            let message =
                "a redirection is answered here: remove `backendRefs` or the RequestRedirect filter";
            report.tell("redirect-with-backends", &at.then("backendRefs"), message);
        }
        for (index, backend) in rule.list("backendRefs").iter().enumerate() {
            let at = at.then("backendRefs").then(index);
            port_of_service(backend, &at, report);
            filters(rule, backend, &at, report);
        }
        timeouts(rule, &at, report);
    }
}

/// No two parentRefs may mean the same; of two for one parent both need a sectionName (or a port).
fn parents(spec: &Tree, report: &mut Report<'_>) {
    let parents = spec.list("parentRefs");
    let object = |parent: &Tree| {
        ["group", "kind", "namespace", "name"].map(|field| parent.text(field).unwrap_or_default().to_owned())
    };
    let part = |parent: &Tree| (parent.text("sectionName").map(str::to_owned), parent.integer("port"));
    for (index, parent) in parents.iter().enumerate() {
        for other in &parents[..index] {
            let same_object = object(parent) == object(other);
            let (a, b) = (part(parent), part(other));
            let nowhere = (None, None);
            if same_object && (a == b || a == nowhere || b == nowhere) {
                let message = "two references to one parent: each needs a `sectionName` of its own";
                report.tell("duplicate-parent", &field!["spec", "parentRefs", index], message);
                break;
            }
        }
    }
}

/// Paths that are compared as text have to be absolute and plain.
fn path_match(matched: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let Some(path) = matched.get("path") else { return };
    let is_text = matches!(path.text("type").unwrap_or("PathPrefix"), "Exact" | "PathPrefix");
    let Some(value) = path.text("value").filter(|_| is_text) else { return };
    let mut wrong = |reason: &str| {
        report.tell("malformed", &at.then("path").then("value"), format!("`{}` {reason}", shorten(value)));
    };
    if !value.starts_with('/') {
        return wrong("must start with `/`");
    }
    const NOT_WITHIN: [&str; 6] = ["//", "/./", "/../", "%2f", "%2F", "#"];
    if let Some(part) = NOT_WITHIN.iter().find(|part| value.contains(**part)) {
        return wrong(&format!("must not contain `{part}`"));
    }
    if value.ends_with("/..") || value.ends_with("/.") {
        return wrong("must not end with `/.` or `/..`");
    }
    if !is_path(value) {
        wrong("must have only characters of a path: letters, digits, any of -/._~!$&'()*+,;=:@ and %XX");
    }
}

fn is_path(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                let hex = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_hexdigit());
                hex(bytes.next()) && hex(bytes.next())
            }
            _ => byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&byte),
        };
        if !fits {
            return false;
        }
    }
    true
}

/// Regular expressions have to be some. (The API server leaves this to the implementation.)
fn expressions(matched: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let mut look = |tree: &Tree, at: FieldPath| {
        if tree.text("type") != Some("RegularExpression") {
            return;
        }
        let Some(Err(error)) = tree.text("value").map(anchored) else { return };
        let told = error.to_string();
        let reason = told.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
        report.tell(
            "not-a-regular-expression",
            &at.then("value"),
            format!("not a regular expression: {reason}"),
        );
    };
    if let Some(path) = matched.get("path") {
        look(path, at.then("path"));
    }
    for list in ["headers", "queryParams"] {
        for (index, matched) in matched.list(list).iter().enumerate() {
            look(matched, at.then(list).then(index));
        }
    }
}

/// Each type of filter and the field that belongs to it.
const FIELD_OF_FILTER: [(&str, &str); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestMirror", "requestMirror"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
    ("ExtensionRef", "extensionRef"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
];

/// Types that may stand several times in a list.
const REPEATABLE: [&str; 2] = ["RequestMirror", "ExtensionRef"];

fn has_filter(holder: &Tree, filter_type: &str) -> bool {
    holder.list("filters").iter().any(|filter| filter.text("type") == Some(filter_type))
}

/// The filters of a rule or of one of its backendRefs.
fn filters(rule: &Tree, holder: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    if has_filter(holder, "RequestRedirect") && has_filter(holder, "URLRewrite") {
        let message = "a request is redirected or rewritten, not both: remove RequestRedirect or URLRewrite";
        report.tell("redirect-with-rewrite", &at.then("filters"), message);
    }
    let mut seen = BTreeSet::new();
    for (index, filter) in holder.list("filters").iter().enumerate() {
        let at = at.then("filters").then(index);
        let Some(filter_type) = filter.text("type") else { continue };
        if !REPEATABLE.contains(&filter_type) && !seen.insert(filter_type) {
            report.tell("duplicate-filter", &at, format!("the filter {filter_type} cannot be repeated"));
        }
        filter_fields(filter, filter_type, &at, report);
        mirror(filter, &at, report);
        cors(filter, &at, report);
        for field in ["requestRedirect", "urlRewrite"] {
            if let Some(path) = filter.get(field).and_then(|change| change.get("path")) {
                path_modifier(rule, path, &at.then(field).then("path"), report);
            }
        }
    }
}

/// A filter has the field of its type and no other.
fn filter_fields(filter: &Tree, filter_type: &str, at: &FieldPath, report: &mut Report<'_>) {
    for (of, field) in FIELD_OF_FILTER {
        field_of_type(filter, Some(filter_type), (of, field), (at, report));
    }
}

/// The field that belongs to type `of` stands with that type, and only with it.
fn field_of_type(
    tree: &Tree,
    its_type: Option<&str>,
    (of, field): (&str, &str),
    (at, report): (&FieldPath, &mut Report<'_>),
) {
    match (its_type == Some(of), tree.get(field).is_some()) {
        (true, false) => {
            let message = format!("`{field}` is required with type {of}");
            report.tell("missing-field", &at.then(field), message);
        }
        (false, true) => {
            let but = its_type.map_or(String::new(), |its_type| format!(", but the type is {its_type}"));
            let message = format!("`{field}` belongs to type {of}{but}");
            report.tell("field-of-another-type", &at.then(field), message);
        }
        _ => {}
    }
}

fn mirror(filter: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let Some(mirror) = filter.get("requestMirror") else { return };
    let at = at.then("requestMirror");
    if mirror.get("percent").is_some() && mirror.get("fraction").is_some() {
        report.tell("percent-and-fraction", &at, "only one of `percent` or `fraction` may be specified");
    }
    if let Some(fraction) = mirror.get("fraction")
        && fraction.integer("numerator").unwrap_or(0) > fraction.integer("denominator").unwrap_or(100)
    {
        report.tell("out-of-range", &at.then("fraction"), "`numerator` must not be more than `denominator`");
    }
    if let Some(backend) = mirror.get("backendRef") {
        port_of_service(backend, &at.then("backendRef"), report);
    }
}

fn cors(filter: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let Some(cors) = filter.get("cors") else { return };
    for field in ["allowHeaders", "allowMethods", "allowOrigins"] {
        let values = cors.list(field);
        if values.len() > 1 && values.iter().any(|value| value.as_text() == Some("*")) {
            report.tell(
                "star-with-others",
                &at.then("cors").then(field),
                "`*` stands for all: remove the others",
            );
        }
    }
}

/// A changed path has the field of its type; a prefix can be replaced only where one was matched.
fn path_modifier(rule: &Tree, path: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let modifier_type = path.text("type");
    for (of, field) in [("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch")]
    {
        field_of_type(path, modifier_type, (of, field), (at, report));
    }
    let prefix = |matched: &Tree| {
        matched.get("path").is_none_or(|path| path.text("type").unwrap_or("PathPrefix") == "PathPrefix")
    };
    let matches = rule.list("matches");
    let one_prefix = matches.is_empty() || matches.len() == 1 && prefix(&matches[0]);
    if modifier_type == Some("ReplacePrefixMatch") && !one_prefix {
        let message = "with replacePrefixMatch the rule must have exactly one match, and that a PathPrefix";
        report.tell("prefix-not-matched", at, message);
    }
}

/// A Service is sent to at a port.
fn port_of_service(backend: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let is_service = backend.text("group").unwrap_or_default().is_empty()
        && backend.text("kind").unwrap_or("Service") == "Service";
    if is_service && backend.get("port").is_none() {
        let message = "must have a port for a Service; for an InferencePool write `kind: InferencePool`";
        report.tell("missing-field", &at.then("port"), message);
    }
}

fn timeouts(rule: &Tree, at: &FieldPath, report: &mut Report<'_>) {
    let Some(timeouts) = rule.get("timeouts") else { return };
    let duration = |field| timeouts.text(field).and_then(|text| parse_duration(text).ok());
    let (Some(request), Some(backend)) = (duration("request"), duration("backendRequest")) else { return };
    if !request.is_zero() && backend > request {
        let message = "backendRequest timeout cannot be longer than request timeout";
        report.tell("timeout-longer-than-request", &at.then("timeouts").then("backendRequest"), message);
    }
}
