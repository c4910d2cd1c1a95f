//! Real traces, fed through the API like any other workload. [`openb`] reads one, [`replay`] feeds it and sums up, [`audit`]
//! checks the outcome independently of whoever scheduled.

pub mod audit;
pub mod openb;
mod replay;

pub use replay::{Pace, PodSink, Progress, ReplayError, ReplayOptions, Summary, Utilisation, replay};

#[cfg(test)]
mod tests;
