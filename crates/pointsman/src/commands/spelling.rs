//! The reference's spellings of a flag: `-grpcPort`, `--grpcPort`, `-grpc-port` and `--grpc-port` are one.
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

/// Writes the flags of a stand-in in kebab-case with two dashes; any other command line stays as it is.
pub(crate) fn as_clap_knows_it(
    arguments: impl Iterator<Item = OsString>,
    commands: &[String],
) -> Vec<OsString> {
    let arguments: Vec<OsString> = arguments.collect();
    let is_command = |argument: &OsString| commands.iter().any(|command| **argument == **command);
    let Some(command) = arguments.iter().skip(1).position(is_command).map(|place| place + 1) else {
        return arguments;
    };
    if !STAND_INS.iter().any(|name| arguments[command] == **name) {
        return arguments;
    }
    let mut values_only = false;
    let spelled = arguments.into_iter().enumerate().map(|(place, argument)| {
        values_only |= place > command && argument == "--";
        if place <= command || values_only { argument } else { flag(argument) }
    });
    spelled.collect()
}

/// Tells in `error` what may have been meant by the argument that clap did not know.
pub(crate) fn hint(mut error: clap::Error, arguments: &[OsString], command: &clap::Command) -> clap::Error {
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

/// The argument by which clap came upon `unknown`, and what may have been meant by it.
fn slip(unknown: &str, arguments: &[&str], command: &clap::Command) -> Option<(String, String)> {
    let place = arguments.iter().position(|argument| *argument == unknown);
    // A value after a switch, which has one behind `=` or none.
    if let Some(flag) = place.and_then(|place| arguments.get(place.checked_sub(1)?)?.strip_prefix("--"))
        && Switch::from_str(unknown, false).is_ok()
    {
        let mut known = command.get_subcommands().flat_map(clap::Command::get_arguments);
        let known = known.find(|known| known.get_long() == Some(flag))?;
        let tip = match known.get_action().takes_values() {
            true => format!("a switch has its value after `=`: --{flag}={unknown}"),
            false => format!("--{flag} stands alone: leave `{unknown}` out"),
        };
        return Some((unknown.to_owned(), tip));
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

fn flag(argument: OsString) -> OsString {
    let Some(text) = argument.to_str() else { return argument };
    let Some(name) = text.strip_prefix("--").or_else(|| text.strip_prefix('-')) else { return argument };
    let (name, value) = match name.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (name, None),
    };
    // `-h` and `-V` are clap's own; what begins with a digit is a negative number.
    if matches!(name, "" | "h" | "V") || !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return argument;
    }
    let mut spelled = OsString::from("--");
    spelled.push(kebab(name));
    if let Some(value) = value {
        spelled.push(OsStr::new("="));
        spelled.push(value);
    }
    spelled
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
        let commands = ["run", "bbr", "epp", "sim"].map(str::to_owned);
        let arguments = as_clap_knows_it(line.split(' ').map(OsString::from), &commands);
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
        let commands = ["bbr", "epp"].map(str::to_owned);
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
                    let spelled = as_clap_knows_it(line.iter().map(OsString::from), &commands);
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
    fn a_slip_is_seen() {
        for (unknown, line, tip) in [
            ("-c", "pointsman run -config a", Some("flags have two dashes: --config")),
            (
                "true",
                "pointsman bbr --streaming true",
                Some("a switch has its value after `=`: --streaming=true"),
            ),
            (
                "false",
                "pointsman bbr --streaming false",
                Some("a switch has its value after `=`: --streaming=false"),
            ),
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
            ("pointsman epp -- -grpcPort", "pointsman epp -- -grpcPort"),
            ("pointsman sim -grpcPort", "pointsman sim -grpcPort"),
            ("pointsman run --config epp", "pointsman run --config epp"),
            ("pointsman", "pointsman"),
        ] {
            assert_eq!(spelled(line), expected);
        }
    }
}
