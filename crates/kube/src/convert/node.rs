//! Nodes.

use augur_core::object::{Effect, Node, NodeImage, Resources, Taint};
use augur_core::units::Bytes;

use augur_notation::Quantity;

use super::{NAMELESS, amounts, labels};
use crate::reflect::Skipped;
use crate::wire;

/// The node as the decision sees it.
///
/// # Errors
/// It has no name, or an amount that is none.
pub fn node(node: &wire::Node<'_>) -> Result<Node, Skipped> {
    if node.metadata.name.is_empty() {
        return Err(Skipped::new(NAMELESS, "a node without a name"));
    }
    let status = &node.status;
    // As the API server itself fills in what the kubelet has not reported yet.
    let allocatable = match status.allocatable.as_ref().or(status.capacity.as_ref()) {
        Some(map) => amounts(map, "status.allocatable")?,
        None => Vec::new(),
    };
    let amount = |name: &str| allocatable.iter().find(|(known, _)| &**known == name).map(|(_, amount)| *amount);
    let mut declared_features: Vec<_> = status.declared_features.iter().map(|name| name.as_str().into()).collect();
    declared_features.sort();
    Ok(Node {
        name: node.metadata.name.as_str().into(),
        labels: labels(&node.metadata.labels),
        taints: node
            .spec
            .taints
            .iter()
            .map(|taint| Taint {
                key: taint.key.as_str().into(),
                value: taint.value.as_str().into(),
                effect: Effect::of(&taint.effect),
            })
            .collect(),
        unschedulable: node.spec.unschedulable == Some(true),
        allowed_pods: amount("pods").map_or(0, Quantity::value),
        allocatable: Resources::of(allocatable.iter().map(|(name, amount)| (&**name, *amount))),
        ready: status
            .conditions
            .iter()
            .any(|condition| condition.r#type.as_str() == "Ready" && condition.status.as_str() == "True"),
        images: status
            .images
            .iter()
            .map(|image| NodeImage {
                names: image.names.iter().map(|name| name.as_str().into()).collect(),
                size: Bytes(image.size_bytes),
            })
            .collect(),
        declared_features,
    })
}
