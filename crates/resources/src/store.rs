//! Everything that is declared, at one moment.
//!
//! In: typed objects, each once. Out: the same, by kind and name. Two stores are equal if nothing changed.

use crate::core_v1::{ConfigMap, EndpointSlice, Namespace, Pod, Secret, Service};
use crate::gateway::{Gateway, GatewayClass};
use crate::http_route::HttpRoute;
use crate::inference_model::{InferenceModel, InferenceModelRewrite, InferenceObjective};
use crate::inference_pool::{InferencePool, PoolVersion};
use crate::object::ObjectName;
use crate::reference_grant::ReferenceGrant;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The objects of one kind, in the order of their names.
pub type Objects<T> = BTreeMap<ObjectName, Arc<T>>;

/// Every object that is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    /// GatewayClass.
    pub gateway_classes: Objects<GatewayClass>,
    /// Gateway.
    pub gateways: Objects<Gateway>,
    /// HTTPRoute.
    pub http_routes: Objects<HttpRoute>,
    /// InferencePool, both versions; v1 first.
    pub inference_pools: BTreeMap<(PoolVersion, ObjectName), Arc<InferencePool>>,
    /// InferenceModel.
    pub inference_models: Objects<InferenceModel>,
    /// InferenceObjective.
    pub inference_objectives: Objects<InferenceObjective>,
    /// InferenceModelRewrite.
    pub inference_model_rewrites: Objects<InferenceModelRewrite>,
    /// ReferenceGrant.
    pub reference_grants: Objects<ReferenceGrant>,
    /// Service.
    pub services: Objects<Service>,
    /// EndpointSlice.
    pub endpoint_slices: Objects<EndpointSlice>,
    /// Pod.
    pub pods: Objects<Pod>,
    /// ConfigMap.
    pub config_maps: Objects<ConfigMap>,
    /// Secret.
    pub secrets: Objects<Secret>,
    /// Namespace.
    pub namespaces: Objects<Namespace>,
}

/// A reference that may need a ReferenceGrant.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// API group of the object that refers.
    pub from_group: &'a str,
    /// Its kind.
    pub from_kind: &'a str,
    /// Its namespace.
    pub from_namespace: &'a str,
    /// API group of the object referred to; empty is core.
    pub to_group: &'a str,
    /// Its kind.
    pub to_kind: &'a str,
    /// Its name.
    pub to: &'a ObjectName,
}

/// What became of asking for a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// It stays in its namespace, or a ReferenceGrant allows it.
    Allowed,
    /// It leaves its namespace and nothing allows it.
    Missing,
}

impl Store {
    /// The InferencePool of a name; without a version v1, then v1alpha2.
    pub fn inference_pool(
        &self,
        name: &ObjectName,
        version: Option<PoolVersion>,
    ) -> Option<&Arc<InferencePool>> {
        let of = |version| self.inference_pools.get(&(version, name.clone()));
        match version {
            Some(version) => of(version),
            None => of(PoolVersion::V1).or_else(|| of(PoolVersion::V1Alpha2)),
        }
    }

    /// The slices of a Service.
    pub fn slices_of<'s>(&'s self, service: &'s ObjectName) -> impl Iterator<Item = &'s Arc<EndpointSlice>> {
        self.endpoint_slices.values().filter(move |slice| {
            slice.meta.name.namespace == service.namespace && slice.service() == Some(&service.name)
        })
    }

    /// Whether an object may refer to another.
    pub fn grant(&self, reference: &Reference<'_>) -> Grant {
        if *reference.from_namespace == *reference.to.namespace {
            return Grant::Allowed;
        }
        let allowed = self.reference_grants.values().any(|grant| {
            grant.meta.name.namespace == reference.to.namespace
                && grant.spec.from.iter().any(|from| {
                    from.group == reference.from_group
                        && from.kind == reference.from_kind
                        && *from.namespace == *reference.from_namespace
                })
                && grant.spec.to.iter().any(|to| {
                    to.group == reference.to_group
                        && to.kind == reference.to_kind
                        && to.name.as_ref().is_none_or(|name| *name == reference.to.name)
                })
        });
        if allowed { Grant::Allowed } else { Grant::Missing }
    }
}
