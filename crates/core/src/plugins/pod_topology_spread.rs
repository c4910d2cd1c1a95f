//! PodTopologySpread: a pod and its like are spread over domains, as a must (`DoNotSchedule`) or as a wish
//! (`ScheduleAnyway`).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use augur_notation::{LabelSelector, Operator, Requirement};

use super::{Code, Plugin, PluginId, Rejection, Survey};
use crate::cluster_event::ClusterEvent;
use crate::object::{Node, Pod, PodSpec, Selects, SpreadConstraint, Toleration, WhenUnsatisfiable};
use crate::plugins::node_affinity;
use crate::profile::{PluginArguments, SpreadDefaults};
use crate::state::{ClusterState, HOSTNAME, NodeId, NodeView};

pub(crate) struct PodTopologySpread;

const SKEW: u32 = 0;
const NO_LABEL: u32 = 1;

fn constraints(spec: &PodSpec, when: WhenUnsatisfiable) -> Vec<&SpreadConstraint> {
    spec.spread.iter().filter(|rule| rule.when_unsatisfiable == when).collect()
}

/// The rules of a pod that has none: like pods are those of its services and its controller, if it has any.
fn defaults(
    pod: &Pod,
    state: &ClusterState,
    arguments: &PluginArguments,
    when: WhenUnsatisfiable,
) -> Vec<SpreadConstraint> {
    let mut rules = arguments.spread_defaults.rules(when);
    if !rules.is_empty() {
        match alike(pod, state) {
            Some(selector) => rules.iter_mut().for_each(|rule| rule.selector = Some(selector.clone())),
            None => rules.clear(),
        }
    }
    rules
}

/// Which pods are alike by the services and the controller of the pod.
fn alike(pod: &Pod, state: &ClusterState) -> Option<LabelSelector> {
    let related = state.related();
    let mut labels: BTreeMap<&str, &str> = BTreeMap::new();
    for service in related.services(&pod.namespace) {
        if let Selects::Labels(wanted) = &service.selects
            && wanted.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
        {
            labels.extend(wanted.iter());
        }
    }
    let controller = pod.controller.as_ref().and_then(|controller| related.controller(&pod.namespace, controller));
    let mut conditions = Vec::new();
    match controller.map(|controller| &controller.selects) {
        Some(Selects::Labels(wanted)) => labels.extend(wanted.iter()),
        Some(Selects::Conditions(selector)) => conditions.extend(selector.requirements().iter().cloned()),
        Some(Selects::Nothing) | None => {}
    }
    for (key, value) in labels {
        conditions.push(Requirement::new(key, Operator::Equals, [value]).ok()?);
    }
    (!conditions.is_empty()).then(|| LabelSelector::of(conditions))
}

fn has_all_keys<'a>(node: &Node, mut rules: impl Iterator<Item = &'a SpreadConstraint>) -> bool {
    rules.all(|rule| node.labels.get(&rule.topology_key).is_some())
}

/// Whether the node counts for the rule, by the pod's node affinity and tolerations.
fn counts(rule: &SpreadConstraint, spec: &PodSpec, node: &Node) -> bool {
    (!rule.honor_node_affinity || node_affinity::matches(spec, node))
        && (!rule.honor_taints
            || !node.taints.iter().any(|t| t.effect.is_hard() && !Toleration::any_covers(&spec.tolerations, t)))
}

fn selects(rule: &SpreadConstraint, pod: &Pod) -> bool {
    rule.selector.as_ref().is_some_and(|selector| selector.matches(|key| pod.labels.get(key)))
}

/// Pods of the namespace on the node that the rule selects. An empty selector counts none.
fn matching(rule: &SpreadConstraint, namespace: &str, node: NodeView<'_>) -> i64 {
    if rule.selector.as_ref().is_none_or(LabelSelector::is_empty) {
        return 0;
    }
    let counted = |pod: &Pod| !pod.terminating && &*pod.namespace == namespace && selects(rule, pod);
    node.pods().iter().filter(|pod| counted(pod)).count() as i64
}

/// The two domains with the fewest pods, kept as kube-scheduler keeps them: in trials the second may be stale.
#[derive(Clone)]
struct Fewest<'a>([(Option<&'a str>, i64); 2]);

impl<'a> Fewest<'a> {
    fn update(&mut self, domain: &'a str, count: i64) {
        let [first, second] = &mut self.0;
        if first.0 == Some(domain) {
            first.1 = count;
        } else if second.0 == Some(domain) {
            second.1 = count;
        } else if count < first.1 {
            *second = *first;
            *first = (Some(domain), count);
            return;
        } else {
            if count < second.1 {
                *second = (Some(domain), count);
            }
            return;
        }
        if first.1 > second.1 {
            self.0.swap(0, 1);
        }
    }
}

#[derive(Clone)]
struct Rule<'a> {
    constraint: Cow<'a, SpreadConstraint>,
    /// Whether the pod itself is one of those that are spread.
    counts_itself: bool,
    domains: BTreeMap<&'a str, i64>,
    fewest: Fewest<'a>,
}

#[derive(Clone)]
struct Spread<'a> {
    pod: &'a Pod,
    rules: Vec<Rule<'a>>,
}

impl<'a> Survey<'a> for Spread<'a> {
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        for rule in &self.rules {
            let Some(domain) = node.node().labels.get(&rule.constraint.topology_key) else {
                let code = Code::UnschedulableAndUnresolvable;
                return Err(Rejection { plugin: PluginId::PodTopologySpread, code, reasons: 1 << NO_LABEL });
            };
            let enough = rule.domains.len() as i64 >= i64::from(rule.constraint.min_domains.unwrap_or(1));
            let fewest = if enough { rule.fewest.0[0].1 } else { 0 };
            let here = rule.domains.get(domain).copied().unwrap_or(0);
            if here + i64::from(rule.counts_itself) - fewest > i64::from(rule.constraint.max_skew) {
                let code = Code::Unschedulable;
                return Err(Rejection { plugin: PluginId::PodTopologySpread, code, reasons: 1 << SKEW });
            }
        }
        Ok(())
    }

    fn follow(&mut self, moved: &Pod, node: &'a Node, by: i64) {
        if moved.namespace != self.pod.namespace || !has_all_keys(node, self.rules.iter().map(|rule| &*rule.constraint))
        {
            return;
        }
        for rule in &mut self.rules {
            if let Some(domain) = node.labels.get(&rule.constraint.topology_key)
                && selects(&rule.constraint, moved)
                && counts(&rule.constraint, &self.pod.spec, node)
            {
                let count = rule.domains.entry(domain).or_default();
                *count += by;
                rule.fewest.update(domain, *count);
            }
        }
    }

    fn copy(&self) -> Box<dyn Survey<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for PodTopologySpread {
    fn id(&self) -> PluginId {
        PluginId::PodTopologySpread
    }

    fn survey<'a>(
        &self,
        pod: &'a Pod,
        state: &'a ClusterState,
        arguments: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
        let when = WhenUnsatisfiable::DoNotSchedule;
        let rules: Vec<Cow<'a, SpreadConstraint>> = if pod.spec.spread.is_empty() {
            defaults(pod, state, arguments, when).into_iter().map(Cow::Owned).collect()
        } else {
            constraints(&pod.spec, when).into_iter().map(Cow::Borrowed).collect()
        };
        if rules.is_empty() {
            return None;
        }
        let none = Fewest([(None, i64::from(i32::MAX)); 2]);
        let new = |rule: Cow<'a, SpreadConstraint>| Rule {
            counts_itself: selects(&rule, pod),
            constraint: rule,
            domains: BTreeMap::new(),
            fewest: none.clone(),
        };
        let mut spread = Spread { pod, rules: rules.into_iter().map(new).collect() };
        for node in state.nodes() {
            if !has_all_keys(node.node(), spread.rules.iter().map(|rule| &*rule.constraint)) {
                continue;
            }
            for rule in &mut spread.rules {
                if let Some(domain) = node.node().labels.get(&rule.constraint.topology_key)
                    && counts(&rule.constraint, &pod.spec, node.node())
                {
                    *rule.domains.entry(domain).or_default() += matching(&rule.constraint, &pod.namespace, node);
                }
            }
        }
        for rule in &mut spread.rules {
            for (domain, count) in &rule.domains {
                rule.fewest.update(domain, *count);
            }
        }
        Some(Box::new(spread))
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        let reason = "node(s) didn't match pod topology spread constraints";
        if bit == NO_LABEL { format!("{reason} (missing required label)") } else { reason.to_owned() }
    }

    fn survey_scores(
        &self,
        pod: &Pod,
        state: &ClusterState,
        candidates: &[NodeId],
        arguments: &PluginArguments,
    ) -> Option<Vec<i64>> {
        let when = WhenUnsatisfiable::ScheduleAnyway;
        let without = pod.spec.spread.is_empty();
        let by_default = if without { defaults(pod, state, arguments, when) } else { Vec::new() };
        let rules = if without { by_default.iter().collect() } else { constraints(&pod.spec, when) };
        if rules.is_empty() {
            return None;
        }
        // By the system's defaults a node without a label is only not judged by the rule that asks for it.
        let by_system = without && arguments.spread_defaults == SpreadDefaults::System;
        let counts_in = |node: &Node| by_system || has_all_keys(node, rules.iter().copied());
        let scored: Vec<Option<NodeView<'_>>> =
            candidates.iter().map(|id| Some(state.view(*id)).filter(|node| counts_in(node.node()))).collect();
        let with_keys = scored.iter().flatten().count();
        // Counts by domain, of domains that candidates are in. Host names are counted on the node itself.
        let mut domains: Vec<HashMap<&str, i64>> = vec![HashMap::new(); rules.len()];
        for node in scored.iter().flatten() {
            for (rule, domains) in rules.iter().zip(&mut domains) {
                // kube-scheduler counts nodes without the label as a domain of their own.
                domains.entry(node.node().labels.get(&rule.topology_key).unwrap_or_default()).or_default();
            }
        }
        for node in state.nodes().filter(|node| counts_in(node.node())) {
            for (rule, domains) in rules.iter().zip(&mut domains).filter(|(rule, _)| &*rule.topology_key != HOSTNAME) {
                if let Some(count) = node.node().labels.get(&rule.topology_key).and_then(|d| domains.get_mut(d))
                    && counts(rule, &pod.spec, node.node())
                {
                    *count += matching(rule, &pod.namespace, node);
                }
            }
        }
        let score = |node: NodeView<'_>| -> i64 {
            let mut score = 0.0;
            for (rule, domains) in rules.iter().zip(&domains) {
                let on_host = &*rule.topology_key == HOSTNAME;
                let size = if on_host { with_keys } else { domains.len() };
                let Some(domain) = node.node().labels.get(&rule.topology_key) else { continue };
                let count = if on_host {
                    matching(rule, &pod.namespace, node)
                } else {
                    domains.get(domain).copied().unwrap_or(0)
                };
                score += count as f64 * ((size + 2) as f64).ln() + f64::from(rule.max_skew - 1);
            }
            score.round() as i64
        };
        let raw: Vec<Option<i64>> = scored.into_iter().map(|node| node.map(score)).collect();
        let least = raw.iter().flatten().min().copied().unwrap_or(0);
        let most = raw.iter().flatten().max().copied().unwrap_or(0).max(0);
        let normal = |raw: Option<i64>| match raw {
            None => 0,
            Some(_) if most == 0 => 100,
            Some(raw) => 100 * (most + least - raw) / most,
        };
        Some(raw.into_iter().map(normal).collect())
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, arguments: &PluginArguments) -> bool {
        // A pod without rules was rejected by those of the profile. Which pods are alike then follows from objects that a
        // hint does not see: any of the namespace may be.
        let by_default = if pod.spec.spread.is_empty() {
            arguments.spread_defaults.rules(WhenUnsatisfiable::DoNotSchedule)
        } else {
            Vec::new()
        };
        let own = constraints(&pod.spec, WhenUnsatisfiable::DoNotSchedule);
        let rules = || own.iter().copied().chain(&by_default);
        match event {
            ClusterEvent::NodeAdded(node) => has_all_keys(node, rules()),
            ClusterEvent::NodeChanged { before, node } => before.labels != node.labels || before.taints != node.taints,
            ClusterEvent::PodPlaced(other) | ClusterEvent::PodRemoved(other) => {
                other.namespace == pod.namespace
                    && (!by_default.is_empty() || own.iter().any(|rule| selects(rule, other)))
            }
            ClusterEvent::PodChanged => true,
            ClusterEvent::RelatedAdded(_)
            | ClusterEvent::RelatedChanged { .. }
            | ClusterEvent::RelatedRemoved(_)
            | ClusterEvent::RelatedListed(_) => false,
        }
    }
}
