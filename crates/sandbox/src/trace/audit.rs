//! An independent check of where pods went: from requests, capacities and models of GPU alone, without a scheduler's help.
//! [`audit`] finds what should not be; [`reference`] places the trace itself, for comparison.

use std::collections::HashMap;

use super::openb::{Trace, TraceNode, TracePod};
use crate::sim::Resources;

/// What is wrong with an outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Pods that were not placed although a node had room for them, each with such a node.
    pub fits_left: Vec<(String, String)>,
    /// Nodes that hold more than they have, with the resource.
    pub overcommitted: Vec<(String, String)>,
    /// Pods on nodes whose GPUs they do not accept, or that are not in the trace, with the node.
    pub misplaced: Vec<(String, String)>,
}

impl Findings {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.fits_left.is_empty() && self.overcommitted.is_empty() && self.misplaced.is_empty()
    }
}

/// Checks an outcome: `placed` maps pods that hold resources to their nodes, `unplaced` lists those that wait.
///
/// Without departures free room only shrinks, so a waiting pod that fits nowhere at the end may have fitted earlier only
/// into room that went to a pod decided before it; one that still fits was overlooked.
#[must_use]
pub fn audit(trace: &Trace, placed: &HashMap<String, String>, unplaced: &[&TracePod]) -> Findings {
    let mut findings = Findings::default();
    let index: HashMap<&str, usize> = trace.nodes.iter().enumerate().map(|(i, node)| (node.name.as_str(), i)).collect();
    let mut free: Vec<Resources> = trace.nodes.iter().map(TraceNode::capacity).collect();
    for pod in &trace.pods {
        let Some(name) = placed.get(&pod.name) else { continue };
        match index.get(name.as_str()) {
            Some(i) => {
                if !accepts(pod, &trace.nodes[*i]) {
                    findings.misplaced.push((pod.name.clone(), name.clone()));
                }
                free[*i].add(&pod.requests(), -1);
            }
            None => findings.misplaced.push((pod.name.clone(), name.clone())),
        }
    }
    for (node, free) in trace.nodes.iter().zip(&free) {
        let short = [("cpu", free.cpu_milli), ("memory", free.memory)].into_iter().find(|(_, left)| *left < 0);
        let extended = free.extended.iter().find(|(_, left)| *left < 0).map(|(name, left)| (&**name, *left));
        if let Some((resource, _)) = short.or(extended) {
            findings.overcommitted.push((node.name.clone(), resource.to_owned()));
        }
    }
    for pod in unplaced {
        let requests = pod.requests();
        let room = trace.nodes.iter().zip(&free).find(|(node, free)| accepts(pod, node) && fits(&requests, free));
        if let Some((node, _)) = room {
            findings.fits_left.push((pod.name.clone(), node.name.clone()));
        }
    }
    findings
}

/// How many pods find a place when they are placed one by one in trace order, each on the node that has most CPU and memory
/// left in proportion (as LeastAllocated prefers), without departures. A figure to compare with, not a bound.
#[must_use]
pub fn reference(trace: &Trace) -> usize {
    let capacity: Vec<Resources> = trace.nodes.iter().map(TraceNode::capacity).collect();
    let mut free = capacity.clone();
    let mut placed = 0;
    for pod in &trace.pods {
        let requests = pod.requests();
        let mut best: Option<(f64, usize)> = None;
        for (i, node) in trace.nodes.iter().enumerate() {
            if !fits(&requests, &free[i]) || !accepts(pod, node) {
                continue;
            }
            let left = |free: i64, request: i64, all: i64| (free - request) as f64 / all.max(1) as f64;
            let score = left(free[i].cpu_milli, requests.cpu_milli, capacity[i].cpu_milli)
                + left(free[i].memory, requests.memory, capacity[i].memory);
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, i));
            }
        }
        if let Some((_, i)) = best {
            free[i].add(&requests, -1);
            placed += 1;
        }
    }
    placed
}

fn accepts(pod: &TracePod, node: &TraceNode) -> bool {
    pod.models.is_empty() || pod.models.contains(&node.model)
}

fn fits(requests: &Resources, free: &Resources) -> bool {
    requests.cpu_milli <= free.cpu_milli
        && requests.memory <= free.memory
        && requests.extended.iter().all(|(name, amount)| *amount <= free.extended(name))
}
