//! What InferencePools refer to, and what refers to them.

use super::{Audience, References, names};
use crate::core_v1::Pod;
use crate::endpoints::PickedBy;
use crate::inference_pool::{AppProtocol, FailureMode, InferencePool, PoolVersion};
use crate::object::{Object, ObjectName};
use crate::refused::Refused;
use crate::report::Report;
use crate::store::Store;
use std::collections::BTreeMap;
use yaml::{FieldPath, field};

impl References<'_> {
    /// Every InferencePool: its endpoints and its picker.
    pub(super) fn inference_pools(&mut self) {
        for pool in self.pools() {
            let refused = self.refused;
            let picks_itself = matches!(self.audience, Audience::EndpointPicker(_));
            self.about("InferencePool", &pool.meta, |store, report| {
                if !picks_itself {
                    picker((store, refused), pool, report);
                }
                // A refused one may have the labels.
                if !refused.has("Pod") && !refused.has("EndpointSlice") {
                    endpoints(store, pool, report);
                }
                if pool.app_protocol == AppProtocol::H2c {
                    let message = "endpoints are spoken to in HTTP/1.1";
                    report.tell("protocol-not-spoken", &field!["spec", "appProtocol"], message);
                }
            });
            for pod in self.store.pods_of(pool).filter(|pod| pod.status.pod_ip.is_none()) {
                let message = "it has no status.podIP, and so it is no endpoint of its pool";
                self.about(Pod::KIND, &pod.meta, |_, report| {
                    report.tell("pod-without-address", &field!["status", "podIP"], message);
                });
            }
        }
    }

    /// The pools of models, objectives and rewrites are there.
    pub(super) fn pool_refs(&mut self) {
        let pools = || self.store.inference_pools.values();
        let (store, audience) = (self.store, self.audience);
        let mut lost = Vec::new();
        for object in store.inference_models.values().filter(|o| !pools().any(|pool| o.is_of(pool))) {
            lost.push(("InferenceModel", &object.meta, &object.spec.pool_ref));
        }
        for object in store.inference_objectives.values().filter(|o| !pools().any(|pool| o.is_of(pool))) {
            lost.push(("InferenceObjective", &object.meta, &object.spec.pool_ref));
        }
        for object in store.inference_model_rewrites.values().filter(|o| !pools().any(|pool| o.is_of(pool))) {
            lost.push(("InferenceModelRewrite", &object.meta, &object.spec.pool_ref));
        }
        let refused = self.refused;
        for (kind, meta, pool_ref) in lost {
            let pool = ObjectName::new(meta.name.namespace.clone(), pool_ref.name.clone());
            let declared = refused.why_missing("InferencePool", &pool);
            let is_meant = |(_, name): &&(PoolVersion, ObjectName)| pool_ref.is_of_pools() && *name == pool;
            let elsewhere = store.inference_pools.keys().find(is_meant);
            // A picker may have made its pool itself, and tells of one that it lacks.
            if declared.is_none() && elsewhere.is_none() && audience.picks_for(&pool) {
                continue;
            }
            let there = match elsewhere {
                Some((version, _)) => format!("it is of the group `{}` here", version.group()),
                None => {
                    let here = |(_, name): &&(PoolVersion, ObjectName)| name.namespace == pool.namespace;
                    names(store.inference_pools.keys().filter(here).map(|(_, name)| &*name.name))
                }
            };
            let group =
                pool_ref.group.as_deref().map(|group| format!(" of group `{group}`")).unwrap_or_default();
            let message = match declared {
                Some(declared) => format!("{declared}: it has no effect"),
                None => format!(
                    "no InferencePool `{}`{group} in namespace `{}`: it has no effect; {there}",
                    pool.name, pool.namespace
                ),
            };
            self.about(kind, meta, |_, report| {
                report.tell("pool-not-found", &field!["spec", "poolRef", "name"], message);
            });
        }
    }

    /// Of two InferenceModels with one name at one pool the oldest stands.
    pub(super) fn model_names(&mut self) {
        for pool in self.pools() {
            let mut models: Vec<_> = self.store.inference_models.values().filter(|m| m.is_of(pool)).collect();
            models.sort_by(|a, b| a.meta.by_age(&b.meta));
            let mut taken = BTreeMap::new();
            for model in models {
                let name = &model.spec.model_name;
                let Some(first) = taken.get(name) else {
                    taken.insert(name, &model.meta.name);
                    continue;
                };
                let message = format!("`{name}` is the modelName of {first}, which is older and stands");
                self.about("InferenceModel", &model.meta, |_, report| {
                    report.tell("model-name-in-use", &field!["spec", "modelName"], message);
                });
            }
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

fn picker((store, refused): (&Store, &Refused), pool: &InferencePool, report: &mut Report<'_>) {
    match store.picked_by(pool) {
        PickedBy::BuiltIn | PickedBy::Service(..) => {}
        PickedBy::Missing(kind, name) => {
            let declared = refused.why_missing(kind, &name);
            let declared = declared.unwrap_or_else(|| format!("no {kind} `{name}` among these manifests"));
            let message = format!(
                "{declared}: the built-in endpoint picker picks for this pool, or, with \
                 `--missing-endpoint-picker refuse`, its requests get 500"
            );
            report.tell("endpoint-picker-not-found", &picker_field(pool), message);
        }
        // A refused one may have a ready endpoint.
        PickedBy::Unusable(..) if refused.has("EndpointSlice") => {}
        PickedBy::Unusable(name, why) => {
            let instead = match pool.endpoint_picker.as_ref().map(|picker| picker.failure_mode) {
                Some(FailureMode::FailOpen) => "the built-in endpoint picker picks for this pool",
                Some(FailureMode::FailClose) | None => "requests for this pool get 503",
            };
            let message = format!("the endpoint picker, Service `{name}`, cannot be asked: {why}: {instead}");
            report.tell("endpoint-picker-without-endpoints", &picker_field(pool), message);
        }
    }
}

fn endpoints(store: &Store, pool: &InferencePool, report: &mut Report<'_>) {
    let pods = || store.pods_of(pool).any(|pod| !pod.addresses(&pool.target_ports).is_empty());
    if store.sliced_endpoints(pool).next().is_none() && !pods() {
        report.tell("pool-without-endpoints", &field!["spec", "selector"], pool.why_without_endpoints());
    }
}
