//! Which variables of the environment count.
//!
//! In: the command line that clap knows, and the environment. Out: the same, where no flag reads a variable that says
//! nothing: one that is empty is not set, and what Kubernetes writes into `<SERVICE>_PORT` is no setting. What steered the
//! reference and nothing here is noted.
//! Never: a change to the environment, a word about a variable of another command.

use super::spelling::empty_says_something;
use super::stand_in::Switch;
use clap::{Arg, Command, ValueEnum};
use std::ffi::OsStr;

/// How the address begins that Kubernetes writes for a Service.
const ADDRESSES: [&str; 3] = ["tcp://", "udp://", "sctp://"];

/// Variables by which the reference's picker was steered, and why they mean nothing here.
const OF_PICKER: [(&str, &str); 5] = [
    ("KV_CACHE_THRESHOLD", "no release since v0.5.1 has the filter that it steered"),
    ("QUEUE_THRESHOLD_CRITICAL", "no release since v0.5.1 has the filter that it steered"),
    (
        "ENABLE_EXPERIMENTAL_FLOW_CONTROL_LAYER",
        "there are no queues; a saturated pool refuses what is below priority 0",
    ),
    ("ENABLE_EXPERIMENTAL_DATALAYER_V2", "there is one way in which model servers are read"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "no spans are made"),
];

/// Takes from flags the variables that say nothing.
pub(crate) fn as_it_counts(command: Command) -> Command {
    let of_subcommand = |command: Command| command.mut_args(without_what_says_nothing);
    command.mut_args(without_what_says_nothing).mut_subcommands(of_subcommand)
}

/// Says in the log which variables of `command` are a Service's, and passed over.
pub(crate) fn note_service_links(command: &Command) {
    for (variable, value) in command.get_arguments().filter_map(variable) {
        if is_service_link(&variable, &value) {
            tracing::warn!(
                variable,
                value,
                "Kubernetes wrote this variable for a Service of that name: it is passed over; `enableServiceLinks: false` keeps such out of a Pod"
            );
        }
    }
}

/// Says in the log which variables are set that steered the reference's picker, and why they mean nothing here.
pub(super) fn note_of_picker() {
    for (variable, why) in meaningless(|name| std::env::var(name).ok()) {
        tracing::warn!(variable, "this variable of the reference means nothing here: {why}");
    }
}

/// Those of [`OF_PICKER`] that `value` has, unless they are empty or switch something off.
fn meaningless(value: impl Fn(&str) -> Option<String>) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_off = |text: &str| Switch::from_str(text, false).is_ok_and(|switch| !switch.is_on());
    let says_something = move |name| value(name).is_some_and(|text| !text.is_empty() && !is_off(&text));
    OF_PICKER.into_iter().filter(move |(name, _)| says_something(name))
}

fn without_what_says_nothing(arg: Arg) -> Arg {
    let says_nothing = variable(&arg).is_some_and(|(name, value)| {
        is_service_link(&name, &value) || (value.is_empty() && !empty_says_something(&arg))
    });
    if says_nothing { arg.env(None::<&'static str>) } else { arg }
}

/// The variable of a flag and its value, if it is set.
fn variable(arg: &Arg) -> Option<(String, String)> {
    let name = arg.get_env()?;
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    Some((text(name), text(&std::env::var_os(name)?)))
}

fn is_service_link(variable: &str, value: &str) -> bool {
    variable.ends_with("_PORT") && ADDRESSES.iter().any(|address| value.starts_with(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_steered_the_reference_and_nothing_here_are_told_unless_they_switch_something_off() {
        let told = |set: &[(&str, &str)]| {
            let value = |name: &str| Some(set.iter().find(|(set, _)| *set == name)?.1.to_owned());
            meaningless(value).map(|(name, _)| name).collect::<Vec<_>>()
        };
        let (flow_control, kv) = ("ENABLE_EXPERIMENTAL_FLOW_CONTROL_LAYER", "KV_CACHE_THRESHOLD");
        assert_eq!(told(&[(flow_control, "true"), (kv, "0.9"), ("PATH", "/bin")]), [kv, flow_control]);
        assert_eq!(told(&[(flow_control, "false"), (kv, "")]), [""; 0]);
    }

    #[test]
    fn a_service_link_is_an_address_in_a_variable_of_a_port() {
        for (variable, value, is_one) in [
            ("METRICS_PORT", "tcp://10.0.0.1:9090", true),
            ("POINTSMAN_SIM_PORT", "udp://10.0.0.1:53", true),
            ("METRICS_PORT", "9090", false),
            ("METRICS_PORT", "", false),
            ("POOL_NAME", "tcp://10.0.0.1:9090", false),
        ] {
            assert_eq!(is_service_link(variable, value), is_one, "{variable}={value}");
        }
    }
}
