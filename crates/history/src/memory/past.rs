//! A week that was lived through elsewhere is taken in: [`Memory::take_in`].
//!
//! What happened before this memory began is played through a [`Memory`] of its own, from its oldest moment on, so that counts,
//! attribution and decay are those of the present. All that is kept over days is a sum of decayed counts, so that the two can be
//! added as of one moment.

use super::pod::{Tracked, may_be_app};
use super::recent::Revision;
use super::tally::{Tally, weight};
use super::{MAX_WORKLOADS, Memory, REVISIONS, WorkloadMemory};
use crate::counters::Bucket;
use crate::types::{DAY_MS, NodeObservation, OutcomeState, PodObservation, UnixMillis};
use crate::usage::UsageRound;

/// What is known of one moment gone by.
#[derive(Debug, Clone, Default)]
pub struct PastStep {
    /// The moment.
    pub at: UnixMillis,
    /// Nodes.
    pub nodes: Vec<NodeObservation>,
    /// Pods of which something is new.
    pub pods: Vec<PodObservation>,
    /// Usage, where it is known.
    pub usage: Option<UsageRound>,
}

impl Memory {
    /// Lives through one moment.
    pub fn step(&mut self, step: &PastStep) {
        self.advance(step.at);
        step.nodes.iter().for_each(|node| self.node(node));
        step.pods.iter().for_each(|pod| self.pod(pod));
        if let Some(round) = &step.usage {
            self.usage(round);
        }
    }

    /// Adds what `past` knows of nodes and workloads. Pods that are followed here were counted by both; they count once.
    pub(crate) fn take_in(&mut self, mut past: Memory) {
        let at = UnixMillis(self.now.0.max(past.now.0));
        past.advance(at);
        self.advance(at);
        let now = at.0;
        self.release(&mut past, now);
        for (_, name, node) in past.nodes.iter() {
            let known = self.nodes.entry(name);
            if known.class.is_empty() {
                known.class = node.class.clone();
            }
            known.allocatable = known.allocatable.or(node.allocatable);
            known.series.add(&node.series);
            known.cpu.take_in(&node.cpu);
            known.memory.take_in(&node.memory);
            known.lately.take_in(&node.lately, now);
            known.ailing.take_in(&node.ailing, now);
            self.changes.nodes.insert(name.clone());
        }
        for (_, key, workload) in past.workloads.iter() {
            if self.workloads.len() >= MAX_WORKLOADS && self.workloads.find(key).is_none() {
                continue;
            }
            let known = self.workloads.entry(key);
            known.take_in(workload, now);
            self.changes.usage.extend(known.usage.as_ref().map(|usage| (key.clone(), usage.store())));
            self.changes.workloads.insert(key.clone());
        }
        for (_, name, node) in past.nodes.iter() {
            for (id, cell) in node.cells.iter() {
                if let Some(key) = past.workloads.key(*id).filter(|key| self.workloads.find(key).is_some()) {
                    self.cell(name, key).touch(now).add(&cell.as_of(now));
                }
            }
        }
        self.rates_stale = true;
    }

    /// A pod that both have seen has been counted by both: what one of them counts is taken back, so that it counts as a pod
    /// once, and as in trouble since it first was. The hour in which it was first seen here is no longer that of its start.
    fn release(&mut self, past: &mut Memory, now: i64) {
        let both: Vec<Tracked> = past
            .pods
            .iter()
            .filter(|(uid, pod)| pod.counted && !pod.ended && self.pods.get(*uid).is_some_and(|here| here.counted))
            .map(|(_, pod)| (**pod).clone())
            .collect();
        for pod in both {
            let Some(here) = self.pods.get_mut(&pod.pod.uid) else { continue };
            let seen = here.placed_at.hour();
            if pod.trouble_at.is_none() {
                past.take_back(&pod, &counted(&pod, now), true);
            } else {
                let twice = twice(&pod, here, now);
                let blamed = here.blamed_at.is_some();
                (here.restarted, here.oom) = (here.restarted || pod.restarted, here.oom.max(pod.oom));
                if matches!(here.state, OutcomeState::Starting | OutcomeState::Running | OutcomeState::Bad) {
                    (here.cause, here.trouble_at, here.app_fault) = (pod.cause, pod.trouble_at, pod.app_fault);
                    (here.state, here.blamed_at) = (OutcomeState::Bad, pod.blamed_at);
                }
                self.changes.pods.insert(pod.pod.uid.clone());
                self.take_back(&pod, &twice, blamed);
            }
            let less = |bucket: &mut Bucket| bucket.started = bucket.started.saturating_sub(1);
            less(self.nodes.entry(&pod.node).series.at(seen));
            less(self.workloads.entry(&pod.workload).series.at(seen));
        }
    }

    /// Takes back counts of a pod; those of its trouble from its node only if that was blamed.
    fn take_back(&mut self, pod: &Tracked, counts: &Tally, blamed: bool) {
        let now = counts.at;
        let workload = self.workloads.entry(&pod.workload);
        workload.tally.touch(now).take_back(counts);
        workload.revision(&pod.revision).0.touch(now).take_back(counts);
        let mut of_node = *counts;
        if !blamed {
            (of_node.failures, of_node.node_failures) = (0.0, 0.0);
        }
        self.cell(&pod.node, &pod.workload).touch(now).take_back(&of_node);
    }
}

/// What is left of a pod as a pod: it counts in full at the end of each day of its life, and when trouble came.
fn counted(pod: &Tracked, now: i64) -> Tally {
    let since = pod.trouble_at.map_or((now - pod.placed_at.0) % DAY_MS, |at| now - at.0);
    Tally { at: now, pods: weight(since), ..Tally::default() }
}

/// What is counted here of a pod whose trouble began in the past: the first of a kind is what counts, and came then.
fn twice(past: &Tracked, here: &Tracked, now: i64) -> Tally {
    let left = |both: bool| match here.trouble_at {
        Some(at) if both => weight(now - at.0),
        _ => 0.0,
    };
    let own = here.cause.is_some_and(may_be_app);
    Tally {
        failures: left(own),
        node_failures: left(!own),
        restarted: left(past.restarted && here.restarted),
        oom: left(past.oom > 0 && here.oom > 0),
        ..counted(here, now)
    }
}

impl WorkloadMemory {
    fn take_in(&mut self, past: &WorkloadMemory, now: i64) {
        self.series.add(&past.series);
        self.tally.touch(now).add(&past.tally.as_of(now));
        if let Some(usage) = &past.usage {
            self.usage.get_or_insert_with(Box::default).take_in(usage);
        }
        // Those of the past are older.
        let here = std::mem::take(&mut self.revisions);
        // What happened lately there names nodes by numbers that are none here.
        let counts = past.revisions.iter().map(|(name, tally, _)| (name.clone(), *tally, Revision::default()));
        self.revisions.extend(counts);
        for (name, mut tally, recent) in here {
            if let Some(place) = self.revisions.iter().position(|(known, _, _)| *known == name) {
                let (_, before, _) = self.revisions.remove(place);
                tally.touch(now).add(&before.as_of(now));
            }
            self.revisions.push((name, tally, recent));
        }
        let too_many = self.revisions.len().saturating_sub(REVISIONS);
        self.revisions.drain(..too_many);
    }
}
