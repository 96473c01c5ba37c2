//! The model servers whose metrics are read, a file each, by the names that they document.
//!
//! Source: GAIE, Model Server Protocol; each server's own documentation.

mod llama_cpp;
mod sglang;
mod tensorrt_llm;
mod triton;
mod vllm;

pub(crate) use vllm::Lora;

use crate::Signals;
use crate::gauge::{Gauge, Total, rank_of};
use crate::page::{Line, lines};

/// A model server, by the metrics that it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// vLLM.
    Vllm,
    /// SGLang.
    Sglang,
    /// TensorRT-LLM behind `trtllm-serve`.
    TensorrtLlm,
    /// TensorRT-LLM behind the Triton Inference Server.
    Triton,
    /// llama.cpp's `llama-server --metrics`.
    LlamaCpp,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Engine; 5] =
        [Engine::Vllm, Engine::Sglang, Engine::TensorrtLlm, Engine::Triton, Engine::LlamaCpp];

    /// The engine's name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Vllm => "vllm",
            Engine::Sglang => "sglang",
            Engine::TensorrtLlm => "trtllm-serve",
            Engine::Triton => "triton-tensorrt-llm",
            Engine::LlamaCpp => "llama.cpp",
        }
    }

    /// The engine that this page is of, told by the first metric that only one of them has.
    pub fn detect(page: &[u8]) -> Option<Engine> {
        lines(page)
            .find_map(|line| Engine::ALL.into_iter().find(|engine| line.name.starts_with(engine.prefix())))
    }

    /// What the page tells.
    pub fn read(self, page: &[u8]) -> Signals {
        match self {
            Engine::Vllm => vllm::read(page),
            Engine::Sglang => sglang::read(page),
            Engine::TensorrtLlm => tensorrt_llm::read(page),
            Engine::Triton => triton::read(page),
            Engine::LlamaCpp => llama_cpp::read(page),
        }
    }

    /// The label that tells data-parallel ranks apart; empty if none does.
    pub(crate) fn rank_label(self) -> &'static str {
        match self {
            Engine::Vllm => vllm::RANK,
            Engine::Sglang => sglang::RANK,
            Engine::TensorrtLlm | Engine::Triton | Engine::LlamaCpp => "",
        }
    }

    /// What the names of its metrics begin with, and those of no other.
    fn prefix(self) -> &'static [u8] {
        match self {
            Engine::Vllm => b"vllm:",
            Engine::Sglang => b"sglang:",
            Engine::TensorrtLlm => b"trtllm_",
            Engine::Triton => b"nv_trt_llm_",
            Engine::LlamaCpp => b"llamacpp:",
        }
    }
}

/// What the engines tell, each under names of its own.
#[derive(Debug, Default)]
pub(crate) struct Readings {
    pub(crate) waiting: Gauge,
    pub(crate) running: Gauge,
    pub(crate) kv_used: Gauge,
    pub(crate) block_tokens: Gauge,
    pub(crate) blocks: Gauge,
    served: Total,
}

impl Readings {
    /// Takes a line whose labels tell the tokens of a block and the number of blocks.
    pub(crate) fn take_cache_config(&mut self, line: &Line<'_>, rank: &str, (tokens, count): (&str, &str)) {
        let Some(sample) = line.sample() else { return };
        let rank = rank_of(&sample.labels, rank);
        for (label, gauge) in [(tokens, &mut self.block_tokens), (count, &mut self.blocks)] {
            if let Some(value) = sample.labels.get(label).and_then(|value| value.parse().ok()) {
                gauge.put(rank, sample.timestamp, value);
            }
        }
    }

    pub(crate) fn signals(&self) -> Signals {
        Signals {
            waiting: self.waiting.count(),
            running: self.running.count(),
            kv_used: self.kv_used.fraction(),
            block_tokens: self.block_tokens.first(),
            blocks: self.blocks.count(),
            adapters: None,
            served: self.served.get(),
        }
    }
}

#[cfg(test)]
mod tests;
