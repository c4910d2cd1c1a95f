//! The claims of a pod, as all storage plugins see them.

use std::borrow::Cow;

use crate::object::{PersistentVolumeClaim, Pod, PodVolume, Related};
use crate::state::RelatedObjects;

/// A claim that a pod names, or that is made for it.
pub(super) struct PodClaim<'a> {
    pub(super) name: Cow<'a, str>,
    /// Whether it is made for the pod.
    pub(super) ephemeral: bool,
}

impl PodClaim<'_> {
    /// The object, if it is there.
    pub(super) fn find<'s>(&self, pod: &Pod, related: &'s RelatedObjects) -> Option<&'s PersistentVolumeClaim> {
        related.claim(&pod.namespace, &self.name)
    }

    /// Whether the object may be used by the pod: a claim made for a pod is of no other.
    pub(super) fn is_for(&self, pod: &Pod, claim: &PersistentVolumeClaim) -> bool {
        !self.ephemeral || claim.controller.as_ref() == Some(&pod.uid)
    }
}

/// All claims of the pod, in the order of its volumes.
pub(super) fn all(pod: &Pod) -> impl Iterator<Item = PodClaim<'_>> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim(name) => Some(PodClaim { name: Cow::Borrowed(name), ephemeral: false }),
        PodVolume::EphemeralClaim(volume) => {
            Some(PodClaim { name: Cow::Owned(format!("{}-{volume}", pod.name)), ephemeral: true })
        }
        PodVolume::Disk(_) => None,
    })
}

/// Claims that the pod names.
pub(super) fn named(pod: &Pod) -> impl Iterator<Item = &str> {
    pod.spec.volumes.iter().filter_map(|volume| match volume {
        PodVolume::Claim(name) => Some(&**name),
        _ => None,
    })
}

/// The message of a claim that is not there.
pub(super) fn not_found(name: &str) -> String {
    format!("persistentvolumeclaim \"{name}\" not found")
}

/// Whether the object is a claim of the pod; those made for it count too if `with_ephemeral`.
pub(super) fn is_of(object: &Related, pod: &Pod, with_ephemeral: bool) -> bool {
    let Related::PersistentVolumeClaim(claim) = object else { return false };
    claim.namespace == pod.namespace
        && all(pod).any(|own| (with_ephemeral || !own.ephemeral) && *own.name == *claim.name)
}
