//! The declared objects become a [`Snapshot`].
//!
//! In: the store, what names were resolved to, the living domains. Out: the snapshot, and the names that slices give.
//! Never: I/O. Nothing here fails: what cannot be used is left out, or answers 500, and a finding says so.

use crate::backends::{Backends, PoolId};
use crate::domains::{Domains, Placed};
use crate::endpoints::{EndpointReader, keys};
use crate::findings::{Findings, about};
use crate::gateways::listeners;
use crate::names::{Addresses, NAMES_MAX};
use crate::pickers::{missing_picker, picker_of};
use crate::policies::{names_in, policies_of};
use crate::settings::{MissingEndpointPicker, Settings};
use crate::{Listener, Pool, Snapshot};
use journey::headers::MODEL_NAME;
use journey::{Now, PoolView};
use resources::{
    AppProtocol, BackendKind, Finding, HttpRoute, HttpRouteRule, InferencePool, Object, Severity, Store,
    ValueMatch,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What compiling reads.
#[derive(Debug)]
pub(crate) struct Sources<'c> {
    pub(crate) store: &'c Store,
    /// What was wrong with the manifests before.
    pub(crate) findings: &'c [Finding],
    pub(crate) resolved: &'c Addresses,
    pub(crate) settings: &'c Settings,
}

/// Compiles the world. The domains take the new endpoints; those that left stay until they are settled.
pub(crate) fn compile(
    sources: &Sources<'_>,
    generation: u64,
    domains: &mut Domains,
    now: Now,
) -> (Snapshot, BTreeSet<Arc<str>>) {
    let store = sources.store;
    let mut findings = Findings::default();
    findings.extend(sources.findings.iter().cloned());
    let mut reader = EndpointReader { store, resolved: sources.resolved, names: BTreeSet::new() };
    let pools = compile_pools(sources, &mut reader, domains, now, &mut findings);
    let usable = pools.iter().map(|pool| (pool.0.clone(), usable(pool, sources))).collect();
    let mut backends = Backends { reader, pools: usable, services: BTreeMap::new() };
    let mut compiled = Vec::new();
    for ours in listeners(store, &mut findings) {
        let mut resolve = |route: &HttpRoute, target: &_| backends.resolve(route, target, &mut findings);
        let (routes, found) = routing::compile(ours.routes, &mut resolve);
        findings.extend(found);
        compiled.push(Arc::new(Listener {
            gateway: ours.gateway.meta.name.clone(),
            name: ours.declared.name.clone(),
            port: ours.declared.port,
            hostname: ours.hostname,
            routes,
        }));
    }
    let names = backends.reader.names;
    tell_of_too_many(&names, store, &mut findings);
    let snapshot = Snapshot {
        generation,
        listeners: compiled,
        pools: pools.into_iter().map(|(_, pool)| pool).collect(),
        findings: findings.into_sorted(),
    };
    (snapshot, names)
}

fn compile_pools(
    sources: &Sources<'_>,
    reader: &mut EndpointReader<'_>,
    domains: &mut Domains,
    now: Now,
    findings: &mut Findings,
) -> Vec<(PoolId, Arc<Pool>)> {
    let store = sources.store;
    let declared: Vec<(&PoolId, &Arc<InferencePool>)> = store.inference_pools.iter().collect();
    let endpoints: Vec<_> = declared.iter().map(|(_, pool)| reader.of_pool(pool, findings)).collect();
    let with_keys: Vec<_> = declared.iter().map(|(id, _)| (*id).clone()).zip(keys(&endpoints)).collect();
    let placed = domains.place(&with_keys, sources.settings.seed, now);
    let mut models = models_by_pool(store);
    let compiled = declared.into_iter().zip(placed).map(|((id, pool), placed)| {
        tell_about(pool, placed.endpoints.len(), findings);
        let of_routes = models.remove(id).unwrap_or_default();
        let picker = picker_of(pool, reader, sources.settings.missing_endpoint_picker, findings);
        let compiled = compile_pool(pool, placed, of_routes, sources, findings);
        (id.clone(), Arc::new(Pool { picker, ..compiled }))
    });
    compiled.collect()
}

fn compile_pool(
    pool: &InferencePool,
    placed: Placed,
    mut models: BTreeSet<Arc<str>>,
    sources: &Sources<'_>,
    findings: &mut Findings,
) -> Pool {
    let policies = policies_of(pool, sources.store, findings);
    models.extend(names_in(&policies));
    Pool {
        version: pool.version,
        name: pool.meta.name.clone(),
        view: PoolView {
            name: pool.meta.name.to_string().into(),
            slots: placed.endpoints.iter().map(|(slot, _)| *slot).collect(),
            policy: Arc::clone(&sources.settings.policy),
            admission: sources.settings.admission,
        },
        endpoints: placed.endpoints,
        policies,
        blocks: sources.settings.policy.blocks().map(|settings| placed.domain.blocks(settings)),
        known_models: models.into_iter().collect(),
        domain: placed.domain,
        picker: None,
    }
}

/// The models that rules with a backend of the pool ask for by name.
fn models_by_pool(store: &Store) -> BTreeMap<PoolId, BTreeSet<Arc<str>>> {
    let mut models: BTreeMap<PoolId, BTreeSet<Arc<str>>> = BTreeMap::new();
    for route in store.http_routes.values() {
        for rule in &route.spec.rules {
            for target in rule.backend_refs.iter().map(|backend| &backend.target) {
                let object = target.object(&route.meta.name.namespace);
                let BackendKind::InferencePool(version) = target.kind() else { continue };
                let Some(pool) = store.inference_pool(&object, version) else { continue };
                models.entry((pool.version, object)).or_default().extend(models_of(rule));
            }
        }
    }
    models
}

fn models_of(rule: &HttpRouteRule) -> impl Iterator<Item = Arc<str>> + '_ {
    let headers = rule.matches.iter().flat_map(|matching| &matching.headers);
    headers.filter(|header| MODEL_NAME == *header.name).filter_map(|header| match &header.value {
        ValueMatch::Exact(model) => Some(Arc::from(&**model)),
        ValueMatch::RegularExpression(_) => None,
    })
}

fn usable((id, pool): &(PoolId, Arc<Pool>), sources: &Sources<'_>) -> Result<Arc<Pool>, Arc<str>> {
    let store = sources.store;
    let missing = store.inference_pools.get(id).and_then(|pool| missing_picker(pool, store));
    match (sources.settings.missing_endpoint_picker, missing) {
        (MissingEndpointPicker::Refuse, Some(picker)) => Err(format!(
            "the endpoint picker of the InferencePool {}, Service {picker}, is not declared",
            id.1
        )
        .into()),
        _ => Ok(Arc::clone(pool)),
    }
}

fn tell_about(pool: &InferencePool, endpoints: usize, findings: &mut Findings) {
    let told = |code| about(&pool.meta, "InferencePool", Severity::Warning, code);
    if pool.app_protocol == AppProtocol::H2c {
        let message = "endpoints are spoken to in HTTP/1.1".to_owned();
        findings.push_field(told("protocol-not-spoken"), "spec.appProtocol".to_owned(), message);
    }
    if endpoints == 0 {
        let message = "it selects no ready endpoint: its requests get 503".to_owned();
        findings.push_field(told("pool-without-endpoints"), "spec.selector".to_owned(), message);
    }
}

fn tell_of_too_many(names: &BTreeSet<Arc<str>>, store: &Store, findings: &mut Findings) {
    let Some(slice) = store.endpoint_slices.values().next().filter(|_| names.len() > NAMES_MAX) else {
        return;
    };
    let finding = about(&slice.meta, resources::EndpointSlice::KIND, Severity::Error, "too-many-names");
    findings
        .push(finding, format!("{} names are more than {NAMES_MAX}: the rest stay unresolved", names.len()));
}
