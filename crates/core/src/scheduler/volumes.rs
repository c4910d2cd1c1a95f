//! Claims and volumes as the scheduler has decided about them, ahead of what the API server shows.
//!
//! [`AssumedVolumes`] lays its word over what the watch brings, so that two pods never take one volume. What the API server
//! shows of the decision itself ends the assumption: from then on its word alone counts.

use std::collections::HashMap;
use std::sync::Arc;

use crate::object::{
    ClaimRef, Node, NodeName, PersistentVolume, PersistentVolumeClaim, PodUid, PodVolumes, Related, RelatedKey,
    RelatedKind, StaticBinding, UnboundClaim,
};
use crate::state::RelatedObjects;

/// A decision about an object that the API server does not show yet.
#[derive(Debug)]
struct Assumed<T, W> {
    /// The pods whose decisions it is part of; without any it ends.
    holders: Vec<PodUid>,
    /// The object as the API server shows it.
    shown: Arc<T>,
    /// What was decided.
    what: W,
}

impl Assumed<PersistentVolume, ClaimRef> {
    fn as_decided(&self) -> Related {
        let claim = Some(self.what.clone());
        Related::PersistentVolume(Arc::new(PersistentVolume { claim, ..(*self.shown).clone() }))
    }
}

impl Assumed<PersistentVolumeClaim, NodeName> {
    fn as_decided(&self) -> Related {
        let selected_node = Some(self.what.clone());
        Related::PersistentVolumeClaim(Arc::new(PersistentVolumeClaim { selected_node, ..(*self.shown).clone() }))
    }
}

/// The decisions about claims and volumes that the API server does not show yet. Its size is that of the decisions being
/// carried out.
#[derive(Debug, Default)]
pub(super) struct AssumedVolumes {
    volumes: HashMap<Arc<str>, Assumed<PersistentVolume, ClaimRef>>,
    claims: HashMap<RelatedKey, Assumed<PersistentVolumeClaim, NodeName>>,
}

impl AssumedVolumes {
    /// The pod is to use these volumes on the node: the objects as they count from now on.
    pub(super) fn assume(
        &mut self,
        pod: &PodUid,
        node: &NodeName,
        chosen: &PodVolumes,
        related: &RelatedObjects,
    ) -> Vec<Related> {
        let mut counted = Vec::new();
        for binding in &chosen.bindings {
            let (key, uid) = (&binding.claim.key, &binding.claim.uid);
            if let Some(assumed) = self.volumes.get_mut(&binding.volume) {
                assumed.holders.push(pod.clone());
                continue;
            }
            let Some(shown) = related.shared_volume(&binding.volume) else { continue };
            // One that is the claim's already needs no assumption.
            if shown.claim.as_ref().is_some_and(|claim| claim.uid == *uid) {
                continue;
            }
            let what = ClaimRef { namespace: key.namespace.clone(), name: key.name.clone(), uid: uid.clone() };
            let assumed = Assumed { holders: vec![pod.clone()], shown: shown.clone(), what };
            counted.push(assumed.as_decided());
            self.volumes.insert(binding.volume.clone(), assumed);
        }
        for claim in &chosen.provisions {
            if let Some(assumed) = self.claims.get_mut(&claim.key) {
                assumed.holders.push(pod.clone());
                continue;
            }
            let Some(shown) = related.shared_claim(&claim.key.namespace, &claim.key.name) else { continue };
            if shown.selected_node.is_some() {
                continue;
            }
            let assumed = Assumed { holders: vec![pod.clone()], shown: shown.clone(), what: node.clone() };
            counted.push(assumed.as_decided());
            self.claims.insert(claim.key.clone(), assumed);
        }
        counted
    }

    /// An object that the API server shows, as it counts.
    pub(super) fn as_it_counts(&mut self, object: Related) -> Related {
        match &object {
            Related::PersistentVolume(volume) => {
                let Some(assumed) = self.volumes.get_mut(&volume.name) else { return object };
                if volume.claim.as_ref().is_none_or(|claim| claim.uid.is_empty()) {
                    assumed.shown = volume.clone();
                    return assumed.as_decided();
                }
                self.volumes.remove(&volume.name);
            }
            Related::PersistentVolumeClaim(claim) => {
                let key = RelatedKey { namespace: claim.namespace.clone(), name: claim.name.clone() };
                let Some(assumed) = self.claims.get_mut(&key) else { return object };
                if claim.selected_node.is_none() && claim.volume.is_none() && claim.uid == assumed.shown.uid {
                    assumed.shown = claim.clone();
                    return assumed.as_decided();
                }
                self.claims.remove(&key);
            }
            _ => {}
        }
        object
    }

    /// The object is gone, and what was decided about it with it.
    pub(super) fn gone(&mut self, kind: RelatedKind, key: &RelatedKey) {
        match kind {
            RelatedKind::PersistentVolume => drop(self.volumes.remove(&key.name)),
            RelatedKind::PersistentVolumeClaim => drop(self.claims.remove(key)),
            _ => {}
        }
    }

    /// The decision about the pod is carried out or given up: objects that count as the API server shows them from now on.
    pub(super) fn release(&mut self, pod: &PodUid, chosen: &PodVolumes) -> Vec<Related> {
        let mut counted = Vec::new();
        for StaticBinding { volume, .. } in &chosen.bindings {
            let Some(assumed) = self.volumes.get_mut(volume) else { continue };
            assumed.holders.retain(|holder| holder != pod);
            if assumed.holders.is_empty() {
                counted.push(Related::PersistentVolume(assumed.shown.clone()));
                self.volumes.remove(volume);
            }
        }
        for UnboundClaim { key, .. } in &chosen.provisions {
            let Some(assumed) = self.claims.get_mut(key) else { continue };
            assumed.holders.retain(|holder| holder != pod);
            if assumed.holders.is_empty() {
                counted.push(Related::PersistentVolumeClaim(assumed.shown.clone()));
                self.claims.remove(key);
            }
        }
        counted
    }

    /// How the volumes chosen for a pod stand, by what the API server shows.
    ///
    /// # Errors
    /// They cannot come to be bound any more; why, as kube-scheduler words it.
    pub(super) fn check(&self, chosen: &PodVolumes, node: &Node, related: &RelatedObjects) -> Result<Standing, String> {
        for StaticBinding { claim, volume: name } in &chosen.bindings {
            let volume =
                related.volume(name).ok_or_else(|| format!("failed to check binding: pv {name:?} not found"))?;
            let claim = find(&claim.key, related, "failed to check binding")?;
            if self.volumes.contains_key(name) {
                return Ok(Standing::Unbound);
            }
            reachable(volume, node)?;
            if volume.claim.as_ref().is_none_or(|claim| claim.uid.is_empty()) {
                return Err(format!("ClaimRef got reset for pv {name:?}"));
            }
            if !claim.is_bound() {
                return Ok(Standing::Unbound);
            }
        }
        for UnboundClaim { key, .. } in &chosen.provisions {
            let claim = find(key, related, "failed to check provisioning pvc")?;
            if self.claims.contains_key(key) {
                return Ok(Standing::Unbound);
            }
            if claim.selected_node.as_ref() != Some(&node.name) {
                return Err(format!("provisioning failed for PVC {:?}", key.name));
            }
            if let Some(name) = &claim.volume {
                // The watch of volumes may be behind that of claims.
                let Some(volume) = related.volume(name) else { return Ok(Standing::Unbound) };
                reachable(volume, node)?;
            }
            if !claim.is_bound() {
                return Ok(Standing::Unbound);
            }
        }
        Ok(Standing::Bound)
    }
}

/// How the volumes of a pod stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All are bound.
    Bound,
    /// Some are not yet.
    Unbound,
}

fn find<'a>(key: &RelatedKey, related: &'a RelatedObjects, what: &str) -> Result<&'a PersistentVolumeClaim, String> {
    let claim = related.claim(&key.namespace, &key.name);
    claim.ok_or_else(|| format!("{what}: pvc \"{}/{}\" not found", key.namespace, key.name))
}

fn reachable(volume: &PersistentVolume, node: &Node) -> Result<(), String> {
    if volume.reaches(&node.labels) {
        return Ok(());
    }
    Err(format!("pv {:?} node affinity doesn't match node {:?}: no matching NodeSelectorTerms", volume.name, node.name))
}
