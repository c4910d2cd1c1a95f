//! DynamicResources: claims of a pod that have devices keep it to the nodes that reach them; others get devices on the chosen node.
//!
//! [`allocator`] finds devices on a node, [`pod_devices`] tells what a chosen node gives to a pod, [`held_back`] why a pod does not
//! enter the queue, and [`aftermath`] what is to become of claims when no node is feasible.

mod allocator;
mod capacity;
mod constraints;
mod extended;
mod pools;

#[cfg(test)]
mod tests;

use allocator::{NoDevices, Wanted, allocate};
use extended::{Extended, OnNode};

use super::{Code, Plugin, PluginId, Rejection, Stop, Survey};
use crate::cluster_event::ClusterEvent;
use crate::object::{
    ClaimAllocation, ClaimOrigin, DeviceAllocation, DeviceRequest, ExactRequest, ExtendedClaim, MOST_CONSUMERS, Node,
    Pod, PodDevices, PodSpec, Related, RelatedKey, ResourceClaim,
};
use crate::profile::{PluginArguments, Profile};
use crate::state::{ClusterState, NodeId, NodeView, RelatedObjects};
pub(crate) use extended::is_provided;

pub(crate) struct DynamicResources;

const NOT_ENOUGH: u32 = 0;
const ELSEWHERE: u32 = 1;
const STALE: u32 = 2;
const LACKING: u32 = 3;
const INVALID_POOL: u32 = 4;
/// Not a reason against the node: something is wrong with claim or class, which ends the attempt.
const BROKEN: u32 = 63;

/// How many alternatives a request can have; the first is worth as much.
const MOST_ALTERNATIVES: i64 = 8;

/// The claims of a pod, in order.
///
/// # Errors
/// One is not there, or not the pod's; why, as kube-scheduler words it.
fn claims_of<'a>(pod: &Pod, related: &'a RelatedObjects) -> Result<Vec<&'a ResourceClaim>, String> {
    let mut claims = Vec::new();
    for own in &pod.spec.device_claims {
        let (name, generated) = match &own.origin {
            ClaimOrigin::Named(name) => (name, false),
            ClaimOrigin::Template => match pod.generated_claims.iter().find(|(known, _)| *known == own.name) {
                Some((_, Some(name))) => (name, true),
                // It turned out not to be needed.
                Some((_, None)) => continue,
                None => return Err(format!("pod \"{}\": ResourceClaim not created yet", pod.full_name())),
            },
            ClaimOrigin::Unknown => {
                return Err(format!(
                    "pod \"{}\", spec.resourceClaim \"{}\": none of the supported fields are set",
                    pod.full_name(),
                    own.name
                ));
            }
        };
        let Some(claim) = related.resource_claim(&pod.namespace, name) else {
            return Err(format!("could not find ResourceClaim \"{}/{name}\"", pod.namespace));
        };
        if claim.terminating {
            return Err(format!("resourceclaim \"{name}\" is being deleted"));
        }
        if generated && claim.controller.as_ref() != Some(&pod.uid) {
            return Err(format!(
                "ResourceClaim {}/{name} was not created for Pod {} (Pod is not owner)",
                claim.namespace,
                pod.full_name()
            ));
        }
        claims.push(claim);
    }
    Ok(claims)
}

/// Whether the plugin has anything to do with the pod.
fn concerns(spec: &PodSpec) -> bool {
    !spec.device_claims.is_empty() || !spec.extended.is_empty()
}

/// Why the pod does not enter the queue (PreEnqueue): a claim of it is not there.
pub(crate) fn held_back(pod: &Pod, state: &ClusterState) -> Option<String> {
    if pod.spec.device_claims.is_empty() {
        return None;
    }
    claims_of(pod, state.related()).err()
}

/// The claims of a pod while nodes are judged.
#[derive(Clone)]
struct Devices<'a> {
    pod: &'a Pod,
    related: &'a RelatedObjects,
    claims: Vec<&'a ResourceClaim>,
    extended: Extended<'a>,
}

impl<'a> Devices<'a> {
    /// The claims; nothing if there are none.
    fn of(pod: &'a Pod, state: &'a ClusterState) -> Option<Devices<'a>> {
        if !concerns(&pod.spec) {
            return None;
        }
        let related = state.related();
        let claims = claims_of(pod, related).ok()?;
        let extended = Extended::of(pod, related);
        let any = !claims.is_empty() || !matches!(extended, Extended::None);
        any.then_some(Devices { pod, related, claims, extended })
    }

    fn unallocated(&self) -> impl Iterator<Item = &'a ResourceClaim> {
        self.claims.iter().copied().filter(|claim| claim.allocation.is_none())
    }

    /// Claims that have devices which the node does not reach, or which did not become ready.
    fn unavailable(&self, node: &Node) -> impl Iterator<Item = &'a ResourceClaim> {
        self.claims.iter().copied().filter(move |claim| {
            claim.allocation.as_ref().is_some_and(|allocation| {
                let reached =
                    allocation.nodes.as_ref().is_none_or(|selector| selector.matches(&node.name, &node.labels));
                !reached || has_failed(claim, allocation)
            })
        })
    }

    /// What the node gives to the pod's claims; reasons against it, one bit each, and what is broken.
    fn find(&self, node: &Node) -> Result<PodDevices, (u32, String)> {
        let reject = |bit: u32| Err((bit, String::new()));
        let mut requests: Vec<DeviceRequest> = Vec::new();
        let mut mappings = Vec::new();
        match self.extended {
            Extended::None => {}
            Extended::Stale(_) => return reject(STALE),
            Extended::New => match extended::on_node(self.pod, node, self.related) {
                OnNode::Lacking => return reject(LACKING),
                OnNode::FromClasses(resources) => {
                    let (exact, belonging) = extended::requests(self.pod, &resources, self.related);
                    requests.extend(exact.into_iter().map(DeviceRequest::Exactly));
                    mappings = belonging;
                }
            },
        }
        let unavailable = self.unavailable(node).next().is_some();
        let mut wanted: Vec<Wanted<'_>> = self
            .unallocated()
            .map(|claim| Wanted {
                name: format!("{}/{}", claim.namespace, claim.name),
                uid: &claim.uid,
                requests: &claim.requests,
                constraints: &claim.constraints,
                config: &claim.config,
            })
            .collect();
        if !requests.is_empty() {
            wanted.push(Wanted {
                name: format!("{}/<extended-resources>", self.pod.namespace),
                uid: &self.pod.uid,
                requests: &requests,
                constraints: &[],
                config: &[],
            });
        }
        let mut allocations = Vec::new();
        if !wanted.is_empty() {
            let pools = pools::of_node(node, self.related);
            allocations = match allocate(node, self.related, &pools, &wanted) {
                Ok(allocations) => allocations,
                Err(NoDevices::NotEnough) => return reject(NOT_ENOUGH),
                Err(NoDevices::InvalidPool) => return reject(INVALID_POOL),
                Err(NoDevices::Broken(error)) => return Err((BROKEN, error)),
            };
        }
        if unavailable {
            return reject(ELSEWHERE);
        }
        let of_extended = if requests.is_empty() { None } else { allocations.pop() };
        let exact = |request: DeviceRequest| match request {
            DeviceRequest::Exactly(request) => Some(request),
            _ => None,
        };
        let reserved = |claim: &&&ResourceClaim| claim.allocation.is_some() && !claim.is_reserved_for(&self.pod.uid);
        Ok(PodDevices {
            allocations: self
                .unallocated()
                .zip(allocations)
                .map(|(claim, allocation)| ClaimAllocation { claim: claim.key(), uid: claim.uid.clone(), allocation })
                .collect(),
            reservations: self.claims.iter().filter(reserved).map(|claim| claim.key()).collect(),
            extended: of_extended.map(|allocation| ExtendedClaim {
                requests: requests.into_iter().filter_map(exact).collect::<Vec<ExactRequest>>(),
                allocation,
                mappings,
            }),
        })
    }
}

/// Whether a driver says that a device of the claim will not become ready.
fn has_failed(claim: &ResourceClaim, allocation: &DeviceAllocation) -> bool {
    let mut waited_for = allocation.devices.iter().filter(|device| !device.binding_conditions.is_empty());
    waited_for.any(|device| {
        let mut conditions = claim.conditions.iter().filter(|(id, _)| *id == device.id);
        conditions.any(|(_, condition)| device.binding_failure_conditions.contains(condition))
    })
}

impl<'a> Survey<'a> for Devices<'a> {
    fn filter(&self, node: NodeView<'_>) -> Result<(), Rejection> {
        self.find(node.node()).map(drop).map_err(|(bit, _)| Rejection {
            plugin: PluginId::DynamicResources,
            code: Code::UnschedulableAndUnresolvable,
            reasons: 1 << bit,
        })
    }

    fn follow(&mut self, _: &Pod, _: &'a Node, _: i64) {
        // A pod that is evicted does not give its devices back at once.
    }

    fn copy(&self) -> Box<dyn Survey<'a> + 'a> {
        Box::new(self.clone())
    }
}

impl Plugin for DynamicResources {
    fn id(&self) -> PluginId {
        PluginId::DynamicResources
    }

    fn admit(&self, pod: &Pod, state: &ClusterState) -> Result<(), Stop> {
        if pod.spec.device_claims.is_empty() {
            return Ok(());
        }
        let related = state.related();
        let rejected = |why: String| Err(Stop::Rejected(why));
        for claim in claims_of(pod, related).map_err(Stop::Rejected)? {
            if let Some(allocation) = &claim.allocation {
                if claim.reserved_for.len() >= MOST_CONSUMERS && !claim.is_reserved_for(&pod.uid) {
                    return rejected("resourceclaim in use".to_owned());
                }
                if let Some(error) = allocation.nodes.as_ref().and_then(|selector| selector.error()) {
                    return Err(Stop::Failed(error.to_owned()));
                }
                continue;
            }
            let name = || format!("{}/{}", claim.namespace, claim.name);
            if related.devices().is_promised(&claim.key()) {
                return rejected(format!("resource claim {} is in the process of being allocated", name()));
            }
            let absent = |class: &str, request: String| {
                if class.is_empty() {
                    return Err(Stop::Failed(format!("request {request}: unsupported request type")));
                }
                match related.device_class(class) {
                    Some(_) => Ok(()),
                    None => rejected(format!("request {request}: device class {class} does not exist")),
                }
            };
            for request in &claim.requests {
                match request {
                    DeviceRequest::Exactly(request) => absent(&request.class, request.name.to_string())?,
                    DeviceRequest::FirstAvailable { name, alternatives } => {
                        for alternative in alternatives {
                            absent(&alternative.class, format!("{name}/{}", alternative.name))?;
                        }
                    }
                    DeviceRequest::Unknown { name: request } => {
                        return rejected(format!("resource claim {}, request {request}: unknown request type", name()));
                    }
                }
            }
        }
        Ok(())
    }

    fn survey<'a>(
        &self,
        pod: &'a Pod,
        state: &'a ClusterState,
        _: &PluginArguments,
    ) -> Option<Box<dyn Survey<'a> + 'a>> {
        Devices::of(pod, state).map(|devices| Box::new(devices) as Box<dyn Survey<'a> + 'a>)
    }

    fn reason(&self, _: &PodSpec, bit: u32) -> String {
        match bit {
            NOT_ENOUGH => "cannot allocate all claims",
            ELSEWHERE => "resourceclaim not available on the node",
            STALE => "cannot schedule extended resource claim",
            LACKING => "cannot fit resource",
            INVALID_POOL => "invalid resource pools were encountered",
            _ => "its claims cannot be judged",
        }
        .to_owned()
    }

    fn may_help(&self, pod: &Pod, event: &ClusterEvent, _: &PluginArguments) -> bool {
        if !concerns(&pod.spec) {
            return false;
        }
        match event {
            ClusterEvent::NodeAdded(_) | ClusterEvent::PodChanged | ClusterEvent::RelatedListed(_) => true,
            ClusterEvent::NodeChanged { before, node } => {
                before.labels != node.labels || before.allocatable != node.allocatable
            }
            // A binding that came to nothing gives back what was promised to it.
            ClusterEvent::PodRemoved(other) => concerns(&other.spec),
            ClusterEvent::RelatedAdded(Related::ResourceSlice(_) | Related::DeviceClass(_)) => true,
            ClusterEvent::RelatedChanged { object: Related::ResourceSlice(_) | Related::DeviceClass(_), .. } => true,
            ClusterEvent::RelatedAdded(Related::ResourceClaim(claim)) => uses(pod, claim),
            ClusterEvent::RelatedChanged {
                before: Related::ResourceClaim(before),
                object: Related::ResourceClaim(claim),
            } => {
                let freed = before.allocation.is_some() && claim.allocation.is_none();
                let changed = before.allocation != claim.allocation
                    || before.reserved_for != claim.reserved_for
                    || before.conditions != claim.conditions;
                freed || (changed && uses(pod, claim))
            }
            ClusterEvent::RelatedRemoved(Related::ResourceClaim(claim)) => {
                claim.allocation.is_some() || claim.controller.as_ref() == Some(&pod.uid)
            }
            _ => false,
        }
    }
}

/// Whether nodes may differ in the score: a claim without devices has requests with alternatives.
pub(crate) fn tells_apart(pod: &Pod, state: &ClusterState, profile: &Profile) -> bool {
    if profile.weight(PluginId::DynamicResources) == 0 {
        return false;
    }
    let prioritized = |request: &DeviceRequest| matches!(request, DeviceRequest::FirstAvailable { .. });
    Devices::of(pod, state).is_some_and(|devices| {
        devices.unallocated().next().is_some()
            && devices.claims.iter().any(|claim| claim.requests.iter().any(prioritized))
    })
}

/// Scores 0..100 of nodes that the pod fits, in their order.
pub(crate) fn scores(pod: &Pod, state: &ClusterState, candidates: &[NodeId]) -> Vec<i64> {
    let Some(devices) = Devices::of(pod, state) else { return vec![0; candidates.len()] };
    let raw: Vec<i64> = candidates.iter().map(|id| devices.score(state.view(*id).node())).collect();
    let largest = raw.iter().copied().max().unwrap_or(0);
    raw.into_iter().map(|score| if largest == 0 { 0 } else { 100 * score / largest }).collect()
}

impl Devices<'_> {
    /// What the chosen alternatives are worth on the node, the first of each request the most.
    fn score(&self, node: &Node) -> i64 {
        let Ok(found) = self.find(node) else { return 0 };
        let mut new = found.allocations.iter().map(|claim| &claim.allocation);
        let mut score = 0;
        for claim in &self.claims {
            let Some(allocation) = claim.allocation.as_ref().or_else(|| new.next()) else { continue };
            for request in &claim.requests {
                let DeviceRequest::FirstAvailable { name, alternatives } = request else { continue };
                for (place, alternative) in alternatives.iter().enumerate() {
                    let full = format!("{name}/{}", alternative.name);
                    if allocation.devices.iter().any(|device| *device.request == *full) {
                        score += MOST_ALTERNATIVES - place as i64;
                    }
                }
            }
        }
        score
    }
}

/// Whether the claim is one of the pod's.
fn uses(pod: &Pod, claim: &ResourceClaim) -> bool {
    pod.namespace == claim.namespace
        && (claim.controller.as_ref() == Some(&pod.uid)
            || pod.spec.device_claims.iter().any(|own| match &own.origin {
                ClaimOrigin::Named(name) => *name == claim.name,
                ClaimOrigin::Template => pod
                    .generated_claims
                    .iter()
                    .any(|(known, name)| *known == own.name && name.as_ref() == Some(&claim.name)),
                ClaimOrigin::Unknown => false,
            }))
}

/// What has to be done about the pod's claims before it can run on the node, which fits it.
pub(crate) fn pod_devices(pod: &Pod, state: &ClusterState, node: &Node) -> PodDevices {
    Devices::of(pod, state).and_then(|devices| devices.find(node).ok()).unwrap_or_default()
}

/// Whether the claims have what a decision gave them and the devices are ready, so that the pod can be bound.
///
/// # Errors
/// That will not come about; why.
pub(crate) fn standing(pod: &Pod, devices: &PodDevices, related: &RelatedObjects) -> Result<bool, String> {
    let named = devices.allocations.iter().map(|claim| &claim.claim).chain(&devices.reservations);
    let named = named.map(|key| related.resource_claim(&key.namespace, &key.name));
    let made = related.claims_for_extended_resources(&pod.namespace, &pod.uid).next();
    let mut all_ready = true;
    for claim in named.chain(devices.extended.iter().map(|_| made)) {
        let reserved = claim.filter(|claim| claim.is_reserved_for(&pod.uid));
        let Some((claim, allocation)) = reserved.and_then(|claim| Some((claim, claim.allocation.as_ref()?))) else {
            all_ready = false;
            continue;
        };
        if has_failed(claim, allocation) {
            return Err(format!("device binding failed: claim={}", claim.name));
        }
        all_ready &= allocation.devices.iter().all(|device| {
            let met = |wanted: &&std::sync::Arc<str>| {
                claim.conditions.iter().any(|(id, condition)| *id == device.id && *condition == **wanted)
            };
            device.binding_conditions.iter().filter(|wanted| !met(wanted)).count() == 0
        });
    }
    Ok(all_ready)
}

/// Why judging the node ended in an error and not in a verdict, if it did.
pub(crate) fn failure(pod: &Pod, state: &ClusterState, node: &Node, rejection: Rejection) -> Option<String> {
    if rejection.plugin != PluginId::DynamicResources || rejection.reasons & (1 << BROKEN) == 0 {
        return None;
    }
    Devices::of(pod, state)?.find(node).err().map(|(_, error)| error)
}

/// What is to become of claims when no node is feasible (PostFilter).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClaimsAfter {
    /// The pod has none.
    #[default]
    None,
    /// None can be helped.
    Stay,
    /// One gives its devices back, so that it can get others.
    Deallocated,
    /// The claim for extended resources, left over from an attempt before, goes.
    Deleted,
}

impl ClaimsAfter {
    /// kube-scheduler's words.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            ClaimsAfter::None => "no new claims to deallocate",
            ClaimsAfter::Stay => "still not schedulable",
            ClaimsAfter::Deallocated => "deallocation of ResourceClaim completed",
            ClaimsAfter::Deleted => "deletion of ResourceClaim completed",
        }
    }
}

/// What is to become of the pod's claims when no node is feasible, and of which. `rejected` are the nodes that this plugin rejected.
pub(crate) fn aftermath<'n>(
    pod: &Pod,
    state: &ClusterState,
    rejected: impl Iterator<Item = (&'n Node, Rejection)>,
) -> (ClaimsAfter, Option<RelatedKey>) {
    let Some(devices) = Devices::of(pod, state) else { return (ClaimsAfter::None, None) };
    let mut freed: Option<&ResourceClaim> = None;
    for (node, _) in rejected.filter(|(_, rejection)| rejection.reasons & (1 << ELSEWHERE) != 0) {
        let of_nobody_else = |claim: &&ResourceClaim| match &claim.reserved_for[..] {
            [] => true,
            [only] => *only == pod.uid,
            _ => false,
        };
        let candidates = devices.unavailable(node).filter(of_nobody_else);
        freed = freed.into_iter().chain(candidates).min_by(|a, b| a.name.cmp(&b.name));
    }
    if let Some(claim) = freed {
        return (ClaimsAfter::Deallocated, Some(claim.key()));
    }
    match devices.extended {
        Extended::Stale(claim) => (ClaimsAfter::Deleted, Some(claim.key())),
        _ => (ClaimsAfter::Stay, None),
    }
}
