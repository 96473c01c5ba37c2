//! Which base model an adapter is of, as a ConfigMap says.
//!
//! Source: GAIE v1.5, `pkg/bbr/datastore`: data keys `baseModel` (a name) and `adapters` (a YAML list of names).

use crate::core_v1::ConfigMap;
use crate::schema::Form;
use yaml::{FieldPath, Value, field};

/// The labels, any of them `true`, that make a ConfigMap one of these: v1.4 and later, v1.3, and the successor's.
const MANAGED_LABELS: [&str; 3] = [
    "inference.networking.k8s.io/bbr-managed",
    "inference-gateway.k8s.io/managed",
    "inference.llm-d.ai/ipp-managed",
];

/// A base model, and its adapters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseModel {
    /// Its name, which may stand in a header.
    pub name: String,
    /// The names of its adapters.
    pub adapters: Vec<String>,
}

/// Why a ConfigMap that should says of no base model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoBaseModel {
    pub(crate) at: FieldPath,
    pub(crate) why: String,
}

impl ConfigMap {
    /// The base model that it tells of; none if it is for something else.
    pub fn base_model(&self) -> Option<Result<BaseModel, NoBaseModel>> {
        let is_managed = |label: &&str| self.meta.labels.get(*label).is_some_and(|on| on == "true");
        MANAGED_LABELS.iter().any(is_managed).then(|| self.read_base_model())
    }

    fn read_base_model(&self) -> Result<BaseModel, NoBaseModel> {
        let wrong = |key: &'static str, why: String| NoBaseModel { at: field!["data", key], why };
        let name = self.data.get("baseModel").map(|name| name.trim()).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| wrong("baseModel", "no `baseModel`".to_owned()))?;
        if !Form::HeaderValue.accepts(name) {
            return Err(wrong("baseModel", format!("`baseModel` must be {}", Form::HeaderValue.what())));
        }
        let adapters = self.data.get("adapters").map_or(Ok(Vec::new()), |text| names_in(text));
        let adapters = adapters
            .map_err(|why| wrong("adapters", format!("`adapters` is not a YAML list of names: {why}")))?;
        Ok(BaseModel { name: name.to_owned(), adapters })
    }
}

/// The names in a YAML list.
fn names_in(text: &str) -> Result<Vec<String>, String> {
    let (trees, broken) = yaml::documents(text.as_bytes());
    if let Some(broken) = broken {
        return Err(broken.message);
    }
    let elements = match trees.first().map(|tree| &tree.value) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::List(elements)) => elements,
        Some(_) => return Err(format!("it is {}", trees[0].what())),
    };
    let name = |element: &yaml::Tree| {
        element
            .as_text()
            .map(|name| name.trim().to_owned())
            .ok_or_else(|| format!("{} is none", element.what()))
    };
    elements.iter().map(name).collect()
}
