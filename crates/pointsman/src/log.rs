//! The process's own log, on stderr: plain for a person, JSON for a machine. Never a prompt.

use clap::{Args, ValueEnum};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How the process logs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Log")]
pub(crate) struct LogSettings {
    /// What to log: a level (error, warn, info, debug, trace) or `tracing` directives such as `info,proxy=debug`.
    /// By default info; error in the quickstart, which talks to a person.
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
    let (filter, broken) = match EnvFilter::try_new(asked) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(level), Some(error)),
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
