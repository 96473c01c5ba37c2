//! `EndpointPickerConfig`: the reference's file that says how a pool picks.
//!
//! In: its text, of any version from GAIE v0.5.1 to v1.5. Out: a [`Configured`] that is obeyed to the letter, or every
//! problem of the file with its line and field. What cannot be obeyed is a problem that says what to do instead; what the
//! reference ignores, and what is there without being asked for, is a note.
//! Never: I/O, a panic, half obedience.
//! Source: GAIE, `apix/config/v1alpha1` and `pkg/epp/config/loader`.

mod engines;
mod fields;
mod plugins;
mod profile;
mod sections;

use crate::Policy;
use crate::filters::{LoraAffinityFilter, LowQueueFilter};
use crate::saturation::SaturationDetector;
use fields::Reader;
use plugins::Declared;
use signals::EngineNames;
use std::fmt;
use yaml::{FieldPath, Tree, field};

/// The `kind` of such a document.
pub const KIND: &str = "EndpointPickerConfig";

/// The `apiVersion` of such a document.
pub const API_VERSION: &str = "inference.networking.x-k8s.io/v1alpha1";

/// Whether a file may name plugins by which a client chooses its own endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TestPlugins {
    /// It may not.
    #[default]
    Refused,
    /// It may: for conformance tests.
    Allowed,
}

/// The filters as a file has them that gives them no threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct FilterDefaults {
    /// `lora-affinity-filter`
    pub lora_affinity: LoraAffinityFilter,
    /// `low-queue-filter`
    pub low_queue: LowQueueFilter,
}

/// How model servers are asked for their metrics; `None` is left to the process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsSource {
    /// In the clear, or over TLS.
    pub scheme: Option<MetricsScheme>,
    /// Where they have them; begins with `/`.
    pub path: Option<String>,
    /// Whether any certificate is taken.
    pub insecure_skip_verify: Option<bool>,
}

/// How metrics are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsScheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Configured {
    /// How the pool picks.
    pub policy: Policy,
    /// When it is saturated; `None` if the file leaves that to the default detector.
    pub detector: Option<SaturationDetector>,
    /// How model servers are asked for their metrics, where the file says so.
    pub metrics: MetricsSource,
    /// Under which names the engines have their metrics, where the file names others than they document.
    pub engines: Vec<EngineNames>,
    /// What a person should know, none of it an error.
    pub notes: Vec<Problem>,
}

/// Something about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, from 1; 0 where there is none.
    pub line: u32,
    /// The field, as in `plugins[0].type`; empty: the whole file.
    pub field: String,
    /// What is to be said.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// A file that cannot be obeyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Everything that is wrong with it; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the EndpointPickerConfig cannot be obeyed")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

const TOP_FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "featureGates",
    "plugins",
    "schedulingProfiles",
    "saturationDetector",
    "data",
    "dataLayer",
    "flowControl",
    "parser",
];

/// Reads an `EndpointPickerConfig`.
pub fn read(text: &str, tests: TestPlugins) -> Result<Configured, ConfigError> {
    read_with(text, tests, FilterDefaults::default())
}

/// The same, with other defaults.
pub fn read_with(
    text: &str,
    tests: TestPlugins,
    defaults: FilterDefaults,
) -> Result<Configured, ConfigError> {
    let (trees, broken) = yaml::documents(text.as_bytes());
    if let Some(broken) = broken {
        return Err(whole(broken.line, broken.message));
    }
    let [tree] = &trees[..] else {
        return Err(whole(0, format!("there must be one document, and there are {}", trees.len())));
    };
    let mut reader = Reader::new(tree, defaults);
    let configured = read_tree(tree, tests, &mut reader);
    // A file is mended from its top.
    reader.problems.sort_by_key(|problem| problem.line);
    match configured {
        Some(configured) if reader.problems.is_empty() => {
            Ok(Configured { notes: reader.notes, ..configured })
        }
        _ => Err(ConfigError { problems: reader.problems }),
    }
}

fn whole(line: u32, message: String) -> ConfigError {
    ConfigError { problems: vec![Problem { line, field: String::new(), message }] }
}

/// `None` only with a problem told.
fn read_tree<'t>(tree: &'t Tree, tests: TestPlugins, reader: &mut Reader<'t>) -> Option<Configured> {
    let top = FieldPath::default();
    reader.object(tree, &top, TOP_FIELDS)?;
    for (name, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let found = reader.text(tree, &top, name).unwrap_or_default();
        if found != expected {
            let message = match found {
                "" => format!("is required: `{expected}`"),
                found => format!("is `{}`; write `{expected}`", yaml::shorten(found)),
            };
            reader.problem(&field![name], message);
        }
    }
    sections::feature_gates(tree, reader);
    sections::flow_control(tree, reader);
    let declared = Declared::read(tree, tests, reader);
    let policy = profile::read(tree, &declared, reader);
    let detector = sections::saturation_detector(tree, &declared, reader);
    let metrics = sections::data_layer(tree, &declared, reader);
    sections::parser(tree, &declared, reader);
    let engines = declared.engines();
    Some(Configured { policy: policy?, detector, metrics, engines, notes: Vec::new() })
}

#[cfg(test)]
mod tests;
