//! The learner in this process or elsewhere: a thread that owns the loop ([`LearnerService`]), the registry of model files
//! ([`Registry`]), what carries examples to it ([`feed`]), and what fetches its models ([`pull`]).

mod client;
mod feed;
mod place;
mod pull;
mod registry;
mod remote;
mod service;
mod swaps;

pub use client::HttpClient;
pub use feed::feed;
pub use place::LearnerPlace;
pub use pull::{LearnerCheck, pull};
pub use registry::Registry;
pub use remote::{RemoteScheduler, with_scheduler};
pub use service::LearnerService;
pub use swaps::Swaps;

use crate::config::Config;
use augur_learn::LearnerOptions;

/// The settings of the learner, as configured.
pub fn options(config: &Config) -> LearnerOptions {
    let (model, online) = (&config.model, &config.online_learning);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    LearnerOptions {
        seed: model.random_state,
        trees: model.n_estimators as usize,
        max_depth: model.max_depth as usize,
        // Half of the machine, so that training never keeps decisions waiting.
        threads: (cores / 2).max(1),
        window: config.data.cache_duration.0,
        feedback_threshold: online.feedback_threshold as usize,
        performance_threshold: online.performance_threshold,
        update_interval: online.update_interval.0,
        min_matured: online.min_matured as usize,
        min_bad: online.min_bad as usize,
        holdback: online.holdback,
        boosted: online.boosted_challenger,
        ..LearnerOptions::default()
    }
}
