//! `augur config`: checks a configuration file and prints what results from it.

use crate::cli::ConfigArgs;
use crate::config::Config;
use crate::output;

/// Prints all settings as JSON, those of the file over the defaults.
///
/// # Errors
/// When the file cannot be read or is refused, naming what is wrong.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = Config::load(args.config.as_deref())?;
    output::line(&serde_json::to_string_pretty(&config)?)?;
    Ok(())
}
