//! Step 3 of 5, admit: how important a request is, which model is sent, and whether it may go on.
//!
//! Queues come later (`Wait` is in the types); until then a request is sent or refused at once.

use crate::TargetModel;
use payload::ModelName;
use std::collections::HashMap;
use std::sync::Arc;

/// When a pool counts as saturated: no ready endpoint has `waiting` and KV use at or below these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionSettings {
    /// Requests waiting in a model server. Default 5.
    pub queue_depth_max: u32,
    /// KV cache in use, 0 to 1. Default 0.8.
    pub kv_used_max: f32,
}

impl Default for AdmissionSettings {
    fn default() -> AdmissionSettings {
        AdmissionSettings { queue_depth_max: 5, kv_used_max: 0.8 }
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
    pub rewrites: HashMap<Arc<str>, Vec<WeightedTarget>>,
    /// The `InferenceModelRewrite` rule without matches, if there is one.
    pub rewrite_any: Option<Vec<WeightedTarget>>,
}

/// What a request is, before its pool is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admissible {
    /// Higher is more important; only below 0 is shed.
    pub priority: i32,
    /// The model to send; `None` leaves the body as it is.
    pub rewrite: Option<TargetModel>,
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
        let _ = (model, objective, rewrite, random);
        Admissible { priority: 0, rewrite: None }
    }
}
