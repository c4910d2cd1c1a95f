use std::sync::Arc;

use augur_notation::{Format, Quantity};

use super::*;
use crate::object::{
    Amount, AttributeValue, ConstraintKind, CounterSet, Device, DeviceAttribute, DeviceCapacity, DeviceClass,
    DeviceConstraint, DeviceSelector, DeviceTaint, DeviceToleration, ExtendedRequest, PodClaimRef, PoolId, Reach,
    ResourceSlice, Resources,
};

const DRIVER: &str = "gpu.example.com";

fn count(value: i64) -> Quantity {
    Quantity::of(value, Format::DecimalSi)
}

fn device(name: &str, model: &str) -> Device {
    let attribute = DeviceAttribute { name: "model".into(), value: AttributeValue::Text(model.into()) };
    let memory = DeviceCapacity { name: "memory".into(), value: count(40), policy: None };
    Device { name: name.into(), attributes: vec![attribute], capacity: vec![memory], ..Device::default() }
}

fn slice(node: &str, devices: Vec<Device>) -> ResourceSlice {
    ResourceSlice {
        name: format!("{node}-slice").into(),
        pool: PoolId { driver: DRIVER.into(), pool: node.into() },
        generation: 1,
        slice_count: 1,
        reach: Reach::Node(node.into()),
        devices,
        counters: Vec::new(),
    }
}

fn request(name: &str, wanted: i64) -> ExactRequest {
    ExactRequest {
        name: name.into(),
        class: "gpu".into(),
        selectors: Vec::new(),
        amount: Amount::Count(wanted),
        admin_access: None,
        tolerations: Vec::new(),
        capacity: Vec::new(),
    }
}

fn claim(name: &str, requests: Vec<DeviceRequest>) -> ResourceClaim {
    ResourceClaim {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("{name}-uid").into(),
        controller: None,
        for_extended_resources: false,
        terminating: false,
        requests,
        constraints: Vec::new(),
        config: Vec::new(),
        allocation: None,
        reserved_for: Vec::new(),
        conditions: Vec::new(),
    }
}

fn exactly(request: ExactRequest) -> Vec<DeviceRequest> {
    vec![DeviceRequest::Exactly(request)]
}

fn selected(model: &str, request: ExactRequest) -> ExactRequest {
    let expression = format!("device.attributes['{DRIVER}'].model == '{model}'");
    ExactRequest { selectors: vec![DeviceSelector::new(Some(&expression))], ..request }
}

fn class() -> DeviceClass {
    DeviceClass {
        name: "gpu".into(),
        selectors: vec![DeviceSelector::new(Some("device.driver == 'gpu.example.com'"))],
        config: vec![r#"{"driver":"gpu.example.com"}"#.into()],
        extended_resource: Some("example.com/gpu".into()),
        created: None,
    }
}

fn cluster(slices: Vec<ResourceSlice>, claims: Vec<ResourceClaim>) -> ClusterState {
    let mut state = ClusterState::new();
    state.apply_related(Related::DeviceClass(Arc::new(class())));
    for slice in slices {
        state.apply_related(Related::ResourceSlice(Arc::new(slice)));
    }
    for claim in claims {
        state.apply_related(Related::ResourceClaim(Arc::new(claim)));
    }
    state
}

fn node(name: &str) -> Node {
    Node { name: name.into(), labels: [("zone", "a")].into_iter().collect(), ..Node::default() }
}

fn pod(claims: &[&str]) -> Pod {
    let named = |name: &&str| PodClaimRef { name: (*name).into(), origin: ClaimOrigin::Named((*name).into()) };
    let spec = PodSpec { device_claims: claims.iter().map(named).collect(), ..PodSpec::default() };
    Pod::new("pod-uid", "default", "web", Arc::new(spec))
}

/// The devices that the claims of the pod get on the node, by request; or the reason against it, by bit.
fn found(state: &ClusterState, claims: &[&str]) -> Result<Vec<String>, u32> {
    let pod = pod(claims);
    let devices = Devices::of(&pod, state).expect("claims").find(&node("n1")).map_err(|(bit, _)| bit)?;
    let all = devices.allocations.iter().flat_map(|claim| &claim.allocation.devices);
    Ok(all.map(|device| format!("{}={}", device.request, device.id.device)).collect())
}

fn two() -> ResourceSlice {
    slice("n1", vec![device("g0", "small"), device("g1", "large")])
}

#[test]
fn the_first_devices_that_match_are_taken_and_none_twice() {
    let state = cluster(vec![two()], vec![claim("a", exactly(request("r", 1))), claim("b", exactly(request("r", 1)))]);
    assert_eq!(found(&state, &["a", "b"]), Ok(vec!["r=g0".into(), "r=g1".into()]));
    let want = exactly(selected("large", request("r", 1)));
    let state = cluster(vec![two()], vec![claim("a", exactly(request("r", 1))), claim("b", want)]);
    assert_eq!(found(&state, &["b", "a"]), Ok(vec!["r=g1".into(), "r=g0".into()]));
    let state = cluster(vec![two()], vec![claim("a", exactly(request("r", 3)))]);
    assert_eq!(found(&state, &["a"]), Err(NOT_ENOUGH));
}

#[test]
fn the_search_goes_back_when_an_early_choice_leaves_nothing_for_a_later_one() {
    let first = claim("a", exactly(request("any", 1)));
    let second = claim("b", exactly(selected("small", request("small", 1))));
    let state = cluster(vec![two()], vec![first, second]);
    assert_eq!(found(&state, &["a", "b"]), Ok(vec!["any=g1".into(), "small=g0".into()]));
}

#[test]
fn all_devices_or_none() {
    let all = ExactRequest { amount: Amount::All, ..request("r", 0) };
    let state = cluster(vec![two()], vec![claim("a", exactly(all.clone()))]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r=g0".into(), "r=g1".into()]));
    let taken = claim("b", exactly(request("r", 1)));
    let mut state = cluster(vec![two()], vec![claim("a", exactly(all.clone())), taken]);
    let other = pod(&["b"]);
    let devices = pod_devices(&other, &state, &node("n1"));
    state.promise_devices(&"other".into(), &devices);
    assert_eq!(found(&state, &["a"]), Err(NOT_ENOUGH), "one is promised to another pod");
    state.withdraw_devices(&"other".into());
    assert!(found(&state, &["a"]).is_ok());
    let incomplete = ResourceSlice { slice_count: 2, ..two() };
    let state = cluster(vec![incomplete], vec![claim("a", exactly(all)), claim("b", exactly(request("r", 1)))]);
    assert_eq!(found(&state, &["a"]), Err(BROKEN), "a pool that is being published fails the attempt");
    assert_eq!(found(&state, &["b"]), Err(NOT_ENOUGH), "and gives nothing");
}

#[test]
fn the_first_alternative_that_there_is_counts_and_is_worth_more() {
    let prioritized = |models: &[&str]| {
        let alternative = |model: &&str| selected(model, request(model, 1));
        vec![DeviceRequest::FirstAvailable { name: "r".into(), alternatives: models.iter().map(alternative).collect() }]
    };
    let state = cluster(vec![two()], vec![claim("a", prioritized(&["huge", "large"]))]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r/large=g1".into()]));
    let pod = pod(&["a"]);
    let devices = Devices::of(&pod, &state).expect("claims");
    assert_eq!(devices.score(&node("n1")), MOST_ALTERNATIVES - 1);
    assert!(tells_apart(&pod, &state, &Profile::default()));
    let allocation = &pod_devices(&pod, &state, &node("n1")).allocations[0].allocation;
    assert_eq!(allocation.config[0].requests, ["r/large".into()], "the class's parameters are for the chosen one");
    assert!(allocation.nodes.as_ref().is_some_and(|nodes| nodes.matches("n1", &node("n1").labels)));
}

#[test]
fn conditions_on_all_devices_of_a_claim() {
    let of = |kind| {
        let mut claim = claim("a", exactly(request("r", 2)));
        let attribute = format!("{DRIVER}/model").into();
        claim.constraints = vec![DeviceConstraint { kind, attribute, requests: Vec::new() }];
        claim
    };
    let three = slice("n1", vec![device("g0", "small"), device("g1", "large"), device("g2", "small")]);
    let state = cluster(vec![three.clone()], vec![of(ConstraintKind::Match)]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r=g0".into(), "r=g2".into()]));
    let state = cluster(vec![three.clone()], vec![of(ConstraintKind::Distinct)]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r=g0".into(), "r=g1".into()]));
    let state = cluster(vec![three], vec![of(ConstraintKind::Unknown)]);
    assert_eq!(found(&state, &["a"]), Err(BROKEN));
}

#[test]
fn taints_keep_claims_away_that_do_not_bear_them() {
    let tainted = |effect: &str| {
        let taint = DeviceTaint { key: "sick".into(), value: "yes".into(), effect: effect.into() };
        slice("n1", vec![Device { taints: vec![taint], ..device("g0", "small") }])
    };
    let bears = DeviceToleration {
        key: "sick".into(),
        operator: "Exists".into(),
        value: "".into(),
        effect: "".into(),
        seconds: None,
    };
    let tolerant = ExactRequest { tolerations: vec![bears], ..request("r", 1) };
    for effect in ["NoSchedule", "NoExecute"] {
        let claims = vec![claim("a", exactly(request("r", 1))), claim("b", exactly(tolerant.clone()))];
        let state = cluster(vec![tainted(effect)], claims);
        assert_eq!(found(&state, &["a"]), Err(NOT_ENOUGH), "{effect}");
        assert_eq!(found(&state, &["b"]), Ok(vec!["r=g0".into()]), "{effect}");
    }
    let state = cluster(vec![tainted("None")], vec![claim("a", exactly(request("r", 1)))]);
    assert!(found(&state, &["a"]).is_ok());
}

#[test]
fn devices_that_share_counters_are_not_taken_together() {
    let set = |amount| vec![CounterSet { name: "chip".into(), counters: vec![("cores".into(), count(amount))] }];
    let part = |name: &str, cores| Device { consumes: set(cores), ..device(name, "part") };
    let devices =
        ResourceSlice { slice_count: 2, ..slice("n1", vec![part("whole", 8), part("half-0", 4), part("half-1", 4)]) };
    let counters = ResourceSlice { name: "counters".into(), counters: set(8), devices: Vec::new(), ..devices.clone() };
    let slices = vec![devices.clone(), counters];
    let state = cluster(slices.clone(), vec![claim("a", exactly(request("r", 2)))]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r=half-0".into(), "r=half-1".into()]));
    let state = cluster(slices, vec![claim("a", exactly(request("r", 3)))]);
    assert_eq!(found(&state, &["a"]), Err(NOT_ENOUGH));
    let state = cluster(vec![ResourceSlice { slice_count: 1, ..devices }], vec![claim("a", exactly(request("r", 1)))]);
    assert_eq!(found(&state, &["a"]), Err(INVALID_POOL), "counters that nobody publishes");
}

#[test]
fn shares_of_a_device_are_taken_until_its_capacity_is_used_up() {
    let shared = slice("n1", vec![Device { allow_multiple: true, ..device("g0", "small") }]);
    let share = |amount| ExactRequest { capacity: vec![("memory".into(), count(amount))], ..request("r", 1) };
    let claims = vec![claim("a", exactly(share(25))), claim("b", exactly(share(15))), claim("c", exactly(share(1)))];
    let state = cluster(vec![shared], claims);
    assert_eq!(found(&state, &["a", "b"]), Ok(vec!["r=g0".into(), "r=g0".into()]));
    assert_eq!(found(&state, &["a", "b", "c"]), Err(NOT_ENOUGH));
    let allocations = pod_devices(&pod(&["a", "b"]), &state, &node("n1")).allocations;
    let shares: Vec<_> = allocations.iter().map(|claim| claim.allocation.devices[0].share.clone()).collect();
    assert!(shares[0].is_some() && shares[0] != shares[1]);
}

#[test]
fn administrators_get_devices_that_others_have() {
    let admin = ExactRequest { admin_access: Some(true), ..request("r", 1) };
    let one = slice("n1", vec![device("g0", "small")]);
    let mut state = cluster(vec![one], vec![claim("a", exactly(request("r", 1))), claim("admin", exactly(admin))]);
    let devices = pod_devices(&pod(&["a"]), &state, &node("n1"));
    state.promise_devices(&"other".into(), &devices);
    assert_eq!(found(&state, &["admin"]), Ok(vec!["r=g0".into()]));
    let admit = DynamicResources.admit(&pod(&["a"]), &state);
    let waits = "resource claim default/a is in the process of being allocated".to_owned();
    assert_eq!(admit, Err(Stop::Rejected(waits)));
}

#[test]
fn slices_that_the_node_does_not_reach_or_that_are_outdated_do_not_count() {
    let everywhere = ResourceSlice { reach: Reach::Everywhere, ..slice("net", vec![device("g9", "small")]) };
    let elsewhere = slice("n2", vec![device("g0", "small")]);
    let state = cluster(vec![elsewhere, everywhere], vec![claim("a", exactly(request("r", 1)))]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r=g9".into()]));
    let allocation = &pod_devices(&pod(&["a"]), &state, &node("n1")).allocations[0].allocation;
    assert_eq!(allocation.nodes, None, "reached from all nodes");
    let newer = ResourceSlice {
        name: "newer".into(),
        generation: 2,
        devices: vec![device("new", "small")],
        ..slice("n1", Vec::new())
    };
    let state = cluster(vec![two(), newer], vec![claim("a", exactly(request("r", 1)))]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r=new".into()]));
    let per_device = |name: &str, reach| Device { reach, ..device(name, "small") };
    let mixed = ResourceSlice {
        reach: Reach::PerDevice,
        ..slice(
            "mixed",
            vec![per_device("far", Reach::Node("n2".into())), per_device("near", Reach::Node("n1".into()))],
        )
    };
    let state = cluster(vec![mixed], vec![claim("a", exactly(request("r", 1)))]);
    assert_eq!(found(&state, &["a"]), Ok(vec!["r=near".into()]));
}

#[test]
fn a_claim_with_devices_keeps_the_pod_to_nodes_that_reach_them() {
    let mut allocated = claim("a", exactly(request("r", 1)));
    let elsewhere = pod_devices(
        &pod(&["a"]),
        &cluster(vec![slice("n2", vec![device("g0", "small")])], vec![allocated.clone()]),
        &node("n2"),
    );
    allocated.allocation = Some(elsewhere.allocations[0].allocation.clone());
    let state = cluster(vec![two()], vec![allocated.clone()]);
    assert_eq!(found(&state, &["a"]), Err(ELSEWHERE));
    let reservations = pod_devices(&pod(&["a"]), &state, &node("n2")).reservations;
    assert_eq!(reservations, [allocated.key()]);
    let rejection =
        Rejection { plugin: PluginId::DynamicResources, code: Code::Unschedulable, reasons: 1 << ELSEWHERE };
    let n1 = node("n1");
    let after = |state: &ClusterState| aftermath(&pod(&["a"]), state, [(&n1, rejection)].into_iter());
    assert_eq!(after(&state), (ClaimsAfter::Deallocated, Some(allocated.key())), "nobody else has it");
    allocated.reserved_for = vec!["another".into()];
    assert_eq!(after(&cluster(vec![two()], vec![allocated])), (ClaimsAfter::Stay, None));
}

#[test]
fn a_pod_is_held_back_until_its_claims_are_there() {
    let state = cluster(vec![two()], Vec::new());
    let missing = "could not find ResourceClaim \"default/a\"".to_owned();
    assert_eq!(held_back(&pod(&["a"]), &state), Some(missing));
    let mut generated = pod(&[]);
    let origin = ClaimOrigin::Template;
    let spec = PodSpec { device_claims: vec![PodClaimRef { name: "gpu".into(), origin }], ..PodSpec::default() };
    generated.spec = Arc::new(spec);
    let not_yet = "pod \"default/web\": ResourceClaim not created yet".to_owned();
    assert_eq!(held_back(&generated, &state), Some(not_yet));
    generated.generated_claims = vec![("gpu".into(), Some("web-gpu".into()))];
    let state = cluster(vec![two()], vec![claim("web-gpu", exactly(request("r", 1)))]);
    let stranger = "ResourceClaim default/web-gpu was not created for Pod default/web (Pod is not owner)".to_owned();
    assert_eq!(held_back(&generated, &state), Some(stranger));
    let own = ResourceClaim { controller: Some("pod-uid".into()), ..claim("web-gpu", exactly(request("r", 1))) };
    assert_eq!(held_back(&generated, &cluster(vec![two()], vec![own])), None);
}

#[test]
fn extended_resources_come_from_a_class_where_the_node_has_none() {
    let wanted = ExtendedRequest {
        container: 0,
        container_name: "c".into(),
        short_lived: false,
        resource: "example.com/gpu".into(),
        place: 1,
        amount: 2,
    };
    let mut spec = PodSpec { extended: vec![wanted], ..PodSpec::default() };
    spec.requests.granted = Resources::of([("example.com/gpu", count(2))]);
    let pod = Pod::new("pod-uid", "default", "web", Arc::new(spec));
    let state = cluster(vec![two()], Vec::new());
    let extended = pod_devices(&pod, &state, &node("n1")).extended.expect("a claim is to be made");
    assert_eq!(extended.allocation.devices.len(), 2);
    assert_eq!(&*extended.requests[0].name, "container-0-request-1");
    assert_eq!(extended.mappings, [("c".into(), "example.com/gpu".into(), "container-0-request-1".into())]);
    let own = Node { allocatable: Resources::of([("example.com/gpu", count(4))]), ..node("n1") };
    assert!(pod_devices(&pod, &state, &own).is_empty(), "the node has them itself");
    let stale = ResourceClaim {
        for_extended_resources: true,
        controller: Some("pod-uid".into()),
        ..claim("web-extended-resources-x", Vec::new())
    };
    let state = cluster(vec![two()], vec![stale]);
    assert!(Devices::of(&pod, &state).expect("a claim").find(&node("n1")).is_err_and(|(bit, _)| bit == STALE));
    assert_eq!(aftermath(&pod, &state, [].into_iter()).0, ClaimsAfter::Deleted);
}
