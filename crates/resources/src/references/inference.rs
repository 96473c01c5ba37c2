//! What InferencePools refer to, and what refers to them.

use super::{References, names};
use crate::inference_pool::{FailureMode, InferencePool, PoolVersion};
use crate::object::ObjectName;
use crate::report::Report;
use crate::store::Store;
use std::collections::BTreeMap;
use yaml::{FieldPath, field};

impl References<'_> {
    /// Every InferencePool: its endpoints and its picker.
    pub(super) fn inference_pools(&mut self) {
        for pool in self.store.inference_pools.values() {
            self.about("InferencePool", &pool.meta, |store, report| {
                picker(store, pool, report);
                endpoints(store, pool, report);
            });
        }
    }

    /// The pools of models, objectives and rewrites are there.
    pub(super) fn pool_refs(&mut self) {
        let pools = || self.store.inference_pools.values();
        let mut lost = Vec::new();
        let store = self.store;
        for object in store.inference_models.values().filter(|o| !pools().any(|pool| o.is_of(pool))) {
            lost.push(("InferenceModel", &object.meta, &object.spec.pool_ref));
        }
        for object in store.inference_objectives.values().filter(|o| !pools().any(|pool| o.is_of(pool))) {
            lost.push(("InferenceObjective", &object.meta, &object.spec.pool_ref));
        }
        for object in store.inference_model_rewrites.values().filter(|o| !pools().any(|pool| o.is_of(pool))) {
            lost.push(("InferenceModelRewrite", &object.meta, &object.spec.pool_ref));
        }
        for (kind, meta, pool_ref) in lost {
            self.about(kind, meta, |store, report| {
                let here = |(_, pool): &&(PoolVersion, ObjectName)| pool.namespace == meta.name.namespace;
                let there = names(store.inference_pools.keys().filter(here).map(|(_, pool)| &*pool.name));
                let group =
                    pool_ref.group.as_deref().map(|group| format!(" of group `{group}`")).unwrap_or_default();
                let message = format!(
                    "no InferencePool `{}`{group} in namespace `{}`: it has no effect; {there}",
                    pool_ref.name, meta.name.namespace
                );
                report.error("pool-not-found", &field!["spec", "poolRef", "name"], message);
            });
        }
    }

    /// Of two InferenceModels with one name at one pool the oldest stands.
    pub(super) fn model_names(&mut self) {
        let mut models: Vec<_> = self.store.inference_models.values().collect();
        models.sort_by(|a, b| a.meta.by_age(&b.meta));
        let mut first_of = BTreeMap::new();
        for model in models {
            let (name, spec) = (&model.meta.name, &model.spec);
            let key = (name.namespace.clone(), spec.pool_ref.name.clone(), spec.model_name.clone());
            let Some(first) = first_of.get(&key) else {
                first_of.insert(key, name.clone());
                continue;
            };
            let message =
                format!("`{}` is the modelName of {first}, which is older and stands", spec.model_name);
            self.about("InferenceModel", &model.meta, |_, report| {
                report.warning("model-name-in-use", &field!["spec", "modelName"], message);
            });
        }
    }
}

/// Where the reference to the picker stands.
fn picker_field(pool: &InferencePool) -> FieldPath {
    match pool.version {
        PoolVersion::V1 => field!["spec", "endpointPickerRef", "name"],
        PoolVersion::V1Alpha2 => field!["spec", "extensionRef", "name"],
    }
}

fn picker(store: &Store, pool: &InferencePool, report: &mut Report<'_>) {
    let Some(picker) = &pool.endpoint_picker else { return };
    let name = ObjectName::new(pool.meta.name.namespace.clone(), picker.name.clone());
    let is_service = (&*picker.group, &*picker.kind) == ("", "Service");
    if !is_service || !store.services.contains_key(&name) {
        let message = format!(
            "no {} `{name}` among these manifests: the built-in endpoint picker picks for this pool",
            picker.kind
        );
        report.warning("endpoint-picker-not-found", &picker_field(pool), message);
        return;
    }
    if let Some(why) = unready(store, &name, picker.port) {
        let instead = match picker.failure_mode {
            FailureMode::FailOpen => "the built-in endpoint picker picks for this pool",
            FailureMode::FailClose => "requests for this pool get 503",
        };
        let message = format!("the endpoint picker, Service `{name}`, cannot be asked: {why}: {instead}");
        report.warning("endpoint-picker-without-endpoints", &picker_field(pool), message);
    }
}

/// Why nothing answers at a port of a Service.
fn unready(store: &Store, name: &ObjectName, port: Option<u16>) -> Option<String> {
    let service = &store.services[name];
    if service.spec.r#type.as_deref() == Some("ExternalName") {
        return Some("it is of type ExternalName, which the standard forbids".to_owned());
    }
    if let Some(port) = port
        && !service.spec.ports.iter().any(|own| own.port == port)
    {
        return Some(format!("it has no port {port}"));
    }
    let mut endpoints = store.slices_of(name).flat_map(|slice| &slice.endpoints);
    let answers = endpoints.any(|endpoint| endpoint.conditions.is_ready());
    (!answers).then(|| "no EndpointSlice of it has a ready endpoint".to_owned())
}

fn endpoints(store: &Store, pool: &InferencePool, report: &mut Report<'_>) {
    let selected = |meta: &crate::Meta| pool.selects(&meta.name.namespace, &meta.labels);
    let has_endpoints = store.pods.values().any(|pod| selected(&pod.meta))
        || store.endpoint_slices.values().any(|slice| selected(&slice.meta));
    if !has_endpoints {
        let labels: Vec<String> = pool.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let message = format!(
            "no Pod or EndpointSlice in namespace `{}` has the labels {}: the pool has no endpoint",
            pool.meta.name.namespace,
            labels.join(", ")
        );
        report.warning("pool-without-endpoints", &field!["spec", "selector"], message);
    }
}
