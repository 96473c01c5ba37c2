//! What ConfigMaps say of base models.

use super::References;
use crate::base_model::NoBaseModel;

impl References<'_> {
    /// Every ConfigMap that a body-based router reads.
    pub(super) fn base_models(&mut self) {
        for map in self.store.config_maps.values() {
            let Some(Err(NoBaseModel { at, why })) = map.base_model() else { continue };
            self.about("ConfigMap", &map.meta, |_, report| {
                report.tell("base-model-not-read", &at, format!("{why}: its adapters have no base model"));
            });
        }
    }
}
