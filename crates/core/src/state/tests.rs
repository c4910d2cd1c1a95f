use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::cycle::{Cycle, Decider, Decision, Detail, decide};
use crate::predictor::NoModel;
use crate::profile::Profile;
use crate::samples;
use crate::time::Timestamp;

#[derive(Debug, Clone)]
enum Step {
    Node(u8, u8),
    RemoveNode(u8),
    Place(u8, u8, u8),
    Remove(u8),
    Signals(u8, Option<NodeSignals>),
}

fn step() -> impl Strategy<Value = Step> {
    let (node, pod) = (0..6u8, 0..20u8);
    prop_oneof![
        3 => (node.clone(), any::<u8>()).prop_map(|(node, variant)| Step::Node(node, variant)),
        1 => node.clone().prop_map(Step::RemoveNode),
        4 => (pod.clone(), any::<u8>(), node.clone()).prop_map(|(pod, variant, node)| Step::Place(pod, variant, node)),
        2 => pod.prop_map(Step::Remove),
        1 => (node, samples::signals()).prop_map(|(node, signals)| Step::Signals(node, signals)),
    ]
}

fn node_name(number: u8) -> NodeName {
    format!("node-{number}").into()
}

fn judge(state: &ClusterState, pod: &Pod, seed: u64) -> Decision {
    decide(state, pod, &Profile::default(), &NoModel::default(), cycle(seed))
}

fn cycle(seed: u64) -> Cycle {
    Cycle { now: Timestamp::EPOCH, seed, detail: Detail::Full }
}

proptest! {
    /// The state that followed a history, with verdicts kept all along, decides as one that is built from the outcome.
    #[test]
    fn a_history_leaves_nothing_behind(steps in prop::collection::vec(step(), 1..60), asked in prop::collection::vec(any::<u8>(), 1..4)) {
        let mut state = ClusterState::new();
        let mut decider = Decider::new();
        let waiting: Vec<Pod> = asked.iter().map(|variant| samples::pod(100, *variant)).collect();
        let (mut nodes, mut pods) = (BTreeMap::new(), BTreeMap::new());
        let mut seen = BTreeMap::new();
        for (index, step) in steps.into_iter().enumerate() {
            match step {
                Step::Node(number, variant) => {
                    nodes.insert(number, samples::node(number, variant));
                    state.apply_node(samples::node(number, variant));
                }
                Step::RemoveNode(number) => {
                    nodes.remove(&number);
                    seen.remove(&number);
                    state.remove_node(&node_name(number));
                }
                Step::Place(number, variant, node) => {
                    let pod = Arc::new(samples::pod(number, variant));
                    pods.insert(number, (pod.clone(), node_name(node)));
                    state.place(pod, &node_name(node));
                }
                Step::Remove(number) => {
                    let expected = pods.remove(&number).map(|(pod, _)| pod);
                    prop_assert_eq!(state.remove(&format!("uid-{number}")), expected);
                }
                Step::Signals(number, signals) => {
                    prop_assert_eq!(state.set_signals(&node_name(number), signals), nodes.contains_key(&number));
                    if nodes.contains_key(&number) {
                        seen.insert(number, signals);
                    }
                }
            }
            for pod in &waiting {
                let kept = decider.decide(&state, pod, &Profile::default(), &NoModel::default(), cycle(index as u64));
                prop_assert_eq!(kept, judge(&state, pod, index as u64), "kept verdicts are as fresh ones");
            }
        }
        prop_assert_eq!(state.inconsistencies(), Vec::<String>::new());
        let mut rebuilt = ClusterState::new();
        // Image sizes are those that were told first; the samples tell one size only.
        for (pod, node) in pods.into_values().rev() {
            rebuilt.place(pod, &node);
        }
        for (number, node) in nodes.into_iter().rev() {
            rebuilt.apply_node(node);
            rebuilt.set_signals(&node_name(number), seen.get(&number).copied().flatten());
        }
        prop_assert_eq!(rebuilt.inconsistencies(), Vec::<String>::new());
        for pod in &waiting {
            prop_assert_eq!(judge(&state, pod, 7), judge(&rebuilt, pod, 7));
        }
    }
}

#[test]
fn pods_wait_for_their_node_and_stay_when_it_goes() {
    let mut state = ClusterState::new();
    let pod = Arc::new(samples::pod(1, 3));
    state.place(pod.clone(), &node_name(1));
    state.apply_node(samples::node(1, 2));
    assert_eq!(state.node("node-1").map(|node| node.used().pods), Some(1));
    state.remove_node("node-1");
    assert_eq!((state.node_count(), state.pod_count()), (0, 1));
    state.apply_node(samples::node(1, 3));
    assert_eq!(state.node("node-1").map(|node| node.used().pods), Some(1));
    assert_eq!(state.inconsistencies(), Vec::<String>::new());
}

#[test]
fn a_node_that_did_not_change_keeps_its_version() {
    let mut state = ClusterState::new();
    let id = state.apply_node(samples::node(1, 2));
    let version = state.versions()[id.index()];
    state.apply_node(samples::node(1, 2));
    assert_eq!(state.versions()[id.index()], version);
    let mut pod = samples::pod(1, 1);
    state.place(Arc::new(pod.clone()), &node_name(1));
    let version = state.versions()[id.index()];
    pod.phase = crate::object::Phase::Running;
    state.update_pod(Arc::new(pod));
    assert_eq!(state.versions()[id.index()], version, "a pod that runs now takes no more than before");
}
