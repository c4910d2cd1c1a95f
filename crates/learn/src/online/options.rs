//! Settings of the online loop: [`LearnerOptions`].

use std::time::Duration;

/// How the learner learns, judges and takes back. The defaults are those of the configuration's contract.
#[derive(Debug, Clone, PartialEq)]
pub struct LearnerOptions {
    /// Seed of forests, bootstraps and lots.
    pub seed: u64,
    /// Trees of a forest (`model.n_estimators`).
    pub trees: usize,
    /// Their depth (`model.max_depth`).
    pub max_depth: usize,
    /// Whether boosted trees are trained beside each forest, and take its place where they are surely better.
    pub boosted: bool,
    /// Threads that train; the result does not depend on them.
    pub threads: usize,
    /// How long after its decision a placement is judged.
    pub horizon: Duration,
    /// What is older is forgotten.
    pub window: Duration,
    /// After this time an example weighs half.
    pub half_life: Duration,
    /// Examples kept at most, the newest; the bound of the learner's memory, at about 400 bytes each.
    pub max_examples: usize,
    /// Matured labels that are gathered before the leaves are refreshed (`online_learning.feedback_threshold`).
    pub feedback_threshold: usize,
    /// The share of hold-out placements that a model must call right, or as many as calling all of them the same would, if
    /// that is less (`online_learning.performance_threshold`).
    pub performance_threshold: f64,
    /// The longest time between two trainings (`online_learning.update_interval`).
    pub update_interval: Duration,
    /// Drift starts a challenger no sooner than this after the last training.
    pub min_interval: Duration,
    /// Matured examples without which nothing is trained.
    pub min_matured: usize,
    /// Bad ones among them without which nothing is trained.
    pub min_bad: usize,
    /// Share of the matured examples, the newest, that models are calibrated on and judged by.
    pub holdout: f64,
    /// The largest expected calibration error of a model that is promoted.
    pub max_ece: f64,
    /// The longest time that a prediction may take, in nanoseconds a node.
    pub max_latency_ns: f64,
    /// Share of pods that no model is asked about, for good.
    pub holdback: f64,
    /// Share of the other pods that a newly promoted model gets, until it has stood its test.
    pub probation: f64,
    /// How long that test takes.
    pub probation_for: Duration,
    /// A model is taken back when the evidence against it would be met with by chance once in so many harmless ones.
    pub rollback_evidence: f64,
    /// The same on probation, where a false alarm costs little.
    pub probation_evidence: f64,
}

impl Default for LearnerOptions {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3600);
        LearnerOptions {
            seed: 42,
            trees: 100,
            max_depth: 10,
            boosted: true,
            threads: 1,
            horizon: HOUR,
            window: 168 * HOUR,
            half_life: 72 * HOUR,
            max_examples: 400_000,
            feedback_threshold: 10,
            performance_threshold: 0.8,
            update_interval: 24 * HOUR,
            min_interval: HOUR / 4,
            min_matured: 2_000,
            min_bad: 100,
            holdout: 0.3,
            max_ece: 0.03,
            max_latency_ns: 5_000.0,
            holdback: 0.05,
            probation: 0.5,
            probation_for: HOUR / 2,
            rollback_evidence: 20.0,
            probation_evidence: 10.0,
        }
    }
}
