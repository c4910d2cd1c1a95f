//! A simulated cluster: nodes, kubelets, workloads, faults, metrics.
//!
//! [`sim`] is the physics, pure and deterministic per seed.

pub mod sim;
