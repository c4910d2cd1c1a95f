//! Measurements that a user can repeat: `augur bench …`. Each prints a table for people and one JSON line last.

pub mod apiserver;
pub mod cluster;
pub mod decide;
pub mod forest;
pub mod history;
pub mod http1;
pub mod placement;
pub mod predict;
pub mod process;
pub mod sample;
pub mod score;
