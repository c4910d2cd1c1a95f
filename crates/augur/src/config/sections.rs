//! Augur's own settings with the defaults of the HTTP contract, each with what it is for. Start at [`Config::read`].

use augur_core::profile::MAX_MODEL_SHARE;
use serde::{Deserialize, Serialize};

use crate::engine::Mode;
use crate::span::Span;

/// Why a configuration is refused.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for ConfigError {}

/// A key of a section with its default.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// From the top, with dots.
    pub path: String,
    /// As JSON.
    pub default: serde_json::Value,
    /// What it is for.
    pub meaning: String,
}

/// What can stand below a key.
pub trait Setting: Serialize {
    /// Lists the keys at `path` and below; a plain value is one.
    fn list(&self, path: &str, meaning: &str, keys: &mut Vec<Key>) {
        let default = serde_json::to_value(self).unwrap_or(serde_json::Value::Null);
        keys.push(Key { path: path.to_owned(), default, meaning: meaning.to_owned() });
    }
}

impl Setting for bool {}
impl Setting for i32 {}
impl Setting for u16 {}
impl Setting for u32 {}
impl Setting for u64 {}
impl Setting for f64 {}
impl Setting for String {}
impl Setting for Span {}
impl Setting for Mode {}
impl Setting for MetricsSource {}
impl<T: Setting> Setting for Option<T> {}

/// Who tells what nodes and pods use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum MetricsSource {
    /// The Metrics API of the cluster.
    #[default]
    MetricsApi,
    /// A Prometheus-compatible server.
    Prometheus,
}

/// Declares a section: its keys with what they are for, their types and defaults.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[doc = $meaning:literal])+ $key:ident: $type:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[doc = $meaning])+ pub $key: $type,)* }
        impl Default for $name {
            fn default() -> Self {
                $name { $($key: $default,)* }
            }
        }
        impl Setting for $name {
            fn list(&self, path: &str, _: &str, keys: &mut Vec<Key>) {
                $({
                    let key = stringify!($key).trim_start_matches("r#");
                    let place = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    self.$key.list(&place, concat!($($meaning),+).trim(), keys);
                })*
            }
        }
    };
}

section!(Config {
    /// `scheduler` places pods, `shadow` follows other schedulers and writes nothing, `extender` answers a kube-scheduler.
    mode: Mode = Mode::default(),
    /// Where the services listen.
    server: Server = Server::default(),
    /// The cluster.
    kubernetes: Kubernetes = Kubernetes::default(),
    /// Live signals.
    metrics: Metrics = Metrics::default(),
    /// How nodes are scored.
    scheduler: Scheduler = Scheduler::default(),
    /// The model.
    model: Model = Model::default(),
    /// When the model is trained again.
    online_learning: OnlineLearning = OnlineLearning::default(),
    /// What is remembered.
    data: Data = Data::default(),
});
section!(Server {
    /// The address to listen at.
    host: String = "0.0.0.0".to_owned(),
    /// The port; without one 8080 for the scheduler service and 5000 for the learner.
    port: Option<u16> = None,
    /// How long a request may take to arrive.
    read_timeout: Span = Span::seconds(30),
    /// How long an answer may take to leave.
    write_timeout: Span = Span::seconds(30),
    /// Lets users of the cluster change state, by their bearer tokens, whom the cluster permits to (`docs/security.md`).
    token_review: bool = false,
});
section!(Kubernetes {
    /// Connects with the pod's service account, even if there is a kubeconfig file.
    in_cluster: bool = false,
    /// The kubeconfig file.
    kubeconfig_path: String = "~/.kube/config".to_owned(),
    /// How long it may take to connect.
    api_timeout: Span = Span::seconds(30),
});
section!(Metrics {
    /// Who tells what nodes and pods use: `metrics-api`, or `prometheus` for a Prometheus-compatible server.
    source: MetricsSource = MetricsSource::default(),
    /// How often it is asked.
    collection_interval: Span = Span::seconds(30),
    /// How far back outcomes count.
    cache_duration: Span = Span::seconds(168 * 3600),
    /// How much disk they may take, in MiB; the oldest go first.
    cache_mib: u32 = 4096,
    /// How long it may take to answer.
    api_timeout: Span = Span::seconds(10),
    /// Goes on without it when it does not answer: scores rest on requests then. Without, `/health` says unhealthy.
    enable_fallback: bool = true,
    /// The Prometheus-compatible server.
    prometheus: PrometheusSection = PrometheusSection::default(),
});
section!(PrometheusSection {
    /// Its address, with a path where there is one, as in `https://mimir.example.com/prometheus`.
    url: Option<String> = None,
    /// The file with the bearer token; read for each request, so that it can be changed at any time.
    bearer_token_file: Option<String> = None,
    /// The file with the certificates to trust; the system's without.
    ca_file: Option<String> = None,
    /// Takes any certificate.
    insecure_skip_verify: bool = false,
    /// The tenant, sent as `X-Scope-OrgID` to servers that have several.
    tenant: Option<String> = None,
    /// The label that names the node in cAdvisor's series; without, the usual ones are tried.
    node_label: Option<String> = None,
    /// Over how long CPU is averaged: at least twice the scrape interval.
    rate_window: Span = Span::seconds(120),
    /// On an empty history, takes in the days before from this server, as far back as `cache_duration` reaches.
    backfill: bool = true,
    /// Time between the readings that are taken in of these days.
    backfill_step: Span = Span::seconds(300),
});
section!(Scheduler {
    /// The address of a learner service elsewhere.
    ai_api_url: Option<String> = None,
    /// Weights of the parts of enhanced scoring.
    scoring: Scoring = Scoring::default(),
    /// From where on a signal speaks against a node.
    thresholds: Thresholds = Thresholds::default(),
    /// Trying near-ties where a model has a say.
    exploration: Exploration = Exploration::default(),
});
section!(Scoring {
    /// Free CPU.
    cpu_weight: u32 = 30,
    /// Free memory.
    memory_weight: u32 = 30,
    /// Readiness.
    node_ready_weight: u32 = 20,
    /// Absence of taints.
    taint_weight: u32 = 10,
    /// Few failed pods.
    failed_pods_weight: u32 = 5,
    /// Few restarts.
    restart_weight: u32 = 5,
    /// Points that a node loses at a risk of 1, by trouble that was seen there lately (`docs/design/0009-learner.md`).
    risk_weight: f64 = 300.0,
    /// λ: what a model moves a score by for each unit of log-odds, as a share of the score's range; 0 to 0.15.
    model_weight: f64 = 0.15,
});
section!(Exploration {
    /// Share of decisions in which a node that is nearly as good as the best is tried; 0 to 0.5, 0 switches it off.
    share: f64 = 0.02,
    /// Points that it may be behind the best.
    points: f64 = 2.0,
    /// Pods of higher priority are never tried with, nor are those of `kube-system`.
    max_priority: i32 = 0,
});
section!(Thresholds {
    /// Percent of CPU in use.
    cpu_usage_threshold: f64 = 80.0,
    /// Percent of memory in use.
    memory_usage_threshold: f64 = 80.0,
    /// Failed pods.
    failed_pods_threshold: u32 = 3,
    /// Restarts a pod.
    avg_restart_threshold: f64 = 1.0,
});
section!(Model {
    /// The kind of model: `random_forest`.
    r#type: String = "random_forest".to_owned(),
    /// Deepest a tree grows.
    max_depth: u32 = 10,
    /// Trees.
    n_estimators: u32 = 100,
    /// Seed of the training.
    random_state: u64 = 42,
});
section!(OnlineLearning {
    /// Matured labels that are gathered before the leaves of the model take them in.
    feedback_threshold: u32 = 10,
    /// Share of hold-out placements that a model must call right to be promoted.
    performance_threshold: f64 = 0.8,
    /// Longest time between trainings.
    update_interval: Span = Span::seconds(24 * 3600),
    /// Matured examples without which nothing is trained.
    min_matured: u32 = 2_000,
    /// Bad ones among them without which nothing is trained.
    min_bad: u32 = 100,
    /// Share of pods that no model is asked about, so that what models do can be measured.
    holdback: f64 = 0.05,
    /// Trains boosted trees beside each forest, which take its place where they are surely better.
    boosted_challenger: bool = true,
});
section!(Data {
    /// How long examples are kept.
    cache_duration: Span = Span::seconds(168 * 3600),
    /// Features of an example, as the contract counts them.
    feature_count: u32 = 13,
});

impl Config {
    /// Reads settings that are written at `path` (empty, or with a dot at its end); none gives the defaults. An unknown key
    /// is refused with the nearest known one.
    pub fn read(given: &serde_json::Value, path: &str) -> Result<Config, ConfigError> {
        if given.is_null() {
            return Ok(Config::default());
        }
        let known = serde_json::to_value(Config::default()).map_err(|error| ConfigError(error.to_string()))?;
        check_keys(path, given, &known)?;
        let config = Config::deserialize(given).map_err(|error| ConfigError(format!("{path}{error}")))?;
        config.check(path)?;
        Ok(config)
    }

    /// Refuses values that have no meaning.
    fn check(&self, path: &str) -> Result<(), ConfigError> {
        let (scoring, exploration, online) =
            (&self.scheduler.scoring, &self.scheduler.exploration, &self.online_learning);
        if self.model.r#type != "random_forest" {
            let found = &self.model.r#type;
            return Err(ConfigError(format!("{path}model.type: {found:?} is not known; it must be random_forest")));
        }
        let within = [
            ("scheduler.scoring.model_weight", scoring.model_weight, MAX_MODEL_SHARE),
            ("scheduler.scoring.risk_weight", scoring.risk_weight, 1e6),
            ("scheduler.exploration.share", exploration.share, 0.5),
            ("scheduler.exploration.points", exploration.points, 1e6),
            ("online_learning.holdback", online.holdback, 1.0),
            ("online_learning.performance_threshold", online.performance_threshold, 1.0),
        ];
        match within.iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            Some((key, value, most)) => {
                Err(ConfigError(format!("{path}{key}: {value} is out of range; it must be between 0 and {most}")))
            }
            None => Ok(()),
        }
    }

    /// All keys with their defaults.
    pub fn keys() -> Vec<Key> {
        let mut keys = Vec::new();
        Config::default().list("", "", &mut keys);
        keys
    }
}

/// Refuses keys of `given` that `known` lacks.
fn check_keys(path: &str, given: &serde_json::Value, known: &serde_json::Value) -> Result<(), ConfigError> {
    let (Some(given), Some(known)) = (given.as_object(), known.as_object()) else { return Ok(()) };
    for (key, value) in given {
        let Some(inner) = known.get(key) else {
            let nearest = augur_notation::nearest(key, known.keys().map(String::as_str));
            let hint =
                nearest.map(|nearest| format!("; the nearest known key is `{path}{nearest}`")).unwrap_or_default();
            return Err(ConfigError(format!("unknown key `{path}{key}`{hint}")));
        };
        check_keys(&format!("{path}{key}."), value, inner)?;
    }
    Ok(())
}
