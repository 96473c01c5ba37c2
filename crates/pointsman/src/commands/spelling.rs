//! The reference's spellings of a flag: `-grpcPort`, `--grpcPort`, `-grpc-port` and `--grpc-port` are one.
//!
//! In: a command line. Out: the same, with the flags of `bbr` and `epp` as clap knows them. Never: a change to a value.

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

    fn spelled(line: &str) -> String {
        let commands = ["run", "bbr", "epp", "sim"].map(str::to_owned);
        let arguments = as_clap_knows_it(line.split(' ').map(OsString::from), &commands);
        arguments.join(OsStr::new(" ")).into_string().expect("it was text")
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
