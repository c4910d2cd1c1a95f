//! Jobs: pods until enough of them have succeeded, or too many have failed.
//!
//! Every pod carries a finalizer until it has been counted: a pod that has ended is first noted in the status
//! (`uncountedTerminatedPods`), then let go of, then counted, so that no end is missed or counted twice.
//! `backoffLimitPerIndex`, `podFailurePolicy` and `successPolicy` are not acted on. Entry point: [`reconcile`].

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::action::{Action, Outcome, Parent, condition, conditions, count, delete};
use super::cache::Place;
use super::replica_set::rank_for_deletion;
use super::template::pod_of;
use super::view::{Entry, Pod, items, number, text, time, written};
use crate::Propagation;

/// The kind.
pub(super) const JOB: Parent =
    Parent { resource: "jobs.batch", api_version: "batch/v1", kind: "Job", component: "job-controller" };

/// The finalizer of pods that have yet to be counted.
pub(super) const TRACKING: &str = "batch.kubernetes.io/job-tracking";
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Most pods created or deleted in one go.
const BURST: usize = 500;
const FIRST_BACKOFF: SignedDuration = SignedDuration::from_secs(10);
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_mins(10);

struct Run<'a> {
    job: &'a Arc<Entry>,
    spec: &'a Value,
    pods: &'a [Arc<Entry>],
    now: Timestamp,
    outcome: Outcome,
    conditions: Vec<Value>,
    /// Ended pods that are noted but not yet counted, by UID.
    noted: [Vec<Arc<str>>; 2],
    /// Pods counted so far: succeeded, failed.
    counted: [i64; 2],
    indexes: BTreeSet<i64>,
    start: Option<Timestamp>,
    /// Pods that this step deletes; they are active no longer.
    deleted: BTreeSet<Arc<str>>,
    created: usize,
}

const SUCCEEDED: usize = 0;
const FAILED: usize = 1;

/// Takes the next step of a job. `pods` are those it controls.
pub(super) fn reconcile(job: &Arc<Entry>, pods: &[Arc<Entry>], now: Timestamp) -> Outcome {
    let status = &job.value()["status"];
    let noted = |member: &str| {
        items(&status["uncountedTerminatedPods"][member]).iter().map(|uid| Arc::from(text(uid))).collect()
    };
    let mut run = Run {
        job,
        spec: &job.value()["spec"],
        pods,
        now,
        outcome: Outcome::default(),
        conditions: conditions(job),
        noted: [noted("succeeded"), noted("failed")],
        counted: [number(&status["succeeded"], 0), number(&status["failed"], 0)],
        indexes: parse_indexes(text(&status["completedIndexes"])),
        start: time(&status["startTime"]),
        deleted: BTreeSet::new(),
        created: 0,
    };
    if run.finished() {
        run.after_the_end();
    } else {
        run.step();
    }
    run.outcome
}

/// Lets go of a pod whose job is gone.
pub(super) fn release(pod: &Entry) -> Option<Action> {
    if !pod.meta().has_finalizer(TRACKING) {
        return None;
    }
    let rest: Vec<&String> = pod.meta().finalizers.iter().filter(|f| *f != TRACKING).collect();
    let rest = if rest.is_empty() { Value::Null } else { json!(rest) };
    Some(Action::Patch {
        place: Place::of("pods", pod),
        status: false,
        patch: json!({ "metadata": { "uid": pod.meta().uid, "finalizers": rest } }),
    })
}

impl Run<'_> {
    fn has(&self, kind: &str) -> bool {
        condition(&self.conditions, kind).is_some_and(|c| c["status"] == "True")
    }

    fn finished(&self) -> bool {
        self.has("Complete") || self.has("Failed")
    }

    fn indexed(&self) -> bool {
        self.spec["completionMode"] == "Indexed"
    }

    fn suspended(&self) -> bool {
        self.spec["suspend"] == true
    }

    fn index_of(pod: &Entry) -> Option<i64> {
        pod.meta().annotations.get(COMPLETION_INDEX).and_then(|i| i.parse().ok())
    }

    fn has_failed(&self, entry: &Entry) -> bool {
        let Some(pod) = entry.pod() else { return false };
        let replace_only_failed = self.spec["podReplacementPolicy"] == "Failed";
        pod.phase() == "Failed" || !replace_only_failed && entry.meta().deleting() && pod.phase() != "Succeeded"
    }

    /// A job that has finished is deleted when its time has come.
    fn after_the_end(&mut self) {
        self.outcome.actions.extend(self.pods.iter().filter_map(|p| release(p)));
        let Some(ttl) = self.spec["ttlSecondsAfterFinished"].as_i64() else { return };
        let ended = self
            .conditions
            .iter()
            .find(|c| (c["type"] == "Complete" || c["type"] == "Failed") && c["status"] == "True");
        let Some(ended) = ended.and_then(|c| time(&c["lastTransitionTime"])) else { return };
        let at = ended.checked_add(SignedDuration::from_secs(ttl)).unwrap_or(Timestamp::MAX);
        if at > self.now {
            self.outcome.again(at);
        } else if !self.job.meta().deleting() {
            self.outcome.actions.push(Action::Delete {
                place: JOB.place(self.job),
                uid: Arc::clone(&self.job.meta().uid),
                grace_period_seconds: None,
                propagation: Some(Propagation::Foreground),
            });
        }
    }

    fn step(&mut self) {
        self.count_noted();
        if self.start.is_none() && !self.suspended() {
            self.start = Some(self.now);
        }
        let [succeeded, failed] = self.totals();
        let end = self.end(failed);
        let mut later = Vec::new();
        match &end {
            Some((kind, reason, message)) => {
                self.set(kind, "True", reason, message);
                later = self.delete_pods(&self.active(), false);
            }
            None if !self.job.meta().deleting() => {
                later = self.manage(succeeded);
                let active = self.active().len() + self.created;
                let complete = match self.spec["completions"].as_i64() {
                    Some(wanted) => succeeded >= wanted,
                    None => succeeded > 0,
                };
                if complete && active == 0 {
                    let message = "Reached expected number of succeeded pods";
                    self.set("SuccessCriteriaMet", "True", "CompletionsReached", message);
                }
                self.note_suspension();
            }
            None => {}
        }
        self.note_ends(end.is_some());
        let finishing = self.enact_end();
        self.write_status();
        let noted: BTreeSet<&Arc<str>> = self.noted.iter().flatten().collect();
        let released: Vec<Action> = self
            .pods
            .iter()
            .filter(|p| {
                noted.contains(&p.meta().uid) || self.job.meta().deleting() && p.pod().is_some_and(Pod::finished)
            })
            .filter_map(|p| release(p))
            .collect();
        self.outcome.actions.extend(released);
        self.outcome.actions.append(&mut later);
        if let Some((kind, reason, message)) = finishing {
            self.outcome.actions.push(Action::Event(JOB.note(self.job, kind, reason, message)));
        }
    }

    /// Counts noted pods that have been let go of.
    fn count_noted(&mut self) {
        let held: BTreeSet<&Arc<str>> =
            self.pods.iter().filter(|p| p.meta().has_finalizer(TRACKING)).map(|p| &p.meta().uid).collect();
        for which in [SUCCEEDED, FAILED] {
            let before = self.noted[which].len();
            self.noted[which].retain(|uid| held.contains(uid));
            self.counted[which] += i64::try_from(before - self.noted[which].len()).unwrap_or(0);
        }
    }

    fn new_ends(&self, which: usize) -> impl Iterator<Item = &Arc<Entry>> {
        self.pods.iter().filter(move |p| {
            p.meta().has_finalizer(TRACKING)
                && !self.noted[which].contains(&p.meta().uid)
                && if which == SUCCEEDED {
                    p.pod().is_some_and(|pod| pod.phase() == "Succeeded")
                } else {
                    self.has_failed(p)
                }
        })
    }

    /// How many pods have succeeded and failed, counted or not.
    fn totals(&mut self) -> [i64; 2] {
        let of = |run: &Run<'_>, which: usize| {
            let uncounted = run.new_ends(which).count() + run.noted[which].len();
            run.counted[which] + i64::try_from(uncounted).unwrap_or(i64::MAX)
        };
        let failed = of(self, FAILED);
        if !self.indexed() {
            return [of(self, SUCCEEDED), failed];
        }
        let wanted = number(&self.spec["completions"], 0);
        let new: Vec<i64> = self
            .new_ends(SUCCEEDED)
            .filter_map(|p| Self::index_of(p))
            .filter(|index| (0..wanted).contains(index))
            .collect();
        self.indexes.extend(new);
        [i64::try_from(self.indexes.len()).unwrap_or(i64::MAX), failed]
    }

    /// Whether the job is to end, with type, reason and message of the condition.
    fn end(&mut self, failed: i64) -> Option<(&'static str, String, String)> {
        for kind in ["SuccessCriteriaMet", "FailureTarget"] {
            if let Some(decided) = condition(&self.conditions, kind).filter(|c| c["status"] == "True") {
                return Some((kind, text(&decided["reason"]).to_owned(), text(&decided["message"]).to_owned()));
            }
        }
        let failure = |reason: &str, message: &str| Some(("FailureTarget", reason.to_owned(), message.to_owned()));
        let limit = number(&self.spec["backoffLimit"], 6);
        let restarts: i64 = if self.spec["template"]["spec"]["restartPolicy"] == "OnFailure" {
            self.pods.iter().filter_map(|p| p.pod()).filter(|p| !p.finished()).map(Pod::restarts).sum()
        } else {
            0
        };
        if failed > limit || restarts > 0 && restarts >= limit {
            return failure("BackoffLimitExceeded", "Job has reached the specified backoff limit");
        }
        if let (Some(deadline), Some(start), false) =
            (self.spec["activeDeadlineSeconds"].as_i64(), self.start, self.suspended())
        {
            let at = start.checked_add(SignedDuration::from_secs(deadline)).unwrap_or(Timestamp::MAX);
            if at <= self.now {
                return failure("DeadlineExceeded", "Job was active longer than specified deadline");
            }
            self.outcome.again(at);
        }
        None
    }

    fn active(&self) -> Vec<Arc<Entry>> {
        let is_active = |p: &&Arc<Entry>| p.pod().is_some_and(Pod::active) && !self.deleted.contains(&p.meta().uid);
        self.pods.iter().filter(is_active).cloned().collect()
    }

    fn delete_pods(&mut self, pods: &[Arc<Entry>], uncounted: bool) -> Vec<Action> {
        let mut actions = Vec::new();
        for pod in pods {
            if uncounted {
                actions.extend(release(pod));
                actions.extend(JOB.delete_pod(self.job, pod));
            } else {
                actions.push(delete("pods", pod));
            }
            self.deleted.insert(Arc::clone(&pod.meta().uid));
        }
        actions
    }

    /// Creates or deletes pods so that as many run as can.
    fn manage(&mut self, succeeded: i64) -> Vec<Action> {
        let active = self.active();
        if self.suspended() {
            return self.delete_pods(&active, true);
        }
        let parallelism = number(&self.spec["parallelism"], 1);
        let running = i64::try_from(active.len()).unwrap_or(i64::MAX);
        let wanted = match self.spec["completions"].as_i64() {
            Some(completions) => (completions - succeeded).min(parallelism).max(0),
            None if succeeded > 0 => running,
            None => parallelism,
        };
        let surplus = usize::try_from(running - wanted).unwrap_or(0).min(BURST);
        if surplus > 0 {
            let mut ranked: Vec<&Arc<Entry>> = active.iter().collect();
            rank_for_deletion(&mut ranked, &[]);
            let gone: Vec<Arc<Entry>> = ranked.into_iter().take(surplus).cloned().collect();
            return self.delete_pods(&gone, true);
        }
        let leaving = if self.spec["podReplacementPolicy"] == "Failed" { self.terminating() } else { 0 };
        let missing = usize::try_from(wanted - running - leaving).unwrap_or(0).min(BURST);
        if missing == 0 {
            return Vec::new();
        }
        if let Some(at) = self.backoff_until()
            && at > self.now
        {
            self.outcome.again(at);
            return Vec::new();
        }
        self.create_pods(missing, &active)
    }

    fn create_pods(&mut self, missing: usize, active: &[Arc<Entry>]) -> Vec<Action> {
        let mut pod = pod_of(&JOB, self.job);
        let mut finalizers = items(&pod["metadata"]["finalizers"]).to_vec();
        finalizers.push(json!(TRACKING));
        pod["metadata"]["finalizers"] = Value::Array(finalizers);
        let pods: Vec<Value> = if self.indexed() {
            let taken: BTreeSet<i64> = active.iter().filter_map(|p| Self::index_of(p)).collect();
            let completions = number(&self.spec["completions"], 0);
            (0..completions)
                .filter(|index| !taken.contains(index) && !self.indexes.contains(index))
                .take(missing)
                .map(|index| indexed_pod(pod.clone(), &self.job.meta().name, index))
                .collect()
        } else {
            vec![pod; missing]
        };
        self.created = pods.len();
        pods.into_iter().map(|pod| JOB.create_pod(self.job, pod)).collect()
    }

    /// Until when no pod is to be created because pods have failed since the last success.
    fn backoff_until(&self) -> Option<Timestamp> {
        let ends = |which: &str| {
            let phase = which.to_owned();
            self.pods.iter().filter_map(|p| p.pod()).filter(move |p| p.phase() == phase).filter_map(Pod::finished_at)
        };
        let success = ends("Succeeded").max();
        let failures: Vec<Timestamp> = ends("Failed").filter(|at| success.is_none_or(|s| *at > s)).collect();
        let last = failures.iter().max()?;
        let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(16);
        let delay = FIRST_BACKOFF.checked_mul(1 << doublings).unwrap_or(LONGEST_BACKOFF).min(LONGEST_BACKOFF);
        last.checked_add(delay).ok()
    }

    fn note_suspension(&mut self) {
        if self.suspended() {
            if self.set("Suspended", "True", "JobSuspended", "Job suspended") {
                self.start = None;
                self.event("Suspended", "Job suspended");
            }
        } else if self.has("Suspended") {
            self.set("Suspended", "False", "JobResumed", "Job resumed");
            self.start = Some(self.now);
            self.event("Resumed", "Job resumed");
        }
    }

    fn event(&mut self, reason: &'static str, message: &str) {
        let note = JOB.note(self.job, "Normal", reason, message.to_owned());
        self.outcome.actions.push(Action::Event(note));
    }

    /// Notes the pods that have ended. When the job ends too, those still running are counted as failed.
    fn note_ends(&mut self, ending: bool) {
        let failing = ending && self.has("FailureTarget");
        let mut succeeded: Vec<Arc<str>> = self.new_ends(SUCCEEDED).map(|p| Arc::clone(&p.meta().uid)).collect();
        let mut failed: Vec<Arc<str>> = self.new_ends(FAILED).map(|p| Arc::clone(&p.meta().uid)).collect();
        if failing {
            let running = self.pods.iter().filter(|p| {
                p.meta().has_finalizer(TRACKING)
                    && self.deleted.contains(&p.meta().uid)
                    && !self.noted[FAILED].contains(&p.meta().uid)
                    && !failed.contains(&p.meta().uid)
            });
            let running: Vec<Arc<str>> = running.map(|p| Arc::clone(&p.meta().uid)).collect();
            failed.extend(running);
        }
        self.noted[SUCCEEDED].append(&mut succeeded);
        self.noted[FAILED].append(&mut failed);
    }

    /// Makes the end final once every pod has been counted and none is left terminating.
    fn enact_end(&mut self) -> Option<(&'static str, &'static str, String)> {
        let before = conditions(self.job);
        let decided = ["SuccessCriteriaMet", "FailureTarget"]
            .into_iter()
            .find_map(|kind| condition(&before, kind).filter(|c| c["status"] == "True"))?;
        if self.noted.iter().any(|list| !list.is_empty()) || self.terminating() > 0 || !self.active().is_empty() {
            return None;
        }
        let message = text(&decided["message"]).to_owned();
        if decided["type"] == "SuccessCriteriaMet" {
            self.set("Complete", "True", text(&decided["reason"]), &message);
            return Some(("Normal", "Completed", "Job completed".to_owned()));
        }
        self.set("Failed", "True", text(&decided["reason"]), &message);
        let reason = match text(&decided["reason"]) {
            "DeadlineExceeded" => "DeadlineExceeded",
            _ => "BackoffLimitExceeded",
        };
        Some(("Warning", reason, message))
    }

    fn terminating(&self) -> i64 {
        let count =
            self.pods.iter().filter(|p| p.meta().deleting() && p.pod().is_some_and(|pod| !pod.finished())).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) -> bool {
        if condition(&self.conditions, kind).is_some_and(|c| c["status"] == status) {
            return false;
        }
        self.conditions.retain(|c| c["type"] != kind);
        self.conditions.push(json!({
            "type": kind,
            "status": status,
            "lastProbeTime": written(self.now),
            "lastTransitionTime": written(self.now),
            "reason": reason,
            "message": message,
        }));
        true
    }

    fn write_status(&mut self) {
        let mut status = Map::new();
        if let Some(start) = self.start {
            status.insert("startTime".to_owned(), written(start));
        }
        let active = self.active();
        let ready = active.iter().filter(|p| p.pod().is_some_and(Pod::ready)).count();
        count(&mut status, "active", i64::try_from(active.len() + self.created).unwrap_or(i64::MAX));
        status.insert("ready".to_owned(), json!(ready));
        let deleted = i64::try_from(self.deleted.len()).unwrap_or(0);
        status.insert("terminating".to_owned(), json!(self.terminating() + deleted));
        let succeeded = if self.indexed() {
            let written = write_indexes(&self.indexes);
            if !written.is_empty() {
                status.insert("completedIndexes".to_owned(), json!(written));
            }
            i64::try_from(self.indexes.len()).unwrap_or(i64::MAX)
        } else {
            self.counted[SUCCEEDED]
        };
        count(&mut status, "succeeded", succeeded);
        count(&mut status, "failed", self.counted[FAILED]);
        let mut noted = Map::new();
        for (which, name) in [(SUCCEEDED, "succeeded"), (FAILED, "failed")] {
            if !self.noted[which].is_empty() {
                noted.insert(name.to_owned(), json!(self.noted[which]));
            }
        }
        status.insert("uncountedTerminatedPods".to_owned(), Value::Object(noted));
        if let Some(end) = condition(&self.conditions, "Complete") {
            status.insert("completionTime".to_owned(), end["lastTransitionTime"].clone());
        }
        if !self.conditions.is_empty() {
            status.insert("conditions".to_owned(), Value::Array(self.conditions.clone()));
        }
        self.outcome.actions.extend(JOB.status(self.job, status));
    }
}

fn indexed_pod(mut pod: Value, job: &str, index: i64) -> Value {
    let written = index.to_string();
    pod["metadata"]["annotations"][COMPLETION_INDEX] = json!(written);
    pod["metadata"]["labels"][COMPLETION_INDEX] = json!(written);
    pod["metadata"]["generateName"] = json!(format!("{job}-{index}-"));
    pod["spec"]["hostname"] = json!(format!("{job}-{index}"));
    for list in ["initContainers", "containers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let mut env = items(&container["env"]).to_vec();
            if env.iter().all(|e| e["name"] != "JOB_COMPLETION_INDEX") {
                let path = format!("metadata.labels['{COMPLETION_INDEX}']");
                env.push(json!({
                    "name": "JOB_COMPLETION_INDEX",
                    "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } },
                }));
                container["env"] = Value::Array(env);
            }
        }
    }
    pod
}

/// Reads indexes written as `0,2-4`.
fn parse_indexes(text: &str) -> BTreeSet<i64> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
            indexes.extend(first..=last);
        }
    }
    indexes
}

fn write_indexes(indexes: &BTreeSet<i64>) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let written: Vec<String> = runs
        .into_iter()
        .map(|(first, last)| match last - first {
            0 => first.to_string(),
            1 => format!("{first},{last}"),
            _ => format!("{first}-{last}"),
        })
        .collect();
    written.join(",")
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;
