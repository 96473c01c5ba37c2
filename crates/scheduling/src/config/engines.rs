//! `engineConfigs`: the names of metrics, by engine.
//!
//! An engine is told by its page, and its metrics are read by the names that it documents. A file may say the same; what it
//! says otherwise cannot be obeyed.
//! Source: GAIE v1.5, `core-metrics-extractor`.

use super::fields::not_among;
use super::plugins::Parameters;
use signals::Engine;
use yaml::shorten;

/// The metrics of an engine, as the reference writes them: field, specification.
type Specifications = &'static [(&'static str, &'static [&'static str])];

const FIELDS: &[&str] = &[
    "name",
    "queuedRequestsSpec",
    "runningRequestsSpec",
    "kvUsageSpec",
    "loraSpec",
    "cacheInfoSpec",
    "cacheBlockSizeLabelName",
    "cacheNumBlocksLabelName",
    "cacheBlockSizeSpec",
    "cacheNumBlocksSpec",
];

fn specifications(engine: Engine) -> Specifications {
    match engine {
        Engine::Vllm => &[
            ("queuedRequestsSpec", &["vllm:num_requests_waiting"]),
            ("runningRequestsSpec", &["vllm:num_requests_running"]),
            ("kvUsageSpec", &["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"]),
            ("loraSpec", &["vllm:lora_requests_info"]),
            ("cacheInfoSpec", &["vllm:cache_config_info"]),
            ("cacheBlockSizeLabelName", &["block_size"]),
            ("cacheNumBlocksLabelName", &["num_gpu_blocks"]),
        ],
        Engine::Sglang => &[
            ("queuedRequestsSpec", &["sglang:num_queue_reqs"]),
            ("runningRequestsSpec", &["sglang:num_running_reqs"]),
            ("kvUsageSpec", &["sglang:token_usage"]),
            ("cacheInfoSpec", &["sglang:cache_config_info"]),
            ("cacheBlockSizeLabelName", &["page_size"]),
            ("cacheNumBlocksLabelName", &["num_pages"]),
        ],
        Engine::TensorrtLlm => &[
            ("queuedRequestsSpec", &["trtllm_num_requests_waiting"]),
            ("runningRequestsSpec", &["trtllm_num_requests_running"]),
            ("kvUsageSpec", &["trtllm_kv_cache_utilization"]),
            ("cacheBlockSizeSpec", &["trtllm_kv_cache_tokens_per_block"]),
            ("cacheNumBlocksSpec", &["trtllm_kv_cache_max_blocks"]),
        ],
        Engine::Triton => &[
            ("queuedRequestsSpec", &["nv_trt_llm_request_metrics{request_type=waiting}"]),
            ("runningRequestsSpec", &["nv_trt_llm_request_metrics{request_type=scheduled}"]),
            ("kvUsageSpec", &["nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=fraction}"]),
            ("cacheBlockSizeSpec", &["nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=tokens_per}"]),
            ("cacheNumBlocksSpec", &["nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=max}"]),
        ],
        // The reference knows nothing of it.
        Engine::LlamaCpp => &[],
    }
}

/// Tells what of an extractor's parameters cannot be obeyed.
pub(super) fn check(parameters: Parameters<'_, '_>) {
    let Parameters { tree, path, reader } = parameters;
    let known: Vec<&str> = Engine::ALL.into_iter().map(Engine::name).collect();
    for name in ["engineLabelKey", "defaultEngine"] {
        if reader.text(tree, &path, name).is_some() {
            reader.note(&path.then(name), "is not needed: an engine is told by its metrics page");
        }
    }
    for (index, config) in reader.list(tree, &path, "engineConfigs").iter().enumerate() {
        let path = path.then("engineConfigs").then(index);
        let Some(entries) = reader.object(config, &path, FIELDS) else { continue };
        let Some(name) = reader.required(config, &path, "name") else { continue };
        let Some(engine) = Engine::ALL.into_iter().find(|engine| engine.name() == name) else {
            reader.problem(&path.then("name"), not_among("engine", name, &known));
            continue;
        };
        for entry in entries.iter().filter(|entry| entry.name != "name" && FIELDS.contains(&&*entry.name)) {
            let Some(written) = reader.text(config, &path, &entry.name) else { continue };
            let named = specifications(engine).iter().find(|(field, _)| *field == entry.name);
            let documented = named.map_or(&[][..], |(_, documented)| documented);
            if !documented.contains(&written) {
                let read = if documented.is_empty() { "nothing" } else { documented[0] };
                let message =
                    format!("`{}` cannot be had: of {name}, {read} is read; leave it out", shorten(written));
                reader.problem(&path.then(&*entry.name), message);
            }
        }
    }
}
