//! The configuration with all defaults in place, as kube-scheduler shows it at `/configz`.

use augur_core::profile::PluginArguments;
use serde::Serialize;
use serde_json::Value;

use crate::{GoDuration, Plugins};

/// The version that is read.
pub const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
/// The kind that is read.
pub const KIND: &str = "KubeSchedulerConfiguration";

/// How pods are scheduled, by whom, and over which connection.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeSchedulerConfiguration {
    /// [`KIND`].
    pub kind: &'static str,
    /// [`API_VERSION`].
    pub api_version: &'static str,
    /// Threads of kube-scheduler; without effect here.
    pub parallelism: i32,
    /// Leader election.
    pub leader_election: LeaderElection,
    /// The connection to the API server.
    pub client_connection: ClientConnection,
    /// Whether kube-scheduler serves profiles of its own run; without effect here.
    pub enable_profiling: bool,
    /// Whether those tell of waiting for locks; without effect here.
    pub enable_contention_profiling: bool,
    /// Which part of the nodes kube-scheduler scores; Augur scores all.
    pub percentage_of_nodes_to_score: i32,
    /// Backoff of a pod after its first failure, in seconds.
    pub pod_initial_backoff_seconds: i64,
    /// Longest backoff of a pod, in seconds.
    pub pod_max_backoff_seconds: i64,
    /// One for each scheduler name.
    pub profiles: Vec<SchedulerProfile>,
    /// Who is asked about pods besides, as written.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extenders: Vec<Extender>,
    /// What was accepted and has no effect, in words.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

impl KubeSchedulerConfiguration {
    /// The configuration as kube-scheduler's `/configz` shows it: JSON under the key `componentconfig`.
    #[must_use]
    pub fn configz(&self) -> Value {
        // Text, numbers, lists and mappings with text as keys: there is nothing that JSON does not have.
        let own = serde_json::to_value(self).unwrap_or(Value::Null);
        serde_json::json!({ "componentconfig": own })
    }
}

/// Leader election by a Lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderElection {
    /// Whether there is one.
    pub leader_elect: bool,
    /// How long standbys wait after the leader's last renewal.
    pub lease_duration: GoDuration,
    /// How long the leader goes on without being able to renew.
    pub renew_deadline: GoDuration,
    /// Pause between attempts.
    pub retry_period: GoDuration,
    /// `leases`.
    pub resource_lock: String,
    /// The name of the lease.
    pub resource_name: String,
    /// Its namespace.
    pub resource_namespace: String,
}

/// The connection to the API server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientConnection {
    /// The kubeconfig file; empty for the pod's service account.
    pub kubeconfig: String,
    /// Types of answers that are asked for; JSON here.
    pub accept_content_types: String,
    /// The type of bodies; JSON here.
    pub content_type: String,
    /// Requests a second; 0 and below for no limit.
    pub qps: f32,
    /// Requests at once before the limit counts.
    pub burst: i32,
}

/// How pods of one scheduler name are placed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SchedulerProfile {
    /// The name.
    pub scheduler_name: String,
    /// Which part of the nodes kube-scheduler scores; Augur scores all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_of_nodes_to_score: Option<i32>,
    /// Which plugins run where, merged with the defaults.
    pub plugins: Plugins,
    /// Their arguments, with defaults.
    pub plugin_config: Vec<PluginConfig>,
    /// The same for the decision core.
    #[serde(skip)]
    pub arguments: PluginArguments,
    /// The arguments of the plugin [`AUGUR`](crate::AUGUR) as they are written; null without.
    #[serde(skip)]
    pub augur: Value,
    /// How long the binding of volumes may take (VolumeBinding's `bindTimeoutSeconds`).
    #[serde(skip)]
    pub volume_bind_timeout: std::time::Duration,
}

/// Arguments of one plugin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PluginConfig {
    /// The plugin.
    pub name: String,
    /// Its arguments with defaults.
    pub args: Value,
}

/// A service that is asked about pods over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extender {
    /// Its address, to which verbs are appended.
    pub url_prefix: String,
    /// The verb of the filter call; empty for none, as with the others.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_verb: String,
    /// The verb of the call about pods to be evicted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub preempt_verb: String,
    /// The verb of the prioritize call.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub prioritize_verb: String,
    /// What its scores are multiplied with.
    pub weight: i64,
    /// The verb of the bind call.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bind_verb: String,
    /// Whether a server without a CA in `tlsConfig` is believed whatever certificate it shows.
    #[serde(rename = "enableHTTPS")]
    pub enable_https: bool,
    /// How its certificate is checked, and what is shown to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_config: Option<ExtenderTls>,
    /// How long a call may take; five seconds for zero.
    pub http_timeout: GoDuration,
    /// Whether it is sent the names of nodes and the uids of pods instead of the objects.
    pub node_cache_capable: bool,
    /// The extended resources that make a pod its business; all pods are, without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub managed_resources: Vec<ManagedResource>,
    /// Whether pods are placed without it when it fails.
    pub ignorable: bool,
}

impl Extender {
    /// How long a call may take.
    #[must_use]
    pub fn timeout(&self) -> std::time::Duration {
        const DEFAULT: GoDuration = GoDuration::seconds(5);
        if self.http_timeout == GoDuration(0) { DEFAULT.to_std() } else { self.http_timeout.to_std() }
    }
}

/// An extended resource that an extender manages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ManagedResource {
    /// The resource.
    pub name: String,
    /// Whether NodeResourcesFit does not look at it.
    pub ignored_by_scheduler: bool,
}

/// TLS with an extender. Data are PEM in base64 and count before files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExtenderTls {
    /// Whether any certificate is believed.
    pub insecure: bool,
    /// The name that its certificate has to have, if it is not that of the address.
    pub server_name: String,
    /// The certificate that is shown to it.
    pub cert_file: String,
    /// The key of that.
    pub key_file: String,
    /// The certificates that its own is checked against.
    pub ca_file: String,
    /// As `certFile`.
    pub cert_data: String,
    /// As `keyFile`. It is shown nowhere.
    #[serde(skip)]
    pub key_data: String,
    /// As `caFile`.
    pub ca_data: String,
}
