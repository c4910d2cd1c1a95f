//! The commands, one file each.

pub mod apiserver;
pub mod config;
pub mod conformance;
pub mod evaluate;
pub mod export;
pub mod health;
pub mod history;
pub mod learner;
pub mod sandbox;
pub mod scheduler;
pub mod shadow;
pub mod up;
