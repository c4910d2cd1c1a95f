//! The decision core: units, cluster state, queue, plugins, cycle, preemption, diagnosis. Pure.

pub mod cache;
pub mod object;
pub mod plugins;
pub mod preemption;
pub mod queue;
pub mod time;
pub mod units;
