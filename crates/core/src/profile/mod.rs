//! How pods of one scheduler name are placed: which plugins run with which arguments and weights, enhanced scoring, and
//! the weight of the model. Start at [`Profile`].

mod arguments;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use arguments::{
    AddedAffinity, BalancedResources, FitArguments, InterPodAffinityArguments, MAX_SHAPE_SCORE, PluginArguments,
    ResourceWeight, ScoredResource, ScoringStrategy, ShapePoint, SpreadDefaults,
};

use crate::enhanced::EnhancedConfig;
use crate::object::Pod;
use crate::plugins::{PluginId, PluginSet};

/// The largest share of the score's range that the model's weight may take.
pub const MAX_MODEL_SHARE: f64 = 0.15;

/// How pods of one scheduler name are placed.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// The scheduler name that pods ask for.
    pub scheduler_name: Arc<str>,
    /// What a plugin's score is multiplied with, by [`PluginId::index`]; 0 for plugins that do not score.
    pub weights: [i64; PluginId::ALL.len()],
    /// Which plugins judge nodes, in which order, and the arguments of all.
    pub plugins: Arc<ProfilePlugins>,
    /// Scoring over live signals.
    pub enhanced: EnhancedConfig,
    /// The model's weight λ as a share of the score's range; cut to 0..=[`MAX_MODEL_SHARE`].
    pub model_share: f64,
    /// At most this many nodes are shown to the model: the best by score, so that inference has a bound.
    pub model_candidates: usize,
    /// Trying near-ties, for the sake of learning.
    pub exploration: Exploration,
    /// How long a pod may wait for its volumes to be bound (`bindTimeoutSeconds`).
    pub volume_bind_timeout: Duration,
}

impl Profile {
    /// kube-scheduler's default plugins and weights, enhanced scoring on, under the given scheduler name.
    #[must_use]
    pub fn new(scheduler_name: &str) -> Profile {
        let mut weights = [0; PluginId::ALL.len()];
        for (plugin, weight) in [
            (PluginId::TaintToleration, 3),
            (PluginId::NodeAffinity, 2),
            (PluginId::PodTopologySpread, 2),
            (PluginId::InterPodAffinity, 2),
            (PluginId::DynamicResources, 2),
            (PluginId::NodeResourcesFit, 1),
            (PluginId::NodeResourcesBalancedAllocation, 1),
            (PluginId::ImageLocality, 1),
        ] {
            weights[plugin.index()] = weight;
        }
        Profile {
            scheduler_name: scheduler_name.into(),
            weights,
            plugins: Arc::default(),
            enhanced: EnhancedConfig::default(),
            // The bound: with a third of it models changed too little to matter (`augur bench placement`).
            model_share: MAX_MODEL_SHARE,
            model_candidates: 128,
            exploration: Exploration::default(),
            volume_bind_timeout: Duration::from_secs(600),
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

/// How often a node that is nearly as good as the best is taken instead, where a model has a say. A model only sees what became of
/// pods on nodes that were chosen; this shows it the others at little cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exploration {
    /// Share of decisions, 0 to 0.5; 0 switches it off.
    pub share: f64,
    /// How many points a node may be behind the best.
    pub points: f64,
    /// Pods of higher priority are never tried with.
    pub max_priority: i32,
}

impl Exploration {
    /// Never.
    pub const OFF: Exploration = Exploration { share: 0.0, points: 0.0, max_priority: 0 };

    /// What applies to a pod: nothing to those of the system or of higher priority, nor where it is not `allowed`.
    #[must_use]
    pub fn of(&self, pod: &Pod, allowed: bool) -> Exploration {
        let system = &*pod.namespace == "kube-system" || pod.spec.priority > self.max_priority;
        if allowed && !system { *self } else { Exploration::OFF }
    }
}

impl Default for Exploration {
    fn default() -> Self {
        Exploration { share: 0.02, points: 2.0, max_priority: 0 }
    }
}

/// Which plugins judge nodes, in which order, and the arguments of all plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfilePlugins {
    pre_filter: Vec<PluginId>,
    filter: Vec<PluginId>,
    post_filter: PluginSet,
    arguments: PluginArguments,
    /// The place of each plugin among the filters, by [`PluginId::index`].
    places: [usize; PluginId::ALL.len()],
}

impl ProfilePlugins {
    /// The plugins of the extension points that bear on the choice of a node, each in the order in which they run, and
    /// those that are asked when no node fits. (What scores is in [`Profile::weights`].)
    #[must_use]
    pub fn new(
        pre_filter: Vec<PluginId>,
        filter: Vec<PluginId>,
        post_filter: PluginSet,
        arguments: PluginArguments,
    ) -> ProfilePlugins {
        let mut places = [usize::MAX; PluginId::ALL.len()];
        filter.iter().enumerate().for_each(|(place, plugin)| places[plugin.index()] = place);
        ProfilePlugins { pre_filter, filter, post_filter, arguments, places }
    }

    /// kube-scheduler's default plugins with the given arguments.
    #[must_use]
    pub fn with_arguments(arguments: PluginArguments) -> ProfilePlugins {
        let all: Vec<PluginId> = PluginId::ALL.into();
        let post_filter = PluginSet::of(&[PluginId::DynamicResources, PluginId::DefaultPreemption]);
        ProfilePlugins::new(all.clone(), all, post_filter, arguments)
    }

    /// Plugins that may turn a pod away or narrow its nodes before any node is looked at, in order.
    #[must_use]
    pub fn pre_filter(&self) -> &[PluginId] {
        &self.pre_filter
    }

    /// Plugins that judge nodes, in order: the first that rejects a node is the one that is told.
    #[must_use]
    pub fn filter(&self) -> &[PluginId] {
        &self.filter
    }

    /// Plugins that are asked when no node fits.
    #[must_use]
    pub fn post_filter(&self) -> PluginSet {
        self.post_filter
    }

    /// The arguments.
    #[must_use]
    pub fn arguments(&self) -> &PluginArguments {
        &self.arguments
    }

    /// The plugin's place among the filters; behind all for one that does not filter.
    pub(crate) fn place(&self, plugin: PluginId) -> usize {
        self.places[plugin.index()]
    }
}

impl Default for ProfilePlugins {
    fn default() -> Self {
        ProfilePlugins::with_arguments(PluginArguments::default())
    }
}
