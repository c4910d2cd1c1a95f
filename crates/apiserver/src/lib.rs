//! An embeddable Kubernetes API server, in memory, with optional persistence.
//!
//! Reading path: [`server`] (what it holds, how it is set up) → `http` (from a request to a verb and back) → [`access`] (who
//! asks, and what they may do) → `verbs` (what each verb does) → `store` (objects, revisions, history). A write passes [`schema`] (decoding), [`rules`] (defaults,
//! admission, validation) and [`managed`] (field owners); [`patch`] computes what patches ask for, [`printers`] make tables.
//! [`LocalClient`] is the way in without HTTP; [`controllers`] use it.

pub mod access;
pub mod controllers;
pub mod error;
mod event_ttl;
mod exposition;
mod http;
mod kube_state_metrics;
mod local;
pub mod managed;
pub mod metrics;
pub mod openapi;
pub mod patch;
pub mod printers;
pub mod resource;
pub mod rules;
pub mod schema;
mod selector;
pub mod server;
mod store;
mod verbs;

pub use access::{AuthorizationMode, User};
pub use error::ApiError;
pub use exposition::Exposition;
pub use http::{Identity, TlsError, serve, serve_tls};
pub use local::{LocalClient, LocalEvent, LocalEventKind, LocalList, LocalWatch, PatchKind};
pub use metrics::{MetricsSource, NodeMetrics, PodMetrics, Usage};
pub use server::{ApiServer, ApiServerOptions};
pub use verbs::{DeleteOptions, Propagation};
