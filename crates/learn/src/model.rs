//! A model in use: a calibrated forest of the feature schema, with what it is known by. Entry point: [`LearnedModel`].

use std::sync::Arc;

use augur_forest::{BinnedRows, ForestError, Model, Path, Support};

use crate::features::{FEATURE_COUNT, FEATURE_NAMES, FEATURES, FeatureRow, SCHEMA};

/// Rows of training that make a leaf half trusted.
const HALF_TRUST: f64 = 5.0;
/// Trees are grown on much the same rows: the mean of all is as certain as that of so many that know nothing of each other.
const INDEPENDENT_TREES: f64 = 16.0;

/// Why a model file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Its bytes are no sound model file.
    #[error("the model cannot be read: {0}")]
    Unreadable(#[from] ForestError),
    /// It was made for other features.
    #[error("the model is of schema {found}, this program computes {SCHEMA}; train it anew")]
    Schema {
        /// The schema that it names.
        found: String,
    },
    /// Its hash is not the one it is known by.
    #[error("the bytes of model {expected} have the hash {found}; fetch them again")]
    Hash {
        /// The id.
        expected: String,
        /// The hash.
        found: String,
    },
}

/// What a model says of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The probability that it goes bad.
    pub p_bad: f64,
    /// How much that is to be trusted, 0..1: [`Parts::least`].
    pub confidence: f64,
}

/// What confidence is made of; each 0..1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parts {
    /// n / (n + 5) for the mean weight n of the row's leaves.
    pub support: f64,
    /// Halved for each feature that lies far outside what training saw.
    pub in_range: f64,
    /// 1 less the error of the mean over trees, in units of the deviation of a single outcome.
    pub agreement: f64,
    /// What the model showed on its hold-out: 0 when it ranks nodes no better than chance, 1 from an AUC within workloads of
    /// 0.6 on: predictions of a model that ranks little better than chance lie close together and move little by themselves.
    pub skill: f64,
    /// The weight of the row's leaves.
    pub n_eff: f64,
}

impl Parts {
    /// The confidence: the weakest part. Their product would count doubts twice that have the same ground, as leaves of few
    /// rows and trees that disagree.
    pub fn least(&self) -> f64 {
        self.support.min(self.in_range).min(self.agreement).min(self.skill).clamp(0.0, 1.0)
    }

    /// What keeps the confidence low, by name, the lowest part first; empty when nothing does.
    pub fn reasons(&self) -> Vec<&'static str> {
        let mut parts = [
            (self.support, "few examples like this one"),
            (self.in_range, "features outside what training saw"),
            (self.agreement, "the trees disagree"),
            (self.skill, "the model has shown little skill"),
        ];
        parts.sort_by(|a, b| a.0.total_cmp(&b.0));
        parts.into_iter().filter(|(part, _)| *part < 0.7).map(|(_, reason)| reason).collect()
    }
}

/// A model of the feature schema.
#[derive(Debug, Clone)]
pub struct LearnedModel {
    /// The SHA-256 of its file, in hexadecimal.
    pub id: Arc<str>,
    /// Bins, forest, calibrator and notes.
    pub file: Model,
    /// When it was trained, in milliseconds since 1970.
    pub trained_at_ms: i64,
    /// The skill part of its confidence, from its hold-out.
    pub skill: f64,
    /// By feature, what lies far outside what training saw: below the first, above the second.
    range: [[f32; 2]; FEATURE_COUNT],
}

/// Keys of the notes in a model file that are read back.
pub(crate) mod note {
    pub const SCHEMA: &str = "schema";
    pub const TRAINED_AT: &str = "trained_at_ms";
    pub const SKILL: &str = "skill";
}

impl LearnedModel {
    /// The model of a file.
    ///
    /// # Errors
    /// When it was made for other features.
    pub fn of_file(file: Model) -> Result<LearnedModel, ModelError> {
        let schema = file.metadata.get(note::SCHEMA).cloned().unwrap_or_default();
        if schema != SCHEMA || file.expect_features(&FEATURE_NAMES).is_err() {
            return Err(ModelError::Schema { found: if schema.is_empty() { "unknown".to_owned() } else { schema } });
        }
        let number = |key: &str| file.metadata.get(key).and_then(|value| value.parse::<f64>().ok());
        let mut range = [[f32::NEG_INFINITY, f32::INFINITY]; FEATURE_COUNT];
        for (range, feature) in range.iter_mut().zip(file.bins.features()) {
            if let (Some(first), Some(last)) = (feature.edges.first(), feature.edges.last()) {
                let beyond = (last - first).max(first.abs().max(last.abs()) * 0.5);
                *range = [first - beyond, last + beyond];
            }
        }
        let bytes = file.to_bytes();
        let trained_at_ms = number(note::TRAINED_AT).unwrap_or(0.0) as i64;
        let skill = number(note::SKILL).unwrap_or(0.0).clamp(0.0, 1.0);
        Ok(LearnedModel { id: hash_of(&bytes).into(), file, trained_at_ms, skill, range })
    }

    /// Reads a model file that is known by its hash.
    ///
    /// # Errors
    /// When the bytes are not those of that hash, no sound model file, or made for other features.
    pub fn read(bytes: &[u8], expected: Option<&str>) -> Result<LearnedModel, ModelError> {
        let found = hash_of(bytes);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(ModelError::Hash { expected: expected.to_owned(), found });
        }
        LearnedModel::of_file(Model::from_bytes(bytes)?)
    }

    /// Confidence in the answer for a row of codes and the features they were made of. Where boosted trees answer, the forest that
    /// was grown beside them tells how well the row is covered.
    pub fn parts(&self, codes: &[u8], row: &FeatureRow) -> Parts {
        // An error means another schema, which `of_file` has ruled out; nothing is trusted then.
        match self.file.forest.support(codes) {
            Ok(support) => self.parts_by(&support, row),
            Err(_) => Parts { support: 0.0, in_range: 0.0, agreement: 0.0, skill: self.skill, n_eff: 0.0 },
        }
    }

    /// Confidence in the answers for many rows, each of codes and of the features they were made of; appended to `into`.
    pub fn confidences(&self, codes: &BinnedRows, rows: &[FeatureRow], into: &mut Vec<f64>) {
        let mut supports = Vec::new();
        match self.file.forest.supports(Path::Fastest, codes, &mut supports) {
            Ok(()) => into.extend(supports.iter().zip(rows).map(|(support, row)| self.parts_by(support, row).least())),
            // As above.
            Err(_) => into.extend(rows.iter().map(|_| 0.0)),
        }
    }

    fn parts_by(&self, support: &Support, row: &FeatureRow) -> Parts {
        let outside = row.iter().zip(&self.range).filter(|(value, range)| **value < range[0] || **value > range[1]);
        let in_range = 0.5f64.powi(i32::try_from(outside.count()).unwrap_or(i32::MAX));
        let p = f64::from(support.mean).clamp(0.0, 1.0);
        let single = (p * (1.0 - p)).sqrt().max(0.05);
        let n_eff = f64::from(support.cover).max(0.0);
        Parts {
            support: n_eff / (n_eff + HALF_TRUST),
            in_range,
            agreement: (1.0 - f64::from(support.deviation) / INDEPENDENT_TREES.sqrt() / single).clamp(0.0, 1.0),
            skill: self.skill,
            n_eff,
        }
    }

    /// What the model says of a row of features.
    ///
    /// # Errors
    /// When the forest does not fit its own bins, which a sound file does.
    pub fn answer(&self, row: &FeatureRow) -> Result<(Answer, Parts), ForestError> {
        let mut codes = vec![0; self.file.bins.stride()];
        self.file.bins.encode_row(row, &mut codes)?;
        let mut rows = self.file.bins.rows();
        rows.push(&self.file.bins, row)?;
        let p_bad = self.file.predict_rows(&rows)?.first().map_or(0.0, |p| f64::from(*p));
        let parts = self.parts(&codes, row);
        Ok((Answer { p_bad, confidence: parts.least() }, parts))
    }

    /// What each feature adds to the difference of two rows, of uncalibrated probabilities or, of boosted trees, of their
    /// log-odds; the largest first, zeros left out.
    ///
    /// # Errors
    /// As [`LearnedModel::answer`].
    pub fn contrast(&self, row: &FeatureRow, other: &FeatureRow) -> Result<Vec<(&'static str, f64)>, ForestError> {
        let encode = |row: &FeatureRow| {
            let mut codes = vec![0; self.file.bins.stride()];
            self.file.bins.encode_row(row, &mut codes).map(|()| codes)
        };
        let mut parts = [0.0; FEATURE_COUNT];
        let mut work = augur_forest::Contrast::default();
        let forest = self.file.blended.as_ref().map_or(&self.file.forest, |boosted| &boosted.forest);
        forest.contrast(&encode(row)?, &encode(other)?, &mut work, &mut parts)?;
        let mut named: Vec<(&'static str, f64)> =
            FEATURES.iter().zip(parts).map(|(f, part)| (f.name, part)).filter(|(_, part)| *part != 0.0).collect();
        named.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()).then(a.0.cmp(b.0)));
        Ok(named)
    }
}

/// The hash by which the bytes of a model file are known. The file ends with the SHA-256 of all before it.
pub fn hash_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let tail = bytes.get(bytes.len().saturating_sub(32)..).unwrap_or_default();
    tail.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
