//! The scheduling queue: which pod is tried next, and when a pod that failed is worth another try.
//!
//! [`SchedulingQueue`] is plain data. It holds pods by uid, knows nothing of what a pod is, and takes the time as an
//! argument; what plugins think of a pod or an event it asks an [`Advisor`]. Start at [`SchedulingQueue::add`],
//! [`SchedulingQueue::pop`] and [`SchedulingQueue::on_event`].

mod in_flight;
mod pod;
mod scheduling_queue;

#[cfg(test)]
mod tests;

pub use pod::{Place, PodUid, QueuedPod};
pub use scheduling_queue::{PendingCounts, QueueConfig, SchedulingQueue};

use crate::plugins::{PluginId, PluginSet};

/// What the queue asks of the plugins of the pod's profile.
pub trait Advisor<E> {
    /// The plugin that keeps the pod out of the queue for now, if any (PreEnqueue).
    fn gate(&self, pod: &PodUid) -> Option<PluginId>;
    /// The plugins for which such an event could ever matter. Pods rejected by none of them are not looked at.
    fn interested(&self, event: &E) -> PluginSet;
    /// Whether the event may make `plugin` accept the pod that it rejected (the plugin's queueing hint).
    fn may_help(&self, pod: &PodUid, plugin: PluginId, event: &E) -> bool;
    /// What kube-scheduler calls such an event in its metrics.
    fn label(&self, event: &E) -> &'static str;
}
