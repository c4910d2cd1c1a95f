//! The cluster's side of the scheduler: the client, list and watch of lean types, and binding.
//!
//! Start at [`client`] for a connection, [`reflect`] for what the cluster holds, [`Binder`] and [`EventRecorder`] for what is sent to it.

mod backoff;
mod bind;
mod claims;
mod client;
mod condition;
pub mod convert;
mod events;
mod evict;
mod extender;
mod lease;
mod limit;
mod metrics;
mod prepare;
mod prometheus;
mod reflect;
mod rights;
mod send;
mod shared;
mod volumes;
pub mod wire;
mod workload;

pub use backoff::{Backoff, seed_pauses};
pub use bind::{BindError, Binder, Binding, Ticket};
pub use claims::ClaimPreparer;
pub use client::{ClientError, from_kubeconfig, from_service, in_cluster_or_default};
pub use condition::{ConditionReporter, NotScheduled, Receipt, nominate};
pub use events::{EventRecorder, News, PodRef};
pub use evict::{EvictError, Eviction, Evictor};
pub use extender::{Candidate, ExtenderClient, ExtenderError, ExtenderOptions, FileOrData};
pub use lease::{Fence, Leadership, LeaseConfig, campaign};
pub use limit::{RequestLimit, limited};
pub use metrics::{Collected, MetricsError, NodeUsage, PodReading, Usage, UsageSource};
pub use prepare::PrepareError;
pub use prometheus::{PastHours, PastPod, PastPodEvent, PastPodNews, Prometheus, PrometheusError, PrometheusOptions};
pub use reflect::{Change, Key, MALFORMED, Object, Skipped, Source, WatchStats, reflect, reflect_with};
pub use rights::{Denials, Noting, Right};
pub use send::Writer;
pub use shared::Shared;
pub use volumes::VolumePreparer;
pub use workload::workload;

/// The name as one that is shared by all that have it.
fn interned(names: &mut std::collections::HashSet<std::sync::Arc<str>>, name: &str) -> std::sync::Arc<str> {
    if let Some(known) = names.get(name) {
        return known.clone();
    }
    let name: std::sync::Arc<str> = name.into();
    names.insert(name.clone());
    name
}
