//! What a memory hands out of what changed in it: [`Changes`].

use std::collections::HashSet;
use std::sync::Arc;

use super::pod::Tracked;
use crate::types::{DecisionId, Outcome, WorkloadKey};
use crate::usage::journal::{PodEnded, Round};
use crate::usage::{Peak, Sealed, SeriesName, StoredUsage};

/// A label that was given at the first horizon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub decision: DecisionId,
    pub p_bad: Option<f64>,
    /// What feedback had said.
    pub judged: Option<bool>,
    pub good: bool,
}

/// What an hour of counts belonged to.
#[derive(Debug, Clone)]
pub(crate) enum Gone {
    Node(Arc<str>),
    Workload(WorkloadKey),
}

/// What changed since [`super::Memory::drain`] was called last.
#[derive(Debug, Default)]
pub struct Changes {
    /// Outcomes that are new or changed, in the order of the changes, the same decision perhaps more than once.
    pub outcomes: Vec<Outcome>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) pods: HashSet<Arc<str>>,
    /// Pods that are gone and wait for their second label only.
    pub(crate) closed: Vec<Tracked>,
    pub(crate) nodes: HashSet<Arc<str>>,
    pub(crate) workloads: HashSet<WorkloadKey>,
    pub(crate) cells: HashSet<(Arc<str>, WorkloadKey)>,
    pub(crate) cells_gone: Vec<(Arc<str>, WorkloadKey)>,
    pub(crate) hours_gone: Vec<(Gone, u32)>,
    pub(crate) series_created: Vec<(SeriesName, u32)>,
    pub(crate) series_ended: Vec<(SeriesName, u32)>,
    pub(crate) sealed: Vec<Sealed>,
    /// Peaks of pods by `namespace/name`; `None` when the pod is gone.
    pub(crate) peaks: Vec<(String, Option<Peak>)>,
    /// Histograms that changed in the ten minutes that were sealed.
    pub(crate) usage: Vec<(WorkloadKey, StoredUsage)>,
    /// Rounds of readings for the journal, and pods that ended since the latest seal.
    pub(crate) rounds: Vec<Round>,
    pub(crate) pods_ended: Vec<PodEnded>,
    /// What the journal has from before this moment is sealed.
    pub(crate) journal_until: Option<i64>,
}

impl Clone for Changes {
    /// A copy of a memory starts without changes of its own.
    fn clone(&self) -> Self {
        Self::default()
    }
}
