//! What a backendRef stands for.
//!
//! In: a route and its reference. Out: a [`Backend`]: a pool, a Service with its endpoints, or why it is neither, which
//! its requests are told (500, by the standard).

use crate::endpoints::EndpointReader;
use crate::findings::{Findings, about};
use crate::{Backend, Pool, Service};
use resources::{
    BackendKind, BackendTarget, Grant, HttpRoute, INFERENCE_GROUP, Object, ObjectName, PoolVersion,
    Reference, Severity,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which pool.
pub(crate) type PoolId = (PoolVersion, ObjectName);

/// Resolves backendRefs.
#[derive(Debug)]
pub(crate) struct Backends<'c> {
    pub(crate) reader: EndpointReader<'c>,
    /// Pools, or why one cannot be used.
    pub(crate) pools: BTreeMap<PoolId, Result<Arc<Pool>, Arc<str>>>,
    /// Services met so far, by name and port.
    pub(crate) services: BTreeMap<(ObjectName, u16), Arc<Service>>,
}

impl Backends<'_> {
    /// What `target` of `route` stands for.
    pub(crate) fn resolve(
        &mut self,
        route: &HttpRoute,
        target: &BackendTarget,
        findings: &mut Findings,
    ) -> Backend {
        self.find(route, target, findings).unwrap_or_else(|why| {
            let finding = about(&route.meta, HttpRoute::KIND, Severity::Error, "backend-not-found");
            findings.push(finding, format!("a backendRef leads nowhere, its requests get 500: {why}"));
            Backend::Broken(why)
        })
    }

    fn find(
        &mut self,
        route: &HttpRoute,
        target: &BackendTarget,
        findings: &mut Findings,
    ) -> Result<Backend, Arc<str>> {
        let object = target.object(&route.meta.name.namespace);
        match target.kind() {
            BackendKind::Service => {
                self.granted(route, "", "Service", &object)?;
                Ok(Backend::Service(self.service(&object, target.port, findings)?))
            }
            BackendKind::InferencePool(version) => {
                let versions = [PoolVersion::V1, PoolVersion::V1Alpha2];
                let mut of_name = versions
                    .into_iter()
                    .filter(|found| version.is_none_or(|version| version == *found))
                    .filter_map(|version| self.pools.get_key_value(&(version, object.clone())));
                let found = of_name.next();
                let version = found.map(|(id, _)| id.0).or(version);
                self.granted(
                    route,
                    version.map_or(INFERENCE_GROUP, PoolVersion::group),
                    "InferencePool",
                    &object,
                )?;
                let (_, pool) = found.ok_or_else(|| format!("the InferencePool {object} is not declared"))?;
                pool.clone().map(Backend::Pool)
            }
            BackendKind::Unknown => {
                let kind = target.kind.as_deref().unwrap_or("Service");
                let group = target.group.as_deref().unwrap_or_default();
                Err(format!("the kind {kind} of the group {group:?} is not served as a backend").into())
            }
        }
    }

    fn granted(&self, route: &HttpRoute, group: &str, kind: &str, to: &ObjectName) -> Result<(), Arc<str>> {
        let reference = Reference {
            from_group: resources::GATEWAY_GROUP,
            from_kind: HttpRoute::KIND,
            from_namespace: &route.meta.name.namespace,
            to_group: group,
            to_kind: kind,
            to,
        };
        match self.reader.store.grant(&reference) {
            Grant::Allowed => Ok(()),
            Grant::Missing => Err(format!("no ReferenceGrant lets it refer to the {kind} {to}").into()),
        }
    }

    fn service(
        &mut self,
        name: &ObjectName,
        port: Option<u16>,
        findings: &mut Findings,
    ) -> Result<Arc<Service>, Arc<str>> {
        let port = port.ok_or_else(|| format!("the reference to the Service {name} has no port"))?;
        if let Some(known) = self.services.get(&(name.clone(), port)) {
            return Ok(Arc::clone(known));
        }
        let store = self.reader.store;
        let declared =
            store.services.get(name).ok_or_else(|| format!("the Service {name} is not declared"))?;
        if declared.spec.r#type.as_deref() == Some("ExternalName") {
            return Err(format!("the Service {name} is of type ExternalName, which is not served").into());
        }
        let of_service = declared.spec.ports.iter().find(|of_service| of_service.port == port);
        let of_service = of_service.ok_or_else(|| format!("the Service {name} has no port {port}"))?;
        let endpoints = self.reader.of_service(declared, of_service, findings);
        let service = Arc::new(Service { name: name.clone(), port, endpoints });
        self.services.insert((name.clone(), port), Arc::clone(&service));
        Ok(service)
    }
}
