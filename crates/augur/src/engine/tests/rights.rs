//! The roles that are shipped, under an authorizer that denies everything else: they give what is used, and nothing more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use augur_api::{Binding, PodQuery, PodSource, Reviewer, SchedulerBackend, Verdict};
use augur_apiserver::access::{About, Attributes, Rule};
use augur_apiserver::controllers::{self, ControllerOptions, PROVISIONER};
use augur_apiserver::{AuthorizationMode, DeleteOptions, PatchKind, User};
use augur_kube::{Leadership, Right};
use serde_json::{Value, json};

use super::super::{Engine, Mode};
use super::cluster::{Cluster, until};
use crate::learner::{LearnerPlace, Swaps};
use crate::services::Backend;
use crate::token_review::TokenReviewer;

const CHART: &str = include_str!("../../../../../deploy/helm/augur/templates/rbac.yaml");
const BASE: &str = include_str!("../../../../../deploy/kustomize/base/augur.yaml");
const RBAC: &str = "rbac.authorization.k8s.io";

fn documents(yaml: &str) -> Vec<Value> {
    let documents = yaml.split("\n---\n").filter(|document| document.lines().any(|line| !line.starts_with('#')));
    documents.map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// The chart's objects of access control for a mode, as Helm would write them. What Helm itself writes,
/// `scripts/check_deploy.sh` compares with the base.
fn chart(mode: &str, token_review: bool) -> Vec<Value> {
    let mut shown = vec![true];
    let mut yaml = String::new();
    for line in CHART.lines() {
        let action = line.trim().strip_prefix("{{- ").and_then(|rest| rest.strip_suffix(" }}"));
        match action.map(|action| action.split(' ').collect::<Vec<_>>()).as_deref() {
            Some(["end"]) => drop(shown.pop()),
            Some(["if", "eq", ".Values.mode", wanted]) => shown.push(wanted.trim_matches('"') == mode),
            Some(["if", "ne", ".Values.mode", other]) => shown.push(other.trim_matches('"') != mode),
            Some(["if", ".Values.auth.tokenReview"]) => shown.push(token_review),
            Some(["if", ".Values.serviceAccount.create" | ".Values.rbac.create"]) => shown.push(true),
            Some(["with", ".Values.serviceAccount.annotations"]) => shown.push(false),
            Some(other) => panic!("the chart's template has an action that is new here: {other:?}"),
            None if shown.iter().all(|shown| *shown) && !line.contains("augur.labels") => {
                let line = line
                    .replace(r#"{{ include "augur.fullname" . }}"#, "augur")
                    .replace(r#"{{ include "augur.serviceAccountName" . }}"#, "augur")
                    .replace("{{ .Release.Namespace }}", "augur")
                    .replace("{{ .Values.leaderElection.resourceName }}", "augur");
                assert!(!line.contains("{{"), "the chart's template has a value that is new here: {line}");
                yaml.push_str(&line);
                yaml.push('\n');
            }
            None => {}
        }
    }
    documents(&yaml)
}

fn plural(object: &Value) -> String {
    match object["kind"].as_str().unwrap() {
        "ServiceAccount" => "serviceaccounts".to_owned(),
        kind => format!("{}s.{RBAC}", kind.to_lowercase()),
    }
}

fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// A right as a rule of its own, with the namespace of its role.
type Single = (String, String, String, String, Option<String>);

/// The rights of a role, one by one.
fn singles(role: &Value) -> BTreeSet<Single> {
    let rules: Vec<Rule> = serde_json::from_value(role["rules"].clone()).unwrap();
    let mut singles = BTreeSet::new();
    for rule in &rules {
        assert!(rule.non_resource_urls.is_empty(), "no path of the API server is asked for");
        let names: Vec<Option<&String>> = match rule.resource_names.as_slice() {
            [] => vec![None],
            names => names.iter().map(Some).collect(),
        };
        for verb in &rule.verbs {
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    for name in &names {
                        let place = namespace(role).to_owned();
                        singles.insert((place, verb.clone(), group.clone(), resource.clone(), name.cloned()));
                    }
                }
            }
        }
    }
    singles
}

fn rule_of((_, verb, group, resource, name): &Single) -> Rule {
    Rule {
        verbs: vec![verb.clone()],
        api_groups: vec![group.clone()],
        resources: vec![resource.clone()],
        resource_names: name.iter().cloned().collect(),
        ..Rule::default()
    }
}

fn attributes(single: &Single) -> Attributes {
    let (namespace, verb, group, resource, name) = single;
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    Attributes {
        verb: verb.clone(),
        about: About::Resource {
            group: group.clone(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: namespace.clone(),
            name: name.clone().unwrap_or_default(),
        },
    }
}

/// A cluster in which engines have the roles of the chart and no other, but for those that `left_out` says.
fn cluster(mode: &str, left_out: impl Fn(&Single) -> bool) -> (Cluster, Vec<Value>) {
    let cluster = Cluster::with(AuthorizationMode::Rbac);
    cluster.local.create("namespaces", "", json!({ "metadata": { "name": "augur" } })).unwrap();
    let objects = chart(mode, true);
    for object in &objects {
        let mut object = object.clone();
        if object["rules"].is_array() {
            let kept: Vec<Rule> = singles(&object).iter().filter(|single| !left_out(single)).map(rule_of).collect();
            object["rules"] = json!(kept);
        }
        cluster.local.create(&plural(&object), namespace(&object).to_owned().as_str(), object).unwrap();
    }
    let request = json!({ "spec": { "expirationSeconds": 3600 } });
    let answer = cluster.local.create_subresource("serviceaccounts", "augur", "augur", "token", request).unwrap();
    *cluster.token.lock().unwrap() = Some(answer["status"]["token"].as_str().unwrap().to_owned());
    (cluster, objects)
}

fn account() -> User {
    User::of_service_account("augur", "augur")
}

/// What was used, in the form of [`singles`]: names only where a role speaks of one.
fn used(cluster: &Cluster, role: &Value) -> BTreeSet<Single> {
    let asked = cluster.asked.lock().unwrap();
    let mut used = BTreeSet::new();
    for Attributes { verb, about } in &*asked {
        let About::Resource { group, resource, subresource, namespace: place, name } = about else {
            panic!("{verb} {about:?} is none of a resource");
        };
        let part = if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") };
        let of_leases = resource == "leases";
        let of_role = namespace(role) == "augur";
        if of_leases != of_role {
            continue;
        }
        let place = if of_role { place.clone() } else { String::new() };
        let named = (of_leases && verb != "create").then(|| name.clone());
        used.insert((place, verb.clone(), group.clone(), part, named));
        // The API server asks for this one itself, about what a status is to say.
        if resource == "resourceclaims" && subresource == "status" {
            let binding = "resourceclaims/binding".to_owned();
            used.insert((String::new(), verb.clone(), group.clone(), binding, None));
        }
    }
    used
}

fn roles(objects: &[Value]) -> Vec<&Value> {
    objects.iter().filter(|object| object["rules"].is_array()).collect()
}

/// That no right was missing, and none was given that was not used.
fn exactly(cluster: &Cluster, objects: &[Value]) {
    assert_eq!(cluster.denials.counts(), [], "a right is missing in the shipped roles");
    for role in roles(objects) {
        let (shipped, used) = (singles(role), used(cluster, role));
        let name = &role["metadata"]["name"];
        let idle: Vec<_> = shipped.difference(&used).collect();
        assert!(idle.is_empty(), "{name} gives what is not used: {idle:?}");
        let missing: Vec<_> = used.difference(&shipped).collect();
        assert!(missing.is_empty(), "{name} does not give what is used: {missing:?}");
    }
}

fn backend(engine: &Engine) -> Backend {
    let thresholds = augur_api::dto::Thresholds::default();
    Backend::new(engine.handle(), thresholds, Swaps::default(), LearnerPlace::Nowhere, true, super::cluster::no_model())
}

fn of_cluster(name: &str) -> PodQuery {
    PodQuery { namespace: "default".into(), name: name.into(), source: PodSource::Cluster, record: false }
}

fn create(cluster: &Cluster, qualified: &str, namespace: &str, object: Value) {
    cluster.local.create(qualified, namespace, object).unwrap();
}

/// Storage of a class whose volumes are there, and of one whose volumes are made.
fn storage(cluster: &Cluster) {
    for (name, provisioner) in [("local", "kubernetes.io/no-provisioner"), ("made", PROVISIONER)] {
        let class = json!({ "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
            "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer" });
        create(cluster, "storageclasses.storage.k8s.io", "", class);
        let claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name }, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": name, "resources": { "requests": { "storage": "1Gi" } } } });
        create(cluster, "persistentvolumeclaims", "default", claim);
        let volumes = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": name } }]);
        cluster.pod_with(&format!("with-{name}"), "100m", &json!({ "volumes": volumes }));
    }
    let volume = json!({ "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": "disk" }, "spec": {
        "capacity": { "storage": "1Gi" }, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
        "hostPath": { "path": "/disk" } } });
    create(cluster, "persistentvolumes", "", volume);
    let available = json!({ "status": { "phase": "Available" } });
    cluster.local.patch("persistentvolumes", "", "disk", "status", PatchKind::Merge, &available).unwrap();
}

/// Devices of a class that also stands for an extended resource, and a pod with a claim to one.
fn devices(cluster: &Cluster) {
    let class = json!({ "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": { "name": "gpu" },
        "spec": { "extendedResourceName": "example.com/gpu",
            "selectors": [{ "cel": { "expression": "device.driver == \"gpu.example.com\"" } }] } });
    create(cluster, "deviceclasses.resource.k8s.io", "", class);
    let slice = json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": { "name": "n1-gpu" },
        "spec": { "driver": "gpu.example.com", "nodeName": "n1",
            "pool": { "name": "n1", "generation": 1, "resourceSliceCount": 1 },
            "devices": [{ "name": "gpu-0" }, { "name": "gpu-1" }] } });
    create(cluster, "resourceslices.resource.k8s.io", "", slice);
    let claim = json!({ "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": { "name": "one-gpu" },
        "spec": { "devices": { "requests": [
            { "name": "gpu", "exactly": { "deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1 } }] } } });
    create(cluster, "resourceclaims.resource.k8s.io", "default", claim);
    let claims = json!({ "resourceClaims": [{ "name": "gpu", "resourceClaimName": "one-gpu" }] });
    cluster.pod_with("with-device", "100m", &claims);
}

#[test]
fn the_base_has_the_roles_of_the_chart() {
    let kinds = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "ServiceAccount"];
    let of_kinds = |mut objects: Vec<Value>| {
        objects.retain(|object| kinds.contains(&object["kind"].as_str().unwrap()));
        for object in &mut objects {
            object["metadata"].as_object_mut().unwrap().remove("labels");
        }
        objects.sort_by_key(|object| object["kind"].as_str().unwrap().to_owned());
        objects
    };
    assert_eq!(of_kinds(documents(BASE)), of_kinds(chart("scheduler", false)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shipped_roles_give_what_a_scheduler_uses_and_nothing_more() {
    let (cluster, objects) = cluster("scheduler", |_| false);
    cluster.node("n1", "4");
    let hostname = json!({ "metadata": { "labels": { "kubernetes.io/hostname": "n1" } } });
    cluster.local.patch("nodes", "", "n1", "", PatchKind::Merge, &hostname).unwrap();
    let options = ControllerOptions { node_monitor_grace: None, ..ControllerOptions::default() };
    let controllers = controllers::spawn(&cluster.server, cluster.clock(), options);
    let (engine, _) = cluster.candidate("augur", "only");
    until("it leads", || engine.handle().leadership() == Leadership::Leader).await;
    let bound = |pod: &str| cluster.node_of(pod).is_some();

    // Binding, events; volumes that are there and that are made; claims to devices.
    storage(&cluster);
    devices(&cluster);
    for pod in ["with-local", "with-made", "with-device"] {
        until("a pod with a claim is bound", || bound(pod)).await;
    }
    until("the event is there", || !cluster.events("with-local").is_empty()).await;

    // A claim for an extended resource is made, and taken back when the pod is not bound after all.
    cluster.faults.forbidden.store(1, Ordering::SeqCst);
    let limits = json!({ "containers": [{ "name": "c", "image": "c", "resources": {
        "requests": { "cpu": "100m", "example.com/gpu": "1" }, "limits": { "example.com/gpu": "1" } } }] });
    cluster.pod_with("with-extended", "100m", &limits);
    until("the pod with an extended resource is bound", || bound("with-extended")).await;
    assert_eq!(cluster.bindings_of("with-extended"), 2, "the first one was refused");

    // Conditions, preemption.
    let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "high" },
        "value": 1000 });
    create(&cluster, "priorityclasses.scheduling.k8s.io", "", class);
    cluster.pod("victim", "3");
    until("the victim is bound", || bound("victim")).await;
    cluster.pod_with("urgent", "3", &json!({ "priorityClassName": "high" }));
    until("the victim ends", || cluster.get("victim")["metadata"]["deletionTimestamp"].is_string()).await;
    until("the condition is set", || cluster.scheduled("urgent")["status"] == "False").await;
    let at_once = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    cluster.local.delete("pods", "default", "victim", &at_once).unwrap();
    until("the urgent pod is bound", || bound("urgent")).await;

    // A node is read again after a kubelet's refusal, and a pod that has ended when somebody asks for it.
    let refused = json!({ "status": { "phase": "Failed", "reason": "OutOfcpu" } });
    cluster.local.patch("pods", "default", "urgent", "status", PatchKind::Merge, &refused).unwrap();
    let asked = |verb: &str, of: &str| {
        cluster.asked.lock().unwrap().iter().any(|asked| {
            asked.verb == verb && matches!(&asked.about, About::Resource { resource, .. } if resource == of)
        })
    };
    until("the node is read again", || asked("get", "nodes")).await;
    assert!(backend(&engine).predict(of_cluster("urgent")).await.is_ok());

    // Usage, and users of the cluster who may change state.
    until("usage was asked for", || {
        let asked = cluster.asked.lock().unwrap();
        let of = |plural: &str| {
            asked.iter().any(|asked| {
                matches!(&asked.about, About::Resource { group, resource, .. }
                if group == "metrics.k8s.io" && resource == plural)
            })
        };
        of("nodes") && of("pods")
    })
    .await;
    let reviewer = TokenReviewer::new(cluster.client(Arc::default()), Duration::from_secs(30));
    let token = cluster.token.lock().unwrap().clone().unwrap();
    let user = account().name;
    assert_eq!(reviewer.review(&token, "/feedback").await, Ok(Verdict::Forbidden(user)));

    // Watches begin with lists, and go on.
    until("all kinds are watched", || {
        ["nodes", "pods", "events", "namespaces", "deviceclasses", "volumeattachments", "poddisruptionbudgets"]
            .iter()
            .all(|kind| asked("watch", kind))
    })
    .await;
    engine.shutdown().await;
    controllers.stop().await;
    exactly(&cluster, &objects);

    // Without any one of the rights, something that was asked for is denied.
    let everything = cluster.asked.lock().unwrap().clone();
    let mut tried = 0;
    for role in roles(&objects) {
        let all = singles(role);
        for left_out in &all {
            let mut without = role.clone();
            without["rules"] = all.iter().filter(|single| *single != left_out).map(|s| json!(rule_of(s))).collect();
            cluster.local.update(&plural(role), namespace(role), without).unwrap();
            // What no request asks for by its path, the API server asks for itself.
            let denied = everything.iter().find(|asked| !cluster.server.authorize(&account(), asked).allowed);
            let own = !cluster.server.authorize(&account(), &attributes(left_out)).allowed;
            assert!(denied.is_some() || own && left_out.3 == "resourceclaims/binding", "{left_out:?} is not needed");
            tried += 1;
        }
        cluster.local.update(&plural(role), namespace(role), role.clone()).unwrap();
    }
    assert!(tried > 40, "{tried} rights");
    assert!(everything.iter().all(|asked| cluster.server.authorize(&account(), asked).allowed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shadow_and_extender_have_what_they_use_and_nothing_more() {
    for (mode, role) in [(Mode::Shadow, "shadow"), (Mode::Extender, "extender")] {
        let (cluster, objects) = cluster(role, |_| false);
        cluster.node("n1", "4");
        let engine = cluster.follower(mode);
        let handle = engine.handle();
        until("the node is known", || handle.status().nodes == 1 && handle.status().ready).await;
        cluster.pod_with("other", "1", &json!({ "schedulerName": "other" }));
        let backend = backend(&engine);
        if mode == Mode::Extender {
            let uid = cluster.get("other")["metadata"]["uid"].as_str().unwrap().to_owned();
            let binding = Binding { namespace: "default".into(), name: "other".into(), uid, node: "n1".into() };
            backend.bind(binding).await.unwrap();
        } else {
            let by_hand = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "other" },
                "target": { "kind": "Node", "name": "n1" } });
            cluster.local.create_subresource("pods", "default", "other", "binding", by_hand).unwrap();
        }
        until("the pod is known on its node", || handle.status().placed_pods == 1).await;
        let refused = json!({ "status": { "phase": "Failed", "reason": "OutOfcpu" } });
        cluster.local.patch("pods", "default", "other", "status", PatchKind::Merge, &refused).unwrap();
        let asked = |verb: &str, of: &str, in_group: &str| {
            cluster.asked.lock().unwrap().iter().any(|asked| {
                asked.verb == verb
                    && matches!(&asked.about, About::Resource { resource, group, .. } if resource == of && group == in_group)
            })
        };
        until("usage was asked for", || asked("list", "pods", "metrics.k8s.io")).await;
        until("the pod has ended", || handle.status().placed_pods == 0).await;
        assert!(backend.predict(of_cluster("other")).await.is_ok());
        let reviewer = TokenReviewer::new(cluster.client(Arc::default()), Duration::from_secs(30));
        let token = cluster.token.lock().unwrap().clone().unwrap();
        assert!(reviewer.review(&token, "/extender/bind").await.is_ok());
        until("all kinds are watched", || {
            [("events", ""), ("deviceclasses", "resource.k8s.io"), ("volumeattachments", "storage.k8s.io")]
                .iter()
                .all(|(kind, group)| asked("watch", kind, group))
        })
        .await;
        engine.shutdown().await;
        exactly(&cluster, &objects);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_without_a_right_fails_visibly_and_names_it() {
    let right = |verb: &str, group: &str, resource: &str| Right {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
    };
    for missing in [
        right("create", "", "pods/binding"),
        right("list", "", "nodes"),
        right("watch", "", "pods"),
        right("patch", "", "pods/status"),
        right("create", "events.k8s.io", "events"),
        right("update", "coordination.k8s.io", "leases"),
        right("patch", "resource.k8s.io", "resourceclaims/binding"),
        right("patch", "", "persistentvolumes"),
    ] {
        let (cluster, _) = cluster("scheduler", |(_, verb, group, resource, _)| {
            (verb, group, resource) == (&missing.verb, &missing.group, &missing.resource)
        });
        cluster.node("n1", "4");
        cluster.pod("plain", "1");
        cluster.pod("too-large", "16");
        storage(&cluster);
        devices(&cluster);
        let (engine, _) = cluster.candidate("augur", "only");
        until(&format!("it is told that the right to {missing} is missing"), || {
            cluster.denials.counts().iter().any(|(denied, count)| *denied == missing && *count > 0)
        })
        .await;
        let bound = |pod: &str| cluster.node_of(pod).is_some();
        match (missing.verb.as_str(), missing.resource.as_str()) {
            ("create", "pods/binding") => assert!(!bound("plain")),
            ("list", "nodes") => assert!(!engine.handle().status().ready && !bound("plain")),
            ("patch", "resourceclaims/binding") => {
                until("others are bound", || bound("plain")).await;
                assert!(!bound("with-device"));
            }
            ("patch", "persistentvolumes") => {
                until("others are bound", || bound("plain")).await;
                assert!(!bound("with-local"));
            }
            // Only what is told is lost.
            ("create", "events") | ("patch", "pods/status") => until("the pod is bound", || bound("plain")).await,
            _ => {}
        }
        let health = backend(&engine).health().kubernetes.message;
        assert!(health.contains(&format!("denied by the API server: {missing}")), "{health}");
        engine.shutdown().await;
    }
}
