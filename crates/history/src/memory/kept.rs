//! What of nodes and workloads is kept on disk besides counts: how they did lately, so that attribution, deadlines and features
//! go on after a restart as if there had been none. Rows point to each other by name here, because numbers do not outlive a
//! process.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ailing::{Ailing, KeptAiling};
use super::censoring::Censoring;
use super::lately::Lately;
use super::recent::{ClusterRecent, Minutes, Trouble};
use super::tally::Tally;
use super::{Memory, NodeMemory, WorkloadMemory};
use crate::rates::Usage;
use crate::types::{Cause, UnixMillis, WorkloadKey};

/// Trouble, and by name what it came to: the workload on a node, the node of a workload.
type Named = (i64, Arc<str>, Cause);

/// A node.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptNode {
    pub cpu: Usage,
    pub memory: Usage,
    pub class: Arc<str>,
    pub allocatable: Option<(f64, f64)>,
    pub lately: Lately,
    pub last: Option<(UnixMillis, bool)>,
    pub down: Option<UnixMillis>,
    pub troubles: Vec<Named>,
    pub ailing: KeptAiling,
}

/// A revision of a workload.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptRevision {
    pub name: Arc<str>,
    pub tally: Tally,
    pub ended: Minutes,
    pub troubles: Vec<Named>,
    pub ready: Vec<(Arc<str>, i64)>,
}

/// A workload.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptWorkload {
    pub tally: Tally,
    pub starts: Vec<i64>,
    pub failed_on: Vec<(Arc<str>, i64)>,
    /// The newest last.
    pub revisions: Vec<KeptRevision>,
}

/// The cluster as a whole.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptCluster {
    pub now: UnixMillis,
    pub recent: ClusterRecent,
    pub censoring: Censoring,
}

/// `namespace/kind/name`.
pub(crate) fn workload_name(key: &WorkloadKey) -> String {
    format!("{}/{}/{}", key.namespace, key.kind, key.name)
}

/// What [`workload_name`] made a name of; a name may hold slashes of its own.
pub(crate) fn workload_of(name: &str) -> Option<WorkloadKey> {
    let mut parts = name.splitn(3, '/');
    Some(WorkloadKey { namespace: parts.next()?.into(), kind: parts.next()?.into(), name: parts.next()?.into() })
}

impl Memory {
    /// What is kept of a node.
    pub(crate) fn kept_node(&self, memory: &NodeMemory) -> KeptNode {
        let name = |id| Some(Arc::from(workload_name(self.workloads.key(id)?)));
        let named = |t: &Trouble| Some((t.at, name(t.other)?, t.cause));
        KeptNode {
            cpu: memory.cpu,
            memory: memory.memory,
            class: memory.class.clone(),
            allocatable: memory.allocatable,
            lately: memory.lately,
            last: memory.last,
            down: memory.down,
            troubles: memory.troubles.iter().filter_map(named).collect(),
            ailing: memory.ailing.kept(name),
        }
    }

    /// What is kept of a workload.
    pub(crate) fn kept_workload(&self, memory: &WorkloadMemory) -> KeptWorkload {
        let on = |(node, at): &(u32, i64)| Some((self.nodes.key(*node)?.clone(), *at));
        let named = |t: &Trouble| Some((t.at, self.nodes.key(t.other)?.clone(), t.cause));
        let revisions = memory.revisions.iter().map(|(name, tally, recent)| KeptRevision {
            name: name.clone(),
            tally: *tally,
            ended: recent.ended.clone(),
            troubles: recent.troubles.iter().filter_map(named).collect(),
            ready: recent.ready_on().filter_map(on).collect(),
        });
        KeptWorkload {
            tally: memory.tally,
            starts: memory.starts.clone(),
            failed_on: memory.failed_on.iter().filter_map(on).collect(),
            revisions: revisions.collect(),
        }
    }

    /// What is kept of the cluster.
    pub(crate) fn kept_cluster(&self) -> KeptCluster {
        KeptCluster { now: self.now, recent: self.recent.clone(), censoring: self.censoring.clone() }
    }

    /// Takes back what was kept of a node. Workloads come first: what was forgotten of them stays so.
    pub(crate) fn load_node(&mut self, name: &Arc<str>, kept: KeptNode) {
        let id = |name: &str| self.workloads.find(&workload_of(name)?);
        let troubles: Vec<Trouble> =
            kept.troubles.iter().filter_map(|(at, name, cause)| Some((*at, id(name)?, *cause))).map(trouble).collect();
        let ailing = Ailing::load(&kept.ailing, id);
        let memory = self.nodes.entry(name);
        memory.ailing = ailing;
        (memory.cpu, memory.memory, memory.class) = (kept.cpu, kept.memory, kept.class);
        (memory.allocatable, memory.lately) = (kept.allocatable, kept.lately);
        (memory.last, memory.down) = (kept.last, kept.down);
        troubles.into_iter().for_each(|trouble| memory.troubles.add(trouble));
    }

    /// Takes back what was kept of a workload.
    pub(crate) fn load_workload(&mut self, key: &WorkloadKey, kept: KeptWorkload) {
        let nodes = &mut self.nodes;
        let memory = self.workloads.entry(key);
        (memory.tally, memory.starts) = (kept.tally, kept.starts);
        for (node, at) in kept.failed_on {
            memory.failed_on.add(nodes.id(&node), at);
        }
        for revision in kept.revisions {
            let (tally, recent) = memory.revision(&revision.name);
            (*tally, recent.ended) = (revision.tally, revision.ended);
            for (at, node, cause) in revision.troubles {
                recent.troubles.add(trouble((at, nodes.id(&node), cause)));
            }
            for (node, at) in revision.ready {
                recent.became_ready(nodes.id(&node), at);
            }
        }
    }

    /// Takes back what was kept of the cluster, when all else is there. The time is the one of then until a message tells
    /// another, be it an earlier one: a clock may have been set back while nobody watched.
    pub(crate) fn resume(&mut self, kept: KeptCluster) {
        (self.now, self.recent, self.censoring) = (kept.now, kept.recent, kept.censoring);
        self.resumed = true;
        let first = UnixMillis(self.now.0 - self.window_ms).hour();
        self.first_hour = first;
        self.expire_hours(first);
        self.expect();
    }
}

fn trouble((at, other, cause): (i64, u32, Cause)) -> Trouble {
    Trouble { at, other, cause }
}
