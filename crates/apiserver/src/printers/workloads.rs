//! Rows of what runs pods: deployments, replica sets, jobs and their kin, and the budgets over them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::{human_duration, since, time};
use super::cells::{
    age_of, condition, containers, int_or_string, items, labels, len, name, number, selector, selector_text, text,
};

/// Cells of a PodTemplate.
pub(super) fn pod_template(object: &Value, _now: Timestamp) -> Vec<Value> {
    let template = &object["template"];
    let [names, images] = containers(&template["spec"]);
    vec![name(object), names, images, json!(labels(&template["metadata"]["labels"]))]
}

/// Cells of a ReplicationController.
pub(super) fn replication_controller(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, labels(&object["spec"]["selector"]), now)
}

/// Cells of a ReplicaSet.
pub(super) fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    replicas(object, selector(&object["spec"]["selector"]), now)
}

fn replicas(object: &Value, selector: String, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    vec![
        name(object),
        json!(number(&spec["replicas"])),
        json!(number(&status["replicas"])),
        json!(number(&status["readyReplicas"])),
        age_of(object, now),
        names,
        images,
        Value::String(selector),
    ]
}

/// Cells of a Deployment.
pub(super) fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    vec![
        name(object),
        json!(format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]))),
        json!(number(&status["updatedReplicas"])),
        json!(number(&status["availableReplicas"])),
        age_of(object, now),
        names,
        images,
        json!(selector_text(&spec["selector"])),
    ]
}

/// Cells of a StatefulSet.
pub(super) fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    let ready = format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"]));
    vec![name(object), json!(ready), age_of(object, now), names, images]
}

/// Cells of a DaemonSet.
pub(super) fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = containers(&spec["template"]["spec"]);
    vec![
        name(object),
        json!(number(&status["desiredNumberScheduled"])),
        json!(number(&status["currentNumberScheduled"])),
        json!(number(&status["numberReady"])),
        json!(number(&status["updatedNumberScheduled"])),
        json!(number(&status["numberAvailable"])),
        json!(labels(&spec["template"]["spec"]["nodeSelector"])),
        age_of(object, now),
        names,
        images,
        json!(selector(&spec["selector"])),
    ]
}

/// Cells of a Job.
pub(super) fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let succeeded = number(&status["succeeded"]);
    let completions = match (spec["completions"].as_i64(), number(&spec["parallelism"])) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let duration = time(&status["startTime"]).map_or_else(String::new, |start| {
        human_duration(time(&status["completionTime"]).unwrap_or(now).duration_since(start))
    });
    let has = |kind| condition(&status["conditions"], kind) == Some("True");
    let word = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if !object["metadata"]["deletionTimestamp"].is_null() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let [names, images] = containers(&spec["template"]["spec"]);
    vec![
        name(object),
        json!(word),
        json!(completions),
        json!(duration),
        age_of(object, now),
        names,
        images,
        json!(selector(&spec["selector"])),
    ]
}

/// Cells of a CronJob.
pub(super) fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let last = match &status["lastScheduleTime"] {
        Value::Null => "<none>".to_owned(),
        time => since(time, now),
    };
    let suspend = match spec["suspend"].as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let job = &spec["jobTemplate"]["spec"];
    let [names, images] = containers(&job["template"]["spec"]);
    vec![
        name(object),
        json!(text(&spec["schedule"])),
        json!(spec["timeZone"].as_str().unwrap_or("<none>")),
        json!(suspend),
        json!(len(&status["active"])),
        json!(last),
        age_of(object, now),
        names,
        images,
        json!(selector(&job["selector"])),
    ]
}

/// Cells of a ControllerRevision.
pub(super) fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let controller =
        items(&object["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true).map_or_else(
            || "<none>".to_owned(),
            |owner| {
                let kind = text(&owner["kind"]).to_lowercase();
                let qualified = match text(&owner["apiVersion"]).split_once('/') {
                    Some((group, _)) => format!("{kind}.{group}"),
                    None => kind,
                };
                format!("{qualified}/{}", text(&owner["name"]))
            },
        );
    vec![name(object), json!(controller), json!(number(&object["revision"])), age_of(object, now)]
}

/// Cells of a Scale.
pub(super) fn scale(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(number(&object["spec"]["replicas"])),
        json!(number(&object["status"]["replicas"])),
        age_of(object, now),
    ]
}

/// Cells of a PodDisruptionBudget.
pub(super) fn pod_disruption_budget(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(object),
        json!(int_or_string(&object["spec"]["minAvailable"], "N/A")),
        json!(int_or_string(&object["spec"]["maxUnavailable"], "N/A")),
        json!(number(&object["status"]["disruptionsAllowed"])),
        age_of(object, now),
    ]
}
