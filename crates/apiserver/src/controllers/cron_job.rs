//! CronJobs: a job at each time of a schedule.
//!
//! Entry point: [`reconcile`]. Time zones other than UTC need the system's time zone data; without it they are refused with
//! an event.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::action::{Action, Outcome, Parent, condition};
use super::job::JOB;
use super::schedule::Schedule;
use super::view::{Entry, items, number, text, time, written};
use crate::Propagation;

/// The kind.
pub(super) const CRON_JOB: Parent =
    Parent { resource: "cronjobs.batch", api_version: "batch/v1", kind: "CronJob", component: "cronjob-controller" };

const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

fn ended(job: &Entry, kind: &str) -> bool {
    condition(items(&job.value()["status"]["conditions"]), kind).is_some_and(|c| c["status"] == "True")
}

/// Starts the job that is due, deletes old ones, and keeps the status. `jobs` are those it controls.
pub(super) fn reconcile(cron: &Arc<Entry>, jobs: &[Arc<Entry>], now: Timestamp) -> Outcome {
    let mut outcome = Outcome::default();
    let (spec, old) = (&cron.value()["spec"], &cron.value()["status"]);
    let (finished, active): (Vec<_>, Vec<_>) = jobs.iter().partition(|j| ended(j, "Complete") || ended(j, "Failed"));
    let warn = |reason: &'static str, message: String| Action::Event(CRON_JOB.note(cron, "Warning", reason, message));

    for job in &finished {
        if items(&old["active"]).iter().any(|r| r["uid"] == *job.meta().uid) {
            let end = if ended(job, "Complete") { "Complete" } else { "Failed" };
            let message = format!("Saw completed job: {}, condition: {end}", job.meta().name);
            outcome.actions.push(Action::Event(CRON_JOB.note(cron, "Normal", "SawCompletedJob", message)));
        }
    }
    clean_up(spec, &finished, &mut outcome);

    let mut started = None;
    let zone = match text(&spec["timeZone"]) {
        "" | "UTC" | "Etc/UTC" => Ok(TimeZone::UTC),
        name => TimeZone::get(name).map_err(|error| format!("invalid timeZone: \"{name}\": {error}")),
    };
    if !cron.meta().deleting() && spec["suspend"] != true {
        match (zone, Schedule::parse(text(&spec["schedule"]))) {
            (Err(message), _) => outcome.actions.push(warn("UnknownTimeZone", message)),
            (_, None) => {
                let message = format!("unparseable schedule: \"{}\"", text(&spec["schedule"]));
                outcome.actions.push(warn("UnparseableSchedule", message));
            }
            (Ok(zone), Some(schedule)) => {
                started = start_due(cron, &schedule, &zone, &active, now, &mut outcome);
                if let Some(next) = schedule.next_after(now, &zone) {
                    outcome.again(next);
                }
            }
        }
    }

    let mut status = Map::new();
    if !active.is_empty() {
        let references: Vec<Value> = active
            .iter()
            .map(|job| {
                json!({
                    "kind": JOB.kind,
                    "apiVersion": JOB.api_version,
                    "namespace": job.meta().namespace,
                    "name": job.meta().name,
                    "uid": job.meta().uid,
                    "resourceVersion": job.meta().revision().to_string(),
                })
            })
            .collect();
        status.insert("active".to_owned(), same_active(&old["active"], references));
    }
    let last = started.map_or_else(|| old["lastScheduleTime"].clone(), written);
    let success = finished
        .iter()
        .filter(|j| ended(j, "Complete"))
        .filter_map(|j| time(&j.value()["status"]["completionTime"]))
        .chain(time(&old["lastSuccessfulTime"]))
        .max();
    for (name, value) in [("lastScheduleTime", last), ("lastSuccessfulTime", success.map_or(Value::Null, written))] {
        if !value.is_null() {
            status.insert(name.to_owned(), value);
        }
    }
    outcome.actions.extend(CRON_JOB.status(cron, status));
    outcome
}

/// The references to active jobs; the old ones as long as they name the same jobs, whatever the jobs' versions.
fn same_active(old: &Value, new: Vec<Value>) -> Value {
    let uids = |list: &[Value]| list.iter().map(|r| r["uid"].clone()).collect::<Vec<_>>();
    if uids(items(old)) == uids(&new) { old.clone() } else { Value::Array(new) }
}

/// Creates the job of the last time that is due, unless it is too late or another one is in the way. Answers with the time.
fn start_due(
    cron: &Arc<Entry>,
    schedule: &Schedule,
    zone: &TimeZone,
    active: &[&Arc<Entry>],
    now: Timestamp,
    outcome: &mut Outcome,
) -> Option<Timestamp> {
    let (spec, status) = (&cron.value()["spec"], &cron.value()["status"]);
    let since = time(&status["lastScheduleTime"]).or(cron.meta().creation_timestamp)?;
    let due = schedule.last_due(since, now, zone)?;
    let note = |kind, reason, message: String| Action::Event(CRON_JOB.note(cron, kind, reason, message));
    if let Some(deadline) = spec["startingDeadlineSeconds"].as_i64()
        && due.checked_add(SignedDuration::from_secs(deadline)).is_ok_and(|until| until < now)
    {
        outcome.actions.push(note("Warning", "MissSchedule", format!("Missed scheduled time to start a job: {due}")));
        return None;
    }
    let name = format!("{}-{}", cron.meta().name, due.as_second() / 60);
    if !active.is_empty() {
        match text(&spec["concurrencyPolicy"]) {
            "Forbid" => {
                let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
                outcome.actions.push(note("Normal", "JobAlreadyActive", message.to_owned()));
                return None;
            }
            "Replace" => {
                for job in active.iter().filter(|j| *j.meta().name != *name) {
                    outcome.actions.push(delete_job(job));
                    let message = format!("Deleted job {}", job.meta().name);
                    outcome.actions.push(note("Normal", "SuccessfulDelete", message));
                }
            }
            _ => {}
        }
    }
    let template = &spec["jobTemplate"];
    let mut annotations = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    annotations.insert(SCHEDULED_AT.to_owned(), written(due));
    outcome.actions.push(Action::Create {
        resource: JOB.resource,
        namespace: Arc::clone(&cron.meta().namespace),
        object: json!({
            "apiVersion": JOB.api_version,
            "kind": JOB.kind,
            "metadata": {
                "name": name,
                "namespace": cron.meta().namespace,
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
                "ownerReferences": [CRON_JOB.controller_reference(cron)],
            },
            "spec": template["spec"],
        }),
        note: Some(CRON_JOB.note(cron, "Normal", "SuccessfulCreate", "Created job ".to_owned())),
    });
    Some(due)
}

fn delete_job(job: &Entry) -> Action {
    Action::Delete {
        place: JOB.place(job),
        uid: Arc::clone(&job.meta().uid),
        grace_period_seconds: None,
        propagation: Some(Propagation::Background),
    }
}

fn clean_up(spec: &Value, finished: &[&Arc<Entry>], outcome: &mut Outcome) {
    for (kind, member, usual) in
        [("Complete", "successfulJobsHistoryLimit", 3), ("Failed", "failedJobsHistoryLimit", 1)]
    {
        let limit = usize::try_from(number(&spec[member], usual)).unwrap_or(0);
        let mut jobs: Vec<&&Arc<Entry>> = finished.iter().filter(|j| ended(j, kind)).collect();
        jobs.sort_by_key(|j| (time(&j.value()["status"]["startTime"]), Arc::clone(&j.meta().name)));
        let surplus = jobs.len().saturating_sub(limit);
        let old = jobs.into_iter().take(surplus).filter(|j| !j.meta().deleting());
        outcome.actions.extend(old.map(|j| delete_job(j)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{now, object};
    use super::*;

    fn cron(spec: &Value, status: &Value) -> Arc<Entry> {
        let mut value = json!({
            "metadata": { "namespace": "n", "name": "tick", "uid": "c", "creationTimestamp": now(30).to_string() },
            "spec": { "schedule": "* * * * *", "jobTemplate": { "spec": { "template": {} } } },
            "status": status,
        });
        for (name, member) in spec.as_object().unwrap() {
            value["spec"][name] = member.clone();
        }
        object(value)
    }

    fn job(name: &str, end: &str, at: i64) -> Arc<Entry> {
        object(json!({
            "metadata": { "namespace": "n", "name": name, "uid": name },
            "status": { "startTime": now(at).to_string(), "completionTime": now(at + 1).to_string(),
                "conditions": [{ "type": end, "status": "True" }] },
        }))
    }

    fn steps(outcome: &Outcome) -> Vec<String> {
        outcome
            .actions
            .iter()
            .filter_map(|a| match a {
                Action::Create { object, .. } => Some(format!("+{}", text(&object["metadata"]["name"]))),
                Action::Delete { place, .. } => Some(format!("-{}", place.name)),
                Action::Event(note) if note.kind == "Warning" => Some(note.reason.to_owned()),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_job_is_started_when_it_is_due_and_once_only() {
        let early = reconcile(&cron(&json!({}), &json!({})), &[], now(59));
        assert_eq!((steps(&early).len(), early.again_at), (0, Some(now(60))));
        let due = reconcile(&cron(&json!({}), &json!({})), &[], now(130));
        assert_eq!(steps(&due), ["+tick-2"], "of several missed times the last one counts");
        let Some(Action::Patch { patch, .. }) = due.actions.last() else { panic!("{due:?}") };
        assert_eq!(patch["status"]["lastScheduleTime"], now(120).to_string());
        let done = json!({ "lastScheduleTime": now(120).to_string() });
        assert!(steps(&reconcile(&cron(&json!({}), &done), &[], now(130))).is_empty());
        assert!(steps(&reconcile(&cron(&json!({ "suspend": true }), &json!({})), &[], now(130))).is_empty());
        let late = reconcile(&cron(&json!({ "startingDeadlineSeconds": 5 }), &json!({})), &[], now(130));
        assert_eq!(steps(&late), ["MissSchedule"]);
    }

    #[test]
    fn a_running_job_may_forbid_or_be_replaced() {
        let running = [job("tick-1", "Suspended", 60)];
        let with = |policy: &str| {
            steps(&reconcile(&cron(&json!({ "concurrencyPolicy": policy }), &json!({})), &running, now(130)))
        };
        assert_eq!(with("Allow"), ["+tick-2"]);
        assert_eq!(with("Forbid"), Vec::<String>::new());
        assert_eq!(with("Replace"), ["-tick-1", "+tick-2"]);
    }

    #[test]
    fn only_a_few_finished_jobs_stay() {
        let jobs: Vec<_> = (0..5)
            .map(|i| job(&format!("j{i}"), "Complete", i))
            .chain([job("f0", "Failed", 1), job("f1", "Failed", 2)])
            .collect();
        let outcome = reconcile(&cron(&json!({ "suspend": true }), &json!({})), &jobs, now(130));
        assert_eq!(steps(&outcome), ["-j0", "-j1", "-f0"]);
    }
}
