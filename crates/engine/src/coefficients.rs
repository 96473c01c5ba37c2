//! What a step costs, for each model and machine.
//!
//! ```text
//! T_step = max(a0 + a1·m , b0 + b1·m)                 linear layers, m = tokens in the step
//!        + [npf > 0]·(p0 + p1·Σ q·(ctx + q/2))         prefill attention, q = chunk, ctx = computed before
//!        + [nd > 0]·(d0 + d1·nd + d2·Σ kv)             decode attention
//!        + c0 + c1·m + h                              all-reduce between GPUs, host
//! ```

use std::str::FromStr;
use std::time::Duration;

/// The constants of the step formula, in microseconds (per step, per token, per token pair).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coefficients {
    /// The name of the set.
    pub name: &'static str,
    /// Linear layers, memory bound: per step.
    pub a0: f64,
    /// Linear layers, memory bound: per token.
    pub a1: f64,
    /// Linear layers, compute bound: per step.
    pub b0: f64,
    /// Linear layers, compute bound: per token.
    pub b1: f64,
    /// Prefill attention: per step that prefills.
    pub p0: f64,
    /// Prefill attention: per pair of tokens.
    pub p1: f64,
    /// Decode attention: per step that decodes.
    pub d0: f64,
    /// Decode attention: per decoding request.
    pub d1: f64,
    /// Decode attention: per token of context read.
    pub d2: f64,
    /// All-reduce: per step.
    pub c0: f64,
    /// All-reduce: per token.
    pub c1: f64,
    /// Host: per step.
    pub h: f64,
    /// Tokens of KV cache that fit beside the weights.
    pub kv_tokens: u32,
}

/// What one step computes, as the formula sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct StepWork {
    /// Tokens computed, prefill and decode (`m`).
    pub(crate) tokens: u32,
    /// Requests that prefill (`npf`).
    pub(crate) prefills: u32,
    /// Pairs of tokens that prefill attention sees (`Σ q·(ctx + q/2)`).
    pub(crate) prefill_pairs: f64,
    /// Requests that decode (`nd`).
    pub(crate) decodes: u32,
    /// Tokens of context that decode attention reads (`Σ kv`).
    pub(crate) decode_context: u64,
}

impl Coefficients {
    /// How long a step takes.
    pub(crate) fn step(&self, work: &StepWork) -> Duration {
        let m = f64::from(work.tokens);
        let mut microseconds = (self.a0 + self.a1 * m).max(self.b0 + self.b1 * m);
        if work.prefills > 0 {
            microseconds += self.p0 + self.p1 * work.prefill_pairs;
        }
        if work.decodes > 0 {
            microseconds +=
                self.d0 + self.d1 * f64::from(work.decodes) + self.d2 * work.decode_context as f64;
        }
        microseconds += self.c0 + self.c1 * m + self.h;
        Duration::from_nanos((microseconds.max(0.0) * 1e3) as u64)
    }
}

/// Every named set.
///
/// The H100 rows are fits of AIConfigurator's operator tables (h100_sxm, vLLM 0.19.0, Apache-2.0): the linear part
/// within 3 % (BF16) or 9 % (FP8), decode attention within 10 %. `c0`, `c1` and `h` are assumed, not fitted. KV sizes:
/// 0.9 of the memory less the weights, rounded; Qwen3-32B on two H100 as llm-d reports it (200 to 300 thousand).
const SETS: &[Coefficients] = &[
    Coefficients {
        name: "llama-3.1-8b-h100",
        a0: 5347.0,
        a1: 5.0,
        b0: 218.0,
        b1: 17.97,
        p0: 690.0,
        p1: 8.05e-4,
        d0: 194.0,
        d1: 5.38,
        d2: 0.0413,
        c0: 0.0,
        c1: 0.0,
        h: 500.0,
        kv_tokens: 420_000,
    },
    Coefficients {
        name: "llama-3.1-8b-fp8-h100",
        a0: 3008.0,
        a1: 8.54,
        b0: 1540.0,
        b1: 12.26,
        p0: 690.0,
        p1: 8.05e-4,
        d0: 194.0,
        d1: 5.38,
        d2: 0.0413,
        c0: 0.0,
        c1: 0.0,
        h: 500.0,
        kv_tokens: 480_000,
    },
    Coefficients {
        name: "qwen3-32b-h100-tp2",
        a0: 11615.0,
        a1: 10.28,
        b0: 1009.0,
        b1: 40.13,
        p0: 1340.0,
        p1: 1.632e-3,
        d0: 474.0,
        d1: 5.65,
        d2: 0.0415,
        c0: 1900.0,
        c1: 4.4,
        h: 500.0,
        kv_tokens: 280_000,
    },
    Coefficients {
        name: "llama-3.1-70b-h100-tp4",
        a0: 12863.0,
        a1: 6.46,
        b0: -1043.0,
        b1: 45.23,
        p0: 1424.0,
        p1: 1.007e-3,
        d0: 685.0,
        d1: 3.55,
        d2: 0.0260,
        c0: 2400.0,
        c1: 5.0,
        h: 500.0,
        kv_tokens: 440_000,
    },
    Coefficients {
        name: "llama-3.1-70b-fp8-h100-tp4",
        a0: 7271.0,
        a1: 19.53,
        b0: 3646.0,
        b1: 29.57,
        p0: 1424.0,
        p1: 1.007e-3,
        d0: 685.0,
        d1: 3.55,
        d2: 0.0260,
        c0: 2400.0,
        c1: 5.0,
        h: 500.0,
        kv_tokens: 660_000,
    },
    // Made up: about 50 tokens a second at rest, slower the more it decodes, and a few prompts fill its cache, so that
    // a person with curl and a loop sees streaming, queueing and cache hits on a laptop.
    Coefficients {
        name: "demo",
        a0: 18_000.0,
        a1: 40.0,
        b0: 2_000.0,
        b1: 120.0,
        p0: 500.0,
        p1: 1e-3,
        d0: 0.0,
        d1: 400.0,
        d2: 0.05,
        c0: 0.0,
        c1: 0.0,
        h: 0.0,
        kv_tokens: 32_768,
    },
    // Computes in no time: for tests of everything but time.
    Coefficients { name: "instant", kv_tokens: 1_048_576, ..Coefficients::ZERO },
];

impl Coefficients {
    pub(crate) const ZERO: Self = Self {
        name: "zero",
        a0: 0.0,
        a1: 0.0,
        b0: 0.0,
        b1: 0.0,
        p0: 0.0,
        p1: 0.0,
        d0: 0.0,
        d1: 0.0,
        d2: 0.0,
        c0: 0.0,
        c1: 0.0,
        h: 0.0,
        kv_tokens: 0,
    };

    /// Every named set, for a help text.
    pub fn all() -> &'static [Self] {
        SETS
    }
}

/// No set of coefficients has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCoefficients {
    /// The name asked for.
    pub name: String,
}

impl std::fmt::Display for UnknownCoefficients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no engine model is called `{}`; there are", self.name)?;
        SETS.iter()
            .enumerate()
            .try_for_each(|(index, set)| write!(f, "{} {}", if index == 0 { "" } else { "," }, set.name))
    }
}

impl std::error::Error for UnknownCoefficients {}

impl FromStr for Coefficients {
    type Err = UnknownCoefficients;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        SETS.iter()
            .find(|set| set.name == name)
            .copied()
            .ok_or_else(|| UnknownCoefficients { name: name.into() })
    }
}
