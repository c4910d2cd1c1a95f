//! `kubectl augur`: asks a running scheduler over HTTP and shows what it says as kubectl does.
//!
//! [`main`] is the whole program; `view` is what other commands use to show the same. Knows the scheduler by its HTTP API only.

mod answers;
mod cli;
mod complete;
mod manifest;
mod run;
mod server;
pub mod table;
pub mod view;
mod words;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

pub use cli::{Common, Output, SortNodes};
pub use server::{Server, ServerError};

/// Runs the program by its command line.
pub fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run::run(cli)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; there is nobody left to tell then.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
