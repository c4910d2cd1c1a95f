//! What decisions ask for is carried out, and what came of it is taken in.

use super::*;

impl Owner {
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>, took: Duration) {
        let victims = effects.iter().filter(|effect| matches!(effect, Effect::Evict { .. })).count();
        for effect in effects {
            match effect {
                Effect::Prepare { pod, node, decision, attempts } => {
                    self.outbound.prepare(&pod, &node, decision.clone(), self.clock.now());
                    self.launch(pod, node, &decision, attempts, took);
                }
                Effect::Bind { pod, node, decision, attempts } => {
                    // What was told before no longer holds; should the binding fail, it is told anew.
                    let told = self.waiting.get_mut(&pod.uid).and_then(|waiting| waiting.told.take());
                    let ticket = self.outbound.bind(&pod, &node, told);
                    let uid = pod.uid.clone();
                    match self.in_flight.get_mut(&uid) {
                        Some(prepared) => {
                            prepared.asking = true;
                            self.asking += 1;
                        }
                        None => self.launch(pod, node, &decision, attempts, took),
                    }
                    if let Some(binding) = self.in_flight.get_mut(&uid) {
                        binding.ticket = Some(ticket);
                    }
                }
                Effect::Recall { uid, why } => {
                    let Some(binding) = self.in_flight.get(&uid) else { continue };
                    // One that is on its way is for the API server and the kubelet to judge.
                    if binding.ticket.as_ref().is_some_and(Ticket::recall) {
                        self.recalled += 1;
                        self.counters.recalled_binding();
                        tracing::info!(pod = %binding.pod.full_name(), node = %binding.node, %why, "binding recalled");
                    }
                }
                Effect::Abandoned { uid, error } => {
                    let Some(binding) = self.in_flight.remove(&uid) else { continue };
                    self.asking -= usize::from(binding.asking);
                    self.not_bound(&binding);
                    tracing::warn!(pod = %binding.pod.full_name(), node = %binding.node, %error, "not bound");
                }
                Effect::FreeClaim { pod, claim, after } => {
                    self.outbound.free_claim(&pod, claim, after == ClaimsAfter::Deleted);
                }
                Effect::Consult { pod, number, extenders, question } => {
                    self.outbound.consult(pod, number, extenders, question);
                }
                Effect::ClearNomination { pod } => self.outbound.clear_nomination(&pod),
                Effect::Evict { victim, preemptor, node } => {
                    self.evicting += 1;
                    self.outbound.evict(&victim, &preemptor, &node, self.clock.now());
                }
                Effect::Unschedulable { pod, reason, message, decision, nomination } => {
                    let profile = &pod.spec.scheduler_name;
                    match reason {
                        "Unschedulable" => {
                            self.attempts.unschedulable += 1;
                            if decision.as_ref().is_some_and(|decision| tried_to_make_room(decision)) {
                                self.counters.preemption(victims);
                            }
                            self.counters.attempt(AttemptResult::unschedulable, profile, took);
                        }
                        "SchedulerError" => {
                            self.attempts.error += 1;
                            self.counters.attempt(AttemptResult::error, profile, took);
                        }
                        _ => {}
                    }
                    if let Some(decision) = decision {
                        self.remember(&pod, &decision, took);
                        let (now, waiting) = (Instant::now(), self.waiting.get(&pod.uid));
                        self.traces.tell(&Attempt {
                            pod: &pod,
                            node: None,
                            since: waiting.map(|waiting| waiting.since),
                            decided: (now.checked_sub(took).unwrap_or(now), now),
                            attempts: None,
                            error: Some(&message),
                        });
                    }
                    // The leader tells of gated pods too.
                    if !self.leads() || self.mode != Mode::Scheduler {
                        continue;
                    }
                    let now = self.clock.now();
                    let Some(waiting) = self.waiting.get_mut(&pod.uid) else { continue };
                    let told = waiting.told.as_ref();
                    waiting.told = self.outbound.tell_failed(&pod, reason, &message, &nomination, told, now);
                }
            }
        }
    }

    /// Follows a pod on its way to a node.
    fn launch(&mut self, pod: Arc<Pod>, node: NodeName, decision: &Decision, attempts: u32, took: Duration) {
        self.attempts.scheduled += 1;
        let decision = self.remember(&pod, decision, took);
        let began = Instant::now();
        let binding = InFlight { pod, node, decision, attempts, began, took, asking: true, ticket: None };
        self.asking += 1;
        self.in_flight.insert(binding.pod.uid.clone(), binding);
    }

    /// Tells traces of an attempt that got as far as a binding.
    fn tell_attempt(&self, binding: &InFlight, waiting: Option<&Waiting>, result: &BindResult) {
        let error = match result {
            BindResult::Bound => None,
            BindResult::Refused(error) | BindResult::Unavailable(error) => Some(&**error),
        };
        self.traces.tell(&Attempt {
            pod: &binding.pod,
            node: Some(&binding.node),
            since: waiting.map(|waiting| waiting.since),
            decided: (binding.began.checked_sub(binding.took).unwrap_or(binding.began), binding.began),
            attempts: Some(binding.attempts),
            error,
        });
    }

    /// Counts a binding that did not come about.
    fn not_bound(&mut self, binding: &InFlight) {
        self.binding_errors += 1;
        self.counters.attempt(AttemptResult::error, &binding.pod.spec.scheduler_name, binding.began.elapsed());
        self.history.record_bind_failure(binding.decision, &binding.pod.uid, self.millis());
    }

    /// Puts a decision into history.
    fn remember(&mut self, pod: &Pod, decision: &Decision, took: Duration) -> DecisionId {
        let algorithm = match decision.algorithm {
            Algorithm::EnhancedScoring => augur_api::dto::Algorithm::EnhancedScoring,
            Algorithm::MlPrediction => augur_api::dto::Algorithm::MlPrediction,
        };
        self.counters.decided(algorithm, decision.fallback.as_ref().map_or("", Fallback::code), took);
        let at = self.millis();
        let id = self.history.next_id(at);
        let past = self.past.get();
        let (state, now) = (self.scheduler.state(), core_time(self.time.now()));
        let around = Surroundings { state, summary: self.summary, past: &past, now };
        let record = self.recorder.record((id, at, DecisionKind::Scheduling), pod, decision, took, &around);
        // What is dropped, history counts and its health tells.
        self.history.record_decision(record);
        id
    }

    pub(super) fn take_back(&mut self, back: Back) {
        match back {
            Back::ConditionLost(uid) => {
                self.conditions_lost += 1;
                if let Some(waiting) = self.waiting.get_mut(&uid) {
                    waiting.told = None;
                }
            }
            Back::Evicted(uid, result) => {
                self.evicting = self.evicting.saturating_sub(1);
                if let Err(error) = &result {
                    tracing::warn!(%error, "not evicted");
                }
                self.step(Input::EvictionResult { uid, result });
            }
            Back::Consulted(number, answer) => self.step(Input::Consulted { number, answer }),
            Back::Reread(reread) => self.take_reread(*reread),
            Back::Prepared(uid, result) => {
                if let Some(binding) = self.in_flight.get_mut(&uid) {
                    binding.asking = false;
                    self.asking -= 1;
                }
                self.step(Input::Prepared { uid, result });
            }
            Back::Bound(uid, result) => {
                let Some(binding) = self.in_flight.remove(&uid) else { return };
                self.asking -= usize::from(binding.asking);
                let waiting = self.waiting.remove(&uid);
                self.tell_attempt(&binding, waiting.as_ref(), &result);
                let (profile, took) = (&binding.pod.spec.scheduler_name, binding.began.elapsed());
                self.counters.binding(result == BindResult::Bound, profile, took);
                match &result {
                    BindResult::Bound => {
                        self.bound += 1;
                        self.counters.attempt(AttemptResult::scheduled, profile, took);
                        if let Some(waiting) = waiting {
                            self.bindings.record(waiting.since.elapsed());
                            self.counters.scheduled(binding.attempts, waiting.since.elapsed());
                        }
                        self.outbound.tell_bound(&binding.pod, &binding.node, self.clock.now());
                        tracing::info!(pod = %binding.pod.full_name(), node = %binding.node, "bound");
                    }
                    BindResult::Refused(error) | BindResult::Unavailable(error) => {
                        if let Some(waiting) = waiting {
                            self.waiting.insert(uid.clone(), waiting);
                        }
                        self.not_bound(&binding);
                        let pod = binding.pod.full_name();
                        if matches!(result, BindResult::Unavailable(_)) {
                            tracing::warn!(%pod, node = %binding.node, %error, "not bound");
                        } else {
                            // The pod went, or somebody else bound it: everyday life, and not ours to mend.
                            tracing::debug!(%pod, node = %binding.node, %error, "not bound");
                        }
                    }
                }
                self.step(Input::BindResult { uid, result });
            }
        }
    }
}
