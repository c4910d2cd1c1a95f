//! kube-scheduler's checks of a configuration that has all its defaults, in its words.

use augur_notation::qualified_name_problems;

use crate::GoDuration;
use crate::error::FieldErrors;
use crate::plugins::{ExtensionPoint, Plugins};
use crate::read::is_known;
use crate::registry;
use crate::types::{API_VERSION, Extender, KubeSchedulerConfiguration, LeaderElection};

/// Plugins that v1 no longer has.
const GONE: [&str; 4] = ["AzureDiskLimits", "CinderLimits", "EBSLimits", "GCEPDLimits"];

pub(crate) fn check(configuration: &KubeSchedulerConfiguration, errors: &mut FieldErrors) {
    let connection = &configuration.client_connection;
    if connection.burst < 0 {
        errors.invalid("clientConnection.burst", connection.burst, "must be non-negative");
    }
    check_election(&configuration.leader_election, errors);
    if configuration.parallelism <= 0 {
        errors.invalid("parallelism", configuration.parallelism, "should be an integer value greater than zero");
    }
    let sort = |index: usize| {
        let plugins: &Plugins = &configuration.profiles[index].plugins;
        plugins.set(ExtensionPoint::QueueSort)
    };
    for (index, profile) in configuration.profiles.iter().enumerate() {
        let path = format!("profiles[{index}]");
        if profile.scheduler_name.is_empty() {
            errors.required(&format!("{path}.schedulerName"), "");
        }
        if let Some(percentage) = profile.percentage_of_nodes_to_score {
            check_percentage(&format!("{path}.percentageOfNodesToScore"), percentage, errors);
        }
        let same = |other: &crate::SchedulerProfile| other.scheduler_name == profile.scheduler_name;
        if let Some(earlier) = configuration.profiles[..index].iter().rposition(same) {
            errors.duplicate(&format!("{path}.schedulerName"), &format!("profiles[{earlier}].schedulerName"));
        }
        let queue_sort = format!("{path}.plugins.queueSort");
        let enabled = sort(index).enabled.len();
        if index == 0 && enabled > 1 {
            errors.invalid(&format!("{queue_sort}.Enabled"), enabled, "only one queue sort plugin can be enabled");
        }
        if index > 0 && sort(index) != sort(0) {
            let value = serde_json::to_string(sort(index)).unwrap_or_default();
            errors.invalid(&queue_sort, value, "must be the same for all profiles");
        }
    }
    check_percentage("percentageOfNodesToScore", configuration.percentage_of_nodes_to_score, errors);
    let (initial, max) = (configuration.pod_initial_backoff_seconds, configuration.pod_max_backoff_seconds);
    if initial <= 0 {
        errors.invalid("podInitialBackoffSeconds", initial, "must be greater than 0");
    }
    if max < initial {
        let why = "must be greater than or equal to PodInitialBackoffSeconds";
        errors.invalid("podMaxBackoffSeconds", max, why);
    }
    check_extenders(&configuration.extenders, errors);
}

fn check_percentage(path: &str, percentage: i32, errors: &mut FieldErrors) {
    if !(0..=100).contains(&percentage) {
        errors.invalid(path, percentage, "not in valid range [0-100]");
    }
}

fn check_election(election: &LeaderElection, errors: &mut FieldErrors) {
    if !election.leader_elect {
        return;
    }
    let path = |field: &str| format!("leaderElection.{field}");
    for (field, length) in [
        ("leaseDuration", election.lease_duration),
        ("renewDeadline", election.renew_deadline),
        ("retryPeriod", election.retry_period),
    ] {
        if length <= GoDuration(0) {
            errors.invalid_text(&path(field), &length.to_string(), "must be greater than zero");
        }
    }
    if election.lease_duration <= election.renew_deadline {
        let shown = election.renew_deadline.to_string();
        errors.invalid_text(&path("leaseDuration"), &shown, "must be greater than `RenewDeadline`");
    }
    if election.resource_lock != "leases" {
        let why = "resourceLock value must be \"leases\"";
        errors.invalid_text(&path("resourceLock"), &election.resource_lock, why);
    }
}

/// Plugins that are gone, in the sets of the profile at `path`.
pub(crate) fn check_plugin_sets(plugins: &Plugins, path: &str, errors: &mut FieldErrors) {
    for point in ExtensionPoint::ALL {
        for (index, entry) in plugins.set(point).enabled.iter().enumerate() {
            check_gone(&entry.name, &format!("{path}.plugins.{}.enabled[{index}]", point.field()), errors);
        }
    }
}

fn check_gone(name: &str, path: &str, errors: &mut FieldErrors) -> bool {
    let gone = GONE.contains(&name);
    if gone {
        let why =
            format!("was invalid in version {API_VERSION:?} (KubeSchedulerConfiguration is version {API_VERSION:?})");
        errors.invalid_text(path, name, &why);
    }
    gone
}

/// The name of an entry of `pluginConfig`. kube-scheduler takes any; a plugin that does not exist is a mistake here.
pub(crate) fn check_plugin_name(name: &str, path: &str, errors: &mut FieldErrors) {
    if !check_gone(name, path, errors) && !is_known(name) {
        errors.0.push(format!("{path}.name: plugin {name:?} does not exist{}", registry::hint(name)));
    }
}

fn check_extenders(extenders: &[Extender], errors: &mut FieldErrors) {
    let mut managed: Vec<&str> = Vec::new();
    for (index, extender) in extenders.iter().enumerate() {
        let path = format!("extenders[{index}]");
        if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
            errors.invalid(&format!("{path}.weight"), extender.weight, "must have a positive weight applied to it");
        }
        for (index, resource) in extender.managed_resources.iter().enumerate() {
            let name = resource.name.as_str();
            let path = format!("{path}.managedResources[{index}].name");
            let problems = qualified_name_problems(name);
            problems.iter().for_each(|problem| errors.invalid_text(&path, name, problem));
            let native = !name.contains('/') || name.contains("kubernetes.io/") || name.starts_with("requests.");
            if problems.is_empty() && native {
                errors.invalid_text(&path, name, "is an invalid extended resource name");
            }
            if managed.contains(&name) {
                errors.invalid_text(&path, name, "duplicate extender managed resource name");
            }
            managed.push(name);
        }
    }
    let binders = extenders.iter().filter(|extender| !extender.bind_verb.is_empty()).count();
    if binders > 1 {
        let found = format!("found {binders} extenders implementing bind");
        errors.invalid_text("extenders", &found, "only one extender can implement bind");
    }
}

/// Settings of extenders with which kube-scheduler would not start, or fail each pod.
pub(crate) fn unusable_extenders(extenders: &[Extender]) -> Vec<String> {
    let mut errors = FieldErrors::default();
    for (index, extender) in extenders.iter().enumerate() {
        let path = format!("extenders[{index}]");
        let host = ["http://", "https://"].iter().find_map(|scheme| extender.url_prefix.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            let why = "must begin with http:// or https:// and name a host";
            errors.invalid_text(&format!("{path}.urlPrefix"), &extender.url_prefix, why);
        }
        if extender.http_timeout < GoDuration(0) {
            let shown = extender.http_timeout.to_string();
            errors.invalid_text(&format!("{path}.httpTimeout"), &shown, "must not be negative");
        }
        let Some(tls) = &extender.tls_config else { continue };
        let path = format!("{path}.tlsConfig");
        if tls.insecure && (!tls.ca_file.is_empty() || !tls.ca_data.is_empty()) {
            errors.forbidden(&format!("{path}.insecure"), "there is a caFile or caData to check the server against");
        }
        let (cert, key) = (tls.cert_file.len() + tls.cert_data.len(), tls.key_file.len() + tls.key_data.len());
        match (cert, key) {
            (1.., 0) => errors.required(&format!("{path}.keyFile"), "there is a certificate without its key"),
            (0, 1..) => errors.required(&format!("{path}.certFile"), "there is a key without its certificate"),
            _ => {}
        }
    }
    errors.0
}
