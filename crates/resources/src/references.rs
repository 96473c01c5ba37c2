//! What objects say about each other.
//!
//! In: everything that is declared. Out: findings: references that lead nowhere or are not allowed, pools without endpoints,
//! names taken twice. What is an error here is served as the Gateway API has it (500, or not attached), so that one wrong
//! reference never takes an object away.
//! Never: an object by itself (that is `schema`); a decision of its own where serving decides too: both ask `attachment`,
//! `backend` and `endpoints`.

mod config_map;
mod gateway;
mod http_route;
mod inference;

use crate::finding::Finding;
use crate::inference_pool::{InferencePool, PoolVersion};
use crate::object::{Meta, ObjectName};
use crate::places::Places;
use crate::refused::Refused;
use crate::report::Report;
use crate::store::Store;

/// Who reads the manifests: what does not concern them is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Audience {
    /// A gateway, and `check`: everything.
    #[default]
    Gateway,
    /// The endpoint picker of these pools (of either version where none is said): no listener is missed, other pools are
    /// others' business, and who picks is known.
    EndpointPicker(Vec<(ObjectName, Option<PoolVersion>)>),
    /// A body-based router: no listener is missed.
    BodyBasedRouter,
}

impl Audience {
    /// Whether a pool is its business.
    pub fn has(&self, pool: &InferencePool) -> bool {
        let is = |(name, version): &(ObjectName, Option<PoolVersion>)| {
            *name == pool.meta.name && version.is_none_or(|version| version == pool.version)
        };
        match self {
            Audience::EndpointPicker(pools) => pools.iter().any(is),
            Audience::Gateway | Audience::BodyBasedRouter => true,
        }
    }

    /// Whether the reader picks for a pool of this name, declared or not.
    fn picks_for(&self, pool: &ObjectName) -> bool {
        let is = |(name, _): &(ObjectName, Option<PoolVersion>)| name == pool;
        matches!(self, Audience::EndpointPicker(pools) if pools.iter().any(is))
    }
}

/// Checks what everything refers to.
pub(crate) fn check(store: &Store, places: &Places, refused: &Refused, audience: &Audience) -> Vec<Finding> {
    let mut references = References { store, places, refused, audience, findings: Vec::new() };
    references.gateways();
    references.http_routes();
    references.inference_pools();
    references.pool_refs();
    references.model_names();
    references.base_models();
    references.findings
}

/// What is being checked, and what was found.
struct References<'s> {
    store: &'s Store,
    places: &'s Places,
    refused: &'s Refused,
    audience: &'s Audience,
    findings: Vec<Finding>,
}

impl<'s> References<'s> {
    /// Collects what is wrong with one object.
    fn about(&mut self, kind: &str, meta: &Meta, look: impl FnOnce(&'s Store, &mut Report<'_>)) {
        let mut report = self.places.report(kind, meta);
        look(self.store, &mut report);
        self.findings.append(&mut report.findings);
    }

    /// The pools that are the reader's business.
    fn pools(&self) -> impl Iterator<Item = &'s InferencePool> + use<'s> {
        let audience = self.audience;
        self.store.inference_pools.values().map(|pool| &**pool).filter(|pool| audience.has(pool))
    }
}

/// The names of objects for a message, cut to a few.
pub(crate) fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    /// More names than this tell nothing.
    const NAMES_MAX: usize = 8;
    let names: Vec<&str> = names.take(NAMES_MAX).collect();
    if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) }
}
