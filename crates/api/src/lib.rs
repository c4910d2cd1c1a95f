//! The HTTP services of scheduler and learner, as axum routers.
//!
//! They stand on [`SchedulerBackend`], which the binary implements over the engine, and on a history handle; see [`Services`].
//! Entry points: [`scheduler_router`], [`learner_router`].

mod backend;
pub mod dto;
mod error;
mod events;
mod explain;
mod export;
mod extender;
mod learner;
mod learner_backend;
mod model;
mod openapi;
mod predict;
mod process;
mod prometheus;
mod scheduler;
mod service;
mod shadow;
mod unread;
mod what_if;

pub use backend::{
    Amounts, Answer, Binding, Candidate, Check, CheckStatus, Health, ModelStatus, NodeCondition, NodeUsage, NodeView,
    PodQuery, PodSource, SchedulerBackend,
};
pub use error::{ApiError, ErrorBody};
pub use learner::router as learner_router;
pub use learner_backend::{LearnerBackend, LearnerReport, Snapshot, Which};
pub use model::{LAST_GOOD_HEADER, PROBATION_HEADER};
pub use prometheus::{AttemptResult, PendingPods, SchedulerMetrics};
pub use scheduler::router as scheduler_router;
pub use service::{Access, ModelOptions, Reviewer, Services, Verdict};
pub use shadow::{Estimate, ShadowReport};
