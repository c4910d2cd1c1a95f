//! Forests over tables of numbers: training, prediction, calibration, explanation and a model file. Knows nothing of Kubernetes.
//!
//! [`Bins`] turn columns into [`BinnedRows`]; [`Forest::train`] makes a [`Forest`] of them. Everything is a function of its
//! arguments: no clock, no files, and no randomness but that of the seed.

mod bins;
mod error;
mod forest;
mod metrics;
mod predict;
mod random;
pub mod synthetic;
mod train;
mod tree;

pub use bins::{BinnedRows, Bins, Feature, MAX_BINS, MAX_SLOTS, Slot};
pub use error::ForestError;
pub use forest::{Forest, Output, logistic};
pub use metrics::auc;
pub use predict::Path;
pub use random::Random;
pub use train::{ForestParams, Monotone, Objective, OutOfBag};
pub use tree::TreeNode;
