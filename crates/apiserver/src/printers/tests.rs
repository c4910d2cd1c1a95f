use super::*;

fn resource(group: &str, plural: &str) -> &'static Resource {
    crate::resource::RESOURCES.iter().find(|r| r.is(group, plural)).unwrap()
}

fn now() -> Timestamp {
    "2024-05-01T12:00:00Z".parse().unwrap()
}

fn options() -> TableOptions<'static> {
    TableOptions { include: IncludeObject::None, version: "v1", columns: true, now: now() }
}

/// The cells of one object, written with `|` between them.
fn row(group: &'static str, plural: &'static str, object: Value) -> String {
    let table = table(resource(group, plural), &[object], &json!({}), &options());
    let (columns, rows) = (table["columnDefinitions"].as_array().unwrap(), table["rows"].as_array().unwrap());
    let cells = rows[0]["cells"].as_array().unwrap();
    assert!(cells.len() >= columns.len(), "{plural}: a cell for each column");
    cells.iter().map(|c| c.as_str().map_or_else(|| c.to_string(), str::to_owned)).collect::<Vec<_>>().join("|")
}

fn pod_row(spec: &Value, status: &Value, deleted: bool) -> String {
    let mut pod = json!({
        "metadata": { "name": "p", "creationTimestamp": "2024-05-01T11:55:00Z" },
        "spec": spec,
        "status": status,
    });
    if deleted {
        pod["metadata"]["deletionTimestamp"] = json!("2024-05-01T12:00:00Z");
    }
    row("", "pods", pod).split('|').take(4).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_word_of_status_of_a_pod_follows_its_containers() {
    let one = json!({ "containers": [{ "name": "c" }] });
    let with_init = json!({
        "containers": [{ "name": "c" }],
        "initContainers": [{ "name": "i" }, { "name": "side", "restartPolicy": "Always" }],
    });
    let container = |state: Value, ready: bool, restarts: i64| json!({ "name": "c", "state": state, "ready": ready, "restartCount": restarts });
    let running = json!({ "running": {} });
    let cases: Vec<(&Value, Value, bool, &str)> = vec![
        (&one, json!({ "phase": "Pending" }), false, "p 0/1 Pending 0"),
        (
            &one,
            json!({ "phase": "Pending", "conditions": [
                { "type": "PodScheduled", "status": "False", "reason": "SchedulingGated" }] }),
            false,
            "p 0/1 SchedulingGated 0",
        ),
        (
            &one,
            json!({ "phase": "Running", "containerStatuses": [
                container(json!({ "waiting": { "reason": "CrashLoopBackOff" } }), false, 7)] }),
            false,
            "p 0/1 CrashLoopBackOff 7",
        ),
        (
            &one,
            json!({ "phase": "Running", "containerStatuses": [{
                "name": "c", "state": running, "ready": true, "restartCount": 3,
                "lastState": { "terminated": { "finishedAt": "2024-05-01T11:54:30Z", "exitCode": 1 } } }] }),
            false,
            "p 1/1 Running 3 (5m30s ago)",
        ),
        (
            &one,
            json!({ "phase": "Succeeded", "containerStatuses": [
                container(json!({ "terminated": { "exitCode": 0, "reason": "Completed" } }), false, 0)] }),
            false,
            "p 0/1 Completed 0",
        ),
        (
            &one,
            json!({ "phase": "Failed", "containerStatuses": [
                container(json!({ "terminated": { "exitCode": 137, "signal": 9 } }), false, 0)] }),
            false,
            "p 0/1 Signal:9 0",
        ),
        (&one, json!({ "phase": "Failed", "reason": "Evicted" }), false, "p 0/1 Evicted 0"),
        (&one, json!({ "phase": "Running" }), true, "p 0/1 Terminating 0"),
        (&one, json!({ "phase": "Succeeded" }), true, "p 0/1 Succeeded 0"),
        (&one, json!({ "phase": "Running", "reason": "NodeLost" }), true, "p 0/1 Unknown 0"),
        (
            &with_init,
            json!({ "phase": "Pending", "initContainerStatuses": [
                { "name": "i", "state": running, "restartCount": 1 }] }),
            false,
            "p 0/2 Init:0/2 1",
        ),
        (
            &with_init,
            json!({ "phase": "Pending", "initContainerStatuses": [
                { "name": "i", "state": { "terminated": { "exitCode": 2 } }, "restartCount": 0 }] }),
            false,
            "p 0/2 Init:ExitCode:2 0",
        ),
        (
            &with_init,
            json!({ "phase": "Running",
                "initContainerStatuses": [
                    { "name": "i", "state": { "terminated": { "exitCode": 0 } }, "restartCount": 4 },
                    { "name": "side", "state": running, "started": true, "ready": true, "restartCount": 2 }],
                "containerStatuses": [container(running.clone(), true, 1)] }),
            false,
            "p 2/2 Running 3",
        ),
    ];
    for (spec, status, deleted, expected) in cases {
        assert_eq!(pod_row(spec, &status, deleted), expected, "{status}");
    }
}

#[test]
fn rows_show_what_each_kind_is_known_for() {
    let meta = json!({ "name": "x", "creationTimestamp": "2024-05-01T11:00:00Z" });
    let template = json!({ "spec": { "containers": [{ "name": "a", "image": "i" }, { "name": "b", "image": "j" }] } });
    let cases: Vec<(&str, &str, Value, &str)> = vec![
        (
            "apps",
            "deployments",
            json!({ "spec": { "replicas": 3, "template": template, "selector": {
                "matchLabels": { "z": "1" },
                "matchExpressions": [{ "key": "a", "operator": "In", "values": ["2", "1"] }] } },
                "status": { "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1 } }),
            "x|1/3|2|1|60m|a,b|i,j|a in (1,2),z=1",
        ),
        (
            "batch",
            "jobs",
            json!({ "spec": { "completions": 2, "template": template, "selector": {} },
                "status": { "succeeded": 2, "startTime": "2024-05-01T11:00:00Z",
                    "completionTime": "2024-05-01T11:01:30Z",
                    "conditions": [{ "type": "Complete", "status": "True" }] } }),
            "x|Complete|2/2|90s|60m|a,b|i,j|<none>",
        ),
        (
            "batch",
            "cronjobs",
            json!({ "spec": { "schedule": "* * * * *", "suspend": false, "jobTemplate": { "spec": { "template": template } } },
                "status": { "active": [{}] } }),
            "x|* * * * *|<none>|False|1|<none>|60m|a,b|i,j|<none>",
        ),
        (
            "",
            "nodes",
            json!({ "spec": { "unschedulable": true }, "status": {
                "conditions": [{ "type": "Ready", "status": "True" }],
                "nodeInfo": { "kubeletVersion": "v1.36.0" } } }),
            "x|Ready,SchedulingDisabled|<none>|60m|v1.36.0|<none>|<none>|<unknown>|<unknown>|<unknown>",
        ),
        (
            "",
            "services",
            json!({ "spec": { "type": "NodePort", "clusterIPs": ["10.0.0.1"],
                "ports": [{ "port": 80, "nodePort": 30080, "protocol": "TCP" }, { "port": 53, "protocol": "UDP" }] } }),
            "x|NodePort|10.0.0.1|<none>|80:30080/TCP,53/UDP|60m|<none>",
        ),
        (
            "",
            "endpoints",
            json!({ "subsets": [{ "addresses": [{ "ip": "1.1.1.1" }, { "ip": "::2" }],
                "ports": [{ "port": 80 }, { "port": 81 }] }] }),
            "x|1.1.1.1:80,[::2]:80,1.1.1.1:81 + 1 more...|60m",
        ),
        (
            "networking.k8s.io",
            "ingresses",
            json!({ "spec": { "rules": [{ "host": "a" }, {}, { "host": "b" }], "tls": [{}] } }),
            "x|<none>|a,b||80, 443|60m",
        ),
        (
            "",
            "persistentvolumeclaims",
            json!({ "spec": { "volumeName": "v", "storageClassName": "fast", "volumeMode": "Block" },
                "status": { "phase": "Bound", "capacity": { "storage": "1Gi" },
                    "accessModes": ["ReadWriteMany", "ReadWriteOnce"] } }),
            "x|Bound|v|1Gi|RWO,RWX|fast|<unset>|60m|Block",
        ),
        (
            "",
            "resourcequotas",
            json!({ "status": { "hard": { "pods": "10", "limits.cpu": "4", "cpu": "2" }, "used": { "pods": "1" } } }),
            "x|cpu: 0/2, pods: 1/10|limits.cpu: 0/4|60m",
        ),
        (
            "rbac.authorization.k8s.io",
            "rolebindings",
            json!({ "roleRef": { "kind": "Role", "name": "r" }, "subjects": [
                { "kind": "User", "name": "u" }, { "kind": "ServiceAccount", "namespace": "n", "name": "s" }] }),
            "x|Role/r|60m|u||n/s",
        ),
        (
            "storage.k8s.io",
            "csidrivers",
            json!({ "spec": { "attachRequired": false, "volumeLifecycleModes": ["Persistent", "Ephemeral"] } }),
            "x|false|false|false|<unset>|false|Persistent,Ephemeral|60m",
        ),
        ("apps", "controllerrevisions", json!({ "revision": 3 }), "x|<none>|3|60m"),
        ("rbac.authorization.k8s.io", "roles", json!({}), "x|2024-05-01T11:00:00Z"),
        ("", "limitranges", json!({}), "x|2024-05-01T11:00:00Z"),
    ];
    for (group, plural, mut object, expected) in cases {
        object["metadata"] = meta.clone();
        assert_eq!(row(group, plural, object), expected, "{plural}");
    }
}

#[test]
fn events_of_both_groups_print_alike() {
    let core = json!({
        "metadata": { "name": "e" }, "involvedObject": { "kind": "Pod", "name": "p" }, "reason": "R", "message": " m\n",
        "type": "Normal", "source": { "component": "c" },
        "firstTimestamp": "2024-05-01T11:59:00Z", "lastTimestamp": "2024-05-01T11:59:30Z", "count": 2,
    });
    let new = json!({
        "metadata": { "name": "e" }, "regarding": { "kind": "Pod", "name": "p" }, "reason": "R", "note": "m",
        "type": "Normal", "reportingController": "c", "eventTime": "2024-05-01T11:59:00.000000Z",
        "series": { "count": 2, "lastObservedTime": "2024-05-01T11:59:30.000000Z" },
    });
    let expected = "30s|Normal|R|pod/p||c|m|60s|2|e";
    assert_eq!(row("", "events", core), expected);
    assert_eq!(row("events.k8s.io", "events", new), expected);
}

#[test]
fn a_row_carries_as_much_of_its_object_as_was_asked_for() {
    let pod = json!({ "metadata": { "name": "p" }, "status": { "phase": "Failed" } });
    let of = |include, version, columns| {
        let options = TableOptions { include, version, columns, now: now() };
        table(resource("", "pods"), std::slice::from_ref(&pod), &json!({ "resourceVersion": "5" }), &options)
    };
    let none = of(IncludeObject::None, "v1", false);
    assert!(none["columnDefinitions"].is_null());
    assert!(none["rows"][0].as_object().unwrap().contains_key("object"));
    assert!(none["rows"][0]["object"].is_null());
    assert_eq!(none["rows"][0]["conditions"][0]["reason"], "Failed");
    assert_eq!(none["metadata"], json!({ "resourceVersion": "5" }));
    let metadata = of(IncludeObject::Metadata, "v1beta1", true);
    assert_eq!(metadata["apiVersion"], "meta.k8s.io/v1beta1");
    assert_eq!(
        metadata["rows"][0]["object"],
        json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1beta1", "metadata": { "name": "p" } })
    );
    let object = of(IncludeObject::Object, "v1", true);
    assert_eq!(object["rows"][0]["object"]["kind"], "Pod");
    assert_eq!(object["rows"][0]["object"]["apiVersion"], "v1");
}

#[test]
fn a_scale_has_columns_of_its_own() {
    let scale =
        json!({ "kind": "Scale", "metadata": { "name": "d" }, "spec": { "replicas": 3 }, "status": { "replicas": 1 } });
    assert_eq!(row("apps", "deployments", scale), "d|3|1|<unknown>");
}
