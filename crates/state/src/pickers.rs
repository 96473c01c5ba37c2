//! Who picks for a pool: the built-in picker, or the Service that its `endpointPickerRef` (v1) or `extensionRef`
//! (v1alpha2) names.
//!
//! In: a pool and the manifests. Out: the picker with its endpoints, from the Service's EndpointSlices.
//! Source: GAIE, `InferencePool`: the Service is in the pool's namespace, is spoken to over TLS, and is never an
//! ExternalName. Plaintext is what the Service's port asks for with `appProtocol: kubernetes.io/h2c`.

use crate::endpoints::EndpointReader;
use crate::findings::{Findings, about};
use crate::settings::MissingEndpointPicker;
use crate::{EndpointPicker, Transport};
use resources::{EndpointPickerRef, FailureMode, InferencePool, ObjectName, PoolVersion, Severity, Store};
use std::net::SocketAddr;
use std::sync::Arc;

/// The `appProtocol` of a port that speaks HTTP/2 without TLS.
const H2C: &str = "kubernetes.io/h2c";

/// A pool's endpoint picker, if the manifests have it.
pub(crate) fn picker_of(
    pool: &InferencePool,
    reader: &mut EndpointReader<'_>,
    missing: MissingEndpointPicker,
    findings: &mut Findings,
) -> Option<Arc<EndpointPicker>> {
    let named = pool.endpoint_picker.as_ref()?;
    let field = match pool.version {
        PoolVersion::V1 => "spec.endpointPickerRef",
        PoolVersion::V1Alpha2 => "spec.extensionRef",
    };
    let mut tell = |code, message| {
        let finding = about(&pool.meta, "InferencePool", Severity::Warning, code);
        findings.push_field(finding, field.to_owned(), message);
    };
    if let Some(name) = missing_picker(pool, reader.store) {
        let instead = match missing {
            MissingEndpointPicker::Builtin => "the built-in picker picks",
            MissingEndpointPicker::Refuse => "requests for this pool are refused",
        };
        let message = format!("the endpoint picker, {} {name}, is not declared: {instead}", named.kind);
        tell("endpoint-picker-not-found", message);
        return None;
    }
    let service = service_of(pool, named);
    let port = named.port.unwrap_or_default();
    let mut unready = Findings::default();
    let (endpoints, transport) = endpoints(&service, port, reader, &mut unready).unwrap_or_else(|why| {
        let instead = match named.failure_mode {
            FailureMode::FailOpen => "the built-in picker picks",
            FailureMode::FailClose => "requests for this pool get 503",
        };
        let message = format!("the endpoint picker, Service {service}, cannot be asked: {why}: {instead}");
        tell("endpoint-picker-without-endpoints", message);
        (Vec::new(), Transport::Tls)
    });
    findings.extend(unready.into_sorted());
    Some(Arc::new(EndpointPicker {
        name: format!("{service}:{port}").into(),
        host: format!("{}.{}.svc", service.name, service.namespace).into(),
        endpoints,
        transport,
        failure_mode: named.failure_mode,
    }))
}

/// The name of a pool's endpoint picker, if that is no Service that is declared.
pub(crate) fn missing_picker(pool: &InferencePool, store: &Store) -> Option<ObjectName> {
    let picker = pool.endpoint_picker.as_ref()?;
    let name = service_of(pool, picker);
    let declared = (&*picker.group, &*picker.kind) == ("", "Service") && store.services.contains_key(&name);
    (!declared).then_some(name)
}

fn service_of(pool: &InferencePool, picker: &EndpointPickerRef) -> ObjectName {
    ObjectName::new(pool.meta.name.namespace.clone(), picker.name.clone())
}

/// The ready endpoints behind the picker's port, and how they are spoken to.
fn endpoints(
    name: &ObjectName,
    port: u16,
    reader: &mut EndpointReader<'_>,
    findings: &mut Findings,
) -> Result<(Vec<SocketAddr>, Transport), String> {
    let service = &reader.store.services[name];
    if service.spec.r#type.as_deref() == Some("ExternalName") {
        return Err("it is of type ExternalName, which the standard forbids".to_owned());
    }
    let of_service = service.spec.ports.iter().find(|of_service| of_service.port == port);
    let of_service = of_service.ok_or_else(|| format!("it has no port {port}"))?;
    let endpoints = reader.of_service(service, of_service, findings);
    if endpoints.is_empty() {
        return Err("no EndpointSlice of it has a ready endpoint".to_owned());
    }
    let plain = of_service.app_protocol.as_deref() == Some(H2C);
    Ok((endpoints, if plain { Transport::Plaintext } else { Transport::Tls }))
}
