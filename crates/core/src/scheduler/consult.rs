//! Asking extenders, between the two halves of a decision: [`Consultations`].
//!
//! A pod that is some extender's business is judged by all filters first, and [`Effect::Consult`] has the extenders asked about
//! the nodes that are left. Others are decided meanwhile. When the answers are there the pod is decided again, on the state of
//! that moment: among the nodes that were asked about and let pass, with the points that they were given. Nodes that fit by
//! then and that nobody was asked about are asked about in a further round, if there is no other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::{Effect, Scheduler};
use crate::cycle::{self, Cycle, Decision, Outcome, PreemptionCandidate, PreemptionOutlook};
use crate::extender::{Advice, Eviction, Extender};
use crate::object::{NodeName, Pod, PodSpec, PodUid};
use crate::predictor::Predictor;
use crate::preemption::{self, Cost, PotentialVictim, Victims};
use crate::state::ClusterState;
use crate::time::Timestamp;

/// Questions under way for pods that concern the same extenders: enough to keep one busy that answers within tens of
/// milliseconds, and few enough that the lists of nodes that they hold are no burden. Pods beyond wait for a place; pods that
/// concern other extenders, or none, do not wait with them.
pub const CONSULTATIONS: usize = 32;

/// Rounds of questions about nodes in one attempt.
const ROUNDS: u8 = 4;

/// An answer that took longer is not used; extenders have deadlines of their own, which are shorter.
const STALE_AFTER: Duration = Duration::from_secs(300);

/// What kube-scheduler says when extenders leave no node where room could be made.
const NO_CANDIDATE: &str = "no candidate node for preemption";

/// Why an attempt ends whose rounds are used up.
const CHANGES_TOO_FAST: &str = "nodes change faster than extenders answer";

/// Extenders that are asked, by their place in the order.
pub type Party = Arc<[usize]>;

/// What extenders are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// On which of these nodes the pod may run, and how good they are.
    Nodes(Vec<NodeName>),
    /// On which of these nodes room may be made, and who has to go.
    Evictions(Vec<Eviction>),
}

/// What they answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Nodes`].
    Nodes(Advice),
    /// To [`Question::Evictions`].
    Evictions(Vec<Eviction>),
}

/// What has been heard in an attempt so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    rounds: u8,
    /// Whether the last round was about the nominated node alone.
    alone: bool,
    pub(super) advice: Option<Advice>,
    evictions: Option<Result<Vec<Eviction>, Arc<str>>>,
    /// Why extenders could not be asked about nodes.
    error: Option<Arc<str>>,
}

/// An attempt that begins or goes on.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) uid: PodUid,
    pub(super) attempts: u32,
    pub(super) heard: Heard,
}

/// A question under way.
#[derive(Debug)]
struct Asked {
    turn: Turn,
    party: Party,
    about_nodes: bool,
    at: Timestamp,
}

/// Where a pod stands that is being asked about or waits for that.
#[derive(Debug)]
enum Stand {
    /// With the number of its latest question.
    Asked(u64),
    Parked(Party, ParkingKey),
}

/// Highest priority first, then in order of arrival.
type ParkingKey = (Reverse<i32>, u64);

/// Questions under way, answers that wait to be looked at, and pods that wait to be asked about.
#[derive(Debug, Default)]
pub(super) struct Consultations {
    extenders: Vec<Extender>,
    /// By number; at most twice [`CONSULTATIONS`] a party, since a pod that was asked about may be asked about again.
    asked: HashMap<u64, Asked>,
    under_way: HashMap<Party, usize>,
    /// No more than questions were under way: none is asked before all answers have been looked at.
    answered: VecDeque<(u64, Turn)>,
    /// Pods of the queue's, by name only: as many as there are objects.
    parked: BTreeMap<Party, BTreeMap<ParkingKey, Turn>>,
    stands: HashMap<PodUid, Stand>,
    numbers: u64,
}

impl Consultations {
    pub(super) fn new(extenders: Vec<Extender>) -> Consultations {
        Consultations { extenders, ..Consultations::default() }
    }

    /// The extenders that are asked about pods of this spec, of those that have a part in it.
    pub(super) fn party(&self, spec: &PodSpec, part: impl Fn(&Extender) -> bool) -> Party {
        let of = |(at, extender): (usize, &Extender)| (part(extender) && extender.is_interested(spec)).then_some(at);
        self.extenders.iter().enumerate().filter_map(of).collect()
    }

    /// Whether there is an answer to look at, or a pod that can be asked about now.
    pub(super) fn has_work(&self) -> bool {
        !self.answered.is_empty() || self.parked.keys().any(|party| self.has_room(party))
    }

    fn has_room(&self, party: &Party) -> bool {
        self.under_way.get(party).is_none_or(|under_way| *under_way < CONSULTATIONS)
    }

    /// The attempt that goes on next, if one can.
    pub(super) fn next(&mut self) -> Option<Turn> {
        while let Some((number, turn)) = self.answered.pop_front() {
            if self.is_current(&turn.uid, number) {
                self.stands.remove(&turn.uid);
                return Some(turn);
            }
        }
        let party = self.parked.keys().find(|party| self.has_room(party)).cloned()?;
        let parked = self.parked.get_mut(&party)?;
        let (_, turn) = parked.pop_first()?;
        if parked.is_empty() {
            self.parked.remove(&party);
        }
        self.stands.remove(&turn.uid);
        Some(turn)
    }

    fn is_current(&self, uid: &PodUid, number: u64) -> bool {
        matches!(self.stands.get(uid), Some(Stand::Asked(current)) if *current == number)
    }

    /// The pod is nobody's business here any more.
    pub(super) fn forget(&mut self, uid: &PodUid) {
        if let Some(Stand::Parked(party, key)) = self.stands.remove(uid)
            && let Some(parked) = self.parked.get_mut(&party)
        {
            parked.remove(&key);
            if parked.is_empty() {
                self.parked.remove(&party);
            }
        }
    }

    /// Sets the attempt aside until a question of the party is answered, if too many are under way; else gives it back.
    pub(super) fn wait_for_room(&mut self, turn: Turn, priority: i32, party: &Party) -> Option<Turn> {
        if self.has_room(party) || turn.heard.rounds > 0 {
            return Some(turn);
        }
        self.numbers += 1;
        let key = (Reverse(priority), self.numbers);
        self.stands.insert(turn.uid.clone(), Stand::Parked(party.clone(), key));
        self.parked.entry(party.clone()).or_default().insert(key, turn);
        None
    }

    /// Whether extenders have to be asked about nodes before the attempt goes on.
    pub(super) fn asks_about_nodes(&self, turn: &Turn, spec: &PodSpec) -> Option<Party> {
        let heard = &turn.heard;
        if heard.advice.is_some() || heard.failure().is_some() {
            return None;
        }
        let party = self.party(spec, Extender::judges_nodes);
        (!party.is_empty()).then_some(party)
    }

    /// Asks on which of the nodes the pod may run: about its nominated node alone first.
    pub(super) fn ask_about_nodes(
        &mut self,
        mut turn: Turn,
        pod: &Arc<Pod>,
        party: Party,
        mut nodes: Vec<NodeName>,
        nominated: Option<&NodeName>,
        now: Timestamp,
    ) -> Effect {
        let alone = nominated.filter(|node| turn.heard.rounds == 0 && nodes.contains(node));
        let rounds = turn.heard.rounds + 1;
        turn.heard = Heard { rounds, alone: alone.is_some(), ..Heard::default() };
        if let Some(node) = alone {
            nodes = vec![node.clone()];
        }
        self.ask(turn, pod, party, Question::Nodes(nodes), now)
    }

    /// Asks where room may be made for the pod, if some extender has a say in that; `None` if the attempt waits for a place.
    ///
    /// # Errors
    /// Nobody is to be asked; the attempt goes on.
    pub(super) fn ask_about_evictions(
        &mut self,
        turn: Turn,
        pod: &Arc<Pod>,
        candidates: &[PreemptionCandidate],
        now: Timestamp,
    ) -> Result<Option<Effect>, Box<Turn>> {
        let party = self.party(&pod.spec, |extender| extender.preempts);
        if party.is_empty() || turn.heard.evictions.is_some() {
            return Err(turn.into());
        }
        let Some(turn) = self.wait_for_room(turn, pod.spec.priority, &party) else { return Ok(None) };
        let eviction = |candidate: &PreemptionCandidate| Eviction {
            node: candidate.node.clone(),
            victims: candidate.victims.to_vec(),
            budget_violations: candidate.budget_violations,
        };
        let question = Question::Evictions(candidates.iter().map(eviction).collect());
        Ok(Some(self.ask(turn, pod, party, question, now)))
    }

    fn ask(&mut self, mut turn: Turn, pod: &Arc<Pod>, party: Party, question: Question, at: Timestamp) -> Effect {
        self.numbers += 1;
        let number = self.numbers;
        turn.heard.rounds = turn.heard.rounds.max(1);
        *self.under_way.entry(party.clone()).or_default() += 1;
        self.stands.insert(pod.uid.clone(), Stand::Asked(number));
        let about_nodes = matches!(question, Question::Nodes(_));
        self.asked.insert(number, Asked { turn, party: party.clone(), about_nodes, at });
        Effect::Consult { pod: pod.clone(), number, extenders: party, question }
    }

    /// Takes in what came of a question.
    pub(super) fn answer(&mut self, number: u64, answer: Result<Answer, Arc<str>>, now: Timestamp) {
        let Some(Asked { mut turn, party, about_nodes, at }) = self.asked.remove(&number) else { return };
        if let Some(under_way) = self.under_way.get_mut(&party) {
            *under_way -= 1;
            if *under_way == 0 {
                self.under_way.remove(&party);
            }
        }
        if !self.is_current(&turn.uid, number) {
            return;
        }
        match answer {
            _ if at + STALE_AFTER < now => turn.heard = Heard { rounds: turn.heard.rounds, ..Heard::default() },
            Ok(Answer::Nodes(advice)) => turn.heard.advice = Some(advice),
            Ok(Answer::Evictions(evictions)) => turn.heard.evictions = Some(Ok(evictions)),
            Err(error) if about_nodes => turn.heard.error = Some(error),
            Err(error) => turn.heard.evictions = Some(Err(error)),
        }
        self.answered.push_back((number, turn));
    }
}

impl Scheduler {
    /// The next attempt: those that were answered go before those that begin.
    pub(super) fn next_turn(&mut self) -> Option<Turn> {
        self.consultations.next().or_else(|| {
            let queued = self.queue.pop()?;
            Some(Turn { uid: queued.uid, attempts: queued.attempts, heard: Heard::default() })
        })
    }

    /// Decides, or has extenders asked first: `None` if the attempt goes on once they have answered.
    pub(super) fn decide(
        &mut self,
        mut turn: Turn,
        pod: &Arc<Pod>,
        predictor: &dyn Predictor,
        cycle: Cycle,
        effects: &mut Vec<Effect>,
    ) -> Option<Decision> {
        let Scheduler { profiles, state, decider, consultations, .. } = self;
        let profile = profiles.get(&pod.spec.scheduler_name)?;
        let nominated = state.nomination(&pod.uid).or(pod.nominated_node.as_ref());
        if let Some(party) = consultations.asks_about_nodes(&turn, &pod.spec) {
            turn = consultations.wait_for_room(turn, pod.spec.priority, &party)?;
            let fitting = decider.fitting(state, pod, profile, cycle).filter(|nodes| !nodes.is_empty());
            if let Some(nodes) = fitting {
                effects.push(consultations.ask_about_nodes(turn, pod, party, nodes, nominated, cycle.now));
                return None;
            }
        }
        if let Some(error) = turn.heard.failure() {
            return Some(cycle::failed(state, pod, cycle, error));
        }
        let with = (predictor, turn.heard.advice.as_ref());
        let mut decision = decider.decide_advised(state, pod, profile, with, cycle);
        let Outcome::Unschedulable(diagnosis) = &mut decision.outcome else { return Some(decision) };
        if turn.heard.advice.is_some() {
            let fitting = decider.fitting(state, pod, profile, cycle).unwrap_or_default();
            match turn.heard.wants_more(&fitting) {
                Ok(false) => {}
                Ok(true) => {
                    let party = consultations.party(&pod.spec, Extender::judges_nodes);
                    effects.push(consultations.ask_about_nodes(turn, pod, party, fitting, None, cycle.now));
                    return None;
                }
                Err(why) => return Some(cycle::failed(state, pod, cycle, why)),
            }
        }
        if let PreemptionOutlook::Possible(candidates) = &diagnosis.preemption {
            match consultations.ask_about_evictions(turn, pod, candidates, cycle.now) {
                Ok(effect) => {
                    effects.extend(effect);
                    return None;
                }
                Err(turn) => {
                    if let Some(outlook) = turn.heard.narrow(pod, candidates, state, cycle.now) {
                        diagnosis.preemption = outlook;
                        decision.reason = diagnosis.message();
                    }
                }
            }
        }
        Some(decision)
    }
}

impl Heard {
    /// Why the attempt cannot go on.
    pub(super) fn failure(&self) -> Option<&Arc<str>> {
        self.error.as_ref().filter(|_| !self.alone)
    }

    /// Whether nodes have to be asked about that nobody was asked about yet; `fitting` are those that the pod fits now, by
    /// all filters.
    ///
    /// # Errors
    /// The rounds are used up.
    pub(super) fn wants_more(&self, fitting: &[NodeName]) -> Result<bool, &'static str> {
        let Some(advice) = &self.advice else { return Ok(false) };
        if fitting.iter().all(|node| advice.is_about(node)) {
            return Ok(false);
        }
        if self.rounds < ROUNDS { Ok(true) } else { Err(CHANGES_TOO_FAST) }
    }

    /// What making room comes to, of all that would help, once extenders have had their say.
    pub(super) fn narrow(
        &self,
        pod: &Pod,
        candidates: &[PreemptionCandidate],
        state: &ClusterState,
        now: Timestamp,
    ) -> Option<PreemptionOutlook> {
        let evictions = match self.evictions.as_ref()? {
            Ok(evictions) => evictions,
            Err(error) => return Some(PreemptionOutlook::Denied(error.to_string())),
        };
        let (mut narrowed, mut costs) = (Vec::new(), Vec::new());
        for eviction in evictions {
            // What the extender saw may have changed meanwhile.
            if !candidates.iter().any(|candidate| candidate.node == eviction.node) {
                continue;
            }
            let on_node = |uid: &PodUid| state.pod(uid).filter(|(_, node)| **node == eviction.node).map(|(pod, _)| pod);
            let victims: Vec<&Arc<Pod>> = eviction.victims.iter().filter_map(on_node).collect();
            if victims.is_empty() || victims.iter().any(|victim| victim.spec.priority >= pod.spec.priority) {
                continue;
            }
            let potential: Vec<PotentialVictim<'_>> = victims
                .iter()
                .map(|victim| PotentialVictim {
                    priority: victim.spec.priority,
                    started: victim.started.unwrap_or(now),
                    budgets: &[],
                })
                .collect();
            let all = (0..potential.len()).collect();
            let chosen = Victims { pods: all, budget_violations: eviction.budget_violations };
            costs.extend(Cost::of(&chosen, &potential));
            narrowed.push(PreemptionCandidate {
                node: eviction.node.clone(),
                victims: victims.iter().map(|victim| victim.uid.clone()).collect(),
                budget_violations: eviction.budget_violations,
                best: false,
            });
        }
        for best in preemption::best(&costs) {
            narrowed[best].best = true;
        }
        Some(match narrowed.is_empty() {
            true => PreemptionOutlook::Denied(NO_CANDIDATE.to_owned()),
            false => PreemptionOutlook::Possible(narrowed),
        })
    }
}
