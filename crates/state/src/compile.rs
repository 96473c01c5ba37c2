//! The declared objects become a [`Snapshot`].
//!
//! In: the store, what names were resolved to, the living domains. Out: the snapshot, and the names that slices give.
//! Never: I/O, a finding about what `resources` knows as well. Nothing here fails: what cannot be used is left out, or answers
//! 500, and a finding says so.

use crate::backends::{Backends, PoolId};
use crate::domains::{Domains, Placed};
use crate::endpoints::{EndpointReader, keys, pods_behind};
use crate::findings::Findings;
use crate::names::{Addresses, NAMES_MAX};
use crate::pickers::picker_of;
use crate::policies::{names_in, policies_of};
use crate::settings::{MissingEndpointPicker, Settings};
use crate::{Listener, Pool, Snapshot};
use journey::headers::MODEL_NAME;
use journey::{Now, PoolView};
use resources::{
    AddressType, Audience, BackendKind, EndpointSlice, Finding, HttpRoute, HttpRouteRule, InferencePool,
    Object, PickedBy, Places, Store, ValueMatch, field, listeners,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What compiling reads.
#[derive(Debug)]
pub(crate) struct Sources<'c> {
    pub(crate) store: &'c Store,
    /// What is wrong with the manifests.
    pub(crate) findings: &'c [Finding],
    pub(crate) places: &'c Places,
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
    let mut findings = Findings::new(sources.findings, sources.places);
    let mut reader = EndpointReader { store, resolved: sources.resolved, names: BTreeSet::new() };
    let pools = compile_pools(sources, &mut reader, domains, now, &mut findings);
    let usable = pools.iter().map(|pool| (pool.0.clone(), usable(pool, sources))).collect();
    let mut backends = Backends { reader, pools: usable, services: BTreeMap::new() };
    let served = if sources.settings.audience == Audience::Gateway { listeners(store) } else { Vec::new() };
    let mut compiled = Vec::with_capacity(served.len());
    for ours in served {
        let mut resolve = |route: &HttpRoute, target: &_| backends.resolve(route, target, &mut findings);
        compiled.push(Arc::new(Listener {
            gateway: ours.gateway.meta.name.clone(),
            name: ours.declared.name.clone(),
            port: ours.declared.port,
            hostname: ours.hostname,
            routes: routing::compile(ours.routes, &mut resolve),
        }));
    }
    let names = backends.reader.names;
    tell_of_too_many(&names, store, &mut findings);
    let snapshot = Snapshot {
        generation,
        listeners: compiled,
        declared_pools: store.inference_pools.keys().cloned().collect(),
        pools: pools.into_iter().map(|(_, pool)| pool).collect(),
        findings: findings.into_sorted(),
    };
    (snapshot, names)
}

fn compile_pools<'c>(
    sources: &Sources<'c>,
    reader: &mut EndpointReader<'c>,
    domains: &mut Domains,
    now: Now,
    findings: &mut Findings<'_>,
) -> Vec<(PoolId, Arc<Pool>)> {
    let store = sources.store;
    let pools = store.inference_pools.iter().filter(|(_, pool)| sources.settings.audience.has(pool));
    let declared: Vec<(&PoolId, &Arc<InferencePool>)> = pools.collect();
    let endpoints: Vec<_> = declared.iter().map(|(_, pool)| reader.of_pool(pool, findings)).collect();
    for ((_, pool), endpoints) in declared.iter().zip(&endpoints) {
        // Of those that are declared, the manifests' own check tells.
        if endpoints.is_empty() && sources.settings.pools.contains(pool) {
            let (object, at) = (("InferencePool", &pool.meta), field!["spec", "selector"]);
            findings.tell("pool-without-endpoints", object, &at, pool.why_without_endpoints());
        }
    }
    let with_keys: Vec<_> = declared.iter().map(|(id, _)| (*id).clone()).zip(keys(&endpoints)).collect();
    let placed = domains.place(&with_keys, sources.settings.seed, now);
    let mut models = models_by_pool(store);
    let compiled = declared.into_iter().zip(placed).map(|((id, pool), placed)| {
        let of_routes = models.remove(id).unwrap_or_default();
        let picker = picker_of(pool, reader, findings);
        let compiled = compile_pool(pool, placed, of_routes, sources);
        (id.clone(), Arc::new(Pool { picker, ..compiled }))
    });
    compiled.collect()
}

fn compile_pool(
    pool: &InferencePool,
    placed: Placed,
    mut models: BTreeSet<Arc<str>>,
    sources: &Sources<'_>,
) -> Pool {
    let policies = policies_of(pool, sources.store);
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
        pods: Arc::new(pods_behind(pool, sources.store)),
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
    let declared = sources.store.inference_pools.get(id);
    let picked_by = declared.map(|declared| sources.store.picked_by(declared));
    match (sources.settings.missing_endpoint_picker, picked_by) {
        (MissingEndpointPicker::Refuse, Some(PickedBy::Missing(kind, picker))) => Err(format!(
            "the endpoint picker of the InferencePool {}, {kind} {picker}, is not declared",
            id.1
        )
        .into()),
        _ => Ok(Arc::clone(pool)),
    }
}

fn tell_of_too_many(names: &BTreeSet<Arc<str>>, store: &Store, findings: &mut Findings<'_>) {
    let mut of_names = store.endpoint_slices.values().filter(|slice| slice.address_type == AddressType::Fqdn);
    let Some(slice) = of_names.next().filter(|_| names.len() > NAMES_MAX) else {
        return;
    };
    let message = format!("{} names are more than {NAMES_MAX}: the rest stay unresolved", names.len());
    findings.tell("too-many-names", (EndpointSlice::KIND, &slice.meta), &field!["endpoints"], message);
}
