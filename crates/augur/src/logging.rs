//! Log lines on standard error, for people or as JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Installs the writer of log lines for the process.
///
/// # Errors
/// When the filter cannot be understood.
pub fn install(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        anyhow::anyhow!("--log {filter}: {error}; give a level such as `info`, or `augur=debug,warn`")
    })?;
    // Colours are for people only: a file or a pipe gets none.
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // A line that cannot be written, to a file on a full disk say, is lost. The library would say so on standard error, which panics
    // where that is the same file, and so ends the thread that had something to tell.
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_ansi(colours)
        .with_env_filter(filter);
    match format {
        LogFormat::Plain => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
