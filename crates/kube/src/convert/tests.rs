//! Objects as the API writes them, and what becomes of them.

use augur_core::object::{Disk, Effect, Phase, PodVolume, Protocol, Toleration, TolerationOperator, WhenUnsatisfiable};
use augur_core::time::Timestamp;
use augur_core::units::{Bytes, MilliCpu};

use super::*;
use crate::wire;

fn read_pod(json: &str) -> Result<augur_core::object::Pod, Skipped> {
    pod(&serde_json::from_str::<wire::Pod<'_>>(json).unwrap())
}

fn read_node(json: &str) -> Result<augur_core::object::Node, Skipped> {
    node(&serde_json::from_str::<wire::Node<'_>>(json).unwrap())
}

/// A pod with the given spec and status, as members of JSON objects.
fn with(spec: &str, status: &str) -> augur_core::object::Pod {
    read_pod(&format!(
        r#"{{"metadata":{{"name":"web","namespace":"shop","uid":"u1","labels":{{"app":"web"}},
            "creationTimestamp":"1970-01-01T00:00:05Z"}},"spec":{{{spec}}},"status":{{{status}}}}}"#
    ))
    .unwrap()
}

#[test]
fn a_node_with_all_that_bears_on_it() {
    let node = read_node(
        r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","managedFields":[{"manager":"kubelet"}],
            "labels":{"topology.kubernetes.io/zone":"a"}},
            "spec":{"unschedulable":true,"taints":[{"key":"gpu","value":"yes","effect":"NoSchedule","timeAdded":null}]},
            "status":{"capacity":{"cpu":"9"},"allocatable":{"cpu":"3920m","memory":"16Gi","ephemeral-storage":"10Gi","pods":"110",
              "nvidia.com/gpu":"2"},"conditions":[{"type":"Ready","status":"True"}],
              "images":[{"names":["a:1","a@sha256:x"],"sizeBytes":7}],"declaredFeatures":["B","A"]}}"#,
    )
    .unwrap();
    assert_eq!((&*node.name, node.labels.get("topology.kubernetes.io/zone")), ("n1", Some("a")));
    assert_eq!((node.unschedulable, node.ready, node.allowed_pods), (true, true, 110));
    assert_eq!((node.allocatable.cpu, node.allocatable.memory), (MilliCpu(3920), Bytes(16 << 30)));
    assert_eq!(node.allocatable.scalar("nvidia.com/gpu"), 2);
    assert_eq!((&*node.taints[0].key, node.taints[0].effect), ("gpu", Effect::NoSchedule));
    assert_eq!((node.images[0].names.len(), node.images[0].size), (2, Bytes(7)));
    assert_eq!(node.declared_features, ["A".into(), "B".into()]);
}

#[test]
fn a_bare_node_is_not_ready_and_holds_what_it_has() {
    let node = read_node(r#"{"metadata":{"name":"n1"},"status":{"capacity":{"cpu":"2","pods":"5"}}}"#).unwrap();
    assert_eq!((node.ready, node.allocatable.cpu, node.allowed_pods), (false, MilliCpu(2000), 5));
    let node = read_node(r#"{"metadata":{"name":"n1"},"spec":null,"status":null}"#).unwrap();
    assert_eq!(node.allocatable.cpu, MilliCpu(0));
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    assert_eq!(read_node("{}").unwrap_err().reason, NAMELESS);
    assert_eq!(read_pod(r#"{"metadata":{"name":"web"}}"#).unwrap_err().reason, NAMELESS);
    let node = r#"{"metadata":{"name":"n1"},"status":{"allocatable":{"cpu":"many"}}}"#;
    assert_eq!(read_node(node).unwrap_err().reason, BAD_QUANTITY);
    let pod = r#"{"metadata":{"name":"p","uid":"u"},"spec":{"containers":[{"resources":{"requests":{"cpu":"-1"}}}]}}"#;
    assert_eq!(
        read_pod(pod).unwrap_err().to_string(),
        "bad_quantity: spec.containers[0].resources.requests.cpu: -1 is below zero",
        "the place and the value are told"
    );
}

#[test]
fn a_plain_pod() {
    let pod = with(
        r#""schedulerName":"augur","priority":7,"preemptionPolicy":"Never","nodeSelector":{"disk":"ssd"},
           "containers":[{"name":"a","image":"a:1","resources":{"requests":{"cpu":"250m","memory":"64Mi"},"limits":{"cpu":"1"}}},
                         {"name":"b","image":"b:1","resources":{"requests":{"cpu":1}}}]"#,
        r#""phase":"Pending""#,
    );
    assert_eq!((pod.full_name().as_str(), &*pod.uid, pod.labels.get("app")), ("shop/web", "u1", Some("web")));
    assert_eq!((pod.phase, pod.node, pod.terminating), (Phase::Pending, None, false));
    assert_eq!(pod.created, Some(Timestamp::from_secs(5)));
    let spec = &pod.spec;
    assert_eq!((&*spec.scheduler_name, spec.priority), ("augur", 7));
    assert_eq!((spec.requests.granted.cpu, spec.requests.granted.memory), (MilliCpu(1250), Bytes(64 << 20)));
    assert_eq!(spec.node_selector.get("disk"), Some("ssd"));
    assert_eq!((spec.images.len(), spec.image_containers), (2, 2));
    assert!(spec.not_understood.is_empty());
}

#[test]
fn init_containers_sidecars_overhead_and_pod_level_requests_are_told_apart() {
    let pod = with(
        r#""containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}],
           "initContainers":[{"name":"i","resources":{"requests":{"cpu":"3"}}},
                             {"name":"s","restartPolicy":"Always","resources":{"requests":{"cpu":"500m"}}}],
           "overhead":{"cpu":"100m"}"#,
        "",
    );
    assert_eq!(pod.spec.requests.granted.cpu, MilliCpu(3100));
    let pod = with(r#""containers":[{"name":"a"}],"resources":{"requests":{"cpu":"2"}}"#, "");
    assert_eq!(pod.spec.requests.granted.cpu, MilliCpu(2000));
}

#[test]
fn ports_of_init_containers_count_only_while_these_stay() {
    let pod = with(
        r#""containers":[{"ports":[{"containerPort":80},{"containerPort":53,"hostPort":53,"protocol":"UDP","hostIP":"10.0.0.1"}]}],
           "initContainers":[{"ports":[{"containerPort":1,"hostPort":1}]},
                             {"restartPolicy":"Always","ports":[{"containerPort":2,"hostPort":2}]}]"#,
        "",
    );
    let ports: Vec<_> = pod.spec.host_ports.iter().map(|port| (&*port.ip, port.protocol, port.port)).collect();
    assert_eq!(ports, [("10.0.0.1", Protocol::Udp, 53), ("", Protocol::Tcp, 2)]);
}

#[test]
fn tolerations_gates_and_volumes() {
    let pod = with(
        r#""tolerations":[{"operator":"Exists"},{"key":"a","value":"b","effect":"NoExecute","tolerationSeconds":3}],
           "schedulingGates":[{"name":"example.com/wait"}],"resourceClaims":[{"name":"gpu"}],
           "volumes":[{"name":"c","configMap":{"name":"x"}},{"name":"d","persistentVolumeClaim":{"claimName":"data"}},
             {"name":"e","ephemeral":{"volumeClaimTemplate":{}}},{"name":"f","rbd":{"image":"x","monitors":["m"],"readOnly":true}},
             {"name":"g","image":{"reference":"model:1"}}]"#,
        "",
    );
    let spec = &pod.spec;
    assert_eq!(spec.tolerations[0], Toleration { operator: TolerationOperator::Exists, ..Toleration::default() });
    assert_eq!(spec.tolerations[1].effect, Some(Effect::NoExecute));
    assert_eq!(spec.scheduling_gates, ["example.com/wait".into()]);
    assert_eq!(spec.device_claims.len(), 1);
    let disk = Disk::Rbd { monitors: vec!["m".into()], pool: "".into(), image: "x".into(), read_only: true };
    let expected = [PodVolume::Claim("data".into()), PodVolume::EphemeralClaim("e".into()), PodVolume::Disk(disk)];
    assert_eq!(spec.volumes, expected);
    assert_eq!((spec.images.as_slice(), spec.image_containers), (["model:1".into()].as_slice(), 0));
}

#[test]
fn affinities_and_spreading_keep_their_terms() {
    let pod = with(
        r#""affinity":{"nodeAffinity":{
             "requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
               {"matchExpressions":[{"key":"zone","operator":"In","values":["a","b"]}]},{}]},
             "preferredDuringSchedulingIgnoredDuringExecution":[{"weight":5,"preference":
               {"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}}]},
           "podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone",
             "labelSelector":{"matchLabels":{"app":"db"}},"namespaces":["x"]}]},
           "podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":9,"podAffinityTerm":
             {"topologyKey":"host","labelSelector":{"matchExpressions":[{"key":"app","operator":"Exists"}]}}}]}},
           "topologySpreadConstraints":[{"topologyKey":"zone","maxSkew":2,"whenUnsatisfiable":"ScheduleAnyway",
             "labelSelector":{},"matchLabelKeys":["app","missing"],"nodeTaintsPolicy":"Honor"}]"#,
        "",
    );
    let spec = &pod.spec;
    let required = spec.node_affinity.required.as_ref().unwrap();
    let zone_b = [("zone", "b")].into_iter().collect();
    assert!(required[0].matches("n1", &zone_b) && !required[1].matches("n1", &zone_b));
    assert_eq!(spec.node_affinity.preferred[0].weight, 5);
    assert!(spec.node_affinity.preferred[0].term.matches("n1", &zone_b));
    let affinity = &spec.pod_affinities;
    assert_eq!((&*affinity.required[0].topology_key, affinity.required[0].namespaces.len()), ("zone", 1));
    assert_eq!(affinity.preferred_anti[0].weight, 9);
    let rule = &spec.spread[0];
    assert_eq!((rule.max_skew, rule.when_unsatisfiable), (2, WhenUnsatisfiable::ScheduleAnyway));
    assert!(rule.honor_node_affinity && rule.honor_taints);
    let selector = rule.selector.as_ref().unwrap();
    assert!(selector.matches(|key| (key == "app").then_some("web")), "the pod's own label counts");
    assert!(!selector.matches(|key| (key == "app").then_some("db")));
}

#[test]
fn what_the_core_cannot_carry_is_named() {
    let pod = with(
        r#""workloadRef":{"name":"x"},"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
            [{"topologyKey":"zone","labelSelector":{"matchExpressions":[{"key":"a","operator":"Like","values":["x"]}]}}]}}"#,
        "",
    );
    let names = &pod.spec.not_understood;
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(&*names[0], "workloadRef");
    assert!(names[1].starts_with("podAffinity selector (") && names[1].contains("Like"), "{names:?}");
}

#[test]
fn a_running_pod_holds_what_its_resize_needs() {
    let status = |requests: &str| {
        format!(
            r#""phase":"Running","startTime":"1970-01-01T00:00:09Z","nominatedNodeName":"n2",
               "containerStatuses":[{{"name":"a","restartCount":0,"resources":{{"requests":{{"cpu":"{requests}"}}}}}}]"#
        )
    };
    let spec = r#""nodeName":"n1","containers":[{"name":"a","resources":{"requests":{"cpu":"1"}}}]"#;
    let same = with(spec, &status("1"));
    assert_eq!((same.node.as_deref(), same.nominated_node.as_deref()), (Some("n1"), Some("n2")));
    assert_eq!((same.started, same.resized.is_none()), (Some(Timestamp::from_secs(9)), true));
    let shrinking = with(spec, &status("3"));
    assert_eq!(shrinking.requests().granted.cpu, MilliCpu(3000));
    assert_eq!(shrinking.spec, same.spec, "pods of one template share their spec");
}

#[test]
fn a_pod_of_a_request_that_has_only_limits_requests_as_much() {
    let spec = r#"{"containers":[{"resources":{"requests":{"cpu":"1"},"limits":{"cpu":"2","memory":"1Gi"}}}],
        "initContainers":[{"resources":{"limits":{"cpu":"3"}}}]}"#;
    let spec = pod_spec(&wire::ObjectMeta::default(), &serde_json::from_str(spec).unwrap()).unwrap();
    assert_eq!((spec.requests.granted.cpu, spec.requests.granted.memory), (MilliCpu(3000), Bytes(1 << 30)));
    let bad = r#"{"containers":[{"resources":{"limits":{"cpu":"-1"}}}]}"#;
    let bad = pod_spec(&wire::ObjectMeta::default(), &serde_json::from_str(bad).unwrap()).unwrap_err();
    assert!(bad.detail.contains("containers[0].resources.limits.cpu"), "{}", bad.detail);
}
