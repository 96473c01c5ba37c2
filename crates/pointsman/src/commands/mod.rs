//! One file a command.

pub(crate) mod bbr;
pub(crate) mod check;
pub(crate) mod environment;
pub(crate) mod epp;
pub(crate) mod explain;
mod model_servers;
mod plugin;
pub(crate) mod quickstart;
pub(crate) mod reference;
pub(crate) mod run;
pub(crate) mod sim;
pub(crate) mod spelling;
mod stand_in;
mod standalone;

use std::process::ExitCode;

/// What a command ends with: an exit code, or an error that `main` prints.
pub(crate) type Done = Result<ExitCode, Box<dyn std::error::Error>>;
