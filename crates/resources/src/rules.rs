//! Every rule that manifests are held to, and what becomes of what breaks it.
//!
//! In: a rule's name. Out: its [`Effect`], from which a finding has its severity. This table decides alone which errors stop a
//! start, and is the page `docs/reference/findings.md`.

use crate::Severity;
use std::fmt::Write as _;

/// What becomes of what breaks a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Everything is served; it is probably not what was meant.
    Served,
    /// What it says cannot be done: its requests are refused, or it has no effect. Everything else is served.
    Unserved,
    /// Its file cannot be used: nothing starts with it; while running, the file keeps its last good objects.
    FileRefused,
}

impl Effect {
    /// Only what is served is a warning.
    pub fn severity(self) -> Severity {
        match self {
            Effect::Served => Severity::Warning,
            Effect::Unserved | Effect::FileRefused => Severity::Error,
        }
    }

    /// Its name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Served => "served",
            Effect::Unserved => "unserved",
            Effect::FileRefused => "file-refused",
        }
    }
}

/// A rule: its name, and when it is broken.
type Rule = (&'static str, &'static str);

/// By what becomes of what breaks them, and then by name.
const RULES: [(Effect, &[Rule]); 3] =
    [(Effect::FileRefused, FILE_REFUSED), (Effect::Unserved, UNSERVED), (Effect::Served, SERVED)];

const FILE_REFUSED: &[Rule] = &[
    ("duplicate-filter", "a filter that may stand once stands twice"),
    ("duplicate-item", "two elements of a list have one key"),
    ("duplicate-listener", "two listeners of one Gateway have port, protocol and hostname in common"),
    ("duplicate-object", "an object is declared twice; the first by file and line stands"),
    ("duplicate-parent", "two parentRefs name one parent"),
    ("field-of-another-type", "a field belongs to another `type`"),
    ("hostname-without-http", "a hostname where the protocol knows none"),
    ("malformed", "a text has not the form of its field"),
    ("missing-field", "a required field is missing"),
    ("not-a-regular-expression", "an expression does not compile, or only to something huge"),
    ("not-an-object", "a document has no `apiVersion` and `kind`"),
    ("not-one-of", "a value is none of those that the field takes"),
    ("not-yaml", "the text is no YAML, or too deep, too large or too repetitive"),
    ("out-of-range", "a number is outside its range"),
    ("percent-and-fraction", "a mirror has `percent` and `fraction`"),
    ("prefix-not-matched", "a prefix is replaced where no prefix was matched"),
    ("redirect-with-backends", "a rule redirects and has backendRefs"),
    ("redirect-with-rewrite", "a rule redirects and rewrites"),
    ("some-weights", "some targetModels have a weight and others none"),
    ("star-with-others", "`*` stands beside others"),
    ("timeout-longer-than-request", "`backendRequest` is longer than `request`"),
    ("tls-mode", "the TLS mode does not go with the protocol"),
    ("tls-without-tls", "`tls` with a protocol that has none"),
    ("unknown-kind", "`apiVersion` and `kind` are nearly those of a kind that is read"),
    ("unreadable", "a path cannot be read"),
    ("wrong-length", "a text is too short or too long"),
    ("wrong-number-of-items", "a list or a map has too few or too many elements"),
    ("wrong-type", "a value is of another type"),
    ("wrong-value", "a value cannot be read as what it should be"),
];

const UNSERVED: &[Rule] = &[
    ("backend-kind-not-served", "a backendRef names neither a Service nor an InferencePool: 500"),
    ("backend-not-found", "a backendRef names what is not declared: 500"),
    ("base-model-not-read", "a ConfigMap of base models (for `bbr`) cannot be read: its adapters have none"),
    ("config-map-not-found", "a Gateway's parametersRef names what is not declared: it has no effect"),
    ("filter-not-served", "a filter that is not supported: requests that should meet it get 500"),
    ("gateway-class-not-found", "a Gateway's class is not declared while others are: it is not served"),
    ("hostname-outside-listener", "a route has no hostname that the listener takes: it does not attach"),
    (
        "listener-not-found",
        "a parentRef names a listener that its Gateway does not serve: it does not attach",
    ),
    ("listener-taken", "an older Gateway's listener has this port and hostname: the younger is not served"),
    ("no-backend", "a rule has no backendRef and does not redirect: 500"),
    ("no-listener", "all listeners are of protocols that are not served: `run` does not start"),
    ("no-weight", "all backendRefs of a rule have weight 0: 500"),
    ("nothing-declared", "there is no object at all: `run` does not start, and `bbr` misses none"),
    ("parameters-not-read", "a Gateway's parametersRef names no ConfigMap: it has no effect"),
    ("parent-not-found", "a parentRef names a Gateway that is not declared: the route does not attach"),
    ("pool-not-found", "a poolRef names an InferencePool that is not declared: it has no effect"),
    ("port-not-found", "a backendRef names a port that its Service has not: 500"),
    ("reference-not-granted", "a reference into another namespace lacks its ReferenceGrant: 500"),
    ("route-not-allowed", "no listener's `allowedRoutes` lets the route in: it does not attach"),
    ("service-not-served", "a backendRef names a Service of type ExternalName: 500"),
    ("too-many-endpoints", "a pool or Service has more endpoints than are taken (found while running)"),
    ("too-many-names", "slices give more names than are looked up (found while running)"),
];

const SERVED: &[Rule] = &[
    ("deprecated-version", "an `apiVersion` that the API is about to drop"),
    (
        "empty-file",
        "a file has no object while others have; emptied at a reload, it keeps its last good ones (delete it to remove them)",
    ),
    (
        "endpoint-picker-not-found",
        "a pool's endpoint picker is not declared: the built-in one picks, or by \
         `--missing-endpoint-picker refuse` nobody",
    ),
    (
        "endpoint-picker-without-endpoints",
        "a pool's endpoint picker cannot be asked: its `failureMode` decides",
    ),
    (
        "expression-never-met",
        "a path's RegularExpression stands beside a rule of its route that matches everything, and PathPrefix goes first",
    ),
    ("gateway-without-route", "no HTTPRoute names a Gateway: it answers 404 to everything"),
    ("group-missing", "a group-less InferencePool is taken for the inference one"),
    ("ignored-kind", "objects of kinds that are not read here"),
    ("model-name-in-use", "a pool has an older InferenceModel of this `modelName`, which stands"),
    ("namespace-of-cluster-object", "a namespace where the kind has none"),
    ("no-parent", "a route without parentRefs matches nothing"),
    ("parent-not-served", "a parentRef names no Gateway"),
    ("pod-without-address", "a Pod of a pool has no `status.podIP` and so is no endpoint"),
    ("pool-without-endpoints", "a pool selects nothing that is ready: 503 until it does"),
    ("pool-without-route", "no rule sends to a pool, though a Gateway is served and there are routes"),
    ("protocol-not-served", "a listener's protocol is not served: nothing listens there"),
    ("protocol-not-spoken", "a pool's endpoints are spoken to in HTTP/1.1, whatever `appProtocol` says"),
    ("secret-not-found", "a certificate's Secret is not declared"),
    ("service-without-endpoints", "a backendRef's Service has no ready endpoint: 503 until it has"),
    ("tls-missing", "HTTPS without `tls`"),
    ("unknown-field", "a field that the kind has not; the nearest that it has is named"),
    ("unresolved-name", "an endpoint's name cannot be looked up (found while running)"),
];

/// What becomes of what breaks a rule. A name that stands in no table (a test sees to it that there is none) is taken for the
/// gravest.
pub(crate) fn effect_of(code: &str) -> Effect {
    let has = |(_, rules): &&(Effect, &[Rule])| rules.iter().any(|(name, _)| *name == code);
    RULES.iter().find(has).map_or(Effect::FileRefused, |(effect, _)| *effect)
}

/// The rules as a page.
pub fn reference() -> String {
    let mut out = String::from(
        "# Findings\n\nGenerated by `pointsman reference findings`. `pointsman check` and the logs of `run`, `epp` and `bbr` tell \
         one list, each finding with file, line, object, field and the name of its rule. `epp` leaves out pools that it does \
         not serve and who picks (it does), `epp` and `bbr` leave out missing listeners. What only a running process knows, \
         as that a name cannot be looked up, is told in the same form. While running, a file that breaks or is emptied keeps its last \
         good objects; deleting it removes them.\n\n\
         | `check` says | `--json` | at a start | at a reload | requests |\n|---|---|---|---|---|\n\
         | error | `file-refused` | nothing starts: `run`, `epp`, `bbr` and `explain --config` end | the file keeps its last \
         good objects, all other files apply | as before |\n\
         | error | `unserved` | it starts | it is in force | what the rule concerns is refused (500 where the Gateway API \
         wants it so: `ResolvedRefs` is false), is not attached, or has no effect; all else is served |\n\
         | warning | `served` | it starts | it is in force | served; 503 where a pool or a Service has no ready endpoint |\n\n\
         `check` exits 1 if there is an error, 0 if there are warnings only (1 with `--strict`). `run` needs a Gateway besides; \
         `epp` and `bbr` do not, and so manifests without one are no finding.\n",
    );
    for (effect, rules) in RULES {
        let severity = match effect.severity() {
            Severity::Error => "errors",
            Severity::Warning => "warnings",
        };
        let _ = write!(out, "\n## `{}`: {severity}\n\n| rule | is broken when |\n|---|---|\n", effect.name());
        for (name, meaning) in rules {
            let _ = writeln!(out, "| `{name}` | {meaning} |");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.file_name() != Some("rules.rs".as_ref()) {
                into.push(path);
            }
        }
    }

    /// What may be names of rules among what a source has as texts of their own.
    fn names_in(source: &str) -> impl Iterator<Item = &str> {
        let is_name = |text: &&str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        };
        source.split('"').filter(is_name)
    }

    #[test]
    fn the_table_has_every_rule_that_is_told_and_no_other() {
        let mut files = Vec::new();
        for folder in ["src", "../state/src"] {
            sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
        }
        let texts: Vec<String> = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
        let named: BTreeSet<&str> = texts.iter().flat_map(|text| names_in(text)).collect();
        let rules: Vec<&str> =
            RULES.iter().flat_map(|(_, rules)| rules.iter().map(|(name, _)| *name)).collect();
        let unused: Vec<_> = rules.iter().filter(|rule| !named.contains(*rule)).collect();
        assert!(unused.is_empty(), "never told: {unused:?}");
        let told = texts.iter().flat_map(|text| text.split("tell(").skip(1)).filter_map(|call| {
            let first = call.trim_start().strip_prefix('"')?;
            first.split('"').next()
        });
        let unknown: BTreeSet<_> = told.filter(|code| !rules.contains(code)).collect();
        assert!(unknown.is_empty(), "not in the table: {unknown:?}");
        for (_, rules) in RULES {
            assert!(rules.is_sorted_by_key(|(name, _)| name), "by name");
        }
    }
}
