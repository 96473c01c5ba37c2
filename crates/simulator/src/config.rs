//! What a simulated model server is told.

use std::str::FromStr;
use std::time::Duration;

use engine::Coefficients;
use serde::Deserialize;

use crate::fault::Fault;

/// One simulated model server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The name of this endpoint, told in the answers' text and in the response header
    /// [`ENDPOINT_HEADER`](crate::ENDPOINT_HEADER). None: the listener's address.
    pub name: Option<String>,
    /// The base model's name, as requests ask for it.
    pub model: String,
    /// LoRA adapters that are served from the start, by name.
    pub adapters: Vec<String>,
    /// Whose metrics page and error shape to speak.
    pub engine: EngineKind,
    /// What a step costs: the name of a set of [`engine::Coefficients`].
    #[serde(deserialize_with = "coefficients")]
    pub engine_model: Coefficients,
    /// Virtual seconds in a second of the wall clock, above 0.
    pub speed: f64,
    /// Requests computed in one step, at most.
    pub max_num_seqs: u32,
    /// Tokens computed in one step, at most.
    pub max_num_batched_tokens: u32,
    /// Tokens in a KV block.
    pub block_tokens: u32,
    /// KV blocks in all. None: what the engine model has.
    pub num_gpu_blocks: Option<u32>,
    /// Adapters in use at once, at most.
    pub max_loras: u32,
    /// Milliseconds (virtual) that an adapter takes into its slot.
    pub lora_load_milliseconds: u64,
    /// Tokens that an answer has at least, unless the request's limit is lower; it ends with the sentence under way.
    pub answer_tokens: u32,
    /// Bytes of a request body, at most; larger ones get 413.
    pub body_bytes_max: usize,
    /// Answers every POST at once with one fixed body and touches no engine: for measuring what lies before it.
    pub instant: bool,
    /// Faults from the start.
    pub faults: Vec<Fault>,
}

impl Default for Config {
    fn default() -> Self {
        let engine = engine::Config::default();
        Self {
            name: None,
            model: "simulated".into(),
            adapters: Vec::new(),
            engine: EngineKind::Vllm,
            engine_model: engine.coefficients,
            speed: 1.0,
            max_num_seqs: engine.max_num_seqs,
            max_num_batched_tokens: engine.max_num_batched_tokens,
            block_tokens: engine.block_tokens,
            num_gpu_blocks: None,
            max_loras: engine.max_loras,
            lora_load_milliseconds: engine.lora_load_time.as_millis() as u64,
            answer_tokens: 40,
            // A context of a million tokens at four bytes each, with room for JSON's escapes.
            body_bytes_max: 64 << 20,
            instant: false,
            faults: Vec::new(),
        }
    }
}

impl Config {
    /// The engine under this server.
    pub(crate) fn engine(&self) -> engine::Config {
        engine::Config {
            coefficients: self.engine_model,
            max_num_batched_tokens: self.max_num_batched_tokens.max(1),
            max_num_seqs: self.max_num_seqs.max(1),
            block_tokens: self.block_tokens,
            num_gpu_blocks: self.num_gpu_blocks.unwrap_or(self.engine_model.kv_tokens / self.block_tokens),
            max_loras: self.max_loras,
            lora_load_time: Duration::from_millis(self.lora_load_milliseconds),
        }
    }
}

fn coefficients<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Coefficients, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(serde::de::Error::custom)
}

/// A model server whose metrics page is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum EngineKind {
    /// vLLM.
    #[default]
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM, by `trtllm-serve`.
    TensorrtLlm,
    /// TensorRT-LLM, by Triton.
    Triton,
    /// llama.cpp's server.
    LlamaCpp,
    /// A server without a metrics page.
    None,
}

impl EngineKind {
    const NAMES: [(&'static str, Self); 6] = [
        ("vllm", Self::Vllm),
        ("sglang", Self::Sglang),
        ("trtllm-serve", Self::TensorrtLlm),
        ("triton-tensorrt-llm", Self::Triton),
        ("llama.cpp", Self::LlamaCpp),
        ("none", Self::None),
    ];
}

/// No engine has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no engine is called `{name}`; there are vllm, sglang, trtllm-serve, triton-tensorrt-llm, llama.cpp, none"
)]
pub struct UnknownEngineKind {
    /// The name asked for.
    pub name: String,
}

impl FromStr for EngineKind {
    type Err = UnknownEngineKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|&(_, kind)| kind).ok_or_else(|| UnknownEngineKind { name: name.into() })
    }
}

impl TryFrom<String> for EngineKind {
    type Error = UnknownEngineKind;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl std::fmt::Display for EngineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Self::NAMES.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_by_its_flags_names() {
        let text = r#"{"model":"gemma","engine":"llama.cpp","engine-model":"demo","faults":["slow=2"]}"#;
        let config: Config = serde_json::from_str(text).expect("sound");
        assert_eq!(config.engine, EngineKind::LlamaCpp);
        assert_eq!(config.engine_model.name, "demo");
        assert_eq!(config.faults, [Fault::Slow(2.0)]);
        assert_eq!(config.max_num_seqs, Config::default().max_num_seqs);
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_known_ones() {
        let error = serde_json::from_str::<Config>(r#"{"engine":"abacus"}"#).expect_err("no such engine");
        assert!(error.to_string().contains("no engine is called `abacus`; there are vllm, "), "{error}");
        let error =
            serde_json::from_str::<Config>(r#"{"engine-model":"abacus"}"#).expect_err("no such model");
        assert!(error.to_string().contains("there are llama-3.1-8b-h100, "), "{error}");
    }
}
