//! Looking on while a pick is worked out: which plugin runs when.

use crate::plugins::PluginKind;
use crate::{FILTERS_MAX, SCORERS_MAX};
use arrayvec::ArrayVec;
use std::time::Duration;

/// The most plugins that one pick runs: filters, scorers and a picker.
pub const PLUGINS_RUN_MAX: usize = FILTERS_MAX + SCORERS_MAX + 1;

/// Is told of each plugin when it has run; it changes nothing of the pick.
pub trait Watch {
    /// The first plugin is about to run.
    fn begins(&mut self);

    /// The plugin `name` has run, straight after the one told of before.
    fn ran(&mut self, kind: PluginKind, name: &'static str);
}

/// Nobody looks on: costs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn begins(&mut self) {}

    fn ran(&mut self, _: PluginKind, _: &'static str) {}
}

/// How long one plugin took in one pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginRun {
    /// What it does there.
    pub kind: PluginKind,
    /// Its type.
    pub name: &'static str,
    /// How long it took.
    pub took: Duration,
}

/// The plugins of one pick, in the order in which they ran.
pub type PluginRuns = ArrayVec<PluginRun, PLUGINS_RUN_MAX>;
