use super::*;
use crate::filters::Filter;
use crate::pickers::{Picker, RandomPicker};
use crate::plugins::{PLUGINS, PluginKind, REFUSED};
use crate::saturation::{ConcurrencyDetector, UtilizationDetector};
use crate::{BlockSettings, FILTERS_MAX, SCORERS_MAX};
use signals::MetricNames;

const HEAD: &str = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n";

fn with(rest: &str) -> Result<Configured, ConfigError> {
    read(&format!("{HEAD}{rest}"), TestPlugins::Refused)
}

fn taken(rest: &str) -> Configured {
    with(rest).unwrap_or_else(|error| panic!("{rest}\n{error}"))
}

/// Line, field, and the beginning of what is said, of the first problem.
#[track_caller]
fn refused(rest: &str, line: u32, field: &str, message: &str) {
    let error = with(rest).err().unwrap_or_else(|| panic!("taken: {rest}"));
    let first = &error.problems[0];
    assert_eq!((first.line, &*first.field), (line, field), "{error}");
    assert!(first.message.starts_with(message), "{error}");
}

#[test]
fn a_filter_without_a_threshold_has_the_given_default_and_one_with_it_its_own() {
    let defaults = FilterDefaults {
        lora_affinity: LoraAffinityFilter { threshold: 0.5 },
        low_queue: LowQueueFilter { threshold: 7 },
    };
    let filters = |parameters: &str| {
        let plugins = format!(
            "{HEAD}plugins: [{{type: low-queue-filter}}, {{type: lora-affinity-filter{parameters}}}]\n"
        );
        let configured = read_with(&plugins, TestPlugins::Refused, defaults).expect("a sound file");
        configured.policy.filters.to_vec()
    };
    let low_queue = Filter::LowQueue(defaults.low_queue);
    assert_eq!(filters(""), [low_queue.clone(), Filter::LoraAffinity(defaults.lora_affinity)]);
    let own = Filter::LoraAffinity(LoraAffinityFilter { threshold: 0.25 });
    assert_eq!(filters(", parameters: {threshold: 0.25}"), [low_queue, own]);
}

#[test]
fn a_picker_names_as_many_endpoints_as_it_is_told_and_as_there_may_be() {
    let named = |count: &str| {
        let picker = format!("{{type: max-score-picker, parameters: {{maxNumOfEndpoints: {count}}}}}");
        let configured = taken(&format!("plugins: [{{type: queue-scorer}}, {picker}]"));
        let notes: Vec<String> = configured.notes.iter().map(ToString::to_string).collect();
        (configured.policy.endpoints_max, notes)
    };
    assert_eq!(named("-1"), (1, Vec::new()));
    assert_eq!(named("4"), (4, Vec::new()));
    let told = "line 3: plugins[1].parameters.maxNumOfEndpoints: is 5: at most 4 are named";
    assert_eq!(named("5"), (4, vec![told.to_owned()]));
}

#[test]
fn a_source_says_how_model_servers_are_asked_for_their_metrics() {
    let source = "{type: metrics-data-source, name: s, parameters: {scheme: https, path: /stats, insecureSkipVerify: false}}";
    let https = MetricsSource {
        scheme: Some(MetricsScheme::Https),
        path: Some("/stats".to_owned()),
        insecure_skip_verify: Some(false),
    };
    for (rest, expected) in [
        (format!("plugins: [{source}]\ndataLayer: {{sources: [{{pluginRef: s}}]}}"), https.clone()),
        (format!("plugins: [{}]", source.replace(", name: s", "")), https),
        // The default source is told by its type as its name.
        (format!("plugins: [{source}]"), MetricsSource::default()),
        ("plugins: [{type: metrics-data-source}]".to_owned(), MetricsSource::default()),
    ] {
        assert_eq!(taken(&rest).metrics, expected, "{rest}");
    }
}

#[test]
fn every_type_of_the_table_is_taken_without_parameters() {
    for plugin in PLUGINS {
        if plugin.name == "decision-tree-filter" {
            continue;
        }
        let text = format!("{HEAD}plugins: [{{type: {}}}]\n", plugin.name);
        let configured = read(&text, TestPlugins::Allowed).unwrap_or_else(|error| panic!("{error}"));
        let policy = &configured.policy;
        let (filters, scorers) = (policy.filters.len(), policy.scorers.len());
        let expected = match plugin.kind {
            PluginKind::Filter | PluginKind::SaturationDetector => (1, 0),
            PluginKind::Scorer => (0, 1),
            _ => (0, 0),
        };
        assert_eq!((filters, scorers), expected, "{}", plugin.name);
        if plugin.kind == PluginKind::Filter {
            assert_eq!(policy.filters[0].name(), plugin.name);
        }
        if plugin.kind == PluginKind::Picker {
            assert_eq!(policy.picker.name(), plugin.name);
        }
        if plugin.kind == PluginKind::Scorer && plugin.name != "kv-cache-scorer" {
            assert_eq!(policy.scorers[0].0.name(), plugin.name);
        }
    }
}

#[test]
fn a_type_of_the_reference_that_is_not_taken_says_what_to_do() {
    for of in REFUSED {
        refused(
            &format!("plugins: [{{type: {}}}]", of.name),
            3,
            "plugins[0].type",
            &format!("`{}` is not taken: ", of.name),
        );
        assert!(PLUGINS.iter().all(|plugin| plugin.name != of.name), "{}", of.name);
    }
}

#[test]
fn what_is_wrong_is_told_from_the_top_of_the_file() {
    let error = with("schedulingProfiles: [{}]\nplugins:\n- {type: x}\nfeatureGates: [x]").unwrap_err();
    let lines: Vec<u32> = error.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [3, 5, 6], "{error}");
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_field() {
    refused(
        "plugins: [{type: queue-scorr}]",
        3,
        "plugins[0].type",
        "there is no plugin type `queue-scorr`; did you mean `queue-scorer`?\n    filter: decision-tree-filter,",
    );
    refused(
        "plugins:\n- {type: queue-scorer}\n- {type: queue-scorer}",
        5,
        "plugins[1]",
        "a second plugin has the name `queue-scorer`",
    );
    refused("plugin: []", 3, "plugin", "unknown field; did you mean `plugins`?");
    refused("plugins: [{name: a}]", 3, "plugins[0].type", "is required");
    refused("plugins: {}", 3, "plugins", "must be a list");
    refused("plugins: [{type: 5}]", 3, "plugins[0].type", "must be a text, and is the number 5");
    refused(
        "plugins:\n- type: low-queue-filter\n  parameters: {threshold: -1}",
        5,
        "plugins[0].parameters.threshold",
        "must be a whole number from 0",
    );
    refused(
        "plugins: [{type: header-based-testing-filter}]",
        3,
        "plugins[0].type",
        "`header-based-testing-filter` lets a client choose",
    );
    refused("featureGates: [flowControl]", 3, "featureGates[0]", "requests are not queued yet");
    refused(
        "featureGates: [dataLayers]",
        3,
        "featureGates[0]",
        "there is no feature gate `dataLayers`; did you mean `dataLayer`?",
    );
    refused("flowControl: {maxByte: 1}", 3, "flowControl.maxByte", "unknown field; did you mean `maxBytes`?");
    refused("dataLayer: {sources: []}", 3, "dataLayer", "turns metrics off");
    refused(
        "plugins: [{type: metrics-data-source, parameters: {scheme: ftp}}]",
        3,
        "plugins[0].parameters.scheme",
        "is `ftp`; write `http` or `https`",
    );
    refused(
        "plugins: [{type: metrics-data-source, parameters: {path: metrics}}]",
        3,
        "plugins[0].parameters.path",
        "is no path",
    );
    refused(
        "plugins: [{type: single-profile-handler}, {type: single-profile-handler, name: b}]",
        3,
        "plugins",
        "hold more than one profile handler",
    );
    refused(
        "parser: {pluginRef: passthrough}",
        3,
        "parser.pluginRef",
        "there is no plugin `passthrough`. There are: none",
    );
}

#[test]
fn a_parameter_that_cannot_be_obeyed_is_told_with_what_to_write() {
    let engine = |config: &str| {
        format!("plugins: [{{type: core-metrics-extractor, parameters: {{engineConfigs: [{config}]}}}}]")
    };
    refused(
        &engine("{name: vllm, queuedRequestsSpec: 'my queue'}"),
        3,
        "plugins[0].parameters.engineConfigs[0].queuedRequestsSpec",
        "\"my queue\" names no metric; write name or name{label=value,…}",
    );
    refused(
        &engine("{queuedRequestsSpec: a}"),
        3,
        "plugins[0].parameters.engineConfigs[0].name",
        "is required",
    );
    refused(
        "plugins: [{type: max-score-picker, parameters: {maxNumOfEndpoints: two}}]",
        3,
        "plugins[0].parameters.maxNumOfEndpoints",
        "must be a whole number of at most 4294967295, and is",
    );
    refused(
        "plugins: [{type: header-based-testing-filter}]",
        3,
        "plugins[0].type",
        "`header-based-testing-filter` lets a client choose its endpoint: it is taken only with --test-plugins",
    );
    refused(
        "plugins: [{type: k8s-notification-source}]
dataLayer: {sources: [{pluginRef: k8s-notification-source}]}",
        4,
        "dataLayer",
        "turns metrics off",
    );
}

#[test]
fn engines_have_the_names_that_a_file_gives_them_and_else_their_own() {
    let of = |config: &str| {
        let plugin = format!("{{type: core-metrics-extractor, parameters: {{engineConfigs: [{config}]}}}}");
        taken(&format!("plugins: [{plugin}]")).engines.remove(0)
    };
    let name = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        of("{name: vllm, queuedRequestsSpec: 'vllm:num_requests_waiting'}").names,
        MetricNames::default()
    );
    let triton = of("{name: triton, queuedRequestsSpec: 'nv_trt_llm_request_metrics{request_type=waiting}'}");
    assert_eq!(triton.engine, "triton");
    assert_eq!(triton.names.waiting, name("nv_trt_llm_request_metrics{request_type=waiting}"));
    let rank =
        of("{name: vllm, queuedRequestsSpec: 'vllm:num_requests_waiting{engine=0}', loraSpec: my_lora}");
    assert_eq!(rank.names.waiting, name("vllm:num_requests_waiting{engine=0}"));
    assert_eq!(rank.names.adapters, name("my_lora"));
    let labels = of("{name: sglang, cacheNumBlocksLabelName: count}").names;
    assert_eq!(labels.cache, name("sglang:cache_config_info"));
    let told = (labels.block_tokens_label.as_deref(), labels.blocks_label.as_deref());
    assert_eq!(told, (Some("page_size"), Some("count")));
    let metrics = of("{name: mine, cacheBlockSizeSpec: tokens, cacheNumBlocksSpec: blocks}").names;
    assert_eq!((metrics.block_tokens, metrics.blocks), (name("tokens"), name("blocks")));
}

#[test]
fn what_does_nothing_here_is_taken_with_a_word() {
    let configured = taken(
        "plugins: [{type: passthrough-parser, name: p}, {type: k8s-notification-source, parameters: {kind: Pod}}, {type: destination-endpoint-served-verifier}, {type: metrics-data-source}]
parser: {pluginRef: p}
dataLayer: {sources: [{pluginRef: k8s-notification-source}, {pluginRef: metrics-data-source}]}",
    );
    for field in ["plugins[0].type", "plugins[1].type", "plugins[2].type"] {
        let note = configured.notes.iter().find(|note| note.field == field).expect(field);
        assert!(note.message.contains("does nothing here"), "{note}");
    }
}

#[test]
fn profiles_refer_to_what_is_declared() {
    let profile = |plugins: &str| {
        format!(
            "plugins: [{{type: queue-scorer}}, {{type: openai-parser}}]\nschedulingProfiles:\n- name: default\n  plugins: [{plugins}]"
        )
    };
    assert_eq!(taken(&profile("{pluginRef: queue-scorer, weight: 1.5}")).policy.scorers[0].1, 1.5);
    refused(
        &profile("{pluginRef: queue}"),
        6,
        "schedulingProfiles[0].plugins[0].pluginRef",
        "there is no plugin `queue`. There are: queue-scorer, openai-parser",
    );
    refused(
        &profile("{pluginRef: openai-parser}"),
        6,
        "schedulingProfiles[0].plugins[0]",
        "`openai-parser` is a parser: a profile has no use for it",
    );
    refused(&profile("{weight: 1}"), 6, "schedulingProfiles[0].plugins[0].pluginRef", "is required");
    refused(
        &profile("{pluginRef: queue-scorer, weight: much}"),
        6,
        "schedulingProfiles[0].plugins[0].weight",
        "must be a number",
    );
    let negative = "must be a number from 0 to 1000000000, and is the number -1";
    let weight = "schedulingProfiles[0].plugins[0].weight";
    refused(&profile("{pluginRef: queue-scorer, weight: -1}"), 6, weight, negative);
    let two = "schedulingProfiles: [{name: a, plugins: []}, {name: b, plugins: []}]";
    refused(two, 3, "schedulingProfiles", "are 2, and single-profile-handler runs one");
    let many = "{pluginRef: queue-scorer},".repeat(SCORERS_MAX + 1);
    refused(
        &profile(&many),
        6,
        &format!("schedulingProfiles[0].plugins[{SCORERS_MAX}]"),
        "a profile has at most 6 scorers",
    );
    let filters = "{pluginRef: least-queue-filter},".repeat(FILTERS_MAX + 1);
    let text = format!(
        "plugins: [{{type: least-queue-filter}}]\nschedulingProfiles: [{{name: a, plugins: [{filters}]}}]"
    );
    refused(
        &text,
        4,
        &format!("schedulingProfiles[0].plugins[{FILTERS_MAX}]"),
        "a profile has at most 4 filters",
    );
}

#[test]
fn what_is_missing_is_added_as_the_reference_adds_it() {
    let empty = taken("");
    assert_eq!((empty.policy.scorers.len(), empty.policy.picker.name()), (0, "max-score-picker"));
    assert_eq!(empty.notes[0].field, "schedulingProfiles");
    let all = taken("plugins: [{type: queue-scorer}, {type: random-picker}, {type: least-queue-filter}]");
    assert_eq!((all.policy.scorers[0].1, all.policy.filters.len()), (1.0, 1));
    assert_eq!(all.policy.picker, Picker::Random(RandomPicker));
    let unreferred =
        "plugins: [{type: random-picker, parameters: {maxNumOfEndpoints: 2}}, {type: queue-scorer}]
schedulingProfiles: [{name: a, plugins: [{pluginRef: queue-scorer}]}]";
    let policy = taken(unreferred).policy;
    assert_eq!((policy.picker, policy.endpoints_max), (Picker::Random(RandomPicker), 2));
    let ignored = taken("plugins: [{type: queue-scorer, parameters: {wait: 5}}]");
    assert_eq!(ignored.notes[0].field, "plugins[0].parameters.wait");
}

#[test]
fn prompts_are_cut_as_any_release_says() {
    let blocks = |parameters: &str| {
        let text = format!("plugins: [{{type: prefix-cache-scorer, parameters: {{{parameters}}}}}]");
        taken(&text).policy.blocks().expect("a prefix-cache-scorer")
    };
    let default = BlockSettings::default();
    let table = [
        ("", default),
        (
            "hashBlockSize: 100, maxPrefixBlocksToMatch: 10",
            BlockSettings { block_bytes: 100, blocks_max: 10, auto_tune: false, ..default },
        ),
        ("blockSize: 100", BlockSettings { block_bytes: 100, auto_tune: false, ..default }),
        ("blockSize: 100, blockSizeTokens: 8", BlockSettings { block_bytes: 32, ..default }),
        (
            "autoTune: false, maxPrefixTokensToMatch: 1000",
            BlockSettings { auto_tune: false, prefix_bytes_max: Some(4000), ..default },
        ),
        ("lruCapacityPerServer: -1, maxPrefixBlocksToMatch: 0", default),
        ("lruCapacityPerServer: 7", BlockSettings { capacity_blocks: 7, ..default }),
    ];
    for (parameters, expected) in table {
        assert_eq!(blocks(parameters), expected, "{parameters}");
    }
    let producer = "plugins: [{type: prefix-cache-scorer, parameters: {blockSizeTokens: 8}}, {type: approx-prefix-cache-producer, parameters: {blockSizeTokens: 64}}]";
    assert_eq!(taken(producer).policy.blocks(), Some(BlockSettings { block_bytes: 256, ..default }));
}

#[test]
fn two_prefix_scorers_of_one_profile_must_cut_prompts_alike() {
    let two = |second: &str| {
        let plugin = |name: &str, parameters: &str| {
            format!("- {{name: {name}, type: prefix-cache-scorer, parameters: {parameters}}}\n")
        };
        with(&format!("plugins:\n{}{}", plugin("a", "{blockSizeTokens: 16}"), plugin("b", second)))
    };
    assert!(two("{blockSizeTokens: 16}").is_ok());
    let error = two("{blockSizeTokens: 32}").unwrap_err().to_string();
    assert!(error.contains("cut prompts differently"), "{error}");
}

#[test]
fn saturation_is_detected_as_any_release_says() {
    let of = |text: &str| taken(text).detector;
    let utilization = |queue_depth_threshold| {
        let detector = UtilizationDetector { queue_depth_threshold, ..UtilizationDetector::default() };
        Some(SaturationDetector::Utilization(detector))
    };
    let concurrency = ConcurrencyDetector { max_concurrency: 9, headroom: 0.0 };
    let table = [
        ("", None),
        ("saturationDetector: {}", utilization(5)),
        ("saturationDetector: {queueDepthThreshold: 7}", utilization(7)),
        ("saturationDetector: {pluginRef: utilization-detector}", utilization(5)),
        ("plugins: [{type: utilization-detector, parameters: {queueDepthThreshold: 3}}]", utilization(3)),
        (
            "plugins: [{type: utilization-detector, parameters: {queueDepthThreshold: 3}}]\nsaturationDetector: {}",
            utilization(3),
        ),
        ("plugins: [{type: utilization-detector, name: other}]", None),
        (
            "plugins: [{type: concurrency-detector, name: c, parameters: {maxConcurrency: 9}}]\nsaturationDetector: {pluginRef: c}",
            Some(SaturationDetector::Concurrency(concurrency)),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(of(text), expected, "{text}");
    }
    refused(
        "saturationDetector: {queueDepthThreshold: 0}",
        3,
        "saturationDetector.queueDepthThreshold",
        "must be a whole number",
    );
    refused(
        "saturationDetector: {kvCacheUtilThreshold: 2}",
        3,
        "saturationDetector.kvCacheUtilThreshold",
        "must be a number above 0, up to 1, and is the number 2",
    );
    refused(
        "saturationDetector: {metricsStalenessThreshold: fast}",
        3,
        "saturationDetector.metricsStalenessThreshold",
        "must be a duration",
    );
    refused(
        "saturationDetector: {pluginRef: utilization-detector, queueDepthThreshold: 1}",
        3,
        "saturationDetector",
        "has either",
    );
    refused(
        "plugins: [{type: queue-scorer}]\nsaturationDetector: {pluginRef: queue-scorer}",
        4,
        "saturationDetector.pluginRef",
        "`queue-scorer` is a scorer, and a saturation detector, filter is wanted",
    );
    refused(
        "plugins: [{type: concurrency-detector, parameters: {concurrencyMode: tokens}}]",
        3,
        "plugins[0].parameters.concurrencyMode",
        "`tokens` cannot be had",
    );
}

#[test]
fn a_decision_tree_may_refer_to_trees_but_not_in_a_circle() {
    let tree = |parameters: &str| {
        format!(
            "plugins:\n- {{type: low-queue-filter}}\n- {{type: queue-scorer}}\n- {{type: decision-tree-filter, name: t, parameters: {{{parameters}}}}}\nschedulingProfiles: [{{name: a, plugins: [{{pluginRef: t}}]}}]"
        )
    };
    let low = "{pluginRef: low-queue-filter}";
    let policy = taken(&tree(&format!(
        "current: {low}, nextOnSuccessOrFailure: {{decisionTree: {{current: {low}}}}}"
    )))
    .policy;
    let Filter::DecisionTree(top) = &policy.filters[0] else { panic!("{policy:?}") };
    assert_eq!(top.next_on_success, top.next_on_failure);
    assert!(matches!(top.next_on_success, Some(Filter::DecisionTree(_))));
    refused(
        &tree("current: {pluginRef: t}"),
        6,
        "plugins[2].parameters.current",
        "decision trees have at most 16 levels",
    );
    refused(
        &tree("nextOnSuccess: {pluginRef: low-queue-filter}"),
        6,
        "plugins[2].parameters.current",
        "is required",
    );
    refused(
        &tree("current: {}"),
        6,
        "plugins[2].parameters.current",
        "must have either pluginRef or decisionTree",
    );
    refused(
        &tree("current: {pluginRef: queue-scorer}"),
        6,
        "plugins[2].parameters.current.pluginRef",
        "`queue-scorer` is a scorer, and no filter",
    );
    refused(
        &tree(&format!("current: {low}, nextOnFailure: {low}, nextOnSuccessOrFailure: {low}")),
        6,
        "plugins[2].parameters.nextOnSuccessOrFailure",
        "goes with neither",
    );
}

#[test]
fn a_document_must_be_one_and_say_what_it_is() {
    let of = |text: &str| read(text, TestPlugins::Refused).map(|_| ()).map_err(|error| error.to_string());
    let told = |text: &str, expected: &str| {
        let error = of(text).expect_err(text);
        assert!(error.contains(expected), "{error}");
    };
    told("", "there must be one document, and there are 0");
    told(&format!("{HEAD}---\n{HEAD}"), "there must be one document, and there are 2");
    told("kind: EndpointPickerConfig", "apiVersion: is required: `inference.networking.x-k8s.io/v1alpha1`");
    told(
        &HEAD.replace("v1alpha1", "v1alpha2"),
        "line 1: apiVersion: is `inference.networking.x-k8s.io/v1alpha2`; write",
    );
    told(&HEAD.replace("Config", ""), "line 2: kind: is `EndpointPicker`; write `EndpointPickerConfig`");
    told("[1, 2]", "must be an object, and is a list");
    told("a: [", "line 1");
    assert_eq!(
        of(r#"{"apiVersion":"inference.networking.x-k8s.io/v1alpha1","kind":"EndpointPickerConfig"}"#),
        Ok(())
    );
}
