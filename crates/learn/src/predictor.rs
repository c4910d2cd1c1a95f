//! What decisions ask: [`ModelPredictor`] answers for the models in use, and [`ModelSlot`] is where they are exchanged.
//!
//! Features of a node are kept as the codes of the model in use, and the answers for a kind of pod beside them; only nodes that
//! changed are encoded and asked about anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use augur_core::object::{Pod, PodSpec};
use augur_core::predictor::{Fallback, NodePrediction, PredictRequest, Predictor};
use augur_core::state::NodeView;
use augur_core::time::Timestamp;
use augur_forest::BinnedRows;

use crate::arms::Lots;
use crate::features::{
    ClusterFacts, FEATURE_COUNT, FeatureVector, NodeFacts, PairFacts, Past, PodFacts, decision_part, node_part,
    pair_part, row_of, workload_key,
};
use crate::model::LearnedModel;

/// Kinds of pods whose answers are kept. At 5,000 nodes one takes about half a megabyte.
const KINDS: usize = 128;
/// Facts that change by themselves, as starts of the last five minutes, are taken anew after so long.
const FACTS_FOR: Duration = Duration::from_secs(30);

/// A promotion that has to stand its test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Probation {
    /// The promotion's number; each draws other pods.
    pub number: u64,
    /// Share of pods that get the new model; the others get the last known good one, or none.
    pub share: f64,
}

/// The models in use.
#[derive(Debug, Clone, Default)]
pub struct InUse {
    /// The promoted model.
    pub champion: Option<Arc<LearnedModel>>,
    /// The model before it that had stood its test.
    pub last_good: Option<Arc<LearnedModel>>,
    /// Set as long as the promoted model has to stand its test.
    pub probation: Option<Probation>,
}

impl InUse {
    /// The model for a pod, or why none.
    pub fn model_for(&self, lots: Lots, uid: &str) -> Result<&Arc<LearnedModel>, Fallback> {
        let champion = self.champion.as_ref().ok_or(Fallback::NotTrained)?;
        if lots.is_held_back(uid) {
            return Err(Fallback::Holdback);
        }
        match self.probation {
            Some(Probation { number, share }) if !lots.is_on_probation(number, uid, share) => {
                self.last_good.as_ref().ok_or(Fallback::Holdback)
            }
            _ => Ok(champion),
        }
    }
}

/// Where the models in use are exchanged: whoever learns puts them in, and decisions take them out. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ModelSlot(Arc<Mutex<Arc<InUse>>>);

impl ModelSlot {
    /// Puts other models into use, for all decisions from now on.
    pub fn set(&self, models: InUse) {
        *lock(&self.0) = Arc::new(models);
    }

    /// The models in use.
    pub fn get(&self) -> Arc<InUse> {
        lock(&self.0).clone()
    }
}

/// What is known of the past, renewed from time to time by whoever knows. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PastSlot(Arc<Mutex<Arc<Past>>>);

impl PastSlot {
    /// Renews it.
    pub fn set(&self, past: Past) {
        *lock(&self.0) = Arc::new(past);
    }

    /// The latest.
    pub fn get(&self) -> Arc<Past> {
        lock(&self.0).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is replaced whole or may be made anew, so that a panic elsewhere leaves nothing half-done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The predictor of the decision core over the models in use.
///
/// The locks are held by one thread as a rule, the scheduler's, and for the length of a copy by others: nobody waits.
pub struct ModelPredictor {
    models: ModelSlot,
    past: PastSlot,
    lots: Lots,
    max_age: Duration,
    budget: Option<Budget>,
    tables: Mutex<Tables>,
}

/// What inference may take, and the clock that tells.
pub struct Budget {
    /// The most that one answer may take.
    pub most: Duration,
    /// Nanoseconds since some moment.
    pub nanos: fn() -> u64,
}

impl ModelPredictor {
    /// A predictor over what the slots hold. A model older than `max_age` is not asked.
    pub fn new(models: ModelSlot, past: PastSlot, lots: Lots, max_age: Duration) -> Self {
        ModelPredictor { models, past, lots, max_age, budget: None, tables: Mutex::default() }
    }

    /// The same with a deadline: an answer that took longer is not used.
    #[must_use]
    pub fn with_budget(self, budget: Budget) -> Self {
        ModelPredictor { budget: Some(budget), ..self }
    }

    fn usable(&self, model: &LearnedModel, now: Timestamp) -> Result<(), Fallback> {
        let trained = Timestamp::from_micros(model.trained_at_ms.saturating_mul(1000));
        if now.since(trained) > self.max_age { Err(Fallback::Stale) } else { Ok(()) }
    }
}

impl Predictor for ModelPredictor {
    fn available(&self, now: Timestamp) -> Result<(), Fallback> {
        let models = self.models.get();
        self.usable(models.champion.as_ref().ok_or(Fallback::NotTrained)?, now)
    }

    fn predict(&self, request: &PredictRequest<'_>, predictions: &mut Vec<NodePrediction>) -> Result<(), Fallback> {
        let models = self.models.get();
        let model = models.model_for(self.lots, &request.pod.uid)?;
        self.usable(model, request.now)?;
        let past = self.past.get();
        let began = self.budget.as_ref().map(|budget| (budget.nanos)());
        let mut tables = lock(&self.tables);
        tables.answer(model, &past, request, predictions)?;
        if let (Some(budget), Some(began)) = (&self.budget, began)
            && u128::from((budget.nanos)().saturating_sub(began)) > budget.most.as_nanos()
        {
            return Err(Fallback::Deadline);
        }
        Ok(())
    }

    fn model_id(&self) -> Option<Arc<str>> {
        self.models.get().champion.as_ref().map(|model| model.id.clone())
    }

    fn model_for(&self, pod: &Pod) -> Option<Arc<str>> {
        self.models.get().model_for(self.lots, &pod.uid).ok().map(|model| model.id.clone())
    }
}

/// What tells whether a node is as it was when it was looked at last; apart from its facts, so that many are looked through fast.
#[derive(Clone, Copy)]
struct Mark {
    stamp: u64,
    at: Timestamp,
    /// Counts the changes of the facts; 0 before any are known.
    version: u32,
}

const UNSEEN: Mark = Mark { stamp: 0, at: Timestamp::EPOCH, version: 0 };

/// The answers for one kind of pod.
struct Answers {
    /// Keeps the address of the spec from being used again.
    _spec: Arc<PodSpec>,
    /// The features of pod and cluster that the answers rest on.
    decision: FeatureVector,
    /// By node: the version of its facts, and the answer.
    nodes: Vec<(u32, NodePrediction)>,
    used: u64,
}

/// What is kept from decision to decision, for one model.
#[derive(Default)]
struct Tables {
    past: Option<Arc<Past>>,
    /// By node.
    marks: Vec<Mark>,
    /// By node; of those that have been looked at.
    facts: Vec<Option<NodeFacts>>,
    /// By model, spec and workload.
    kinds: HashMap<(Arc<str>, usize, u64), Answers>,
    uses: u64,
}

impl Tables {
    fn answer(
        &mut self,
        model: &Arc<LearnedModel>,
        past: &Arc<Past>,
        request: &PredictRequest<'_>,
        predictions: &mut Vec<NodePrediction>,
    ) -> Result<(), Fallback> {
        let anew = self.past.as_ref().is_none_or(|known| !Arc::ptr_eq(known, past));
        if anew {
            self.past = Some(past.clone());
        }
        let pod = PodFacts::of(request.pod, &past.rates, past.lifetime(request.pod));
        let mut decision: FeatureVector = [None; FEATURE_COUNT];
        decision_part(&pod, &ClusterFacts::from(request.cluster), &mut decision);
        self.uses += 1;
        let workload = if request.pod.workload.is_some() { name_hash(&workload_key(request.pod)) } else { 0 };
        let key = (model.id.clone(), Arc::as_ptr(&request.pod.spec).addr(), workload);
        if self.kinds.len() >= KINDS && !self.kinds.contains_key(&key) {
            self.drop_oldest();
        }
        let rows = request.candidates.iter().map(|node| node.id().index() + 1).max().unwrap_or(0);
        if self.marks.len() < rows {
            self.marks.resize(rows, UNSEEN);
            self.facts.resize(rows, None);
        }
        let kind = self.kinds.entry(key).or_insert_with(|| Answers {
            _spec: request.pod.spec.clone(),
            decision,
            nodes: Vec::new(),
            used: 0,
        });
        kind.used = self.uses;
        if kind.decision != decision {
            (kind.decision, kind.nodes) = (decision, Vec::new());
        }
        if kind.nodes.len() < rows {
            kind.nodes.resize(rows, (0, NodePrediction { p_bad: 0.0, confidence: 0.0 }));
        }
        let first = predictions.len();
        let mut changed: Vec<usize> = Vec::new();
        for (place, node) in request.candidates.iter().enumerate() {
            let at = node.id().index();
            let (Some(mark), Some((version, known))) = (self.marks.get_mut(at), kind.nodes.get(at)) else { continue };
            if anew || mark.stamp != node.stamp() || request.now.since(mark.at) >= FACTS_FOR {
                look_at(mark, &mut self.facts[at], node, past, request.now);
            }
            if *version != mark.version {
                changed.push(place);
            }
            predictions.push(*known);
        }
        if changed.is_empty() {
            return Ok(());
        }
        let file = &model.file;
        let failed = |error: augur_forest::ForestError| Fallback::Failed(error.to_string().into());
        let mut codes: BinnedRows = file.bins.rows();
        let mut features = Vec::with_capacity(changed.len());
        changed.retain(|place| {
            let Some(node) = request.candidates.get(*place) else { return false };
            let Some(Some(facts)) = self.facts.get(node.id().index()) else { return false };
            let mut row = decision;
            node_part(facts, &mut row);
            pair_part(&pod, facts, &PairFacts::of(request.pod, *node), &mut row);
            let row = row_of(&row);
            features.extend(row);
            row.is_some()
        });
        for row in &features {
            codes.push(&file.bins, row).map_err(failed)?;
        }
        let p = file.predict_rows(&codes).map_err(failed)?;
        let mut confidences = Vec::with_capacity(features.len());
        model.confidences(&codes, &features, &mut confidences);
        for (place, (p, confidence)) in changed.iter().zip(p.iter().zip(confidences)) {
            let prediction = NodePrediction { p_bad: f64::from(*p), confidence };
            let Some(at) = request.candidates.get(*place).map(|node| node.id().index()) else { continue };
            if let (Some(known), Some(mark)) = (kind.nodes.get_mut(at), self.marks.get(at)) {
                *known = (mark.version, prediction);
            }
            if let Some(told) = predictions.get_mut(first + place) {
                *told = prediction;
            }
        }
        Ok(())
    }

    fn drop_oldest(&mut self) {
        let mut uses: Vec<u64> = self.kinds.values().map(|kind| kind.used).collect();
        uses.sort_unstable();
        let oldest_kept = uses.get(uses.len() / 2).copied().unwrap_or(0);
        self.kinds.retain(|_, kind| kind.used > oldest_kept);
    }
}

/// Takes the facts of a node anew.
fn look_at(mark: &mut Mark, known: &mut Option<NodeFacts>, node: &NodeView<'_>, past: &Past, now: Timestamp) {
    let facts = NodeFacts::of(*node, &past.rates, now, None);
    // What depends on pod and node together may change although the facts do not; the stamp tells.
    let version = match known {
        Some(known) if *known == facts && mark.stamp == node.stamp() => mark.version,
        _ => mark.version.wrapping_add(1).max(1),
    };
    *known = Some(facts);
    *mark = Mark { stamp: node.stamp(), at: now, version };
}

/// A number made from a workload's name.
fn name_hash(key: &augur_history::WorkloadKey) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}
