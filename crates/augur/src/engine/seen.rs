//! What the watches hand to the engine: [`SeenPod`] and [`SeenNode`], read from JSON on the watching task, so that the scheduler
//! thread never parses. [`Reader`] reads many of them and keeps what they have in common once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use augur_api::NodeCondition;
use augur_core::object::{Node, Pod};
use augur_kube::{MALFORMED, Object, Shared, Skipped, convert, wire};

use super::observe::Fares;

/// A pod: for the scheduler, and for history.
#[derive(Debug)]
pub struct SeenPod {
    /// As the decision sees it.
    pub pod: Pod,
    /// What history wants to know beyond that.
    pub fares: Fares,
}

impl Object for SeenPod {
    fn read(json: &str) -> Result<(Self, String), Skipped> {
        let wire: wire::Pod<'_> = parse(json)?;
        let seen = SeenPod { pod: convert::pod(&wire)?, fares: Fares::of(&wire) };
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

/// Reads the objects of a watch.
#[derive(Default)]
pub struct Reader {
    shared: Mutex<Shared>,
    /// What nodes say of themselves: nearly all the same, in few ways.
    conditions: Mutex<HashSet<Arc<[NodeCondition]>>>,
}

impl Reader {
    /// [`SeenPod::read`] with what pods have in common kept once.
    pub fn pod(&self, json: &str) -> Result<(SeenPod, String), Skipped> {
        let (mut seen, revision) = SeenPod::read(json)?;
        let mut shared = lock(&self.shared);
        shared.pod(&mut seen.pod);
        seen.fares.shared_names().for_each(|name| shared.name(name));
        Ok((seen, revision))
    }

    /// [`SeenNode::read`] with what nodes have in common kept once.
    pub fn node(&self, json: &str) -> Result<(SeenNode, String), Skipped> {
        let (mut seen, revision) = SeenNode::read(json)?;
        lock(&self.shared).node(&mut seen.node);
        let mut known = lock(&self.conditions);
        if let Some(same) = known.get(&seen.conditions) {
            seen.conditions = same.clone();
        } else {
            known.retain(|conditions| Arc::strong_count(conditions) > 1);
            known.insert(seen.conditions.clone());
        }
        Ok((seen, revision))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept twice after a panic does no harm.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parse<'a, T: serde::Deserialize<'a>>(json: &'a str) -> Result<T, Skipped> {
    serde_json::from_str(json).map_err(|error| Skipped::new(MALFORMED, error.to_string()))
}

#[cfg(test)]
mod tests {
    use augur_history::UnixMillis;

    use super::*;

    #[test]
    fn an_object_is_read_for_both_sides_with_its_revision() {
        let pod = r#"{"metadata":{"name":"p","uid":"u","resourceVersion":"7"},"spec":{"nodeName":"n1"}}"#;
        let (seen, revision) = SeenPod::read(pod).unwrap();
        assert_eq!(
            (
                revision.as_str(),
                seen.pod.node.as_deref(),
                seen.fares.observation(&seen.pod, false, UnixMillis(0)).node.as_deref()
            ),
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
    fn what_objects_have_in_common_is_kept_once() {
        let reader = Reader::default();
        let pod = |name: &str| {
            let json = format!(
                r#"{{"metadata":{{"name":"{name}","uid":"{name}","namespace":"shop","labels":{{"app":"web","pod-template-hash":"5d"}}}},
                    "spec":{{"nodeName":"n1"}}}}"#
            );
            let seen = reader.pod(&json).unwrap().0;
            let observed = seen.fares.observation(&seen.pod, false, UnixMillis(7));
            (seen.pod, observed)
        };
        let ((a, seen_a), (b, seen_b)) = (pod("a"), pod("b"));
        assert!(Arc::ptr_eq(&a.spec, &b.spec) && Arc::ptr_eq(&a.uid, &seen_a.pod.uid));
        assert!(
            Arc::ptr_eq(&seen_a.revision, &seen_b.revision)
                && Arc::ptr_eq(&seen_a.workload.name, &seen_b.workload.name)
        );
        assert_eq!((&*b.name, &*seen_b.pod.uid, &*seen_b.revision), ("b", "b", "5d"));
        let node = |name: &str, ready: &str| {
            let json = format!(
                r#"{{"metadata":{{"name":"{name}","labels":{{"zone":"z"}}}},"status":{{"conditions":[{{"type":"Ready","status":"{ready}"}}]}}}}"#
            );
            reader.node(&json).unwrap().0
        };
        let (a, b, c) = (node("a", "True"), node("b", "True"), node("c", "False"));
        assert!(Arc::ptr_eq(&a.conditions, &b.conditions) && a.conditions != c.conditions);
        assert_eq!(c.node.labels.get("zone"), Some("z"));
    }

    #[test]
    fn what_is_no_pod_is_refused() {
        assert_eq!(SeenPod::read(r#"{"metadata":{"name":"p","uid":"u"},"spec":7}"#).unwrap_err().reason, MALFORMED);
        assert_eq!(SeenNode::read("[").unwrap_err().reason, MALFORMED);
    }
}
