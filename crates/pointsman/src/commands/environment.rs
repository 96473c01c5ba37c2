//! Which variables of the environment count.
//!
//! In: the command line that clap knows, and the environment. Out: the same, where no flag reads a variable that says
//! nothing: one that is empty is not set, and what Kubernetes writes into `<SERVICE>_PORT` is no setting.
//! Never: a change to the environment, a word about a variable of another command.

use super::spelling::empty_says_something;
use clap::{Arg, Command};
use std::ffi::OsStr;

/// How the address begins that Kubernetes writes for a Service.
const ADDRESSES: [&str; 3] = ["tcp://", "udp://", "sctp://"];

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
