//! Forests over tables of numbers: training, prediction, calibration, explanation and a model file. Knows nothing of Kubernetes.
//!
//! [`Bins`] turn columns into [`BinnedRows`]; [`Forest::train`] makes a [`Forest`] of them. Everything is a function of its
//! arguments: no clock, no files, and no randomness but that of the seed.

mod bins;
mod bootstrap;
mod calibrate;
mod conformal;
mod error;
mod file;
mod forest;
pub mod import;
mod importance;
mod metrics;
mod predict;
#[cfg(target_arch = "x86_64")]
mod predict_avx2;
mod quantile;
mod random;
mod refresh;
mod select;
mod shap;
pub mod synthetic;
mod train;
mod tree;

pub use bins::{BinnedRows, Bins, Feature, MAX_BINS, MAX_SLOTS, Slot};
pub use bootstrap::clustered_interval;
pub use calibrate::Calibrator;
pub use conformal::{AdaptiveAlpha, Conformal};
pub use error::ForestError;
pub use file::{Blended, Model};
pub use forest::{Forest, Output, logistic};
pub use importance::permutation_importance;
pub use metrics::{
    RELIABILITY_BINS, Ranking, ReliabilityBin, auc, average_precision, brier, expected_calibration_error, log_loss,
    reliability,
};
pub use predict::Path;
pub use quantile::QuantileForest;
pub use random::Random;
pub use refresh::Support;
pub use select::{Candidate, Order, SelectParams, Selection, select};
pub use shap::{Contrast, MAX_CONTRAST};
pub use train::{BoostParams, ForestParams, Monotone, Objective, OutOfBag};
pub use tree::TreeNode;
