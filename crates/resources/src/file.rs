//! One file: its objects, and what is wrong with it.
//!
//! In: a text. Out: the typed objects that have no error, and findings. Nothing here knows of other files.

use crate::document::documents;
use crate::finding::Finding;
use crate::kinds::{AnyObject, Kind, Named, kind_of};
use crate::object::{NAMESPACE_DEFAULT, Origin};
use crate::report::Report;
use crate::rules::Effect;
use crate::schema;
use std::path::Path;
use std::sync::Arc;
use yaml::{FieldPath, Tree, field};

/// What one file holds.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    /// The objects, in the order of lines.
    pub(crate) objects: Vec<Declared>,
    pub(crate) findings: Vec<Finding>,
    /// Where objects of kinds stand that are not read.
    pub(crate) ignored: Vec<(Origin, String)>,
}

/// An object, and how it was written.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    /// None if it has an error and is refused.
    pub(crate) typed: Option<AnyObject>,
    pub(crate) origin: Origin,
    pub(crate) tree: Arc<Tree>,
    /// As findings show it.
    pub(crate) shown: Arc<str>,
}

impl File {
    /// Whether it cannot be used.
    pub(crate) fn is_broken(&self) -> bool {
        self.findings.iter().any(|finding| finding.effect() == Effect::FileRefused)
    }

    /// Whether no object is written in it, not even a wrong one.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.ignored.is_empty() && self.findings.is_empty()
    }

    /// The objects that can be used.
    pub(crate) fn usable(&self) -> impl Iterator<Item = (&AnyObject, &Declared)> {
        self.objects.iter().filter_map(|object| Some((object.typed.as_ref()?, object)))
    }
}

impl Declared {
    /// What makes it one object with another: group, kind and name. `None` if it has no name.
    pub(crate) fn identity(&self) -> Option<String> {
        self.tree.get("metadata")?.text("name")?;
        let api_version = self.tree.text("apiVersion").unwrap_or_default();
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Some(format!("{group} {}", self.shown))
    }

    /// That `first` has its name already.
    pub(crate) fn is_a_second(&self, first: &Origin) -> Vec<Finding> {
        let mut report = Report::new(self.origin.clone(), self.shown.clone(), Some(&self.tree));
        let message = format!(
            "declared before in {} line {}; rename or remove one of them",
            first.file.display(),
            first.line
        );
        report.tell("duplicate-object", &field!["metadata", "name"], message);
        report.findings
    }
}

/// Reads a text.
pub(crate) fn read_file(name: &Arc<Path>, text: &[u8]) -> File {
    let mut file = File::default();
    let (trees, broken) = documents(text);
    for tree in trees {
        file.read_object(name, tree);
    }
    if let Some(broken) = broken {
        let origin = Origin { file: name.clone(), line: broken.line };
        file.findings.push(Finding::of_file(origin, "not-yaml", broken.message));
    }
    file
}

impl File {
    /// Reads one document: which kind, whether it is right, and then as its type.
    fn read_object(&mut self, name: &Arc<Path>, tree: Tree) {
        let origin = Origin { file: name.clone(), line: tree.line };
        let shown: Arc<str> = show(&tree).into();
        let mut report = Report::new(origin.clone(), shown.clone(), Some(&tree));
        let typed = match which(&tree, &mut report) {
            Which::Kind(kind) => {
                schema::check(kind, &tree, &mut report);
                if report.has_errors() { None } else { read(kind, &tree, &mut report) }
            }
            Which::Ignored(kind) => return self.ignored.push((origin, kind)),
            Which::Wrong => None,
        };
        self.findings.append(&mut report.findings);
        self.objects.push(Declared { typed, origin, tree: Arc::new(tree), shown });
    }
}

/// What a document is.
enum Which {
    Kind(&'static Kind),
    Ignored(String),
    Wrong,
}

fn which(tree: &Tree, report: &mut Report<'_>) -> Which {
    let (Some(api_version), Some(kind)) = (tree.text("apiVersion"), tree.text("kind")) else {
        let message = "not an object of Kubernetes: it needs `apiVersion` and `kind`".to_owned();
        report.tell("not-an-object", &FieldPath::default(), message);
        return Which::Wrong;
    };
    match kind_of(api_version, kind) {
        Named::Known(kind) => {
            let version = api_version.rsplit('/').next().unwrap_or_default();
            if kind.deprecated.contains(&version) {
                let message = format!("`{api_version}` is deprecated; write `{}`", kind.api_version());
                report.tell("deprecated-version", &field!["apiVersion"], message);
            }
            Which::Kind(kind)
        }
        Named::Other => Which::Ignored(kind.to_owned()),
        Named::Unknown(message) => {
            report.tell("unknown-kind", &field!["apiVersion"], message);
            Which::Wrong
        }
    }
}

/// Reads a document that the schema finds right; what the types still refuse is an error as well.
fn read(kind: &Kind, tree: &Tree, report: &mut Report<'_>) -> Option<AnyObject> {
    match kind.read(tree.to_json(), report.origin().clone()) {
        Ok(object) => Some(object),
        Err(unreadable) => {
            report.tell("wrong-value", &unreadable.path, unreadable.message);
            None
        }
    }
}

/// `Kind namespace/name` of a document, as far as it says.
fn show(tree: &Tree) -> String {
    let kind = tree.text("kind").unwrap_or_default();
    let Some(name) = tree.get("metadata").and_then(|meta| meta.text("name")) else { return kind.to_owned() };
    let namespace = tree.get("metadata").and_then(|meta| meta.text("namespace")).unwrap_or(NAMESPACE_DEFAULT);
    match kind {
        "GatewayClass" | "Namespace" => format!("{kind} {name}"),
        _ => format!("{kind} {namespace}/{name}"),
    }
}
