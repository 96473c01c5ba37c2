//! `engineConfigs`: the names of metrics, by engine.
//!
//! In: an extractor's parameters. Out: of each engine what is named otherwise than the engine documents it: an engine is told
//! by its page, and read by the names that it documents, where a file has no others.
//! Source: GAIE v1.5, `core-metrics-extractor`.

use super::plugins::Parameters;
use signals::{Engine, EngineNames, MetricName, MetricNames};

/// Engines that a file may configure: a page that no engine is known by is compared with each.
const ENGINES_MAX: usize = 16;

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

/// Reads the names that an extractor's parameters give.
pub(super) fn read(parameters: Parameters<'_, '_>) -> Vec<EngineNames> {
    let Parameters { tree, path, reader } = parameters;
    for name in ["engineLabelKey", "defaultEngine"] {
        if reader.text(tree, &path, name).is_some() {
            reader.note(&path.then(name), "is not needed: an engine is told by its metrics page");
        }
    }
    let configs = reader.list(tree, &path, "engineConfigs");
    let path = path.then("engineConfigs");
    if configs.len() > ENGINES_MAX {
        reader.problem(&path, format!("are more than {ENGINES_MAX}"));
    }
    let mut engines = Vec::new();
    for (index, config) in configs.iter().enumerate().take(ENGINES_MAX) {
        let mut one = Parameters { tree: config, path: path.then(index), reader: &mut *reader };
        engines.extend(engine_names(&mut one));
    }
    engines
}

fn engine_names<'t>(config: &mut Parameters<'_, 't>) -> Option<EngineNames> {
    config.reader.object(config.tree, &config.path, FIELDS)?;
    let name = config.reader.required(config.tree, &config.path, "name")?;
    let engine = Engine::ALL.into_iter().find(|engine| engine.name() == name);
    let documented = engine.map_or(&[][..], specifications);
    let mut names = MetricNames {
        waiting: own_name(config, documented, "queuedRequestsSpec"),
        running: own_name(config, documented, "runningRequestsSpec"),
        kv_used: own_name(config, documented, "kvUsageSpec"),
        adapters: own_name(config, documented, "loraSpec"),
        cache: own_name(config, documented, "cacheInfoSpec"),
        block_tokens: own_name(config, documented, "cacheBlockSizeSpec"),
        blocks: own_name(config, documented, "cacheNumBlocksSpec"),
        ..MetricNames::default()
    };
    let labels = ["cacheBlockSizeLabelName", "cacheNumBlocksLabelName"];
    let own_labels = labels.map(|field| own(config, documented, field));
    if own_labels.iter().any(Option::is_some) && names.cache.is_none() {
        names.cache = usual(documented, "cacheInfoSpec").first().and_then(|usual| usual.parse().ok());
    }
    if names.cache.is_some() {
        let usual = labels.map(|field| usual(documented, field).first().copied());
        let [tokens, count] = [own_labels[0].or(usual[0]), own_labels[1].or(usual[1])];
        (names.block_tokens_label, names.blocks_label) =
            (tokens.map(str::to_owned), count.map(str::to_owned));
    }
    Some(EngineNames { engine: name.to_owned(), names })
}

/// What the engine documents for a field; the name that is read stands first.
fn usual(documented: Specifications, field: &str) -> &'static [&'static str] {
    documented.iter().find(|(name, _)| *name == field).map_or(&[][..], |(_, usual)| usual)
}

/// What is written in a field, if the engine does not document it.
fn own<'t>(config: &mut Parameters<'_, 't>, documented: Specifications, field: &str) -> Option<&'t str> {
    let written = config.reader.text(config.tree, &config.path, field)?;
    (!usual(documented, field).contains(&written)).then_some(written)
}

fn own_name(config: &mut Parameters<'_, '_>, documented: Specifications, field: &str) -> Option<MetricName> {
    let name = own(config, documented, field)?.parse::<MetricName>();
    name.map_err(|error| config.reader.problem(&config.path.then(field), error.to_string())).ok()
}
