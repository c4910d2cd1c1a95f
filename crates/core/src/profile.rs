//! How pods of one scheduler name are placed: weights of the plugins, of enhanced scoring, and of the model.

use std::sync::Arc;

use crate::enhanced::EnhancedConfig;
use crate::plugins::PluginId;

/// The largest share of the score's range that the model's weight may take.
pub const MAX_MODEL_SHARE: f64 = 0.15;

/// How pods of one scheduler name are placed.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The scheduler name that pods ask for.
    pub scheduler_name: Arc<str>,
    /// What a plugin's score is multiplied with, by [`PluginId::index`]; 0 for plugins that do not score.
    pub weights: [i64; PluginId::ALL.len()],
    /// Scoring over live signals.
    pub enhanced: EnhancedConfig,
    /// The model's weight λ as a share of the score's range; cut to 0..=[`MAX_MODEL_SHARE`].
    pub model_share: f64,
    /// At most this many nodes are shown to the model: the best by score, so that inference has a bound.
    pub model_candidates: usize,
}

impl Profile {
    /// kube-scheduler's default weights, enhanced scoring on, under the given scheduler name.
    #[must_use]
    pub fn new(scheduler_name: &str) -> Profile {
        let mut weights = [0; PluginId::ALL.len()];
        for (plugin, weight) in [
            (PluginId::TaintToleration, 3),
            (PluginId::NodeAffinity, 2),
            (PluginId::PodTopologySpread, 2),
            (PluginId::InterPodAffinity, 2),
            (PluginId::NodeResourcesFit, 1),
            (PluginId::NodeResourcesBalancedAllocation, 1),
            (PluginId::ImageLocality, 1),
        ] {
            weights[plugin.index()] = weight;
        }
        Profile {
            scheduler_name: scheduler_name.into(),
            weights,
            enhanced: EnhancedConfig::default(),
            model_share: 0.05,
            model_candidates: 128,
        }
    }

    /// What a plugin's score is multiplied with.
    #[must_use]
    pub fn weight(&self, plugin: PluginId) -> i64 {
        self.weights[plugin.index()]
    }
}

impl Default for Profile {
    /// The profile of pods that ask for `default-scheduler`.
    fn default() -> Profile {
        Profile::new("default-scheduler")
    }
}
