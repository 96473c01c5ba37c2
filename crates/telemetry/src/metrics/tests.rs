use super::families::{BBR_FAMILIES, FAMILIES};
use super::{Core, Gauges, PoolGauges, ScrapeResult, Side, Telemetry, reference};
use crate::record::tests::{endpoint, picked_elsewhere, refused, served};
use crate::{Record, TargetChosen};
use journey::{EndpointKey, EndpointStatus, Outcome, TargetModel};
use payload::ModelName;
use scheduling::PluginRun;
use scheduling::plugins::PluginKind;
use std::sync::Arc;

fn page(telemetry: &Arc<Telemetry>) -> String {
    telemetry.text(&Gauges::default())
}

/// The value of the sample that begins so; `None` if there is none.
fn value(page: &str, sample: &str) -> Option<f64> {
    let line =
        page.lines().find(|line| line.strip_prefix(sample).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn finish(core: &Core, mut record: Record) {
    core.begin();
    core.finish(&mut record);
}

const LABELS: &str = r#"{model_name="chatbot",target_model_name="gemma3",inference_pool="default/gemma3"}"#;

#[test]
fn every_family_is_shown_and_explained_once_and_nothing_else() {
    let page = page(&Telemetry::new(1, 1));
    let shown: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let declared: Vec<String> =
        FAMILIES.iter().map(|family| format!("{} {}", family.name, family.kind.name())).collect();
    assert_eq!(shown, declared);
    let page = reference();
    for family in FAMILIES.iter().chain(BBR_FAMILIES) {
        assert_eq!(page.matches(&format!("| `{}` |", family.name)).count(), 1, "{}", family.name);
    }
}

#[test]
fn buckets_ascend_and_have_the_references_typo() {
    for family in FAMILIES {
        assert!(family.bounds.is_sorted_by(|a, b| a < b), "{}", family.name);
    }
    let telemetry = Telemetry::new(1, 1);
    finish(&telemetry.core(0), served());
    let page = page(&telemetry);
    assert!(page.contains(r#"inference_objective_input_tokens_bucket{model_name="chatbot",target_model_name="gemma3",inference_pool="default/gemma3",le="32778"} 1"#));
    assert!(page.contains(r#",le="1073741824"} 1"#) && page.contains(r#",le="+Inf"} 1"#));
}

#[test]
fn what_somebody_elses_picker_does_is_counted_by_its_name() {
    let telemetry = Telemetry::new(1, 1);
    let core = telemetry.core(0);
    finish(&core, picked_elsewhere());
    finish(&core, served());
    let page = page(&telemetry);
    let requests = |outcome| {
        let labels = format!(r#"{{picker="default/epp:9002",outcome="{outcome}"}}"#);
        value(&page, &format!("pointsman_endpoint_picker_requests_total{labels}"))
    };
    assert_eq!((requests("picked"), requests("failed")), (Some(1.0), Some(0.0)));
    let took = r#"pointsman_endpoint_picker_duration_seconds_sum{picker="default/epp:9002"}"#;
    assert_eq!(value(&page, took), Some(0.0015));
}

#[test]
fn a_client_that_left_before_the_response_counts_as_cancelled_and_as_no_response() {
    let telemetry = Telemetry::new(1, 1);
    finish(&telemetry.core(0), Record { status: 0, cancelled: true, ..served() });
    let page = page(&telemetry);
    assert!(!page.contains("pointsman_responses_total{"), "{page}");
    assert_eq!(value(&page, "pointsman_requests_cancelled_total"), Some(1.0));
}

#[test]
fn a_response_that_was_cut_short_is_no_measure_of_those_that_came_whole() {
    let telemetry = Telemetry::new(1, 1);
    let mut cut = served();
    cut.attempts[1].outcome = Outcome::Late;
    finish(&telemetry.core(0), cut);
    let page = page(&telemetry);
    assert_eq!(value(&page, r#"pointsman_attempts_total{outcome="late"}"#), Some(1.0));
    assert_eq!(value(&page, "pointsman_requests_cancelled_total"), Some(0.0));
    let took = format!("inference_objective_request_duration_seconds_count{LABELS}");
    assert_eq!(value(&page, &took), Some(0.0));
}

#[test]
fn a_served_request_is_counted_with_its_times_and_tokens() {
    let telemetry = Telemetry::new(1, 1);
    finish(&telemetry.core(0), served());
    let page = page(&telemetry);
    let of = |name: &str| value(&page, &format!("inference_objective_{name}{LABELS}"));
    let prioritised = LABELS.replace('}', r#",priority="0"}"#);
    assert_eq!(value(&page, &format!("inference_objective_request_total{prioritised}")), Some(1.0));
    assert_eq!(of("request_duration_seconds_sum"), Some(1.25));
    assert_eq!((of("request_sizes_sum"), of("response_sizes_sum")), (Some(2048.0), Some(4096.0)));
    assert_eq!((of("input_tokens_sum"), of("output_tokens_sum")), (Some(38.0), Some(11.0)));
    assert_eq!(of("prompt_cached_tokens_sum"), Some(16.0));
    assert_eq!(of("request_ttft_seconds_sum"), Some(0.25));
    assert_eq!(of("request_tpot_seconds_sum"), Some(0.1));
    assert_eq!(of("normalized_time_per_output_token_seconds_count"), Some(1.0));
    assert_eq!(value(&page, "pointsman_retries_total"), Some(1.0));
    assert_eq!(value(&page, r#"pointsman_attempts_total{outcome="server_error"}"#), Some(1.0));
    assert_eq!(value(&page, "pointsman_responses_estimated_tokens_total"), Some(1.0));
    assert_eq!(value(&page, "inference_extension_prefix_indexer_hit_bytes_sum"), Some(1024.0));
    assert_eq!(value(&page, "inference_extension_scheduler_e2e_duration_seconds_count"), Some(1.0));
}

#[test]
fn a_request_is_counted_by_its_priority_and_told_by_the_names_of_v0_5_1_too() {
    let telemetry = Telemetry::new(2, 1);
    for (core, priority) in [(0, 1), (0, -1), (1, 1)] {
        finish(&telemetry.core(core), Record { priority: Some(priority), ..served() });
    }
    let page = page(&telemetry);
    let by = |priority: i32| {
        let labels = LABELS.replace('}', &format!(r#",priority="{priority}"}}"#));
        value(&page, &format!("inference_objective_request_total{labels}"))
    };
    assert_eq!((by(1), by(-1), by(0)), (Some(2.0), Some(1.0), None));
    for name in
        ["request_duration_seconds", "request_sizes", "response_sizes", "input_tokens", "output_tokens"]
    {
        for part in ["sum", "count"] {
            let of = |what: &str| value(&page, &format!("inference_{what}_{name}_{part}{LABELS}"));
            assert!(of("model").is_some_and(|value| value > 0.0), "{name}");
            assert_eq!(of("model"), of("objective"), "{name}");
        }
    }
}

#[test]
fn what_a_rewrite_chose_is_counted_by_its_name() {
    let telemetry = Telemetry::new(1, 1);
    let core = telemetry.core(0);
    finish(&core, served());
    finish(&core, Record { rewritten_by: None, ..served() });
    let labels = r#"{model_rewrite_name="rollout",model_name="chatbot",target_model="gemma3"}"#;
    let decisions = format!("inference_extension_model_rewrite_decisions_total{labels}");
    assert_eq!(value(&page(&telemetry), &decisions), Some(1.0));
}

#[test]
fn the_plugins_of_a_timed_pick_are_told_by_where_they_run() {
    let telemetry = Telemetry::new(2, 1);
    let took = std::time::Duration::from_micros(150);
    let ran = |kind, name| PluginRun { kind, name, took };
    telemetry
        .core(0)
        .plugins_ran(&[ran(PluginKind::Scorer, "queue-scorer"), ran(PluginKind::Picker, "max-score-picker")]);
    telemetry.core(1).plugins_ran(&[ran(PluginKind::Scorer, "queue-scorer")]);
    let page = page(&telemetry);
    for (sample, expected) in [
        (
            r#"inference_extension_plugin_duration_seconds_bucket{extension_point="Scorer",plugin_type="queue-scorer",plugin_name="queue-scorer",le="0.0002"}"#,
            2.0,
        ),
        (
            r#"inference_extension_plugin_duration_seconds_count{extension_point="Picker",plugin_type="max-score-picker",plugin_name="max-score-picker"}"#,
            1.0,
        ),
        (
            r#"inference_extension_scheduler_plugin_duration_seconds_count{plugin_type="Scorer",plugin_name="queue-scorer"}"#,
            2.0,
        ),
    ] {
        assert_eq!(value(&page, sample), Some(expected), "{sample}");
    }
}

#[test]
fn an_error_counts_as_an_error_and_not_as_a_fast_answer() {
    let telemetry = Telemetry::new(1, 1);
    let core = telemetry.core(0);
    finish(&core, Record { status: 500, ..served() });
    let saturated =
        refused("chatbot").refusal.map(|refused| crate::Refused { step: journey::Step::Admit, ..refused });
    finish(&core, Record { status: 429, refusal: saturated, ..served() });
    let page = page(&telemetry);
    let errors = "inference_objective_request_error_total{model_name=\"chatbot\",target_model_name=\"gemma3\",inference_pool=\"default/gemma3\",error_code=";
    assert_eq!(value(&page, &format!("{errors}\"ModelServerError\"}}")), Some(1.0));
    assert_eq!(value(&page, &format!("{errors}\"InferencePoolResourceExhausted\"}}")), Some(1.0));
    assert_eq!(value(&page, &format!("inference_model_request_total{LABELS}")), Some(2.0));
    assert_eq!(
        value(&page, &format!("inference_objective_request_duration_seconds_count{LABELS}")),
        Some(0.0)
    );
}

#[test]
fn what_reached_no_pool_counts_by_step_and_reason() {
    let telemetry = Telemetry::new(1, 1);
    finish(&telemetry.core(0), refused("nobody"));
    let page = page(&telemetry);
    assert_eq!(value(&page, r#"pointsman_refusals_total{step="route",reason="model_unknown"}"#), Some(1.0));
    assert_eq!(value(&page, r#"pointsman_responses_total{code="404"}"#), Some(1.0));
    assert!(!page.contains("nobody"), "{page}");
}

#[test]
fn a_model_that_the_snapshot_does_not_know_is_no_label() {
    let telemetry = Telemetry::new(1, 1);
    let model = Some(ModelName("client\"s choice".into()));
    finish(&telemetry.core(0), Record { model, model_known: false, target_model: None, ..served() });
    let labels = r#"{model_name="unknown",target_model_name="unknown",inference_pool="default/gemma3"}"#;
    assert_eq!(value(&page(&telemetry), &format!("inference_model_request_total{labels}")), Some(1.0));
    assert!(!page(&telemetry).contains("choice"));
}

#[test]
fn more_label_sets_than_the_limit_count_as_unknown() {
    let telemetry = Telemetry::new(1, 1);
    let core = telemetry.core(0);
    for model in 0..3_000 {
        let model = Some(ModelName(format!("m{model}").into()));
        finish(&core, Record { model, target_model: None, ..served() });
    }
    let listed = telemetry.shards[0].requests.list();
    let (labels, rest) = listed.last().expect("many were listed");
    assert_eq!((listed.len(), &*labels.model, &*labels.pool), (2_049, "unknown", "unknown"));
    assert_eq!(rest.requests.of(Some(0)).get(), 952);
}

#[test]
fn priorities_take_no_place_from_a_model_and_beyond_their_own_count_as_unknown_of_theirs() {
    let telemetry = Telemetry::new(1, 1);
    let core = telemetry.core(0);
    let asks = |model: &str, priority| Record {
        model: Some(ModelName(model.into())),
        target_model: None,
        priority: Some(priority),
        ..served()
    };
    for priority in 0..3_000 {
        drop(core.running("default/gemma3", &asks("chatbot", priority)));
        finish(&core, asks("chatbot", priority));
    }
    finish(&core, asks("honest", -1));
    assert_eq!(telemetry.shards[0].requests.list().len(), 2);
    let page = page(&telemetry);
    for (model, priority, requests) in
        [("chatbot", "15", 1.0), ("chatbot", "unknown", 2_984.0), ("honest", "-1", 1.0)]
    {
        let labels = format!(
            r#"{{model_name="{model}",target_model_name="{model}",inference_pool="default/gemma3",priority="{priority}"}}"#
        );
        assert_eq!(value(&page, &format!("inference_objective_request_total{labels}")), Some(requests));
    }
    assert!(!page.contains(r#"priority="16""#), "{page}");
}

/// A request whose client named the model to send.
fn sent_by_choice(model: &str, target: &str, target_chosen: TargetChosen) -> Record {
    let (model, target_model) = (Some(ModelName(model.into())), Some(TargetModel(target.into())));
    Record { model, target_model, rewritten_by: None, target_chosen, ..served() }
}

#[test]
fn a_target_that_only_the_client_knows_is_no_label() {
    let telemetry = Telemetry::new(1, 1);
    let core = telemetry.core(0);
    for i in 0..3_000 {
        finish(&core, sent_by_choice("chatbot", &format!("evil{i}"), TargetChosen::FromNowhere));
    }
    let labels = r#"{model_name="chatbot",target_model_name="unknown",inference_pool="default/gemma3"}"#;
    let page = page(&telemetry);
    assert_eq!(value(&page, &format!("inference_model_request_total{labels}")), Some(3_000.0));
    assert!(!page.contains("evil"));
}

#[test]
fn clients_choices_take_no_place_from_a_model_that_first_asks_after_them() {
    for chosen in [TargetChosen::ByClient, TargetChosen::FromNowhere] {
        let telemetry = Telemetry::new(1, 1);
        let core = telemetry.core(0);
        for i in 0..3_000 {
            let (model, target) = (format!("m{i}"), format!("t{i}"));
            drop(core.running("default/gemma3", &sent_by_choice(&model, &target, chosen)));
            finish(&core, sent_by_choice(&model, &target, chosen));
        }
        assert_eq!(telemetry.shards[0].requests.list().len(), 257, "with the one of unknown");
        let honest = (0..2_000).map(|i| Some(ModelName(format!("honest{i}").into())));
        honest.for_each(|model| finish(&core, Record { model, target_model: None, ..served() }));
        let page = page(&telemetry);
        for name in ["honest0", "honest1999"] {
            let labels = format!(
                r#"{{model_name="{name}",target_model_name="{name}",inference_pool="default/gemma3"}}"#
            );
            assert_eq!(value(&page, &format!("inference_model_request_total{labels}")), Some(1.0));
        }
    }
}

#[test]
fn label_values_are_escaped() {
    let telemetry = Telemetry::new(1, 1);
    let model = Some(ModelName("a\"b\\c\nd".into()));
    finish(&telemetry.core(0), Record { model, target_model: None, ..served() });
    assert!(page(&telemetry).contains(r#"{model_name="a\"b\\c\nd",target_model_name="#));
}

#[test]
fn the_cores_are_added_up_from_their_threads() {
    let telemetry = Telemetry::new(4, 8);
    std::thread::scope(|scope| {
        for place in 0..4 {
            let core = telemetry.core(place);
            scope.spawn(move || (0..100).for_each(|_| finish(&core, served())));
        }
    });
    let page = page(&telemetry);
    assert_eq!(value(&page, &format!("inference_model_request_total{LABELS}")), Some(400.0));
    assert_eq!(value(&page, &format!("inference_objective_output_tokens_sum{LABELS}")), Some(4_400.0));
    assert_eq!(value(&page, "pointsman_requests_in_flight"), Some(0.0));
}

#[test]
fn what_is_under_way_is_counted_until_its_guard_is_dropped() {
    let telemetry = Telemetry::new(1, 1);
    let core = telemetry.core(0);
    core.begin();
    let request = core.running("default/gemma3", &Record { target_model: None, ..served() });
    let connection = core.connection(Side::Upstream);
    let running =
        "inference_objective_running_requests{model_name=\"chatbot\",inference_pool=\"default/gemma3\"}";
    let counts = |page: &str| {
        ["pointsman_requests_in_flight", running, "pointsman_upstream_connections"]
            .map(|name| value(page, name))
    };
    assert_eq!(counts(&page(&telemetry)), [Some(1.0); 3]);
    drop((request, connection));
    core.finish(&mut served());
    assert_eq!(counts(&page(&telemetry)), [Some(0.0); 3]);
    assert_eq!(value(&page(&telemetry), "pointsman_upstream_connections_total"), Some(1.0));
}

#[test]
fn pools_are_shown_by_their_endpoints() {
    let seconds = std::time::Duration::from_secs;
    let status = |port: u16, waiting: Option<u32>, resting: Option<u64>| {
        let key = EndpointKey { pod_uid: None, address: endpoint(port) };
        let resting = resting.map(seconds);
        let mut status = EndpointStatus {
            key,
            slot: scheduling::Slot(0),
            in_flight: 2,
            signals: Default::default(),
            scraped: waiting.map(|_| seconds(u64::from(port))),
            resting,
            on_trial: false,
            ejections: u64::from(port),
            departed: false,
        };
        status.signals.waiting = waiting;
        status
    };
    let endpoints = vec![
        status(1, Some(4), None),
        status(2, Some(1), None),
        status(3, None, Some(9)),
        status(9, Some(70), None),
    ];
    let pools = vec![PoolGauges {
        name: "gemma3".into(),
        pool: "default/gemma3".into(),
        endpoints,
        pods: Arc::new([(endpoint(1), "gemma3-0-rank-0".into())].into()),
        reports_fresh: seconds(8),
    }];
    let telemetry = Telemetry::new(1, 1);
    telemetry.scraped(ScrapeResult::Missed);
    let page = telemetry.text(&Gauges { pools, ..Gauges::default() });
    assert_eq!(
        value(&page, r#"inference_pool_average_queue_size{name="gemma3",inference_pool="default/gemma3"}"#),
        Some(2.5)
    );
    assert_eq!(
        value(&page, r#"inference_pool_ready_pods{name="gemma3",inference_pool="default/gemma3"}"#),
        Some(3.0)
    );
    assert!(
        page.contains(
            "inference_pool_average_kv_cache_utilization{name=\"gemma3\",inference_pool=\"default/gemma3\"} 0\n"
        ),
        "{page}"
    );
    let queue = |pod: &str| {
        let labels = format!(r#"{{name="gemma3",inference_pool="default/gemma3",model_server_pod="{pod}"}}"#);
        value(&page, &format!("inference_pool_per_pod_queue_size{labels}"))
    };
    assert_eq!(queue("gemma3-0-rank-0"), Some(4.0));
    assert_eq!(queue("127.0.0.1:2"), Some(1.0), "no Pod is known to stand there");
    assert_eq!(queue("127.0.0.1:3"), None);
    assert_eq!(
        value(&page, r#"pointsman_endpoint_resting{inference_pool="default/gemma3",endpoint="127.0.0.1:3"}"#),
        Some(1.0)
    );
    assert_eq!(
        value(
            &page,
            r#"pointsman_endpoint_ejections_total{inference_pool="default/gemma3",endpoint="127.0.0.1:3"}"#
        ),
        Some(3.0)
    );
    assert_eq!(value(&page, r#"pointsman_scrapes_total{result="missed"}"#), Some(1.0));
}

#[test]
fn a_reader_gets_each_record_once_in_order_of_time() {
    let telemetry = Telemetry::new(2, 8);
    let (one, two) = (telemetry.core(0), telemetry.core(1));
    let at = |id: &str, millis: u64| {
        let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(millis);
        Record { id: crate::RequestId::from(id).unwrap(), at, ..served() }
    };
    let ids = |records: Vec<Record>| records.iter().map(|record| record.id.to_string()).collect::<Vec<_>>();
    let mut cursor = telemetry.now();
    one.finish(&mut at("b", 2));
    two.finish(&mut at("a", 1));
    two.finish(&mut at("c", 3));
    assert_eq!(ids(telemetry.since(&mut cursor)), ["a", "b", "c"]);
    assert!(telemetry.since(&mut cursor).is_empty());
    one.finish(&mut at("d", 4));
    assert_eq!(ids(telemetry.since(&mut cursor)), ["d"]);
    assert_eq!(telemetry.record("c").map(|record| record.at), Some(at("c", 3).at));
    assert!(telemetry.record("e").is_none());
}
