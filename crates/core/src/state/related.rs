//! Objects besides nodes and pods, found by kind and name: [`RelatedObjects`].

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use super::ChangeLog;
use super::devices::DeviceBook;
use crate::object::{
    ControllerRef, CsiDriver, CsiNode, CsiStorageCapacity, DeviceClass, PersistentVolume, PersistentVolumeClaim,
    PodSelector, Reach, Related, RelatedKey, RelatedKind, ResourceClaim, ResourceSlice, StorageClass, VolumeAttachment,
};

/// Objects of one kind.
#[derive(Debug, Default)]
struct Table {
    /// By namespace and name; in their order, so that a copy can be taken piece by piece.
    objects: BTreeMap<Arc<str>, BTreeMap<Arc<str>, Related>>,
    /// By what they are looked for besides the name, in an order that does not depend on when they came.
    groups: HashMap<Arc<str>, BTreeMap<RelatedKey, Related>>,
    /// Whether all objects of the kind were listed.
    listed: bool,
}

/// What an object is looked for besides its name: volumes and capacities by class, attachments and slices by node.
fn group(object: &Related) -> Option<&str> {
    match object {
        Related::PersistentVolume(volume) => Some(&*volume.class),
        Related::CsiStorageCapacity(capacity) => Some(&*capacity.class),
        Related::VolumeAttachment(attachment) => Some(&*attachment.node),
        Related::ResourceSlice(slice) => match &slice.reach {
            Reach::Node(node) if slice.counters.is_empty() => Some(&**node),
            _ => Some(""),
        },
        _ => None,
    }
}

impl Table {
    fn insert(&mut self, object: Related) -> Option<Related> {
        let key = object.key();
        let before = self.remove(&key);
        if let Some(group) = group(&object) {
            self.groups.entry(group.into()).or_default().insert(key.clone(), object.clone());
        }
        self.objects.entry(key.namespace).or_default().insert(key.name, object);
        before
    }

    fn remove(&mut self, key: &RelatedKey) -> Option<Related> {
        let of_namespace = self.objects.get_mut(&key.namespace)?;
        let removed = of_namespace.remove(&key.name)?;
        if of_namespace.is_empty() {
            self.objects.remove(&key.namespace);
        }
        if let Some(name) = group(&removed)
            && let Some(group) = self.groups.get_mut(name)
        {
            group.remove(key);
            if group.is_empty() {
                self.groups.remove(name);
            }
        }
        Some(removed)
    }
}

/// Objects besides nodes and pods. Its size is that of the API server's content of these kinds.
#[derive(Debug, Default)]
pub struct RelatedObjects {
    tables: [Table; RelatedKind::ALL.len()],
    devices: DeviceBook,
    /// What was applied and removed lately.
    changes: ChangeLog<(RelatedKind, RelatedKey)>,
}

/// The object, if it is of the kind.
macro_rules! of_kind {
    ($object:expr, $kind:ident) => {
        match $object {
            Related::$kind(object) => Some(&**object),
            _ => None,
        }
    };
}

impl RelatedObjects {
    /// The claim of this namespace and name.
    #[must_use]
    pub fn claim(&self, namespace: &str, name: &str) -> Option<&PersistentVolumeClaim> {
        of_kind!(self.get(RelatedKind::PersistentVolumeClaim, namespace, name)?, PersistentVolumeClaim)
    }

    /// The volume of this name.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&PersistentVolume> {
        of_kind!(self.get(RelatedKind::PersistentVolume, "", name)?, PersistentVolume)
    }

    /// The claim of this namespace and name, shared.
    pub(crate) fn shared_claim(&self, namespace: &str, name: &str) -> Option<&Arc<PersistentVolumeClaim>> {
        match self.get(RelatedKind::PersistentVolumeClaim, namespace, name)? {
            Related::PersistentVolumeClaim(claim) => Some(claim),
            _ => None,
        }
    }

    /// The volume of this name, shared.
    pub(crate) fn shared_volume(&self, name: &str) -> Option<&Arc<PersistentVolume>> {
        match self.get(RelatedKind::PersistentVolume, "", name)? {
            Related::PersistentVolume(volume) => Some(volume),
            _ => None,
        }
    }

    /// The storage class of this name.
    #[must_use]
    pub fn storage_class(&self, name: &str) -> Option<&StorageClass> {
        of_kind!(self.get(RelatedKind::StorageClass, "", name)?, StorageClass)
    }

    /// What drivers tell of the node of this name.
    #[must_use]
    pub fn csi_node(&self, name: &str) -> Option<&CsiNode> {
        of_kind!(self.get(RelatedKind::CsiNode, "", name)?, CsiNode)
    }

    /// The driver of this name.
    #[must_use]
    pub fn csi_driver(&self, name: &str) -> Option<&CsiDriver> {
        of_kind!(self.get(RelatedKind::CsiDriver, "", name)?, CsiDriver)
    }

    /// The controller of a pod of this namespace.
    #[must_use]
    pub fn controller(&self, namespace: &str, controller: &ControllerRef) -> Option<&PodSelector> {
        match controller {
            ControllerRef::ReplicationController(name) => {
                of_kind!(self.get(RelatedKind::ReplicationController, namespace, name)?, ReplicationController)
            }
            ControllerRef::ReplicaSet(name) => {
                of_kind!(self.get(RelatedKind::ReplicaSet, namespace, name)?, ReplicaSet)
            }
            ControllerRef::StatefulSet(name) => {
                of_kind!(self.get(RelatedKind::StatefulSet, namespace, name)?, StatefulSet)
            }
        }
    }

    /// All that drivers tell of nodes.
    pub fn csi_nodes(&self) -> impl Iterator<Item = &CsiNode> {
        let all = self.table(RelatedKind::CsiNode).objects.values().flat_map(BTreeMap::values);
        all.filter_map(|object| of_kind!(object, CsiNode))
    }

    /// Volumes of a class, by name.
    pub fn volumes_of_class(&self, class: &str) -> impl Iterator<Item = &PersistentVolume> {
        self.group(RelatedKind::PersistentVolume, class).filter_map(|object| of_kind!(object, PersistentVolume))
    }

    /// Room for volumes of a class.
    pub fn capacities_of_class(&self, class: &str) -> impl Iterator<Item = &CsiStorageCapacity> {
        self.group(RelatedKind::CsiStorageCapacity, class).filter_map(|object| of_kind!(object, CsiStorageCapacity))
    }

    /// Volumes attached to a node, or to be attached.
    pub fn attachments_of_node(&self, node: &str) -> impl Iterator<Item = &VolumeAttachment> {
        self.group(RelatedKind::VolumeAttachment, node).filter_map(|object| of_kind!(object, VolumeAttachment))
    }

    /// Services of a namespace, in no order.
    pub fn services(&self, namespace: &str) -> impl Iterator<Item = &PodSelector> {
        let of_namespace = self.table(RelatedKind::Service).objects.get(namespace);
        of_namespace.into_iter().flat_map(BTreeMap::values).filter_map(|object| of_kind!(object, Service))
    }

    /// The claim to devices of this namespace and name.
    #[must_use]
    pub fn resource_claim(&self, namespace: &str, name: &str) -> Option<&ResourceClaim> {
        of_kind!(self.get(RelatedKind::ResourceClaim, namespace, name)?, ResourceClaim)
    }

    /// All claims to devices of a namespace, in no order.
    pub fn resource_claims(&self, namespace: &str) -> impl Iterator<Item = &ResourceClaim> {
        let of_namespace = self.table(RelatedKind::ResourceClaim).objects.get(namespace);
        of_namespace.into_iter().flat_map(BTreeMap::values).filter_map(|object| of_kind!(object, ResourceClaim))
    }

    /// Claims that were made for the extended resources of the pod, by name.
    pub fn claims_for_extended_resources(&self, namespace: &str, pod: &str) -> impl Iterator<Item = &ResourceClaim> {
        let own = |claim: &&ResourceClaim| claim.for_extended_resources && claim.controller.as_deref() == Some(pod);
        let mut claims: Vec<&ResourceClaim> = self.resource_claims(namespace).filter(own).collect();
        claims.sort_by(|a, b| a.name.cmp(&b.name));
        claims.into_iter()
    }

    /// The class of devices of this name.
    #[must_use]
    pub fn device_class(&self, name: &str) -> Option<&DeviceClass> {
        of_kind!(self.get(RelatedKind::DeviceClass, "", name)?, DeviceClass)
    }

    /// Slices that only the node of this name reaches, by name; with an empty name, those that are not of one node.
    pub fn slices_of_node(&self, node: &str) -> impl Iterator<Item = &ResourceSlice> {
        self.group(RelatedKind::ResourceSlice, node).filter_map(|object| of_kind!(object, ResourceSlice))
    }

    /// All slices, in no order.
    pub fn slices(&self) -> impl Iterator<Item = &ResourceSlice> {
        let all = self.table(RelatedKind::ResourceSlice).objects.values().flat_map(BTreeMap::values);
        all.filter_map(|object| of_kind!(object, ResourceSlice))
    }

    /// Which devices are taken.
    pub(crate) fn devices(&self) -> &DeviceBook {
        &self.devices
    }

    /// Which devices are taken, to be changed by decisions.
    pub(crate) fn devices_mut(&mut self) -> &mut DeviceBook {
        &mut self.devices
    }

    /// Whether all objects of the kind were listed, so that what is not there does not exist.
    #[must_use]
    pub fn is_listed(&self, kind: RelatedKind) -> bool {
        self.table(kind).listed
    }

    /// Adds an object or follows its change; as it was before.
    pub(crate) fn apply(&mut self, object: Related) -> Option<Related> {
        let kind = object.kind();
        self.changes.push((kind, object.key()));
        let of_devices = RelatedKind::OF_DEVICES.contains(&kind).then(|| object.clone());
        let before = self.tables[kind.index()].insert(object);
        if of_devices.is_some() {
            self.follow_devices(before.as_ref(), of_devices.as_ref());
        }
        before
    }

    /// Removes an object; as it was.
    pub(crate) fn remove(&mut self, kind: RelatedKind, key: &RelatedKey) -> Option<Related> {
        let before = self.tables[kind.index()].remove(key);
        if before.is_some() {
            self.changes.push((kind, key.clone()));
        }
        self.follow_devices(before.as_ref(), None);
        before
    }

    /// Keeps the book of devices. Both are of one kind.
    fn follow_devices(&mut self, before: Option<&Related>, object: Option<&Related>) {
        match before.or(object) {
            Some(Related::ResourceClaim(_)) => {
                let claim = |object: &'_ Related| match object {
                    Related::ResourceClaim(claim) => Some(claim.clone()),
                    _ => None,
                };
                let (before, now) = (before.and_then(claim), object.and_then(claim));
                self.devices.follow_claim(before.as_deref(), now.as_deref());
            }
            Some(Related::DeviceClass(_)) => {
                let class = |object: &'_ Related| match object {
                    Related::DeviceClass(class) => Some(class.clone()),
                    _ => None,
                };
                let (before, now) = (before.and_then(class), object.and_then(class));
                self.devices.follow_class(before.as_ref(), now.as_ref());
            }
            _ => {}
        }
    }

    /// Notes that all objects of the kind were listed; whether that is new.
    pub(crate) fn set_listed(&mut self, kind: RelatedKind) -> bool {
        !std::mem::replace(&mut self.tables[kind.index()].listed, true)
    }

    /// Names of all objects of the kind, in no order.
    pub(crate) fn keys(&self, kind: RelatedKind) -> impl Iterator<Item = RelatedKey> {
        self.table(kind).objects.iter().flat_map(|(namespace, objects)| {
            objects.keys().map(|name| RelatedKey { namespace: namespace.clone(), name: name.clone() })
        })
    }

    /// What was applied and removed lately.
    pub(super) fn changes(&self) -> &ChangeLog<(RelatedKind, RelatedKey)> {
        &self.changes
    }

    /// Objects of the kind by namespace and name, from the first behind `last` on.
    pub(super) fn after(&self, kind: RelatedKind, last: Option<&RelatedKey>) -> impl Iterator<Item = &Related> {
        let objects = &self.table(kind).objects;
        let started = last.and_then(|last| Some((last, objects.get(&last.namespace)?)));
        let of_namespace = started.into_iter().flat_map(|(last, of_namespace)| {
            of_namespace.range::<str, _>((Bound::Excluded(&*last.name), Bound::Unbounded)).map(|(_, object)| object)
        });
        let from = last.map_or(Bound::Unbounded, |last| Bound::Excluded(&*last.namespace));
        let others = objects.range::<str, _>((from, Bound::Unbounded)).flat_map(|(_, objects)| objects.values());
        of_namespace.chain(others)
    }

    pub(super) fn get(&self, kind: RelatedKind, namespace: &str, name: &str) -> Option<&Related> {
        self.table(kind).objects.get(namespace)?.get(name)
    }

    fn table(&self, kind: RelatedKind) -> &Table {
        &self.tables[kind.index()]
    }

    fn group(&self, kind: RelatedKind, name: &str) -> impl Iterator<Item = &Related> {
        self.table(kind).groups.get(name).into_iter().flat_map(BTreeMap::values)
    }
}

/// How many pods on known nodes use a claim, by namespace and name.
#[derive(Debug, Default)]
pub(crate) struct ClaimUsers(HashMap<Arc<str>, HashMap<Arc<str>, usize>>);

impl ClaimUsers {
    pub(crate) fn add(&mut self, namespace: &Arc<str>, claim: &Arc<str>) {
        *self.0.entry(namespace.clone()).or_default().entry(claim.clone()).or_default() += 1;
    }

    pub(crate) fn remove(&mut self, namespace: &str, claim: &str) {
        let Some(of_namespace) = self.0.get_mut(namespace) else { return };
        if let Some(users) = of_namespace.get_mut(claim) {
            *users = users.saturating_sub(1);
            if *users == 0 {
                of_namespace.remove(claim);
            }
        }
        if of_namespace.is_empty() {
            self.0.remove(namespace);
        }
    }

    pub(crate) fn count(&self, namespace: &str, claim: &str) -> usize {
        self.0.get(namespace).and_then(|claims| claims.get(claim)).copied().unwrap_or(0)
    }
}
