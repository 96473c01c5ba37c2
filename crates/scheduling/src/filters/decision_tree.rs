//! `decision-tree-filter`: which filter comes next depends on whether the last one left somebody.

use super::Filter;
use crate::{Ask, Load};

/// A filter, and those that follow it. Without a follower, what it left stands, even if that is nobody.
/// Source: GAIE v0.5.1, `decision-tree-filter`.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionTreeFilter {
    /// The filter that runs first; perhaps a tree itself.
    pub current: Filter,
    /// Runs on those that it left.
    pub next_on_success: Option<Filter>,
    /// Runs on all that it was given, if it left nobody.
    pub next_on_failure: Option<Filter>,
}

impl DecisionTreeFilter {
    /// The plugin's type.
    pub const NAME: &str = "decision-tree-filter";

    pub(super) fn keep(
        &self,
        candidates: &mut Vec<Load>,
        aside: &mut Vec<Load>,
        ask: &Ask,
        random: &mut fastrand::Rng,
    ) {
        let given = aside.len();
        aside.extend_from_slice(candidates);
        self.current.keep(candidates, aside, ask, random);
        let next = if candidates.is_empty() { &self.next_on_failure } else { &self.next_on_success };
        if candidates.is_empty() && next.is_some() {
            candidates.extend_from_slice(&aside[given..]);
        }
        aside.truncate(given);
        if let Some(next) = next {
            next.keep(candidates, aside, ask, random);
        }
    }
}
