//! The settings of a run, from one file of either kind: `augur.yaml` or a `KubeSchedulerConfiguration`, in which the same
//! settings are the arguments of the plugin `Augur`. Start at [`Settings::load`].

mod reference;
mod sections;

use anyhow::Context;
use augur_config::{AUGUR, Document, KubeSchedulerConfiguration, SchedulerProfile};
use augur_core::profile::Profile;
use augur_kube::{ExtenderClient, ExtenderError, ExtenderOptions, FileOrData};
pub use reference::reference;
pub use sections::{Config, ConfigError, Kubernetes, Metrics, MetricsSource, Scheduler};
use serde_json::Value;

use crate::engine::{self, CalledExtender, Mode};

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
        let mut scheduler = KubeSchedulerConfiguration::read(&document)?;
        scheduler.leave_resources_to_extenders();
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

    /// The extenders that pods are decided with, in the order in which they are asked.
    ///
    /// # Errors
    /// When the settings of one cannot be used, or the mode asks nobody.
    pub async fn extenders(&self, mode: Mode) -> anyhow::Result<Vec<CalledExtender>> {
        let extenders = self.scheduler.extenders_in_order();
        if mode != Mode::Scheduler && !extenders.is_empty() {
            anyhow::bail!("extenders: in this mode Augur asks nobody; leave them out, or use the mode `scheduler`");
        }
        let mut called = Vec::with_capacity(extenders.len());
        for (index, extender) in extenders {
            called.push(call(extender).await.with_context(|| format!("extenders[{index}]"))?);
        }
        Ok(called)
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

/// An extender of the configuration, ready to be called.
async fn call(extender: &augur_config::Extender) -> Result<CalledExtender, ExtenderError> {
    let tls = extender.tls_config.clone().unwrap_or_default();
    let pair = |file: &str, data: &str| FileOrData { file: file.to_owned(), data: data.to_owned() };
    let ca = pair(&tls.ca_file, &tls.ca_data);
    // As kube-scheduler does: without anything to check the server against, it is believed.
    let unchecked = extender.enable_https && ca.file.is_empty() && ca.data.is_empty();
    let client = ExtenderClient::new(ExtenderOptions {
        url_prefix: extender.url_prefix.clone(),
        filter_verb: extender.filter_verb.clone(),
        prioritize_verb: extender.prioritize_verb.clone(),
        preempt_verb: extender.preempt_verb.clone(),
        bind_verb: extender.bind_verb.clone(),
        timeout: extender.timeout(),
        node_cache_capable: extender.node_cache_capable,
        insecure: tls.insecure || unchecked,
        server_name: tls.server_name.clone(),
        ca,
        cert: pair(&tls.cert_file, &tls.cert_data),
        key: pair(&tls.key_file, &tls.key_data),
    });
    Ok(CalledExtender {
        client: client.await?,
        binds: !extender.bind_verb.is_empty(),
        extender: augur_core::extender::Extender {
            name: extender.url_prefix.as_str().into(),
            filters: !extender.filter_verb.is_empty(),
            prioritizes: !extender.prioritize_verb.is_empty(),
            preempts: !extender.preempt_verb.is_empty(),
            weight: extender.weight,
            managed_resources: extender.managed_resources.iter().map(|one| one.name.as_str().into()).collect(),
            ignorable: extender.ignorable,
        },
    })
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
