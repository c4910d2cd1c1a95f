//! `KubeSchedulerConfiguration` (`kubescheduler.config.k8s.io/v1`), read as kube-scheduler 1.36 reads it: strictly, with its
//! defaults, its merging of plugin sets and its validation. Start at [`Document::parse`] and
//! [`KubeSchedulerConfiguration::read`].
//!
//! What Augur does not do is an error that names it, or, where it makes no difference to a pod, a [warning](
//! KubeSchedulerConfiguration::warnings). Augur itself is a plugin of the name [`AUGUR`]: its weight is that of scoring over
//! live signals and of the model, its arguments are the settings of `augur.yaml`.

mod arguments;
mod document;
mod duration;
mod error;
mod expansion;
mod plugins;
mod profile;
mod read;
mod reference;
mod registry;
#[cfg(test)]
mod tests;
mod types;
mod validation;

pub use document::Document;
pub use duration::GoDuration;
pub use error::ConfigError;
pub use plugins::{ExtensionPoint, PluginEntry, PluginSet, Plugins};
pub use reference::reference;
pub use registry::AUGUR;
pub use types::{
    API_VERSION, ClientConnection, Extender, ExtenderTls, KIND, KubeSchedulerConfiguration, LeaderElection,
    ManagedResource, PluginConfig, SchedulerProfile,
};
