//! Which base model an adapter is of, as ConfigMaps say.
//!
//! Source: GAIE v1.5, `pkg/bbr/datastore`: data keys `baseModel` (a name) and `adapters` (a YAML list of names).

use bytes::Bytes;
use resources::ConfigMap;
use std::collections::HashMap;
use std::sync::Arc;

/// The labels, any of them `true`, that make a ConfigMap one of these: v1.4 and later, v1.3, and the successor's.
pub const MANAGED_LABELS: [&str; 3] = [
    "inference.networking.k8s.io/bbr-managed",
    "inference-gateway.k8s.io/managed",
    "inference.llm-d.ai/ipp-managed",
];

/// Base models, by model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseModels(HashMap<Box<str>, Bytes>);

impl BaseModels {
    /// What these ConfigMaps say, and what of them cannot be read. Where two name one adapter, the first by name wins.
    pub fn of<'c>(
        config_maps: impl Iterator<Item = &'c Arc<ConfigMap>>,
        namespace: Option<&str>,
    ) -> (BaseModels, Vec<String>) {
        let mut models = BaseModels::default();
        let mut complaints = Vec::new();
        let managed = config_maps
            .filter(|map| namespace.is_none_or(|namespace| *map.meta.name.namespace == *namespace))
            .filter(|map| {
                MANAGED_LABELS.iter().any(|label| map.meta.labels.get(*label).is_some_and(|on| on == "true"))
            });
        for map in managed {
            if let Err(complaint) = models.add(map) {
                complaints.push(format!("ConfigMap {}: {complaint}", map.meta.name));
            }
        }
        (models, complaints)
    }

    fn add(&mut self, map: &ConfigMap) -> Result<(), String> {
        let base = map.data.get("baseModel").map(|base| base.trim()).filter(|base| !base.is_empty());
        let base = base.ok_or_else(|| "no `baseModel`".to_owned())?;
        http::HeaderValue::from_str(base).map_err(|_| "`baseModel` cannot stand in a header".to_owned())?;
        let adapters: Vec<String> = match map.data.get("adapters") {
            Some(adapters) if !adapters.trim().is_empty() => serde_saphyr::from_str(adapters)
                .map_err(|error| format!("`adapters` is not a YAML list of names: {error}"))?,
            _ => Vec::new(),
        };
        let value = Bytes::copy_from_slice(base.as_bytes());
        for model in
            adapters.iter().map(|adapter| adapter.trim()).chain([base]).filter(|name| !name.is_empty())
        {
            self.0.entry(model.into()).or_insert_with(|| value.clone());
        }
        Ok(())
    }

    /// The base model of a model: of an adapter its base, of a base itself.
    pub(crate) fn get(&self, model: &str) -> Option<&Bytes> {
        self.0.get(model.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use resources::Folder;

    fn maps(yaml: &str) -> Vec<Arc<ConfigMap>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("maps.yaml"), yaml).unwrap();
        Folder::new(&[folder.path().to_owned()]).load().store.config_maps.values().cloned().collect()
    }

    #[test]
    fn adapters_lead_to_their_base_and_a_base_to_itself() {
        let maps = maps(
            "
apiVersion: v1
kind: ConfigMap
metadata: {name: a, labels: {inference.networking.k8s.io/bbr-managed: 'true'}}
data: {baseModel: ' gemma ', adapters: \"- food-review\\n- ' movie-review '\\n\"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, namespace: other, labels: {inference-gateway.k8s.io/managed: 'true'}}
data: {baseModel: llama}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, labels: {inference.networking.k8s.io/bbr-managed: 'false'}}
data: {baseModel: unmanaged}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: d, labels: {inference.llm-d.ai/ipp-managed: 'true'}}
data: {adapters: '- x'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: e, labels: {inference.llm-d.ai/ipp-managed: 'true'}}
data: {baseModel: \"two\\nlines\"}
",
        );
        let (models, complaints) = BaseModels::of(maps.iter(), None);
        for (model, base) in [
            ("gemma", Some("gemma")),
            ("food-review", Some("gemma")),
            (" movie-review", Some("gemma")),
            ("llama", Some("llama")),
            ("unmanaged", None),
            ("x", None),
        ] {
            assert_eq!(models.get(model).map(|base| &base[..]), base.map(str::as_bytes), "{model}");
        }
        let broken = "ConfigMap default/e: `baseModel` cannot stand in a header";
        assert_eq!(complaints, ["ConfigMap default/d: no `baseModel`", broken]);
        assert_eq!(BaseModels::of(maps.iter(), Some("other")).0.0.len(), 1);
    }
}
