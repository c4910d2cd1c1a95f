//! The controllers that make a cluster of an API server: replica sets, deployments, jobs, cron jobs, daemon sets, stateful sets, owners
//! and dependents, namespaces, disruption budgets, volumes, claims to volumes and devices, unreachable nodes, pods that nobody
//! cleans up.
//!
//! [`spawn`] starts them. Each controller is a pure function from an object and what belongs to it to the writes that are
//! due ([`deployment`], [`job`], …); `engine` gathers, asks and writes.

mod action;
mod cache;
mod claim;
mod cron_job;
mod daemon_set;
mod deployment;
mod deployment_status;
mod disruption;
mod engine;
mod execute;
#[cfg(test)]
mod fixtures;
mod garbage;
mod history;
mod job;
mod node_lifecycle;
mod pod_garbage;
mod queue;
mod record;
mod replica_set;
mod resource_claim;
mod route;
mod schedule;
mod stateful_set;
mod tasks;
mod template;
#[cfg(test)]
mod tests;
mod view;
mod volume;

use std::time::Duration;

use augur_clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ApiServer;

pub(crate) use view::selector_of;
pub use volume::{PROVISIONER, default_storage_class};

/// What the controllers are to do and to leave.
#[derive(Debug, Clone)]
pub struct ControllerOptions {
    /// How long a node may neither renew its lease nor write its status before it counts as unknown; `None`: for ever.
    pub node_monitor_grace: Option<Duration>,
    /// Whether pods leave nodes whose `NoExecute` taints they do not tolerate.
    pub taint_eviction: bool,
    /// How many pods that have ended may stay before the oldest are deleted.
    pub terminated_pods: usize,
}

impl Default for ControllerOptions {
    fn default() -> Self {
        ControllerOptions {
            node_monitor_grace: Some(Duration::from_secs(50)),
            taint_eviction: true,
            terminated_pods: 12_500,
        }
    }
}

/// Controllers at work. They stop when it is dropped; [`ControllersHandle::stop`] also waits until they have.
#[derive(Debug)]
pub struct ControllersHandle {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl ControllersHandle {
    /// Stops the controllers: what one of them is doing is done, nothing is begun.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the controllers ended by a fault");
        }
    }
}

/// Starts the controllers of a server on the current tokio runtime. All their times are those of `clock`, which should be
/// the server's.
#[must_use]
pub fn spawn(server: &ApiServer, clock: Clock, options: ControllerOptions) -> ControllersHandle {
    let (stop, stopped) = watch::channel(false);
    let client = server.local("kube-controller-manager");
    let task = tokio::spawn(engine::run(client, clock, options, stopped));
    ControllersHandle { stop, task }
}
