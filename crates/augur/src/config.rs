//! `augur.yaml`: the settings of both services, with the defaults of the HTTP contract. Start at [`Config::parse`].

use anyhow::Context;
use serde::{Deserialize, Serialize};

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

/// Declares a section: its keys with their types and defaults.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $type:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $(pub $key: $type,)* }
        impl Default for $name {
            fn default() -> Self {
                $name { $($key: $default,)* }
            }
        }
    };
}

section!(Config {
    server: Server = Server::default(),
    kubernetes: Kubernetes = Kubernetes::default(),
    metrics: Metrics = Metrics::default(),
    scheduler: Scheduler = Scheduler::default(),
    model: Model = Model::default(),
    online_learning: OnlineLearning = OnlineLearning::default(),
    data: Data = Data::default(),
});
section!(Server {
    host: String = "0.0.0.0".to_owned(),
    port: Option<u16> = None,
    read_timeout: Span = Span::seconds(30),
    write_timeout: Span = Span::seconds(30),
});
section!(Kubernetes {
    in_cluster: bool = false,
    kubeconfig_path: String = "~/.kube/config".to_owned(),
    api_timeout: Span = Span::seconds(30),
});
section!(Metrics {
    collection_interval: Span = Span::seconds(30),
    cache_duration: Span = Span::seconds(168 * 3600),
    api_timeout: Span = Span::seconds(10),
    enable_fallback: bool = true,
});
section!(Scheduler {
    ai_api_url: Option<String> = None,
    scoring: Scoring = Scoring::default(),
    thresholds: Thresholds = Thresholds::default(),
});
section!(Scoring {
    cpu_weight: u32 = 30,
    memory_weight: u32 = 30,
    node_ready_weight: u32 = 20,
    taint_weight: u32 = 10,
    failed_pods_weight: u32 = 5,
    restart_weight: u32 = 5,
});
section!(Thresholds {
    cpu_usage_threshold: f64 = 80.0,
    memory_usage_threshold: f64 = 80.0,
    failed_pods_threshold: u32 = 3,
    avg_restart_threshold: f64 = 1.0,
});
section!(Model {
    r#type: String = "random_forest".to_owned(),
    max_depth: u32 = 10,
    n_estimators: u32 = 100,
    random_state: u64 = 42,
});
section!(OnlineLearning {
    feedback_threshold: u32 = 10,
    performance_threshold: f64 = 0.8,
    update_interval: Span = Span::seconds(24 * 3600),
});
section!(Data { cache_duration: Span = Span::seconds(168 * 3600), feature_count: u32 = 13 });

impl Config {
    /// The configuration of a file; without one, the defaults.
    ///
    /// # Errors
    /// When the file cannot be read or is refused.
    pub fn load(path: Option<&std::path::Path>) -> anyhow::Result<Config> {
        let Some(path) = path else { return Ok(Config::default()) };
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Config::parse(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Reads a configuration; an empty one gives the defaults. An unknown key is refused with the nearest known one.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        if text.trim().is_empty() {
            return Ok(Config::default());
        }
        let given: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
        let known = serde_json::to_value(Config::default()).map_err(|error| ConfigError(error.to_string()))?;
        check_keys("", &given, &known)?;
        serde_json::from_value(given).map_err(|error| ConfigError(error.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_keeps_its_default() {
        let config = Config::parse("scheduler:\n  scoring:\n    cpu_weight: 50\n").unwrap();
        assert_eq!((config.scheduler.scoring.cpu_weight, config.scheduler.scoring.memory_weight), (50, 30));
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest() {
        let error = Config::parse("metrics:\n  colection_interval: 5s\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown key `metrics.colection_interval`; the nearest known key is `metrics.collection_interval`"
        );
    }
}
