//! Claims to devices, slices and classes.

use std::sync::Arc;

use augur_core::object::{
    AllocatedDevice, Amount, AttributeValue, ClaimOrigin, ConstraintKind, CounterSet, Counters, Device,
    DeviceAllocation, DeviceAttribute, DeviceCapacity, DeviceClass, DeviceConfig, DeviceConstraint, DeviceId,
    DeviceRequest, DeviceSelector, DeviceTaint, DeviceToleration, ExactRequest, ExtendedRequest, PodClaimRef, PoolId,
    QualifiedName, Reach, RequestPolicy, ResourceClaim, ResourceSlice, ValidRange, WrittenRequirement, WrittenSelector,
    WrittenTerm, is_extended_resource,
};
use augur_notation::Quantity;

use super::related::size;
use super::{some, timestamp};
use crate::reflect::Skipped;
use crate::wire::{self, Map, Text};

type Amounts<'a> = std::collections::BTreeMap<Text<'a>, wire::Counter<'a>>;

fn text(text: &Text<'_>) -> Arc<str> {
    text.as_str().into()
}

fn texts(list: &[Text<'_>]) -> Vec<Arc<str>> {
    list.iter().map(text).collect()
}

pub(super) fn resource_claim(claim: &wire::ResourceClaim<'_>) -> Result<ResourceClaim, Skipped> {
    let (meta, spec, status) = (&claim.metadata, &claim.spec.devices, &claim.status);
    let true_conditions = |device: &wire::DeviceStatus<'_>| {
        let id = device_id(&device.driver, &device.pool, &device.device);
        let met = device.conditions.iter().filter(|condition| condition.status.as_str() == "True");
        met.map(|condition| (id.clone(), text(&condition.r#type))).collect::<Vec<_>>()
    };
    Ok(ResourceClaim {
        namespace: text(&meta.namespace),
        name: text(&meta.name),
        uid: text(&meta.uid),
        controller: meta.owner_references.iter().find(|owner| owner.controller == Some(true)).map(|o| text(&o.uid)),
        for_extended_resources: meta.annotations.extended_resource_claim.as_deref() == Some("true"),
        terminating: meta.deletion_timestamp.is_some(),
        requests: spec.requests.iter().map(request).collect::<Result<_, _>>()?,
        constraints: spec.constraints.iter().map(constraint).collect(),
        config: spec.config.iter().map(config).collect(),
        allocation: status.allocation.as_ref().map(allocation).transpose()?,
        reserved_for: status.reserved_for.iter().map(|consumer| text(&consumer.uid)).collect(),
        conditions: status.devices.iter().flat_map(true_conditions).collect(),
    })
}

fn request(wire: &wire::DeviceRequest<'_>) -> Result<DeviceRequest, Skipped> {
    let name = text(&wire.name);
    Ok(match &wire.exactly {
        Some(exact) => DeviceRequest::Exactly(exact_request(exact, name)?),
        None if wire.first_available.is_empty() => DeviceRequest::Unknown { name },
        None => {
            let alternatives = wire.first_available.iter().map(|exact| exact_request(exact, text(&exact.name)));
            DeviceRequest::FirstAvailable { name, alternatives: alternatives.collect::<Result<_, _>>()? }
        }
    })
}

fn exact_request(wire: &wire::ExactRequest<'_>, name: Arc<str>) -> Result<ExactRequest, Skipped> {
    Ok(ExactRequest {
        name,
        class: text(&wire.device_class_name),
        selectors: selectors(&wire.selectors),
        amount: match wire.allocation_mode.as_str() {
            // What the API server fills in.
            "ExactCount" | "" => Amount::Count(wire.count.unwrap_or(1)),
            "All" => Amount::All,
            mode => Amount::Unknown(mode.into()),
        },
        admin_access: wire.admin_access,
        tolerations: wire.tolerations.iter().map(toleration).collect(),
        capacity: qualified(&wire.capacity.requests, "spec.devices.requests.capacity")?,
    })
}

fn selectors(list: &[wire::DeviceSelector<'_>]) -> Vec<DeviceSelector> {
    list.iter().map(|selector| DeviceSelector::new(selector.cel.as_ref().map(|cel| cel.expression.as_str()))).collect()
}

fn toleration(wire: &wire::DeviceToleration<'_>) -> DeviceToleration {
    DeviceToleration {
        key: text(&wire.key),
        operator: text(&wire.operator),
        value: text(&wire.value),
        effect: text(&wire.effect),
        seconds: wire.toleration_seconds,
    }
}

fn constraint(wire: &wire::DeviceConstraint<'_>) -> DeviceConstraint {
    let (kind, attribute) = match (&wire.match_attribute, &wire.distinct_attribute) {
        (Some(attribute), _) => (ConstraintKind::Match, text(attribute)),
        (None, Some(attribute)) => (ConstraintKind::Distinct, text(attribute)),
        (None, None) => (ConstraintKind::Unknown, "".into()),
    };
    DeviceConstraint { kind, attribute, requests: texts(&wire.requests) }
}

fn config(wire: &wire::DeviceConfig<'_>) -> DeviceConfig {
    DeviceConfig {
        from_class: wire.source.as_str() == "FromClass",
        requests: texts(&wire.requests),
        parameters: parameters(wire),
    }
}

fn parameters(wire: &wire::DeviceConfig<'_>) -> Arc<str> {
    wire.opaque.map_or("null", |opaque| opaque.get()).into()
}

fn qualified(map: &Map<'_>, place: &str) -> Result<Vec<(QualifiedName, Quantity)>, Skipped> {
    map.iter().map(|(name, amount)| Ok((name.as_str().into(), size(amount, place)?))).collect()
}

fn device_id(driver: &Text<'_>, pool: &Text<'_>, device: &Text<'_>) -> DeviceId {
    DeviceId { pool: PoolId { driver: text(driver), pool: text(pool) }, device: text(device) }
}

fn allocation(wire: &wire::Allocation<'_>) -> Result<DeviceAllocation, Skipped> {
    let device = |device: &wire::AllocatedDevice<'_>| {
        Ok(AllocatedDevice {
            request: text(&device.request),
            id: device_id(&device.driver, &device.pool, &device.device),
            admin_access: device.admin_access,
            // Only drivers look at what an allocation bears.
            tolerations: Vec::new(),
            binding_conditions: texts(&device.binding_conditions),
            binding_failure_conditions: texts(&device.binding_failure_conditions),
            share: device.share_id.as_ref().map(text),
            consumed: qualified(&device.consumed_capacity, "status.allocation.devices.results.consumedCapacity")?,
        })
    };
    Ok(DeviceAllocation {
        devices: wire.devices.results.iter().map(device).collect::<Result<_, Skipped>>()?,
        config: Vec::new(),
        nodes: wire.node_selector.as_ref().map(node_selector),
        at: timestamp(wire.allocation_timestamp.as_ref()),
    })
}

fn node_selector(wire: &wire::NodeSelector<'_>) -> WrittenSelector {
    let requirement = |wire: &wire::NodeSelectorRequirement<'_>| -> WrittenRequirement {
        (text(&wire.key), text(&wire.operator), texts(&wire.values))
    };
    let term = |wire: &wire::NodeSelectorTerm<'_>| WrittenTerm {
        expressions: wire.match_expressions.iter().map(requirement).collect(),
        fields: wire.match_fields.iter().map(requirement).collect(),
    };
    WrittenSelector::new(wire.node_selector_terms.iter().map(term).collect())
}

fn reach(node: &Text<'_>, all: Option<bool>, selector: Option<&wire::NodeSelector<'_>>) -> Reach {
    match (some(node), all, selector) {
        (Some(node), ..) => Reach::Node(node),
        (None, Some(true), _) => Reach::Everywhere,
        (None, _, Some(selector)) => Reach::Selected(node_selector(selector)),
        (None, _, None) => Reach::Nowhere,
    }
}

pub(super) fn resource_slice(slice: &wire::ResourceSlice<'_>) -> Result<ResourceSlice, Skipped> {
    let spec = &slice.spec;
    let reach = match reach(&spec.node_name, spec.all_nodes, spec.node_selector.as_ref()) {
        Reach::Nowhere if spec.per_device_node_selection == Some(true) => Reach::PerDevice,
        reach => reach,
    };
    let set = |set: &wire::CounterSet<'_>| {
        Ok(CounterSet { name: text(&set.name), counters: counters(&set.counters, "spec.sharedCounters")? })
    };
    Ok(ResourceSlice {
        name: text(&slice.metadata.name),
        pool: PoolId { driver: text(&spec.driver), pool: text(&spec.pool.name) },
        generation: spec.pool.generation,
        slice_count: spec.pool.resource_slice_count,
        reach,
        devices: spec.devices.iter().map(device).collect::<Result<_, _>>()?,
        counters: spec.shared_counters.iter().map(set).collect::<Result<_, Skipped>>()?,
    })
}

fn counters(amounts: &Amounts<'_>, place: &str) -> Result<Counters, Skipped> {
    amounts.iter().map(|(name, counter)| Ok((text(name), size(&counter.value, place)?))).collect()
}

fn device(wire: &wire::Device<'_>) -> Result<Device, Skipped> {
    let attribute = |(name, value): (&Text<'_>, &wire::DeviceAttribute<'_>)| DeviceAttribute {
        name: name.as_str().into(),
        value: match (value.int, value.bool, &value.string, &value.version) {
            (Some(int), ..) => AttributeValue::Int(int),
            (None, Some(bool), ..) => AttributeValue::Bool(bool),
            (None, None, Some(string), _) => AttributeValue::Text(text(string)),
            (None, None, None, Some(version)) => AttributeValue::Version(text(version)),
            (None, None, None, None) => AttributeValue::Unsupported,
        },
    };
    let capacity = |(name, capacity): (&Text<'_>, &wire::DeviceCapacity<'_>)| {
        Ok(DeviceCapacity {
            name: name.as_str().into(),
            value: size(&capacity.value, "spec.devices.capacity")?,
            policy: capacity.request_policy.as_ref().map(policy).transpose()?,
        })
    };
    let consumed = |consumed: &wire::CounterConsumption<'_>| {
        let counters = counters(&consumed.counters, "spec.devices.consumesCounters")?;
        Ok(CounterSet { name: text(&consumed.counter_set), counters })
    };
    let taint = |taint: &wire::Taint<'_>| DeviceTaint {
        key: text(&taint.key),
        value: text(&taint.value),
        effect: text(&taint.effect),
    };
    Ok(Device {
        name: text(&wire.name),
        attributes: wire.attributes.iter().map(attribute).collect(),
        capacity: wire.capacity.iter().map(capacity).collect::<Result<_, Skipped>>()?,
        consumes: wire.consumes_counters.iter().map(consumed).collect::<Result<_, Skipped>>()?,
        reach: reach(&wire.node_name, wire.all_nodes, wire.node_selector.as_ref()),
        taints: wire.taints.iter().map(taint).collect(),
        binds_to_node: wire.binds_to_node == Some(true),
        binding_conditions: texts(&wire.binding_conditions),
        binding_failure_conditions: texts(&wire.binding_failure_conditions),
        allow_multiple: wire.allow_multiple_allocations == Some(true),
    })
}

fn policy(wire: &wire::RequestPolicy<'_>) -> Result<RequestPolicy, Skipped> {
    let amount = |amount: &Text<'_>| size(amount, "spec.devices.capacity.requestPolicy");
    let maybe = |wire: &Option<Text<'_>>| wire.as_ref().map(amount).transpose();
    let range = |range: &wire::ValidRange<'_>| {
        Ok(ValidRange { min: maybe(&range.min)?, max: maybe(&range.max)?, step: maybe(&range.step)? })
    };
    Ok(RequestPolicy {
        default: maybe(&wire.default)?,
        valid_values: wire.valid_values.iter().map(amount).collect::<Result<_, _>>()?,
        valid_range: wire.valid_range.as_ref().map(range).transpose()?,
    })
}

pub(super) fn device_class(class: &wire::DeviceClass<'_>) -> DeviceClass {
    DeviceClass {
        name: text(&class.metadata.name),
        selectors: selectors(&class.spec.selectors),
        config: class.spec.config.iter().map(parameters).collect(),
        extended_resource: class.spec.extended_resource_name.as_ref().map(text),
        created: timestamp(class.metadata.creation_timestamp.as_ref()),
    }
}

/// The claim that a pod makes.
pub(super) fn pod_claim(wire: &wire::PodResourceClaim<'_>) -> PodClaimRef {
    PodClaimRef {
        name: text(&wire.name),
        origin: match (&wire.resource_claim_name, &wire.resource_claim_template_name) {
            (Some(name), _) => ClaimOrigin::Named(text(name)),
            (None, Some(_)) => ClaimOrigin::Template,
            (None, None) => ClaimOrigin::Unknown,
        },
    }
}

/// Extended resources that containers request. What is no whole number does not count, as for kube-scheduler.
pub(super) fn extended_requests(spec: &wire::PodSpec<'_>) -> Vec<ExtendedRequest> {
    let init = spec.init_containers.iter().map(|container| (container, true));
    let all = init.chain(spec.containers.iter().map(|container| (container, false))).enumerate();
    let mut found = Vec::new();
    for (at, (container, is_init)) in all {
        // They come sorted by name.
        for (place, (name, amount)) in container.resources.requests.iter().enumerate() {
            if !is_extended_resource(name) {
                continue;
            }
            let Ok(quantity) = Quantity::parse(amount) else { continue };
            let whole = quantity.value();
            if whole > 0 && Quantity::of(whole, quantity.format()) == quantity {
                found.push(ExtendedRequest {
                    container: at,
                    container_name: text(&container.name),
                    short_lived: is_init && container.restart_policy.as_deref() != Some("Always"),
                    resource: text(name),
                    place,
                    amount: whole,
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use augur_core::object::{Related, RelatedKind};

    use super::*;
    use crate::convert::related;

    #[test]
    fn a_claim_keeps_what_decides() {
        let json = r#"{"metadata":{"namespace":"a","name":"gpu","uid":"u","annotations":
            {"resource.kubernetes.io/extended-resource-claim":"true"},"ownerReferences":[{"uid":"p","controller":true}]},
            "spec":{"devices":{"requests":[
              {"name":"one","exactly":{"deviceClassName":"gpu","allocationMode":"All","adminAccess":true,
                "tolerations":[{"operator":"Exists"}],"capacity":{"requests":{"memory":"1Gi"}}}},
              {"name":"two","firstAvailable":[{"name":"big","deviceClassName":"gpu",
                "selectors":[{"cel":{"expression":"true"}}],"count":2}]},{"name":"three"}],
              "constraints":[{"matchAttribute":"d/x","requests":["one"]}],
              "config":[{"requests":["one"],"opaque":{"driver":"d","parameters":{"a":1}}}]}},
            "status":{"allocation":{"devices":{"results":[{"request":"one","driver":"d","pool":"p","device":"g",
              "shareID":"s","consumedCapacity":{"memory":"1Gi"}}]},"nodeSelector":{"nodeSelectorTerms":[
                {"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}},
              "reservedFor":[{"resource":"pods","name":"p","uid":"p"}],
              "devices":[{"driver":"d","pool":"p","device":"g","conditions":[{"type":"Ready","status":"True"}]}]}}"#;
        let (Related::ResourceClaim(claim), _) = related(RelatedKind::ResourceClaim, json).unwrap() else {
            panic!("a claim")
        };
        assert!(claim.for_extended_resources && claim.is_reserved_for(&"p".into()));
        let DeviceRequest::Exactly(one) = &claim.requests[0] else { panic!("certain devices") };
        assert_eq!((&one.amount, one.admin_access, one.capacity.len()), (&Amount::All, Some(true), 1));
        let DeviceRequest::FirstAvailable { alternatives, .. } = &claim.requests[1] else { panic!("alternatives") };
        assert_eq!(alternatives[0].amount, Amount::Count(2));
        assert_eq!(claim.requests[2], DeviceRequest::Unknown { name: "three".into() });
        assert_eq!(&*claim.config[0].parameters, r#"{"driver":"d","parameters":{"a":1}}"#);
        let allocation = claim.allocation.as_ref().unwrap();
        assert_eq!(allocation.devices[0].id.to_string(), "d/p/g");
        assert!(
            allocation.nodes.as_ref().is_some_and(|nodes| nodes.matches("n1", &[("a", "b")].into_iter().collect()))
        );
        assert_eq!(claim.conditions, [(allocation.devices[0].id.clone(), "Ready".into())]);
    }

    #[test]
    fn a_slice_says_from_where_it_is_reached() {
        let slice = |spec: &str| {
            let json = format!(
                r#"{{"metadata":{{"name":"s"}},"spec":{{"driver":"d","pool":{{"name":"p","generation":2,
                "resourceSliceCount":1}},{spec}}}}}"#
            );
            match related(RelatedKind::ResourceSlice, &json).unwrap().0 {
                Related::ResourceSlice(slice) => slice,
                _ => panic!("a slice"),
            }
        };
        assert_eq!(slice(r#""nodeName":"n1""#).reach, Reach::Node("n1".into()));
        assert_eq!(slice(r#""allNodes":true"#).reach, Reach::Everywhere);
        assert_eq!(slice(r#""devices":null"#).reach, Reach::Nowhere);
        let per_device = slice(
            r#""perDeviceNodeSelection":true,"devices":[{"name":"g","nodeName":"n1","attributes":{"a":{"version":"1.0.0"},
            "b":{"ints":[1]}},"capacity":{"memory":{"value":"1Gi","requestPolicy":{"validRange":{"min":"1Mi"}}}},
            "consumesCounters":[{"counterSet":"c","counters":{"x":{"value":"1"}}}],
            "taints":[{"key":"k","effect":"NoSchedule"}],"allowMultipleAllocations":true}]"#,
        );
        let device = &per_device.devices[0];
        assert_eq!((&per_device.reach, &device.reach), (&Reach::PerDevice, &Reach::Node("n1".into())));
        assert_eq!(device.attributes[1].value, AttributeValue::Unsupported);
        assert!(device.allow_multiple && device.capacity[0].policy.is_some() && device.taints.len() == 1);
    }
}
