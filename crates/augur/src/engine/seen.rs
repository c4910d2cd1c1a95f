//! What the watches hand to the engine: [`SeenPod`] and [`SeenNode`], read from JSON on the watching task, so that the scheduler
//! thread never parses.

use std::sync::Arc;

use augur_api::NodeCondition;
use augur_core::object::{Node, Pod};
use augur_history::{PodObservation, UnixMillis};
use augur_kube::{MALFORMED, Object, Skipped, convert, wire};

use super::observe::observation;

/// A pod: for the scheduler, and for history.
#[derive(Debug)]
pub struct SeenPod {
    /// As the decision sees it.
    pub pod: Pod,
    /// As history sees it. The time is set, and a deletion marked, by the scheduler thread.
    pub observation: PodObservation,
}

impl Object for SeenPod {
    fn read(json: &str) -> Result<(Self, String), Skipped> {
        let wire: wire::Pod<'_> = parse(json)?;
        let seen = SeenPod { pod: convert::pod(&wire)?, observation: observation(&wire, false, UnixMillis(0)) };
        Ok((seen, wire.metadata.resource_version.to_string()))
    }
}

/// A node: for the scheduler, and what the services show of it beyond that.
#[derive(Debug)]
pub struct SeenNode {
    /// As the decision sees it.
    pub node: Node,
    /// All its conditions.
    pub conditions: Arc<[NodeCondition]>,
}

impl Object for SeenNode {
    fn read(json: &str) -> Result<(Self, String), Skipped> {
        let wire: wire::Node<'_> = parse(json)?;
        let conditions = wire.status.conditions.iter().map(|condition| NodeCondition {
            kind: condition.r#type.to_string(),
            status: condition.status.to_string(),
            reason: condition.reason.to_string(),
        });
        let seen = SeenNode { node: convert::node(&wire)?, conditions: conditions.collect() };
        Ok((seen, wire.metadata.resource_version.to_string()))
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(json: &'a str) -> Result<T, Skipped> {
    serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_for_both_sides_with_its_revision() {
        let pod = r#"{"metadata":{"name":"p","uid":"u","resourceVersion":"7"},"spec":{"nodeName":"n1"}}"#;
        let (seen, revision) = SeenPod::read(pod).unwrap();
        assert_eq!(
            (revision.as_str(), seen.pod.node.as_deref(), seen.observation.node.as_deref()),
            ("7", Some("n1"), Some("n1"))
        );
        let node = r#"{"metadata":{"name":"n1","resourceVersion":"8"},"status":{"conditions":[
            {"type":"Ready","status":"False","reason":"KubeletNotReady"}]}}"#;
        let (seen, revision) = SeenNode::read(node).unwrap();
        assert_eq!(
            (revision.as_str(), seen.node.ready, seen.conditions[0].reason.as_str()),
            ("8", false, "KubeletNotReady")
        );
    }

    #[test]
    fn what_is_no_pod_is_refused() {
        assert_eq!(SeenPod::read(r#"{"metadata":{"name":"p","uid":"u"},"spec":7}"#).unwrap_err().reason, MALFORMED);
        assert_eq!(SeenNode::read("[").unwrap_err().reason, MALFORMED);
    }
}
