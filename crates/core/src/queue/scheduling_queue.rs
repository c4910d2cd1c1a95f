//! The queue itself; see [`SchedulingQueue`] for the states a pod goes through.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::in_flight::InFlight;
use super::{Advisor, Place, PodUid, QueuedPod};
use crate::plugins::{PluginId, PluginSet};
use crate::time::Timestamp;

/// Backoffs are compared in windows of this length: all pods of a window come back together, in the order of their
/// priority, and a wake-up a second is enough however many pods wait.
const ORDERING_WINDOW: Duration = Duration::from_secs(1);

/// How often the pods that wait for an event are looked through for ones that waited too long.
const FLUSH_INTERVAL: Duration = Duration::from_secs(30);

/// The queue's times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Backoff after the first failure. It doubles with each failure.
    pub initial_backoff: Duration,
    /// Longest backoff.
    pub max_backoff: Duration,
    /// How long a rejected pod waits for an event before it is tried without one. It bounds the harm of a hint that
    /// missed an event.
    pub max_unschedulable: Duration,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig {
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(10),
            max_unschedulable: Duration::from_secs(300),
        }
    }
}

/// What kube-scheduler calls the arrival of a pod.
const POD_ADDED: &str = "UnschedulablePodAdd";

/// What it calls the return of a pod from an attempt.
const ATTEMPT_FAILED: &str = "ScheduleAttemptFailure";

/// How many pods wait, by place. Pods in flight do not wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingCounts {
    /// Ready to be tried.
    pub active: usize,
    /// Waiting out a backoff.
    pub backoff: usize,
    /// Waiting for an event.
    pub unschedulable: usize,
    /// Kept out by a plugin.
    pub gated: usize,
}

/// Highest priority first, then the longest waiting, then in order of arrival.
type ActiveKey = (Reverse<i32>, Timestamp, u64);
/// Earliest window first; within a window as in the active queue.
type BackoffKey = (Timestamp, ActiveKey);

/// What an event means for a waiting pod.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hint {
    Skip,
    AfterBackoff,
    Immediately,
}

/// Pods that wait to be placed.
///
/// ```text
///                    gate                       gate lifted (update, event)
///   add ───────────┬──────▶ Gated ─────────────────────────────┐
///                  │                                           ▼
///                  └──────────────────────────────────────▶ Active ──pop──▶ InFlight ──done──▶ (gone: bound)
///                                                              ▲  ▲            │
///              backoff over, or nothing else to do             │  │            ├─ error ─────▶ ErrorBackoff
///        ┌─────────────────────────────────────────────────────┘  │            │
///     Backoff ◀── event may help, still backing off ──┐           │            ├─ rejected, and an event
///        ▲                                            │           │            │  of meanwhile may help ─▶ Backoff
///        │                                      Unschedulable ◀───┼────────────┘  rejected
///        └────────────────── 5 minutes ───────────────┴───────────┘  event may help, backoff over
/// ```
///
/// `delete` removes a pod from any place. A pod is in exactly one place; the property tests hold this.
///
/// Nothing starves: a pod that fails again and again returns behind its backoff and with a new timestamp, a pod
/// that ends in an error is not even taken early, and a plugin's hint can bring a pod only to `Backoff` while its
/// backoff lasts. The queue has no bound of its own because it holds what the API server holds: every pod in it is
/// an object there, and a pod that was dropped here would never be placed.
#[derive(Debug)]
pub struct SchedulingQueue<E> {
    config: QueueConfig,
    pods: HashMap<PodUid, QueuedPod>,
    active: BTreeMap<ActiveKey, PodUid>,
    backoff: BTreeMap<BackoffKey, PodUid>,
    error_backoff: BTreeMap<BackoffKey, PodUid>,
    /// Rejected and gated pods in order of arrival, so that an event moves them in a repeatable order.
    waiting: BTreeMap<u64, PodUid>,
    /// For each plugin, how many waiting pods it rejected: an event that concerns none of them costs nothing.
    waiting_on: [u32; PluginSet::CAPACITY],
    gated: usize,
    in_flight: InFlight<E>,
    next_sequence: u64,
    last_flush: Option<Timestamp>,
    incoming: BTreeMap<(&'static str, Place), u64>,
}

impl<E: Clone> SchedulingQueue<E> {
    /// An empty queue.
    #[must_use]
    pub fn new(config: QueueConfig) -> Self {
        SchedulingQueue {
            config,
            pods: HashMap::new(),
            active: BTreeMap::new(),
            backoff: BTreeMap::new(),
            error_backoff: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_on: [0; PluginSet::CAPACITY],
            gated: 0,
            in_flight: InFlight::new(),
            next_sequence: 0,
            last_flush: None,
            incoming: BTreeMap::new(),
        }
    }

    /// Takes in a new pod: to the active queue, or to the gated ones. A pod already here is left as it is.
    pub fn add(&mut self, uid: &PodUid, priority: i32, now: Timestamp, advisor: &impl Advisor<E>) {
        if self.pods.contains_key(uid) {
            return;
        }
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.activate_or_gate(QueuedPod::new(uid.clone(), priority, now, sequence), POD_ADDED, now, advisor);
    }

    /// The pod changed in ways told by `events`. Its place in the order follows its priority; if it waits, the
    /// changes may free it. While it is in flight they are kept for its return.
    pub fn update(
        &mut self,
        uid: &PodUid,
        priority: i32,
        events: impl IntoIterator<Item = E>,
        now: Timestamp,
        advisor: &impl Advisor<E>,
    ) {
        let Some(mut pod) = self.pods.remove(uid) else {
            self.add(uid, priority, now, advisor);
            return;
        };
        match pod.place {
            Place::InFlight => {
                for event in events {
                    self.in_flight.record(event);
                }
                pod.priority = priority;
                self.pods.insert(uid.clone(), pod);
            }
            Place::Active | Place::Backoff | Place::ErrorBackoff => {
                self.unlink(&pod);
                pod.priority = priority;
                let place = pod.place;
                self.link(pod, place);
            }
            Place::Unschedulable | Place::Gated => {
                self.unlink(&pod);
                pod.priority = priority;
                let (hint, why) = events
                    .into_iter()
                    .map(|event| (Self::hint(&pod, &event, advisor), advisor.label(&event)))
                    .find(|(hint, _)| *hint != Hint::Skip)
                    .unwrap_or((Hint::Skip, ""));
                self.requeue(pod, hint, why, now, advisor);
            }
        }
    }

    /// Forgets the pod wherever it is.
    pub fn delete(&mut self, uid: &PodUid) {
        if let Some(pod) = self.pods.remove(uid) {
            self.unlink(&pod);
        }
    }

    /// The next pod to try: the head of the active queue, or, when there is none, the one next in backoff (waiting
    /// serves nobody while the scheduler idles). Pods that backed off from an error are not taken early: whatever
    /// was broken deserves the pause.
    pub fn pop(&mut self) -> Option<QueuedPod> {
        let uid = match self.active.pop_first() {
            Some((_, uid)) => uid,
            None => {
                let uid = self.backoff.pop_first()?.1;
                *self.incoming.entry(("PopFromBackoffQ", Place::Active)).or_default() += 1;
                uid
            }
        };
        let pod = self.pods.get_mut(&uid)?;
        pod.place = Place::InFlight;
        pod.attempts += 1;
        let popped = pod.clone();
        self.in_flight.begin(uid);
        Some(popped)
    }

    /// The attempt ended well: the pod leaves the queue.
    pub fn done(&mut self, uid: &PodUid) {
        self.delete(uid);
    }

    /// The attempt ended with a rejection by the given plugins. With none given it ended in an error. Does nothing
    /// for a pod that is not in flight, such as one deleted meanwhile.
    pub fn reject(
        &mut self,
        uid: &PodUid,
        rejected_by: PluginSet,
        pending_on: PluginSet,
        now: Timestamp,
        advisor: &impl Advisor<E>,
    ) {
        if self.pods.get(uid).is_none_or(|pod| pod.place != Place::InFlight) {
            return;
        }
        let Some(mut pod) = self.pods.remove(uid) else { return };
        pod.rejected_by = rejected_by;
        pod.pending_on = pending_on;
        pod.timestamp = now;
        pod.flushed = false;
        let hint = if pod.rejectors().is_empty() {
            pod.errors_in_a_row += 1;
            Hint::AfterBackoff
        } else {
            pod.rejections += 1;
            pod.errors_in_a_row = 0;
            self.in_flight.events_since(uid).map(|event| Self::hint(&pod, event, advisor)).fold(Hint::Skip, Hint::or)
        };
        self.in_flight.end(uid);
        self.requeue(pod, hint, ATTEMPT_FAILED, now, advisor);
    }

    /// Takes back a pod that had left the queue as placed, after its binding failed: an error, tried again after its
    /// backoff. `previous` is what [`SchedulingQueue::pop`] returned.
    pub fn restore(&mut self, previous: QueuedPod, now: Timestamp, advisor: &impl Advisor<E>) {
        if self.pods.contains_key(&previous.uid) {
            return;
        }
        let mut pod = previous;
        pod.rejected_by = PluginSet::EMPTY;
        pod.pending_on = PluginSet::EMPTY;
        pod.timestamp = now;
        pod.flushed = false;
        pod.errors_in_a_row += 1;
        self.requeue(pod, Hint::AfterBackoff, ATTEMPT_FAILED, now, advisor);
    }

    /// Something happened in the cluster: moves the waiting pods that it may help, and no others. `only` narrows
    /// them further by uid and priority.
    pub fn on_event(
        &mut self,
        event: &E,
        now: Timestamp,
        advisor: &impl Advisor<E>,
        only: impl Fn(&QueuedPod) -> bool,
    ) {
        if !self.in_flight.is_empty() {
            self.in_flight.record(event.clone());
        }
        let interested = advisor.interested(event);
        if !interested.iter().any(|plugin| self.waiting_on[plugin.index()] > 0) {
            return;
        }
        let helped: Vec<(PodUid, Hint)> = self
            .waiting
            .values()
            .filter_map(|uid| self.pods.get(uid))
            .filter(|pod| !pod.rejectors().intersection(interested).is_empty())
            .filter(|pod| pod.gated_by.is_none_or(|gate| interested.contains(gate)))
            .filter(|pod| only(pod))
            .map(|pod| (pod.uid.clone(), Self::hint(pod, event, advisor)))
            .filter(|(_, hint)| *hint != Hint::Skip)
            .collect();
        for (uid, hint) in helped {
            self.release(&uid, hint, advisor.label(event), now, advisor);
        }
    }

    /// Makes a waiting pod ready at once, unless a gate holds it.
    pub fn activate(&mut self, uid: &PodUid, now: Timestamp, advisor: &impl Advisor<E>) {
        match self.pods.get(uid).map(|pod| pod.place) {
            Some(Place::Backoff | Place::ErrorBackoff | Place::Unschedulable | Place::Gated) => {
                self.release(uid, Hint::Immediately, "ForceActivate", now, advisor);
            }
            Some(Place::Active | Place::InFlight) | None => {}
        }
    }

    /// Lets time pass: ends backoffs, and frees pods that waited for an event too long.
    pub fn tick(&mut self, now: Timestamp, advisor: &impl Advisor<E>) {
        self.end_backoffs(now);
        if self.last_flush.is_some_and(|last| now < last + FLUSH_INTERVAL) {
            return;
        }
        self.last_flush = Some(now);
        let limit = self.config.max_unschedulable;
        let overdue: Vec<PodUid> = self
            .waiting
            .values()
            .filter(|uid| self.pods.get(*uid).is_some_and(|pod| pod.timestamp + limit < now))
            .cloned()
            .collect();
        for uid in overdue {
            if let Some(pod) = self.pods.get_mut(&uid) {
                pod.flushed = true;
            }
            self.release(&uid, Hint::AfterBackoff, "UnschedulableTimeout", now, advisor);
        }
    }

    /// When [`SchedulingQueue::tick`] next has something to do; nothing if only a change of the cluster can help.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Timestamp> {
        let ends = [&self.backoff, &self.error_backoff]
            .into_iter()
            .filter_map(|queue| queue.first_key_value())
            .map(|((until, _), _)| *until + ORDERING_WINDOW);
        let flush = (!self.waiting.is_empty()).then(|| self.last_flush.map(|last| last + FLUSH_INTERVAL));
        ends.chain(flush.flatten()).min()
    }

    /// Whether [`SchedulingQueue::pop`] would return a pod.
    #[must_use]
    pub fn has_next(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// How many pods wait, by place.
    #[must_use]
    pub fn pending(&self) -> PendingCounts {
        PendingCounts {
            active: self.active.len(),
            backoff: self.backoff.len() + self.error_backoff.len(),
            unschedulable: self.waiting.len() - self.gated,
            gated: self.gated,
        }
    }

    /// How many pods came to a place, by what brought them there, in kube-scheduler's words; since the start.
    #[must_use]
    pub fn incoming(&self) -> &BTreeMap<(&'static str, Place), u64> {
        &self.incoming
    }

    /// The pod, if it is in the queue.
    #[must_use]
    pub fn get(&self, uid: &PodUid) -> Option<&QueuedPod> {
        self.pods.get(uid)
    }

    /// All pods of the queue, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &QueuedPod> {
        self.pods.values()
    }

    fn end_backoffs(&mut self, now: Timestamp) {
        for place in [Place::Backoff, Place::ErrorBackoff] {
            loop {
                let queue = if place == Place::Backoff { &mut self.backoff } else { &mut self.error_backoff };
                match queue.first_entry() {
                    Some(first) if first.key().0 < align(now) => {
                        let uid = first.remove();
                        if let Some(pod) = self.pods.get_mut(&uid) {
                            pod.place = Place::Active;
                            pod.first_ready.get_or_insert(now);
                            self.active.insert(active_key(pod), uid);
                            *self.incoming.entry(("BackoffComplete", Place::Active)).or_default() += 1;
                        }
                    }
                    _ => break,
                }
            }
        }
    }

    fn hint(pod: &QueuedPod, event: &E, advisor: &impl Advisor<E>) -> Hint {
        let rejectors = pod.rejectors().intersection(advisor.interested(event));
        let mut hint = Hint::Skip;
        for plugin in rejectors.iter() {
            if !advisor.may_help(&pod.uid, plugin, event) {
                continue;
            }
            if pod.pending_on.contains(plugin) {
                return Hint::Immediately;
            }
            hint = Hint::AfterBackoff;
        }
        hint
    }

    fn release(&mut self, uid: &PodUid, hint: Hint, why: &'static str, now: Timestamp, advisor: &impl Advisor<E>) {
        if let Some(pod) = self.pods.remove(uid) {
            self.unlink(&pod);
            self.requeue(pod, hint, why, now, advisor);
        }
    }

    /// Puts a pod that is nowhere to where the hint sends it.
    fn requeue(
        &mut self,
        mut pod: QueuedPod,
        hint: Hint,
        why: &'static str,
        now: Timestamp,
        advisor: &impl Advisor<E>,
    ) {
        match hint {
            Hint::Skip => {
                let place = if pod.gated_by.is_some() { Place::Gated } else { Place::Unschedulable };
                // A pod that stays where it was does not come in.
                if why == ATTEMPT_FAILED {
                    self.enter(pod, place, why);
                } else {
                    self.link(pod, place);
                }
            }
            Hint::AfterBackoff => match self.backoff_end(&pod) {
                Some(until) if until >= align(now) => match advisor.gate(&pod.uid) {
                    Some(gate) => self.gate(pod, gate, why),
                    None => {
                        pod.gated_by = None;
                        pod.backoff_until = until;
                        let place = if pod.rejectors().is_empty() { Place::ErrorBackoff } else { Place::Backoff };
                        self.enter(pod, place, why);
                    }
                },
                _ => self.activate_or_gate(pod, why, now, advisor),
            },
            Hint::Immediately => self.activate_or_gate(pod, why, now, advisor),
        }
    }

    fn activate_or_gate(&mut self, mut pod: QueuedPod, why: &'static str, now: Timestamp, advisor: &impl Advisor<E>) {
        match advisor.gate(&pod.uid) {
            Some(gate) => self.gate(pod, gate, why),
            None => {
                pod.gated_by = None;
                pod.first_ready.get_or_insert(now);
                self.enter(pod, Place::Active, why);
            }
        }
    }

    fn gate(&mut self, mut pod: QueuedPod, gate: PluginId, why: &'static str) {
        // One that was gated all along does not come in.
        let already = pod.gated_by.replace(gate).is_some();
        pod.rejected_by.insert(gate);
        if already {
            self.link(pod, Place::Gated);
        } else {
            self.enter(pod, Place::Gated, why);
        }
    }

    /// The end of the pod's backoff, aligned down to its window; nothing for a pod that never failed.
    fn backoff_end(&self, pod: &QueuedPod) -> Option<Timestamp> {
        let failures = if pod.errors_in_a_row > 0 { pod.errors_in_a_row } else { pod.rejections };
        let doublings = failures.checked_sub(1)?;
        if self.config.max_backoff.is_zero() {
            return None;
        }
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let backoff = self.config.initial_backoff.saturating_mul(factor).min(self.config.max_backoff);
        Some(align(pod.timestamp + backoff))
    }

    /// Enters the pod and counts that it came there.
    fn enter(&mut self, pod: QueuedPod, place: Place, why: &'static str) {
        *self.incoming.entry((why, place)).or_default() += 1;
        self.link(pod, place);
    }

    /// Enters the pod, which is in no structure, at a place.
    fn link(&mut self, mut pod: QueuedPod, place: Place) {
        pod.place = place;
        let uid = pod.uid.clone();
        match place {
            Place::Active => {
                self.active.insert(active_key(&pod), uid.clone());
            }
            Place::Backoff => {
                self.backoff.insert((pod.backoff_until, active_key(&pod)), uid.clone());
            }
            Place::ErrorBackoff => {
                self.error_backoff.insert((pod.backoff_until, active_key(&pod)), uid.clone());
            }
            Place::Unschedulable | Place::Gated => {
                self.waiting.insert(pod.sequence, uid.clone());
                self.gated += usize::from(place == Place::Gated);
                for plugin in pod.rejectors().iter() {
                    self.waiting_on[plugin.index()] += 1;
                }
            }
            Place::InFlight => {}
        }
        self.pods.insert(uid, pod);
    }

    /// Takes the pod out of the structure of its place. Its fields must be those it was entered with.
    fn unlink(&mut self, pod: &QueuedPod) {
        match pod.place {
            Place::Active => {
                self.active.remove(&active_key(pod));
            }
            Place::Backoff => {
                self.backoff.remove(&(pod.backoff_until, active_key(pod)));
            }
            Place::ErrorBackoff => {
                self.error_backoff.remove(&(pod.backoff_until, active_key(pod)));
            }
            Place::Unschedulable | Place::Gated => {
                self.waiting.remove(&pod.sequence);
                self.gated -= usize::from(pod.place == Place::Gated);
                for plugin in pod.rejectors().iter() {
                    self.waiting_on[plugin.index()] -= 1;
                }
            }
            Place::InFlight => self.in_flight.end(&pod.uid),
        }
    }

    /// Breaks of the invariant that every pod is in exactly the structure of its place; empty when all is well.
    #[must_use]
    pub fn inconsistencies(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut problems = Vec::new();
        let listed = self.active.values().map(|uid| (uid, Place::Active));
        let listed = listed.chain(self.backoff.values().map(|uid| (uid, Place::Backoff)));
        let listed = listed.chain(self.error_backoff.values().map(|uid| (uid, Place::ErrorBackoff)));
        for (uid, place) in listed {
            if !seen.insert(uid.clone()) {
                problems.push(format!("pod {uid} is listed twice"));
            }
            if self.pods.get(uid).map(|pod| pod.place) != Some(place) {
                problems.push(format!("pod {uid} is listed as {place:?} but is not there"));
            }
        }
        for uid in self.waiting.values() {
            if !seen.insert(uid.clone()) {
                problems.push(format!("pod {uid} is listed twice"));
            }
        }
        for pod in self.pods.values() {
            if pod.place != Place::InFlight && !seen.contains(&pod.uid) {
                problems.push(format!("pod {} is {:?} but listed nowhere", pod.uid, pod.place));
            }
        }
        problems
    }

    #[cfg(test)]
    pub(super) fn recorded_events(&self) -> usize {
        self.in_flight.recorded()
    }
}

impl Hint {
    fn or(self, other: Hint) -> Hint {
        match (self, other) {
            (Hint::Immediately, _) | (_, Hint::Immediately) => Hint::Immediately,
            (Hint::AfterBackoff, _) | (_, Hint::AfterBackoff) => Hint::AfterBackoff,
            (Hint::Skip, Hint::Skip) => Hint::Skip,
        }
    }
}

fn active_key(pod: &QueuedPod) -> ActiveKey {
    (Reverse(pod.priority), pod.timestamp, pod.sequence)
}

fn align(time: Timestamp) -> Timestamp {
    time.align_down(ORDERING_WINDOW)
}
