//! Which base model an adapter is of, for a header.

use bytes::Bytes;
use resources::ConfigMap;
use std::collections::HashMap;
use std::sync::Arc;

/// Base models, by model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BaseModels(HashMap<Box<str>, Bytes>);

impl BaseModels {
    /// What these ConfigMaps say. Where two name one adapter, the first by name wins.
    pub fn of<'c>(
        config_maps: impl Iterator<Item = &'c Arc<ConfigMap>>,
        namespace: Option<&str>,
    ) -> BaseModels {
        let mut models = BaseModels::default();
        let of_namespace = config_maps
            .filter(|map| namespace.is_none_or(|namespace| *map.meta.name.namespace == *namespace));
        // One that cannot be read is told with the other findings.
        for base in of_namespace.filter_map(|map| map.base_model()?.ok()) {
            let value = Bytes::copy_from_slice(base.name.as_bytes());
            for model in base.adapters.iter().chain([&base.name]).filter(|name| !name.is_empty()) {
                models.0.entry(model.as_str().into()).or_insert_with(|| value.clone());
            }
        }
        models
    }

    /// Of how many models one is known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether of none is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
        let models = BaseModels::of(maps.iter(), None);
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
        assert_eq!(BaseModels::of(maps.iter(), Some("other")).0.len(), 1);
    }
}
