//! Who picks for a pool: the built-in picker, or the Service that its `endpointPickerRef` (v1) or `extensionRef`
//! (v1alpha2) names.
//!
//! In: a pool and the manifests. Out: the picker with its endpoints, from the Service's EndpointSlices.
//! Source: GAIE, `InferencePool`: the Service is in the pool's namespace, is spoken to over TLS, and is never an
//! ExternalName. Plaintext is what the Service's port asks for with `appProtocol: kubernetes.io/h2c`.

use crate::endpoints::EndpointReader;
use crate::findings::Findings;
use crate::{EndpointPicker, Transport};
use resources::{InferencePool, PickedBy, ServicePort};
use std::sync::Arc;

/// The `appProtocol` of a port that speaks HTTP/2 without TLS.
const H2C: &str = "kubernetes.io/h2c";

/// A pool's endpoint picker, if the manifests have it; without endpoints if it cannot be asked.
pub(crate) fn picker_of<'c>(
    pool: &'c InferencePool,
    reader: &mut EndpointReader<'c>,
    findings: &mut Findings<'_>,
) -> Option<Arc<EndpointPicker>> {
    let named = pool.endpoint_picker.as_ref()?;
    let store = reader.store;
    let (service, endpoints, transport) = match store.picked_by(pool) {
        PickedBy::BuiltIn | PickedBy::Missing(..) => return None,
        PickedBy::Unusable(name, _) => (name, Vec::new(), Transport::Tls),
        PickedBy::Service(service, port) => {
            let endpoints = reader.of_service(service, port, findings);
            (service.meta.name.clone(), endpoints, transport(port))
        }
    };
    let port = named.port.unwrap_or_default();
    Some(Arc::new(EndpointPicker {
        name: format!("{service}:{port}").into(),
        host: format!("{}.{}.svc", service.name, service.namespace).into(),
        endpoints,
        transport,
        failure_mode: named.failure_mode,
    }))
}

fn transport(port: &ServicePort) -> Transport {
    if port.app_protocol.as_deref() == Some(H2C) { Transport::Plaintext } else { Transport::Tls }
}
