use super::super::fixtures::{now, object};
use super::*;

fn template(image: &str) -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": image }] } })
}

/// A deployment of `replicas` pods that runs `image`, with what `more` says otherwise.
fn deployment(replicas: i64, image: &str, more: &Value) -> Arc<Entry> {
    let mut value = json!({
        "metadata": { "namespace": "n", "name": "web", "uid": "d", "generation": 3, "resourceVersion": "9",
            "annotations": { REVISION: "1" } },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "web" } }, "template": template(image),
            "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } },
            "progressDeadlineSeconds": 600, "revisionHistoryLimit": 1,
        },
        "status": {},
    });
    for (name, part) in more.as_object().unwrap() {
        for (member, inner) in part.as_object().unwrap() {
            value[name][member] = inner.clone();
        }
    }
    object(value)
}

/// A replica set `name` of `image`: size, available pods, revision, the deployment's size it was made for.
fn set(name: &str, image: &str, wanted: i64, available: i64, revision: i64, made_for: i64) -> Arc<Entry> {
    let max = made_for + (made_for + 3) / 4;
    let mut template = template(image);
    template["metadata"]["labels"][TEMPLATE_HASH] = json!(name);
    object(json!({
        "metadata": {
            "namespace": "n", "name": name, "uid": name, "generation": 1, "resourceVersion": "5",
            "creationTimestamp": now(revision * 10).to_string(),
            "annotations": {
                REVISION: revision.to_string(), DESIRED_REPLICAS: made_for.to_string(), MAX_REPLICAS: max.to_string(),
            },
        },
        "spec": { "replicas": wanted, "template": template },
        "status": { "replicas": wanted, "readyReplicas": available, "availableReplicas": available, "observedGeneration": 1 },
    }))
}

/// What a step does, in short lines.
fn steps(deployment: &Arc<Entry>, sets: &[Arc<Entry>], old_pods: bool) -> Vec<String> {
    reconcile(deployment, sets, |_| old_pods, now(1000))
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Create { object, .. } => Some(format!("create {}", object["spec"]["replicas"])),
            Action::Patch { place, status: false, patch } => match &patch["spec"]["replicas"] {
                Value::Null => None,
                size => Some(format!("{} {size}", place.name)),
            },
            Action::Delete { place, .. } => Some(format!("delete {}", place.name)),
            _ => None,
        })
        .collect()
}

fn status_of(outcome: &Outcome) -> Value {
    let patch = outcome.actions.iter().find_map(|a| match a {
        Action::Patch { status: true, patch, .. } => Some(patch["status"].clone()),
        _ => None,
    });
    patch.unwrap_or(Value::Null)
}

#[test]
fn a_new_deployment_gets_its_replica_set() {
    let outcome = reconcile(&deployment(3, "a", &json!({})), &[], |_| false, now(1000));
    let Action::Create { object, .. } = &outcome.actions[0] else { panic!("{outcome:?}") };
    let hash = object["metadata"]["labels"][TEMPLATE_HASH].as_str().unwrap();
    assert_eq!(object["metadata"]["name"], format!("web-{hash}"));
    assert_eq!(object["spec"]["selector"]["matchLabels"], json!({ "app": "web", TEMPLATE_HASH: hash }));
    assert_eq!(object["spec"]["template"]["metadata"]["labels"][TEMPLATE_HASH], hash);
    assert_eq!(object["metadata"]["annotations"][MAX_REPLICAS], "4");
    assert_eq!(object["spec"]["replicas"], 3);
    let status = status_of(&outcome);
    assert_eq!(status["observedGeneration"], 3);
    assert_eq!(status["conditions"][1]["reason"], "NewReplicaSetCreated");
}

#[test]
fn a_rolling_update_goes_step_by_step_within_its_bounds() {
    let d = deployment(4, "b", &json!({}));
    let old = |wanted, available| set("old", "a", wanted, available, 1, 4);
    // One more than four may exist, one may be missing.
    assert_eq!(steps(&d, &[old(4, 4)], false), ["create 1"]);
    assert_eq!(steps(&d, &[old(4, 4), set("new", "b", 1, 0, 2, 4)], false), ["old 3"]);
    assert_eq!(steps(&d, &[old(3, 3), set("new", "b", 1, 0, 2, 4)], false), ["new 2"]);
    assert_eq!(steps(&d, &[old(3, 3), set("new", "b", 2, 0, 2, 4)], false), Vec::<String>::new());
    assert_eq!(steps(&d, &[old(3, 3), set("new", "b", 2, 2, 2, 4)], false), ["old 1"]);
    assert_eq!(steps(&d, &[old(1, 1), set("new", "b", 4, 4, 2, 4)], false), ["old 0"]);
    // Pods of the old template that do not work go first and do not hold up the rollout.
    assert_eq!(steps(&d, &[old(4, 0), set("new", "b", 1, 0, 2, 4)], false), ["old 3"]);
}

#[test]
fn recreate_waits_for_the_old_pods() {
    let d = deployment(2, "b", &json!({ "spec": { "strategy": { "type": "Recreate" } } }));
    assert_eq!(steps(&d, &[set("old", "a", 2, 2, 1, 2)], true), ["old 0"]);
    assert_eq!(steps(&d, &[set("old", "a", 0, 0, 1, 2)], true), Vec::<String>::new());
    assert_eq!(steps(&d, &[set("old", "a", 0, 0, 1, 2)], false), ["create 2"]);
}

#[test]
fn scaling_changes_one_replica_set_or_all_in_proportion() {
    assert_eq!(steps(&deployment(7, "a", &json!({})), &[set("only", "a", 4, 4, 1, 4)], false), ["only 7"]);
    // In the middle of a rollout from 10: 8 + 5 = 13, and 20 may have 25.
    let sets = [set("old", "a", 8, 8, 1, 10), set("new", "b", 5, 3, 2, 10)];
    assert_eq!(steps(&deployment(20, "b", &json!({})), &sets, false), ["old 15", "new 10"]);
    assert_eq!(steps(&deployment(0, "b", &json!({})), &sets, false), ["old 0", "new 0"]);
    // While paused, scaling works and nothing else.
    let paused = deployment(6, "b", &json!({ "spec": { "paused": true } }));
    assert_eq!(steps(&paused, &[set("old", "a", 4, 4, 1, 4)], false), ["old 6"]);
}

#[test]
fn going_back_gives_the_old_replica_set_a_new_revision() {
    let d = deployment(1, "a", &json!({}));
    let outcome = reconcile(&d, &[set("one", "a", 0, 0, 1, 1), set("two", "b", 1, 1, 2, 1)], |_| false, now(1000));
    let Action::Patch { place, patch, .. } = &outcome.actions[0] else { panic!("{outcome:?}") };
    assert_eq!(&*place.name, "one");
    assert_eq!(patch["metadata"]["annotations"], json!({ REVISION: "3", REVISION_HISTORY: "1" }));
    let Action::Patch { place, patch, .. } = &outcome.actions[1] else { panic!("{outcome:?}") };
    assert_eq!(&*place.name, "web");
    assert_eq!(patch["metadata"]["annotations"][REVISION], "3");
}

#[test]
fn a_finished_rollout_is_complete_and_cleans_up() {
    let status = json!({ "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2,
        "observedGeneration": 3 });
    let d = deployment(2, "c", &json!({ "status": status, "metadata": { "annotations": { REVISION: "3" } } }));
    let sets = [set("one", "a", 0, 0, 1, 2), set("two", "b", 0, 0, 2, 2), set("three", "c", 2, 2, 3, 2)];
    assert_eq!(steps(&d, &sets, false), ["delete one"]);
    let outcome = reconcile(&d, &sets, |_| false, now(1000));
    let list = status_of(&outcome)["conditions"].clone();
    assert_eq!(list[0]["reason"], "MinimumReplicasAvailable");
    assert_eq!(list[1]["reason"], "NewReplicaSetAvailable");
    assert_eq!(list[1]["message"], "ReplicaSet \"three\" has successfully progressed.");
    assert_eq!(outcome.again_at, None);
}

#[test]
fn a_rollout_that_stands_still_fails_at_its_deadline() {
    let since = |seconds: i64| {
        json!({ "status": {
            "replicas": 1, "updatedReplicas": 1, "observedGeneration": 3,
            "conditions": [{ "type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated",
                "lastUpdateTime": now(seconds).to_string(), "lastTransitionTime": now(seconds).to_string() }] } })
    };
    let sets = [set("only", "a", 1, 0, 1, 1)];
    let waiting = reconcile(&deployment(1, "a", &since(500)), &sets, |_| false, now(1000));
    assert_eq!(waiting.again_at, Some(now(1101)));
    let failed = reconcile(&deployment(1, "a", &since(300)), &sets, |_| false, now(1000));
    let list = status_of(&failed)["conditions"].clone();
    let progressing = list.as_array().unwrap().iter().find(|c| c["type"] == "Progressing").unwrap();
    assert_eq!(progressing["reason"], "ProgressDeadlineExceeded");
    assert_eq!(progressing["status"], "False");
}
