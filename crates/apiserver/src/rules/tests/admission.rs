//! Admission, which looks at other objects.

use serde_json::json;

use super::*;

fn pod(mut spec: Value) -> Value {
    value::default_to(&mut spec, "containers", json!([{ "name": "c", "image": "a:1" }]));
    json!({ "spec": spec })
}

fn with(qualified: &str, objects: Vec<Value>) -> Others {
    Others(BTreeMap::from([(qualified.to_owned(), objects)]))
}

fn class(name: &str, value: i64, more: &Value) -> Value {
    let mut class = json!({ "metadata": { "name": name }, "value": value, "preemptionPolicy": "PreemptLowerPriority" });
    merge(&mut class, more);
    class
}

#[test]
fn priority_comes_from_the_class() {
    let others = with(
        "priorityclasses.scheduling.k8s.io",
        vec![
            class("high", 9, &json!({ "preemptionPolicy": "Never" })),
            class("normal", 3, &json!({ "globalDefault": true })),
        ],
    );
    let pods = resource("pods");
    let made = create(pods, pod(json!({ "priorityClassName": "high" })), &others).unwrap().object;
    assert_eq!((&made["spec"]["priority"], &made["spec"]["preemptionPolicy"]), (&json!(9), &json!("Never")));
    let made = create(pods, pod(json!({})), &others).unwrap().object;
    assert_eq!((&made["spec"]["priorityClassName"], &made["spec"]["priority"]), (&json!("normal"), &json!(3)));
    let refused = create(pods, pod(json!({ "priorityClassName": "none" })), &others).err().unwrap();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (403, "pods \"p\" is forbidden: no PriorityClass with name none was found")
    );
    let refused = create(pods, pod(json!({ "priority": 4 })), &others).err().unwrap();
    assert!(refused.message.contains("the integer value of priority (4) must not be provided"), "{}", refused.message);
    let second = json!({ "metadata": { "name": "other" }, "value": 4, "globalDefault": true });
    let refused = create(resource("priorityclasses.scheduling.k8s.io"), second, &others).err().unwrap();
    assert!(refused.message.ends_with("PriorityClass normal is already marked as default. Only one default can exist"));
}

#[test]
fn limit_ranges_fill_in_and_bound() {
    let range = json!({
        "metadata": { "name": "r", "namespace": "ns" },
        "spec": { "limits": [{
            "type": "Container",
            "default": { "cpu": "500m" },
            "defaultRequest": { "cpu": "100m" },
            "max": { "cpu": "1" },
        }] },
    });
    let others = with("limitranges", vec![range]);
    let pods = resource("pods");
    let made = create(pods, pod(json!({})), &others).unwrap().object;
    let resources = json!({ "limits": { "cpu": "500m" }, "requests": { "cpu": "100m" } });
    assert_eq!(made["spec"]["containers"][0]["resources"], resources);
    assert_eq!(
        made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    assert_eq!(made["status"]["qosClass"], "Burstable");
    let large = json!([{ "name": "c", "image": "a:1", "resources": { "limits": { "cpu": "2" } } }]);
    let refused = create(pods, pod(json!({ "containers": large })), &others).err().unwrap();
    assert_eq!(refused.message, "pods \"p\" is forbidden: maximum cpu usage per Container is 1, but limit is 2");
}

#[test]
fn services_get_addresses_and_ports_that_are_free() {
    let services = resource("services");
    let port = json!([{ "port": 80 }]);
    let first = json!({ "metadata": { "name": "a" }, "spec": { "type": "NodePort", "ports": port } });
    let first = create(services, first, &Others::default()).unwrap();
    assert_eq!(first.errors, Vec::<String>::new());
    let spec = &first.object["spec"];
    assert_eq!((&spec["clusterIPs"][0], &spec["ports"][0]["nodePort"]), (&spec["clusterIP"], &json!(30000)));
    let others = with("services", vec![first.object.clone()]);
    let second = json!({ "metadata": { "name": "b" }, "spec": { "type": "NodePort", "ports": port } });
    let second = create(services, second, &others).unwrap().object;
    assert_ne!(second["spec"]["clusterIP"], spec["clusterIP"]);
    assert_eq!(second["spec"]["ports"][0]["nodePort"], 30001);
    let asked = json!({ "spec": { "clusterIP": spec["clusterIP"], "ports": port } });
    let refused = create(services, asked, &others).err().unwrap();
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
    assert!(refused.message.ends_with("provided IP is already allocated"), "{}", refused.message);
}

#[test]
fn claims_get_the_default_class() {
    let default_class = json!({
        "metadata": {
            "name": "standard",
            "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
        },
    });
    let others = with("storageclasses.storage.k8s.io", vec![default_class]);
    let claim =
        json!({ "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
    let made = create(resource("persistentvolumeclaims"), claim, &others).unwrap().object;
    assert_eq!(made["spec"]["storageClassName"], "standard");
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
}

#[test]
fn a_bound_pod_carries_the_labels_of_its_nodes_place() {
    let node = json!({ "metadata": { "name": "n", "labels": { "topology.kubernetes.io/zone": "a", "other": "x" } } });
    let mut bound = json!({ "metadata": { "name": "p" } });
    admit_binding(&mut bound, &node);
    assert_eq!(bound["metadata"]["labels"], json!({ "topology.kubernetes.io/zone": "a" }));
    let others = with("nodes", vec![node]);
    let made = create(resource("pods"), pod(json!({ "nodeName": "n" })), &others).unwrap().object;
    assert_eq!(made["metadata"]["labels"]["topology.kubernetes.io/zone"], "a");
}

#[test]
fn a_runtime_class_adds_what_its_pods_cost() {
    let class = json!({
        "metadata": { "name": "vm" },
        "overhead": { "podFixed": { "memory": "64Mi" } },
        "scheduling": { "nodeSelector": { "vm": "yes" }, "tolerations": [{ "key": "vm", "operator": "Exists" }] },
    });
    let others = with("runtimeclasses.node.k8s.io", vec![class]);
    let pods = resource("pods");
    let made = create(pods, pod(json!({ "runtimeClassName": "vm" })), &others).unwrap();
    assert_eq!(made.errors, Vec::<String>::new());
    let spec = &made.object["spec"];
    assert_eq!((&spec["overhead"], &spec["nodeSelector"]), (&json!({ "memory": "64Mi" }), &json!({ "vm": "yes" })));
    assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(3));
    let refused = create(pods, pod(json!({ "runtimeClassName": "none" })), &others).err().unwrap();
    assert_eq!(refused.message, "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found");
    let refused = create(pods, pod(json!({ "overhead": { "cpu": "1" } })), &others).err().unwrap();
    assert!(refused.message.ends_with("Pod Overhead set without corresponding RuntimeClass defined Overhead"));
}

#[test]
fn a_bound_pod_may_not_outgrow_its_node() {
    let node = json!({ "metadata": { "name": "n" }, "status": { "allocatable": { "cpu": "2", "memory": "1Gi" } } });
    let others = with("nodes", vec![node]);
    let pods = resource("pods");
    let container = |cpu: &str| json!([{ "name": "c", "image": "a:1", "resources": { "requests": { "cpu": cpu } } }]);
    let bound = create(pods, pod(json!({ "nodeName": "n", "containers": container("1") })), &others).unwrap().object;
    let patch = json!({ "spec": { "containers": container("2") } });
    assert_eq!(update(pods, "resize", &bound, &patch, &others).unwrap().errors, Vec::<String>::new());
    let patch = json!({ "spec": { "containers": container("3") } });
    let refused = update(pods, "resize", &bound, &patch, &others).err().unwrap();
    let why = "node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000";
    assert!(refused.message.ends_with(why), "{}", refused.message);
    assert_eq!(refused.details["causes"], json!([{ "reason": "NodeCapacity" }]));
}

#[test]
fn claims_grow_where_their_class_lets_them() {
    let class = |grows: bool| {
        let class = json!({ "metadata": { "name": "a" }, "allowVolumeExpansion": grows });
        with("storageclasses.storage.k8s.io", vec![class])
    };
    let claims = resource("persistentvolumeclaims");
    let sized = |size: &str| json!({ "resources": { "requests": { "storage": size } } });
    let mut spec = sized("1Gi");
    merge(&mut spec, &json!({ "accessModes": ["ReadWriteOnce"], "storageClassName": "a" }));
    let mut claim = create(claims, json!({ "spec": spec }), &class(true)).unwrap().object;
    claim["status"]["phase"] = json!("Bound");
    let patch = json!({ "spec": sized("2Gi") });
    assert_eq!(update(claims, "", &claim, &patch, &class(true)).unwrap().errors, Vec::<String>::new());
    assert_eq!(update(claims, "", &claim, &patch, &class(false)).err().map(|e| e.code), Some(403));
}
