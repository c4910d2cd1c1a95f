//! `kubectl augur`: kubectl runs the program of this name that it finds on the path.

use std::process::ExitCode;

fn main() -> ExitCode {
    augur_kubectl::main()
}
