//! What of a pod, besides its spec, other pods ask for: [`Identity`].

use std::collections::HashMap;
use std::sync::Arc;

use augur_notation::LabelSelector;

use crate::object::{ControllerRef, Labels, Pod, PodSpec};
use crate::plugins::pod_topology_spread as spread;
use crate::profile::Profile;
use crate::state::ClusterState;

/// So many answers on which pods are alike are remembered; then all are forgotten.
const MAX_ALIKE: usize = 4096;

/// What of a pod, besides its spec, other pods ask for. Pods of one identity and one spec have the same company.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::cycle) struct Identity {
    pub(super) namespace: Arc<str>,
    /// The labels that somebody asks for. Others, such as the name that a StatefulSet gives, do not tell pods apart.
    pub(super) labels: Labels,
    /// Which pods are alike, if the pod is spread by default.
    pub(super) alike: Option<Arc<LabelSelector>>,
}

/// Namespace, labels and controller of a pod.
type Alike = (Arc<str>, Labels, Option<ControllerRef>);

/// Finds identities, and remembers which pods are alike as long as services and controllers stand.
#[derive(Debug, Default)]
pub(in crate::cycle) struct Identities {
    alike: HashMap<Alike, Option<Arc<LabelSelector>>>,
    selectors: u64,
}

impl Identities {
    /// The pod's identity; none if no rule, of its own or of others, could concern it.
    pub(in crate::cycle) fn of(&mut self, pod: &Pod, state: &ClusterState, profile: &Profile) -> Option<Arc<Identity>> {
        let spec = &pod.spec;
        let by_default = spec.spread.is_empty() && !profile.plugins.arguments().spread_defaults.are_none();
        let alike = if by_default { self.alike(pod, state) } else { None };
        let kinds = state.kinds();
        if spec.spread.is_empty() && spec.pod_affinities.is_empty() && alike.is_none() && !kinds.any_choosy() {
            return None;
        }
        let labels = pod.labels.only(|key| kinds.asks_for(key) || asks_for(spec, key));
        Some(Arc::new(Identity { namespace: pod.namespace.clone(), labels, alike }))
    }

    fn alike(&mut self, pod: &Pod, state: &ClusterState) -> Option<Arc<LabelSelector>> {
        if self.selectors != state.selectors_version() || self.alike.len() >= MAX_ALIKE {
            self.selectors = state.selectors_version();
            self.alike.clear();
        }
        if self.selectors == 0 {
            // There never was a service or a controller.
            return None;
        }
        let key = (pod.namespace.clone(), pod.labels.clone(), pod.controller.clone());
        self.alike.entry(key).or_insert_with(|| spread::alike(pod, state).map(Arc::new)).clone()
    }
}

/// Whether the pod's own rules ask for labels of this key.
fn asks_for(spec: &PodSpec, key: &str) -> bool {
    let terms = spec.pod_affinities.terms().filter_map(|term| term.selector.as_ref());
    let rules = spec.spread.iter().filter_map(|rule| rule.selector.as_ref());
    terms.chain(rules).any(|selector| selector.requirements().iter().any(|asked| asked.key() == key))
}
