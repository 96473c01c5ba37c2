//! The settings of the doors as `/config` shows them: by flag, each with its unit. There is no secret among them.

use serde_json::{Value, json};
use signals::{MetricName, MetricNames};
use std::time::Duration;

/// A number as it was written: as `f64` a 0.8 would become 0.800000011920929.
pub(crate) fn decimal(number: f32) -> Option<f64> {
    number.to_string().parse().ok()
}

pub(super) fn of_proxy(settings: &proxy::Settings) -> Value {
    json!({
        "bind": settings.bind,
        "cores": settings.cores,
        "pin_cores": settings.pin_cores,
        "trusted_peers": settings.trusted_peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "connections_max": settings.connections_max,
        "headers_max": settings.headers_max,
        "header_bytes_max": settings.header_bytes_max,
        "body_bytes_max": settings.body_bytes_max,
        "held_bytes_max": settings.held_bytes_max,
        "header_read_timeout_seconds": settings.header_read_timeout.as_secs_f64(),
        "body_stall_timeout_seconds": settings.body_stall_timeout.as_secs_f64(),
        "body_rate_min": settings.body_rate_min,
        "keep_alive_timeout_seconds": settings.keep_alive_timeout.as_secs_f64(),
        "write_stall_timeout_seconds": settings.write_stall_timeout.as_secs_f64(),
        "connection_age_max_seconds": settings.connection_age_max.as_ref().map(Duration::as_secs_f64),
        "connect_timeout_seconds": settings.connect_timeout.as_secs_f64(),
        "response_head_timeout_seconds": settings.response_head_timeout.as_ref().map(Duration::as_secs_f64),
        "response_stall_timeout_seconds": settings.response_stall_timeout.as_secs_f64(),
        "upstream_idle_timeout_seconds": settings.upstream_idle_timeout.as_secs_f64(),
        "upstream_idle_max": settings.upstream_idle_max,
        "endpoint_picker_timeout_seconds": settings.endpoint_picker_timeout.as_secs_f64(),
        "endpoint_picker_response_timeout_seconds": settings.endpoint_picker_response_timeout.as_secs_f64(),
        "drain_timeout_seconds": settings.drain_timeout.as_secs_f64(),
    })
}

pub(super) fn of_ext_proc(settings: &extproc::Settings) -> Value {
    json!({
        "bind": settings.bind,
        "cores": settings.cores,
        "connections_max": settings.connections_max,
        "streams_max": settings.streams_max,
        "handshake_timeout_seconds": settings.handshake_timeout.as_secs_f64(),
        "body_bytes_max": settings.body_bytes_max,
        "held_bytes_max": settings.held_bytes_max,
        "grpc_message_bytes_max": settings.grpc_message_bytes_max,
        "grpc_message_timeout_seconds": settings.grpc_message_timeout.as_secs_f64(),
        "body_stall_timeout_seconds": settings.body_stall_timeout.as_secs_f64(),
        "body_rate_min": settings.body_rate_min,
        "lame_duck_seconds": settings.lame_duck.as_secs_f64(),
        "drain_timeout_seconds": settings.drain_timeout.as_secs_f64(),
    })
}

/// The metrics that an operator named, as the flags have them; what the engines document is null.
pub(super) fn of_names(names: &MetricNames) -> Value {
    let shown = |name: &Option<MetricName>| match name {
        None => None,
        Some(MetricName::Nothing) => Some(String::new()),
        Some(MetricName::Series { name, labels }) => {
            let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
            Some(if labels.is_empty() { name.clone() } else { format!("{name}{{{}}}", labels.join(",")) })
        }
    };
    json!({
        "total_queued_requests_metric": shown(&names.waiting),
        "total_running_requests_metric": shown(&names.running),
        "kv_cache_usage_percentage_metric": shown(&names.kv_used),
        "lora_info_metric": shown(&names.adapters),
        "cache_info_metric": shown(&names.cache),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args;

    /// The flags of a door that are not hidden, as fields.
    fn flags<A: Args>() -> Vec<String> {
        let command = A::augment_args(clap::Command::new("door"));
        let told = command.get_arguments().filter(|argument| !argument.is_hide_set());
        told.map(|argument| argument.get_id().to_string()).collect()
    }

    #[track_caller]
    fn shows(shown: &Value, flags: &[String]) {
        let fields = shown.as_object().unwrap();
        let is_of = |field: &str, flag: &str| field == flag || field == format!("{flag}_seconds");
        for flag in flags {
            assert!(fields.keys().any(|field| is_of(field, flag)), "{flag} is not shown");
        }
        assert_eq!(fields.len(), flags.len());
    }

    #[test]
    fn every_flag_of_a_door_is_shown() {
        shows(&of_proxy(&proxy::Settings::default()), &flags::<proxy::Settings>());
        shows(&of_ext_proc(&extproc::Settings::default()), &flags::<extproc::Settings>());
    }

    #[test]
    fn a_metric_is_shown_as_its_flag_has_it() {
        let waiting = "queue{state=waiting,kind=a}";
        let names = MetricNames {
            waiting: Some(waiting.parse().unwrap()),
            cache: Some(MetricName::Nothing),
            ..MetricNames::default()
        };
        let shown = of_names(&names);
        assert_eq!(shown["total_queued_requests_metric"], waiting);
        assert_eq!((&shown["cache_info_metric"], &shown["lora_info_metric"]), (&json!(""), &json!(null)));
    }

    #[test]
    fn a_number_is_shown_as_it_was_written() {
        assert_eq!(json!(decimal(0.8)).to_string(), "0.8");
        assert_eq!(json!(decimal(f32::NAN)).to_string(), "null");
    }
}
