//! A simulated cluster: nodes, kubelets, workloads, faults, metrics.
//!
//! [`sim`] is the physics, pure and deterministic per seed; [`scenario`] says what there is and what happens; [`Sandbox`] runs
//! both behind the API. [`trace`] feeds real traces through the same API.

mod driver;
pub mod scenario;
pub mod sim;
pub mod trace;

pub use driver::{Sandbox, SandboxError, SandboxHandle, SandboxOptions, SandboxProgress};
pub use scenario::{Scenario, ScenarioError};
