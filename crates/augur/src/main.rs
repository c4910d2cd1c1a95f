//! The `augur` binary: command line, configuration and wiring. Each command is a file of `commands`.

mod api_security;
mod backfill;
mod bench;
mod cli;
mod commands;
mod config;
#[cfg(test)]
mod documented;
mod election;
mod engine;
mod kubeconfig;
mod learner;
mod listen;
mod logging;
mod memory;
mod output;
mod plot;
mod services;
mod serving;
mod span;
mod system;
mod table;
mod token_review;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

use cli::{BenchCommand, Cli, Command, ShadowCommand};

/// Watches, bindings and answers are many short-lived strings; see the house's design page for the measurement.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        // What is wrong was printed already.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the command; false when it ran and found something wrong.
fn run(cli: Cli) -> anyhow::Result<bool> {
    logging::install(cli.log_format, &cli.log)?;
    if matches!(cli.command, Command::Scheduler(_)) {
        // Beside a cluster's other components memory counts: huge pages were 55 of 384 MiB. Where this fails they stay.
        let _ = rustix::thread::disable_transparent_huge_pages(true);
        memory::give_back_soon();
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(async {
        match cli.command {
            Command::Up(args) => commands::up::run(*args).await,
            Command::Scheduler(args) => commands::scheduler::run(*args).await,
            Command::Learner(args) => commands::learner::run(args).await,
            Command::Sandbox(args) => commands::sandbox::run(args).await,
            Command::Apiserver(args) => commands::apiserver::run(args).await,
            Command::Health(args) => commands::health::run(args).await,
            Command::History(args) => commands::history::run(&args).await,
            Command::Shadow(ShadowCommand::Report(args)) => commands::shadow::report(&args).await,
            Command::Bench(BenchCommand::Apiserver(args)) => bench::apiserver::run(&args).await,
            Command::Bench(BenchCommand::Cluster(args)) => bench::cluster::run(&args).await,
            Command::Bench(BenchCommand::Decide(args)) => bench::decide::run(&args),
            Command::Bench(BenchCommand::History(args)) => bench::history::run(&args),
            Command::Bench(BenchCommand::Forest(args)) => bench::forest::run(&args),
            Command::Bench(BenchCommand::Labels(args)) => bench::placement::labels::run(&args),
            Command::Bench(BenchCommand::Predict(args)) => bench::predict::run(&args).await,
            Command::Bench(BenchCommand::Placement(args)) => bench::placement::run(&args),
            Command::Conformance(args) => return commands::conformance::run(&args),
            Command::Config(args) => commands::config::run(&args),
            Command::Train(args) => commands::evaluate::train(&args),
            Command::Evaluate(args) => commands::evaluate::evaluate(&args),
        }?;
        Ok(true)
    })
}
