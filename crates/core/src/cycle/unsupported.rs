//! What a pod needs that is not implemented: it is refused by name, or, if it was only a wish, noted.

use std::sync::Arc;

use crate::object::{Pod, PodAffinityTerm, PodVolume, WhenUnsatisfiable};
use crate::plugins::{PluginId, PluginSet};
use crate::state::ClusterState;

/// Features by name.
pub(super) type Features = Vec<Arc<str>>;

/// What keeps the pod from being placed at all, and the plugins that would have judged it.
pub(super) fn required(state: &ClusterState, pod: &Pod) -> (Features, PluginSet) {
    let spec = &pod.spec;
    let mut features: Features = spec.not_understood.clone();
    let mut plugins = PluginSet::EMPTY;
    let mut need = |plugin: PluginId, feature: String| {
        features.push(feature.into());
        plugins.insert(plugin);
    };
    for volume in &spec.volumes {
        match volume {
            PodVolume::Claim(name) => need(PluginId::VolumeBinding, format!("persistent volume claim \"{name}\"")),
            PodVolume::EphemeralClaim(name) => need(PluginId::VolumeBinding, format!("ephemeral volume \"{name}\"")),
            PodVolume::Disk(kind) => need(PluginId::VolumeRestrictions, format!("{kind} volume")),
        }
    }
    if !spec.pod_affinities.required.is_empty() {
        need(PluginId::InterPodAffinity, "required pod affinity".to_owned());
    }
    if !spec.pod_affinities.required_anti.is_empty() {
        need(PluginId::InterPodAffinity, "required pod anti-affinity".to_owned());
    }
    if spec.spread.iter().any(|rule| rule.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule) {
        need(PluginId::PodTopologySpread, "topology spread with whenUnsatisfiable: DoNotSchedule".to_owned());
    }
    if spec.claims_devices {
        need(PluginId::DynamicResources, "resource claims".to_owned());
    }
    let repelled = state.repelling().filter(|other| repels(other, pod)).map(|other| other.full_name()).min();
    if let Some(other) = repelled {
        need(PluginId::InterPodAffinity, format!("the required pod anti-affinity of pod {other}, which concerns it"));
    }
    (features, plugins)
}

/// Wishes that have no part in the score.
pub(super) fn preferred(pod: &Pod) -> Features {
    let affinities = &pod.spec.pod_affinities;
    let spread = &pod.spec.spread;
    [
        (!affinities.preferred.is_empty(), "preferred pod affinity"),
        (!affinities.preferred_anti.is_empty(), "preferred pod anti-affinity"),
        (
            spread.iter().any(|rule| rule.when_unsatisfiable == WhenUnsatisfiable::ScheduleAnyway),
            "topology spread with whenUnsatisfiable: ScheduleAnyway",
        ),
    ]
    .into_iter()
    .filter(|(wished, _)| *wished)
    .map(|(_, feature)| feature.into())
    .collect()
}

/// Whether a term of the other pod's required anti-affinity may concern the pod. Namespaces chosen by label count as
/// chosen, because their labels are not known here.
fn repels(other: &Pod, pod: &Pod) -> bool {
    let concerns = |term: &PodAffinityTerm| {
        let in_namespace = match (&term.namespace_selector, term.namespaces.as_slice()) {
            (Some(_), _) => true,
            (None, []) => other.namespace == pod.namespace,
            (None, names) => names.contains(&pod.namespace),
        };
        in_namespace && term.selector.as_ref().is_some_and(|selector| selector.matches(|key| pod.labels.get(key)))
    };
    other.spec.pod_affinities.required_anti.iter().any(concerns)
}
