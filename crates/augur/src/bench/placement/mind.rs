//! Augur's learning within a run: what the scheduler and the learner services do together, on one thread and by virtual time.
//! Entry point: [`Mind`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use augur_core::cycle::{Decision, NodeReport};
use augur_core::object::Pod;
use augur_core::predictor::Fallback;
use augur_core::state::ClusterState;
use augur_core::time::Timestamp;
use augur_forest::Calibrator;
use augur_history::{
    Alternative, Changes, DecisionId, Example, OutcomeLabel, OutcomeState, Rates, UnixMillis, WorkloadKey,
};
use augur_learn::lifetime::Lifetimes;
use augur_learn::{
    Event, LearnedModel, Learner, LearnerOptions, Lots, ModelPredictor, ModelSlot, Past, PastSlot, features_of,
    workload_key,
};
use augur_sandbox::sim::Millis;

use super::result::Moment;
use super::world::{MINUTE, Scenario, World};

/// A model is trained anew after this time. The configuration's default of a day is a maximum; an hour is what a
/// simulation of a day needs to show what learning goes on to do.
const UPDATE: Duration = Duration::from_secs(3_600);

/// The learner with what it is fed from.
pub struct Mind {
    learner: Learner,
    models: ModelSlot,
    past: PastSlot,
    pub predictor: ModelPredictor,
    lifetimes: Lifetimes,
    /// Placements whose label is not given yet.
    open: HashMap<DecisionId, Open>,
    /// When a sabotaged model is promoted by force, if that is yet to come.
    sabotage_at: Option<Millis>,
    next_tick: Millis,
    /// What happened to models.
    pub moments: Vec<Moment>,
    /// The labels that history gave, by pod.
    pub labels: Vec<(Arc<str>, OutcomeLabel)>,
}

struct Open {
    example: Example,
    pod: Arc<str>,
    told: bool,
}

impl Mind {
    /// Knows nothing.
    pub fn new(world: &World) -> Mind {
        let options = LearnerOptions { seed: world.seed, update_interval: UPDATE, ..LearnerOptions::default() };
        let lots = Lots { seed: options.seed, holdback: options.holdback };
        let (models, past) = (ModelSlot::default(), PastSlot::default());
        let predictor = ModelPredictor::new(models.clone(), past.clone(), lots, options.window);
        Mind {
            learner: Learner::new(options),
            models,
            past,
            predictor,
            lifetimes: Lifetimes::default(),
            open: HashMap::new(),
            sabotage_at: (world.scenario == Scenario::Sabotage).then(|| world.half_time()),
            next_tick: 0,
            moments: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// New rates from history.
    pub fn renew(&mut self, rates: Arc<Rates>) {
        self.past.set(Past { rates, lifetimes: Arc::new(self.lifetimes.clone()) });
    }

    /// A pod lived so long.
    pub fn lived(&mut self, workload: &WorkloadKey, span: Millis, ended: bool) {
        self.lifetimes.observe(workload, span as f64 / MINUTE as f64, ended);
    }

    /// What is known at a decision, before the pod is on its node.
    pub fn example(&self, state: &ClusterState, pod: &Pod, decision: &Decision, now: Timestamp) -> Option<Example> {
        let chosen = decision.chosen.as_ref()?;
        let past = self.past.get();
        let cluster = state.summary();
        let features = |node: &NodeReport| features_of(pod, state.node(&node.node), cluster, &past, now).to_vec();
        let plain = |report: &NodeReport| report.total - report.model_part;
        Some(Example {
            decision_id: DecisionId(0),
            at: UnixMillis(now.as_micros() / 1_000),
            node: chosen.node.clone(),
            workload: Some(workload_key(pod)),
            label: OutcomeLabel::Immature,
            cause: None,
            propensity: decision.propensity,
            features: features(chosen),
            model_id: decision.model_id.clone(),
            p_bad: chosen.prediction.map(|prediction| prediction.p_bad),
            holdback: decision.fallback == Some(Fallback::Holdback),
            until: None,
            alternative: decision.runner_up.as_ref().map(|other| Alternative {
                node: other.node.clone(),
                margin: plain(chosen) - plain(other),
                weight: decision.model_weight,
                features: features(other),
                p_bad: other.prediction.map(|prediction| prediction.p_bad),
            }),
            feedback: None,
        })
    }

    /// The placement that an example is of was made.
    pub fn placed(&mut self, decision: DecisionId, mut example: Example, pod: &Arc<str>) {
        example.decision_id = decision;
        self.tell(&example);
        self.open.insert(decision, Open { example, pod: pod.clone(), told: false });
    }

    /// What history has found out.
    pub fn follow(&mut self, changes: Changes) {
        for outcome in changes.outcomes {
            let Some(open) = self.open.get_mut(&outcome.decision_id) else { continue };
            let labelled = outcome.label != OutcomeLabel::Immature;
            let over = outcome.state != OutcomeState::Starting && outcome.state != OutcomeState::Running;
            if !labelled && (open.told || !over) {
                continue;
            }
            open.told = true;
            open.example.label = outcome.label;
            open.example.cause = outcome.cause;
            open.example.until = outcome.trouble_at.or(outcome.ended_at).or(over.then_some(outcome.at));
            let example = open.example.clone();
            if labelled {
                self.labels.push((open.pod.clone(), outcome.label));
                self.open.remove(&outcome.decision_id);
            }
            self.tell(&example);
        }
    }

    fn tell(&mut self, example: &Example) {
        // What is not sound is counted by the learner.
        let _ = self.learner.observe(example);
    }

    /// Lets time pass: once a minute the learner does what is due.
    pub fn advance(&mut self, now: Millis) {
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + MINUTE;
        let mut events = self.learner.tick(UnixMillis(now));
        if self.sabotage_at.take_if(|at| now >= *at).is_some()
            && let Some(model) = sabotaged(self.learner.clone(), now)
        {
            events.extend(self.learner.promote(&model, UnixMillis(now)));
        }
        if events.is_empty() {
            return;
        }
        self.models.set(self.learner.in_use());
        self.moments.extend(events.iter().filter_map(|event| moment(event, now)));
    }
}

/// The model that the learner would train now, turned around: its log-odds are mirrored about the rate of bad outcomes, so that it
/// prefers the nodes which it has learned to be bad, and it is as sure of itself as a model can be.
fn sabotaged(mut learner: Learner, now: Millis) -> Option<Arc<LearnedModel>> {
    learner.advance(UnixMillis(now));
    learner.ask_for_training();
    let trained = learner.due()?.ok()?.run(&mut ()).ok()?;
    let rate = trained.evaluation.bad_train as f64 / trained.evaluation.n_train.max(1) as f64;
    let mut file = trained.model.file.clone();
    file.calibrator = Calibrator::Platt { slope: -1.0, intercept: 2.0 * (rate / (1.0 - rate)).ln() };
    file.metadata.insert("skill".to_owned(), "1".to_owned());
    LearnedModel::of_file(file).ok().map(Arc::new)
}

fn moment(event: &Event, at: Millis) -> Option<Moment> {
    let (kind, text) = match event {
        Event::Promoted(_, augur_learn::online::By::Hand) => ("forced", String::new()),
        Event::Promoted(..) => ("promoted", String::new()),
        Event::RolledBack { why, .. } => ("rolled back", why.clone()),
        Event::Refused(_, gates) => ("refused", gates.join(", ")),
        Event::Drift(by) => ("drift", (*by).to_owned()),
        Event::Confirmed(_) => ("confirmed", String::new()),
        Event::NotTrained(error) => ("not trained", error.to_string()),
        Event::Trained(_) | Event::Refreshed(..) => return None,
    };
    Some(Moment { at, kind, text })
}
