//! The cluster's side of the scheduler: the client, list and watch of lean types, and binding.
//!
//! Start at [`client`] for a connection, [`reflect`] for what the cluster holds, [`Binder`] and [`EventRecorder`] for what is sent to it.

mod backoff;
mod bind;
mod client;
mod events;
mod reflect;
pub mod wire;

pub use backoff::Backoff;
pub use bind::{BindError, Binder, Binding};
pub use client::{ClientError, from_kubeconfig, from_service, in_cluster_or_default};
pub use events::{EventRecorder, News, PodRef, report_unschedulable};
pub use reflect::{Change, Key, MALFORMED, Object, Skipped, Source, WatchStats, reflect};
