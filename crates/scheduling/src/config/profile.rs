//! `schedulingProfiles`: the plugins become a policy.
//!
//! One profile, by the `single-profile-handler`. What is missing is added as the reference adds it: the profile, of every
//! filter, scorer and picker; the profile handler; the picker, the first that is declared or `max-score-picker`; a
//! scorer's weight, 1 (which v0.5.1 still asked for).

use super::fields::Reader;
use super::plugins::{Declared, Made, Plugin};
use crate::filters::{DecisionTreeFilter, Filter};
use crate::pickers::{MaxScorePicker, Picker};
use crate::plugins::PluginKind;
use crate::saturation::SaturationDetector;
use crate::scorers::Scorer;
use crate::{FILTERS_MAX, Policy, SCORERS_MAX};
use arrayvec::ArrayVec;
use yaml::{FieldPath, Tree, field};

/// A scorer's weight where none is told.
const WEIGHT_DEFAULT: f32 = 1.0;

/// The picker where none is declared, and how many endpoints it names.
const PICKER_DEFAULT: PickerOf = (Picker::MaxScore(MaxScorePicker), 1);

/// Levels of a decision tree, those that it refers to among them.
const TREE_LEVELS_MAX: usize = 16;

/// Filters in all decision trees of a file.
const TREE_FILTERS_MAX: usize = 256;

/// The policy of the file's profile; `None` with a problem told.
pub(super) fn read<'t>(tree: &'t Tree, declared: &Declared<'t>, reader: &mut Reader<'t>) -> Option<Policy> {
    let handlers = declared.0.iter().filter(|plugin| plugin.of.kind == PluginKind::ProfileHandler);
    if handlers.count() > 1 {
        reader.problem(&field!["plugins"], "hold more than one profile handler");
    }
    let profiles = reader.list(tree, &FieldPath::default(), "schedulingProfiles");
    let mut profile = Profile::new(declared);
    match profiles {
        [] => profile.add_all(reader),
        [only] => profile.add_referred(only, reader),
        [..] => {
            let message = format!(
                "are {}, and single-profile-handler runs one: say all of it in one profile",
                profiles.len()
            );
            reader.problem(&field!["schedulingProfiles"], message);
        }
    }
    if profile.scorers.is_empty() && profile.filters.is_empty() {
        reader.note(&field!["schedulingProfiles"], "name neither filter nor scorer: any endpoint is picked");
    }
    let mut cuts = profile.scorers.iter().filter_map(|(scorer, _)| match scorer {
        Scorer::PrefixCache(scorer) => Some(scorer.blocks),
        _ => None,
    });
    if let Some(first) = cuts.next()
        && cuts.any(|cut| cut != first)
    {
        let message = "name two `prefix-cache-scorer`s that cut prompts differently, and a pool has one index: keep one";
        reader.problem(&field!["schedulingProfiles"], message);
    }
    let (picker, endpoints_max) =
        profile.picker.or_else(|| declared_picker(declared)).unwrap_or(PICKER_DEFAULT);
    Some(Policy { filters: profile.filters, scorers: profile.scorers, picker, endpoints_max })
}

/// A picker, and how many endpoints it names.
type PickerOf = (Picker, usize);

fn declared_picker(declared: &Declared<'_>) -> Option<PickerOf> {
    declared.0.iter().find_map(|plugin| match plugin.made {
        Made::Picker(picker, endpoints_max) => Some((picker, endpoints_max)),
        _ => None,
    })
}

/// A profile that is being put together.
struct Profile<'d, 't> {
    declared: &'d Declared<'t>,
    filters: ArrayVec<Filter, FILTERS_MAX>,
    scorers: ArrayVec<(Scorer, f32), SCORERS_MAX>,
    picker: Option<PickerOf>,
}

impl<'d, 't> Profile<'d, 't> {
    fn new(declared: &'d Declared<'t>) -> Profile<'d, 't> {
        Profile { declared, filters: ArrayVec::new(), scorers: ArrayVec::new(), picker: None }
    }

    /// The profile of a file that has none.
    fn add_all(&mut self, reader: &mut Reader<'t>) {
        for (index, plugin) in self.declared.0.iter().enumerate() {
            let picks = matches!(
                plugin.made,
                Made::Filter(_) | Made::Tree(..) | Made::Scorer(_) | Made::Picker(..) | Made::Detector(_)
            );
            if picks {
                self.add(plugin, None, &field!["plugins", index], reader);
            }
        }
    }

    /// The plugins that a profile refers to.
    fn add_referred(&mut self, profile: &'t Tree, reader: &mut Reader<'t>) {
        let path = field!["schedulingProfiles", 0];
        if reader.object(profile, &path, &["name", "plugins"]).is_none() {
            return;
        }
        reader.required(profile, &path, "name");
        let references = reader.list(profile, &path, "plugins");
        for (index, reference) in references.iter().enumerate() {
            let path = path.then("plugins").then(index);
            if reader.object(reference, &path, &["pluginRef", "weight"]).is_none() {
                continue;
            }
            let weight = reader.number(reference, &path, "weight", 0.0..=1e9).map(|weight| weight as f32);
            if let Some(plugin) = self.declared.referred(reference, &path, reader) {
                self.add(plugin, weight, &path, reader);
            }
        }
    }

    fn add(&mut self, plugin: &Plugin<'t>, weight: Option<f32>, path: &FieldPath, reader: &mut Reader<'t>) {
        let full = match &plugin.made {
            Made::Scorer(scorer) => {
                self.scorers.try_push((*scorer, weight.unwrap_or(WEIGHT_DEFAULT))).is_err()
            }
            Made::Picker(picker, endpoints_max) => self.picker.replace((*picker, *endpoints_max)).is_some(),
            _ => match self.filter(plugin, path, reader) {
                Some(filter) => self.filters.try_push(filter).is_err(),
                None => return,
            },
        };
        if weight.is_some() && !matches!(plugin.made, Made::Scorer(_)) {
            reader.note(&path.then("weight"), format!("has no effect: `{}` is no scorer", plugin.name));
        }
        if full {
            let most = match plugin.made {
                Made::Scorer(_) => format!("{SCORERS_MAX} scorers"),
                Made::Picker(..) => "one picker".to_owned(),
                _ => format!("{FILTERS_MAX} filters"),
            };
            reader.problem(path, format!("a profile has at most {most}"));
        }
    }

    fn filter(&self, plugin: &Plugin<'t>, path: &FieldPath, reader: &mut Reader<'t>) -> Option<Filter> {
        let mut trees = Trees { declared: self.declared, filters: 0 };
        let filter = trees.filter_of(plugin, path, 0, reader);
        if filter.is_none() && !matches!(plugin.made, Made::Tree(..)) {
            let message =
                format!("`{}` is a {}: a profile has no use for it", plugin.name, plugin.of.kind.name());
            reader.problem(path, message);
        }
        filter
    }
}

/// Decision trees that are being made.
struct Trees<'d, 't> {
    declared: &'d Declared<'t>,
    /// Filters made.
    filters: usize,
}

impl<'t> Trees<'_, 't> {
    /// The plugin as a filter. `None` if it is none; of a tree only with a problem told.
    fn filter_of(
        &mut self,
        plugin: &Plugin<'t>,
        path: &FieldPath,
        level: usize,
        reader: &mut Reader<'t>,
    ) -> Option<Filter> {
        self.filters += 1;
        if level > TREE_LEVELS_MAX || self.filters > TREE_FILTERS_MAX {
            let message = format!(
                "decision trees have at most {TREE_LEVELS_MAX} levels and {TREE_FILTERS_MAX} filters, and no circle"
            );
            reader.problem(path, message);
            return None;
        }
        match &plugin.made {
            Made::Filter(filter) => Some(filter.clone()),
            Made::Detector(SaturationDetector::Utilization(detector)) => Some(Filter::Utilization(*detector)),
            Made::Detector(SaturationDetector::Concurrency(detector)) => Some(Filter::Concurrency(*detector)),
            Made::Tree(tree, at) => self.tree(tree, at, level, reader),
            _ => None,
        }
    }

    fn tree(
        &mut self,
        tree: &'t Tree,
        path: &FieldPath,
        level: usize,
        reader: &mut Reader<'t>,
    ) -> Option<Filter> {
        let known = ["current", "nextOnSuccess", "nextOnFailure", "nextOnSuccessOrFailure"];
        reader.object(tree, path, &known)?;
        let mut branch = |name: &str, reader: &mut Reader<'t>| match tree.get(name) {
            Some(node) => Branch::Found(self.node(node, &path.then(name), level, reader)),
            None => Branch::Missing,
        };
        let [current, success, failure, both] = known.map(|name| branch(name, reader));
        let Branch::Found(current) = current else {
            reader.problem(&path.then("current"), "is required");
            return None;
        };
        if both != Branch::Missing && (success != Branch::Missing || failure != Branch::Missing) {
            reader.problem(
                &path.then("nextOnSuccessOrFailure"),
                "goes with neither nextOnSuccess nor nextOnFailure",
            );
        }
        let or_both = |branch: Branch| if branch == Branch::Missing { both.clone() } else { branch };
        let tree = DecisionTreeFilter {
            current: current?,
            next_on_success: or_both(success).filter(),
            next_on_failure: or_both(failure).filter(),
        };
        Some(Filter::DecisionTree(Box::new(tree)))
    }

    /// A node: a reference, or a tree in line.
    fn node(
        &mut self,
        node: &'t Tree,
        path: &FieldPath,
        level: usize,
        reader: &mut Reader<'t>,
    ) -> Option<Filter> {
        reader.object(node, path, &["pluginRef", "decisionTree"])?;
        match (node.get("pluginRef"), node.get("decisionTree")) {
            (Some(_), None) => {
                let plugin = self.declared.referred(node, path, reader)?;
                let before = reader.problems.len();
                let filter = self.filter_of(plugin, path, level + 1, reader);
                if filter.is_none() && reader.problems.len() == before {
                    let message = format!("`{}` is a {}, and no filter", plugin.name, plugin.of.kind.name());
                    reader.problem(&path.then("pluginRef"), message);
                }
                filter
            }
            (None, Some(inner)) if level < TREE_LEVELS_MAX => {
                self.tree(inner, &path.then("decisionTree"), level + 1, reader)
            }
            (None, Some(_)) => {
                reader.problem(path, format!("decision trees have at most {TREE_LEVELS_MAX} levels"));
                None
            }
            _ => {
                reader.problem(path, "must have either pluginRef or decisionTree");
                None
            }
        }
    }
}

/// A follower of a decision tree.
#[derive(Debug, Clone, PartialEq)]
enum Branch {
    Missing,
    /// `None` with a problem told.
    Found(Option<Filter>),
}

impl Branch {
    fn filter(self) -> Option<Filter> {
        match self {
            Branch::Missing => None,
            Branch::Found(filter) => filter,
        }
    }
}
