//! The examples that the learner holds, as compact rows, and what each is for training.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use augur_history::{Example, OutcomeLabel};

use crate::features::{FeatureRow, row_of};

/// The share of the whole weight that labels by feedback alone may have.
pub(super) const FEEDBACK_SHARE: f64 = 0.05;
/// What a label by feedback alone weighs at most.
const FEEDBACK_WEIGHT: f64 = 0.25;
/// Minutes told apart in the distribution of times to trouble.
const MINUTES: usize = 60;

/// What another policy might have chosen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Other {
    pub margin: f64,
    pub weight: f64,
    pub row: FeatureRow,
}

/// An example.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub at_ms: i64,
    pub label: OutcomeLabel,
    /// Trouble was seen, matured or not.
    pub bad: bool,
    pub until_ms: Option<i64>,
    pub row: FeatureRow,
    /// What tells apart placements that placement can change: the workload, or pods without owner that ask for the same.
    pub workload: u64,
    pub node: u64,
    pub propensity: f64,
    pub model: Option<Arc<str>>,
    pub p_bad: Option<f64>,
    pub holdback: bool,
    pub feedback: Option<bool>,
    pub other: Option<Box<Other>>,
}

/// Why an example is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejected {
    /// It is not of this feature schema.
    Schema,
    /// Its propensity is no probability, or a feature is infinite.
    Value,
    /// It is older than the window.
    TooOld,
    /// It comes from the future.
    TooNew,
}

impl Kept {
    pub fn of(example: &Example) -> Result<Kept, Rejected> {
        let row = row_of(&example.features).ok_or(Rejected::Schema)?;
        let sound = |row: &FeatureRow| row.iter().all(|value| !value.is_infinite());
        let proper = example.propensity > 0.0 && example.propensity <= 1.0;
        if !proper || !sound(&row) {
            return Err(Rejected::Value);
        }
        let other = example.alternative.as_ref().and_then(|other| {
            let row = row_of(&other.features).filter(sound)?;
            let usable = other.margin.is_finite() && other.weight.is_finite();
            usable.then(|| Box::new(Other { margin: other.margin, weight: other.weight, row }))
        });
        let workload = match &example.workload {
            Some(key) if &*key.kind != "Pod" => hash(&[&key.namespace, &key.kind, &key.name]),
            key => {
                let namespace = key.as_ref().map_or("", |key| &*key.namespace);
                hash(&[namespace, &format!("{} {}", row[0], row[1])])
            }
        };
        Ok(Kept {
            at_ms: example.at.0,
            label: example.label,
            bad: example.label == OutcomeLabel::Bad
                || (example.label == OutcomeLabel::Immature && example.cause.is_some()),
            until_ms: example.until.map(|at| at.0),
            row,
            workload,
            node: hash(&[&example.node]),
            propensity: example.propensity,
            model: example.model_id.clone(),
            p_bad: example.p_bad.filter(|p| (0.0..=1.0).contains(p)),
            holdback: example.holdback,
            feedback: example.feedback,
            other,
        })
    }

    pub fn is_matured(&self) -> bool {
        self.label != OutcomeLabel::Immature
    }
}

/// FNV-1a over texts, mixed.
fn hash(texts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for text in texts {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    crate::arms::mix(hash)
}

/// How long trouble takes to show: the share of all trouble within the horizon that comes before a time.
#[derive(Debug, Clone)]
pub(super) struct Onset {
    horizon_ms: i64,
    cumulative: [f64; MINUTES],
}

impl Onset {
    /// From examples that went bad. Half a pod a part is added, so that few do not decide.
    pub fn of<'a>(examples: impl Iterator<Item = &'a Kept>, horizon_ms: i64) -> Onset {
        let mut counts = [0.5 / MINUTES as f64; MINUTES];
        for example in examples.filter(|example| example.bad) {
            let Some(until) = example.until_ms else { continue };
            let part = (until - example.at_ms).clamp(0, horizon_ms - 1) as usize * MINUTES / horizon_ms.max(1) as usize;
            counts[part.min(MINUTES - 1)] += 1.0;
        }
        let all: f64 = counts.iter().sum();
        let mut sum = 0.0;
        let cumulative = counts.map(|count| {
            sum += count;
            sum / all
        });
        Onset { horizon_ms, cumulative }
    }

    /// The share of trouble that would have shown after so long.
    pub fn shown(&self, after_ms: i64) -> f64 {
        if after_ms >= self.horizon_ms {
            return 1.0;
        }
        let part = after_ms.max(0) as f64 * MINUTES as f64 / self.horizon_ms.max(1) as f64;
        let whole = (part as usize).min(MINUTES - 1);
        let before = if whole == 0 { 0.0 } else { self.cumulative[whole - 1] };
        before + (self.cumulative[whole] - before) * (part - whole as f64)
    }

    /// The label of an example and its weight; `None` when it says nothing about the node.
    ///
    /// One that was deleted before the horizon, without trouble, is good with the weight of what it was exposed to: its part
    /// of the likelihood when trouble comes in the same rhythm everywhere. That covers pods that are all deleted early, whom
    /// weighting by the inverse probability of censoring cannot.
    pub fn target(&self, example: &Kept) -> Option<(bool, f64)> {
        match example.label {
            OutcomeLabel::Good => Some((false, 1.0)),
            OutcomeLabel::Bad => Some((true, 1.0)),
            OutcomeLabel::Censored => {
                let exposed = self.shown(example.until_ms? - example.at_ms);
                match example.feedback {
                    Some(good) => Some((!good, FEEDBACK_WEIGHT)),
                    None => (exposed >= 0.02).then_some((false, exposed)),
                }
            }
            OutcomeLabel::Immature | OutcomeLabel::AppFault | OutcomeLabel::Preempted => None,
        }
    }

    /// Whether the label of an example rests on feedback alone.
    pub fn by_feedback(example: &Kept) -> bool {
        example.label == OutcomeLabel::Censored && example.feedback.is_some()
    }
}

/// What taking in an example changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    /// It was not known before.
    pub placed: bool,
    /// It is in trouble, and was not before.
    pub trouble: bool,
    /// It ended or matured without trouble, and had not before.
    pub ended: bool,
    /// Its label is new.
    pub matured: bool,
}

/// All examples, by decision, which is by time.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    pub kept: BTreeMap<u64, Kept>,
    /// Rejected examples by reason.
    pub rejected: HashMap<Rejected, u64>,
    /// Labels that another label replaced.
    pub relabelled: u64,
}

impl Window {
    /// Takes in an example; one of the same decision is replaced, a matured label never by an immature one.
    pub fn take(&mut self, id: u64, mut new: Kept) -> News {
        let before = self.kept.get(&id);
        if let Some(before) = before {
            if before.is_matured() && !new.is_matured() {
                return News { placed: false, trouble: false, ended: false, matured: false };
            }
            new.feedback = new.feedback.or(before.feedback);
            self.relabelled += u64::from(before.is_matured() && before.label != new.label);
        }
        let over = |kept: &Kept| kept.bad || kept.is_matured();
        let news = News {
            placed: before.is_none(),
            trouble: new.bad && before.is_none_or(|before| !before.bad),
            ended: !new.bad && over(&new) && before.is_none_or(|before| !over(before)),
            matured: new.is_matured() && before.is_none_or(|before| !before.is_matured()),
        };
        self.kept.insert(id, new);
        news
    }

    /// Forgets what is older than `first_ms`, and the oldest beyond `most`.
    pub fn expire(&mut self, first_ms: i64, most: usize) {
        while let Some(entry) = self.kept.first_entry() {
            if entry.get().at_ms >= first_ms {
                break;
            }
            entry.remove();
        }
        while self.kept.len() > most {
            self.kept.pop_first();
        }
    }
}
