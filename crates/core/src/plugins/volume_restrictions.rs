//! VolumeRestrictions: a disk that only one pod may write, and a claim that only one pod may use.

use super::{Code, Plugin, PluginId, Rejection, Stop, Survey, claims};
use crate::cluster_event::ClusterEvent;
use crate::object::{AccessModes, Disk, Node, Pod, PodSpec, PodVolume};
use crate::profile::PluginArguments;
use crate::state::{ClusterState, NodeView};

pub(crate) struct VolumeRestrictions;

const DISK: u32 = 0;
const CLAIM: u32 = 1;

fn disks(pod: &Pod) -> impl Iterator<Item = &Disk> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Disk(disk) => Some(disk),
        _ => None,
    })
}

fn is_restricted(disk: &Disk) -> bool {
    matches!(disk, Disk::GcePd { .. } | Disk::AwsEbs(_) | Disk::Rbd { .. } | Disk::Iscsi { .. })
}

fn share_a_disk(pod: &Pod, other: &Pod) -> bool {
    disks(pod).any(|disk| disks(other).any(|used| disk.conflicts_with(used)))
}

#[derive(Clone)]
struct Restrictions<'a> {
    pod: &'a Pod,
    has_disks: bool,
    /// Claims of the pod that only one pod may use.
    exclusive: Vec<&'a str>,
    /// How many of these are in use.
    in_use: i64,
}

impl<'a> Survey<'a> for Restrictions<'a> {
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        let reject = |bit: u32| {
            Err(Rejection { plugin: PluginId::VolumeRestrictions, code: Code::Unschedulable, reasons: 1 << bit })
        };
        if self.has_disks && node.pods().iter().any(|other| share_a_disk(self.pod, other)) {
            return reject(DISK);
        }
        if self.in_use > 0 { reject(CLAIM) } else { Ok(()) }
    }

    fn follow(&mut self, moved: &Pod, _: &'a Node, by: i64) {
        // kube-scheduler goes by the names of claims alone, whatever the namespace.
        let shared = claims::named(moved).filter(|name| self.exclusive.contains(name)).count();
        self.in_use += by * shared as i64;
    }

    fn copy(&self) -> Box<dyn Survey<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for VolumeRestrictions {
    fn id(&self) -> PluginId {
        PluginId::VolumeRestrictions
    }

    fn admit(&self, pod: &Pod, state: &ClusterState) -> Result<(), Stop> {
        match claims::named(pod).find(|name| state.related().claim(&pod.namespace, name).is_none()) {
            Some(missing) => Err(Stop::Rejected(claims::not_found(missing))),
            None => Ok(()),
        }
    }

    fn survey<'a>(
        &self,
        pod: &'a Pod,
        state: &'a ClusterState,
        _: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
        let mut exclusive: Vec<&str> = claims::named(pod)
            .filter(|name| {
                let claim = state.related().claim(&pod.namespace, name);
                claim.is_some_and(|claim| claim.access_modes.contain(AccessModes::READ_WRITE_ONCE_POD))
            })
            .collect();
        exclusive.sort_unstable();
        exclusive.dedup();
        let in_use = exclusive.iter().filter(|name| state.claim_users(&pod.namespace, name) > 0).count() as i64;
        let has_disks = disks(pod).any(is_restricted);
        (has_disks || in_use > 0)
            .then(|| Box::new(Restrictions { pod, has_disks, exclusive, in_use }) as Box<dyn Survey<'a> + 'a>)
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        match bit {
            DISK => "node(s) had no available disk",
            _ => {
                "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by \
                 another pod"
            }
        }
        .to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::PodChanged | ClusterEvent::RelatedListed(_) => true,
            ClusterEvent::RelatedAdded(object) => claims::is_of(object, pod, false),
            ClusterEvent::PodRemoved(other) => {
                other.namespace == pod.namespace
                    && (share_a_disk(pod, other)
                        || claims::named(pod).any(|own| claims::named(other).any(|c| c == own)))
            }
            _ => false,
        }
    }
}
