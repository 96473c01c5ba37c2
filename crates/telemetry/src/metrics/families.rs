//! The table of metric families: what `/metrics` shows and what the reference page says, from one place.
//!
//! Source: GAIE, `pkg/epp/metrics`, v1.5: names, labels and buckets as they are there, `32778` included.

use super::of_reference;

/// What a family is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) labels: &'static [&'static str],
    /// Of a value; empty for plain counts.
    pub(crate) unit: &'static str,
    pub(crate) help: &'static str,
    /// Of a histogram; empty otherwise.
    pub(crate) bounds: &'static [f64],
}

/// The labels of a request. The reference runs one picker for each pool and tells the pool by the scrape's target; here
/// one process serves many pools, so the pool is a label of its own.
const REQUEST: &[&str] = &["model_name", "target_model_name", "inference_pool"];
const POOL: &[&str] = &["name", "inference_pool"];
const ENDPOINT: &[&str] = &["inference_pool", "endpoint"];
const PLUGIN: &[&str] = &["extension_point", "plugin_type", "plugin_name"];

/// The same family under another name.
const fn under(name: &'static str, of: Family, help: &'static str) -> Family {
    Family { name, help, ..of }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, unit: "", help, bounds: &[] }
}

const fn gauge(
    name: &'static str,
    labels: &'static [&'static str],
    unit: &'static str,
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Gauge, labels, unit, help, bounds: &[] }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    unit: &'static str,
    bounds: &'static [f64],
    help: &'static str,
) -> Family {
    Family { name, kind: Kind::Histogram, labels, unit, help, bounds }
}

const DURATION: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0,
    3600.0,
];
const TPOT: &[f64] = &[
    0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8,
    1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 12.0, 18.0, 24.0, 30.0, 36.0, 48.0, 60.0, 90.0, 120.0, 180.0, 270.0, 360.0,
];
const NTPOT: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
const DECISION: &[f64] = &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];
const PICKER: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];
const RATIO: &[f64] = &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
/// 2⁶ to 2³⁰.
const REQUEST_BYTES: &[f64] = &powers_of_two::<25>(64.0);
/// The reference's buckets have 32778 where 32768 was meant; a dashboard finds them as they are there.
const RESPONSE_BYTES: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32778.0,
    65536.0,
];
const INPUT_TOKENS: &[f64] = &[
    1.0,
    8.0,
    16.0,
    32.0,
    64.0,
    128.0,
    256.0,
    512.0,
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16384.0,
    32778.0,
    65536.0,
    131_072.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
];
const OUTPUT_TOKENS: &[f64] =
    &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];
const HIT_BYTES: &[f64] =
    &[0.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 65536.0];

const fn powers_of_two<const N: usize>(first: f64) -> [f64; N] {
    let mut bounds = [first; N];
    let mut at = 1;
    while at < N {
        bounds[at] = bounds[at - 1] * 2.0;
        at += 1;
    }
    bounds
}

/// Declares each family once, as a constant and as a row of a table, in the order in which it is shown.
macro_rules! families {
    ($(#[$doc:meta])* $table:ident: $($constant:ident = $family:expr;)+) => {
        $(pub(crate) const $constant: Family = $family;)+
        $(#[$doc])*
        pub(crate) const $table: &[Family] = &[$($constant),+];
    };
}

families! {
    /// The families of a gateway and of an endpoint picker.
    FAMILIES:
    REQUESTS = counter("inference_objective_request_total",
        &["model_name", "target_model_name", "inference_pool", "priority"],
        "[ALPHA] Requests that reached a pool.");
    REQUEST_ERRORS = counter("inference_objective_request_error_total",
        &["model_name", "target_model_name", "inference_pool", "error_code"],
        "[ALPHA] Requests that were refused at a pool or answered with an error, by the reference's error codes.");
    REQUEST_DURATION = histogram("inference_objective_request_duration_seconds", REQUEST, "seconds", DURATION,
        "[ALPHA] From the head of the request to the last byte of the response.");
    REQUEST_SIZES = histogram("inference_objective_request_sizes", REQUEST, "bytes", REQUEST_BYTES,
        "[ALPHA] Bytes of the request's body.");
    RESPONSE_SIZES = histogram("inference_objective_response_sizes", REQUEST, "bytes", RESPONSE_BYTES,
        "[ALPHA] Bytes of the response's body.");
    INPUT_TOKEN_COUNTS = histogram("inference_objective_input_tokens", REQUEST, "tokens", INPUT_TOKENS,
        "[ALPHA] Prompt tokens, as the model server reports them.");
    OUTPUT_TOKEN_COUNTS = histogram("inference_objective_output_tokens", REQUEST, "tokens", OUTPUT_TOKENS,
        "[ALPHA] Generated tokens, reported or counted from the stream.");
    CACHED_TOKENS = histogram("inference_objective_prompt_cached_tokens", REQUEST, "tokens", INPUT_TOKENS,
        "[ALPHA] Prompt tokens that came from the prefix cache, as the model server reports them.");
    TTFT = histogram("inference_objective_request_ttft_seconds", REQUEST, "seconds", DURATION,
        "[ALPHA] Of streams: from the head of the request to the first byte of the response's body.");
    TIME_PER_OUTPUT_TOKEN = histogram("inference_objective_request_tpot_seconds", REQUEST, "seconds", TPOT,
        "[ALPHA] Of streams: time after the first token, for each token after the first.");
    NORMALIZED_TPOT = histogram("inference_objective_normalized_time_per_output_token_seconds", REQUEST, "seconds",
        NTPOT, "[ALPHA] The whole duration, for each generated token.");
    RUNNING = gauge("inference_objective_running_requests", &["model_name", "inference_pool"], "",
        "[ALPHA] Requests at a model server.");
    MODEL_REQUESTS = counter("inference_model_request_total", REQUEST,
        "[ALPHA] `inference_objective_request_total`, by its name up to v1.0.");
    MODEL_REQUEST_ERRORS = under("inference_model_request_error_total", REQUEST_ERRORS,
        "[ALPHA] `inference_objective_request_error_total`, by its name up to v1.0.");
    MODEL_REQUEST_DURATION = under("inference_model_request_duration_seconds", REQUEST_DURATION,
        "[ALPHA] `inference_objective_request_duration_seconds`, by its name up to v1.0.");
    MODEL_REQUEST_SIZES = under("inference_model_request_sizes", REQUEST_SIZES,
        "[ALPHA] `inference_objective_request_sizes`, by its name up to v1.0.");
    MODEL_RESPONSE_SIZES = under("inference_model_response_sizes", RESPONSE_SIZES,
        "[ALPHA] `inference_objective_response_sizes`, by its name up to v1.0.");
    MODEL_INPUT_TOKENS = under("inference_model_input_tokens", INPUT_TOKEN_COUNTS,
        "[ALPHA] `inference_objective_input_tokens`, by its name up to v1.0.");
    MODEL_OUTPUT_TOKENS = under("inference_model_output_tokens", OUTPUT_TOKEN_COUNTS,
        "[ALPHA] `inference_objective_output_tokens`, by its name up to v1.0.");
    MODEL_NORMALIZED_TPOT = under("inference_model_normalized_time_per_output_token_seconds", NORMALIZED_TPOT,
        "[ALPHA] `inference_objective_normalized_time_per_output_token_seconds`, by its name up to v1.0.");
    MODEL_RUNNING = under("inference_model_running_requests", RUNNING,
        "[ALPHA] `inference_objective_running_requests`, by its name up to v1.0.");
    POOL_KV = gauge("inference_pool_average_kv_cache_utilization", POOL, "ratio",
        "[ALPHA] KV cache in use, 0 to 1: the mean of the pool's endpoints that report it.");
    POOL_QUEUE = gauge("inference_pool_average_queue_size", POOL, "",
        "[ALPHA] Requests waiting in a model server: the mean of the pool's endpoints that report it.");
    POOL_RUNNING = gauge("inference_pool_average_running_requests", POOL, "",
        "[ALPHA] Requests being computed in a model server: the mean of the pool's endpoints that report it.");
    POOL_READY = gauge("inference_pool_ready_pods", POOL, "",
        "[ALPHA] Endpoints of the pool that may be picked.");
    POD_QUEUE = gauge("inference_pool_per_pod_queue_size", &["name", "inference_pool", "model_server_pod"], "",
        "[ALPHA] Requests waiting in this model server, by its last report; `model_server_pod` is `POD-rank-N`, N being the place of the port, or `ip:port` where no Pod is known.");
    SCHEDULER_DURATION = histogram("inference_extension_scheduler_e2e_duration_seconds", &[], "seconds", DECISION,
        "[ALPHA] Time inside parse, route, admit and pick, without waiting for the body.");
    SCHEDULER_ATTEMPTS = counter("inference_extension_scheduler_attempts_total", &["status"],
        "[ALPHA] Picks made, and picks that found no endpoint.");
    PLUGIN_DURATION = histogram("inference_extension_plugin_duration_seconds", PLUGIN, "seconds", DECISION,
        "[ALPHA] Time in one plugin of a pick, of one pick in 1024 of each pool; a plugin's name is its type.");
    SCHEDULER_PLUGIN_DURATION = histogram("inference_extension_scheduler_plugin_duration_seconds",
        &["plugin_type", "plugin_name"], "seconds", DECISION,
        "[ALPHA] `inference_extension_plugin_duration_seconds`, by its name in v0.5.1: its type is the extension point.");
    REWRITE_DECISIONS = counter("inference_extension_model_rewrite_decisions_total",
        &["model_rewrite_name", "model_name", "target_model"],
        "[ALPHA] Requests whose model an InferenceModelRewrite chose.");
    PREFIX_SIZE = gauge("inference_extension_prefix_indexer_size", &[], "",
        "[ALPHA] Entries of the prefix indexes.");
    PREFIX_RATIO = histogram("inference_extension_prefix_indexer_hit_ratio", &[], "ratio", RATIO,
        "[ALPHA] Part of the prompt that the picked endpoint holds by the prefix index, 0 to 1.");
    PREFIX_BYTES = histogram("inference_extension_prefix_indexer_hit_bytes", &[], "bytes", HIT_BYTES,
        "[ALPHA] Bytes of the prompt that the picked endpoint holds by the prefix index.");
    INFO = gauge("inference_extension_info", &["commit", "build_ref"], "",
        "[ALPHA] Always 1; the labels tell the build.");

    RESPONSES = counter("pointsman_responses_total", &["code"],
        "Responses sent to clients, by status; a client that left before there was one counts nowhere here.");
    REFUSALS = counter("pointsman_refusals_total", &["step", "reason"],
        "Requests that the gateway refused, by the step of the journey and the reason.");
    CANCELLED = counter("pointsman_requests_cancelled_total", &[],
        "Requests whose client went away before the response was whole.");
    IN_FLIGHT = gauge("pointsman_requests_in_flight", &[], "",
        "Requests whose head was read and whose response is not whole.");
    ATTEMPTS = counter("pointsman_attempts_total", &["outcome"],
        "Tries at an endpoint, by how they went; local_reply if an Envoy in front answered itself, or may have.");
    RETRIES = counter("pointsman_retries_total", &[],
        "Tries after the first.");
    PICKER_REQUESTS = counter("pointsman_endpoint_picker_requests_total", &["picker", "outcome"],
        "Requests that an endpoint picker of somebody else was asked for: picked, answered by it, or failed.");
    PICKER_DURATION = histogram("pointsman_endpoint_picker_duration_seconds", &["picker"], "seconds", PICKER,
        "From asking an endpoint picker of somebody else to its pick, its answer or its failure.");
    TOKENS_ESTIMATED = counter("pointsman_responses_estimated_tokens_total", &[],
        "Responses without usage, whose tokens were counted from the stream's events.");
    HEADERS_REMOVED = counter("pointsman_steering_headers_removed_total", &[],
        "Steering headers removed from requests: those that only trusted peers may send, and those that no peer may.");
    DOWNSTREAM_CONNECTIONS = counter("pointsman_downstream_connections_total", &[],
        "Connections accepted from clients.");
    DOWNSTREAM_OPEN = gauge("pointsman_downstream_connections", &[], "",
        "Connections of clients that are open.");
    UPSTREAM_CONNECTIONS = counter("pointsman_upstream_connections_total", &[],
        "Connections opened to endpoints.");
    UPSTREAM_OPEN = gauge("pointsman_upstream_connections", &[], "",
        "Connections to endpoints that are open.");
    PANICS = counter("pointsman_panics_total", &[],
        "Connections ended by a panic: each is a bug.");
    HELD_BYTES = gauge("pointsman_held_body_bytes", &[], "bytes",
        "Bytes of request bodies held for routing and retry.");
    SCRAPES = counter("pointsman_scrapes_total", &["result"],
        "Scrapes of model servers: read, missed, or of a server that has no metrics.");
    ENDPOINT_IN_FLIGHT = gauge("pointsman_endpoint_in_flight_requests", ENDPOINT, "",
        "This process's own requests at the endpoint.");
    ENDPOINT_RESTING = gauge("pointsman_endpoint_resting", ENDPOINT, "",
        "1 while the endpoint rests after failures.");
    ENDPOINT_EJECTIONS = counter("pointsman_endpoint_ejections_total", ENDPOINT,
        "Rests that the endpoint began: after failures in a row, a failed trial request, or missed scrapes.");
    ENDPOINT_SCRAPE_AGE = gauge("pointsman_endpoint_scrape_age_seconds", ENDPOINT, "seconds",
        "Age of the endpoint's last good scrape.");
    SNAPSHOT_GENERATION = gauge("pointsman_snapshot_generation", &[], "",
        "Reloads of the configuration, from 1.");
    FINDINGS = gauge("pointsman_configuration_findings", &["severity"], "",
        "Errors and warnings of the configuration that is being served.");
}

families! {
    /// The families of a body-based router.
    BBR_FAMILIES:
    BBR_SUCCESS = counter("bbr_success_total", &[],
        "[ALPHA] Of `pointsman bbr`: requests that went on, with or without a model.");
    BBR_NOT_FOUND = counter("bbr_body_field_not_found_total", &["field"],
        "[ALPHA] Of `pointsman bbr`: requests whose body has no such field.");
    BBR_EMPTY = counter("bbr_body_field_empty_total", &["field"],
        "[ALPHA] Of `pointsman bbr`: requests whose field is the empty text.");
    BBR_SKIPPED = counter("pointsman_bbr_body_field_skipped_total", &["field", "reason"],
        "Of `pointsman bbr`: requests whose field has a value that is no header's: too long, an object or an array, or with a control character.");
    BBR_NOT_IN_BODY = counter("bbr_model_not_in_body_total", &[],
        "[ALPHA] Of `pointsman bbr`: requests whose body has no model, or an empty one; by its name up to v1.4.");
    BBR_NOT_PARSED = counter("bbr_model_not_parsed_total", &[],
        "[ALPHA] Of `pointsman bbr`: requests refused because their body is no JSON object, or its model no text; by its name up to v1.4.");
    BBR_PLUGIN_DURATION = histogram("bbr_plugin_duration_seconds", PLUGIN, "seconds", DECISION,
        "[ALPHA] Of `pointsman bbr`: time in reading a body's fields, all of them in one pass, and in looking its base model up, of one body in 256 of each thread.");
    BBR_REFUSED = counter("pointsman_bbr_refused_total", &["reason"],
        "Of `pointsman bbr`: requests refused because their body cannot be read, by the reason.");
    BBR_INFO = gauge("bbr_info", &["commit", "build_ref"], "",
        "[ALPHA] Of `pointsman bbr`: always 1; the labels tell the build.");
}

/// The reference page of the metrics, in Markdown.
pub(crate) fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed by the admin server at `/metrics`. Names starting with `inference_` are those of the Gateway API \
         Inference Extension; the rest is Pointsman's own.\n\n| Name | Type | Labels | Unit | Meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for family in FAMILIES.iter().chain(BBR_FAMILIES) {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let cells = [
            format!("`{}`", family.name),
            family.kind.name().to_owned(),
            labels.join(", "),
            family.unit.to_owned(),
            family.help.strip_prefix("[ALPHA] ").unwrap_or(family.help).to_owned(),
        ];
        page.push_str("| ");
        page.push_str(&cells.join(" | "));
        page.push_str(" |\n");
    }
    of_reference::explain(&mut page);
    page
}
