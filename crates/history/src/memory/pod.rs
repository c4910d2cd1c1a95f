//! One placed pod as the watch shows it: what happened since last time, and what became of it.
//!
//! [`Tracked::observe`] compares an observation with what was known and answers with what is new; [`Tracked::label_now`] tells
//! what the placement is for training, by what has been seen so far. When it is asked, [`super::Memory`] decides.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{
    Cause, DAY_MS, DecisionId, HOUR_MS, Outcome, OutcomeLabel, OutcomeState, PodKey, PodObservation, PodPhase,
    UnixMillis, WorkloadKey,
};

/// How long after the decision a placement is judged.
pub(crate) const HORIZON_MS: i64 = HOUR_MS;
/// How long after the decision it is judged a second time.
pub(crate) const DAY_HORIZON_MS: i64 = DAY_MS;
/// The least time a pod has to become Ready.
pub(crate) const READY_WITHIN_MS: i64 = 120_000;
/// Ends of containers remembered for each pod, the latest; a crash loop would fill any memory.
const EXITS: usize = 8;

/// How and when a container of a pod ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// When it was seen.
    pub at: UnixMillis,
    /// Exit code.
    pub code: i32,
    /// `OOMKilled`, `Error`, `Completed`, …
    pub reason: Arc<str>,
}

/// A pod on a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tracked {
    pub pod: PodKey,
    pub workload: WorkloadKey,
    #[serde(default)]
    pub revision: Arc<str>,
    pub node: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_bad: Option<f64>,
    pub placed_at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<UnixMillis>,
    pub changed_at: UnixMillis,
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarts: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub restarted: bool,
    pub state: OutcomeState,
    #[serde(default, skip_serializing_if = "is_default")]
    pub label: OutcomeLabel,
    #[serde(default, skip_serializing_if = "is_default")]
    pub day_label: OutcomeLabel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// When trouble came first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble_at: Option<UnixMillis>,
    /// Why it does not start, as far as something tells; the cause should it not be Ready in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindered: Option<Cause>,
    /// The verdict that feedback has given, while the cluster has given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub gone: bool,
    /// Counted as a pod of its node and workload.
    #[serde(default, skip_serializing_if = "is_default")]
    pub counted: bool,
    /// Runs no more, and was taken out of the count of those that do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ended: bool,
    /// When it was first seen to be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<UnixMillis>,
    /// When its trouble was counted against its node; taken back when the workload turns out to be at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blamed_at: Option<UnixMillis>,
    /// Its workload was found to be at fault.
    #[serde(default, skip_serializing_if = "is_default")]
    pub app_fault: bool,
    /// The weight of its outcome, once it has a label.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// Times that readiness was lost.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unready: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub ready: bool,
    /// OOM kills.
    #[serde(default, skip_serializing_if = "is_default")]
    pub oom: u32,
    /// The latest ends of containers, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<Exit>,
    /// When it is to be Ready or judged next, as far as that was fixed; 0 before.
    #[serde(default, skip_serializing_if = "is_default")]
    pub next_look: UnixMillis,
    /// Seen since the store was opened.
    #[serde(skip)]
    pub seen: bool,
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

/// There are as many rows as pods, and most of them have little to tell: what is usual is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What an observation adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The pod got into trouble for the first time.
    pub trouble: Option<Cause>,
    /// Containers restarted.
    pub restarts: u32,
    /// It is the pod's first restart.
    pub first_restart: bool,
    pub oom: bool,
    /// It is the pod's first OOM kill.
    pub first_oom: bool,
    pub evicted: bool,
    pub failed: bool,
    /// Readiness was lost.
    pub unready: bool,
    /// Something went wrong with it, for the first time or again.
    pub hit: bool,
    /// It became Ready for the first time, so long after it was placed.
    pub ready_after_ms: Option<i64>,
    /// Something that is stored has changed.
    pub changed: bool,
}

impl Tracked {
    /// A pod that has just been placed by a decision, or was found on a node.
    pub fn new(pod: PodKey, workload: WorkloadKey, node: Arc<str>, at: UnixMillis) -> Self {
        Self {
            pod,
            workload,
            revision: Arc::from(""),
            node,
            decision: None,
            p_bad: None,
            placed_at: at,
            ready_at: None,
            changed_at: at,
            restarts: 0,
            restarted: false,
            state: OutcomeState::Starting,
            label: OutcomeLabel::Immature,
            day_label: OutcomeLabel::Immature,
            cause: None,
            trouble_at: None,
            hindered: None,
            judged: None,
            gone: false,
            counted: false,
            ended: false,
            ended_at: None,
            blamed_at: None,
            app_fault: false,
            weight: 1.0,
            unready: 0,
            ready: false,
            oom: 0,
            exits: Vec::new(),
            next_look: UnixMillis(0),
            seen: false,
        }
    }

    /// Takes in what the watch shows. `node_down`: its node does not answer, so that what is deleted now is lost with it.
    pub fn observe(&mut self, o: &PodObservation, node_down: bool) -> News {
        self.seen = true;
        let before = (self.state, self.cause, self.restarts, self.gone, self.ready_at);
        let mut news = News::default();
        if let Some(node) = o.node.as_ref().filter(|node| **node != self.node) {
            self.node = node.clone();
            news.changed = true;
        }
        if !o.revision.is_empty() {
            self.revision = o.revision.clone();
        }
        let oom = o.terminated.as_ref().is_some_and(|t| *t.reason == *"OOMKilled");
        if o.restarts > self.restarts {
            self.restarted_by(o, oom, &mut news);
        }
        self.restarts = o.restarts;
        if o.phase == PodPhase::Failed {
            self.failed_by(o, oom, &mut news);
        }
        if matches!(
            o.waiting.as_deref(),
            Some("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull")
        ) {
            self.hindered = Some(Cause::ImagePull);
        }
        if let Some(cause) = disruption(o) {
            news.evicted |= cause == Cause::Evicted && self.state != OutcomeState::Bad;
            self.trouble(cause, o.at, &mut news);
        }
        if o.ready && self.ready_at.is_none() {
            self.ready_at = Some(o.at);
            news.ready_after_ms = Some((o.at.0 - self.placed_at.0).max(0));
        }
        news.unready = self.ready && !o.ready && o.phase == PodPhase::Running && !o.terminating;
        self.unready = self.unready.saturating_add(u32::from(news.unready));
        news.changed |= self.ready != o.ready;
        news.hit |= news.unready;
        self.ready = o.ready;
        if self.state == OutcomeState::Starting && self.ready_at.is_some() {
            self.state = OutcomeState::Running;
        }
        let open = matches!(self.state, OutcomeState::Starting | OutcomeState::Running);
        if open && o.phase == PodPhase::Succeeded && !o.terminating {
            self.state = OutcomeState::Succeeded;
        } else if open && o.disruption.as_deref() == Some("PreemptionByScheduler") {
            self.state = OutcomeState::Preempted;
        } else if open && o.gone && node_down && o.disruption.is_none() {
            self.trouble(Cause::NodeFailure, o.at, &mut news);
        } else if open && o.gone {
            self.state = OutcomeState::Deleted;
        }
        self.gone |= o.gone;
        if before != (self.state, self.cause, self.restarts, self.gone, self.ready_at) {
            self.changed_at = o.at;
            news.changed = true;
        }
        news
    }

    fn restarted_by(&mut self, o: &PodObservation, oom: bool, news: &mut News) {
        news.restarts = o.restarts - self.restarts;
        news.first_restart = !self.restarted;
        self.restarted = true;
        self.exit(o);
        if oom {
            self.oom_kill(news);
            news.hit = true;
            self.trouble(Cause::OomKilled, o.at, news);
        } else if o.terminated.as_ref().is_none_or(|t| t.exit_code != 0) {
            news.hit = true;
            // So a kubelet tells of containers that its machine's end took with it.
            let lost =
                o.terminated.as_ref().is_some_and(|t| matches!(&*t.reason, "Unknown" | "ContainerStatusUnknown"));
            self.trouble(if lost { Cause::NodeFailure } else { Cause::Restarted }, o.at, news);
        }
    }

    fn failed_by(&mut self, o: &PodObservation, oom: bool, news: &mut News) {
        let told = matches!(
            self.cause,
            Some(Cause::Failed | Cause::Evicted | Cause::NodeFailure | Cause::Rejected | Cause::BindFailed)
        );
        if told {
            return;
        }
        let cause = match o.reason.as_deref() {
            Some("Evicted" | "Preempting") => Some(Cause::Evicted),
            Some("NodeLost" | "NodeShutdown" | "Terminated") => Some(Cause::NodeFailure),
            Some(reason) if is_rejection(reason) => Some(Cause::Rejected),
            _ if oom => Some(Cause::OomKilled),
            // A pod that is being deleted ends as Failed when it was stopped before it had started.
            _ => disruption(o).or((!o.terminating).then_some(Cause::Failed)),
        };
        let Some(cause) = cause else { return };
        news.failed = self.state != OutcomeState::Bad || !oom;
        news.evicted = cause == Cause::Evicted;
        news.hit = true;
        if cause == Cause::OomKilled && self.cause != Some(Cause::OomKilled) {
            self.oom_kill(news);
        }
        self.exit(o);
        self.trouble(cause, o.at, news);
    }

    fn oom_kill(&mut self, news: &mut News) {
        news.oom = true;
        news.first_oom = self.oom == 0;
        self.oom = self.oom.saturating_add(1);
    }

    fn exit(&mut self, o: &PodObservation) {
        let Some(end) = &o.terminated else { return };
        if self.exits.len() >= EXITS {
            self.exits.remove(0);
        }
        self.exits.push(Exit { at: o.at, code: end.exit_code, reason: end.reason.clone() });
    }

    /// Marks trouble, also such as no observation of the pod shows. The first counts.
    pub fn trouble(&mut self, cause: Cause, at: UnixMillis, news: &mut News) {
        let over = matches!(self.state, OutcomeState::Succeeded | OutcomeState::Preempted | OutcomeState::Deleted);
        if self.cause.is_none() && !over {
            self.cause = Some(cause);
            self.trouble_at = Some(at);
            self.state = OutcomeState::Bad;
            news.trouble = Some(cause);
            (news.hit, news.changed) = (true, true);
        }
    }

    /// The label by what has been seen so far.
    pub fn label_now(&self) -> OutcomeLabel {
        match self.state {
            OutcomeState::Running | OutcomeState::Succeeded => OutcomeLabel::Good,
            OutcomeState::Bad if self.app_fault => OutcomeLabel::AppFault,
            OutcomeState::Bad => OutcomeLabel::Bad,
            OutcomeState::Preempted => OutcomeLabel::Preempted,
            // Placed and never seen again: nothing is known.
            OutcomeState::Deleted | OutcomeState::Starting => OutcomeLabel::Censored,
        }
    }

    /// Whether it failed because its program ended with an error of its own, and was not killed.
    pub fn ended_by_itself(&self) -> bool {
        self.cause == Some(Cause::Failed) && self.exits.last().is_some_and(|end| (1..=127).contains(&end.code))
    }

    /// When the first label is due.
    pub fn matures_at(&self) -> UnixMillis {
        UnixMillis(self.placed_at.0.saturating_add(HORIZON_MS))
    }

    /// When the second label is due.
    pub fn day_matures_at(&self) -> UnixMillis {
        UnixMillis(self.placed_at.0.saturating_add(DAY_HORIZON_MS))
    }

    pub fn outcome(&self) -> Option<Outcome> {
        Some(Outcome {
            decision_id: self.decision?,
            node: self.node.clone(),
            state: self.state,
            label: self.label,
            cause: self.cause,
            ready_at: self.ready_at,
            at: self.changed_at,
            matures_at: self.matures_at(),
            day_label: self.day_label,
            trouble_at: self.trouble_at,
            ended_at: self.ended_at,
            weight: self.weight,
        })
    }
}

/// Whether an application can bring this upon itself on any node.
pub(crate) fn may_be_app(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::OomKilled | Cause::Restarted | Cause::Failed | Cause::NotReady | Cause::ImagePull | Cause::VolumeMount
    )
}

/// Whether a pod's `status.reason` says that its kubelet refused it at admission.
pub fn is_rejection(reason: &str) -> bool {
    reason.starts_with("OutOf")
        || matches!(
            reason,
            "NodeAffinity"
                | "NodeName"
                | "NodePorts"
                | "UnexpectedAdmissionError"
                | "TopologyAffinityError"
                | "Taint"
                | "PodOSNotSupported"
                | "PodOSSelectorNodeLabelDoesNotMatch"
                | "InvalidNodeInfo"
                | "UnexpectedPredicateFailureType"
                | "AppArmor"
                | "SysctlForbidden"
                | "PodFeatureUnsupported"
        )
}

fn disruption(o: &PodObservation) -> Option<Cause> {
    match o.disruption.as_deref()? {
        "DeletionByTaintManager" | "DeletionByPodGC" => Some(Cause::NodeFailure),
        "TerminationByKubelet" => Some(Cause::Evicted),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Termination;

    #[test]
    fn the_same_observation_twice_brings_no_news() {
        let pod = PodKey { namespace: "default".into(), name: "a".into(), uid: "u".into() };
        let mut tracked = Tracked::new(pod.clone(), WorkloadKey::default(), "n1".into(), UnixMillis(0));
        let crash = PodObservation {
            pod,
            node: Some("n1".into()),
            phase: PodPhase::Running,
            ready: true,
            restarts: 2,
            terminated: Some(Termination { reason: "OOMKilled".into(), exit_code: 137 }),
            at: UnixMillis(10_000),
            ..PodObservation::default()
        };
        let news = tracked.observe(&crash, false);
        assert_eq!((news.restarts, news.first_restart, news.oom), (2, true, true));
        assert_eq!(tracked.observe(&crash, false), News::default());
        assert_eq!(tracked.exits.len(), 1);
    }
}
