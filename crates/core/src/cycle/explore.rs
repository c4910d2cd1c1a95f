//! Trying a near-tie now and then, so that what a model would say of other nodes can be checked against what happens there:
//! [`explore`].

use super::standing::Choice;
use crate::predictor::NodePrediction;
use crate::profile::Exploration;
use crate::state::{ClusterState, NodeId, mix};

/// What a choice became, with the exact probability of it over all seeds.
pub(super) struct Tried {
    pub choice: Choice,
    /// Whether another node than the best was taken.
    pub explored: bool,
    /// The probability of the node that was taken.
    pub propensity: f64,
}

/// Takes, with the share of `exploration`, one of the nodes whose totals are within its points of the best, each as likely; the
/// best, or one of those equal to it, otherwise. Only nodes on which the model had a say are tried: without confidence the choice
/// stays the deterministic one.
pub(super) fn explore(
    choice: Choice,
    exploration: &Exploration,
    seed: u64,
    state: &ClusterState,
    moved: &[(NodeId, f64, NodePrediction)],
    total: impl Fn(NodeId) -> f64,
) -> Tried {
    let equals = choice.equals.max(1) as f64;
    let best = total(choice.best);
    let share = exploration.share.clamp(0.0, 0.5);
    let mut near: Vec<NodeId> = Vec::new();
    if share > 0.0 {
        let is_near = |id: NodeId| {
            let total = total(id);
            total < best && total >= best - exploration.points
        };
        near.extend(moved.iter().filter(|(id, _, said)| said.confidence > 0.0 && is_near(*id)).map(|(id, ..)| *id));
    }
    if near.is_empty() {
        return Tried { choice, explored: false, propensity: 1.0 / equals };
    }
    let lot = mix(seed ^ 0x6578_706c_6f72_6521);
    if (lot >> 11) as f64 / (1u64 << 53) as f64 >= share {
        return Tried { choice, explored: false, propensity: (1.0 - share) / equals };
    }
    // By name, so that a state that was rebuilt gives the same.
    near.sort_unstable_by_key(|id| state.name_hash(*id));
    let drawn = ((u128::from(mix(lot)) * near.len() as u128) >> u64::BITS) as usize;
    let propensity = share / near.len() as f64;
    match near.get(drawn) {
        Some(node) => {
            let choice = Choice { best: *node, second: Some(choice.best), equals: 1 };
            Tried { choice, explored: true, propensity }
        }
        None => Tried { choice, explored: false, propensity: 1.0 / equals },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use crate::cycle::{Cycle, Decider, Decision, Detail, decide};
    use crate::object::{Pod, PodSpec};
    use crate::predictor::{Fallback, NodePrediction, PredictRequest, Predictor};
    use crate::profile::{Exploration, Profile};
    use crate::samples;
    use crate::state::{ClusterState, mix};
    use crate::time::Timestamp;

    /// Says nearly the same of all nodes: by their numbers some are half a point apart.
    struct Nearly(f64);

    impl Predictor for Nearly {
        fn available(&self, _: Timestamp) -> Result<(), Fallback> {
            Ok(())
        }

        fn predict(&self, request: &PredictRequest<'_>, said: &mut Vec<NodePrediction>) -> Result<(), Fallback> {
            let number = |name: &str| name.trim_start_matches("node-").parse::<f64>().unwrap_or(0.0);
            let p_bad = |name: &str| 0.5 + 5e-4 * (number(name) % 7.0);
            said.extend(
                request.candidates.iter().map(|n| NodePrediction { p_bad: p_bad(n.name()), confidence: self.0 }),
            );
            Ok(())
        }

        fn model_id(&self) -> Option<Arc<str>> {
            Some("nearly".into())
        }
    }

    fn cluster(nodes: &[u8]) -> ClusterState {
        let mut state = ClusterState::new();
        for (at, variant) in nodes.iter().enumerate() {
            state.apply_node(samples::node(at as u8, *variant));
        }
        state
    }

    fn cycle(seed: u64) -> Cycle {
        Cycle { now: Timestamp::EPOCH, seed, detail: Detail::Brief }
    }

    fn often() -> Profile {
        let exploration = Exploration { share: 0.3, ..Exploration::default() };
        Profile { exploration, ..Profile::default() }
    }

    fn with_priority(pod: Pod, priority: i32) -> Pod {
        Pod { spec: Arc::new(PodSpec { priority, ..PodSpec::clone(&pod.spec) }), ..pod }
    }

    /// Points behind the best node: of the runner-up's total, where a near-tie was tried.
    fn behind(decision: &Decision) -> f64 {
        match (&decision.chosen, &decision.runner_up) {
            (Some(chosen), Some(best)) if decision.explored => best.total - chosen.total,
            _ => 0.0,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn logged_propensities_are_the_frequencies(
            nodes in prop::collection::vec(any::<u8>(), 1..9), asked in any::<u8>(), first in any::<u64>(),
        ) {
            let (state, profile) = (cluster(&nodes), often());
            let pod = with_priority(samples::pod(100, asked), 0);
            let (mut decider, seeds) = (Decider::new(), 4_000u32);
            let mut seen: BTreeMap<String, (f64, u32, bool)> = BTreeMap::new();
            for number in 0..seeds {
                let seed = mix(first.wrapping_add(u64::from(number)));
                let decision = decider.decide(&state, &pod, &profile, &Nearly(1.0), cycle(seed));
                let Some(node) = decision.node() else { return Ok(()) };
                let entry = seen.entry(node.to_string()).or_insert((decision.propensity, 0, decision.explored));
                prop_assert_eq!((entry.0, entry.2), (decision.propensity, decision.explored), "one for each node");
                prop_assert!(behind(&decision) >= 0.0 && behind(&decision) <= profile.exploration.points);
                entry.1 += 1;
            }
            let sum: f64 = seen.values().map(|(propensity, ..)| propensity).sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "{:?}", seen);
            for (node, (propensity, count, _)) in &seen {
                let expected = propensity * f64::from(seeds);
                let deviation = (expected * (1.0 - propensity)).sqrt();
                prop_assert!((f64::from(*count) - expected).abs() <= 5.0 * deviation + 1e-9, "{}: {:?}", node, seen);
            }
        }

        #[test]
        fn never_with_pods_of_the_system_or_of_priority_nor_without_confidence(
            nodes in prop::collection::vec(any::<u8>(), 1..9), asked in any::<u8>(), seed in any::<u64>(), priority in 1i32..2_000_000_000,
        ) {
            let (state, profile) = (cluster(&nodes), often());
            let plain = with_priority(samples::pod(100, asked), 0);
            let system = Pod { namespace: "kube-system".into(), ..plain.clone() };
            let high = with_priority(plain.clone(), priority);
            for (pod, confidence) in [(&system, 1.0), (&high, 1.0), (&plain, 0.0)] {
                let decision = decide(&state, pod, &profile, &Nearly(confidence), cycle(seed));
                let off = Profile { exploration: Exploration::OFF, ..profile.clone() };
                let without = decide(&state, pod, &off, &Nearly(confidence), cycle(seed));
                prop_assert!(!decision.explored);
                prop_assert_eq!(decision, without);
            }
        }
    }

    #[test]
    fn a_tried_node_is_named_as_such_with_the_best_as_runner_up_and_the_same_seed_tries_it_again() {
        let (state, profile) = (cluster(&[3, 3, 3, 3]), often());
        let pod = with_priority(samples::pod(100, 2), 0);
        let decided = |seed| decide(&state, &pod, &profile, &Nearly(1.0), cycle(seed));
        let tried: Vec<Decision> = (0..100).map(mix).map(decided).filter(|decision| decision.explored).collect();
        assert!((15..45).contains(&tried.len()), "{}", tried.len());
        for decision in &tried {
            assert_eq!(*decision, decided(decision.cycle.seed));
            assert_eq!(decision.runner_up.as_ref().map(|best| &*best.node), Some("node-0"));
            assert!((decision.propensity - 0.1).abs() < 1e-9 && behind(decision) > 0.0, "{}", decision.reason);
            assert!(decision.reason.contains("was tried for the sake of learning"), "{}", decision.reason);
        }
    }
}
