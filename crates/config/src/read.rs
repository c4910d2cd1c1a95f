//! From a [`Document`] to a [`KubeSchedulerConfiguration`]: fields, defaults, checks, in this order.

use serde_json::{Map, Value};

use crate::arguments::{self, Arguments, WITH_ARGUMENTS};
use crate::document::{Object, Problems};
use crate::error::FieldErrors;
use crate::expansion::{self, Running};
use crate::plugins::{ExtensionPoint, PluginEntry, PluginSet, Plugins};
use crate::registry;
use crate::types::{
    API_VERSION, ClientConnection, Extender, ExtenderTls, KIND, KubeSchedulerConfiguration, LeaderElection,
    ManagedResource, PluginConfig, SchedulerProfile,
};
use crate::validation;
use crate::{ConfigError, Document, GoDuration};

/// The name of the lease, unless another is given: never that of another scheduler.
const LEASE_NAME: &str = "augur";

impl KubeSchedulerConfiguration {
    /// Reads a configuration, fills in the defaults and checks it.
    ///
    /// # Errors
    /// What kube-scheduler refuses, in its words, and what Augur does not do, by name.
    pub fn read(document: &Document) -> Result<KubeSchedulerConfiguration, ConfigError> {
        check_kind(document.value())?;
        let problems = Problems::default();
        let mut errors = FieldErrors::default();
        let read =
            Object::of(String::new(), Some(document.value()), &problems).map(|root| configuration(root, &mut errors));
        problems.into_result()?;
        let Some(configuration) = read else {
            return Err(ConfigError::Kind("the configuration is no mapping".to_owned()));
        };
        validation::check(&configuration, &mut errors);
        if !errors.0.is_empty() {
            return Err(ConfigError::Invalid(errors.0));
        }
        let mut refused = Vec::new();
        let mut unsupported = Vec::new();
        for (index, profile) in configuration.profiles.iter().enumerate() {
            let path = format!("profiles[{index}]");
            match Running::of(&profile.plugins, &path, &profile.scheduler_name) {
                Ok(running) => unsupported.extend(running.unsupported(&path)),
                Err(errors) => refused.extend(errors),
            }
        }
        refused.extend(validation::unusable_extenders(&configuration.extenders));
        if !refused.is_empty() {
            return Err(ConfigError::Invalid(refused));
        }
        if document.value().get("delayCacheUntilActive") == Some(&Value::Bool(true)) {
            unsupported.push("delayCacheUntilActive: a standby always follows the cluster".to_owned());
        }
        if !unsupported.is_empty() {
            return Err(ConfigError::Unsupported(unsupported));
        }
        Ok(configuration)
    }
}

impl Default for KubeSchedulerConfiguration {
    /// The configuration of an empty file: one profile for `default-scheduler`.
    fn default() -> Self {
        configuration(Object::over(String::new(), &Map::new(), &Problems::default()), &mut FieldErrors::default())
    }
}

fn check_kind(document: &Value) -> Result<(), ConfigError> {
    let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        let missing = if text("kind").is_none() { "Kind" } else { "apiVersion" };
        let wanted = format!("apiVersion: {API_VERSION} and kind: {KIND}");
        return Err(ConfigError::Kind(format!(
            "Object '{missing}' is missing; a scheduler configuration has {wanted}"
        )));
    };
    if (version, kind) == (API_VERSION, KIND) {
        return Ok(());
    }
    let hint = match version.strip_prefix("kubescheduler.config.k8s.io/") {
        Some(_) if kind == KIND => format!(" (only {API_VERSION} is read)"),
        _ => format!(" (expected {KIND} of {API_VERSION})"),
    };
    Err(ConfigError::Kind(format!("no kind {kind:?} is registered for version {version:?} in scheme{hint}")))
}

fn configuration(mut root: Object<'_>, errors: &mut FieldErrors) -> KubeSchedulerConfiguration {
    let mut warnings = Vec::new();
    root.raw("apiVersion");
    root.raw("kind");
    let parallelism = root.get("parallelism").unwrap_or(16);
    let leader_election = leader_election(root.object("leaderElection"));
    let client_connection = client_connection(root.object("clientConnection"), &mut warnings);
    let profiling: Option<bool> = root.get("enableProfiling");
    let contention: Option<bool> = root.get("enableContentionProfiling");
    let enable_profiling = profiling.unwrap_or(true);
    if profiling == Some(true) || contention == Some(true) {
        warnings.push("enableProfiling has no effect: there is no /debug/pprof".to_owned());
    }
    let percentage: Option<i32> = root.get("percentageOfNodesToScore");
    if percentage.is_some_and(|percentage| percentage != 0) {
        warnings.push("percentageOfNodesToScore has no effect: every node is scored, always".to_owned());
    }
    if parallelism != 16 {
        warnings.push("parallelism has no effect: one thread decides".to_owned());
    }
    let pod_initial_backoff_seconds = root.get("podInitialBackoffSeconds").unwrap_or(1);
    let pod_max_backoff_seconds = root.get("podMaxBackoffSeconds").unwrap_or(10);
    root.get::<bool>("delayCacheUntilActive");
    let mut given = root.objects("profiles");
    let mut profiles = Vec::new();
    let alone = given.len() <= 1;
    for object in given.drain(..) {
        profiles.push(profile(object, alone, errors, &mut warnings));
    }
    if profiles.is_empty() {
        let nothing = Map::new();
        let empty = Object::over("profiles[0]".to_owned(), &nothing, root.problems());
        profiles.push(profile(empty, true, errors, &mut warnings));
    }
    let extenders = root.objects("extenders").into_iter().map(extender).collect();
    root.finish();
    KubeSchedulerConfiguration {
        kind: KIND,
        api_version: API_VERSION,
        parallelism,
        leader_election,
        client_connection,
        enable_profiling,
        enable_contention_profiling: contention.unwrap_or(enable_profiling),
        percentage_of_nodes_to_score: percentage.unwrap_or(0),
        pod_initial_backoff_seconds,
        pod_max_backoff_seconds,
        profiles,
        extenders,
        warnings,
    }
}

fn leader_election(given: Option<Object<'_>>) -> LeaderElection {
    let mut election = LeaderElection {
        leader_elect: true,
        lease_duration: GoDuration::seconds(15),
        renew_deadline: GoDuration::seconds(10),
        retry_period: GoDuration::seconds(2),
        resource_lock: "leases".to_owned(),
        resource_name: LEASE_NAME.to_owned(),
        resource_namespace: "kube-system".to_owned(),
    };
    let Some(mut given) = given else { return election };
    election.leader_elect = given.get("leaderElect").unwrap_or(true);
    for (key, place) in [
        ("leaseDuration", &mut election.lease_duration),
        ("renewDeadline", &mut election.renew_deadline),
        ("retryPeriod", &mut election.retry_period),
    ] {
        // A length of zero is one that is not given.
        if let Some(length) = given.get(key).filter(|length| *length != GoDuration(0)) {
            *place = length;
        }
    }
    for (key, place) in [
        ("resourceLock", &mut election.resource_lock),
        ("resourceName", &mut election.resource_name),
        ("resourceNamespace", &mut election.resource_namespace),
    ] {
        if let Some(text) = given.get(key).filter(|text: &String| !text.is_empty()) {
            *place = text;
        }
    }
    given.finish();
    election
}

fn client_connection(given: Option<Object<'_>>, warnings: &mut Vec<String>) -> ClientConnection {
    const JSON: &str = "application/json";
    const DEFAULT_BURST: i32 = 100;
    let mut connection = ClientConnection {
        kubeconfig: String::new(),
        accept_content_types: String::new(),
        content_type: JSON.to_owned(),
        qps: 0.0,
        burst: DEFAULT_BURST,
    };
    let Some(mut given) = given else { return connection };
    connection.kubeconfig = given.get("kubeconfig").unwrap_or_default();
    connection.accept_content_types = given.get("acceptContentTypes").unwrap_or_default();
    connection.qps = given.get("qps").unwrap_or(0.0);
    connection.burst = given.get("burst").filter(|burst| *burst != 0).unwrap_or(DEFAULT_BURST);
    if let Some(content_type) = given.get("contentType").filter(|text: &String| !text.is_empty()) {
        connection.content_type = content_type;
    }
    let others = |types: &str| types.split(',').any(|one| !one.trim().is_empty() && one.trim() != JSON);
    if others(&connection.content_type) || others(&connection.accept_content_types) {
        warnings
            .push("clientConnection.contentType and acceptContentTypes have no effect: Augur speaks JSON".to_owned());
    }
    given.finish();
    connection
}

fn profile(
    mut given: Object<'_>,
    alone: bool,
    errors: &mut FieldErrors,
    warnings: &mut Vec<String>,
) -> SchedulerProfile {
    let path = given.path().to_owned();
    let name: Option<String> = given.get("schedulerName");
    let scheduler_name = match name {
        None if alone => "default-scheduler".to_owned(),
        name => name.unwrap_or_default(),
    };
    let percentage_of_nodes_to_score: Option<i32> = given.get("percentageOfNodesToScore");
    if percentage_of_nodes_to_score.is_some_and(|percentage| percentage != 0) {
        warnings.push(format!("{path}.percentageOfNodesToScore has no effect: every node is scored, always"));
    }
    let own = given.object("plugins").map(plugins).unwrap_or_default();
    validation::check_plugin_sets(&own, &path, errors);
    warnings.extend(expansion::meaningless(&own, &path));
    let plugins = own.over_default();
    let mut read = Arguments::default();
    let mut augur = Value::Null;
    let mut plugin_config: Vec<PluginConfig> = Vec::new();
    for mut entry in given.objects("pluginConfig") {
        let name: String = entry.get("name").unwrap_or_default();
        let place = entry.path().to_owned();
        let raw = entry.raw("args").cloned();
        if plugin_config.iter().any(|known| known.name == name) {
            errors.duplicate(&place, &format!("{name:?}"));
        }
        validation::check_plugin_name(&name, &place, errors);
        let nothing = Map::new();
        let args = match entry.object("args") {
            Some(args) => args,
            None => Object::over(format!("{place}.args"), &nothing, entry.problems()),
        };
        let args = if WITH_ARGUMENTS.contains(&name.as_str()) {
            arguments::read(&name, args, &mut read, errors)
        } else {
            let raw = raw.unwrap_or_else(|| Value::Object(Map::new()));
            if expansion::is_augur(&name) {
                augur.clone_from(&raw);
            } else if raw.as_object().is_none_or(|args| !args.is_empty()) {
                warnings.push(format!("{place}.args: the plugin {name} has no arguments"));
            }
            raw
        };
        plugin_config.push(PluginConfig { name, args });
        entry.finish();
    }
    for name in plugins.names() {
        if WITH_ARGUMENTS.contains(&name) && !plugin_config.iter().any(|known| known.name == name) {
            let nothing = Map::new();
            let empty = Object::over(String::new(), &nothing, given.problems());
            let args = arguments::read(name, empty, &mut read, errors);
            plugin_config.push(PluginConfig { name: name.to_owned(), args });
        }
    }
    given.finish();
    warnings.append(&mut read.warnings);
    SchedulerProfile {
        scheduler_name,
        percentage_of_nodes_to_score,
        plugins,
        plugin_config,
        arguments: read.core,
        augur,
        volume_bind_timeout: read.volume_bind_timeout,
    }
}

fn plugins(mut given: Object<'_>) -> Plugins {
    let mut plugins = Plugins::default();
    for point in ExtensionPoint::ALL {
        if let Some(mut set) = given.object(point.field()) {
            let mut entries = |key| -> Vec<PluginEntry> {
                let mut entries = Vec::new();
                for mut entry in set.objects(key) {
                    entries
                        .push(PluginEntry { name: entry.get("name").unwrap_or_default(), weight: entry.get("weight") });
                    entry.finish();
                }
                entries
            };
            let (enabled, disabled) = (entries("enabled"), entries("disabled"));
            *plugins.set_mut(point) = PluginSet { enabled, disabled };
            set.finish();
        }
    }
    given.finish();
    plugins
}

fn extender(mut given: Object<'_>) -> Extender {
    let tls_config = given.object("tlsConfig").map(|mut tls| {
        let read = ExtenderTls {
            insecure: tls.get("insecure").unwrap_or_default(),
            server_name: tls.get("serverName").unwrap_or_default(),
            cert_file: tls.get("certFile").unwrap_or_default(),
            key_file: tls.get("keyFile").unwrap_or_default(),
            ca_file: tls.get("caFile").unwrap_or_default(),
            cert_data: tls.get("certData").unwrap_or_default(),
            key_data: tls.get("keyData").unwrap_or_default(),
            ca_data: tls.get("caData").unwrap_or_default(),
        };
        tls.finish();
        read
    });
    let mut managed_resources = Vec::new();
    for mut resource in given.objects("managedResources") {
        managed_resources.push(ManagedResource {
            name: resource.get("name").unwrap_or_default(),
            ignored_by_scheduler: resource.get("ignoredByScheduler").unwrap_or_default(),
        });
        resource.finish();
    }
    let extender = Extender {
        url_prefix: given.get("urlPrefix").unwrap_or_default(),
        filter_verb: given.get("filterVerb").unwrap_or_default(),
        preempt_verb: given.get("preemptVerb").unwrap_or_default(),
        prioritize_verb: given.get("prioritizeVerb").unwrap_or_default(),
        weight: given.get("weight").unwrap_or_default(),
        bind_verb: given.get("bindVerb").unwrap_or_default(),
        enable_https: given.get("enableHTTPS").unwrap_or_default(),
        tls_config,
        http_timeout: given.get("httpTimeout").unwrap_or_default(),
        node_cache_capable: given.get("nodeCacheCapable").unwrap_or_default(),
        managed_resources,
        ignorable: given.get("ignorable").unwrap_or_default(),
    };
    given.finish();
    extender
}

/// Whether there is a plugin of this name.
pub(crate) fn is_known(name: &str) -> bool {
    registry::find(name).is_some()
}
