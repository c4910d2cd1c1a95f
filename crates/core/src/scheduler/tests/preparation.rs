//! Pods whose volumes have to be bound first.

use super::*;
use crate::object::ClaimRef;

/// A cluster of a node, a class and these objects.
fn cluster(objects: impl IntoIterator<Item = Related>) -> Bench {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(samples::node(1, NODE)));
    for kind in RelatedKind::ALL {
        bench.step(Input::RelatedReset(kind, Vec::new()));
    }
    bench.step(Input::RelatedApplied(class(BindingMode::WaitForFirstConsumer)));
    for object in objects {
        bench.step(Input::RelatedApplied(object));
    }
    bench
}

fn with(claim: Related, change: impl FnOnce(&mut PersistentVolumeClaim)) -> Related {
    let Related::PersistentVolumeClaim(claim) = claim else { panic!("a claim") };
    let mut claim = (*claim).clone();
    change(&mut claim);
    Related::PersistentVolumeClaim(Arc::new(claim))
}

fn claimed_by(uid: Option<&str>) -> Related {
    let Related::PersistentVolume(volume) = volume() else { panic!("a volume") };
    let claim = uid.map(|uid| ClaimRef { namespace: "default".into(), name: "data".into(), uid: uid.into() });
    Related::PersistentVolume(Arc::new(PersistentVolume { claim, ..(*volume).clone() }))
}

fn prepared(bench: &mut Bench, number: u8, result: Result<(), &str>) {
    bench.step(Input::Prepared { uid: uid(number), result: result.map_err(Into::into) });
}

/// A class whose volumes are made.
fn provisioned() -> Related {
    let Related::StorageClass(class) = class(BindingMode::WaitForFirstConsumer) else { panic!("a class") };
    Related::StorageClass(Arc::new(StorageClass { provisioner: "csi.example.com".into(), ..(*class).clone() }))
}

#[test]
fn a_pod_is_bound_once_its_volume_is() {
    let mut bench = cluster([volume(), claim(None)]);
    bench.step(Input::PodApplied(with_claim(1)));
    assert!(matches!(&bench.run()[..], [Effect::Prepare { .. }]));
    let assumed = bench.scheduler.state().related().volume("disk").and_then(|volume| volume.claim.clone());
    assert_eq!(assumed.map(|claim| claim.uid), Some("claim-uid".into()), "nobody else gets it");
    prepared(&mut bench, 1, Ok(()));
    bench.step(Input::RelatedApplied(claimed_by(Some("claim-uid"))));
    bench.step(Input::RelatedApplied(with(claim(None), |claim| claim.volume = Some("disk".into()))));
    assert_eq!(bench.run(), [], "the binding of the claim is not complete");
    bench.step(Input::RelatedApplied(claim(Some("disk"))));
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))]);
    bench.result(1, BindResult::Bound);
    assert!(bench.scheduler.inconsistencies().is_empty());
}

#[test]
fn two_pods_never_take_one_volume() {
    let other = with(claim(None), |claim| (claim.name, claim.uid) = ("more".into(), "more-uid".into()));
    let mut bench = cluster([volume(), claim(None), other]);
    let mut second = with_claim(2);
    let mut spec = PodSpec::clone(&second.spec);
    spec.volumes = vec![PodVolume::Claim("more".into())];
    second.spec = Arc::new(spec);
    bench.step(Input::PodApplied(with_claim(1)));
    bench.step(Input::PodApplied(second));
    let effects = bench.run();
    assert_eq!(effects.iter().filter(|effect| matches!(effect, Effect::Prepare { .. })).count(), 1);
    assert!(messages(&effects)[0].contains("didn't find available persistent volumes to bind"));
    // A late word of the API server does not free it.
    bench.step(Input::RelatedApplied(claimed_by(None)));
    bench.wait(20);
    assert!(bench.run().iter().all(|effect| !matches!(effect, Effect::Prepare { .. })));
    // What fails gives it back.
    prepared(&mut bench, 1, Err("told so"));
    let effects = std::mem::take(&mut bench.effects);
    assert!(matches!(&effects[0], Effect::Abandoned { uid: abandoned, .. } if *abandoned == uid(1)));
    assert_eq!(messages(&effects), ["running PreBind plugin \"VolumeBinding\": told so"]);
    bench.wait(20);
    assert_eq!(bench.run().iter().filter(|effect| matches!(effect, Effect::Prepare { .. })).count(), 1);
}

#[test]
fn a_provisioner_that_gives_up_has_the_pod_decided_anew() {
    let mut bench = cluster([provisioned(), claim(None)]);
    bench.step(Input::PodApplied(with_claim(1)));
    assert!(matches!(&bench.run()[..], [Effect::Prepare { decision, .. }] if decision.volumes.provisions.len() == 1));
    prepared(&mut bench, 1, Ok(()));
    bench.step(Input::RelatedApplied(with(claim(None), |claim| claim.selected_node = Some(node_name(1)))));
    assert_eq!(bench.run(), []);
    bench.step(Input::RelatedApplied(claim(None)));
    let effects = std::mem::take(&mut bench.effects);
    let expected = "running PreBind plugin \"VolumeBinding\": binding volumes: provisioning failed for PVC \"data\"";
    assert_eq!(messages(&effects), [expected]);
    bench.wait(20);
    assert!(matches!(&bench.run()[..], [Effect::Prepare { .. }]));
    assert!(bench.scheduler.inconsistencies().is_empty());
}

#[test]
fn a_wait_for_volumes_ends() {
    let mut bench = cluster([volume(), claim(None)]);
    bench.step(Input::PodApplied(with_claim(1)));
    bench.run();
    prepared(&mut bench, 1, Ok(()));
    bench.step(Input::RelatedApplied(claimed_by(Some("claim-uid"))));
    bench.wait(599);
    assert_eq!(bench.run(), []);
    assert_eq!(bench.scheduler.next_wakeup(), Some(Timestamp::EPOCH + Duration::from_secs(600)));
    bench.wait(1);
    let expected = "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded";
    assert_eq!(messages(&std::mem::take(&mut bench.effects)), [expected]);
}

#[test]
fn what_vanishes_meanwhile_ends_the_wait() {
    type Vanish = (fn(&mut Bench), &'static str);
    let cases: [Vanish; 3] = [
        (
            |bench| {
                let key = RelatedKey { namespace: "default".into(), name: "data".into() };
                bench.step(Input::RelatedDeleted(RelatedKind::PersistentVolumeClaim, key));
            },
            "failed to check binding: pvc \"default/data\" not found",
        ),
        (|bench| bench.step(Input::NodeDeleted(node_name(1))), "failed to get node \"node-1\""),
        (
            |bench| {
                bench.step(Input::RelatedApplied(claimed_by(Some("claim-uid"))));
                bench.step(Input::RelatedApplied(claimed_by(None)));
            },
            "ClaimRef got reset for pv \"disk\"",
        ),
    ];
    for (vanish, why) in cases {
        let mut bench = cluster([volume(), claim(None)]);
        bench.step(Input::PodApplied(with_claim(1)));
        bench.run();
        prepared(&mut bench, 1, Ok(()));
        vanish(&mut bench);
        let effects = std::mem::take(&mut bench.effects);
        let expected = format!("running PreBind plugin \"VolumeBinding\": binding volumes: {why}");
        assert_eq!(messages(&effects), [expected]);
        assert!(bench.scheduler.inconsistencies().is_empty());
    }
}

#[test]
fn the_end_of_the_pod_ends_its_preparation_once_the_answer_is_there() {
    let mut bench = cluster([volume(), claim(None)]);
    bench.step(Input::PodApplied(with_claim(1)));
    bench.run();
    bench.step(Input::PodDeleted(uid(1)));
    assert_eq!(bench.effects, [], "the API server is being asked");
    prepared(&mut bench, 1, Ok(()));
    let effects = std::mem::take(&mut bench.effects);
    assert!(matches!(&effects[..], [Effect::Abandoned { .. }]), "{effects:?}");
    assert_eq!(bench.scheduler.binding(), 0);
    assert_eq!(bench.scheduler.state().related().volume("disk").and_then(|volume| volume.claim.clone()), None);
}

#[test]
fn a_node_that_no_longer_fits_when_the_volumes_are_bound_is_given_up() {
    let mut bench = cluster([volume(), claim(None)]);
    bench.step(Input::PodApplied(with_claim(1)));
    bench.run();
    prepared(&mut bench, 1, Ok(()));
    bench.step(Input::NodeApplied(Node { allowed_pods: 1, ..samples::node(1, NODE) }));
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..samples::pod(2, POD) }));
    bench.step(Input::RelatedApplied(claimed_by(Some("claim-uid"))));
    bench.step(Input::RelatedApplied(claim(Some("disk"))));
    let effects = std::mem::take(&mut bench.effects);
    assert_eq!(messages(&effects), ["node node-1 is no longer feasible: Too many pods"]);
    bench.step(Input::PodDeleted(uid(2)));
    bench.wait(20);
    assert_eq!(bound_to(&bench.run()), [(uid(1), node_name(1))], "its volumes are bound by now");
}

#[test]
fn a_binding_is_recalled_when_somebody_else_took_its_room() {
    let mut bench = Bench::new();
    bench.step(Input::NodeApplied(Node { allowed_pods: 2, ..samples::node(1, NODE) }));
    bench.step(Input::PodApplied(samples::pod(1, POD)));
    bench.step(Input::PodApplied(samples::pod(2, POD)));
    assert_eq!(bound_to(&bench.run()).len(), 2);
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..samples::pod(3, POD) }));
    let effects = std::mem::take(&mut bench.effects);
    let [Effect::Recall { uid: recalled, why }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((recalled, &**why), (&uid(1), "Too many pods"), "one is enough");
    bench.result(1, BindResult::Unavailable("the node has changed since the decision".into()));
    bench.result(2, BindResult::Bound);
    bench.step(Input::PodApplied(Pod { node: Some(node_name(1)), ..samples::pod(2, POD) }));
    assert!(bench.scheduler.inconsistencies().is_empty());
    assert_eq!(bench.scheduler.state().node("node-1").map(|node| node.used().pods), Some(2));
}
