use proptest::prelude::*;

use super::*;
use crate::object::{PodSpec, PodVolume, RelatedKind};
use crate::predictor::{Fallback, NoModel, NodePrediction, PredictRequest};
use crate::samples;
use crate::state::{NodeView, mix};
use crate::time::Timestamp;

fn cluster(nodes: &[u8], pods: &[(u8, u8)]) -> ClusterState {
    let mut state = ClusterState::new();
    for (number, variant) in nodes.iter().enumerate() {
        state.apply_node(samples::node(number as u8, *variant));
    }
    for (number, (variant, node)) in pods.iter().enumerate() {
        let node = format!("node-{}", usize::from(*node) % nodes.len());
        state.place(Arc::new(samples::pod(number as u8, *variant)), &node.as_str().into());
    }
    state
}

fn cycle(seed: u64) -> Cycle {
    Cycle { now: Timestamp::EPOCH, seed, detail: Detail::Full }
}

/// Says the same of a node whenever it is asked: the node's number in tenths, or nothing to rely on.
struct ByNumber {
    confidence: f64,
}

impl Predictor for ByNumber {
    fn available(&self, _: Timestamp) -> Result<(), Fallback> {
        Ok(())
    }

    fn predict(&self, request: &PredictRequest<'_>, predictions: &mut Vec<NodePrediction>) -> Result<(), Fallback> {
        let number = |node: &NodeView<'_>| node.name().trim_start_matches("node-").parse::<f64>().unwrap_or(0.0);
        predictions.extend(
            request
                .candidates
                .iter()
                .map(|node| NodePrediction { p_bad: number(node) / 10.0, confidence: self.confidence }),
        );
        Ok(())
    }

    fn model_id(&self) -> Option<Arc<str>> {
        Some("by-number".into())
    }
}

fn profile(enhanced: f64) -> Profile {
    let mut profile = Profile::default();
    profile.enhanced.weight = enhanced;
    profile
}

proptest! {
    #[test]
    fn without_signals_enhanced_scoring_changes_no_choice(
        nodes in prop::collection::vec(any::<u8>(), 1..8), pods in prop::collection::vec((any::<u8>(), any::<u8>()), 0..12), asked in any::<u8>(), seed in any::<u64>(),
    ) {
        let state = cluster(&nodes, &pods);
        let pod = samples::pod(100, asked);
        let plain = decide(&state, &pod, &profile(0.0), &NoModel::default(), cycle(seed));
        let enhanced = decide(&state, &pod, &profile(1.0), &NoModel::default(), cycle(seed));
        prop_assert_eq!(plain.outcome, enhanced.outcome);
        prop_assert_eq!(plain.propensity, enhanced.propensity);
        prop_assert_eq!(plain.runner_up.map(|node| node.node), enhanced.runner_up.map(|node| node.node));
    }

    #[test]
    fn signals_and_models_never_change_feasibility(
        nodes in prop::collection::vec((any::<u8>(), samples::signals()), 1..8), pods in prop::collection::vec((any::<u8>(), any::<u8>()), 0..12), asked in any::<u8>(), seed in any::<u64>(),
    ) {
        let variants: Vec<u8> = nodes.iter().map(|(variant, _)| *variant).collect();
        let mut state = cluster(&variants, &pods);
        let pod = samples::pod(100, asked);
        let plain = decide(&state, &pod, &profile(0.0), &NoModel::default(), cycle(seed));
        for (number, (_, signals)) in nodes.iter().enumerate() {
            state.set_signals(&format!("node-{number}"), *signals);
        }
        let moved = decide(&state, &pod, &profile(1.0), &ByNumber { confidence: 1.0 }, cycle(seed));
        let rejections = |decision: &Decision| -> Vec<_> {
            decision.nodes.iter().map(|node| (node.node.clone(), node.rejection.clone())).collect()
        };
        prop_assert_eq!(rejections(&plain), rejections(&moved));
        prop_assert_eq!(plain.node().is_some(), moved.node().is_some());
        prop_assert!((0.0..=1.0).contains(&moved.confidence));
        prop_assert!(moved.nodes.iter().filter_map(|node| node.enhanced).all(|score| (0.0..=100.0).contains(&score.total)));
        let again = decide(&state, &pod, &profile(1.0), &ByNumber { confidence: 1.0 }, cycle(seed));
        prop_assert_eq!(moved, again, "equal arguments, equal decisions");
    }

    #[test]
    fn a_model_without_confidence_leaves_the_choice_as_it_is(
        nodes in prop::collection::vec(any::<u8>(), 1..8), asked in any::<u8>(), seed in any::<u64>(),
    ) {
        let state = cluster(&nodes, &[]);
        let pod = samples::pod(100, asked);
        let without = decide(&state, &pod, &profile(1.0), &NoModel::default(), cycle(seed));
        let with = decide(&state, &pod, &profile(1.0), &ByNumber { confidence: 0.0 }, cycle(seed));
        prop_assert_eq!(without.outcome, with.outcome);
        prop_assert_eq!(without.propensity, with.propensity);
    }
}

#[test]
fn among_equals_every_node_has_its_share() {
    let state = cluster(&[3, 3, 3, 3], &[]);
    let pod = samples::pod(100, 2);
    let mut chosen: HashMap<String, u32> = HashMap::new();
    for seed in 0..4000 {
        let decision = decide(&state, &pod, &Profile::default(), &NoModel::default(), cycle(mix(seed)));
        assert!((decision.propensity - 0.25).abs() < 1e-9);
        *chosen.entry(decision.node().map(ToString::to_string).unwrap_or_default()).or_default() += 1;
    }
    assert_eq!(chosen.len(), 4);
    // Five standard deviations around a thousand.
    assert!(chosen.values().all(|count| (863..1137).contains(count)), "{chosen:?}");
}

#[test]
fn a_model_moves_the_choice_among_equals_to_the_safest_node() {
    let state = cluster(&[3, 3, 3, 3], &[]);
    let pod = samples::pod(100, 2);
    let decision = decide(&state, &pod, &Profile::default(), &ByNumber { confidence: 1.0 }, cycle(1));
    assert_eq!(decision.node().map(|node| &**node), Some("node-0"));
    assert_eq!((decision.algorithm, decision.fallback.clone()), (Algorithm::MlPrediction, None));
    assert_eq!(decision.model_id.as_deref(), Some("by-number"));
    let plugins = decision.chosen.as_ref().map(|node| node.plugins.clone()).unwrap_or_default();
    let weights: i64 = plugins.iter().map(|(plugin, _)| Profile::default().weight(*plugin)).sum();
    let range = 100.0 * (weights + 1) as f64;
    let limit = 2.0 * Profile::default().model_share * range + 1e-9;
    assert!(decision.nodes.iter().all(|node| node.model_part.abs() <= limit), "{:?}", decision.nodes);
}

#[test]
fn what_is_not_implemented_is_named() {
    let mut state = cluster(&[3], &[]);
    let mut spec = PodSpec::clone(&samples::spec(2));
    spec.volumes.push(PodVolume::Claim("data".into()));
    let pod = Pod::new("uid", "default", "web", Arc::new(spec));
    for kind in RelatedKind::ALL.into_iter().filter(|kind| *kind != RelatedKind::CsiNode) {
        state.set_listed(kind);
    }
    let outcome =
        |state: &ClusterState| decide(state, &pod, &Profile::default(), &NoModel::default(), cycle(1)).outcome;
    let feature = "persistent volume claims without a list of csinodes";
    assert_eq!(outcome(&state), Outcome::Refused(vec![feature.into()]));
    state.set_listed(RelatedKind::CsiNode);
    let Outcome::Unschedulable(diagnosis) = outcome(&state) else { panic!("the claim is not there") };
    assert_eq!(diagnosis.message(), "0/1 nodes are available: persistentvolumeclaim \"data\" not found. not found");
}

#[test]
fn without_nodes_the_message_says_so() {
    let decision =
        decide(&ClusterState::new(), &samples::pod(1, 1), &Profile::default(), &NoModel::default(), cycle(1));
    assert_eq!(decision.reason, "no nodes available to schedule pods");
}

#[test]
fn confidence_grows_with_the_margin_and_with_what_is_known() {
    assert_eq!(confidence(None, 0.0, 1.0), 1.0);
    assert_eq!(confidence(Some(0.0), 700.0, 0.0), 0.25);
    assert_eq!(confidence(Some(70.0), 700.0, 1.0), 1.0);
    assert!(confidence(Some(35.0), 700.0, 1.0) < confidence(Some(36.0), 700.0, 1.0));
}
