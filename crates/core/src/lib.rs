//! The decision core: units, cluster state, queue, plugins, cycle, preemption, diagnosis. Pure.
