//! A copy of the cluster for questions that take longer than a turn of the scheduler thread may: [`EngineHandle::copy`].

use std::sync::Arc;

use augur_core::queue::QueueConfig;
use augur_core::scheduler::SchedulerConfig;
use augur_core::state::StateCopy;
use augur_core::time::Timestamp;
use augur_history::Rates;

use super::signals::core_time;
use super::{EngineHandle, QueryError};

/// Nodes, pods and objects copied between two turns: some tenths of a millisecond.
pub const PIECE: usize = 2_000;
/// Pieces at most: twenty million nodes, pods and objects, or a cluster that changes faster than it can be copied.
const PIECES: usize = 10_000;

/// The cluster at one moment, and how decisions are taken.
pub struct Copied {
    /// The cluster. Made into a state on whatever thread wants it.
    pub state: StateCopy,
    /// Profiles and seed.
    pub config: SchedulerConfig,
    /// When it was so.
    pub now: Timestamp,
    /// What history knew.
    pub rates: Arc<Rates>,
}

/// Why there is no copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// Nodes and pods have not been listed yet.
    #[error("nodes and pods have not been listed yet; try again")]
    NotReady,
    /// The cluster changes faster than it is copied.
    #[error("the cluster changes faster than it can be copied; try again")]
    Restless,
    /// The scheduler thread has ended.
    #[error(transparent)]
    Ended(#[from] QueryError),
}

impl EngineHandle {
    /// A copy of the cluster as decisions see it, taken in pieces between turns of the scheduler thread.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub async fn copy(&self) -> Result<Copied, CopyError> {
        let begun = self.query(|view| {
            view.is_ready().then(|| {
                let scheduler = &view.owner.scheduler;
                let config = SchedulerConfig {
                    profiles: scheduler.profiles().cloned().collect(),
                    // Times do not matter where nothing fails.
                    queue: QueueConfig::default(),
                    seed: view.owner.seed,
                    ..SchedulerConfig::default()
                };
                (Box::new(StateCopy::begin(scheduler.state())), config)
            })
        });
        let (mut state, config) = begun.await?.ok_or(CopyError::NotReady)?;
        for _ in 0..PIECES {
            let piece = self.query(move |view| {
                let done = state.advance(view.owner.scheduler.state(), PIECE);
                let owner = view.owner;
                (state, done.then(|| (core_time(owner.clock.now()), owner.past.get().rates.clone())))
            });
            let (copied, done) = piece.await?;
            if let Some((now, rates)) = done {
                return Ok(Copied { state: *copied, config, now, rates });
            }
            state = copied;
        }
        Err(CopyError::Restless)
    }
}
