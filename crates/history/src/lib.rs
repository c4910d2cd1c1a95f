//! Seven days of memory: decisions, what became of them, feedback, and how often pods on each node and of each workload got
//! into trouble. Durable in one `redb` file under the data directory.
//!
//! One thread owns the writing side ([`History::open`] starts it). Everybody else holds a [`HistoryHandle`]: recording never
//! blocks (a full channel drops and counts), feedback is acknowledged only after it is on disk, reading goes to snapshots.
//! [`memory::Memory`] is the same knowledge as plain data, without thread and file, for whoever brings a clock of his own.
//! [`rates`] holds the written definitions of `failure_rate`, `restart_rate` and `stability_score`.

mod counters;
#[cfg(test)]
mod crash_tests;
pub mod export;
mod feedback;
mod handle;
mod keeper;
pub mod memory;
mod migrate;
mod performance;
pub mod rates;
#[cfg(test)]
mod restart_tests;
mod store;
mod types;
mod usage;

pub use handle::{
    FeedbackError, History, HistoryEvent, HistoryHandle, HistoryOptions, HistoryStatus, PastProgress, Summary,
};
pub use keeper::PastState;
pub use memory::pod::is_rejection;
pub use memory::{Changes, EventObservation, EventSubject, Memory, PastStep, Placement};
pub use performance::{DayCounts, Performance};
pub use rates::{Ails, Lately, NodeRates, PodRates, Rate, RateSet, Rates, WorkloadRates};
pub use store::{HistoryError, SCHEMA_VERSION, STORE_FILE};
pub use types::{
    Agreement, Alternative, Cause, DecisionFilter, DecisionId, DecisionKind, DecisionRecord, Example, Feedback,
    FeedbackReceipt, FeedbackRecord, NodeObservation, NodeScore, Outcome, OutcomeLabel, OutcomeState, PluginPart,
    PodKey, PodObservation, PodPhase, Termination, UnixMillis, WorkloadKey,
};
pub use usage::series::{SeriesOf, UsagePoint, UsageSeries};
pub use usage::{ContainerSample, NodeSample, PodSample, UsagePercentiles, UsageRound};
