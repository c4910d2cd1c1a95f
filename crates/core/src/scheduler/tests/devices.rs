//! Pods whose claims have to get devices first.

use super::*;
use crate::object::{
    Amount, ClaimOrigin, Device, DeviceClass, DeviceRequest, ExactRequest, PodClaimRef, PoolId, Reach, ResourceClaim,
    ResourceSlice,
};
use crate::plugins::ClaimsAfter;

/// A claim to one device.
fn claim(name: &str) -> ResourceClaim {
    let request = ExactRequest {
        name: "r".into(),
        class: "gpu".into(),
        selectors: Vec::new(),
        amount: Amount::Count(1),
        admin_access: None,
        tolerations: Vec::new(),
        capacity: Vec::new(),
    };
    ResourceClaim {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("{name}-uid").into(),
        controller: None,
        for_extended_resources: false,
        terminating: false,
        requests: vec![DeviceRequest::Exactly(request)],
        constraints: Vec::new(),
        config: Vec::new(),
        allocation: None,
        reserved_for: Vec::new(),
        conditions: Vec::new(),
    }
}

/// A cluster of one node with one device.
fn cluster(claims: impl IntoIterator<Item = ResourceClaim>) -> Bench {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    for kind in RelatedKind::ALL {
        bench.step(Input::RelatedReset(kind, Vec::new()));
    }
    let class = DeviceClass {
        name: "gpu".into(),
        selectors: Vec::new(),
        config: Vec::new(),
        extended_resource: None,
        created: None,
    };
    let slice = ResourceSlice {
        name: "s".into(),
        pool: PoolId { driver: "gpu.example.com".into(), pool: "node-1".into() },
        generation: 1,
        slice_count: 1,
        reach: Reach::Node(node_name(1)),
        devices: vec![Device { name: "g0".into(), ..Device::default() }],
        counters: Vec::new(),
    };
    bench.step(Input::RelatedApplied(Related::DeviceClass(Arc::new(class))));
    bench.step(Input::RelatedApplied(Related::ResourceSlice(Arc::new(slice))));
    for claim in claims {
        bench.step(applied(claim));
    }
    bench
}

fn applied(claim: ResourceClaim) -> Input {
    Input::RelatedApplied(Related::ResourceClaim(Arc::new(claim)))
}

fn with_claim(number: u8, name: &str) -> Pod {
    let mut pod = samples::pod(number, 2);
    let mut spec = PodSpec::clone(&pod.spec);
    spec.device_claims = vec![PodClaimRef { name: "gpu".into(), origin: ClaimOrigin::Named(name.into()) }];
    pod.spec = Arc::new(spec);
    pod
}

/// The claim as it is after what the effect asks for.
fn prepared(effect: &Effect, claim: ResourceClaim) -> ResourceClaim {
    let Effect::Prepare { pod, decision, .. } = effect else { panic!("{effect:?}") };
    ResourceClaim {
        allocation: decision.devices.allocations.first().map(|claim| claim.allocation.clone()),
        reserved_for: vec![pod.uid.clone()],
        ..claim
    }
}

#[test]
fn two_pods_never_take_one_device() {
    let mut bench = cluster([claim("a"), claim("b")]);
    bench.step(Input::PodApplied(with_claim(1, "a")));
    bench.step(Input::PodApplied(with_claim(2, "b")));
    let effects = bench.run();
    assert!(matches!(&effects[0], Effect::Prepare { .. }), "{effects:?}");
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Prepare { .. })).count(), 1, "{effects:?}");
    // A late word of the API server does not free it, and the claim's own word does not either.
    bench.step(applied(claim("a")));
    bench.step(Input::Prepared { uid: uid(1), result: Ok(()) });
    assert_eq!(bound_to(&bench.run()), [], "the watch has not shown the claim");
    let written = prepared(&effects[0], claim("a"));
    bench.step(applied(written.clone()));
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))]);
    bench.result(1, BindResult::Bound);
    bench.wait(20);
    assert_eq!(bound_to(&bench.run()), [], "the device is taken");
    // When its pod has ended and the claim gives it back, the other pod gets it.
    bench.step(Input::PodDeleted(uid(1)));
    bench.step(applied(ResourceClaim { allocation: None, reserved_for: Vec::new(), ..written }));
    bench.wait(20);
    assert!(bench.run().iter().any(|effect| matches!(effect, Effect::Prepare { pod, .. } if pod.uid == uid(2))));
    assert!(bench.scheduler.inconsistencies().is_empty());
}

#[test]
fn what_could_not_be_written_is_free_for_others() {
    let mut bench = cluster([claim("a"), claim("b")]);
    bench.step(Input::PodApplied(with_claim(1, "a")));
    bench.step(Input::PodApplied(with_claim(2, "b")));
    bench.run();
    bench.step(Input::Prepared { uid: uid(1), result: Err("told so".into()) });
    let effects = std::mem::take(&mut bench.effects);
    assert_eq!(messages(&effects), ["running PreBind plugin \"DynamicResources\": told so"]);
    bench.wait(20);
    assert_eq!(bench.run().iter().filter(|effect| matches!(effect, Effect::Prepare { .. })).count(), 1);
}

#[test]
fn a_pod_that_goes_while_it_waits_gives_its_devices_back() {
    let mut bench = cluster([claim("a")]);
    bench.step(Input::PodApplied(with_claim(1, "a")));
    let effects = bench.run();
    bench.step(Input::Prepared { uid: uid(1), result: Ok(()) });
    bench.step(Input::PodDeleted(uid(1)));
    bench.step(applied(prepared(&effects[0], claim("a"))));
    bench.step(Input::Tick);
    let effects = bench.run();
    let freed = |effect: &&Effect| matches!(effect, Effect::FreeClaim { after: ClaimsAfter::Deallocated, .. });
    assert_eq!(effects.iter().filter(freed).count(), 1, "{effects:?}");
}

#[test]
fn a_pod_waits_for_its_claim_and_for_nothing_else() {
    let mut bench = cluster([]);
    bench.step(Input::PodApplied(with_claim(1, "a")));
    assert_eq!(messages(&bench.run()), ["could not find ResourceClaim \"default/a\""]);
    bench.step(Input::NodeApplied(samples::node(2, NODE)));
    bench.step(applied(claim("unrelated")));
    bench.step(applied(claim("a")));
    bench.wait(20);
    assert!(matches!(&bench.run()[..], [Effect::Prepare { .. }]));
}
