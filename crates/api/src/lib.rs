//! The HTTP services of scheduler and learner, as axum routers.
//!
//! They stand on [`SchedulerBackend`], which the binary implements over the engine, and on a history handle. Entry points:
//! `scheduler::router`, `learner::router`.

mod backend;
pub mod dto;
mod error;

pub use backend::{
    Amounts, Answer, Check, CheckStatus, Health, ModelStatus, NodeCondition, NodeUsage, NodeView, PodQuery, PodSource,
    SchedulerBackend,
};
pub use error::{ApiError, ErrorBody};
