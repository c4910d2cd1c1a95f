//! What a pod needs that is not implemented: it is refused by name, or, if it was only a wish, noted.

use std::sync::Arc;

use crate::object::{Pod, PodAffinityTerm, PodVolume};
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
    if spec.claims_devices {
        need(PluginId::DynamicResources, "resource claims".to_owned());
    }
    if !state.knows_namespaces() && pod_terms_by_namespace(state, pod) {
        need(PluginId::InterPodAffinity, "affinity to pods of namespaces chosen by label".to_owned());
    }
    (features, plugins)
}

/// Wishes that have no part in the score.
pub(super) fn preferred(pod: &Pod) -> Features {
    // kube-scheduler takes the selector for it from the services and controllers of the pod, which are not known here.
    let by_default = pod.workload.is_some() && pod.spec.spread.is_empty();
    if by_default { vec!["topology spread by default".into()] } else { Vec::new() }
}

/// Whether a term of the pod, or one of a pod on a node that could concern it, chooses namespaces by their labels.
fn pod_terms_by_namespace(state: &ClusterState, pod: &Pod) -> bool {
    let by_label = |term: &PodAffinityTerm| term.namespace_selector.as_ref().is_some_and(|s| !s.is_empty());
    let selects = |term: &PodAffinityTerm| {
        term.selector.as_ref().is_some_and(|selector| selector.matches(|key| pod.labels.get(key)))
    };
    pod.spec.pod_affinities.terms().any(by_label)
        || state
            .pods_with_affinities()
            .any(|(other, _)| other.spec.pod_affinities.terms().any(|term| by_label(term) && selects(term)))
}
