//! Changes of the cluster that may let a pod fit that did not: what queueing hints are asked about.

use std::sync::Arc;

use crate::object::{Node, Pod, Related, RelatedKind};

/// A change of the cluster, or of the waiting pod itself.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterEvent {
    /// A node is new.
    NodeAdded(Arc<Node>),
    /// A node changed.
    NodeChanged {
        /// As it was.
        before: Arc<Node>,
        /// As it is.
        node: Arc<Node>,
    },
    /// A pod is on a node now.
    PodPlaced(Arc<Pod>),
    /// A pod left its node, or came to its end there.
    PodRemoved(Arc<Pod>),
    /// An object besides nodes and pods is new.
    RelatedAdded(Related),
    /// An object besides nodes and pods changed.
    RelatedChanged {
        /// As it was.
        before: Related,
        /// As it is.
        object: Related,
    },
    /// An object besides nodes and pods is gone.
    RelatedRemoved(Related),
    /// All objects of a kind are known from now on.
    RelatedListed(RelatedKind),
    /// The waiting pod itself wants something else now.
    PodChanged,
}
