use super::super::fixtures::{now, object};
use super::super::view::Depth;
use super::*;

fn job(spec: &Value, status: &Value) -> Arc<Entry> {
    let mut value = json!({
        "metadata": { "namespace": "n", "name": "j", "uid": "j", "resourceVersion": "1" },
        "spec": { "parallelism": 2, "completions": 3, "backoffLimit": 2,
            "template": { "metadata": { "labels": { "job-name": "j" } }, "spec": { "containers": [{ "name": "c" }] } } },
        "status": { "startTime": now(0).to_string() },
    });
    for (part, more) in [("spec", spec), ("status", status)] {
        for (name, member) in more.as_object().unwrap() {
            value[part][name] = member.clone();
        }
    }
    object(value)
}

/// A tracked pod: name, phase, when it ended.
fn pod(name: &str, phase: &str, ended: i64) -> Arc<Entry> {
    Arc::new(
        Entry::of(
            json!({
                "metadata": { "namespace": "n", "name": name, "uid": name, "finalizers": [TRACKING],
                    "annotations": { COMPLETION_INDEX: name.trim_start_matches('p') } },
                "status": { "phase": phase, "containerStatuses": [
                    { "state": { "terminated": { "finishedAt": now(ended).to_string() } } }] },
            }),
            Depth::Pod,
        )
        .unwrap(),
    )
}

fn status(outcome: &Outcome) -> Value {
    let patch = outcome.actions.iter().find_map(|a| match a {
        Action::Patch { status: true, patch, .. } => Some(patch["status"].clone()),
        _ => None,
    });
    patch.unwrap_or(Value::Null)
}

fn created(outcome: &Outcome) -> usize {
    outcome.actions.iter().filter(|a| matches!(a, Action::Create { .. })).count()
}

#[test]
fn a_job_runs_as_many_pods_as_it_may() {
    let outcome = reconcile(&job(&json!({}), &json!({})), &[], now(10));
    assert_eq!(created(&outcome), 2);
    let Some(Action::Create { object, .. }) = outcome.actions.last() else { panic!() };
    assert_eq!(object["metadata"]["finalizers"], json!([TRACKING]));
    assert_eq!(status(&outcome)["active"], 2);
    let one_left = job(&json!({}), &json!({ "succeeded": 2 }));
    assert_eq!(created(&reconcile(&one_left, &[], now(10))), 1);
}

#[test]
fn an_end_is_noted_then_let_go_of_then_counted() {
    let done = [pod("p0", "Succeeded", 5)];
    let first = reconcile(&job(&json!({ "completions": 1 }), &json!({})), &done, now(10));
    assert_eq!(status(&first)["uncountedTerminatedPods"]["succeeded"], json!(["p0"]));
    assert_eq!(status(&first)["conditions"][0]["type"], "SuccessCriteriaMet");
    assert!(first.actions.iter().any(|a| matches!(a, Action::Patch { status: false, patch, .. }
        if patch["metadata"]["finalizers"].is_null())));

    let noted = json!({
        "uncountedTerminatedPods": { "succeeded": ["p0"] },
        "conditions": [{ "type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached", "message": "m" }],
    });
    let second = reconcile(&job(&json!({ "completions": 1 }), &noted), &[], now(11));
    let status = status(&second);
    assert_eq!(status["succeeded"], 1);
    assert_eq!(status["uncountedTerminatedPods"]["succeeded"], Value::Null);
    assert_eq!(status["conditions"][1]["type"], "Complete");
    assert_eq!(status["completionTime"], now(11).to_string());
    assert!(second.actions.iter().any(|a| matches!(a, Action::Event(note) if note.reason == "Completed")));
}

#[test]
fn a_failed_pod_is_replaced_after_a_while_and_too_many_end_the_job() {
    let one = [pod("p0", "Failed", 5)];
    let early = reconcile(&job(&json!({}), &json!({})), &one, now(10));
    assert_eq!((created(&early), early.again_at), (0, Some(now(15))));
    assert_eq!(created(&reconcile(&job(&json!({}), &json!({})), &one, now(15))), 2);
    let three = [pod("p0", "Failed", 5), pod("p1", "Failed", 6), pod("p2", "Failed", 7), pod("p3", "Running", 0)];
    let end = reconcile(&job(&json!({}), &json!({})), &three, now(10));
    assert_eq!(status(&end)["conditions"][0]["type"], "FailureTarget");
    assert_eq!(status(&end)["conditions"][0]["reason"], "BackoffLimitExceeded");
    assert!(end.actions.iter().any(|a| matches!(a, Action::Delete { place, .. } if &*place.name == "p3")));
}

#[test]
fn deadline_suspension_and_time_to_live() {
    let spec = json!({ "activeDeadlineSeconds": 20 });
    assert_eq!(reconcile(&job(&spec, &json!({})), &[], now(10)).again_at, Some(now(20)));
    let late = reconcile(&job(&spec, &json!({})), &[], now(20));
    assert_eq!(status(&late)["conditions"][0]["reason"], "DeadlineExceeded");

    let suspended = reconcile(&job(&json!({ "suspend": true }), &json!({})), &[pod("p0", "Running", 0)], now(10));
    assert_eq!(status(&suspended)["conditions"][0]["type"], "Suspended");
    assert!(suspended.actions.iter().any(|a| matches!(a, Action::Delete { .. })));

    let ended =
        json!({ "conditions": [{ "type": "Complete", "status": "True", "lastTransitionTime": now(50).to_string() }] });
    let spec = json!({ "ttlSecondsAfterFinished": 30 });
    assert_eq!(reconcile(&job(&spec, &ended), &[], now(60)).again_at, Some(now(80)));
    assert!(matches!(reconcile(&job(&spec, &ended), &[], now(80)).actions[0], Action::Delete { .. }));
}

#[test]
fn an_indexed_job_runs_each_index_once() {
    let spec = json!({ "completionMode": "Indexed", "completions": 5, "parallelism": 3 });
    let outcome = reconcile(
        &job(&spec, &json!({ "completedIndexes": "0" })),
        &[pod("p2", "Succeeded", 5), pod("p1", "Running", 0)],
        now(60),
    );
    let indexes: Vec<&Value> = outcome
        .actions
        .iter()
        .filter_map(|a| match a {
            Action::Create { object, .. } => Some(&object["metadata"]["annotations"][COMPLETION_INDEX]),
            _ => None,
        })
        .collect();
    assert_eq!(indexes, ["3", "4"]);
    assert_eq!(status(&outcome)["completedIndexes"], "0,2");
    assert_eq!(status(&outcome)["succeeded"], 2);
}

#[test]
fn indexes_are_written_as_ranges() {
    for text in ["", "0", "0,1", "0,2-4", "1-3,7"] {
        assert_eq!(write_indexes(&parse_indexes(text)), text);
    }
}
