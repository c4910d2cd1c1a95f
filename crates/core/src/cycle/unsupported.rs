//! What a pod needs that is not implemented: it is refused by name, or, if it was only a wish, noted.

use std::sync::Arc;

use crate::object::{InTree, Pod, PodAffinityTerm, PodVolume, RelatedKind, VolumeSource};
use crate::plugins::{PluginId, PluginSet};
use crate::profile::ProfilePlugins;
use crate::state::{ClusterState, KindId};

/// Features by name.
pub(super) type Features = Vec<Arc<str>>;

/// What keeps the pod from being placed at all, and the plugins that would have judged it.
pub(super) fn required(state: &ClusterState, pod: &Pod, profile: &ProfilePlugins) -> (Features, PluginSet) {
    let spec = &pod.spec;
    let mut features: Features = spec.not_understood.clone();
    let mut plugins = PluginSet::EMPTY;
    let mut need = |plugin: PluginId, feature: String| {
        features.push(feature.into());
        plugins.insert(plugin);
    };
    let claims = || spec.volumes.iter().filter(|volume| !matches!(volume, PodVolume::Disk(_)));
    if claims().next().is_some() {
        let unknown = RelatedKind::OF_STORAGE.iter().filter(|kind| !state.related().is_listed(**kind));
        let unknown: Vec<&str> = unknown.map(|kind| kind.plural()).collect();
        if !unknown.is_empty() {
            let feature = format!("persistent volume claims without a list of {}", unknown.join(", "));
            need(PluginId::VolumeBinding, feature);
        }
        for (volume, plugin) in migrated_volumes(state, pod) {
            need(PluginId::VolumeBinding, format!("volume \"{volume}\" of the replaced plugin {}", plugin.name()));
        }
    }
    if !spec.device_claims.is_empty() {
        let unknown = RelatedKind::OF_DEVICES.iter().filter(|kind| !state.related().is_listed(**kind));
        let unknown: Vec<&str> = unknown.map(|kind| kind.plural()).collect();
        if !unknown.is_empty() {
            need(PluginId::DynamicResources, format!("resource claims without a list of {}", unknown.join(", ")));
        }
    }
    if !state.knows_namespaces() && pod_terms_by_namespace(state, pod) {
        need(PluginId::InterPodAffinity, "affinity to pods of namespaces chosen by label".to_owned());
    }
    let unknown = |kind: &RelatedKind| !state.related().is_listed(*kind);
    if spec.spread.is_empty()
        && profile.filter().contains(&PluginId::PodTopologySpread)
        && profile.arguments().spread_defaults.are_hard()
        && RelatedKind::OF_SELECTORS.iter().any(unknown)
    {
        need(PluginId::PodTopologySpread, "topology spread by default".to_owned());
    }
    (features, plugins)
}

/// Wishes that have no part in the score.
pub(super) fn preferred(state: &ClusterState, pod: &Pod) -> Features {
    let unknown = |kind: &RelatedKind| !state.related().is_listed(*kind);
    if pod.spec.spread.is_empty() && RelatedKind::OF_SELECTORS.iter().any(unknown) {
        vec!["topology spread by default".into()]
    } else {
        Vec::new()
    }
}

/// Volumes of the pod whose plugin a CSI driver replaces on some node: where they can be reached is written in words of
/// the plugin, which are not translated here.
fn migrated_volumes<'a>(state: &'a ClusterState, pod: &'a Pod) -> impl Iterator<Item = (&'a Arc<str>, InTree)> {
    let related = state.related();
    let volumes = pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim(name) => related.volume(related.claim(&pod.namespace, name)?.volume.as_ref()?),
        _ => None,
    });
    volumes.filter_map(|volume| match volume.source {
        VolumeSource::InTree(plugin) if related.csi_nodes().any(|node| node.migrated.contains(&plugin)) => {
            Some((&volume.name, plugin))
        }
        _ => None,
    })
}

/// Whether a term of the pod, or one of a pod on a node that could concern it, chooses namespaces by their labels.
fn pod_terms_by_namespace(state: &ClusterState, pod: &Pod) -> bool {
    let by_label = |term: &PodAffinityTerm| term.namespace_selector.as_ref().is_some_and(|s| !s.is_empty());
    let selects = |term: &PodAffinityTerm| {
        term.selector.as_ref().is_some_and(|selector| selector.matches(|key| pod.labels.get(key)))
    };
    let of_others = || {
        let kinds = state.kinds();
        kinds.any_by_namespace()
            && kinds
                .after(KindId::default(), true)
                .filter_map(|(_, kind)| kind.choosy.as_ref())
                .any(|spec| spec.pod_affinities.terms().any(|term| by_label(term) && selects(term)))
    };
    pod.spec.pod_affinities.terms().any(by_label) || of_others()
}
