//! What objects say about each other.
//!
//! In: everything that is declared. Out: findings: references that lead nowhere or are not allowed, pools without endpoints,
//! names taken twice. What is an error here is served as the Gateway API has it (500, or not attached), so that one wrong
//! reference never takes an object away.
//! Never: an object by itself (that is `schema`).

mod gateway;
mod http_route;
mod inference;

use crate::finding::Finding;
use crate::object::{Meta, Origin};
use crate::report::Report;
use crate::store::Store;
use std::collections::BTreeMap;
use yaml::Tree;

/// The objects as they were written, by where they stand.
pub(crate) type Trees<'t> = BTreeMap<&'t Origin, &'t Tree>;

/// Checks what everything refers to.
pub(crate) fn check(store: &Store, trees: &Trees<'_>) -> Vec<Finding> {
    let mut references = References { store, trees, findings: Vec::new() };
    references.gateways();
    references.http_routes();
    references.inference_pools();
    references.pool_refs();
    references.model_names();
    references.findings
}

/// What is being checked, and what was found.
struct References<'s> {
    store: &'s Store,
    trees: &'s Trees<'s>,
    findings: Vec<Finding>,
}

impl<'s> References<'s> {
    /// Collects what is wrong with one object.
    fn about(&mut self, kind: &str, meta: &Meta, look: impl FnOnce(&'s Store, &mut Report<'_>)) {
        let Some(tree) = self.trees.get(&meta.origin) else { return };
        let mut report = Report::new(meta.origin.clone(), format!("{kind} {}", meta.name).into(), tree);
        look(self.store, &mut report);
        self.findings.append(&mut report.findings);
    }
}

/// The names of objects for a message, cut to a few.
fn names<'n>(names: impl Iterator<Item = &'n str>) -> String {
    /// More names than this tell nothing.
    const NAMES_MAX: usize = 8;
    let names: Vec<&str> = names.take(NAMES_MAX).collect();
    if names.is_empty() { "there is none".to_owned() } else { format!("there are: {}", names.join(", ")) }
}
