//! The process's own log, on stderr: plain for a person, JSON for a machine. Never a prompt.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The crates whose words are Pointsman's own.
const OURS: [&str; 15] = [
    "engine",
    "extproc",
    "journey",
    "journeys",
    "payload",
    "pointsman",
    "proxy",
    "resources",
    "routing",
    "scheduling",
    "signals",
    "simulator",
    "state",
    "telemetry",
    "yaml",
];

/// How the process logs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogSettings {
    /// What to log: a level (error, warn, info, debug, trace), of which libraries tell warnings at most, or `tracing` directives
    /// such as `info,proxy=debug` or `debug,h2=debug`. By default info; error in the quickstart, which talks to a person.
    #[arg(long, global = true, value_name = "FILTER", env = "POINTSMAN_LOG")]
    log: Option<String>,
    /// The log's form, on stderr.
    #[arg(long, global = true, value_name = "FORM", default_value = "plain", env = "POINTSMAN_LOG_FORMAT")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// A line a person reads, coloured on a terminal.
    Plain,
    /// One JSON object a line.
    Json,
}

/// Starts the log, at `level` if no flag says otherwise. A filter that does not parse falls back to it, and says so.
pub(crate) fn init(settings: &LogSettings, level: &str) {
    let asked = settings.log.as_deref().unwrap_or(level);
    let (filter, broken) = match EnvFilter::try_new(directives(asked)) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(directives(level)), Some(error)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Plain => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    if let Some(error) = broken {
        tracing::warn!(filter = asked, %error, "the log filter cannot be read; logging at {level}");
    }
}

/// What a filter means: a level alone is one of our own crates, and libraries that are not named tell warnings at most. At
/// debug the HTTP/2 library alone would write hundreds of lines a request.
fn directives(filter: &str) -> String {
    let level =
        |part: &str| part.trim().parse::<LevelFilter>().ok().filter(|level| *level > LevelFilter::WARN);
    let of_ours = filter.split(',').filter_map(level).next_back();
    let ours = of_ours.iter().flat_map(|level| OURS.map(|ours| format!("{ours}={level}")));
    let rest = filter.split(',').filter(|part| level(part).is_none()).map(str::to_owned);
    of_ours.map(|_| "warn".to_owned()).into_iter().chain(ours).chain(rest).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_of_the_workspace_is_one_of_ours() {
        let crates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
        let mut names: Vec<_> =
            crates.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, OURS);
    }

    #[test]
    fn a_level_alone_is_of_our_own_crates_and_libraries_are_named() {
        let all = directives("debug");
        assert!(all.starts_with("warn,engine=debug,extproc=debug,") && all.ends_with(",yaml=debug"), "{all}");
        assert_eq!(directives("h2=trace, debug,x=info"), format!("{all},h2=trace,x=info"));
        for filter in ["warn", "error", "off", "h2=trace", "[span]"] {
            assert_eq!(directives(filter), filter);
        }
    }
}
