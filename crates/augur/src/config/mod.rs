//! The settings of a run, from one file of either kind: `augur.yaml` or a `KubeSchedulerConfiguration`, in which the same
//! settings are the arguments of the plugin `Augur`. Start at [`Settings::load`].

mod reference;
mod sections;

use anyhow::Context;
use augur_config::{AUGUR, Document, KubeSchedulerConfiguration, SchedulerProfile};
use augur_core::profile::Profile;
pub use reference::reference;
pub use sections::{Config, ConfigError, Kubernetes, Metrics, MetricsSource, Scheduler};
use serde_json::Value;

use crate::engine;

/// The settings of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Augur's own, of the process as a whole.
    pub config: Config,
    /// What a `KubeSchedulerConfiguration` says, or its defaults.
    pub scheduler: KubeSchedulerConfiguration,
    /// Whether the file was one.
    pub is_kube_scheduler_configuration: bool,
}

impl Settings {
    /// The settings of a file of either kind; without one, the defaults.
    ///
    /// # Errors
    /// When the file cannot be read or is refused.
    pub fn load(path: Option<&std::path::Path>) -> anyhow::Result<Settings> {
        let Some(path) = path else { return Ok(Settings::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Settings::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Reads settings; an empty text gives the defaults.
    ///
    /// # Errors
    /// What is wrong, by name.
    pub fn parse(text: &str) -> anyhow::Result<Settings> {
        let document = Document::parse(text)?;
        if !document.is_kube_scheduler_configuration() {
            let config = Config::read(document.value(), "")?;
            return Ok(Settings { config, ..Settings::default() });
        }
        let scheduler = KubeSchedulerConfiguration::read(&document)?;
        let mut config: Option<Config> = None;
        for (index, profile) in scheduler.profiles.iter().enumerate() {
            let Some(own) = own(profile, index)? else { continue };
            // Scoring may differ from profile to profile; the process has one of everything else.
            match &config {
                None => config = Some(own),
                Some(first) if (Config { scheduler: first.scheduler.clone(), ..own }) == *first => {}
                Some(_) => anyhow::bail!(
                    "profiles[{index}].pluginConfig: the arguments of {AUGUR} differ from those of an earlier profile in more \
                     than `scheduler`"
                ),
            }
        }
        let config = config.unwrap_or_default();
        Ok(Settings { config, scheduler, is_kube_scheduler_configuration: true })
    }

    /// The scheduler names that are served: those given, else those of the file, else `augur`.
    pub fn scheduler_names(&self, given: &[String]) -> Vec<String> {
        if !given.is_empty() {
            return given.to_vec();
        }
        if self.is_kube_scheduler_configuration {
            return self.scheduler.profiles.iter().map(|profile| profile.scheduler_name.clone()).collect();
        }
        vec!["augur".to_owned()]
    }

    /// The settings with one profile for each of these names: the file's profile of that name, else its first one.
    pub fn with_scheduler_names(mut self, names: &[String]) -> Settings {
        self.scheduler.profiles = names.iter().filter_map(|name| self.scheduler.profile_for(name)).collect();
        self
    }

    /// The profiles, for the decision core.
    pub fn profiles(&self) -> Vec<Profile> {
        let profiles = self.scheduler.profiles.iter().enumerate();
        profiles
            .map(|(index, profile)| {
                // The arguments were read when the file was.
                let own = own(profile, index).ok().flatten();
                let scoring = own.as_ref().map_or(&self.config.scheduler, |own| &own.scheduler);
                profile.core(&engine::profile(&profile.scheduler_name, scoring))
            })
            .collect()
    }

    /// What is in effect, as kube-scheduler's `/configz` shows it; Augur's own settings are the arguments of its plugin.
    pub fn configz(&self) -> Value {
        let mut shown = self.clone();
        for (index, profile) in shown.scheduler.profiles.iter_mut().enumerate() {
            let own = own(profile, index).ok().flatten().unwrap_or_else(|| self.config.clone());
            // Text, numbers and mappings: there is nothing that JSON does not have.
            let args = serde_json::to_value(own).unwrap_or(Value::Null);
            profile.plugin_config.retain(|entry| entry.name != AUGUR);
            profile.plugin_config.push(augur_config::PluginConfig { name: AUGUR.to_owned(), args });
        }
        shown.scheduler.configz()
    }

    /// Says what the file asks for that has no effect.
    pub fn warn(&self) {
        for warning in &self.scheduler.warnings {
            tracing::warn!(%warning, "configuration");
        }
    }
}

/// The arguments of the plugin Augur in a profile, if it has some.
fn own(profile: &SchedulerProfile, index: usize) -> Result<Option<Config>, ConfigError> {
    match &profile.augur {
        Value::Null => Ok(None),
        args => Config::read(args, &format!("profiles[{index}].pluginConfig[{AUGUR}].args.")).map(Some),
    }
}

#[cfg(test)]
mod tests;
