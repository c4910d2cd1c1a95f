//! Affinities and rules of spreading. What has no meaning is added to `not_understood` by name.

use std::sync::Arc;

use augur_core::object::{
    NodeAffinity, NodeSelectorTerm, PodAffinities, PodAffinityTerm, PreferredNodeTerm, PreferredPodTerm,
    SpreadConstraint, WhenUnsatisfiable,
};
use augur_notation::{LabelSelector, SelectorError};

use crate::wire;

pub(super) fn node_affinity(affinity: &wire::NodeAffinity<'_>) -> NodeAffinity {
    NodeAffinity {
        required: affinity.required.as_ref().map(|required| required.node_selector_terms.iter().map(term).collect()),
        preferred: affinity
            .preferred
            .iter()
            .map(|preferred| PreferredNodeTerm { weight: preferred.weight, term: term(&preferred.preference) })
            .collect(),
    }
}

pub(super) fn term(term: &wire::NodeSelectorTerm<'_>) -> NodeSelectorTerm {
    NodeSelectorTerm::new(term.match_expressions.iter().map(requirement), term.match_fields.iter().map(requirement))
}

fn requirement<'a>(requirement: &'a wire::NodeSelectorRequirement<'_>) -> (&'a str, &'a str, Vec<&'a str>) {
    let values = requirement.values.iter().map(wire::Text::as_str).collect();
    (&requirement.key, &requirement.operator, values)
}

pub(super) fn selector(
    selector: &wire::LabelSelector<'_>,
    extra: &[(&str, &str)],
) -> Result<LabelSelector, SelectorError> {
    let labels = selector.match_labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    LabelSelector::structured(labels.chain(extra.iter().copied()), selector.match_expressions.iter().map(requirement))
}

pub(super) fn pod_affinities(affinity: &wire::Affinity<'_>, not_understood: &mut Vec<Arc<str>>) -> PodAffinities {
    // As in kube-scheduler, one term that cannot be read takes its whole list with it.
    let mut terms = |wire: &[wire::PodAffinityTerm<'_>], place: &str| -> Vec<PodAffinityTerm> {
        let read = wire.iter().map(|term| pod_term(term, place, not_understood));
        read.collect::<Option<_>>().unwrap_or_default()
    };
    let required = terms(&affinity.pod_affinity.required, "podAffinity");
    let required_anti = terms(&affinity.pod_anti_affinity.required, "podAntiAffinity");
    let mut preferred = |wire: &[wire::WeightedPodAffinityTerm<'_>], place: &str| -> Vec<PreferredPodTerm> {
        let read = wire.iter().map(|weighted| {
            let term = pod_term(&weighted.pod_affinity_term, place, not_understood)?;
            Some(PreferredPodTerm { weight: weighted.weight, term })
        });
        read.collect::<Option<_>>().unwrap_or_default()
    };
    PodAffinities {
        required,
        required_anti,
        preferred: preferred(&affinity.pod_affinity.preferred, "podAffinity"),
        preferred_anti: preferred(&affinity.pod_anti_affinity.preferred, "podAntiAffinity"),
    }
}

fn pod_term(
    term: &wire::PodAffinityTerm<'_>,
    place: &str,
    not_understood: &mut Vec<Arc<str>>,
) -> Option<PodAffinityTerm> {
    let read = |wire: &Option<wire::LabelSelector<'_>>| wire.as_ref().map(|s| selector(s, &[])).transpose();
    match (read(&term.label_selector), read(&term.namespace_selector)) {
        (Ok(selector), Ok(namespace_selector)) => Some(PodAffinityTerm {
            selector,
            namespaces: term.namespaces.iter().map(|name| name.as_str().into()).collect(),
            namespace_selector,
            topology_key: term.topology_key.as_str().into(),
        }),
        (Err(error), _) | (_, Err(error)) => {
            not_understood.push(format!("{place} selector ({error})").into());
            None
        }
    }
}

pub(super) fn spread(
    pod: &wire::ObjectMeta<'_>,
    rules: &[wire::TopologySpreadConstraint<'_>],
    not_understood: &mut Vec<Arc<str>>,
) -> Vec<SpreadConstraint> {
    let mut understood = Vec::with_capacity(rules.len());
    for rule in rules {
        // Keys that the pod has no label of are ignored, as kube-scheduler does.
        let shared: Vec<(&str, &str)> = rule
            .match_label_keys
            .iter()
            .filter_map(|key| pod.labels.get(key.as_str()).map(|value| (key.as_str(), value.as_str())))
            .collect();
        match rule.label_selector.as_ref().map(|s| selector(s, &shared)).transpose() {
            Ok(selector) => understood.push(SpreadConstraint {
                topology_key: rule.topology_key.as_str().into(),
                max_skew: rule.max_skew,
                when_unsatisfiable: match rule.when_unsatisfiable.as_str() {
                    "ScheduleAnyway" => WhenUnsatisfiable::ScheduleAnyway,
                    _ => WhenUnsatisfiable::DoNotSchedule,
                },
                selector,
                min_domains: rule.min_domains,
                honor_node_affinity: rule.node_affinity_policy.as_str() != "Ignore",
                honor_taints: rule.node_taints_policy.as_str() == "Honor",
            }),
            Err(error) => not_understood.push(format!("topologySpreadConstraints selector ({error})").into()),
        }
    }
    understood
}
