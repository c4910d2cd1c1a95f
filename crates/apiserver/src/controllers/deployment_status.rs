//! The status of deployments: counts, and the conditions Available, Progressing and ReplicaFailure that `kubectl rollout
//! status` waits for. Entry point: [`finish`].

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::action::{condition, conditions, count};
use super::deployment::{DEPLOYMENT, Rollout, Set};
use super::view::{items, number, text, time, written};

/// Whether the condition Progressing is kept up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// As the deployment rolls out.
    Followed,
    /// It stays as it is: the deployment is paused, being scaled, or being deleted.
    AsItIs,
}

struct Counts {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
    wanted: i64,
    terminating: i64,
}

fn counts(rollout: &Rollout<'_>) -> Counts {
    let sum = |of: fn(&Set) -> i64| rollout.old.iter().chain(&rollout.new).map(of).sum();
    Counts {
        replicas: sum(|s| s.replicas),
        updated: rollout.new.as_ref().map_or(0, |s| s.replicas),
        ready: sum(|s| s.ready),
        available: sum(|s| s.available),
        wanted: sum(|s| s.wanted),
        terminating: sum(|s| s.terminating),
    }
}

fn complete(rollout: &Rollout<'_>, counts: &Counts) -> bool {
    [counts.updated, counts.replicas, counts.available].iter().all(|n| *n == rollout.replicas)
}

/// Whether all pods, and only they, are of the present template and available, as far as the status tells.
pub(super) fn is_complete(rollout: &Rollout<'_>) -> bool {
    let object = rollout.entry.value();
    let status = &object["status"];
    ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|n| number(&status[*n], 0) == rollout.replicas)
        && number(&status["observedGeneration"], 0) >= number(&object["metadata"]["generation"], 0)
}

/// Adds the write of the status, if it changes, and the time at which a rollout that stands still has failed.
pub(super) fn finish(rollout: &mut Rollout<'_>, progress: Progress) {
    let counts = counts(rollout);
    let old = &rollout.entry.value()["status"];
    let mut list = conditions(rollout.entry);
    let now = rollout.now;

    if counts.available >= rollout.replicas - rollout.max_unavailable() {
        let message = "Deployment has minimum availability.";
        set(&mut list, "Available", "True", "MinimumReplicasAvailable", message, now);
    } else {
        let message = "Deployment does not have minimum availability.";
        set(&mut list, "Available", "False", "MinimumReplicasUnavailable", message, now);
    }
    note_pause(rollout, &mut list);
    if progress == Progress::Followed {
        follow_progress(rollout, &counts, &mut list);
        note_replica_failure(rollout, &mut list);
    }

    let mut status = Map::new();
    count(&mut status, "observedGeneration", number(&rollout.entry.value()["metadata"]["generation"], 0));
    count(&mut status, "replicas", counts.replicas);
    count(&mut status, "updatedReplicas", counts.updated);
    count(&mut status, "readyReplicas", counts.ready);
    count(&mut status, "availableReplicas", counts.available);
    count(&mut status, "unavailableReplicas", (counts.wanted - counts.available).max(0));
    status.insert("terminatingReplicas".to_owned(), json!(counts.terminating));
    if let Some(collisions) = old.get("collisionCount") {
        status.insert("collisionCount".to_owned(), collisions.clone());
    }
    status.insert("conditions".to_owned(), Value::Array(list));
    rollout.outcome.actions.extend(DEPLOYMENT.status(rollout.entry, status));
}

fn note_pause(rollout: &Rollout<'_>, list: &mut Vec<Value>) {
    if rollout.progress_deadline().is_none() {
        return;
    }
    let reason = condition(list, "Progressing").map_or("", |c| text(&c["reason"]));
    let paused = rollout.spec["paused"] == true;
    if reason == "ProgressDeadlineExceeded" || paused == (reason == "DeploymentPaused") {
        return;
    }
    let (reason, message) = if paused {
        ("DeploymentPaused", "Deployment is paused")
    } else {
        ("DeploymentResumed", "Deployment is resumed")
    };
    set(list, "Progressing", "Unknown", reason, message, rollout.now);
}

fn follow_progress(rollout: &mut Rollout<'_>, counts: &Counts, list: &mut Vec<Value>) {
    let Some(deadline) = rollout.progress_deadline() else {
        list.retain(|c| c["type"] != "Progressing");
        return;
    };
    let now = rollout.now;
    if let Some(name) = &rollout.created {
        let message = format!("Created new replica set \"{name}\"");
        set(list, "Progressing", "True", "NewReplicaSetCreated", &message, now);
    } else if condition(list, "Progressing").is_none()
        && let Some(new) = &rollout.new
    {
        set(
            list,
            "Progressing",
            "True",
            "FoundNewReplicaSet",
            &format!("Found new replica set \"{}\"", new.name()),
            now,
        );
    }
    let current = condition(list, "Progressing").cloned().unwrap_or(Value::Null);
    let reason = text(&current["reason"]);
    if reason == "NewReplicaSetAvailable" && counts.replicas == counts.updated {
        return;
    }
    let object = rollout.entry.value();
    let old = |name: &str| number(&object["status"][name], 0);
    let what = rollout.new.as_ref().map_or_else(
        || format!("Deployment \"{}\"", rollout.entry.meta().name),
        |new| format!("ReplicaSet \"{}\"", new.name()),
    );
    let updated_at = time(&current["lastUpdateTime"]).unwrap_or(now);
    let fails_at = updated_at.checked_add(SignedDuration::from_secs(deadline)).unwrap_or(Timestamp::MAX);
    if complete(rollout, counts) {
        let message = format!("{what} has successfully progressed.");
        set(list, "Progressing", "True", "NewReplicaSetAvailable", &message, now);
        return;
    }
    let progressed = counts.updated > old("updatedReplicas")
        || counts.replicas - counts.updated < old("replicas") - old("updatedReplicas")
        || counts.ready > old("readyReplicas")
        || counts.available > old("availableReplicas");
    if progressed {
        // Progress moves the time of the last update even where nothing else of the condition changes.
        let message = format!("{what} is progressing.");
        let transition = if current["status"] == "True" { current["lastTransitionTime"].clone() } else { written(now) };
        list.retain(|c| c["type"] != "Progressing");
        list.push(json!({
            "type": "Progressing",
            "status": "True",
            "lastUpdateTime": written(now),
            "lastTransitionTime": transition,
            "reason": "ReplicaSetUpdated",
            "message": message,
        }));
        let again = now.checked_add(SignedDuration::from_secs(deadline + 1)).unwrap_or(Timestamp::MAX);
        rollout.outcome.again(again);
    } else if reason == "ProgressDeadlineExceeded" || fails_at < now {
        let message = format!("{what} has timed out progressing.");
        set(list, "Progressing", "False", "ProgressDeadlineExceeded", &message, now);
    } else {
        rollout.outcome.again(fails_at.checked_add(SignedDuration::from_secs(1)).unwrap_or(Timestamp::MAX));
    }
}

fn note_replica_failure(rollout: &Rollout<'_>, list: &mut Vec<Value>) {
    let failure = rollout
        .new
        .iter()
        .chain(&rollout.old)
        .find_map(|s| condition(items(&s.entry.value()["status"]["conditions"]), "ReplicaFailure"));
    match failure {
        None => list.retain(|c| c["type"] != "ReplicaFailure"),
        Some(failure) => {
            let of = |member: &str| text(&failure[member]);
            set(list, "ReplicaFailure", of("status"), of("reason"), of("message"), rollout.now);
        }
    }
}

/// Sets a condition; its transition time moves only with its status.
fn set(list: &mut Vec<Value>, kind: &str, status: &str, reason: &str, message: &str, now: Timestamp) {
    let current = condition(list, kind);
    if current.is_some_and(|c| c["status"] == status && text(&c["reason"]) == reason) {
        return;
    }
    let transition =
        current.filter(|c| c["status"] == status).map_or_else(|| written(now), |c| c["lastTransitionTime"].clone());
    list.retain(|c| c["type"] != kind);
    list.push(json!({
        "type": kind,
        "status": status,
        "lastUpdateTime": written(now),
        "lastTransitionTime": transition,
        "reason": reason,
        "message": message,
    }));
}
