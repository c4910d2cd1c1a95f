//! Extended resources that stand for devices of a class: which of a pod's requests become a claim on a node.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::object::{Amount, ExactRequest, ExtendedRequest, Node, Pod, ResourceClaim, is_extended_resource};
use crate::state::{ClusterState, RelatedObjects};

/// Container, resource and request that belong together.
pub(super) type Mappings = Vec<(Arc<str>, Arc<str>, Arc<str>)>;

/// The claim for the extended resources of a pod.
#[derive(Clone, Copy)]
pub(super) enum Extended<'a> {
    /// None is needed: no class provides what the pod requests.
    None,
    /// One is to be made, for whatever the node does not have itself.
    New,
    /// One is left over from a decision that came to nothing; it has to go first.
    Stale(&'a ResourceClaim),
}

impl<'a> Extended<'a> {
    pub(super) fn of(pod: &Pod, related: &'a RelatedObjects) -> Extended<'a> {
        let book = related.devices();
        if pod.spec.extended.is_empty() || !book.has_classes() {
            return Extended::None;
        }
        let granted = &pod.spec.requests.granted.scalars;
        let backed = |name: &str| is_extended_resource(name) && book.class_of_resource(name).is_some();
        if !granted.iter().any(|(name, amount)| *amount != 0 && backed(name)) {
            return Extended::None;
        }
        match related.claims_for_extended_resources(&pod.namespace, &pod.uid).next() {
            // It was made for the node that the pod is about to be bound to.
            Some(claim) if pod.node.is_some() && claim.is_reserved_for(&pod.uid) => Extended::None,
            Some(claim) => Extended::Stale(claim),
            None => Extended::New,
        }
    }
}

/// What a node says to the extended resources of a pod.
pub(super) enum OnNode {
    /// It lacks one, and no class provides it.
    Lacking,
    /// Those of these names have to come from classes.
    FromClasses(BTreeSet<Arc<str>>),
}

/// Which extended resources the node does not have itself.
pub(super) fn on_node(pod: &Pod, node: &Node, related: &RelatedObjects) -> OnNode {
    let mut from_classes = BTreeSet::new();
    for (name, amount) in &pod.spec.requests.granted.scalars {
        if *amount == 0 || !is_extended_resource(name) {
            continue;
        }
        let listed = node.allocatable.scalars.iter().find(|(known, _)| known == name).map(|(_, amount)| *amount);
        if related.devices().class_of_resource(name).is_some() && listed.unwrap_or(0) == 0 {
            from_classes.insert(name.clone());
        } else if listed.is_none() {
            return OnNode::Lacking;
        }
    }
    OnNode::FromClasses(from_classes)
}

/// Whether a class provides the resource to a pod on a node that has nothing of it.
pub(crate) fn is_provided(name: &str, state: &ClusterState) -> bool {
    is_extended_resource(name) && state.related().devices().class_of_resource(name).is_some()
}

/// The requests of the claim for the given resources, by name, and what in the pod they belong to.
pub(super) fn requests(
    pod: &Pod,
    resources: &BTreeSet<Arc<str>>,
    related: &RelatedObjects,
) -> (Vec<ExactRequest>, Mappings) {
    let mut requests = Vec::new();
    let mut mappings = Mappings::new();
    for resource in resources {
        let Some(class) = related.devices().class_of_resource(resource) else { continue };
        let of_resource =
            || pod.spec.extended.iter().filter(|wanted| wanted.resource == *resource && wanted.amount > 0);
        let new = |wanted: &ExtendedRequest, count: i64| ExactRequest {
            name: format!("container-{}-request-{}", wanted.container, wanted.place).into(),
            class: class.name.clone(),
            selectors: Vec::new(),
            amount: Amount::Count(count),
            admin_access: None,
            tolerations: Vec::new(),
            capacity: Vec::new(),
        };
        let lasting: Vec<(usize, i64, ExactRequest)> = of_resource()
            .filter(|wanted| !wanted.short_lived)
            .map(|wanted| (wanted.container, wanted.amount, new(wanted, wanted.amount)))
            .collect();
        for wanted in of_resource().filter(|wanted| !wanted.short_lived) {
            mappings.push((wanted.container_name.clone(), resource.clone(), new(wanted, wanted.amount).name));
        }
        // Containers that end first use what those after them will have, and one request for the most that is missing then.
        let mut largest: Option<(i64, ExactRequest)> = None;
        let mut short_lived = Mappings::new();
        let mut replaced = BTreeSet::new();
        for wanted in of_resource().filter(|wanted| wanted.short_lived) {
            let mut found = 0;
            for (_, amount, request) in lasting.iter().filter(|(container, ..)| *container >= wanted.container) {
                if found >= wanted.amount {
                    break;
                }
                found += amount;
                short_lived.push((wanted.container_name.clone(), resource.clone(), request.name.clone()));
            }
            if found < wanted.amount {
                let missing = wanted.amount - found;
                let request = new(wanted, missing);
                short_lived.push((wanted.container_name.clone(), resource.clone(), request.name.clone()));
                replaced.insert(request.name.clone());
                if largest.as_ref().is_none_or(|(most, _)| *most < missing) {
                    largest = Some((missing, request));
                }
            }
        }
        if let Some((_, request)) = largest {
            for (_, _, name) in short_lived.iter_mut().filter(|(_, _, name)| replaced.contains(name)) {
                *name = request.name.clone();
            }
            requests.push(request);
        }
        requests.extend(lasting.into_iter().map(|(_, _, request)| request));
        mappings.append(&mut short_lived);
    }
    requests.sort_by(|a, b| a.name.cmp(&b.name));
    (requests, mappings)
}
