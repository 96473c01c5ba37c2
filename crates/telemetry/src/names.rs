//! How plain values are called in metrics, logs and explanations: one spelling everywhere.

use crate::PickerOutcome;
use journey::{Fitness, Outcome, Step, WhyPassedOver};
use payload::{Dialect, TokenSource};
use scheduling::plugins::PluginKind;

/// A step, in `snake_case`.
pub(crate) fn step(step: Step) -> &'static str {
    match step {
        Step::Parse => "parse",
        Step::Route => "route",
        Step::Admit => "admit",
        Step::Pick => "pick",
        Step::Upstream => "upstream",
    }
}

/// An outcome, in `snake_case`.
pub(crate) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Served => "served",
        Outcome::ServerError { .. } => "server_error",
        Outcome::Broken => "broken",
        Outcome::TimedOut => "timed_out",
        Outcome::Late => "late",
        Outcome::LocalReply => "local_reply",
        Outcome::Cancelled => "cancelled",
        Outcome::Stopped => "stopped",
    }
}

/// How far a candidate may be picked, in `snake_case`.
pub(crate) fn fitness(fitness: Fitness) -> &'static str {
    match fitness {
        Fitness::Ready => "ready",
        Fitness::Trial => "trial",
        Fitness::ThoughResting => "though_resting",
    }
}

/// Why an endpoint could not be picked, in `snake_case`.
pub(crate) fn passed_over(why: WhyPassedOver) -> &'static str {
    match why {
        WhyPassedOver::Resting(_) => "resting",
        WhyPassedOver::OnTrial => "on_trial",
        WhyPassedOver::Unscraped => "unscraped",
        WhyPassedOver::OutsideSubset => "outside_subset",
        WhyPassedOver::Filtered(_) => "filtered",
    }
}

/// What an endpoint picker did, in `snake_case`.
pub(crate) fn picker_outcome(outcome: PickerOutcome) -> &'static str {
    match outcome {
        PickerOutcome::Picked => "picked",
        PickerOutcome::Answered => "answered",
        PickerOutcome::Failed => "failed",
        PickerOutcome::NotAsked => "not_asked",
    }
}

/// Where a plugin runs, in the reference's spelling.
pub(crate) fn extension_point(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Filter => "Filter",
        PluginKind::Scorer => "Scorer",
        PluginKind::Picker => "Picker",
        kind => kind.name(),
    }
}

/// A dialect, in `snake_case`.
pub(crate) fn dialect(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::ChatCompletions => "chat_completions",
        Dialect::Completions => "completions",
        Dialect::Embeddings => "embeddings",
        Dialect::Responses => "responses",
        Dialect::Messages => "messages",
        Dialect::Audio => "audio",
        Dialect::Other => "other",
    }
}

/// Where a token count comes from.
pub(crate) fn token_source(source: TokenSource) -> &'static str {
    match source {
        TokenSource::Reported => "reported",
        TokenSource::Estimated => "estimated",
    }
}
