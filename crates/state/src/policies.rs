//! What InferenceModels, InferenceObjectives and InferenceModelRewrites say of a pool, clashes settled.
//!
//! Of two InferenceModels of one `modelName` the oldest wins, then the first by name; so with rewrites, where an exact
//! match goes before the one that takes every model.

use journey::{ModelPolicies, ModelRewrite, TargetModel, WeightedTarget};
use resources::{InferenceModel, InferenceModelRewrite, InferencePool, Meta, Store, WeightedModel};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The policies of a pool.
pub(crate) fn policies_of(pool: &InferencePool, store: &Store) -> ModelPolicies {
    let mut policies = ModelPolicies::default();
    add_models(&mut policies, pool, store);
    for objective in store.inference_objectives.values().filter(|objective| objective.is_of(pool)) {
        policies.objectives.insert(objective.meta.name.name.clone(), objective.spec.priority);
    }
    add_rewrites(&mut policies, pool, store);
    policies
}

fn add_models(policies: &mut ModelPolicies, pool: &InferencePool, store: &Store) {
    let models = store.inference_models.values().filter(|model| model.is_of(pool));
    for InferenceModel { spec, .. } in oldest_first(models.map(|model| (&model.meta, &**model))) {
        let policy = || (spec.criticality.priority(), targets(&spec.target_models));
        policies.models.entry(spec.model_name.clone()).or_insert_with(policy);
    }
}

fn add_rewrites(policies: &mut ModelPolicies, pool: &InferencePool, store: &Store) {
    let rewrites = store.inference_model_rewrites.values().filter(|rewrite| rewrite.is_of(pool));
    let rewrites = oldest_first(rewrites.map(|rewrite| (&rewrite.meta, &**rewrite)));
    let rules = rewrites.iter().flat_map(|rewrite: &&InferenceModelRewrite| {
        rewrite.spec.rules.iter().map(|rule| (&rewrite.meta.name.name, rule))
    });
    for (name, rule) in rules {
        let compiled = || ModelRewrite { name: Arc::clone(name), targets: targets(&rule.targets) };
        if rule.matches.is_empty() {
            policies.rewrite_any.get_or_insert_with(compiled);
        }
        for model in &rule.matches {
            policies.rewrites.entry(model.clone()).or_insert_with(compiled);
        }
    }
}

fn oldest_first<'o, T>(objects: impl Iterator<Item = (&'o Meta, &'o T)>) -> Vec<&'o T> {
    let mut objects: Vec<_> = objects.collect();
    objects.sort_by(|(a, _), (b, _)| a.by_age(b));
    objects.into_iter().map(|(_, object)| object).collect()
}

fn targets(models: &[WeightedModel]) -> Vec<WeightedTarget> {
    let target = |model: &WeightedModel| WeightedTarget {
        model: TargetModel(model.name.clone()),
        weight: model.weight.max(1),
    };
    models.iter().map(target).collect()
}

/// The names that the policies of a pool know.
pub(crate) fn names_in(policies: &ModelPolicies) -> BTreeSet<Arc<str>> {
    let targets = policies
        .models
        .values()
        .map(|(_, targets)| targets)
        .chain(policies.rewrites.values().chain(&policies.rewrite_any).map(|rule| &rule.targets))
        .flatten()
        .map(|target| &target.model.0);
    policies.models.keys().chain(policies.rewrites.keys()).chain(targets).cloned().collect()
}
