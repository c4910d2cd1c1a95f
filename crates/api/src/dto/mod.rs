//! Bodies of requests and answers, named and nested as the contract has them.
//!
//! Numbers that are not known are `null`; a field `*_reason` beside them says why.

mod cluster;
mod decision;
mod feedback;
mod model;
mod node;
mod prediction;
mod usage;
mod what_if;
mod write;

pub use cluster::{ClusterSummary, SummaryBuilder, Thresholds};
pub use decision::{DecisionList, DecisionView, OutcomeView, ScoreView, WorkloadList, WorkloadView};
pub use feedback::{
    DayMetrics, Feedback, FeedbackAnswer, FeedbackList, FeedbackView, Performance, PredictionResult, performance,
};
pub use model::{EvaluationView, GateView, Importance, JobState, JobView, MetricsView, ModelEntry, ModelState};
pub use node::{ClusterMetrics, NodeDetail, NodeHistory, NodeList, NodeMetrics, RateView, Resources};
pub(crate) use node::{hottest, summary};
pub use prediction::{
    AiFeatures, Algorithm, Contributions, Features, NodePrediction, PodRequirements, Prediction, PredictionAnswer,
};

pub use usage::{UsageList, UsageView};
pub use what_if::{
    BeforeAfter, MOST_PODS, Outlook, OutlookFlip, OutlookNode, WhatIfAnswer, WhatIfBody, WhatIfDrain, WhatIfNode,
    WhatIfPod, WhatIfWorkload,
};

use augur_history::UnixMillis;
use jiff::Timestamp;

/// Milliseconds since 1970 as a timestamp; the limits of what can be written for what lies beyond them.
pub(crate) fn timestamp(at: UnixMillis) -> Timestamp {
    Timestamp::from_millisecond(at.0).unwrap_or(if at.0 < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Rounds to four digits, which is more than any of the numbers is worth and much shorter to write.
pub(crate) fn round(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
