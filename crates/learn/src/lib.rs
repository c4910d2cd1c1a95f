//! Learning from what became of placements.
//!
//! [`features`] defines the named features and computes them from facts known at the moment of a decision; [`model`] is a
//! calibrated forest over them; [`online`] is the loop that trains, judges, promotes and takes back, as plain data: time and
//! seed are arguments. [`predictor`] is what the decision asks.

mod arms;
pub mod examples;
pub mod features;
pub mod lifetime;
pub mod model;
pub mod online;
pub mod predictor;

pub use arms::Lots;
pub use examples::example_of;
pub use features::{
    ClusterFacts, FEATURE_COUNT, FEATURE_NAMES, FEATURES, Feature, FeatureRow, FeatureVector, Missing, NAMED_COUNT,
    NodeFacts, NodePast, PairFacts, Past, PodFacts, SCHEMA, feature_vector, features_of, past_of, row_of, workload_key,
};
pub use model::{Answer, LearnedModel, ModelError, Parts};
pub use online::{Event, Learner, LearnerOptions};
pub use predictor::{Budget, InUse, ModelPredictor, ModelSlot, PastSlot, Probation};
