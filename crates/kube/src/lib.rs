//! The cluster's side of the scheduler: the client, list and watch of lean types, and binding.
//!
//! Start at [`client`] for a connection, [`reflect`] for what the cluster holds, and [`Binder`] for what is sent to it.

mod backoff;
mod bind;
mod client;
mod reflect;

pub use backoff::Backoff;
pub use bind::{BindError, Binder, Binding};
pub use client::{ClientError, from_kubeconfig, from_service, in_cluster_or_default};
pub use reflect::{Change, Counters, Meta, Object, Source, reflect};
