//! One placed pod as the watch shows it: what happened since last time, and what became of it.
//!
//! [`Tracked::observe`] compares an observation with what was known and answers with what is new; [`Tracked::mature`] gives
//! the label when the horizon has passed.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{
    Cause, DecisionId, HOUR_MS, Outcome, OutcomeLabel, OutcomeState, PodKey, PodObservation, PodPhase, UnixMillis,
    WorkloadKey,
};

/// How long after the decision a placement is judged.
pub(crate) const HORIZON_MS: i64 = HOUR_MS;
/// The least time a pod has to become Ready.
pub(crate) const READY_WITHIN_MS: i64 = 120_000;

/// A pod on a node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tracked {
    pub pod: PodKey,
    pub workload: WorkloadKey,
    pub node: Arc<str>,
    pub decision: Option<DecisionId>,
    pub p_bad: Option<f64>,
    pub placed_at: UnixMillis,
    pub ready_at: Option<UnixMillis>,
    pub changed_at: UnixMillis,
    pub restarts: u32,
    pub restarted: bool,
    pub state: OutcomeState,
    pub label: OutcomeLabel,
    pub cause: Option<Cause>,
    /// The verdict that feedback has given, while the cluster has given none.
    pub judged: Option<bool>,
    pub gone: bool,
    /// Counted as a pod of its node and workload.
    pub counted: bool,
    /// The hour in which its trouble was counted against its node; taken back when the workload turns out to be at fault.
    pub blamed_hour: Option<u32>,
    /// Seen since the store was opened.
    #[serde(skip)]
    pub seen: bool,
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
    pub evicted: bool,
    pub failed: bool,
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
            cause: None,
            judged: None,
            gone: false,
            counted: false,
            blamed_hour: None,
            seen: false,
        }
    }

    /// Takes in what the watch shows.
    pub fn observe(&mut self, o: &PodObservation) -> News {
        self.seen = true;
        let before = (self.state, self.cause, self.restarts, self.gone, self.ready_at);
        let mut news = News::default();
        if o.node.as_ref().is_some_and(|node| *node != self.node) {
            self.node = o.node.clone().unwrap_or_else(|| self.node.clone());
            news.changed = true;
        }
        let oom = o.terminated.as_ref().is_some_and(|t| *t.reason == *"OOMKilled");
        if o.restarts > self.restarts {
            news.restarts = o.restarts - self.restarts;
            news.first_restart = !self.restarted;
            news.oom = oom;
            self.restarted = true;
            if oom {
                self.trouble(Cause::OomKilled, &mut news);
            } else if o.terminated.as_ref().is_none_or(|t| t.exit_code != 0) {
                self.trouble(Cause::Restarted, &mut news);
            }
        }
        self.restarts = o.restarts;
        if o.phase == PodPhase::Failed
            && !matches!(self.cause, Some(Cause::Failed | Cause::Evicted | Cause::NodeFailure))
        {
            let cause = match o.reason.as_deref() {
                Some("Evicted") => Some(Cause::Evicted),
                Some("NodeLost" | "NodeShutdown" | "Terminated") => Some(Cause::NodeFailure),
                _ if oom => Some(Cause::OomKilled),
                // A pod that is being deleted ends as Failed when it was stopped before it had started.
                _ => disruption(o).or((!o.terminating).then_some(Cause::Failed)),
            };
            if let Some(cause) = cause {
                news.failed = self.state != OutcomeState::Bad || !oom;
                news.evicted = cause == Cause::Evicted;
                news.oom |= cause == Cause::OomKilled && self.cause != Some(Cause::OomKilled);
                self.trouble(cause, &mut news);
            }
        }
        if matches!(o.waiting.as_deref(), Some("ErrImagePull" | "ImagePullBackOff" | "InvalidImageName")) {
            self.trouble(Cause::ImagePull, &mut news);
        }
        if let Some(cause) = disruption(o) {
            news.evicted |= cause == Cause::Evicted && self.state != OutcomeState::Bad;
            self.trouble(cause, &mut news);
        }
        if o.ready && self.ready_at.is_none() {
            self.ready_at = Some(o.at);
            news.ready_after_ms = Some((o.at.0 - self.placed_at.0).max(0));
        }
        if self.state == OutcomeState::Starting && self.ready_at.is_some() {
            self.state = OutcomeState::Running;
        }
        let open = matches!(self.state, OutcomeState::Starting | OutcomeState::Running);
        if open && o.phase == PodPhase::Succeeded {
            self.state = OutcomeState::Succeeded;
        } else if open && o.disruption.as_deref() == Some("PreemptionByScheduler") {
            self.state = OutcomeState::Preempted;
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

    /// Marks trouble that no observation of the pod shows.
    pub fn trouble(&mut self, cause: Cause, news: &mut News) {
        let over = matches!(self.state, OutcomeState::Succeeded | OutcomeState::Preempted | OutcomeState::Deleted);
        if self.cause.is_none() && !over {
            self.cause = Some(cause);
            self.state = OutcomeState::Bad;
            news.trouble = Some(cause);
            news.changed = true;
        }
    }

    /// Gives the label. `everywhere`: the workload is in trouble wherever it runs.
    pub fn mature(&mut self, everywhere: bool, now: UnixMillis) {
        self.label = match self.state {
            OutcomeState::Running | OutcomeState::Succeeded => OutcomeLabel::Good,
            OutcomeState::Bad if self.cause == Some(Cause::ImagePull) => OutcomeLabel::AppFault,
            OutcomeState::Bad if everywhere && self.cause.is_some_and(may_be_app) => OutcomeLabel::AppFault,
            OutcomeState::Bad => OutcomeLabel::Bad,
            OutcomeState::Preempted => OutcomeLabel::Preempted,
            // Placed and never seen again: nothing is known.
            OutcomeState::Deleted | OutcomeState::Starting => OutcomeLabel::Censored,
        };
        self.changed_at = now;
    }

    /// When the label is due.
    pub fn matures_at(&self) -> UnixMillis {
        UnixMillis(self.placed_at.0.saturating_add(HORIZON_MS))
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
        })
    }
}

/// Whether an application can bring this upon itself on any node.
pub(crate) fn may_be_app(cause: Cause) -> bool {
    matches!(cause, Cause::OomKilled | Cause::Restarted | Cause::Failed | Cause::NotReady | Cause::ImagePull)
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

    fn tracked() -> Tracked {
        Tracked::new(pod(), workload(), "n1".into(), UnixMillis(0))
    }
    fn pod() -> PodKey {
        PodKey { namespace: "default".into(), name: "a".into(), uid: "u".into() }
    }
    fn workload() -> WorkloadKey {
        WorkloadKey { namespace: "default".into(), kind: "Pod".into(), name: "a".into() }
    }
    fn seen(at_s: i64, change: impl FnOnce(&mut PodObservation)) -> PodObservation {
        let mut o = PodObservation {
            pod: pod(),
            workload: workload(),
            node: Some("n1".into()),
            phase: PodPhase::Running,
            ready: true,
            restarts: 0,
            terminated: None,
            reason: None,
            waiting: None,
            disruption: None,
            terminating: false,
            gone: false,
            at: UnixMillis(at_s * 1000),
        };
        change(&mut o);
        o
    }
    fn ended(reason: &str, exit_code: i32) -> Option<Termination> {
        Some(Termination { reason: reason.into(), exit_code })
    }

    #[test]
    fn life_stories_get_the_label_they_deserve() {
        type Story = (&'static str, Vec<PodObservation>, bool, OutcomeLabel, Option<Cause>);
        let stories: Vec<Story> = vec![
            ("runs on", vec![seen(5, |_| {})], false, OutcomeLabel::Good, None),
            (
                "completes",
                vec![seen(5, |_| {}), seen(9, |o| o.phase = PodPhase::Succeeded), seen(10, |o| o.gone = true)],
                false,
                OutcomeLabel::Good,
                None,
            ),
            ("deleted", vec![seen(5, |_| {}), seen(10, |o| o.gone = true)], false, OutcomeLabel::Censored, None),
            (
                "deleted before it had started",
                vec![
                    seen(5, |o| (o.phase, o.ready, o.terminating) = (PodPhase::Failed, false, true)),
                    seen(6, |o| (o.phase, o.ready, o.terminating, o.gone) = (PodPhase::Failed, false, true, true)),
                ],
                false,
                OutcomeLabel::Censored,
                None,
            ),
            (
                "killed for memory",
                vec![seen(5, |_| {}), seen(10, |o| (o.restarts, o.terminated) = (1, ended("OOMKilled", 137)))],
                false,
                OutcomeLabel::Bad,
                Some(Cause::OomKilled),
            ),
            (
                "crashes on every node",
                vec![seen(5, |_| {}), seen(10, |o| (o.restarts, o.terminated) = (1, ended("Error", 1)))],
                true,
                OutcomeLabel::AppFault,
                Some(Cause::Restarted),
            ),
            (
                "restarts after a clean exit",
                vec![seen(5, |_| {}), seen(10, |o| (o.restarts, o.terminated) = (1, ended("Completed", 0)))],
                false,
                OutcomeLabel::Good,
                None,
            ),
            (
                "evicted by the kubelet, of a workload in trouble everywhere",
                vec![seen(5, |_| {}), seen(10, |o| (o.phase, o.reason) = (PodPhase::Failed, Some("Evicted".into())))],
                true,
                OutcomeLabel::Bad,
                Some(Cause::Evicted),
            ),
            (
                "preempted",
                vec![
                    seen(5, |_| {}),
                    seen(9, |o| o.disruption = Some("PreemptionByScheduler".into())),
                    seen(10, |o| o.gone = true),
                ],
                false,
                OutcomeLabel::Preempted,
                None,
            ),
            (
                "drained",
                vec![
                    seen(5, |_| {}),
                    seen(9, |o| (o.disruption, o.gone) = (Some("EvictionByEvictionAPI".into()), true)),
                ],
                false,
                OutcomeLabel::Censored,
                None,
            ),
            (
                "deleted with its node",
                vec![
                    seen(5, |_| {}),
                    seen(9, |o| (o.disruption, o.gone) = (Some("DeletionByTaintManager".into()), true)),
                ],
                false,
                OutcomeLabel::Bad,
                Some(Cause::NodeFailure),
            ),
            (
                "image that does not exist",
                vec![seen(5, |o| {
                    (o.phase, o.ready, o.waiting) = (PodPhase::Pending, false, Some("ImagePullBackOff".into()));
                })],
                false,
                OutcomeLabel::AppFault,
                Some(Cause::ImagePull),
            ),
            ("never seen", vec![], false, OutcomeLabel::Censored, None),
        ];
        for (name, story, everywhere, label, cause) in stories {
            let mut pod = tracked();
            for observation in &story {
                pod.observe(observation);
            }
            assert_eq!(pod.label, OutcomeLabel::Immature, "{name}");
            pod.mature(everywhere, UnixMillis(HORIZON_MS));
            assert_eq!((pod.label, pod.cause), (label, cause), "{name}");
        }
    }

    #[test]
    fn the_same_observation_twice_brings_no_news() {
        let mut pod = tracked();
        let crash = seen(10, |o| (o.restarts, o.terminated) = (2, ended("OOMKilled", 137)));
        let news = pod.observe(&crash);
        assert_eq!((news.restarts, news.first_restart, news.oom), (2, true, true));
        assert_eq!(pod.observe(&crash), News::default());
    }
}
