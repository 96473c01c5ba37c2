//! What the reference's metrics are that are not served here, or with fewer labels: and why.
//!
//! A test holds every name of the reference, v0.5.1 to v1.5, to either the table of families or this one.

use std::fmt::Write;

/// Why a name of the reference is not served.
pub(crate) struct Absent {
    /// The names.
    pub(crate) names: &'static [&'static str],
    /// The reason.
    pub(crate) why: &'static str,
}

/// Labels of the reference that a family lacks.
pub(crate) struct Unlabelled {
    /// The family.
    pub(crate) name: &'static str,
    /// The labels.
    pub(crate) labels: &'static [&'static str],
    /// The reason.
    pub(crate) why: &'static str,
}

pub(crate) const ABSENT: &[Absent] = &[
    Absent {
        names: &[
            "inference_objective_request_predicted_ttft_seconds",
            "inference_objective_request_ttft_prediction_duration_seconds",
            "inference_objective_request_predicted_tpot_seconds",
            "inference_objective_request_tpot_prediction_duration_seconds",
            "inference_objective_request_slo_violation_total",
            "inference_objective_inference_request_metric",
        ],
        why: "latencies are not predicted and promises of them not read: there is no `predicted-latency-scorer`",
    },
    Absent {
        names: &[
            "inference_extension_flow_control_request_queue_duration_seconds",
            "inference_extension_flow_control_dispatch_cycle_duration_seconds",
            "inference_extension_flow_control_request_enqueue_duration_seconds",
            "inference_extension_flow_control_queue_size",
            "inference_extension_flow_control_queue_bytes",
            "inference_extension_flow_control_pool_saturation",
        ],
        why: "requests are not queued: the feature gate `flowControl` is refused",
    },
    Absent {
        names: &["inference_extension_request_control_plugin_duration_seconds"],
        why: "no plugin runs before a request is sent or after its response (v0.5.1)",
    },
];

pub(crate) const UNLABELLED: &[Unlabelled] = &[Unlabelled {
    name: "inference_extension_scheduler_attempts_total",
    labels: &["target_model_name", "pod_name", "namespace", "port"],
    why: "v1.5 only: a series for each model at each endpoint; `pointsman_endpoint_in_flight_requests` tells the endpoints apart",
}];

/// The part of the reference page about what is not there.
pub(crate) fn explain(page: &mut String) {
    page.push_str("\n## Names of the reference that are not served\n\n| Name | Why |\n| --- | --- |\n");
    for Absent { names, why } in ABSENT {
        for name in *names {
            let _ = writeln!(page, "| `{name}` | {why} |");
        }
    }
    page.push_str("\nLabels of the reference that are not there:\n\n");
    for Unlabelled { name, labels, why } in UNLABELLED {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(page, "- `{name}` without {}: {why}.", labels.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::families::{BBR_FAMILIES, FAMILIES, Family, Kind};

    const L: &[&str] = &["model_name", "target_model_name"];
    const PLUGIN: &[&str] = &["extension_point", "plugin_type", "plugin_name"];

    /// Every name of the reference, v0.5.1 to v1.5.0, with its type and labels; of histograms the first two, the last and
    /// the number of the buckets.
    type Name = (&'static str, Kind, &'static [&'static str], &'static [f64], usize);

    const fn count(name: &'static str, labels: &'static [&'static str]) -> Name {
        (name, Kind::Counter, labels, &[], 0)
    }

    const fn gauge(name: &'static str, labels: &'static [&'static str]) -> Name {
        (name, Kind::Gauge, labels, &[], 0)
    }

    const fn spread(
        name: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
        buckets: usize,
    ) -> Name {
        (name, Kind::Histogram, labels, bounds, buckets)
    }

    const LATENCY: &[f64] = &[0.005, 0.025, 3_600.0];
    const TPOT: &[f64] = &[0.000_5, 0.002_05, 360.0];
    const NTPOT: &[f64] = &[0.001, 0.002, 10.0];
    const SIZES: &[f64] = &[64.0, 128.0, 1_073_741_824.0];
    const ANSWERS: &[f64] = &[1.0, 8.0, 65_536.0];
    const INPUT: &[f64] = &[1.0, 8.0, 1_048_576.0];
    const OUTPUT: &[f64] = &[1.0, 8.0, 8_192.0];
    const SHORT: &[f64] = &[0.000_1, 0.000_2, 0.1];
    const WAIT: &[f64] = &[0.000_1, 0.000_5, 60.0];

    const OF_REFERENCE: &[Name] = &[
        // v0.5.1 and v1.0
        count("inference_model_request_total", L),
        count("inference_model_request_error_total", &["model_name", "target_model_name", "error_code"]),
        spread("inference_model_request_duration_seconds", L, LATENCY, 35),
        spread("inference_model_request_sizes", L, SIZES, 25),
        spread("inference_model_response_sizes", L, ANSWERS, 15),
        spread("inference_model_input_tokens", L, INPUT, 19),
        spread("inference_model_output_tokens", L, OUTPUT, 12),
        gauge("inference_model_running_requests", &["model_name"]),
        spread("inference_model_normalized_time_per_output_token_seconds", L, NTPOT, 13),
        spread(
            "inference_extension_scheduler_plugin_duration_seconds",
            &["plugin_type", "plugin_name"],
            SHORT,
            10,
        ),
        spread(
            "inference_extension_request_control_plugin_duration_seconds",
            &["plugin_type", "plugin_name"],
            SHORT,
            10,
        ),
        // v1.1 to v1.5
        count("inference_objective_request_total", &["model_name", "target_model_name", "priority"]),
        count("inference_objective_request_error_total", &["model_name", "target_model_name", "error_code"]),
        gauge("inference_objective_inference_request_metric", &["model_name", "target_model_name", "type"]),
        spread("inference_objective_request_ttft_seconds", L, LATENCY, 35),
        spread("inference_objective_request_predicted_ttft_seconds", L, LATENCY, 35),
        spread("inference_objective_request_ttft_prediction_duration_seconds", L, WAIT, 14),
        spread("inference_objective_request_tpot_seconds", L, TPOT, 35),
        spread("inference_objective_request_predicted_tpot_seconds", L, TPOT, 35),
        spread("inference_objective_request_tpot_prediction_duration_seconds", L, WAIT, 14),
        count(
            "inference_objective_request_slo_violation_total",
            &["model_name", "target_model_name", "type"],
        ),
        spread("inference_objective_request_duration_seconds", L, LATENCY, 35),
        spread("inference_objective_request_sizes", L, SIZES, 25),
        spread("inference_objective_response_sizes", L, ANSWERS, 15),
        spread("inference_objective_input_tokens", L, INPUT, 19),
        spread("inference_objective_output_tokens", L, OUTPUT, 12),
        spread("inference_objective_prompt_cached_tokens", L, INPUT, 19),
        gauge("inference_objective_running_requests", &["model_name"]),
        spread("inference_objective_normalized_time_per_output_token_seconds", L, NTPOT, 13),
        gauge("inference_pool_average_kv_cache_utilization", &["name"]),
        gauge("inference_pool_average_queue_size", &["name"]),
        gauge("inference_pool_average_running_requests", &["name"]),
        gauge("inference_pool_ready_pods", &["name"]),
        gauge("inference_pool_per_pod_queue_size", &["name", "model_server_pod"]),
        spread("inference_extension_scheduler_e2e_duration_seconds", &[], SHORT, 10),
        count(
            "inference_extension_scheduler_attempts_total",
            &["status", "target_model_name", "pod_name", "namespace", "port"],
        ),
        spread("inference_extension_plugin_duration_seconds", PLUGIN, SHORT, 10),
        gauge("inference_extension_prefix_indexer_size", &[]),
        spread("inference_extension_prefix_indexer_hit_ratio", &[], &[0.0, 0.1, 1.0], 11),
        spread("inference_extension_prefix_indexer_hit_bytes", &[], &[0.0, 16.0, 65_536.0], 14),
        gauge("inference_extension_info", &["commit", "build_ref"]),
        spread("inference_extension_flow_control_request_queue_duration_seconds", L, WAIT, 16),
        spread("inference_extension_flow_control_dispatch_cycle_duration_seconds", &[], SHORT, 10),
        spread("inference_extension_flow_control_request_enqueue_duration_seconds", &[], SHORT, 10),
        gauge("inference_extension_flow_control_queue_size", L),
        gauge("inference_extension_flow_control_queue_bytes", L),
        gauge("inference_extension_flow_control_pool_saturation", &["inference_pool"]),
        count(
            "inference_extension_model_rewrite_decisions_total",
            &["model_rewrite_name", "model_name", "target_model"],
        ),
        // The body-based router: v0.5.1 to v1.4, then v1.4 and v1.5
        count("bbr_success_total", &[]),
        count("bbr_model_not_in_body_total", &[]),
        count("bbr_model_not_parsed_total", &[]),
        count("bbr_body_field_not_found_total", &["field"]),
        count("bbr_body_field_empty_total", &["field"]),
        gauge("bbr_info", &["commit", "build_ref"]),
        spread("bbr_plugin_duration_seconds", PLUGIN, SHORT, 10),
    ];

    /// A label of our own beside the reference's.
    const OWN_LABEL: &str = "inference_pool";

    fn is_absent(name: &str) -> bool {
        ABSENT.iter().any(|absent| absent.names.contains(&name))
    }

    fn hold(family: &Family, (name, kind, labels, bounds, buckets): &Name) {
        assert_eq!(family.kind, *kind, "{name}");
        let lacking = UNLABELLED.iter().find(|unlabelled| unlabelled.name == *name);
        let lacks = |label: &&str| lacking.is_some_and(|unlabelled| unlabelled.labels.contains(label));
        let mut expected: Vec<&str> = labels.iter().filter(|label| !lacks(label)).copied().collect();
        let mut there: Vec<&str> =
            family.labels.iter().filter(|label| **label != OWN_LABEL).copied().collect();
        expected.sort_unstable();
        there.sort_unstable();
        assert_eq!(there, expected, "{name}");
        assert_eq!(family.bounds.len(), *buckets, "{name}");
        if let [first, second, last] = bounds {
            let ends = (family.bounds[0], family.bounds[1], family.bounds.last().copied());
            assert_eq!(ends, (*first, *second, Some(*last)), "{name}");
        }
    }

    #[test]
    fn every_name_of_the_reference_is_served_as_it_is_there_or_told_to_be_absent() {
        for of_reference in OF_REFERENCE {
            let name = of_reference.0;
            match FAMILIES.iter().chain(BBR_FAMILIES).find(|family| family.name == name) {
                Some(family) => {
                    assert!(!is_absent(name), "{name} is served");
                    hold(family, of_reference);
                }
                None => assert!(is_absent(name), "{name} is neither served nor told to be absent"),
            }
        }
    }

    #[test]
    fn what_looks_like_the_references_is_the_references() {
        let own = |name: &str| name.starts_with("pointsman_");
        for family in FAMILIES.iter().chain(BBR_FAMILIES).filter(|family| !own(family.name)) {
            assert!(OF_REFERENCE.iter().any(|(name, ..)| *name == family.name), "{}", family.name);
        }
        for name in ABSENT.iter().flat_map(|absent| absent.names) {
            assert!(OF_REFERENCE.iter().any(|(known, ..)| known == name), "{name}");
        }
    }
}
