//! The decision core: units, cluster state, queue, plugins, cycle, preemption, diagnosis. Pure.

pub mod plugins;
pub mod queue;
pub mod time;
