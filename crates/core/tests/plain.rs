//! What is decided with everything kept is what a plain evaluation decides, over random histories of a cluster.
//!
//! Three ways to a decision are compared after every step: by a [`Decider`] that saw the whole history, by a fresh one
//! on a state that is built anew, and, for spreading, affinity between pods and preemption, by a plain reference that
//! looks at all pods for every node. `PROPTEST_CASES` sets how many histories are tried.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "plain/reference.rs"]
mod reference;
#[path = "plain/samples.rs"]
mod samples;
#[path = "plain/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_core::cycle::{Cycle, Decider, Decision, Detail, Outcome, PreemptionOutlook, decide};
use augur_core::object::{Effect, Phase, Pod, PodSpec, RelatedKind, WhenUnsatisfiable};
use augur_core::plugins::{Code, PluginId};
use augur_core::predictor::NoModel;
use augur_core::profile::Profile;
use augur_core::state::{ClusterState, NodeSignals};
use augur_core::time::Timestamp;
use proptest::prelude::*;
use reference::{COMPANY, Reference};
use samples::{NAMESPACES, node_name};
use world::World;

/// Templates of a history.
const TEMPLATES: usize = 5;
/// Pods from this number on wait.
const WAITING: u8 = 100;

#[derive(Debug, Clone)]
enum Step {
    Node(u8, u32),
    RemoveNode(u8),
    /// Only the taints of a node change.
    Taint(u8, bool),
    /// A pod of a template is assumed on a node.
    Place(u8, usize, u8),
    /// It is confirmed and runs.
    Confirm(u8),
    /// Its labels change.
    Relabel(u8),
    /// Its deletion was asked for.
    End(u8),
    /// It is forgotten or deleted.
    Remove(u8),
    Namespace(usize, bool),
    RemoveNamespace(usize),
    Selecting(u8),
    RemoveSelecting(u8),
    Budget(Option<u8>),
    Nominate(usize, u8),
    Withdraw(usize),
    Signals(u8, Option<u8>),
    /// A pod of a template is decided and goes where it should.
    Schedule(u8, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (node, pod, template) = (0..7u8, 0..24u8, 0..TEMPLATES);
    prop_oneof![
        5 => (node.clone(), any::<u32>()).prop_map(|(node, variant)| Step::Node(node, variant)),
        1 => node.clone().prop_map(Step::RemoveNode),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, tainted)| Step::Taint(node, tainted)),
        6 => (pod.clone(), template.clone(), node.clone()).prop_map(|(pod, template, node)| Step::Place(pod, template, node)),
        8 => (pod.clone(), template.clone()).prop_map(|(pod, template)| Step::Schedule(pod, template)),
        1 => pod.clone().prop_map(Step::Confirm),
        1 => pod.clone().prop_map(Step::Relabel),
        1 => pod.clone().prop_map(Step::End),
        2 => pod.prop_map(Step::Remove),
        1 => (0..NAMESPACES.len(), any::<bool>()).prop_map(|(name, team)| Step::Namespace(name, team)),
        1 => (0..NAMESPACES.len()).prop_map(Step::RemoveNamespace),
        1 => any::<u8>().prop_map(Step::Selecting),
        1 => any::<u8>().prop_map(Step::RemoveSelecting),
        1 => prop::option::of(any::<u8>()).prop_map(Step::Budget),
        1 => (template.clone(), node.clone()).prop_map(|(template, node)| Step::Nominate(template, node)),
        1 => template.prop_map(Step::Withdraw),
        1 => (node, prop::option::of(0..100u8)).prop_map(|(node, used)| Step::Signals(node, used)),
    ]
}

/// A cluster that is followed step by step, and the same as plain lists.
struct History {
    world: World,
    state: ClusterState,
    decider: Decider,
    specs: Vec<Arc<PodSpec>>,
}

impl History {
    fn new(variants: &[u32]) -> History {
        let mut state = ClusterState::new();
        RelatedKind::ALL.into_iter().for_each(|kind| _ = state.set_listed(kind));
        let mut history = History {
            world: World::default(),
            state,
            decider: Decider::new(),
            specs: variants.iter().map(|variant| samples::spec(*variant)).collect(),
        };
        for (name, labels) in [(0, "a"), (1, "b")] {
            let labels: augur_core::object::Labels = [("team", labels)].into_iter().collect();
            history.state.apply_namespace(NAMESPACES[name].into(), labels.clone());
            history.world.namespaces.insert(NAMESPACES[name], labels);
        }
        history
    }

    /// The pod of a template that waits.
    fn waiting(&self, template: usize) -> Pod {
        samples::pod(WAITING + template as u8, &self.specs[template])
    }

    fn update(&mut self, number: u8, change: impl FnOnce(&mut Pod)) {
        let Some((pod, node)) = self.world.pods.get_mut(&number) else { return };
        let mut changed = Pod::clone(pod);
        changed.node = Some(node_name(*node).into());
        change(&mut changed);
        *pod = Arc::new(changed);
        self.state.update_pod(pod.clone());
    }

    fn place(&mut self, number: u8, template: usize, node: u8) {
        let pod = Arc::new(samples::pod(number, &self.specs[template]));
        self.world.pods.insert(number, (pod.clone(), node));
        self.state.place(pod, &node_name(node).into());
    }

    fn follow(&mut self, step: &Step, at: usize) -> Result<(), TestCaseError> {
        match *step {
            Step::Node(number, variant) => {
                self.world.nodes.insert(number, samples::node(number, variant));
                self.state.apply_node(samples::node(number, variant));
            }
            Step::RemoveNode(number) => {
                self.world.nodes.remove(&number);
                self.world.signals.remove(&number);
                self.state.remove_node(&node_name(number));
            }
            Step::Taint(number, tainted) => {
                if let Some(node) = self.world.nodes.get_mut(&number) {
                    node.taints = if tainted { vec![samples::taint(Effect::NoSchedule)] } else { Vec::new() };
                    self.state.apply_node(node.clone());
                }
            }
            Step::Place(number, template, node) => self.place(number, template, node),
            Step::Schedule(number, template) => {
                let pod = samples::pod(number, &self.specs[template]);
                if self.world.pods.contains_key(&number) {
                    return Ok(());
                }
                if let Some(node) = self.decide(&pod, at)?.node() {
                    let node = node.trim_start_matches("node-").parse().unwrap();
                    self.place(number, template, node);
                }
            }
            Step::Confirm(number) => self.update(number, |pod| {
                pod.phase = Phase::Running;
                pod.started = Some(Timestamp::from_secs(i64::from(number % 5)));
            }),
            Step::Relabel(number) => self.update(number, |pod| {
                pod.labels = samples::pod(number.wrapping_add(1), &pod.spec).labels;
            }),
            Step::End(number) => self.update(number, |pod| pod.terminating = true),
            Step::Remove(number) => {
                self.world.pods.remove(&number);
                self.state.remove(&format!("uid-{number}"));
            }
            Step::Namespace(name, team) => {
                let labels: augur_core::object::Labels = [("team", if team { "a" } else { "b" })].into_iter().collect();
                self.world.namespaces.insert(NAMESPACES[name], labels.clone());
                self.state.apply_namespace(NAMESPACES[name].into(), labels);
            }
            Step::RemoveNamespace(name) => {
                // One is left, so that namespaces are known.
                if name > 0 {
                    self.world.namespaces.remove(NAMESPACES[name]);
                    self.state.remove_namespace(NAMESPACES[name]);
                }
            }
            Step::Selecting(variant) => {
                let object = samples::selecting(variant);
                let key = (object.kind().index(), object.key().namespace.to_string(), object.key().name.to_string());
                self.world.selecting.insert(key, object.clone());
                self.state.apply_related(object);
            }
            Step::RemoveSelecting(variant) => {
                let object = samples::selecting(variant);
                let key = (object.kind().index(), object.key().namespace.to_string(), object.key().name.to_string());
                self.world.selecting.remove(&key);
                self.state.remove_related(object.kind(), &object.key());
            }
            Step::Budget(variant) => {
                self.world.budget = variant.map(samples::budget);
                self.state.reset_budgets(self.world.budget.iter().cloned().collect());
            }
            Step::Nominate(template, node) => {
                let pod = Arc::new(self.waiting(template));
                self.world.nominated.insert(template as u8, (pod.clone(), node));
                self.state.nominate(pod, &node_name(node).into());
            }
            Step::Withdraw(template) => {
                self.world.nominated.remove(&(template as u8));
                self.state.withdraw(&self.waiting(template).uid);
            }
            Step::Signals(number, used) => {
                let signals = used.map(|used| NodeSignals {
                    cpu_usage: Some(f64::from(used) / 100.0),
                    ..NodeSignals::at(Timestamp::EPOCH)
                });
                if self.state.set_signals(&node_name(number), signals) {
                    self.world.signals.remove(&number);
                    self.world.signals.extend(signals.map(|signals| (number, signals)));
                }
            }
        }
        Ok(())
    }

    /// Decides in all ways, which must agree.
    fn decide(&mut self, pod: &Pod, at: usize) -> Result<Decision, TestCaseError> {
        let cycle = Cycle { now: Timestamp::from_secs(100 + at as i64), seed: at as u64, detail: Detail::Full };
        let (profile, model) = (Profile::default(), NoModel::default());
        // Mostly in brief first, as a scheduler does, which takes the shorter way to a choice.
        let brief = Cycle { detail: Detail::Brief, ..cycle };
        let kept_brief = self.decider.decide(&self.state, pod, &profile, &model, brief);
        let kept = self.decider.decide(&self.state, pod, &profile, &model, cycle);
        let same = Decision { nodes: Vec::new(), cycle: brief, ..kept.clone() };
        prop_assert_eq!(&kept_brief, &same, "how much is told changes nothing");
        let fresh = decide(&self.world.build(), pod, &profile, &model, cycle);
        prop_assert_eq!(&kept, &fresh, "kept is as made anew");
        self.compare(pod, &fresh)?;
        Ok(kept)
    }

    fn compare(&self, pod: &Pod, decision: &Decision) -> Result<(), TestCaseError> {
        let reference = Reference { world: &self.world, pod };
        let numbers: BTreeMap<String, u8> =
            self.world.nodes.keys().map(|number| (node_name(*number), *number)).collect();
        let crowded = |node: u8| self.world.nominated.values().any(|(other, on)| *on == node && other.uid != pod.uid);
        for report in &decision.nodes {
            let node = numbers[&*report.node];
            let own: Option<(PluginId, Code)> =
                report.rejection.as_ref().and_then(|rejection| Some((rejection.plugin?, rejection.code)));
            if crowded(node) || (report.rejection.is_some() && own.is_none_or(|(plugin, _)| plugin < COMPANY[0])) {
                continue;
            }
            let spread = reference.spread(node).map(|code| (COMPANY[0], code));
            let expected = spread.or_else(|| reference.affinity(node).map(|code| (COMPANY[1], code)));
            prop_assert_eq!(own, expected, "on {}", report.node);
        }
        let feasible: Vec<u8> =
            decision.nodes.iter().filter(|report| report.rejection.is_none()).map(|r| numbers[&*r.node]).collect();
        if feasible.len() > 1 && matches!(decision.outcome, Outcome::Placed(_)) {
            let scores = [reference.spread_scores(&feasible), reference.affinity_scores(&feasible)];
            for report in decision.nodes.iter().filter(|report| report.rejection.is_none()) {
                for (plugin, expected) in COMPANY.iter().zip(&scores) {
                    let own = report.plugins.iter().find(|(known, _)| known == plugin).map(|(_, score)| *score);
                    let expected = expected.as_ref().map(|scores| 2 * scores[&numbers[&*report.node]]);
                    prop_assert_eq!(own, expected, "{} on {}", plugin.name(), report.node);
                }
                let parts: i64 = report.plugins.iter().map(|(_, score)| *score).sum();
                let enhanced = report.enhanced.map_or(0.0, |enhanced| enhanced.total);
                prop_assert!((report.total - parts as f64 - enhanced).abs() < 1e-9);
            }
            self.compare_choice(pod, decision)?;
        }
        if let Outcome::Unschedulable(diagnosis) = &decision.outcome
            // What kube-scheduler remembers of the emptiest domains in a dry run may be stale.
            && !pod.spec.spread.iter().any(|rule| rule.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule)
            && let PreemptionOutlook::Possible(candidates) = &diagnosis.preemption
        {
            let expected = reference.victims(decision, decision.cycle);
            let own = candidates.iter().map(|candidate| {
                let victims = candidate.victims.iter().map(ToString::to_string).collect();
                (candidate.node.to_string(), (victims, candidate.best))
            });
            prop_assert_eq!(own.collect::<BTreeMap<_, _>>(), expected);
        }
        Ok(())
    }

    fn compare_choice(&self, pod: &Pod, decision: &Decision) -> Result<(), TestCaseError> {
        let Some(chosen) = &decision.chosen else { return Ok(()) };
        if self.world.nominated.values().any(|(other, _)| other.uid == pod.uid) {
            return Ok(());
        }
        let totals = || decision.nodes.iter().filter(|report| report.rejection.is_none()).map(|report| report.total);
        let highest = totals().fold(f64::NEG_INFINITY, f64::max);
        let equals = totals().filter(|total| *total == highest).count();
        prop_assert_eq!(chosen.total, highest);
        prop_assert!((decision.propensity - 1.0 / equals as f64).abs() < 1e-9);
        let second = decision.runner_up.as_ref().map(|report| report.total);
        let next = totals().filter(|total| *total < highest).fold(f64::NEG_INFINITY, f64::max);
        prop_assert_eq!(second, Some(if equals > 1 { highest } else { next }));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_decides_as_a_plain_evaluation(
        variants in prop::collection::vec(any::<u32>(), TEMPLATES), steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut history = History::new(&variants);
        for (at, step) in steps.iter().enumerate() {
            history.follow(step, at)?;
            // Not every template looks after every step: what is kept is behind by one or more.
            let template = at % TEMPLATES;
            let pod = history.waiting(template);
            history.decide(&pod, at)?;
        }
        prop_assert_eq!(history.state.inconsistencies(), Vec::<String>::new());
    }
}
