//! Answers as text: one function for each thing that is shown, from the answer's JSON.

mod decisions;
mod explain;
mod history;
mod nodes;
mod others;
mod what_if;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use decisions::decisions;
pub use explain::explain;
pub use history::{node_history, pod_history, workload, workloads};
pub use nodes::nodes;
pub use others::{model_status, shadow_report};
pub use what_if::what_if;

use crate::answers::{Outcome, Rate};
use crate::table::{Cell, Look, Style};
use crate::words;

/// How things are shown.
#[derive(Debug, Clone, Copy)]
pub struct Show {
    /// Colours and headings.
    pub look: Look,
    /// More columns and rows.
    pub wide: bool,
    /// The time that ages are told by.
    pub now: Timestamp,
}

/// An answer that is not what this program knows: the scheduler is older or newer.
#[derive(Debug, thiserror::Error)]
#[error("the scheduler's answer is not understood ({0}); `kubectl augur` and the scheduler should be of one version")]
pub struct NotUnderstood(#[from] serde_json::Error);

fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, NotUnderstood> {
    Ok(T::deserialize(answer)?)
}

/// A rate with its interval, all in percent.
fn rate(rate: Option<Rate>) -> Cell {
    let Some(rate) = rate else { return words::UNKNOWN.into() };
    let text = format!("{:.1}% ({:.0}-{:.0})", rate.value * 100.0, rate.low * 100.0, rate.high * 100.0);
    // Known to be bad only where even the lower end is.
    let style = match rate.low {
        low if low >= 0.2 => Style::Bad,
        low if low >= 0.05 => Style::Warn,
        _ => Style::Plain,
    };
    Cell::styled(text, style)
}

fn stability(score: Option<f64>) -> Cell {
    let Some(score) = score else { return words::UNKNOWN.into() };
    let style = match score {
        score if score < 0.8 => Style::Bad,
        score if score < 0.9 => Style::Warn,
        _ => Style::Plain,
    };
    Cell::styled(format!("{score:.3}"), style)
}

/// What a model says of the risk.
fn risk(p_bad: Option<f64>) -> Cell {
    p_bad.map_or(words::UNKNOWN.into(), |p| words::share(Some(p)).into())
}

/// What became of a pod so far.
fn outcome(outcome: Option<&Outcome>) -> Cell {
    let Some(outcome) = outcome else { return words::UNKNOWN.into() };
    let text = match &outcome.cause {
        Some(cause) => format!("{} ({cause})", outcome.state),
        None => outcome.state.clone(),
    };
    let style = match outcome.state.as_str() {
        "bad" => Style::Bad,
        "running" | "succeeded" => Style::Good,
        _ => Style::Plain,
    };
    Cell::styled(text, style)
}

fn label(label: Option<&str>) -> Cell {
    match label {
        None => words::UNKNOWN.into(),
        Some("good") => Cell::styled("good", Style::Good),
        Some("bad") => Cell::styled("bad", Style::Bad),
        Some(label @ ("app_fault" | "preempted")) => Cell::styled(label, Style::Warn),
        Some(label) => Cell::styled(label, Style::Dim),
    }
}

/// What is said below a table that leaves rows out.
fn and_more(more: usize, how: &str) -> String {
    if more == 0 { String::new() } else { format!("and {more} more ({how})\n") }
}
