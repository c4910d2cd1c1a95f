//! The `augur` binary: command line, configuration and wiring. Each command is a file of `commands`.

mod cli;
mod commands;
mod config;
mod engine;
mod kubeconfig;
mod listen;
mod logging;
mod output;
mod services;
mod span;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    logging::install(cli.log_format, &cli.log)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        match cli.command {
            Command::Health(args) => commands::health::run(args).await,
            Command::Config(args) => commands::config::run(&args),
            Command::Scheduler(args) => commands::scheduler::run(args).await,
            _ => anyhow::bail!("not wired yet"),
        }
    })
}
