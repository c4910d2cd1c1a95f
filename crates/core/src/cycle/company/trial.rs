//! Counts as they would be if pods came to one node or left it: [`Shift`].

use std::sync::Arc;

use super::{Company, Place, Purpose};
use crate::object::{Node, Pod};
use crate::plugins::Rejection;
use crate::plugins::pod_topology_spread::{self as spread, Fewest};
use crate::state::{ClusterState, NodeId, PodKind};

/// The counts of one node's domains with other pods on it than there are.
pub(in crate::cycle) struct Shift<'a> {
    company: &'a Company,
    state: &'a ClusterState,
    node: &'a Node,
    id: NodeId,
    /// By topic, the count of the node's domain, and how many pods more or less are counted anywhere.
    here: Vec<(Option<i64>, i64)>,
    /// By rule that is a must.
    fewest: Vec<Fewest>,
    /// Pods that repel the pod by a label for which nothing is counted yet.
    repelling: Vec<(Arc<str>, i64)>,
}

impl<'a> Shift<'a> {
    /// As it is. `fewest` is what [`Company::fewest`] says.
    pub(in crate::cycle) fn new(
        company: &'a Company,
        state: &'a ClusterState,
        id: NodeId,
        fewest: &[Fewest],
    ) -> Shift<'a> {
        let node = &*state.row(id).node;
        let here = (0..company.topics.len()).map(|topic| (company.count_at(topic, id), 0)).collect();
        Shift { company, state, node, id, here, fewest: fewest.to_vec(), repelling: Vec::new() }
    }

    /// A pod came to the node (1) or left it (-1).
    pub(in crate::cycle) fn follow(&mut self, moved: &Pod, by: i64) {
        let company = self.company;
        // As kube-scheduler: pods that are ending are counted here.
        if moved.namespace == company.identity.namespace {
            for (at, rule) in company.hard.iter().enumerate() {
                if spread::selects(&rule.constraint, &moved.labels)
                    && let Some(domain) = company.domain(at, self.id, self.node)
                    && let (Some(count), _) = &mut self.here[at]
                {
                    *count += by;
                    self.fewest[at].update(domain as u32, *count);
                }
            }
        }
        for (purpose, key, _) in company.terms(&PodKind::of(moved), self.state) {
            if purpose == Purpose::Liking {
                continue;
            }
            let known = company.topics.iter().position(|topic| topic.purpose == purpose && topic.key == *key);
            match known.map(|at| &mut self.here[at]) {
                Some((Some(count), pods)) => {
                    *count += by;
                    *pods += by;
                }
                Some((None, _)) => {}
                None if self.node.labels.get(key).is_some() => {
                    match self.repelling.iter_mut().find(|(known, _)| known == key) {
                        Some((_, count)) => *count += by,
                        None => self.repelling.push((key.clone(), by)),
                    }
                }
                None => {}
            }
        }
    }

    /// The first rejection of the node as it would be, unless another filter rejects it before.
    pub(in crate::cycle) fn check(&self, other: Option<Rejection>) -> Option<Rejection> {
        let company = self.company;
        let repelled = self.repelling.iter().any(|(_, count)| *count > 0);
        let count = |at: usize| self.here[at].0;
        company.first(
            other,
            || company.check_spread(count, |at| self.fewest[at].count()),
            || company.check_affinity(count, |at| company.topics[at].pods + self.here[at].1, repelled),
        )
    }
}

impl Company {
    /// The count of the row's domain.
    fn count_at(&self, topic: usize, id: NodeId) -> Option<i64> {
        let topic = &self.topics[topic];
        let domain = match topic.place {
            Place::Domain(at) => self.columns[at].1.of(id.index())?,
            Place::Node(_) => Some(id.index()).filter(|row| self.has_host(*row))?,
        };
        Some(topic.counts.get(domain).copied().unwrap_or(0))
    }
}
