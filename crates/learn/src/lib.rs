//! Learning from what became of placements.
//!
//! [`features`] defines the named features and computes them from facts known at the moment of a decision.

mod arms;
pub mod features;
pub mod lifetime;
pub mod online;

pub use features::{
    ClusterFacts, FEATURE_COUNT, FEATURE_NAMES, FEATURES, Feature, FeatureRow, FeatureVector, Missing, NAMED_COUNT,
    NodeFacts, NodePast, PairFacts, PodFacts, SCHEMA, feature_vector, features_of, row_of, workload_key,
};
