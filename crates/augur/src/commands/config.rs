//! `augur config`: checks a configuration file and prints what results from it, or the reference of all settings.

use crate::cli::ConfigArgs;
use crate::config::{Settings, reference};
use crate::output;

/// Prints all settings as JSON, those of the file over the defaults; for a `KubeSchedulerConfiguration` as kube-scheduler's
/// `/configz` does.
///
/// # Errors
/// When the file cannot be read or is refused, naming what is wrong.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    if args.reference {
        return Ok(output::line(reference().trim_end())?);
    }
    let settings = Settings::load(args.config.as_deref())?;
    settings.warn();
    let shown = if settings.is_kube_scheduler_configuration {
        serde_json::to_string_pretty(&settings.configz())?
    } else {
        serde_json::to_string_pretty(&settings.config)?
    };
    output::line(&shown)?;
    Ok(())
}
