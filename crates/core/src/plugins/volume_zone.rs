//! VolumeZone: a volume that carries the labels of a zone or region can only be used there.

use super::{Code, Plugin, PluginId, Rejection, Stop, Survey, claims};
use crate::cluster_event::ClusterEvent;
use crate::object::{BindingMode, Labels, Node, PersistentVolume, Pod, PodSpec, Related};
use crate::profile::PluginArguments;
use crate::state::{ClusterState, NodeView};

pub(crate) struct VolumeZone;

const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";
const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";

const KEYS: [&str; 4] = [BETA_ZONE, BETA_REGION, ZONE, REGION];

/// A label that nodes must have, with one of the values.
type Requirement<'a> = (&'static str, Vec<&'a str>);

/// What the volume's labels ask of nodes. A label that names an empty zone asks nothing.
fn requirements(volume: &PersistentVolume) -> impl Iterator<Item = Requirement<'_>> {
    KEYS.into_iter().filter_map(|key| {
        let values: Vec<&str> = volume.labels.get(key)?.split("__").map(str::trim).collect();
        (!values.contains(&"")).then_some((key, values))
    })
}

fn value<'n>(labels: &'n Labels, key: &str) -> Option<&'n str> {
    labels.get(key).or_else(|| match key {
        BETA_ZONE => labels.get(ZONE),
        BETA_REGION => labels.get(REGION),
        _ => None,
    })
}

/// What all volumes of the pod ask of nodes.
fn of_pod<'a>(pod: &Pod, state: &'a ClusterState) -> Result<Vec<Requirement<'a>>, Stop> {
    let related = state.related();
    let reject = |why: String| Err(Stop::Rejected(why));
    let mut all = Vec::new();
    for name in claims::named(pod) {
        let Some(claim) = related.claim(&pod.namespace, name) else { return reject(claims::not_found(name)) };
        if let Some(name) = &claim.volume {
            let Some(volume) = related.volume(name) else {
                return reject(format!("persistentvolume \"{name}\" not found"));
            };
            all.extend(requirements(volume));
            continue;
        }
        if claim.class.is_empty() {
            return reject("PersistentVolumeClaim had no pv name and storageClass name".to_owned());
        }
        match related.storage_class(&claim.class).map(|class| class.binding_mode) {
            None => return reject(format!("storageclass.storage.k8s.io \"{}\" not found", claim.class)),
            Some(None) => return reject(format!("VolumeBindingMode not set for StorageClass \"{}\"", claim.class)),
            Some(Some(BindingMode::WaitForFirstConsumer)) => {}
            Some(Some(BindingMode::Immediate)) => return reject("PersistentVolume had no name".to_owned()),
        }
    }
    Ok(all)
}

#[derive(Clone)]
struct Zones<'a>(Vec<Requirement<'a>>);

impl<'a> Survey<'a> for Zones<'a> {
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        let labels = &node.node().labels;
        // A cluster of one zone may do without such labels.
        if !KEYS.iter().any(|key| labels.get(key).is_some()) {
            return Ok(());
        }
        let fits = |(key, values): &Requirement<'_>| value(labels, key).is_some_and(|value| values.contains(&value));
        if self.0.iter().all(fits) {
            return Ok(());
        }
        Err(Rejection { plugin: PluginId::VolumeZone, code: Code::UnschedulableAndUnresolvable, reasons: 1 })
    }

    /// Pods do not matter.
    fn follow(&mut self, _: &Pod, _: &'a Node, _: i64) {}

    fn copy(&self) -> Box<dyn Survey<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for VolumeZone {
    fn id(&self) -> PluginId {
        PluginId::VolumeZone
    }

    fn admit(&self, pod: &Pod, state: &ClusterState) -> Result<(), Stop> {
        of_pod(pod, state).map(|_| ())
    }

    fn survey<'a>(
        &self,
        pod: &'a Pod,
        state: &'a ClusterState,
        _: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
        // What is rejected was told by `admit`.
        let zones = of_pod(pod, state).ok().filter(|zones| !zones.is_empty())?;
        Some(Box::new(Zones(zones)))
    }

    fn reason(&self, _: &PodSpec, _: u32) -> String {
        "node(s) had no available volume zone".to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::PodChanged | ClusterEvent::RelatedListed(_) => true,
            ClusterEvent::NodeChanged { before, node } => before.labels != node.labels,
            ClusterEvent::RelatedAdded(Related::StorageClass(class)) => {
                class.binding_mode == Some(BindingMode::WaitForFirstConsumer)
            }
            ClusterEvent::RelatedAdded(Related::PersistentVolume(_)) => true,
            ClusterEvent::RelatedChanged {
                before: Related::PersistentVolume(before),
                object: Related::PersistentVolume(volume),
            } => requirements(before).ne(requirements(volume)),
            ClusterEvent::RelatedAdded(object) | ClusterEvent::RelatedChanged { object, .. } => {
                claims::is_of(object, pod, false)
            }
            _ => false,
        }
    }
}
