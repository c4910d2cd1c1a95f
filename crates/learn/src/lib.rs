//! Learning from what became of placements.
//!
//! [`features`] defines the named features and computes them from facts known at the moment of a decision.

pub mod features;

pub use features::{
    ClusterFacts, FEATURE_COUNT, FEATURE_NAMES, FEATURES, Feature, FeatureVector, Missing, NodeFacts, PodFacts, SCHEMA,
    feature_vector,
};
