//! The metrics page, by the names of the engine chosen.

mod llama_cpp;
mod sglang;
mod tensorrt_llm;
mod triton;
mod vllm;

use std::fmt::Write as _;

use engine::Histogram;

use crate::config::{Config, EngineKind};
use crate::instance::{Instance, Snapshot};

/// Prometheus' text format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page at this moment.
pub(crate) fn page(instance: &Instance) -> String {
    let snapshot = instance.snapshot();
    let mut page = Page { out: String::with_capacity(16 << 10), labels: String::new() };
    let (config, snapshot) = (&instance.config, &snapshot);
    match config.engine {
        EngineKind::Vllm => vllm::write(&mut page, config, snapshot),
        EngineKind::Sglang => sglang::write(&mut page, config, snapshot),
        EngineKind::TensorrtLlm => tensorrt_llm::write(&mut page, config, snapshot),
        EngineKind::Triton => triton::write(&mut page, config, snapshot),
        EngineKind::LlamaCpp => llama_cpp::write(&mut page, snapshot),
        EngineKind::None => {}
    }
    page.out
}

/// A page being written; `labels` stand in every series.
struct Page {
    out: String,
    labels: String,
}

impl Page {
    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.series(name, "", value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.series(name, "", value as f64);
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        for (bound, count) in histogram.cumulative() {
            self.series(&format!("{name}_bucket"), &format!("le=\"{bound:?}\""), count as f64);
        }
        self.series(&format!("{name}_bucket"), "le=\"+Inf\"", histogram.count() as f64);
        self.series(&format!("{name}_count"), "", histogram.count() as f64);
        self.series(&format!("{name}_sum"), "", histogram.sum());
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One line; `extra` are labels of this series alone.
    fn series(&mut self, name: &str, extra: &str, value: f64) {
        let comma = if extra.is_empty() || self.labels.is_empty() { "" } else { "," };
        let (open, close) = if extra.is_empty() && self.labels.is_empty() { ("", "") } else { ("{", "}") };
        let labels = &self.labels;
        let _ = writeln!(self.out, "{name}{open}{labels}{comma}{extra}{close} {value:?}");
    }
}

/// A label's value, escaped as Prometheus wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
