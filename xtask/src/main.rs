//! `cargo run -p xtask -- check` prints every rule of the house that the checkout breaks, and fails if there is one.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks to its user")]

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() != Some("check") {
        eprintln!("usage: cargo run -p xtask -- check");
        return ExitCode::from(2);
    }
    match xtask::check_workspace(&xtask::workspace_root()) {
        Ok(found) if found.is_empty() => {
            println!("xtask: all checks passed");
            ExitCode::SUCCESS
        }
        Ok(found) => {
            for violation in &found {
                println!("{violation}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
