//! What history is told of a pod: [`Fares`] has what a watch shows of how it fares, and with the pod itself that is an observation.

use std::sync::Arc;

use augur_core::object::Pod;
use augur_history::{PodKey, PodObservation, PodPhase, Termination, UnixMillis, WorkloadKey};
use augur_kube::wire;

/// How a pod fares, beyond what the decision sees of it.
#[derive(Debug, Clone, Default)]
pub struct Fares {
    /// The revision of its workload's template.
    revision: Arc<str>,
    /// Phase.
    pub phase: PodPhase,
    ready: bool,
    restarts: u32,
    /// What few pods have; apart, because a list has tens of thousands of pods.
    trouble: Option<Box<Trouble>>,
}

/// What is told of a pod that is, or was, in trouble.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Trouble {
    terminated: Option<Termination>,
    reason: Option<Arc<str>>,
    waiting: Option<Arc<str>>,
    disruption: Option<Arc<str>>,
}

impl Fares {
    /// The facts about a pod as the API shows it.
    pub fn of(pod: &wire::Pod<'_>) -> Fares {
        let status = &pod.status;
        let containers = || status.init_container_statuses.iter().chain(&status.container_statuses);
        let trouble = Trouble {
            terminated: worst_end(containers()),
            reason: some(&status.reason),
            waiting: containers().find_map(|container| container.state.waiting.as_ref().and_then(|w| some(&w.reason))),
            disruption: condition(status, "DisruptionTarget").and_then(|condition| some(&condition.reason)),
        };
        Fares {
            revision: ["pod-template-hash", "controller-revision-hash"]
                .iter()
                .find_map(|label| pod.metadata.labels.get(*label))
                .map_or_else(Arc::default, |hash| hash.as_str().into()),
            phase: match status.phase.as_str() {
                "" | "Pending" => PodPhase::Pending,
                "Running" => PodPhase::Running,
                "Succeeded" => PodPhase::Succeeded,
                "Failed" => PodPhase::Failed,
                _ => PodPhase::Unknown,
            },
            ready: condition(status, "Ready").is_some(),
            restarts: containers()
                .fold(0, |sum: u32, container| sum.saturating_add(u32::try_from(container.restart_count).unwrap_or(0))),
            trouble: (trouble != Trouble::default()).then(|| Box::new(trouble)),
        }
    }

    /// The texts that many pods have in common.
    pub fn shared_names(&mut self) -> impl Iterator<Item = &mut Arc<str>> {
        std::iter::once(&mut self.revision)
    }

    /// Why the pod is in its phase (`status.reason`); empty where nothing says it.
    pub fn reason(&self) -> &str {
        self.trouble.as_ref().and_then(|trouble| trouble.reason.as_deref()).unwrap_or_default()
    }

    /// What history is told of the pod, seen at `at`; `gone` when it was deleted.
    pub fn observation(self, pod: &Pod, gone: bool, at: UnixMillis) -> PodObservation {
        let Trouble { terminated, reason, waiting, disruption } =
            self.trouble.map(|trouble| *trouble).unwrap_or_default();
        PodObservation {
            revision: self.revision,
            phase: self.phase,
            ready: self.ready,
            restarts: self.restarts,
            terminated,
            reason,
            waiting,
            disruption,
            terminating: pod.terminating,
            gone,
            at,
            ..identity(pod)
        }
    }
}

/// What is known of a pod that vanished unseen.
pub fn vanished(pod: &Pod, at: UnixMillis) -> PodObservation {
    PodObservation { phase: PodPhase::Unknown, terminating: true, gone: true, at, ..identity(pod) }
}

/// Which pod it is, of what workload, and where.
fn identity(pod: &Pod) -> PodObservation {
    let (kind, name) = match &pod.workload {
        Some(workload) => (workload.kind.clone(), workload.name.clone()),
        None => ("Pod".into(), pod.name.clone()),
    };
    PodObservation {
        pod: PodKey { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() },
        workload: WorkloadKey { namespace: pod.namespace.clone(), kind, name },
        node: pod.node.clone(),
        ..PodObservation::default()
    }
}

fn some(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

fn condition<'a, 'p>(status: &'p wire::PodStatus<'a>, kind: &str) -> Option<&'p wire::PodCondition<'a>> {
    status.conditions.iter().find(|condition| condition.r#type.as_str() == kind && condition.status.as_str() == "True")
}

/// The latest termination among the containers, now or before the last restart; one that failed goes before one that did not.
fn worst_end<'a: 'p, 'p>(containers: impl Iterator<Item = &'p wire::ContainerStatus<'a>>) -> Option<Termination> {
    containers
        .flat_map(|container| [&container.state.terminated, &container.last_state.terminated])
        .flatten()
        // Times of one notation, so that they compare as texts.
        .max_by_key(|end| (end.exit_code != 0, end.finished_at.as_ref().map_or("", |at| at.as_str())))
        .map(|end| Termination { reason: end.reason.as_str().into(), exit_code: end.exit_code })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(status: &str) -> PodObservation {
        let json = format!(
            r#"{{"metadata":{{"name":"web-5d8f9-x","namespace":"shop","uid":"u","labels":{{"pod-template-hash":"5d8f9"}},
                "ownerReferences":[{{"kind":"ReplicaSet","name":"web-5d8f9","controller":true}}]}},
                "spec":{{"nodeName":"n1"}},"status":{status}}}"#
        );
        let wire: wire::Pod<'_> = serde_json::from_str(&json).unwrap();
        Fares::of(&wire).observation(&augur_kube::convert::pod(&wire).unwrap(), false, UnixMillis(7))
    }

    #[test]
    fn a_healthy_pod() {
        let pod = observed(r#"{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}"#);
        assert_eq!((&*pod.workload.kind, &*pod.workload.name, pod.node.as_deref()), ("Deployment", "web", Some("n1")));
        assert_eq!((pod.phase, pod.ready, pod.restarts, pod.terminated), (PodPhase::Running, true, 0, None));
    }

    #[test]
    fn the_failure_counts_although_another_container_ended_later() {
        let pod = observed(
            r#"{"phase":"Running","conditions":[{"type":"Ready","status":"False"}],"containerStatuses":[
                {"restartCount":2,"state":{"running":{}},
                 "lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled","finishedAt":"2026-01-01T00:00:00Z"}}},
                {"restartCount":1,"state":{"waiting":{"reason":"CrashLoopBackOff"}},
                 "lastState":{"terminated":{"exitCode":0,"reason":"Completed","finishedAt":"2026-01-02T00:00:00Z"}}}]}"#,
        );
        assert_eq!((pod.ready, pod.restarts, pod.waiting.as_deref()), (false, 3, Some("CrashLoopBackOff")));
        assert_eq!(pod.terminated, Some(Termination { reason: "OOMKilled".into(), exit_code: 137 }));
    }

    #[test]
    fn an_evicted_and_a_preempted_pod() {
        let evicted = observed(r#"{"phase":"Failed","reason":"Evicted"}"#);
        assert_eq!((evicted.phase, evicted.reason.as_deref()), (PodPhase::Failed, Some("Evicted")));
        let preempted = observed(
            r#"{"phase":"Running","conditions":[{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}]}"#,
        );
        assert_eq!(preempted.disruption.as_deref(), Some("PreemptionByScheduler"));
        assert_eq!(observed("null").phase, PodPhase::Pending);
    }
}
