//! What the scheduler thread has done in the world: bindings, events, conditions. Nothing here blocks that thread; what comes of
//! it returns over the channel of [`Back`].

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use augur_core::cycle::Decision;
use augur_core::object::{NodeName, Pod, PodUid, RelatedKey};
use augur_core::scheduler::{Answer, BindResult, CONSULTATIONS, Nomination, Party, Question};
use augur_kube::{
    BindError, Binder, Binding, ClaimPreparer, ConditionReporter, EventRecorder, Eviction, Evictor, News, NotScheduled,
    Object as _, PodRef, Receipt, Ticket, VolumePreparer, Writer,
};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::extenders::Extenders;
use super::seen::{SeenNode, SeenPod};

/// Bindings under way at once. Enough to keep an API server busy that answers within tens of milliseconds, few enough that a
/// server that hangs holds the room of a moment's decisions only.
pub const BINDINGS_IN_FLIGHT: usize = 128;

/// Evictions under way at once. No decision is taken while there are more, so that it is also the bound on those that wait, but
/// for the victims of one pod.
pub const EVICTIONS_IN_FLIGHT: usize = 64;

/// Pods whose volumes are written at once.
const PREPARATIONS_IN_FLIGHT: usize = 32;

/// How long the API server may take for one attempt at a binding or an eviction.
pub const BINDING_TIMEOUT: Duration = Duration::from_secs(10);

/// Results that wait for the scheduler thread: all bindings, preparations and questions in flight, and as many lost conditions as a burst may have. A lost
/// condition beyond is told again when its text changes.
const BACK: usize = BINDINGS_IN_FLIGHT + EVICTIONS_IN_FLIGHT + 2 * CONSULTATIONS + 8192;

/// An event is repeated for an unchanged diagnosis after this time, so that it does not vanish with the events' time to live.
const REPEAT_EVENT: SignedDuration = SignedDuration::from_mins(5);

/// What came of something that the scheduler thread had done.
#[derive(Debug)]
pub enum Back {
    /// What goes before a binding was done, or why not.
    Prepared(PodUid, Result<(), Arc<str>>),
    /// A binding came about or not.
    Bound(PodUid, BindResult),
    /// An eviction came about, or why not.
    Evicted(PodUid, Result<(), Arc<str>>),
    /// A node was read again.
    Reread(Box<Reread>),
    /// Extenders answered the question of this number, or why not.
    Consulted(u64, Result<Answer, Arc<str>>),
    /// The condition of this pod was not accepted.
    ConditionLost(PodUid),
}

/// A node and its pods as the API server has them.
#[derive(Debug)]
pub struct Reread {
    /// The node.
    pub node: NodeName,
    /// How often the watches had told of it when it was asked for.
    pub changes: u64,
    /// What was read.
    pub seen: Result<(SeenNode, Vec<SeenPod>), RereadError>,
}

/// Why a node could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RereadError {
    /// The API server did not answer, or refused.
    #[error("cannot read the node: {0}")]
    Request(#[from] kube::Error),
    /// The answer cannot be understood.
    #[error("cannot understand the node: {0}")]
    Answer(String),
}

/// What a pod was last said to fail for.
#[derive(Debug, Clone)]
pub struct Told {
    /// Hash of reason and text.
    text: u64,
    /// When the event was recorded.
    event: Timestamp,
    /// The reports of the condition.
    reports: Receipt,
}

/// The way out.
pub struct Outbound {
    runtime: Handle,
    writer: Writer,
    client: Client,
    binder: Binder,
    volumes: VolumePreparer,
    claims: ClaimPreparer,
    evictor: Evictor,
    extenders: Extenders,
    events: EventRecorder,
    conditions: ConditionReporter,
    back: mpsc::Sender<Back>,
}

impl Outbound {
    /// Starts the tasks that send; they end when this is dropped and the last request is answered.
    pub fn start(
        client: &Client,
        writer: &Writer,
        extenders: Extenders,
        runtime: Handle,
    ) -> (Self, mpsc::Receiver<Back>) {
        let (back, results) = mpsc::channel(BACK);
        let binder = Binder::new(writer.clone(), BINDINGS_IN_FLIGHT, BINDING_TIMEOUT);
        let bindings = binder.clone();
        let (events, send_events) = EventRecorder::new(writer.clone(), move || bindings.under_way());
        let lost = back.clone();
        let (conditions, send_conditions) = ConditionReporter::new(writer.clone(), move |pod| {
            // Full: see `BACK`.
            let _ = lost.try_send(Back::ConditionLost(pod.uid));
        });
        runtime.spawn(send_events);
        runtime.spawn(send_conditions);
        let volumes = VolumePreparer::new(writer.clone(), PREPARATIONS_IN_FLIGHT, BINDING_TIMEOUT);
        let claims = ClaimPreparer::new(writer.clone(), PREPARATIONS_IN_FLIGHT, BINDING_TIMEOUT);
        let evictor = Evictor::new(writer.clone(), EVICTIONS_IN_FLIGHT, BINDING_TIMEOUT);
        let (client, writer) = (client.clone(), writer.clone());
        let outbound =
            Outbound { writer, runtime, client, binder, volumes, claims, evictor, extenders, events, conditions, back };
        (outbound, results)
    }

    /// Events that were lost.
    pub fn events_dropped(&self) -> u64 {
        self.events.dropped()
    }

    /// Has done what the decision asks for before the pod can be bound, and tells others first where that will be. The result comes back as [`Back::Prepared`], in every
    /// case.
    pub fn prepare(&self, pod: &Pod, node: &Arc<str>, decision: Arc<Decision>, now: Timestamp) {
        let named = pod.nominated_node.as_ref() == Some(node);
        let (pod, node) = (pod_ref(pod), node.clone());
        let (volumes, claims, back) = (self.volumes.clone(), self.claims.clone(), self.back.clone());
        let writer = self.writer.clone();
        self.runtime.spawn(async move {
            if !named {
                augur_kube::nominate(&writer, &pod, Some(&node)).await;
            }
            let result = match volumes.prepare(&decision.volumes, &node).await {
                Ok(()) if decision.devices.is_empty() => Ok(()),
                Ok(()) => claims.prepare(&pod, &decision.devices, now).await.map_err(|error| error.to_string().into()),
                Err(error) => Err(error.to_string().into()),
            };
            // The receiver is gone only after a shutdown.
            let _ = back.send(Back::Prepared(pod.uid, result)).await;
        });
    }

    /// Takes back what a claim has for the pod, or deletes the claim. What comes of it is seen by the watch.
    pub fn free_claim(&self, pod: &Pod, claim: RelatedKey, delete: bool) {
        let (pod, claims) = (pod_ref(pod), self.claims.clone());
        self.runtime.spawn(async move { claims.free(&pod, &claim, delete).await });
    }

    /// Has extenders asked. What they say comes back as [`Back::Consulted`], in every case.
    pub fn consult(&self, pod: Arc<Pod>, number: u64, party: Party, question: Question) {
        let (extenders, back) = (self.extenders.clone(), self.back.clone());
        self.runtime.spawn(async move {
            let answer = extenders.ask(&pod, &party, question).await;
            if let Err(error) = &answer {
                tracing::warn!(pod = %pod.full_name(), %error, "extenders did not answer");
            }
            // The receiver is gone only after a shutdown.
            let _ = back.send(Back::Consulted(number, answer)).await;
        });
    }

    /// Reads a node and its pods again. They come back as [`Back::Reread`], in every case.
    pub fn reread(&self, node: NodeName, changes: u64) {
        let (client, back) = (self.client.clone(), self.back.clone());
        self.runtime.spawn(async move {
            let seen = read(&client, &node).await;
            if let Err(error) = &seen {
                tracing::debug!(%node, %error, "not read again");
            }
            // The receiver is gone only after a shutdown.
            let _ = back.send(Back::Reread(Box::new(Reread { node, changes, seen }))).await;
        });
    }

    /// Binds the pod, of which this was told before. The result comes back as [`Back::Bound`], in every case; until the binding
    /// is sent it can be taken back by the ticket.
    pub fn bind(&self, pod: &Pod, node: &Arc<str>, told: Option<Told>) -> Ticket {
        let binding = Binding {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            node: node.clone(),
        };
        let (binder, back) = (self.binder.clone(), self.back.clone());
        let extenders = self.extenders.clone();
        let delegated = extenders.binder(&pod.spec).cloned();
        let ticket = Ticket::default();
        let leave = ticket.clone();
        self.runtime.spawn(async move {
            if let Some(told) = told {
                told.reports.withdraw().await;
            }
            let bound = match &delegated {
                None => binder.bind(&binding, &leave).await,
                Some(one) => {
                    let began = Instant::now();
                    let bound = binder.bind_through(&one.client, one.extender.ignorable, &binding, &leave).await;
                    if bound != Err(BindError::Recalled) {
                        extenders.count(one, "bind", bound.is_ok(), began);
                    }
                    bound
                }
            };
            let result = match bound {
                Ok(()) => BindResult::Bound,
                Err(error @ BindError::Refused(_)) => BindResult::Refused(error.to_string().into()),
                Err(error) => BindResult::Unavailable(error.to_string().into()),
            };
            // The receiver is gone only after a shutdown.
            let _ = back.send(Back::Bound(binding.uid, result)).await;
        });
        ticket
    }

    /// Evicts a pod to make room for another. The result comes back as [`Back::Evicted`], in every case.
    pub fn evict(&self, victim: &Pod, preemptor: &Pod, node: &Arc<str>, now: Timestamp) {
        let scheduler_name = preemptor.spec.scheduler_name.clone();
        let eviction = Eviction {
            victim: pod_ref(victim),
            generation: victim.generation,
            scheduler_name: scheduler_name.clone(),
            at: now,
        };
        let news = News::Preempted { by: preemptor.uid.clone(), node: node.clone() };
        let (evictor, back, events) = (self.evictor.clone(), self.back.clone(), self.events.clone());
        self.runtime.spawn(async move {
            let result = evictor.evict(&eviction).await;
            if result.is_ok() {
                events.record(&scheduler_name, eviction.victim.clone(), news, now);
            }
            let result = result.map_err(|error| error.to_string().into());
            // The receiver is gone only after a shutdown.
            let _ = back.send(Back::Evicted(eviction.victim.uid, result)).await;
        });
    }

    /// Takes back the pod's nomination.
    pub fn clear_nomination(&self, pod: &Pod) {
        let (writer, pod) = (self.writer.clone(), pod_ref(pod));
        self.runtime.spawn(async move { augur_kube::nominate(&writer, &pod, None).await });
    }

    /// Records the event of a pod that is bound.
    pub fn tell_bound(&self, pod: &Pod, node: &Arc<str>, now: Timestamp) {
        self.events.record(&pod.spec.scheduler_name, pod_ref(pod), News::Scheduled(node.clone()), now);
    }

    /// Sets the condition and records the event of a pod that was not placed, as far as `before` does not say the same.
    /// Returns what is told of it now.
    pub fn tell_failed(
        &self,
        pod: &Pod,
        reason: &'static str,
        message: &str,
        nomination: &Nomination,
        before: Option<&Told>,
        now: Timestamp,
    ) -> Option<Told> {
        let mut hasher = DefaultHasher::new();
        (reason, message, pod.generation).hash(&mut hasher);
        let text = hasher.finish();
        let same = before.filter(|told| told.text == text);
        let message: Arc<str> = message.into();
        // Gates are their setter's business: the condition says it, and nothing failed.
        let quiet = same.is_some_and(|told| now.duration_since(told.event) < REPEAT_EVENT);
        if !quiet && reason != "SchedulingGated" {
            self.events.record(&pod.spec.scheduler_name, pod_ref(pod), News::Failed(message.clone()), now);
        }
        let event = if quiet { same.map_or(now, |told| told.event) } else { now };
        let nominated_node = match nomination {
            Nomination::Unchanged => None,
            Nomination::Cleared => Some("".into()),
            Nomination::Node(node) => Some(node.clone()),
        };
        let reports = before.map(|told| told.reports.clone()).unwrap_or_default();
        let known = same.is_some() && nominated_node.is_none();
        let accepted = known || {
            let report = NotScheduled {
                pod: pod_ref(pod),
                generation: pod.generation,
                reason,
                message,
                at: now,
                nominated_node,
            };
            self.conditions.report(report, reports.clone())
        };
        accepted.then_some(Told { text, event, reports })
    }
}

/// A node and the pods that name it.
async fn read(client: &Client, node: &str) -> Result<(SeenNode, Vec<SeenPod>), RereadError> {
    #[derive(serde::Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        items: Vec<&'a serde_json::value::RawValue>,
    }
    let get = |path: String| http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
    let json = client.request_text(get(format!("/api/v1/nodes/{node}"))?).await?;
    let (seen, _) = SeenNode::read(&json).map_err(|skipped| RereadError::Answer(skipped.detail))?;
    let json = client.request_text(get(format!("/api/v1/pods?fieldSelector=spec.nodeName%3D{node}"))?).await?;
    let list: List<'_> = serde_json::from_str(&json).map_err(|error| RereadError::Answer(error.to_string()))?;
    // One that cannot be understood is passed over, as the watch does.
    let pods = list.items.iter().filter_map(|item| Some(SeenPod::read(item.get()).ok()?.0)).collect();
    Ok((seen, pods))
}

fn pod_ref(pod: &Pod) -> PodRef {
    PodRef { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() }
}
