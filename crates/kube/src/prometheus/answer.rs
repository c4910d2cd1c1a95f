//! The answers of the HTTP API as plain data: [`read`]. Whatever of them cannot be read is left out and counted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{PrometheusError, shown};
use crate::interned;
use crate::wire::{Text, null_is_default};

/// Warnings kept of one answer.
const WARNINGS: usize = 4;

/// What a query found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// The series, in the server's order.
    pub series: Vec<Series>,
    /// Why the answer may be incomplete, in the server's words.
    pub warnings: Vec<String>,
    /// Series and points that could not be read.
    pub malformed: u64,
}

/// One series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    labels: Vec<(Arc<str>, Arc<str>)>,
    /// Its points, in milliseconds since 1970, oldest first; values as the server has them, be they numbers or not.
    pub points: Vec<(i64, f64)>,
}

impl Series {
    /// The value of a label; empty when there is none, which is the same to Prometheus.
    #[must_use]
    pub fn label(&self, name: &str) -> Arc<str> {
        let found = self.labels.iter().find(|(label, _)| **label == *name);
        found.map_or_else(Arc::default, |(_, value)| value.clone())
    }

    /// All labels with their values.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(label, value)| (&**label, &**value))
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow, default)]
    data: Option<Data<'a>>,
    #[serde(borrow, default, rename = "errorType")]
    error_type: Text<'a>,
    #[serde(borrow, default)]
    error: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    warnings: Vec<Text<'a>>,
    /// VictoriaMetrics: some of its storage nodes did not answer.
    #[serde(default, rename = "isPartial")]
    is_partial: bool,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, rename = "resultType")]
    result_type: Text<'a>,
    #[serde(borrow)]
    result: &'a RawValue,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    metric: BTreeMap<Text<'a>, Text<'a>>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    values: Vec<&'a RawValue>,
}

/// Reads an answer, whatever its status code.
pub(super) fn read(text: &[u8]) -> Result<Answer, PrometheusError> {
    let malformed = |why: String| PrometheusError::Malformed(format!("{why}: {}", shown(text)));
    let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(|error| malformed(error.to_string()))?;
    match envelope.status.as_str() {
        "success" => {}
        "error" => {
            let (kind, message) = (envelope.error_type.to_string(), envelope.error.to_string());
            return Err(PrometheusError::Query { kind, message });
        }
        other => return Err(malformed(format!("status `{other}`"))),
    }
    let data = envelope.data.ok_or_else(|| malformed("no data".to_owned()))?;
    if !matches!(data.result_type.as_str(), "vector" | "matrix") {
        return Err(malformed(format!("result type `{}`", data.result_type)));
    }
    let items: Option<Vec<&RawValue>> =
        serde_json::from_str(data.result.get()).map_err(|error| malformed(error.to_string()))?;
    let mut answer = Answer::default();
    answer.warnings.extend(envelope.warnings.iter().take(WARNINGS).map(ToString::to_string));
    if envelope.is_partial {
        answer.warnings.push("the answer is marked as partial".to_owned());
    }
    let mut names = HashSet::new();
    for item in items.unwrap_or_default() {
        let Ok(item) = serde_json::from_str::<Item<'_>>(item.get()) else {
            answer.malformed += 1;
            continue;
        };
        let labels = item.metric.iter();
        let labels = labels.map(|(name, value)| (interned(&mut names, name), interned(&mut names, value))).collect();
        let mut points = Vec::with_capacity(item.values.len().max(1));
        for point in item.value.iter().chain(&item.values) {
            match point_of(point) {
                Some(point) => points.push(point),
                None => answer.malformed += 1,
            }
        }
        answer.series.push(Series { labels, points });
    }
    Ok(answer)
}

/// A pair of seconds and a value in quotes.
fn point_of(point: &RawValue) -> Option<(i64, f64)> {
    let (seconds, value) = serde_json::from_str::<(f64, Text<'_>)>(point.get()).ok()?;
    let value = value.parse::<f64>().ok()?;
    Some(((seconds * 1000.0).round() as i64, value))
}
