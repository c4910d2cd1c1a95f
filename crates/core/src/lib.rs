//! The decision core: units, cluster state, queue, plugins, cycle, preemption, diagnosis. Pure.

pub mod cache;
pub mod cel;
pub mod cluster_event;
pub mod cycle;
pub mod enhanced;
pub mod extender;
pub mod object;
pub mod plugins;
pub mod predictor;
pub mod preemption;
pub mod profile;
pub mod queue;
#[cfg(test)]
mod samples;
pub mod scheduler;
pub mod state;
pub mod time;
pub mod units;
