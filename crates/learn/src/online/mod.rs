//! The online loop, as plain data: [`Learner::observe`] takes in examples, [`Learner::tick`] lets time pass and says what came
//! of it: models that were trained, promoted, refused, refreshed, or taken back. Time is an argument and the seed a setting;
//! there are no threads and no files. A service that must not stand still while it trains uses [`Learner::due`],
//! [`Plan::run`] elsewhere, and [`Learner::finish`].
//!
//! An example may come up to three times under its decision: when the pod is placed (`immature`), when trouble is first seen
//! (`immature` with a cause), and when its label is given. Trouble is told at once, so that a harmful model is taken back long
//! before labels are due; only labels train.

pub mod drift;
mod gates;
pub mod guard;
pub mod measure;
mod options;
mod reference;
mod status;
mod train;
mod window;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use augur_forest::BinnedRows;
use augur_history::{Example, OutcomeLabel, UnixMillis};

use crate::model::LearnedModel;
use crate::predictor::{InUse, Probation};
use drift::{Adwin, PageHinkley};
pub use gates::Gate;
pub use guard::ArmCounts;
use guard::{Arm, Guard};
pub use options::LearnerOptions;
pub use status::{DayQuality, DriftStatus, HoldbackStatus, LearnerStatus};
use train::millis;
pub use train::{Evaluation, Metrics, Plan, Reason, TrainError, Trained, Watcher};
pub use window::Rejected;
use window::{Kept, Onset, Window};

/// Models that are kept for going back: more than one may turn out to do harm.
const KNOWN_GOOD: usize = 4;
/// Rows that drift of features is measured on.
pub(crate) const DRIFT_ROWS: usize = 1_000;
/// Features that have less than this share in what the splits gained may drift: the model hardly looks at them.
const MATTERS: f64 = 0.02;
/// Features that drift start a challenger no sooner than this share of the update interval after the last training: that the model
/// errs, which the other detectors see, is more urgent.
const SHIFT_INTERVALS: i64 = 4;
/// The alarm of features that have drifted.
const SHIFTED: &str = "psi";
/// A minute in milliseconds.
const MINUTE_MS: i64 = 60_000;
/// How often drift of features is measured.
const SHIFT_EVERY_MS: i64 = 5 * MINUTE_MS;
/// After a rollback nothing is promoted by itself for so many times the probation.
const COOL_DOWN: i64 = 2;

/// Who wanted a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The learner itself, after the gates or the guard.
    Itself,
    /// Somebody, by hand.
    Hand,
}

/// What came of letting time pass.
#[derive(Debug, Clone)]
pub enum Event {
    /// A detector says that the world has changed; a challenger will be trained.
    Drift(&'static str),
    /// A model was trained and judged.
    Trained(Trained),
    /// It did not pass all gates; which it failed.
    Refused(Arc<str>, Vec<&'static str>),
    /// Nothing could be trained.
    NotTrained(TrainError),
    /// A model was taken into use, on probation.
    Promoted(Arc<str>, By),
    /// The model in use has stood its test.
    Confirmed(Arc<str>),
    /// The model in use was taken back; the model now in use, if any.
    RolledBack {
        /// The model that was taken back.
        from: Arc<str>,
        /// The model in use now; none means that placement is deterministic.
        to: Option<Arc<str>>,
        /// Who wanted it.
        by: By,
        /// Why, with figures.
        why: String,
    },
    /// Leaves of the model in use took in so many labels; the model has a new id.
    Refreshed(Arc<str>, usize),
}

/// A request that cannot be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no model in use.
    #[error("no model is in use; there is nothing to take back")]
    NoModel,
}

/// What a learner knows besides its examples.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The model in use.
    pub champion: Option<Arc<LearnedModel>>,
    /// Models to go back to, the latest last.
    pub good: Vec<Arc<LearnedModel>>,
    /// Ids under which decisions name the model in use.
    pub aliases: Vec<Arc<str>>,
    /// Ids of models that did harm.
    pub harmful: Vec<Arc<str>>,
    /// Promotions so far.
    pub promotions: u64,
    /// Trainings so far.
    pub trainings: u64,
    /// When the model in use was taken into use.
    pub promoted_ms: i64,
    /// When the last training began.
    pub last_training_ms: Option<i64>,
    /// Whether the model in use has yet to stand its test.
    pub on_probation: bool,
}

/// The online loop.
#[derive(Debug, Clone)]
pub struct Learner {
    options: LearnerOptions,
    window: Window,
    now_ms: i64,
    champion: Option<Arc<LearnedModel>>,
    /// The model in use as it was promoted, before any label was added to its leaves: what a challenger has to beat on
    /// examples that the leaves may have taken in since.
    frozen: Option<Arc<LearnedModel>>,
    /// When the model in use was taken into use.
    promoted_ms: i64,
    /// The evaluation of the model in use, if it was trained here.
    evaluation: Option<Evaluation>,
    /// Models that have stood their test, the latest last; the model in use is not among them.
    good: Vec<Arc<LearnedModel>>,
    probation: Option<(Probation, i64)>,
    promotions: u64,
    trainings: u64,
    last_training_ms: Option<i64>,
    asked: bool,
    drifted: Option<&'static str>,
    /// Challengers refused in a row: drift that the features have for good, as counts that grow, must not train without end.
    refused: u32,
    /// Ids of models that did harm.
    harmful: Vec<Arc<str>>,
    quiet_until_ms: i64,
    /// The arms since the latest promotion.
    guard: Guard,
    /// Pods with a model against pods without, since the learner began.
    overall: Guard,
    /// Decisions whose labels wait for the next refresh of leaves.
    pending: Vec<u64>,
    errors: Adwin,
    calibration: PageHinkley,
    reference: Vec<reference::Parts>,
    shifts: Vec<reference::Shift>,
    drift_told: bool,
    /// When a training was last thought of.
    tried_ms: i64,
    /// When features were last compared with those of the training set.
    shift_measured_ms: i64,
    last_rollback: Option<(i64, String)>,
    last_refusal: Option<Evaluation>,
    /// Feedback that contradicted what the cluster had shown.
    contradicting: u64,
    /// Feedback on what had some.
    repeated: u64,
    /// Feedback on decisions that are not known.
    unknown: u64,
    /// Ids under which the model in use is known, by leaf refreshes; decisions name any of them.
    aliases: Vec<Arc<str>>,
}

impl Learner {
    /// A learner that knows nothing.
    pub fn new(options: LearnerOptions) -> Self {
        let horizon = millis(options.horizon);
        Learner {
            window: Window::default(),
            now_ms: 0,
            champion: None,
            evaluation: None,
            good: Vec::new(),
            probation: None,
            promotions: 0,
            trainings: 0,
            last_training_ms: None,
            asked: false,
            drifted: None,
            refused: 0,
            harmful: Vec::new(),
            quiet_until_ms: i64::MIN,
            guard: Guard::new(horizon),
            overall: Guard::new(horizon),
            pending: Vec::new(),
            errors: Adwin::new(0.002),
            calibration: PageHinkley::new(0.05, 25.0),
            reference: Vec::new(),
            shifts: Vec::new(),
            drift_told: false,
            tried_ms: 0,
            shift_measured_ms: 0,
            promoted_ms: i64::MIN,
            frozen: None,
            last_rollback: None,
            last_refusal: None,
            contradicting: 0,
            repeated: 0,
            unknown: 0,
            aliases: Vec::new(),
            options,
        }
    }

    /// Goes on where another left off: with these models, and the examples that are observed from now on.
    pub fn restore(&mut self, known: Known) {
        self.champion.clone_from(&known.champion);
        self.aliases = known.champion.iter().map(|model| model.id.clone()).chain(known.aliases).collect();
        self.frozen = known.champion;
        self.good = known.good;
        self.promotions = known.promotions;
        self.trainings = known.trainings;
        self.harmful = known.harmful;
        self.promoted_ms = known.promoted_ms;
        self.last_training_ms = known.last_training_ms;
        let probation = Probation { number: known.promotions, share: self.options.probation };
        self.probation = known.on_probation.then_some((probation, known.promoted_ms));
    }

    /// What [`Learner::restore`] needs to go on.
    pub fn known(&self) -> Known {
        Known {
            champion: self.champion.clone(),
            good: self.good.clone(),
            aliases: self.aliases.clone(),
            harmful: self.harmful.clone(),
            promotions: self.promotions,
            trainings: self.trainings,
            promoted_ms: self.promoted_ms,
            last_training_ms: self.last_training_ms,
            on_probation: self.probation.is_some(),
        }
    }

    /// The settings.
    pub fn options(&self) -> &LearnerOptions {
        &self.options
    }

    /// Takes in an example; see the module. What is not sound is counted and left aside.
    ///
    /// # Errors
    /// Why it was left aside.
    pub fn observe(&mut self, example: &Example) -> Result<(), Rejected> {
        let result = self.take(example);
        if let Err(reason) = result {
            *self.window.rejected.entry(reason).or_default() += 1;
        }
        result
    }

    fn take(&mut self, example: &Example) -> Result<(), Rejected> {
        let kept = Kept::of(example)?;
        if self.now_ms > 0 && kept.at_ms < self.now_ms - millis(self.options.window) {
            return Err(Rejected::TooOld);
        }
        // A minute for clocks that differ.
        if self.now_ms > 0 && kept.at_ms > self.now_ms + 60_000 {
            return Err(Rejected::TooNew);
        }
        let id = example.decision_id.0;
        let news = self.window.take(id, kept);
        let Some(kept) = self.window.kept.get(&id) else { return Ok(()) };
        let until = kept.until_ms.unwrap_or(kept.at_ms.max(self.now_ms));
        if news.placed {
            let said =
                self.champion.as_ref().and_then(|model| model.answer(&kept.row).ok()).map(|(answer, _)| answer.p_bad);
            let has_model = kept.model.is_some();
            if has_model || kept.holdback {
                self.overall.placed(
                    id,
                    if has_model { Arm::Model } else { Arm::Reference },
                    kept.node,
                    kept.at_ms,
                    None,
                );
            }
            let by_champion = kept.model.as_ref().is_some_and(|model| self.aliases.contains(model));
            if by_champion {
                self.guard.placed(id, Arm::Model, kept.node, kept.at_ms, said);
            } else if self.champion.is_some() && kept.at_ms >= self.promoted_ms && (has_model || kept.holdback) {
                // It had the last known good model since the promotion, or none, by lot.
                self.guard.placed(id, Arm::Reference, kept.node, kept.at_ms, said);
            }
        }
        if news.trouble {
            self.guard.trouble(id, until);
            self.overall.trouble(id, until);
        }
        if news.ended {
            self.guard.ended(id, until);
            self.overall.ended(id, until);
        }
        if news.matured {
            self.pending.push(id);
            self.watch_for_drift(id);
        }
        Ok(())
    }

    fn watch_for_drift(&mut self, id: u64) {
        let Some(kept) = self.window.kept.get(&id) else { return };
        let bad = match kept.label {
            OutcomeLabel::Good => 0.0,
            OutcomeLabel::Bad => 1.0,
            _ => return,
        };
        let Some(p) = kept.p_bad else { return };
        if self.errors.add((p - bad).powi(2)) {
            self.drifted = Some("adwin");
        }
        if self.calibration.add(bad - p) {
            self.drifted = Some("page_hinkley");
        }
    }

    /// What a client says of a decision. Untrusted: it becomes a label only where the cluster showed none, weighs little, and
    /// all of it together at most a twentieth of a training set; never of what models are judged by.
    pub fn feedback(&mut self, decision: u64, good: bool) -> bool {
        let Some(kept) = self.window.kept.get_mut(&decision) else {
            self.unknown += 1;
            return false;
        };
        let shown = match kept.label {
            OutcomeLabel::Good => Some(true),
            OutcomeLabel::Bad => Some(false),
            _ => kept.bad.then_some(false),
        };
        if shown.is_some_and(|shown| shown != good) {
            self.contradicting += 1;
            return false;
        }
        if kept.feedback.is_some() {
            self.repeated += 1;
            return false;
        }
        kept.feedback = Some(good);
        true
    }

    /// Asks for a training at the next occasion.
    pub fn ask_for_training(&mut self) {
        self.asked = true;
    }

    /// Lets time pass, and does what is due, training included.
    pub fn tick(&mut self, now: UnixMillis) -> Vec<Event> {
        let mut events = self.advance(now);
        match self.due() {
            Some(Ok(plan)) => match plan.run(&mut ()) {
                Ok(trained) => events.extend(self.finish(trained, now)),
                Err(error) => events.push(Event::NotTrained(error)),
            },
            Some(Err(error)) => events.push(Event::NotTrained(error)),
            None => {}
        }
        events
    }

    /// Lets time pass and does all that is due but training.
    pub fn advance(&mut self, now: UnixMillis) -> Vec<Event> {
        self.now_ms = self.now_ms.max(now.0);
        let mut events = Vec::new();
        self.window.expire(self.now_ms - millis(self.options.window), self.options.max_examples);
        self.guard.advance(self.now_ms);
        self.overall.advance(self.now_ms);
        self.judge_champion(&mut events);
        if self.now_ms - self.shift_measured_ms >= SHIFT_EVERY_MS {
            self.shift_measured_ms = self.now_ms;
            self.measure_shift();
        }
        self.refresh(self.options.feedback_threshold, &mut events);
        if let Some(by) = self.drifted
            && !std::mem::replace(&mut self.drift_told, true)
        {
            events.push(Event::Drift(by));
        }
        events
    }

    /// The training that is due, if one is. It may run elsewhere; [`Learner::finish`] takes its result.
    pub fn due(&mut self) -> Option<Result<Plan, TrainError>> {
        let since = self.last_training_ms.map(|last| self.now_ms - last);
        let reason = match since {
            _ if self.asked => Reason::Asked,
            None => Reason::First,
            Some(since) if since >= millis(self.options.update_interval) => Reason::Interval,
            Some(since) if since >= millis(self.options.min_interval) => match (self.drifted, &self.champion) {
                // As long as none has passed, new examples are worth another try.
                (_, None) => Reason::First,
                (Some(by), Some(_)) if since >= self.least_interval(by) << self.refused.min(16) => Reason::Drift,
                (_, Some(_)) => return None,
            },
            Some(_) => return None,
        };
        // Looking through all examples costs; nothing much changes within a minute.
        if reason != Reason::Asked && self.now_ms - self.tried_ms < MINUTE_MS {
            return None;
        }
        self.tried_ms = self.now_ms;
        let number = self.trainings + 1;
        let champion = self.frozen.clone().map(|model| (model, &self.aliases[..]));
        let plan = Plan::new(&self.window, &self.options, self.now_ms, number, reason, champion);
        let asked = std::mem::take(&mut self.asked);
        match plan {
            Ok(plan) => {
                self.trainings = number;
                self.last_training_ms = Some(self.now_ms);
                self.drifted = None;
                self.drift_told = false;
                Some(Ok(plan))
            }
            // Too little to learn from is no news, unless somebody asked.
            Err(error) => asked.then_some(Err(error)),
        }
    }

    /// Takes in what a training brought: the model is promoted if it passed all gates, and nothing was taken back just now.
    pub fn finish(&mut self, trained: Trained, now: UnixMillis) -> Vec<Event> {
        self.now_ms = self.now_ms.max(now.0);
        let mut events = vec![Event::Trained(trained.clone())];
        let Trained { model, evaluation, parts } = trained;
        let failed: Vec<&'static str> =
            evaluation.gates.iter().filter(|gate| !gate.passed).map(|gate| gate.name).collect();
        self.refused = if failed.is_empty() { 0 } else { self.refused.saturating_add(1) };
        if !failed.is_empty() {
            self.last_refusal = Some(*evaluation);
            events.push(Event::Refused(model.id.clone(), failed));
        } else if self.now_ms < self.quiet_until_ms {
            events.push(Event::Refused(model.id.clone(), vec!["cooling_down_after_rollback"]));
        } else {
            self.reference = parts;
            self.evaluation = Some(*evaluation);
            events.extend(self.take_into_use(&model, By::Itself));
        }
        events
    }

    /// Takes a model into use whatever the gates say. It is on probation like every other.
    pub fn promote(&mut self, model: &Arc<LearnedModel>, now: UnixMillis) -> Vec<Event> {
        self.now_ms = self.now_ms.max(now.0);
        self.evaluation = None;
        self.harmful.retain(|id| *id != model.id);
        self.take_into_use(model, By::Hand)
    }

    fn take_into_use(&mut self, model: &Arc<LearnedModel>, by: By) -> Vec<Event> {
        // What is still on probation has not shown that one can go back to it.
        if let Some(before) = self.champion.take()
            && self.probation.is_none()
        {
            self.good.push(before);
            if self.good.len() > KNOWN_GOOD {
                self.good.remove(0);
            }
        }
        self.promotions += 1;
        self.refused = 0;
        let probation = Probation { number: self.promotions, share: self.options.probation };
        self.probation = Some((probation, self.now_ms));
        self.guard = Guard::new(millis(self.options.horizon));
        self.aliases = vec![model.id.clone()];
        self.champion = Some(model.clone());
        self.frozen = Some(model.clone());
        self.promoted_ms = self.now_ms;
        self.pending.clear();
        vec![Event::Promoted(model.id.clone(), by)]
    }

    /// Takes the model in use back, by hand.
    ///
    /// # Errors
    /// When there is none.
    pub fn rollback(&mut self, now: UnixMillis) -> Result<Vec<Event>, Refusal> {
        self.now_ms = self.now_ms.max(now.0);
        if self.champion.is_none() {
            return Err(Refusal::NoModel);
        }
        let mut events = Vec::new();
        self.take_back(By::Hand, "asked for".to_owned(), &mut events);
        Ok(events)
    }

    fn take_back(&mut self, by: By, why: String, events: &mut Vec<Event>) {
        let Some(from) = self.champion.take() else { return };
        self.harmful.append(&mut self.aliases);
        self.champion = self.good.pop();
        self.frozen.clone_from(&self.champion);
        self.promoted_ms = self.now_ms;
        self.aliases = self.champion.iter().map(|model| model.id.clone()).collect();
        self.evaluation = None;
        self.probation = None;
        self.quiet_until_ms = self.now_ms + COOL_DOWN * millis(self.options.probation_for);
        self.guard = Guard::new(millis(self.options.horizon));
        self.last_rollback = Some((self.now_ms, why.clone()));
        let to = self.champion.as_ref().map(|model| model.id.clone());
        events.push(Event::RolledBack { from: from.id.clone(), to, by, why });
    }

    /// Takes the model in use back when the evidence against it suffices, and ends its probation when it has stood it.
    fn judge_champion(&mut self, events: &mut Vec<Event>) {
        if self.champion.is_none() {
            return;
        }
        let harm = self.guard.harm();
        let allowed =
            if self.probation.is_some() { self.options.probation_evidence } else { self.options.rollback_evidence };
        if harm >= allowed {
            let (model, reference) = (self.guard.model(), self.guard.reference());
            let why = format!(
                "{} of {} pods went bad with the model, {} of {} without it; evidence {harm:.0} against {allowed:.0} allowed",
                model.bad, model.placed, reference.bad, reference.placed
            );
            self.take_back(By::Itself, why, events);
            return;
        }
        let contradiction = self.guard.contradiction();
        if contradiction >= allowed {
            let why = format!(
                "equal chances told {contradiction:.0} times better which pods got into trouble than the model did; {allowed:.0} are \
                 allowed"
            );
            self.take_back(By::Itself, why, events);
            return;
        }
        let Some((_, since)) = &self.probation else { return };
        let long_enough = self.now_ms - since >= millis(self.options.probation_for);
        let proven = self.guard.benefit() >= self.options.rollback_evidence;
        // Evidence of harm that does not suffice yet prolongs the probation.
        if proven || (long_enough && harm.max(contradiction) < 3.0) {
            self.probation = None;
            if let Some(champion) = &self.champion {
                events.push(Event::Confirmed(champion.id.clone()));
            }
        }
    }

    /// Adds matured labels to the leaves of the model in use.
    fn refresh(&mut self, least: usize, events: &mut Vec<Event>) {
        let Some(champion) = &self.champion else {
            self.pending.clear();
            return;
        };
        if self.pending.len() < least.max(1) {
            return;
        }
        let onset = Onset::of(self.window.kept.values().rev().take(20_000), millis(self.options.horizon));
        let mut file = champion.file.clone();
        let mut rows: BinnedRows = file.bins.rows();
        let (mut labels, mut weights) = (Vec::new(), Vec::new());
        for id in self.pending.drain(..) {
            let Some(kept) = self.window.kept.get(&id) else { continue };
            if Onset::by_feedback(kept) {
                continue;
            }
            if let Some((bad, weight)) = onset.target(kept)
                && rows.push(&file.bins, &kept.row).is_ok()
            {
                labels.push(f32::from(u8::from(bad)));
                weights.push(weight as f32);
            }
        }
        if labels.is_empty() || file.forest.refresh(&rows, &labels, &weights).is_err() {
            return;
        }
        let Ok(model) = LearnedModel::of_file(file) else { return };
        let model = Arc::new(model);
        self.aliases.push(model.id.clone());
        if self.aliases.len() > 10_000 {
            self.aliases.remove(0);
        }
        events.push(Event::Refreshed(model.id.clone(), labels.len()));
        self.champion = Some(model);
    }

    /// The examples observed so far are those of an earlier run: the model in use has learned from them, so that none of their labels
    /// waits for its leaves.
    pub fn caught_up(&mut self) {
        self.pending.clear();
    }

    /// Adds the labels that wait to the leaves of the model in use, however few they are.
    pub fn refresh_now(&mut self, now: UnixMillis) -> Vec<Event> {
        self.now_ms = self.now_ms.max(now.0);
        let mut events = Vec::new();
        self.refresh(1, &mut events);
        events
    }

    /// What decisions are to use now.
    pub fn in_use(&self) -> InUse {
        InUse {
            champion: self.champion.clone(),
            last_good: self.good.last().cloned(),
            probation: self.probation.as_ref().map(|(probation, _)| *probation),
        }
    }

    /// The evaluation of the model in use, if it was trained here.
    pub fn evaluation(&self) -> Option<&Evaluation> {
        self.evaluation.as_ref()
    }

    /// The evaluation of the last model that was refused.
    pub fn last_refusal(&self) -> Option<&Evaluation> {
        self.last_refusal.as_ref()
    }

    /// Measures how the features of the latest decisions differ from those of the training set; a large difference starts a
    /// challenger.
    fn measure_shift(&mut self) {
        let rows: Vec<_> = self.window.kept.values().rev().take(DRIFT_ROWS).map(|kept| &kept.row).collect();
        if self.reference.is_empty() || rows.len() < DRIFT_ROWS {
            return;
        }
        self.shifts = reference::shift(&self.reference, &rows);
        let gain = |name: &str| {
            let known = self.evaluation.as_ref().map(|evaluation| evaluation.gain.iter());
            known.map_or(1.0, |mut gain| gain.find(|(of, _)| *of == name).map_or(0.0, |(_, share)| *share))
        };
        if self.shifts.iter().any(|shift| shift.index > shift.limit && gain(shift.name) >= MATTERS) {
            self.drifted = self.drifted.or(Some(SHIFTED));
        }
    }

    /// How long after a training an alarm may start the next.
    fn least_interval(&self, alarm: &str) -> i64 {
        let least = millis(self.options.min_interval);
        if alarm == SHIFTED { least.max(millis(self.options.update_interval) / SHIFT_INTERVALS) } else { least }
    }
}
