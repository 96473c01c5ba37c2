//! What is said about the models of a pool: InferenceModel, InferenceObjective and InferenceModelRewrite,
//! `inference.networking.x-k8s.io/v1alpha2`.

use crate::inference_pool::{InferencePool, PoolRef, PoolVersion};
use crate::object::{Meta, null_is_default, objects};
use serde::{Deserialize, Deserializer};
use std::sync::Arc;

objects!(
    "InferenceModel" => InferenceModel,
    "InferenceObjective" => InferenceObjective,
    "InferenceModelRewrite" => InferenceModelRewrite,
);

/// How critical a model is, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InferenceModel {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    pub spec: InferenceModelSpec,
}

impl InferenceModel {
    /// Whether it is about this pool.
    pub fn is_of(&self, pool: &InferencePool) -> bool {
        self.spec.pool_ref.names(&self.meta.name.namespace, pool, None)
    }
}

/// `spec` of an InferenceModel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceModelSpec {
    /// The model that requests ask for.
    pub model_name: Arc<str>,
    /// How critical; none is [`Criticality::Standard`].
    #[serde(default, deserialize_with = "null_is_default")]
    pub criticality: Criticality,
    /// What is written instead, by weight; empty leaves the name.
    #[serde(default, deserialize_with = "null_is_default")]
    pub target_models: Vec<WeightedModel>,
    /// Of which pool.
    pub pool_ref: PoolRef,
}

/// How critical a model is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Criticality {
    /// Priority 1.
    Critical,
    /// Priority 0.
    #[default]
    Standard,
    /// Priority −1: shed when the pool is saturated.
    Sheddable,
}

impl Criticality {
    /// The one integer that admission knows.
    pub fn priority(self) -> i32 {
        match self {
            Criticality::Critical => 1,
            Criticality::Standard => 0,
            Criticality::Sheddable => -1,
        }
    }
}

/// A model and its share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct WeightedModel {
    /// The model.
    pub name: Arc<str>,
    /// Its share, the same for each where none is said: all of a list have one or none has.
    #[serde(default = "one", deserialize_with = "weight")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

fn weight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(one))
}

/// A priority that requests ask for by name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InferenceObjective {
    /// `metadata`; its name is what `x-gateway-inference-objective` says.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    pub spec: InferenceObjectiveSpec,
}

impl InferenceObjective {
    /// Whether it is about this pool.
    pub fn is_of(&self, pool: &InferencePool) -> bool {
        self.spec.pool_ref.names(&self.meta.name.namespace, pool, Some(PoolVersion::V1))
    }
}

/// `spec` of an InferenceObjective.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceObjectiveSpec {
    /// Higher is more important, below 0 is shed when the pool is saturated; none is 0.
    #[serde(default, deserialize_with = "null_is_default")]
    pub priority: i32,
    /// Of which pool.
    pub pool_ref: PoolRef,
}

/// What models are called at the endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InferenceModelRewrite {
    /// `metadata`.
    #[serde(rename = "metadata")]
    pub meta: Meta,
    /// `spec`.
    pub spec: InferenceModelRewriteSpec,
}

impl InferenceModelRewrite {
    /// Whether it is about this pool.
    pub fn is_of(&self, pool: &InferencePool) -> bool {
        self.spec.pool_ref.names(&self.meta.name.namespace, pool, Some(PoolVersion::V1))
    }
}

/// `spec` of an InferenceModelRewrite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceModelRewriteSpec {
    /// Of which pool.
    pub pool_ref: PoolRef,
    /// The first that matches counts; exact before all.
    pub rules: Vec<RewriteRule>,
}

/// Models that are rewritten, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RewriteRule {
    /// The models that are rewritten; empty is every one.
    #[serde(default, deserialize_with = "model_names")]
    pub matches: Vec<Arc<str>>,
    /// What is written instead, by weight; never empty.
    #[serde(deserialize_with = "targets")]
    pub targets: Vec<WeightedModel>,
}

/// `[{model: {value: …}}]` as a list of names: `Exact` is the only type there is.
fn model_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Arc<str>>, D::Error> {
    #[derive(Deserialize)]
    struct Match {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        value: Arc<str>,
    }
    let matches: Vec<Match> = null_is_default(deserializer)?;
    Ok(matches.into_iter().map(|m| m.model.value).collect())
}

fn targets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<WeightedModel>, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Target {
        model_rewrite: Arc<str>,
        #[serde(default = "one", deserialize_with = "weight")]
        weight: u32,
    }
    let targets = Vec::<Target>::deserialize(deserializer)?;
    Ok(targets.into_iter().map(|t| WeightedModel { name: t.model_rewrite, weight: t.weight }).collect())
}
