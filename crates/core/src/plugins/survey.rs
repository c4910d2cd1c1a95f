//! What plugins that look at the whole cluster work out once a decision.

use super::Rejection;
use crate::object::{Node, Pod};
use crate::state::NodeView;

/// Counts over the whole cluster for one pod, by which it is judged on each node.
pub(crate) trait Survey<'a> {
    /// Whether the pod fits the node.
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection>;

    /// Follows, in trials of preemption, that a pod came to the node (`by` 1) or left it (`by` -1).
    fn follow(&mut self, moved: &Pod, node: &'a Node, by: i64);

    /// A copy for a trial.
    fn copy(&self) -> Box<dyn Survey<'a> + 'a>;
}
