//! What a backendRef stands for.
//!
//! In: a route and its reference. Out: a [`Backend`]: a pool, a Service with its endpoints, or why it is neither, which
//! its requests are told (500, by the standard).

use crate::endpoints::EndpointReader;
use crate::findings::Findings;
use crate::{Backend, Pool, Service};
use resources::{BackendTarget, DeclaredBackend, HttpRoute, ObjectName, PoolVersion};
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
        findings: &mut Findings<'_>,
    ) -> Backend {
        match self.reader.store.backend(route, target) {
            Ok(DeclaredBackend::Pool(pool)) => {
                match self.pools.get(&(pool.version, pool.meta.name.clone())) {
                    Some(Ok(pool)) => Backend::Pool(Arc::clone(pool)),
                    Some(Err(why)) => Backend::Broken(Arc::clone(why)),
                    None => Backend::Broken(
                        format!("the InferencePool {} is not served here", pool.meta.name).into(),
                    ),
                }
            }
            Ok(DeclaredBackend::Service(service, port)) => {
                let id = (service.meta.name.clone(), port.port);
                if let Some(known) = self.services.get(&id) {
                    return Backend::Service(Arc::clone(known));
                }
                let endpoints = self.reader.of_service(service, port, findings);
                let service = Arc::new(Service { name: id.0.clone(), port: id.1, endpoints });
                self.services.insert(id, Arc::clone(&service));
                Backend::Service(service)
            }
            Err(dangling) => Backend::Broken(dangling.why.into()),
        }
    }
}
