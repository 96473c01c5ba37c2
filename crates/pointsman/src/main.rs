//! Pointsman: an inference gateway. Commands and wiring only; every decision is made in another room.

mod admin;
mod commands;
mod gateway;
mod log;
mod terminal;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An inference gateway: one address in front of many models, each request sent to the endpoint that answers soonest.
#[derive(Debug, Parser)]
#[command(name = "pointsman", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: log::LogSettings,
}

// What each does stands at its type: a comment here would take the place of the whole help there.
#[derive(Debug, Subcommand)]
enum Command {
    Run(commands::run::Run),
    Bbr(commands::bbr::BbrCommand),
    Epp(Box<commands::epp::EppCommand>),
    Quickstart(commands::quickstart::Quickstart),
    Sim(commands::sim::Sim),
    Check(commands::check::Check),
    Explain(commands::explain::Explain),
    Reference(commands::reference::Reference),
}

fn main() -> ExitCode {
    let known = commands::environment::as_it_counts(Cli::command());
    let arguments = commands::spelling::as_clap_knows_it(std::env::args_os(), &known);
    let matches = known.clone().try_get_matches_from(&arguments);
    let parsed = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) =
        parsed.unwrap_or_else(|error| commands::spelling::hint(error, &arguments, &known).exit());
    let level = match &cli.command {
        Command::Quickstart(_) => "error",
        Command::Bbr(bbr) => bbr.logging.level(),
        Command::Epp(epp) => epp.logging.level(),
        _ => "info",
    };
    log::init(&cli.log, level);
    let (name, of_command) = matches.subcommand().expect("clap asks for a command");
    if let Some(command) = Cli::command().find_subcommand(name) {
        commands::environment::note_service_links(command);
    }
    let done = match cli.command {
        Command::Run(run) => run.execute(),
        Command::Bbr(bbr) => bbr.execute(),
        Command::Epp(epp) => epp.execute(of_command),
        Command::Quickstart(quickstart) => quickstart.execute(),
        Command::Sim(sim) => sim.execute(),
        Command::Check(check) => check.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Reference(reference) => reference.execute(),
    };
    done.unwrap_or_else(|failure| {
        anstream::eprintln!("{}error:{:#} {failure}", terminal::ERROR, terminal::ERROR);
        ExitCode::FAILURE
    })
}
