//! A simulated cluster: nodes, kubelets, workloads, faults, metrics.
//!
//! [`sim`] is the physics, pure and deterministic per seed; [`scenario`] says what there is and what happens.

pub mod scenario;
pub mod sim;
pub mod trace;
