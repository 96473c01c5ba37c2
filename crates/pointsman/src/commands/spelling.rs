//! The reference's spellings of a flag: `-grpcPort`, `--grpcPort`, `-grpc-port` and `--grpc-port` are one, `-v5` is `--v=5`, a
//! switch may have its value behind it as a word of its own, and a flag with an empty value is as good as none.
//!
//! In: a command line. Out: the same, with the flags of `bbr` and `epp` as clap knows them; of one that clap does not take,
//! what may have been meant. Never: a change to a value.

use super::stand_in::Switch;
use clap::ValueEnum;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::ffi::{OsStr, OsString};

/// The subcommands that stand in for the reference's programs.
const STAND_INS: [&str; 2] = ["bbr", "epp"];

/// Flags whose empty value says something: that a metric is not read, or that the endpoints stand at the metadata's root.
const EMPTY_SAYS: [&str; 6] = [
    "destination-endpoint-hint-metadata-namespace",
    "total-queued-requests-metric",
    "total-running-requests-metric",
    "kv-cache-usage-percentage-metric",
    "lora-info-metric",
    "cache-info-metric",
];

/// Whether an empty value of this flag is one.
pub(super) fn empty_says_something(arg: &clap::Arg) -> bool {
    arg.get_long().is_some_and(|name| EMPTY_SAYS.contains(&name))
}

/// Writes the flags of a stand-in in kebab-case with two dashes, and leaves out those that are empty; any other command line
/// stays as it is.
pub(crate) fn as_clap_knows_it(
    arguments: impl Iterator<Item = OsString>,
    known: &clap::Command,
) -> Vec<OsString> {
    let arguments: Vec<OsString> = arguments.collect();
    let subcommand =
        |argument: &OsString| known.get_subcommands().find(|command| **argument == *command.get_name());
    let mut places = arguments.iter().enumerate().skip(1);
    let found = places.find_map(|(place, argument)| Some((place, subcommand(argument)?)));
    let Some((place, command)) = found.filter(|(_, command)| STAND_INS.contains(&command.get_name())) else {
        return arguments;
    };
    let mut left = arguments.into_iter();
    let mut spelled: Vec<OsString> = left.by_ref().take(place + 1).collect();
    let mut left = left.peekable();
    while let Some(argument) = left.next() {
        if argument == "--" {
            spelled.push(argument);
            break;
        }
        let Some((name, mut value)) = flag(&argument) else {
            spelled.push(argument);
            continue;
        };
        let mut flags = command.get_arguments().chain(known.get_arguments());
        let arg = flags.find(|arg| arg.get_long() == Some(&name));
        let is_switch = arg.is_some_and(clap::Arg::is_require_equals_set);
        let takes_word = !is_switch && arg.is_some_and(|arg| arg.get_action().takes_values());
        let is_value = |next: &OsString| takes_word || (is_switch && is_switch_value(next));
        let mut joined = value.is_some() || is_switch;
        if value.is_none() {
            value = left.next_if(is_value);
        }
        if takes_word
            && value.as_ref().is_some_and(|value| value.is_empty())
            && !arg.is_some_and(empty_says_something)
        {
            continue;
        }
        joined &= value.is_some();
        let mut written = OsString::from(format!("--{name}"));
        if joined {
            written.push("=");
            written.push(value.take().unwrap_or_default());
        }
        spelled.push(written);
        spelled.extend(value);
    }
    spelled.extend(left);
    spelled
}

fn is_switch_value(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| Switch::from_str(word, false).is_ok())
}

/// Tells in `error` what may have been meant by the argument that clap did not know or could not read.
pub(crate) fn hint(mut error: clap::Error, arguments: &[OsString], command: &clap::Command) -> clap::Error {
    if matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return name_the_variable(tell_quotes(error), arguments, command);
    }
    if error.kind() != ErrorKind::UnknownArgument {
        return error;
    }
    let Some(ContextValue::String(unknown)) = error.get(ContextKind::InvalidArg) else { return error };
    let arguments = arguments.iter().filter_map(|argument| argument.to_str());
    let Some((written, tip)) = slip(unknown, &arguments.collect::<Vec<_>>(), command) else { return error };
    error.insert(ContextKind::InvalidArg, ContextValue::String(written));
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    error
}

/// Tells of quotes that were meant for a shell or for YAML, and became a part of the value: the reference's chart writes
/// `--total-queued-requests-metric="sglang:num_queue_reqs"` as one plain word of YAML, which keeps them.
fn tell_quotes(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return error };
    let within = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    let Some(within) = within.filter(|within| !within.is_empty()) else { return error };
    let tip = format!("the quotes are a part of the value: write {within} without them");
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    error
}

/// Blames the variable for a value that no argument gave.
fn name_the_variable(mut error: clap::Error, arguments: &[OsString], command: &clap::Command) -> clap::Error {
    let Some(ContextValue::String(told)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = told.split_whitespace().next().unwrap_or_default();
    let is_given = |argument: &OsString| {
        let text = argument.to_string_lossy();
        text.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let of = arguments.iter().find_map(|name| command.find_subcommand(name));
    let mut flags = of.into_iter().chain([command]).flat_map(clap::Command::get_arguments);
    let arg = flags.find(|arg| arg.get_long() == flag.strip_prefix("--"));
    let Some(variable) = arg.and_then(clap::Arg::get_env) else { return error };
    if !arguments.iter().any(is_given) {
        let blamed = format!("{} (in the place of {told})", variable.to_string_lossy());
        error.insert(ContextKind::InvalidArg, ContextValue::String(blamed));
    }
    error
}

/// The argument by which clap came upon `unknown`, and what may have been meant by it.
fn slip(unknown: &str, arguments: &[&str], command: &clap::Command) -> Option<(String, String)> {
    let place = arguments.iter().position(|argument| *argument == unknown);
    // A value after a flag that has none.
    if let Some(flag) = place.and_then(|place| arguments.get(place.checked_sub(1)?)?.strip_prefix("--"))
        && Switch::from_str(unknown, false).is_ok()
    {
        let mut known = command.get_subcommands().flat_map(clap::Command::get_arguments);
        known.find(|known| known.get_long() == Some(flag))?;
        return Some((unknown.to_owned(), format!("--{flag} stands alone: leave `{unknown}` out")));
    }
    // One dash and a word: clap takes its first letter for a flag of one letter.
    let is_word = |argument: &&&str| {
        let name = argument.strip_prefix('-').unwrap_or_default();
        name.len() > 1
            && name.starts_with(|first: char| first.is_ascii_alphabetic())
            && argument.starts_with(unknown)
    };
    let word = arguments.iter().find(is_word).filter(|_| unknown.len() == 2)?;
    Some(((*word).to_owned(), format!("flags have two dashes: -{word}")))
}

/// The flag's name as clap knows it, and the value behind its `=`.
fn flag(argument: &OsStr) -> Option<(String, Option<OsString>)> {
    let text = argument.to_str()?;
    let name = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    if let Some(level) = text.strip_prefix("-v").filter(|level| level.parse::<u32>().is_ok()) {
        return Some(("v".to_owned(), Some(level.into())));
    }
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value.into())),
        None => (name, None),
    };
    // `-h` and `-V` are clap's own; what begins with a digit is a negative number.
    if matches!(name, "" | "h" | "V") || !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return None;
    }
    Some((kebab(name), value))
}

/// `grpcPort` as `grpc-port`.
fn kebab(name: &str) -> String {
    let mut kebab = String::with_capacity(name.len() + 4);
    for (place, char) in name.char_indices() {
        if char.is_ascii_uppercase() && place > 0 {
            kebab.push('-');
        }
        kebab.push(char.to_ascii_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn spelled(line: &str) -> String {
        let arguments = as_clap_knows_it(line.split(' ').map(OsString::from), &crate::Cli::command());
        arguments.join(OsStr::new(" ")).into_string().expect("it was text")
    }

    /// Every flag of the reference's router from v0.5.1 to v1.5.0, as its latest release has it.
    const BBR: [&str; 14] = [
        "grpc-port=9004",
        "grpc-health-port=9005",
        "metrics-port=9090",
        "metrics-endpoint-auth=false",
        "streaming",
        "secure-serving=true",
        "enable-pprof=false",
        "tracing=false",
        "plugin=body-field-to-header:model",
        "v=3",
        "zap-devel",
        "zap-encoder=json",
        "zap-log-level=info",
        "kubeconfig=file",
    ];

    /// And of its endpoint picker.
    const EPP: [&str; 42] = [
        "grpc-port=9002",
        "grpc-health-port=9003",
        "metrics-port=9090",
        "metrics-endpoint-auth",
        "enable-pprof",
        "destination-endpoint-hint-key=x",
        "destination-endpoint-hint-metadata-namespace=envoy.lb",
        "pool-name=p",
        "pool-namespace=n",
        "pool-group=inference.networking.k8s.io",
        "endpoint-selector=app=vllm",
        "endpoint-target-ports=8000,8001",
        "disable-endpoint-subset-filter",
        "model-server-metrics-port=8000",
        "model-server-metrics-path=/metrics",
        "model-server-metrics-scheme=https",
        "model-server-metrics-https-insecure-skip-verify=true",
        "refresh-metrics-interval=50ms",
        "refresh-prometheus-metrics-interval=5s",
        "metrics-staleness-threshold=2s",
        "total-queued-requests-metric=vllm:num_requests_waiting",
        "total-running-requests-metric=vllm:num_requests_running",
        "kv-cache-usage-percentage-metric=vllm:kv_cache_usage_perc",
        "lora-info-metric=",
        "cache-info-metric=vllm:cache_config_info",
        "enable-multi-engine",
        "engine-label-key=k",
        "ha-enable-leader-election",
        "health-checking",
        "secure-serving=false",
        "cert-path=/certs",
        "enable-cert-reload",
        "config-file=f",
        "config-text=t",
        "tracing",
        "v=4",
        "zap-devel=false",
        "zap-encoder=console",
        "zap-log-level=debug",
        "zap-stacktrace-level=error",
        "zap-time-encoding=iso8601",
        "kubeconfig=file",
    ];

    fn camel(kebab: &str) -> String {
        let mut parts = kebab.split('-');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |camel, part| camel + &part[..1].to_ascii_uppercase() + &part[1..])
    }

    #[test]
    fn every_flag_of_the_reference_is_taken_in_each_spelling() {
        let known = crate::Cli::command();
        let of_bbr = BBR.iter().map(|flag| ("bbr", flag));
        for (command, flag) in of_bbr.chain(EPP.iter().map(|flag| ("epp", flag))) {
            let (name, value) =
                flag.split_once('=').map_or((*flag, None), |(name, value)| (name, Some(value)));
            for name in [name.to_owned(), camel(name)] {
                for dashes in ["-", "--"] {
                    let spelt = value.map_or_else(String::new, |value| format!("={value}"));
                    let mut line = vec!["pointsman", command];
                    let given = format!("{dashes}{name}{spelt}");
                    line.push(&given);
                    if command == "epp" {
                        line.extend(["--config", "manifests"]);
                        let beside = match name.to_ascii_lowercase().replace('-', "").as_str() {
                            "poolname" => &[][..],
                            "endpointselector" => &["--endpoint-target-ports=8000"][..],
                            "endpointtargetports" => &["--endpoint-selector=app=vllm"][..],
                            _ => &["--pool-name=p"][..],
                        };
                        line.extend(beside);
                    }
                    let spelled = as_clap_knows_it(line.iter().map(OsString::from), &known);
                    let parsed = <crate::Cli as clap::Parser>::try_parse_from(spelled);
                    assert!(
                        parsed.is_ok(),
                        "{line:?}: {}",
                        parsed.err().map_or(String::new(), |e| e.to_string())
                    );
                }
            }
        }
    }

    #[test]
    fn what_the_reference_takes_today_starts_a_stand_in() {
        let epp = "pointsman epp --config manifests";
        for rest in [
            "--pool-name  --endpoint-selector app=vllm --endpoint-target-ports 8000",
            "--pool-name p --endpoint-selector  --endpoint-target-ports ",
            "--pool-name p --config-file f --config-text ",
            "--pool-name p --config-file  --config-text t --cert-path  -v5",
            "--pool-name a --pool-name p --grpc-port 9002 --grpc-port 9003 --tracing --tracing=false",
            "--pool-name p --enable-pprof true --ha-enable-leader-election true --secure-serving false",
        ] {
            let line = format!("{epp} {rest}");
            let arguments = as_clap_knows_it(line.split(' ').map(OsString::from), &crate::Cli::command());
            let parsed = <crate::Cli as clap::Parser>::try_parse_from(arguments);
            assert!(parsed.is_ok(), "{line}: {}", parsed.err().map_or(String::new(), |e| e.to_string()));
        }
    }

    #[test]
    fn a_flag_given_twice_takes_the_last() {
        let line = "pointsman bbr --grpc-port 1 -grpcPort=2 --streaming --streaming false -v 3 -v5";
        let known = crate::Cli::command();
        let arguments = as_clap_knows_it(line.split(' ').map(OsString::from), &known);
        let parsed = known.try_get_matches_from(arguments).unwrap();
        let (_, bbr) = parsed.subcommand().unwrap();
        assert_eq!(bbr.get_one("grpc_port"), Some(&2_u16));
        assert_eq!(bbr.get_one("v"), Some(&5_i32));
        assert!(!bbr.get_one::<Switch>("streaming").unwrap().is_on());
    }

    #[test]
    fn a_slip_is_seen() {
        for (unknown, line, tip) in [
            ("-c", "pointsman run -config a", Some("flags have two dashes: --config")),
            ("true", "pointsman run --pin-cores true", Some("--pin-cores stands alone: leave `true` out")),
            ("more", "pointsman bbr --streaming more", None),
            ("--x", "pointsman run --x", None),
            ("-x", "pointsman run -x", None),
        ] {
            let arguments: Vec<&str> = line.split(' ').collect();
            let told = slip(unknown, &arguments, &crate::Cli::command()).map(|(_, tip)| tip);
            assert_eq!(told.as_deref(), tip, "{line}");
        }
    }

    #[test]
    fn quotes_that_became_a_part_of_a_value_are_told() {
        let known = crate::Cli::command();
        for (flag, told) in [
            (
                "--total-queued-requests-metric=\"sglang:num_queue_reqs\"",
                "write sglang:num_queue_reqs without them",
            ),
            ("--model-server-metrics-path='/metrics'", "write /metrics without them"),
            ("--total-queued-requests-metric=a b", "names no metric"),
        ] {
            let line = ["pointsman", "epp", "--config", "x", "--pool-name", "p", flag].map(OsString::from);
            let error = known.clone().try_get_matches_from(&line).unwrap_err();
            let said = hint(error, &line, &known).to_string();
            assert!(
                said.contains(told) && said.contains("without them") == flag.ends_with(['"', '\'']),
                "{said}"
            );
        }
    }

    #[test]
    fn every_spelling_of_a_flag_is_one() {
        for (line, expected) in [
            ("pointsman bbr -grpcPort 9004", "pointsman bbr --grpc-port 9004"),
            ("pointsman bbr --grpcPort=9004", "pointsman bbr --grpc-port=9004"),
            ("pointsman bbr -grpc-port 9004", "pointsman bbr --grpc-port 9004"),
            ("pointsman bbr -streaming -v 3", "pointsman bbr --streaming --v 3"),
            ("pointsman bbr --streaming=false", "pointsman bbr --streaming=false"),
            (
                "pointsman --log debug epp -poolName=Some-Pool",
                "pointsman --log debug epp --pool-name=Some-Pool",
            ),
            (
                "pointsman epp -DestinationEndpointHintMetadataNamespace envoy.lb",
                "pointsman epp --destination-endpoint-hint-metadata-namespace envoy.lb",
            ),
            (
                "pointsman epp -modelServerMetricsHttpsInsecureSkipVerify=false",
                "pointsman epp --model-server-metrics-https-insecure-skip-verify=false",
            ),
            ("pointsman bbr -v -1 -h", "pointsman bbr --v -1 -h"),
            ("pointsman bbr -v5 -h", "pointsman bbr --v=5 -h"),
            ("pointsman bbr --streaming false -v 3", "pointsman bbr --streaming=false --v 3"),
            (
                "pointsman epp --enable-pprof true --haEnableLeaderElection True",
                "pointsman epp --enable-pprof=true --ha-enable-leader-election=True",
            ),
            ("pointsman bbr --wait-for-body true", "pointsman bbr --wait-for-body true"),
            ("pointsman epp --pool-name  --cert-path= --v 3", "pointsman epp --v 3"),
            ("pointsman epp --lora-info-metric=", "pointsman epp --lora-info-metric="),
            ("pointsman epp --lora-info-metric ", "pointsman epp --lora-info-metric "),
            ("pointsman epp --config-text -poolName", "pointsman epp --config-text -poolName"),
            ("pointsman run --config ", "pointsman run --config "),
            ("pointsman epp -- -grpcPort", "pointsman epp -- -grpcPort"),
            ("pointsman sim -grpcPort", "pointsman sim -grpcPort"),
            ("pointsman run --config epp", "pointsman run --config epp"),
            ("pointsman", "pointsman"),
        ] {
            assert_eq!(spelled(line), expected);
        }
    }
}
