//! From a profile of the configuration to one of the decision core: [`SchedulerProfile::core`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use augur_core::plugins::PluginId;
use augur_core::profile::{Profile, ProfilePlugins};
use augur_core::queue::QueueConfig;

use crate::expansion::Running;
use crate::plugins::ExtensionPoint;
use crate::registry::AUGUR;
use crate::types::{Extender, KubeSchedulerConfiguration, SchedulerProfile};

impl SchedulerProfile {
    /// The profile as the decision core takes it: plugins, order, weights and arguments; the rest as in `base`. Without the
    /// plugin Augur among those that score, neither live signals nor the model have a part in a decision.
    #[must_use]
    pub fn core(&self, base: &Profile) -> Profile {
        // It was expanded when the configuration was checked.
        let running = Running::of(&self.plugins, "", &self.scheduler_name).unwrap_or_default();
        let mut profile = Profile { scheduler_name: self.scheduler_name.as_str().into(), ..base.clone() };
        for plugin in PluginId::ALL {
            profile.weights[plugin.index()] = running.weight(plugin.name());
        }
        profile.plugins = Arc::new(ProfilePlugins::new(
            running.ids(ExtensionPoint::PreFilter),
            running.ids(ExtensionPoint::Filter),
            running.set(ExtensionPoint::PostFilter),
            self.arguments.clone(),
        ));
        profile.volume_bind_timeout = self.volume_bind_timeout;
        let weight = running.weight(AUGUR);
        profile.enhanced.weight = weight as f64;
        if weight == 0 {
            profile.model_share = 0.0;
        }
        profile
    }
}

impl KubeSchedulerConfiguration {
    /// The extenders in the order in which they are asked, with their places in the file: those that can be done without
    /// come last.
    #[must_use]
    pub fn extenders_in_order(&self) -> Vec<(usize, &Extender)> {
        let mut extenders: Vec<_> = self.extenders.iter().enumerate().collect();
        extenders.sort_by_key(|(_, extender)| extender.ignorable);
        extenders
    }

    /// Has no profile look at the resources that extenders want to look after alone; as with kube-scheduler, in place of what
    /// NodeResourcesFit's arguments say.
    pub fn leave_resources_to_extenders(&mut self) {
        let managed = self.extenders.iter().flat_map(|extender| &extender.managed_resources);
        let ignored: BTreeSet<Arc<str>> = managed
            .filter(|resource| resource.ignored_by_scheduler)
            .map(|resource| resource.name.as_str().into())
            .collect();
        if !ignored.is_empty() {
            for profile in &mut self.profiles {
                profile.arguments.fit.ignored_resources.clone_from(&ignored);
            }
        }
    }

    /// The profile that a scheduler name gets: the one of that name, else the first one under that name.
    #[must_use]
    pub fn profile_for(&self, scheduler_name: &str) -> Option<SchedulerProfile> {
        let named = self.profiles.iter().find(|profile| profile.scheduler_name == scheduler_name);
        let profile = named.or(self.profiles.first())?;
        Some(SchedulerProfile { scheduler_name: scheduler_name.to_owned(), ..profile.clone() })
    }

    /// The times of the queue.
    #[must_use]
    pub fn queue(&self) -> QueueConfig {
        let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        QueueConfig {
            initial_backoff: seconds(self.pod_initial_backoff_seconds),
            max_backoff: seconds(self.pod_max_backoff_seconds),
            ..QueueConfig::default()
        }
    }
}
