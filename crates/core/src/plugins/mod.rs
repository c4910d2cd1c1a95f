//! The plugins of kube-scheduler's default profile. [`PluginId`] names them.

mod id;

pub use id::{PluginId, PluginSet};
