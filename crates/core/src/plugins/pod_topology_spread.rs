//! PodTopologySpread: a pod and its like are spread over domains, as a must (`DoNotSchedule`) or as a wish
//! (`ScheduleAnyway`). The rules alone: the cycle counts pods by domain and asks here what the counts mean.

use std::collections::BTreeMap;

use augur_notation::{LabelSelector, Operator, Requirement};

use super::{Code, Plugin, PluginId, Rejection};
use crate::cluster_event::ClusterEvent;
use crate::object::{Labels, Node, Pod, PodSpec, Selects, SpreadConstraint, Toleration, WhenUnsatisfiable};
use crate::plugins::node_affinity;
use crate::profile::PluginArguments;
use crate::state::{ClusterState, PodKind};

pub(crate) struct PodTopologySpread;

const SKEW: u32 = 0;
const NO_LABEL: u32 = 1;

/// The rules of the spec that are a must, or those that are a wish.
pub(crate) fn constraints(spec: &PodSpec, when: WhenUnsatisfiable) -> impl Iterator<Item = &SpreadConstraint> {
    spec.spread.iter().filter(move |rule| rule.when_unsatisfiable == when)
}

/// The rules of the profile for pods without any, given which pods are alike.
pub(crate) fn defaults(
    arguments: &PluginArguments,
    when: WhenUnsatisfiable,
    alike: &LabelSelector,
) -> Vec<SpreadConstraint> {
    let mut rules = arguments.spread_defaults.rules(when);
    rules.iter_mut().for_each(|rule| rule.selector = Some(alike.clone()));
    rules
}

/// Which pods are alike by the services and the controller of the pod, if it has any.
pub(crate) fn alike(pod: &Pod, state: &ClusterState) -> Option<LabelSelector> {
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

/// Whether the node has the labels that all rules ask for.
pub(crate) fn has_all_keys<'a>(node: &Node, mut rules: impl Iterator<Item = &'a SpreadConstraint>) -> bool {
    rules.all(|rule| node.labels.get(&rule.topology_key).is_some())
}

/// Whether the node counts for the rule, by the pod's node affinity and tolerations.
pub(crate) fn counts(rule: &SpreadConstraint, spec: &PodSpec, node: &Node) -> bool {
    (!rule.honor_node_affinity || node_affinity::matches(spec, node))
        && (!rule.honor_taints
            || !node.taints.iter().any(|t| t.effect.is_hard() && !Toleration::any_covers(&spec.tolerations, t)))
}

/// Whether the rule selects pods of these labels.
pub(crate) fn selects(rule: &SpreadConstraint, labels: &Labels) -> bool {
    rule.selector.as_ref().is_some_and(|selector| selector.matches(|key| labels.get(key)))
}

/// Whether pods of the kind are counted for the rule of a pod of the namespace. An empty selector counts none.
pub(crate) fn is_counted(rule: &SpreadConstraint, namespace: &str, kind: &PodKind) -> bool {
    !kind.terminating
        && &*kind.namespace == namespace
        && rule.selector.as_ref().is_some_and(|selector| !selector.is_empty())
        && selects(rule, &kind.labels)
}

/// The rejection of a node that a rule has no domain for.
pub(crate) fn without_domain() -> Rejection {
    let code = Code::UnschedulableAndUnresolvable;
    Rejection { plugin: PluginId::PodTopologySpread, code, reasons: 1 << NO_LABEL }
}

/// Whether one pod more in a domain that has `here` would be too many for the rule, where `fewest` are in the emptiest
/// of `domains` domains.
pub(crate) fn check_skew(
    rule: &SpreadConstraint,
    counts_itself: bool,
    here: i64,
    fewest: i64,
    domains: usize,
) -> Result<(), Rejection> {
    let enough = domains as i64 >= i64::from(rule.min_domains.unwrap_or(1));
    let fewest = if enough { fewest } else { 0 };
    if here + i64::from(counts_itself) - fewest > i64::from(rule.max_skew) {
        let (plugin, code) = (PluginId::PodTopologySpread, Code::Unschedulable);
        return Err(Rejection { plugin, code, reasons: 1 << SKEW });
    }
    Ok(())
}

/// What a rule adds to the raw score of a node in a domain with `count` pods, among so many domains.
pub(crate) fn score(rule: &SpreadConstraint, count: i64, domains: usize) -> f64 {
    count as f64 * ((domains + 2) as f64).ln() + f64::from(rule.max_skew - 1)
}

/// The score 0..100 of a raw score, among candidates of which the least and the largest raw scores are given.
pub(crate) fn normalize(raw: i64, least: i64, most: i64) -> i64 {
    let most = most.max(0);
    if most == 0 { 100 } else { 100 * (most + least - raw) / most }
}

/// What counts of the emptiest domain start from.
pub(crate) const NO_DOMAIN: i64 = i32::MAX as i64;

/// The two domains with the fewest pods, kept as kube-scheduler keeps them: in trials the second may be stale.
#[derive(Debug, Clone)]
pub(crate) struct Fewest([(Option<u32>, i64); 2]);

impl Fewest {
    /// Of the domains with their counts, in an order that does not depend on when they came.
    pub(crate) fn of(domains: impl Iterator<Item = (u32, i64)>) -> Fewest {
        let mut fewest = Fewest([(None, NO_DOMAIN); 2]);
        domains.for_each(|(domain, count)| fewest.update(domain, count));
        fewest
    }

    /// The smallest count.
    pub(crate) fn count(&self) -> i64 {
        self.0[0].1
    }

    /// The domain has so many pods now.
    pub(crate) fn update(&mut self, domain: u32, count: i64) {
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

impl Plugin for PodTopologySpread {
    fn id(&self) -> PluginId {
        PluginId::PodTopologySpread
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        let reason = "node(s) didn't match pod topology spread constraints";
        if bit == NO_LABEL { format!("{reason} (missing required label)") } else { reason.to_owned() }
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, arguments: &PluginArguments) -> bool {
        // A pod without rules was rejected by those of the profile. Which pods are alike then follows from objects that a
        // hint does not see: any of the namespace may be.
        let by_default = if pod.spec.spread.is_empty() {
            arguments.spread_defaults.rules(WhenUnsatisfiable::DoNotSchedule)
        } else {
            Vec::new()
        };
        let own = || constraints(&pod.spec, WhenUnsatisfiable::DoNotSchedule);
        let rules = || own().chain(&by_default);
        match event {
            ClusterEvent::NodeAdded(node) => has_all_keys(node, rules()),
            ClusterEvent::NodeChanged { before, node } => before.labels != node.labels || before.taints != node.taints,
            ClusterEvent::PodPlaced(other) | ClusterEvent::PodRemoved(other) => {
                other.namespace == pod.namespace
                    && (!by_default.is_empty() || own().any(|rule| selects(rule, &other.labels)))
            }
            ClusterEvent::PodChanged => true,
            ClusterEvent::RelatedAdded(_)
            | ClusterEvent::RelatedChanged { .. }
            | ClusterEvent::RelatedRemoved(_)
            | ClusterEvent::RelatedListed(_) => false,
        }
    }
}
