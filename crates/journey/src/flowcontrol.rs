//! Step 3 of 5, admit: how important a request is, which model is sent, and whether it may go on.
//!
//! Queues come later (`Wait` is in the types); until then a request is sent or refused at once.

use crate::TargetModel;
use payload::ModelName;
use scheduling::saturation::SaturationDetector;
use std::collections::HashMap;
use std::sync::Arc;

/// How a pool admits, and how long it believes what its endpoints reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionSettings {
    /// Tells when the pool is saturated. The default: when no ready endpoint has room.
    pub detector: SaturationDetector,
    /// After this long without a good scrape, the load that an endpoint reported counts no more. Default 10 s.
    pub reports_fresh_seconds: f32,
}

impl Default for AdmissionSettings {
    fn default() -> AdmissionSettings {
        AdmissionSettings { detector: SaturationDetector::default(), reports_fresh_seconds: 10.0 }
    }
}

/// One weighted target of an `InferenceModel` or `InferenceModelRewrite`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedTarget {
    /// The model that is sent.
    pub model: TargetModel,
    /// Its share; at least 1.
    pub weight: u32,
}

/// What a pool's `InferenceModel`s, `InferenceObjective`s and `InferenceModelRewrite`s say; clashes (oldest wins) are
/// settled when the snapshot is built.
#[derive(Debug, Clone, Default)]
pub struct ModelPolicies {
    /// By `modelName`: priority (Critical 1, Standard 0, Sheddable −1) and `targetModels`.
    pub models: HashMap<Arc<str>, (i32, Vec<WeightedTarget>)>,
    /// `InferenceObjective` by `metadata.name`: priority.
    pub objectives: HashMap<Arc<str>, i32>,
    /// `InferenceModelRewrite` by exact model; overrides `targetModels`.
    pub rewrites: HashMap<Arc<str>, ModelRewrite>,
    /// The `InferenceModelRewrite` rule without matches, if there is one.
    pub rewrite_any: Option<ModelRewrite>,
}

/// A rule of an `InferenceModelRewrite`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRewrite {
    /// The object's `metadata.name`.
    pub name: Arc<str>,
    /// What is sent.
    pub targets: Vec<WeightedTarget>,
}

/// What a request is, before its pool is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admissible {
    /// Higher is more important; only below 0 is shed.
    pub priority: i32,
    /// The model to send; `None` leaves the body as it is.
    pub rewrite: Option<TargetModel>,
    /// The `InferenceModelRewrite` that chose the model, be it the one asked for.
    pub rewritten_by: Option<Arc<str>>,
}

impl ModelPolicies {
    /// Weighs a request: its model, the objective named by `x-gateway-inference-objective` and the model named by
    /// `x-gateway-model-name-rewrite` (both from a trusted source only).
    pub fn weigh(
        &self,
        model: Option<&ModelName>,
        objective: Option<&str>,
        rewrite: Option<&str>,
        random: &mut fastrand::Rng,
    ) -> Admissible {
        let declared = model.and_then(|model| self.models.get(&model.0));
        let named = objective.and_then(|objective| self.objectives.get(objective));
        let priority = named.copied().or(declared.map(|(priority, _)| *priority)).unwrap_or(0);
        let Some(model) = model else { return Admissible { priority, rewrite: None, rewritten_by: None } };
        let rule = self.rewrites.get(&model.0).or(self.rewrite_any.as_ref());
        let rewrite = self.target(model, rule, rewrite, random);
        Admissible { priority, rewrite, rewritten_by: rule.map(|rule| Arc::clone(&rule.name)) }
    }

    /// The model to send instead of `model`, by precedence: the `InferenceModelRewrite` that names it, the one that takes
    /// any, the header, `targetModels`.
    fn target(
        &self,
        model: &ModelName,
        rule: Option<&ModelRewrite>,
        header: Option<&str>,
        random: &mut fastrand::Rng,
    ) -> Option<TargetModel> {
        let rule = rule.map(|rule| &rule.targets);
        let declared = self.models.get(&model.0).map(|(_, targets)| targets);
        let target = match (rule, header, declared) {
            (Some(targets), _, _) | (None, None, Some(targets)) => draw(targets, random)?,
            (None, Some(header), _) => TargetModel(Arc::from(header)),
            (None, None, None) => return None,
        };
        (target.0 != model.0).then_some(target)
    }
}

/// One of the targets, each with a chance in proportion to its weight.
fn draw(targets: &[WeightedTarget], random: &mut fastrand::Rng) -> Option<TargetModel> {
    if let [only] = targets {
        return Some(only.model.clone());
    }
    let all: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    if all == 0 {
        return None;
    }
    let mut lot = random.u64(..all);
    let drawn = targets.iter().find(|target| {
        let weight = u64::from(target.weight);
        let hit = lot < weight;
        lot = lot.wrapping_sub(weight);
        hit
    });
    drawn.map(|target| target.model.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(list: &[(&str, u32)]) -> Vec<WeightedTarget> {
        let target =
            |&(model, weight): &(&str, u32)| WeightedTarget { model: TargetModel(Arc::from(model)), weight };
        list.iter().map(target).collect()
    }

    fn rule(name: &str, target: &str) -> ModelRewrite {
        ModelRewrite { name: name.into(), targets: targets(&[(target, 1)]) }
    }

    fn policies() -> ModelPolicies {
        let models = [("critical", (1, vec![])), ("chat", (-1, targets(&[("chat-v2", 1)])))];
        ModelPolicies {
            models: models.into_iter().map(|(name, model)| (Arc::from(name), model)).collect(),
            objectives: [(Arc::from("batch"), -5), (Arc::from("urgent"), 7)].into(),
            rewrites: [(Arc::from("old"), rule("by-name", "new"))].into(),
            rewrite_any: None,
        }
    }

    #[test]
    fn a_request_is_weighed_by_its_model_its_objective_and_the_rewrites() {
        let table = [
            // model, objective, rewrite header; priority, model sent
            (None, None, None, 0, None),
            (None, Some("batch"), Some("x"), -5, None),
            (Some("unknown"), None, None, 0, None),
            (Some("critical"), None, None, 1, None),
            (Some("critical"), Some("batch"), None, -5, None),
            (Some("critical"), Some("nobody"), None, 1, None),
            (Some("chat"), None, None, -1, Some("chat-v2")),
            (Some("chat"), Some("urgent"), Some("x"), 7, Some("x")),
            (Some("chat"), None, Some("chat"), -1, None),
            (Some("old"), None, Some("x"), 0, Some("new")),
        ];
        for (model, objective, header, priority, sent) in table {
            let model = model.map(|name| ModelName(Arc::from(name)));
            let random = &mut fastrand::Rng::with_seed(1);
            let weighed = policies().weigh(model.as_ref(), objective, header, random);
            let rewrite = sent.map(|name| TargetModel(Arc::from(name)));
            let rewritten_by = (sent == Some("new")).then(|| Arc::from("by-name"));
            let expected = Admissible { priority, rewrite, rewritten_by };
            assert_eq!(weighed, expected, "{model:?} {objective:?} {header:?}");
        }
    }

    #[test]
    fn a_rewrite_for_any_model_comes_after_the_one_that_names_it() {
        let policies = ModelPolicies { rewrite_any: Some(rule("of-all", "any")), ..policies() };
        let random = &mut fastrand::Rng::with_seed(1);
        for (asked, sent, by) in
            [("old", "new", "by-name"), ("chat", "any", "of-all"), ("unknown", "any", "of-all")]
        {
            let model = ModelName(Arc::from(asked));
            let weighed = policies.weigh(Some(&model), None, None, random);
            assert_eq!(weighed.rewrite, Some(TargetModel(Arc::from(sent))), "{asked}");
            assert_eq!(weighed.rewritten_by.as_deref(), Some(by), "{asked}");
        }
    }

    #[test]
    fn targets_are_drawn_by_their_weights() {
        let targets = targets(&[("a", 1), ("b", 3)]);
        let random = &mut fastrand::Rng::with_seed(1);
        let drawn =
            (0..4000).filter(|_| draw(&targets, random).is_some_and(|model| &*model.0 == "b")).count();
        assert!((2850..3150).contains(&drawn), "{drawn}");
        assert_eq!(draw(&[], random), None);
    }
}
