//! What happened lately to workloads and nodes, and whose fault it was ([`at_fault`]).
//!
//! Attribution looks one hour around the moment of the trouble. It is the workload's when replicas of one revision got into
//! trouble on three nodes or more, and at least half of them did; nodes on which others are in trouble too tell nothing of the
//! workload and are not counted. Pods that run to an end of their own (with an exit code from 1 to 127, and are not restarted)
//! have a day instead of an hour to do so, and need not be half of all. An image that cannot be pulled is the workload's (or the registry's) unless it is clear that
//! the node is to blame: the registry serves others, and either the same revision runs elsewhere or other workloads cannot
//! pull on this node.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pod::{Tracked, may_be_app};
use super::rows::Rows;
use super::{NodeMemory, WorkloadMemory};
use crate::types::{Cause, DAY_MS, HOUR_MS, WorkloadKey};

/// A workload in trouble on so many nodes at once is taken to be at fault itself.
const APP_FAULT_NODES: usize = 3;
/// Troubles remembered for one revision or node: what is beyond changes no verdict.
const TROUBLES: usize = 256;
/// Nodes remembered on which a revision became Ready.
const READY: usize = 32;

/// Trouble of one pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trouble {
    /// When.
    pub at: i64,
    /// The other side: the node for a workload, the workload for a node.
    pub other: u32,
    /// What.
    pub cause: Cause,
}

/// A bounded list of what happened in the last two hours.
#[derive(Debug, Clone, Default)]
pub(crate) struct Troubles(VecDeque<Trouble>);

impl Troubles {
    pub fn add(&mut self, trouble: Trouble) {
        while self.0.front().is_some_and(|old| trouble.at - old.at > 2 * HOUR_MS) || self.0.len() >= TROUBLES {
            self.0.pop_front();
        }
        self.0.push_back(trouble);
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Trouble> {
        self.0.iter()
    }

    /// Those within an hour of `at`.
    pub fn around(&self, at: i64) -> impl Iterator<Item = &Trouble> {
        self.0.iter().filter(move |trouble| (trouble.at - at).abs() <= HOUR_MS)
    }
}

/// Nodes on which pods of a workload ended with an error of their own, the latest of each.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(Vec<(u32, i64)>);

impl Failures {
    pub fn add(&mut self, node: u32, at: i64) {
        self.0.retain(|(known, _)| *known != node);
        if self.0.len() >= READY {
            self.0.remove(0);
        }
        self.0.push((node, at));
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &(u32, i64)> {
        self.0.iter()
    }

    /// Whether another node than this is among those of the day before `at`.
    pub fn elsewhere(&self, node: u32, at: i64) -> bool {
        self.0.iter().any(|(known, when)| *known != node && at - when <= DAY_MS)
    }

    /// Nodes within a day before `at` and the hour after it.
    fn around(&self, at: i64) -> usize {
        self.0.iter().filter(|(_, when)| at - when <= DAY_MS && when - at <= HOUR_MS).count()
    }
}

/// Counts by minute over the last two hours.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Minutes(VecDeque<(i64, u32)>);

impl Minutes {
    pub fn add(&mut self, at: i64) {
        let minute = at / 60_000;
        while self.0.front().is_some_and(|(old, _)| minute - old > 120) {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some((last, count)) if *last >= minute => *count += 1,
            _ => self.0.push_back((minute, 1)),
        }
    }

    /// The count within an hour of `at`.
    pub fn around(&self, at: i64) -> u32 {
        let minute = at / 60_000;
        self.0.iter().filter(|(m, _)| (m - minute).abs() <= 60).map(|(_, count)| count).sum()
    }
}

/// What is known of one revision of a workload.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revision {
    /// Its pods that run now.
    pub alive: u32,
    /// Its pods that ended.
    pub ended: Minutes,
    /// Its pods' troubles; `other` is the node.
    pub troubles: Troubles,
    /// Nodes on which it became Ready, and when last.
    ready: VecDeque<(u32, i64)>,
}

impl Revision {
    /// Nodes on which it became Ready, and when last; oldest first.
    pub fn ready_on(&self) -> impl Iterator<Item = &(u32, i64)> {
        self.ready.iter()
    }

    pub fn became_ready(&mut self, node: u32, at: i64) {
        self.ready.retain(|(known, _)| *known != node);
        if self.ready.len() >= READY {
            self.ready.pop_front();
        }
        self.ready.push_back((node, at));
    }
}

/// The cluster as a whole.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ClusterRecent {
    /// Pods that became Ready.
    pub ready: Minutes,
    /// Pods whose image could not be pulled in time.
    pub pulls: Minutes,
}

/// Whether the trouble of this pod is its workload's fault, by what is known now.
pub(crate) fn at_fault(
    pod: &Tracked,
    workloads: &Rows<WorkloadKey, WorkloadMemory>,
    nodes: &Rows<Arc<str>, NodeMemory>,
    cluster: &ClusterRecent,
) -> bool {
    let (Some(cause), Some(at)) = (pod.cause.filter(|cause| may_be_app(*cause)), pod.trouble_at) else { return false };
    let Some(id) = workloads.find(&pod.workload) else { return false };
    let Some(revision) = workloads.at(id).and_then(|w| w.recent(&pod.revision)) else {
        return cause == Cause::ImagePull;
    };
    let here = nodes.find(&pod.node);
    if cause == Cause::ImagePull {
        let registry_serves = cluster.ready.around(at.0) >= 4 * cluster.pulls.around(at.0);
        let elsewhere = revision.ready.iter().any(|(node, _)| Some(*node) != here);
        let others = here
            .and_then(|node| nodes.at(node))
            .is_some_and(|node| node.troubles.around(at.0).any(|t| t.cause == Cause::ImagePull && t.other != id));
        return !(registry_serves && (elsewhere || others));
    }
    // Runs that end by themselves fail one by one; their record of a day tells what replicas tell at once.
    let ails_here = here.and_then(|node| nodes.at(node)).is_some_and(|node| ails(node, id, at.0));
    let failed_on = workloads.at(id).map_or(0, |workload| workload.failed_on.around(at.0));
    if pod.ended_by_itself() && !ails_here && failed_on >= APP_FAULT_NODES {
        return true;
    }
    let mut pods = 0;
    let mut sound = BTreeSet::new();
    for trouble in revision.troubles.around(at.0).filter(|t| may_be_app(t.cause)) {
        pods += 1;
        if !nodes.at(trouble.other).is_some_and(|node| ails(node, id, at.0)) {
            sound.insert(trouble.other);
        }
    }
    let exposed = revision.alive + revision.ended.around(at.0);
    sound.len() >= APP_FAULT_NODES && pods * 2 >= exposed
}

/// Whether pods of other workloads are in trouble on this node: a quarter of those that run there, and at least one.
fn ails(node: &NodeMemory, workload: u32, at: i64) -> bool {
    let others = node.troubles.around(at).filter(|t| t.other != workload && t.cause != Cause::ImagePull).count();
    others > 0 && others * 4 >= node.alive as usize
}
