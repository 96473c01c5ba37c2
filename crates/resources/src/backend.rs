//! What a backendRef names.
//!
//! In: a route and its reference. Out: the pool, or the Service with its port; or why it is neither, which `references` tells
//! and requests are told (500, by the standard).

use crate::core_v1::{Service, ServicePort};
use crate::http_route::{BackendKind, BackendTarget, HttpRoute};
use crate::inference_pool::{InferencePool, PoolVersion};
use crate::object::{Object, ObjectName};
use crate::store::{Grant, Reference, Store};
use std::sync::Arc;

/// What a backendRef names.
#[derive(Debug, Clone, Copy)]
pub enum DeclaredBackend<'s> {
    /// An InferencePool.
    Pool(&'s Arc<InferencePool>),
    /// A Service, and the port of it that is named.
    Service(&'s Service, &'s ServicePort),
}

/// Why a backendRef leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangling {
    /// The rule that is broken.
    pub(crate) code: &'static str,
    /// The part of the reference, if it is not all of it.
    pub(crate) part: Option<&'static str>,
    /// In words: `the InferencePool default/gemma is not declared`.
    pub why: String,
}

impl Dangling {
    fn new(code: &'static str, part: Option<&'static str>, why: String) -> Dangling {
        Dangling { code, part, why }
    }
}

impl Store {
    /// What `target` of `route` names.
    pub fn backend(
        &self,
        route: &HttpRoute,
        target: &BackendTarget,
    ) -> Result<DeclaredBackend<'_>, Dangling> {
        let object = target.object(&route.meta.name.namespace);
        match target.kind() {
            BackendKind::Service => {
                self.granted(route, ("", Service::KIND), &object)?;
                let (service, port) = self.service(&object, target.port)?;
                Ok(DeclaredBackend::Service(service, port))
            }
            BackendKind::InferencePool(version) => {
                let found = self.inference_pool(&object, version);
                let version = found.map(|pool| pool.version).or(version).unwrap_or(PoolVersion::V1);
                self.granted(route, (version.group(), "InferencePool"), &object)?;
                found.map(DeclaredBackend::Pool).ok_or_else(|| {
                    let why = format!("the InferencePool {object} is not declared");
                    Dangling::new("backend-not-found", Some("name"), why)
                })
            }
            BackendKind::Unknown => {
                let kind = target.kind.as_deref().unwrap_or(Service::KIND);
                let group = target.group.as_deref().unwrap_or_default();
                let why = format!("the kind {kind} of the group {group:?} is not served as a backend");
                Err(Dangling::new("backend-kind-not-served", Some("kind"), why))
            }
        }
    }

    fn granted(
        &self,
        route: &HttpRoute,
        (to_group, to_kind): (&str, &str),
        to: &ObjectName,
    ) -> Result<(), Dangling> {
        let reference = Reference {
            from_group: crate::GATEWAY_GROUP,
            from_kind: HttpRoute::KIND,
            from_namespace: &route.meta.name.namespace,
            to_group,
            to_kind,
            to,
        };
        match self.grant(&reference) {
            Grant::Allowed => Ok(()),
            Grant::Missing => {
                let why = format!("no ReferenceGrant lets it refer to the {to_kind} {to}");
                Err(Dangling::new("reference-not-granted", None, why))
            }
        }
    }

    fn service(&self, name: &ObjectName, port: Option<u16>) -> Result<(&Service, &ServicePort), Dangling> {
        let service = self.services.get(name).ok_or_else(|| {
            Dangling::new("backend-not-found", Some("name"), format!("the Service {name} is not declared"))
        })?;
        if service.is_external_name() {
            let why = format!("the Service {name} is of type ExternalName, which is not served");
            return Err(Dangling::new("service-not-served", Some("name"), why));
        }
        let found = service.spec.ports.iter().find(|of_service| Some(of_service.port) == port);
        let found = found.ok_or_else(|| {
            let why = match port {
                Some(port) => format!("the Service {name} has no port {port}"),
                None => format!("the reference to the Service {name} has no port"),
            };
            Dangling::new("port-not-found", Some("port"), why)
        })?;
        Ok((service, found))
    }
}
