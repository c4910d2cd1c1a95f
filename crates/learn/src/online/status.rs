//! What can be told of the learner: [`LearnerStatus`].

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_history::{OutcomeLabel, UnixMillis};

use super::guard::ArmCounts;
use super::measure::Judged;
use super::train::measured;
use super::window::{Onset, Rejected};
use super::{Learner, millis};

/// How the arms compare.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldbackStatus {
    /// Pods that a model had a say on.
    pub model: ArmCounts,
    /// Pods that were kept from it by lot.
    pub holdback: ArmCounts,
    /// Share of bad outcomes with a model less that without, and its 95 % interval.
    pub difference: Option<(f64, [f64; 2])>,
    /// Evidence that models do harm: 1 is none.
    pub harm: f64,
    /// Evidence that they help.
    pub benefit: f64,
}

/// Probabilities against what happened, on one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DayQuality {
    /// Placements with a probability and a label.
    pub n: usize,
    /// Mean squared error.
    pub brier: f64,
    /// Mean log loss.
    pub log_loss: f64,
    /// Area under the ROC curve within workloads.
    pub auc_within: Option<f64>,
    /// Expected calibration error.
    pub ece: f64,
}

/// What the detectors say.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftStatus {
    /// Mean squared error over the window that ADWIN keeps.
    pub recent_brier: Option<f64>,
    /// The detector that has raised an alarm which no training has answered yet.
    pub alarm: Option<&'static str>,
    /// Stability index by feature, the largest first.
    pub psi: Vec<(&'static str, f64)>,
}

/// How the learner is doing.
#[derive(Debug, Clone)]
pub struct LearnerStatus {
    /// The model in use.
    pub champion: Option<Arc<str>>,
    /// The model to go back to.
    pub last_good: Option<Arc<str>>,
    /// Share of pods that the model in use gets while on probation.
    pub probation: Option<f64>,
    /// Examples held.
    pub examples: usize,
    /// Of these, matured.
    pub matured: usize,
    /// Matured, and of use for training.
    pub labelled: usize,
    /// Bad ones among them.
    pub bad: usize,
    /// With a label by a client where the cluster showed none.
    pub by_feedback: usize,
    /// Feedback that contradicted what the cluster had shown, since the start.
    pub contradicting: u64,
    /// Feedback on what had some before, since the start.
    pub repeated: u64,
    /// Feedback on decisions that are not in the window, since the start.
    pub unknown: u64,
    /// Examples left aside, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Labels that another label replaced.
    pub relabelled: u64,
    /// Labels that wait for the next refresh of leaves.
    pub pending: usize,
    /// Trainings so far.
    pub trainings: u64,
    /// Promotions so far.
    pub promotions: u64,
    /// When the last training began, in milliseconds since 1970.
    pub last_training_ms: Option<i64>,
    /// When the last rollback was, and why.
    pub last_rollback: Option<(i64, String)>,
    /// Ids of models that did harm.
    pub harmful: Vec<Arc<str>>,
    /// The arms.
    pub holdback: HoldbackStatus,
    /// Evidence against the model in use, since its promotion.
    pub harm: f64,
    /// The detectors.
    pub drift: DriftStatus,
}

impl Rejected {
    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Rejected::Schema => "other_schema",
            Rejected::Value => "unsound_value",
            Rejected::TooOld => "too_old",
            Rejected::TooNew => "from_the_future",
        }
    }
}

impl Learner {
    /// What models said against what happened, by day since 1970 (UTC) of the decision.
    pub fn days(&self) -> BTreeMap<u32, DayQuality> {
        type Day = (Vec<Judged>, Vec<f64>, Vec<u64>);
        let mut days: BTreeMap<u32, Day> = BTreeMap::new();
        for kept in self.window.kept.values() {
            let bad = match kept.label {
                OutcomeLabel::Good => false,
                OutcomeLabel::Bad => true,
                _ => continue,
            };
            let Some(p) = kept.p_bad else { continue };
            let (judged, ps, workloads) = days.entry(UnixMillis(kept.at_ms).day()).or_default();
            judged.push(Judged { bad, weight: 1.0, group: kept.workload });
            ps.push(p);
            workloads.push(kept.workload);
        }
        days.into_iter()
            .map(|(day, (judged, p, workloads))| {
                let metrics = measured(&judged, &p, &workloads);
                let (brier, log_loss, ece) = (metrics.brier, metrics.log_loss, metrics.ece);
                (day, DayQuality { n: judged.len(), brier, log_loss, auc_within: metrics.auc_within, ece })
            })
            .collect()
    }

    /// How the learner is doing.
    pub fn status(&self) -> LearnerStatus {
        let onset = Onset::of(self.window.kept.values(), millis(self.options.horizon));
        let (mut matured, mut labelled, mut bad, mut by_feedback) = (0, 0, 0, 0);
        for kept in self.window.kept.values() {
            matured += usize::from(kept.is_matured());
            by_feedback += usize::from(Onset::by_feedback(kept));
            if let Some((is_bad, _)) = onset.target(kept).filter(|_| !Onset::by_feedback(kept)) {
                labelled += 1;
                bad += usize::from(is_bad);
            }
        }
        let rejected = self.window.rejected.iter().map(|(why, n)| (why.name(), *n)).collect();
        LearnerStatus {
            champion: self.champion.as_ref().map(|model| model.id.clone()),
            last_good: self.good.last().map(|model| model.id.clone()),
            probation: self.probation.as_ref().map(|(probation, _)| probation.share),
            examples: self.window.kept.len(),
            matured,
            labelled,
            bad,
            by_feedback,
            contradicting: self.contradicting,
            repeated: self.repeated,
            unknown: self.unknown,
            rejected,
            relabelled: self.window.relabelled,
            pending: self.pending.len(),
            trainings: self.trainings,
            promotions: self.promotions,
            last_training_ms: self.last_training_ms,
            last_rollback: self.last_rollback.clone(),
            harmful: self.harmful.clone(),
            holdback: HoldbackStatus {
                model: self.overall.model(),
                holdback: self.overall.reference(),
                difference: self.overall.difference(),
                harm: self.overall.harm(),
                benefit: self.overall.benefit(),
            },
            harm: self.guard.harm(),
            drift: DriftStatus {
                recent_brier: self.errors.mean(),
                alarm: self.drifted,
                psi: self.shifts.iter().map(|shift| (shift.name, shift.index)).collect(),
            },
        }
    }
}
