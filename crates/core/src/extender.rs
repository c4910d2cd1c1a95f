//! What extenders say of a pod's nodes, as kube-scheduler takes it: [`Extender`] says which pods one cares about, [`Advice`]
//! gathers the answers of all that were asked, and [`Eviction`] is what one makes of making room.
//!
//! Nothing here calls anybody: answers come in as values, and a decision takes them as an input.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::object::{NodeName, PodSpec, PodUid};
use crate::plugins::Code;

/// The best score that an extender can give.
const MAX_EXTENDER_PRIORITY: i64 = 10;
/// The best score of a plugin, before its weight.
const MAX_NODE_SCORE: i64 = 100;

/// An extender as the decision sees it. Their order is that in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extender {
    /// Its address, by which kube-scheduler names it.
    pub name: Arc<str>,
    /// Whether it filters nodes.
    pub filters: bool,
    /// Whether it scores nodes.
    pub prioritizes: bool,
    /// Whether it has a say in who is evicted.
    pub preempts: bool,
    /// What its scores are multiplied with.
    pub weight: i64,
    /// The extended resources that make a pod its business; none for all pods.
    pub managed_resources: Vec<Arc<str>>,
    /// Whether decisions go on without it when it fails.
    pub ignorable: bool,
}

impl Extender {
    /// Whether it is asked about pods of this spec.
    #[must_use]
    pub fn is_interested(&self, spec: &PodSpec) -> bool {
        let asks_for = |name: &Arc<str>| spec.requests.granted.scalars.iter().any(|(known, _)| known == name);
        self.managed_resources.is_empty() || self.managed_resources.iter().any(asks_for)
    }

    /// Whether it has to be asked about nodes.
    #[must_use]
    pub fn judges_nodes(&self) -> bool {
        self.filters || self.prioritizes
    }

    /// By how much it can move the total of a node.
    pub(crate) fn range(&self) -> i64 {
        self.weight.saturating_mul(MAX_NODE_SCORE)
    }
}

/// The answer to a filter call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FilterAnswer {
    /// Nodes on which the pod may run.
    pub passed: Vec<String>,
    /// Nodes on which it may not, with the reason; evicting pods could help.
    pub failed: BTreeMap<String, String>,
    /// The same where evicting pods would not help. Counts before `failed`.
    pub unresolvable: BTreeMap<String, String>,
}

/// What is said of one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Opinion {
    /// Why the pod may not run there: evicting pods could help or not, and the reason unless none was given.
    pub(crate) rejection: Option<(Code, Option<Arc<str>>)>,
    /// Points by extender.
    pub(crate) scores: Vec<(Arc<str>, i64)>,
}

impl Opinion {
    pub(crate) fn total(&self) -> i64 {
        self.scores.iter().map(|(_, score)| *score).fold(0, i64::saturating_add)
    }
}

/// What extenders made of the nodes that they were asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advice {
    opinions: HashMap<NodeName, Opinion>,
    /// Nodes that all have let pass so far, in the order in which they were given.
    passing: Vec<NodeName>,
    /// By how much the extenders that gave points can move a total.
    range: i64,
}

impl Advice {
    /// Nobody has said anything of these nodes yet.
    #[must_use]
    pub fn about(nodes: Vec<NodeName>) -> Advice {
        let opinions = nodes.iter().map(|node| (node.clone(), Opinion::default())).collect();
        Advice { opinions, passing: nodes, range: 0 }
    }

    /// Nodes that all have let pass so far: what the next extender is asked about.
    #[must_use]
    pub fn passing(&self) -> &[NodeName] {
        &self.passing
    }

    /// Takes in what an extender lets pass. A node that it does not mention at all fails without a reason.
    ///
    /// # Errors
    /// When it names a node that it was not asked about. The advice is as before then.
    pub fn filtered(&mut self, extender: &str, answer: &FilterAnswer) -> Result<(), String> {
        let asked: HashMap<&str, &NodeName> = self.passing.iter().map(|node| (&**node, node)).collect();
        let mut passed = Vec::with_capacity(answer.passed.len());
        for name in &answer.passed {
            let Some(node) = asked.get(name.as_str()) else {
                return Err(format!(
                    "extender {extender:?} claims a filtered node {name:?} which is not found in the input node list"
                ));
            };
            passed.push((*node).clone());
        }
        let mut kept: HashSet<NodeName> = HashSet::with_capacity(passed.len());
        passed.retain(|node: &NodeName| kept.insert(node.clone()));
        for node in self.passing.iter().filter(|node| !kept.contains(*node)) {
            let with = |code, text: &String| (code, Some(Arc::from(text.as_str())));
            let rejection = match (answer.unresolvable.get(&**node), answer.failed.get(&**node)) {
                (Some(text), _) => with(Code::UnschedulableAndUnresolvable, text),
                (None, Some(text)) => with(Code::Unschedulable, text),
                (None, None) => (Code::UnschedulableAndUnresolvable, None),
            };
            if let Some(opinion) = self.opinions.get_mut(node) {
                opinion.rejection = Some(rejection);
            }
        }
        self.passing = passed;
        Ok(())
    }

    /// Takes in scores by node: each counts 0 to 10, times the extender's weight, on the plugins' scale. What is said of other
    /// nodes than those that were asked about has no effect.
    pub fn prioritized(&mut self, extender: &Extender, scores: &[(String, i64)]) {
        self.range = self.range.saturating_add(extender.range());
        for (node, score) in scores {
            let points = score.saturating_mul(extender.weight).saturating_mul(MAX_NODE_SCORE / MAX_EXTENDER_PRIORITY);
            if let Some(opinion) = self.opinions.get_mut(node.as_str()) {
                match opinion.scores.iter_mut().find(|(name, _)| *name == extender.name) {
                    Some((_, known)) => *known = known.saturating_add(points),
                    None => opinion.scores.push((extender.name.clone(), points)),
                }
            }
        }
    }

    /// Whether the node was asked about.
    #[must_use]
    pub fn is_about(&self, node: &str) -> bool {
        self.opinions.contains_key(node)
    }

    /// What is said of a node; `None` if nobody was asked about it.
    pub(crate) fn of(&self, node: &str) -> Option<&Opinion> {
        self.opinions.get(node)
    }

    /// By how much the extenders that gave points can move a total.
    pub(crate) fn range(&self) -> i64 {
        self.range
    }

    /// Whether any node has points.
    pub(crate) fn has_scores(&self) -> bool {
        self.opinions.values().any(|opinion| !opinion.scores.is_empty())
    }
}

/// Pods of one node that would have to go, as an extender sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// The node.
    pub node: NodeName,
    /// Uids of the pods.
    pub victims: Vec<PodUid>,
    /// How many of them a disruption budget protects.
    pub budget_violations: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(nodes: &[&str]) -> Vec<NodeName> {
        nodes.iter().map(|node| Arc::from(*node)).collect()
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(node, why)| ((*node).to_owned(), (*why).to_owned())).collect()
    }

    #[test]
    fn each_extender_narrows_what_the_one_before_let_pass() {
        let mut advice = Advice::about(names(&["a", "b", "c", "d"]));
        let answer = FilterAnswer {
            passed: vec!["c".into(), "b".into(), "c".into()],
            failed: texts(&[("a", "busy"), ("d", "busy")]),
            unresolvable: texts(&[("d", "broken")]),
        };
        advice.filtered("http://x", &answer).unwrap();
        assert_eq!(advice.passing(), names(&["c", "b"]), "in the extender's order, each once");
        advice.filtered("http://y", &FilterAnswer { passed: vec!["b".into()], ..FilterAnswer::default() }).unwrap();
        assert_eq!(advice.passing(), names(&["b"]));
        let rejection = |node: &str| advice.of(node).unwrap().rejection.clone();
        assert_eq!(rejection("a"), Some((Code::Unschedulable, Some("busy".into()))));
        assert_eq!(rejection("d"), Some((Code::UnschedulableAndUnresolvable, Some("broken".into()))));
        assert_eq!(rejection("c"), Some((Code::UnschedulableAndUnresolvable, None)), "it was not mentioned");
        assert_eq!(rejection("b"), None);
        assert_eq!(advice.of("e"), None);
    }

    #[test]
    fn a_node_that_was_not_asked_about_is_an_error_and_changes_nothing() {
        let mut advice = Advice::about(names(&["a"]));
        let before = advice.clone();
        let answer = FilterAnswer { passed: vec!["b".into()], ..FilterAnswer::default() };
        let error = advice.filtered("http://x", &answer).unwrap_err();
        let expected = "extender \"http://x\" claims a filtered node \"b\" which is not found in the input node list";
        assert_eq!((error.as_str(), advice), (expected, before));
    }

    #[test]
    fn scores_are_on_the_scale_of_plugins_and_add_up() {
        let extender = |name: &str, weight| Extender { name: name.into(), weight, ..Extender::default() };
        let mut advice = Advice::about(names(&["a", "b"]));
        advice.prioritized(&extender("x", 3), &[("a".into(), 10), ("b".into(), 1), ("foreign".into(), 10)]);
        advice.prioritized(&extender("y", 1), &[("a".into(), 2), ("a".into(), 3)]);
        assert_eq!(advice.of("a").unwrap().scores, [("x".into(), 300), ("y".into(), 50)]);
        assert_eq!((advice.of("a").unwrap().total(), advice.of("b").unwrap().total()), (350, 30));
        advice.prioritized(&extender("z", i64::MAX), &[("b".into(), i64::MAX)]);
        assert_eq!(advice.of("b").unwrap().total(), i64::MAX);
    }

    #[test]
    fn managed_resources_say_whose_business_a_pod_is() {
        let spec = |resource: &str| {
            let mut spec = PodSpec::default();
            spec.requests.granted.scalars = vec![(resource.into(), 1)];
            spec
        };
        let all = Extender::default();
        let some = Extender { managed_resources: vec!["example.com/gpu".into()], ..Extender::default() };
        assert!(all.is_interested(&PodSpec::default()) && some.is_interested(&spec("example.com/gpu")));
        assert!(!some.is_interested(&PodSpec::default()) && !some.is_interested(&spec("example.com/nic")));
    }
}
