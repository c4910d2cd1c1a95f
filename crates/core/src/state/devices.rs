//! Which devices are taken, and by whom: [`DeviceBook`] follows claims and what decisions have promised to them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use augur_notation::Quantity;

use crate::object::{
    CLASS_RESOURCE, DeviceAllocation, DeviceClass, DeviceId, PodDevices, PodUid, QualifiedName, RelatedKey,
    ResourceClaim,
};

/// How much of each capacity is consumed.
pub(crate) type Consumed = BTreeMap<QualifiedName, Quantity>;

/// Devices promised by a decision until the API server shows them in the claim.
#[derive(Debug, Clone)]
struct Promise {
    pod: PodUid,
    allocation: DeviceAllocation,
}

/// All promises of a book.
#[derive(Debug, Default)]
pub(super) struct Promises {
    promises: BTreeMap<RelatedKey, Promise>,
    to_be_made: BTreeMap<PodUid, DeviceAllocation>,
}

/// Devices that are taken. As large as the allocations in the API server and those on their way there.
#[derive(Debug, Default)]
pub(crate) struct DeviceBook {
    /// Devices that are taken as a whole, with the number of claims that have them: more than one only by mistake.
    whole: HashMap<DeviceId, u32>,
    /// Devices that are shared: how many have a share, and what all shares consume.
    shares: HashMap<DeviceId, (u32, Consumed)>,
    promises: BTreeMap<RelatedKey, Promise>,
    /// Promises to claims that are to be made for the extended resources of a pod.
    to_be_made: BTreeMap<PodUid, DeviceAllocation>,
    /// Classes by the extended resource that stands for them, in the order of creation and name: the first counts.
    by_resource: HashMap<Arc<str>, Vec<Arc<DeviceClass>>>,
    classes_version: u64,
}

impl DeviceBook {
    /// Follows a change of a claim: as it was, and as it is.
    pub(crate) fn follow_claim(&mut self, before: Option<&ResourceClaim>, claim: Option<&ResourceClaim>) {
        if let Some(allocation) = before.and_then(|claim| claim.allocation.as_ref()) {
            self.release(allocation);
        }
        let Some(claim) = claim else {
            if let Some(before) = before {
                self.drop_promise(&before.key());
            }
            return;
        };
        if let Some(allocation) = &claim.allocation {
            // What was promised has come about, or something else has.
            self.drop_promise(&claim.key());
            if claim.for_extended_resources
                && let Some(promised) = claim.controller.as_ref().and_then(|pod| self.to_be_made.remove(pod))
            {
                self.release(&promised);
            }
            self.take(allocation);
        }
    }

    /// Follows a change of a class: as it was, and as it is.
    pub(crate) fn follow_class(&mut self, before: Option<&Arc<DeviceClass>>, class: Option<&Arc<DeviceClass>>) {
        let mapped = |class: &Arc<DeviceClass>| (class.name.clone(), class.extended_resource.clone(), class.created);
        if before.map(mapped) != class.map(mapped) {
            self.classes_version += 1;
        }
        for name in before.into_iter().flat_map(|class| resources_of(class)) {
            if let Some(classes) = self.by_resource.get_mut(&name) {
                classes.retain(|known| Some(&known.name) != before.map(|class| &class.name));
                if classes.is_empty() {
                    self.by_resource.remove(&name);
                }
            }
        }
        for (name, class) in class.into_iter().flat_map(|class| resources_of(class).map(move |name| (name, class))) {
            let classes = self.by_resource.entry(name).or_default();
            classes.push(class.clone());
            // The newest, and of several the one whose name comes first.
            classes.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.name.cmp(&b.name)));
        }
    }

    /// The class for which the extended resource stands.
    pub(crate) fn class_of_resource(&self, resource: &str) -> Option<&DeviceClass> {
        self.by_resource.get(resource)?.first().map(|class| &**class)
    }

    /// Whether any extended resource stands for a class.
    pub(crate) fn has_classes(&self) -> bool {
        !self.by_resource.is_empty()
    }

    /// Changes when extended resources stand for other classes.
    pub(crate) fn classes_version(&self) -> u64 {
        self.classes_version
    }

    /// Notes what a decision gives to the claims of a pod.
    pub(crate) fn promise(&mut self, pod: &PodUid, devices: &PodDevices) {
        for claim in &devices.allocations {
            self.take(&claim.allocation);
            let promise = Promise { pod: pod.clone(), allocation: claim.allocation.clone() };
            if let Some(before) = self.promises.insert(claim.claim.clone(), promise) {
                self.release(&before.allocation);
            }
        }
        if let Some(extended) = &devices.extended {
            self.take(&extended.allocation);
            if let Some(before) = self.to_be_made.insert(pod.clone(), extended.allocation.clone()) {
                self.release(&before);
            }
        }
    }

    /// All that is promised and has not come about. As large as the bindings under way.
    pub(super) fn promised(&self) -> Promises {
        Promises { promises: self.promises.clone(), to_be_made: self.to_be_made.clone() }
    }

    /// Promises again what another book had promised.
    pub(super) fn restore(&mut self, promised: Promises) {
        let Promises { promises, to_be_made } = promised;
        promises.values().for_each(|promise| self.take(&promise.allocation));
        to_be_made.values().for_each(|allocation| self.take(allocation));
        self.promises.extend(promises);
        self.to_be_made.extend(to_be_made);
    }

    /// Takes back what was promised to the pod and has not come about.
    pub(crate) fn withdraw(&mut self, pod: &PodUid) {
        let own: Vec<RelatedKey> =
            self.promises.iter().filter(|(_, promise)| promise.pod == *pod).map(|(key, _)| key.clone()).collect();
        own.iter().for_each(|key| self.drop_promise(key));
        if let Some(allocation) = self.to_be_made.remove(pod) {
            self.release(&allocation);
        }
    }

    /// Whether the claim is promised devices that it does not have yet.
    pub(crate) fn is_promised(&self, claim: &RelatedKey) -> bool {
        self.promises.contains_key(claim)
    }

    /// Whether a claim has the device as a whole.
    pub(crate) fn is_taken(&self, device: &DeviceId) -> bool {
        self.whole.contains_key(device)
    }

    /// What shares of the device consume; nothing if no claim has one that consumes anything.
    pub(crate) fn consumed(&self, device: &DeviceId) -> Option<&Consumed> {
        self.shares.get(device).map(|(_, consumed)| consumed).filter(|consumed| !consumed.is_empty())
    }

    /// Whether a claim has the device or a share of it.
    pub(crate) fn is_in_use(&self, device: &DeviceId) -> bool {
        self.whole.contains_key(device) || self.shares.contains_key(device)
    }

    fn drop_promise(&mut self, claim: &RelatedKey) {
        if let Some(promise) = self.promises.remove(claim) {
            self.release(&promise.allocation);
        }
    }

    fn take(&mut self, allocation: &DeviceAllocation) {
        for device in allocation.devices.iter().filter(|device| device.admin_access != Some(true)) {
            if device.share.is_none() {
                *self.whole.entry(device.id.clone()).or_default() += 1;
                continue;
            }
            let (count, consumed) = self.shares.entry(device.id.clone()).or_default();
            *count += 1;
            for (name, amount) in &device.consumed {
                let sum = consumed.entry(name.clone()).or_insert(Quantity::ZERO);
                *sum = sum.plus(*amount);
            }
        }
    }

    fn release(&mut self, allocation: &DeviceAllocation) {
        for device in allocation.devices.iter().filter(|device| device.admin_access != Some(true)) {
            if device.share.is_none() {
                if let Some(count) = self.whole.get_mut(&device.id) {
                    *count = count.saturating_sub(1);
                    if *count == 0 {
                        self.whole.remove(&device.id);
                    }
                }
                continue;
            }
            let Some((count, consumed)) = self.shares.get_mut(&device.id) else { continue };
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.shares.remove(&device.id);
                continue;
            }
            for (name, amount) in &device.consumed {
                if let Some(sum) = consumed.get_mut(name) {
                    *sum = sum.plus(amount.negated());
                }
            }
        }
    }
}

/// The extended resources that stand for the class.
fn resources_of(class: &DeviceClass) -> impl Iterator<Item = Arc<str>> {
    let own: Arc<str> = format!("{CLASS_RESOURCE}{}", class.name).into();
    class.extended_resource.clone().into_iter().chain([own])
}
