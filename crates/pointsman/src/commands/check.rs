//! `pointsman check`: what is wrong with the manifests, a line a finding.

use super::Done;
use crate::terminal::{DIM, ERROR, GOOD, WARNING};
use clap::Args;
use resources::{Finding, Severity};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Checks manifests as the API server would, and what they refer to: the list that `run`, `epp` and `bbr` log.
///
/// Exits 0 if there is no error, 1 if there is one (or, with --strict, a warning), 2 if the arguments are wrong. An error is of
/// one of two kinds (`effect` in --json). `file-refused`: the file cannot be used; nothing starts with it, and while running it
/// keeps its last good objects. `unserved`: what it says cannot be done; the rest is served, its requests get 500 as the Gateway
/// API has it, or it is not attached. A warning (`served`) is served; 503 where a pool has no ready endpoint. Every rule:
/// docs/reference/findings.md.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Folders or files of manifests; `-` reads standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// One JSON object a finding, for machines.
    #[arg(long)]
    json: bool,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
}

impl Check {
    pub(crate) fn execute(self) -> Done {
        let findings = resources::check(&self.paths);
        for finding in &findings {
            if self.json {
                anstream::println!("{}", as_json(finding));
            } else {
                anstream::println!("{}", as_line(finding));
            }
        }
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        let warnings = findings.len() - errors;
        if !self.json {
            let style = if errors > 0 {
                ERROR
            } else if warnings > 0 {
                WARNING
            } else {
                GOOD
            };
            anstream::println!(
                "{style}{}, {}{style:#}",
                journey::counted(errors, "error"),
                journey::counted(warnings, "warning")
            );
        }
        let failed = errors > 0 || (self.strict && warnings > 0);
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn as_line(finding: &Finding) -> String {
    let style = match finding.severity {
        Severity::Error => ERROR,
        Severity::Warning => WARNING,
    };
    let word = finding.severity.name();
    let about = [finding.object.as_ref(), &finding.field].into_iter().filter(|part| !part.is_empty());
    let about: String = about.map(|part| format!(" {part}")).collect();
    format!(
        "{}: {style}{word}{style:#}{about}: {} {DIM}[{}]{DIM:#}",
        finding.origin, finding.message, finding.code,
    )
}

fn as_json(finding: &Finding) -> serde_json::Value {
    json!({
        "file": finding.origin.file.display().to_string(),
        "line": finding.origin.line,
        "severity": finding.severity.name(),
        "effect": finding.effect().name(),
        "code": finding.code,
        "object": finding.object.as_ref(),
        "field": finding.field,
        "message": finding.message,
    })
}
