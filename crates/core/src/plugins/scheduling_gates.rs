//! SchedulingGates: a pod with gates does not enter the queue.

use std::sync::Arc;

/// What the `PodScheduled` condition says of a pod with these gates.
#[must_use]
pub fn gates_message(gates: &[Arc<str>]) -> String {
    let names: Vec<&str> = gates.iter().map(|gate| &**gate).collect();
    format!("waiting for scheduling gates: [{}]", names.join(" "))
}
