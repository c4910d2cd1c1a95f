//! What of `KubeSchedulerConfiguration` is read and what it does, for the reference page: [`reference`].

use crate::registry::{AUGUR, REGISTRY};

/// Fields, their defaults, and what they do.
const FIELDS: [(&str, &str, &str); 34] = [
    ("parallelism", "16", "Checked; without effect: one thread decides."),
    ("leaderElection.leaderElect", "true", "Whether replicas compete for a Lease."),
    ("leaderElection.leaseDuration", "15s", "How long standbys wait after the leader's last renewal."),
    ("leaderElection.renewDeadline", "10s", "How long the leader goes on without being able to renew."),
    ("leaderElection.retryPeriod", "2s", "Pause between attempts."),
    ("leaderElection.resourceLock", "leases", "Nothing else is allowed."),
    (
        "leaderElection.resourceName",
        "augur",
        "kube-scheduler's default is `kube-scheduler`: give that name to take turns with it.",
    ),
    ("leaderElection.resourceNamespace", "kube-system", "The namespace of the Lease."),
    ("clientConnection.kubeconfig", "", "The cluster; the flag `--kubeconfig` wins. Empty: the pod's service account."),
    ("clientConnection.acceptContentTypes", "", "Without effect: Augur speaks JSON."),
    ("clientConnection.contentType", "application/json", "Without effect: Augur speaks JSON."),
    ("clientConnection.qps", "0", "Requests a second; 0 for no limit (kube-scheduler's default is 50)."),
    ("clientConnection.burst", "100", "Requests at once before the limit counts."),
    ("enableProfiling", "true", "Without effect: there is no /debug/pprof."),
    ("enableContentionProfiling", "true", "Without effect."),
    ("percentageOfNodesToScore", "0", "Checked; without effect: every node is scored, always."),
    ("podInitialBackoffSeconds", "1", "Backoff of a pod after its first failure."),
    ("podMaxBackoffSeconds", "10", "Longest backoff of a pod."),
    ("profiles[].schedulerName", "default-scheduler", "Has to be given when there are several profiles."),
    (
        "profiles[].plugins",
        "the table below",
        "Merged with the default set as kube-scheduler does: `enabled`, `disabled`, `*`, weights, order.",
    ),
    (
        "profiles[].pluginConfig",
        "kube-scheduler's",
        "Arguments by plugin; kube-scheduler's names, defaults and checks.",
    ),
    (
        "extenders[].urlPrefix",
        "",
        "Address of an extender; verbs are appended. Extenders are asked in order, `ignorable` ones last.",
    ),
    ("extenders[].filterVerb", "", "Narrows the nodes that all filters let pass."),
    (
        "extenders[].prioritizeVerb",
        "",
        "Scores them, 0 to 10; each point counts ten times `weight`. Its failures are passed over.",
    ),
    ("extenders[].preemptVerb", "", "Narrows the nodes on which pods would be evicted, and says which."),
    ("extenders[].bindVerb", "", "Binds in Augur's place, behind the lease's fence. One extender can."),
    ("extenders[].weight", "0", "Has to be positive with `prioritizeVerb`."),
    (
        "extenders[].enableHTTPS",
        "false",
        "`true` without a CA in `tlsConfig`: the server is believed whatever certificate it shows, as by kube-scheduler.",
    ),
    (
        "extenders[].tlsConfig",
        "",
        "`insecure`, `serverName`, `caFile` or `caData`, `certFile` and `keyFile` or `certData` and `keyData`.",
    ),
    ("extenders[].httpTimeout", "5s", "Of one call. Pods that are not its business do not wait."),
    (
        "extenders[].nodeCacheCapable",
        "false",
        "Names and uids instead of whole objects. Without it Augur keeps all nodes in memory as the API server writes them.",
    ),
    (
        "extenders[].managedResources",
        "",
        "Only pods that ask for one of these are its business. `ignoredByScheduler`: NodeResourcesFit does not look at it.",
    ),
    ("extenders[].ignorable", "false", "Pods are placed without it when it fails."),
    ("delayCacheUntilActive", "false", "`true` is refused: a standby always follows the cluster."),
];

/// The part of the reference page on `KubeSchedulerConfiguration`, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from("| field | default | |\n|---|---|---|\n");
    for (field, default, meaning) in FIELDS {
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        page.push_str(&format!("| `{field}` | {default} | {meaning} |\n"));
    }
    page.push_str("\nPlugins of the default `multiPoint` set, in order:\n\n| plugin | weight | extension points |\n|---|---|---|\n");
    for plugin in &REGISTRY {
        let points: Vec<&str> = plugin.points.iter().map(|point| point.field()).collect();
        let weight = plugin.weight.map(|weight| weight.to_string()).unwrap_or_default();
        let name = if plugin.name == AUGUR { format!("**{AUGUR}**") } else { plugin.name.to_owned() };
        page.push_str(&format!("| {name} | {weight} | {} |\n", points.join(", ")));
    }
    page
}
