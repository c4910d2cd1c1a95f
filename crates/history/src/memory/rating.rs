//! All rates as of now, from the tallies. The definitions are in [`crate::rates`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::ailing::spells::rates as spell_rates;
use super::tally::Tally;
use super::{Memory, NodeMemory, WorkloadMemory};
use crate::rates::{
    CELL_PODS, K_DEFAULT, Lately, NO_PODS, NodeRates, Prior, RateSet, Rates, WORKLOAD_PODS, WorkloadRates, root,
    strength,
};

/// The four events that are counted.
type Events = [fn(&Tally) -> f64; 4];
const EVENTS: Events = [Tally::trouble, |t| t.restarted, |t| t.oom, |t| t.evicted];

/// A workload's record elsewhere is that of its pods there and of so many without failure: one failure proves little.
const UNPROVEN_PODS: f64 = 4.0;

/// A member of a level: its counts, the rates of the level above, and the pods seen.
struct Member {
    tally: Tally,
    above: [f64; 4],
    seen: u64,
}

/// The strengths of a level's priors.
fn strengths(members: &[Member]) -> [f64; 4] {
    std::array::from_fn(|i| strength(members.iter().map(|m| (EVENTS[i](&m.tally), m.tally.pods, m.above[i]))))
}

impl Member {
    fn rates(&self, k: [f64; 4]) -> RateSet {
        let rate =
            |i: usize| Prior { p: self.above[i], k: k[i] }.shrink(EVENTS[i](&self.tally), self.tally.pods, self.seen);
        RateSet { failure: rate(0), restart: rate(1), oom: rate(2), eviction: rate(3) }
    }

    /// The rates as numbers for the level below: those of the level above where this one has none.
    fn below(&self, rates: &RateSet) -> [f64; 4] {
        let or = |i: usize, rate: Option<crate::rates::Rate>| rate.map_or(self.above[i], |rate| rate.value);
        [or(0, rates.failure), or(1, rates.restart), or(2, rates.oom), or(3, rates.eviction)]
    }
}

fn whole(tally: &Tally) -> [f64; 4] {
    EVENTS.map(|event| root(event(tally), tally.pods))
}

impl Memory {
    /// All rates as of now.
    pub fn rates(&mut self) -> Rates {
        self.rates_stale = false;
        let now = self.now.0;
        let mut rates = Rates::default();
        let workloads: Vec<_> =
            self.workloads.iter().map(|(id, key, memory)| (id, key, memory, memory.tally.as_of(now))).collect();

        // Workloads: cluster, namespaces, workloads, revisions.
        let mut total = Tally::default();
        let mut namespaces: BTreeMap<Arc<str>, (Tally, u64)> = BTreeMap::new();
        let sums: Vec<_> = workloads.iter().map(|(_, _, memory, _)| memory.series.sums()).collect();
        for ((_, key, _, tally), sums) in workloads.iter().zip(&sums) {
            let part = tally.scaled((WORKLOAD_PODS / tally.pods.max(NO_PODS)).min(1.0));
            total.add(&part);
            let (of_namespace, seen) = namespaces.entry(key.namespace.clone()).or_default();
            of_namespace.add(&part);
            *seen += sums.started;
        }
        let (started, troubled) = sums.iter().fold((0, 0), |(a, b), sums| (a + sums.started, b + sums.troubled));
        rates.cluster_failure_rate = (started > 0).then(|| (troubled as f64 / started as f64).min(1.0));
        let cluster = whole(&total);
        rates.cluster = Member { tally: total, above: cluster, seen: started }.rates([0.0; 4]);
        let members: Vec<Member> =
            namespaces.values().map(|&(tally, seen)| Member { tally, above: cluster, seen }).collect();
        let k_namespace = strengths(&members);
        let mut above_workloads: HashMap<Arc<str>, [f64; 4]> = HashMap::with_capacity(namespaces.len());
        for (name, member) in namespaces.keys().zip(&members) {
            let set = member.rates(k_namespace);
            above_workloads.insert(name.clone(), member.below(&set));
            rates.namespaces.insert(name.clone(), set);
        }
        let members: Vec<Member> = workloads
            .iter()
            .zip(&sums)
            .map(|((_, key, _, tally), sums)| Member {
                tally: *tally,
                above: above_workloads.get(&key.namespace).copied().unwrap_or(cluster),
                seen: sums.started,
            })
            .collect();
        let k_workload = strengths(&members);
        // What a workload does, by number, for the blame of nodes.
        let mut records: Vec<Tally> = Vec::new();
        rates.workloads.reserve(members.len());
        for (((id, key, memory, tally), sums), member) in workloads.iter().zip(&sums).zip(&members) {
            records.resize(*id as usize, Tally::default());
            records.push(*tally);
            let set = member.rates(k_workload);
            let templates = templates(memory, now, member.below(&set));
            let namespace_pods = namespaces.get(&key.namespace).map_or(0.0, |(tally, _)| tally.pods);
            let backoff_level = match () {
                () if tally.pods >= k_workload[0] => "workload",
                () if namespace_pods >= k_namespace[0] => "namespace",
                () => "cluster",
            };
            let known = WorkloadRates {
                failure_rate: set.failure,
                restart_rate: set.restart,
                oom_rate: set.oom,
                eviction_rate: set.eviction,
                n: sums.started,
                restarts: sums.restarts,
                oom_kills: sums.oom,
                evictions: sums.evicted,
                unready: sums.unready,
                start_p95_ms: memory.start_p95_ms(),
                usage: memory.usage.as_ref().and_then(|usage| usage.percentiles),
                backoff_level,
                templates,
            };
            rates.workloads.insert((*key).clone(), known);
        }

        // Nodes: cluster, classes, nodes; by what is held against them.
        // Of the size that it will have: with thousands of nodes growing means to hold them twice.
        let mut held = Vec::with_capacity(self.nodes.len());
        held.extend(
            self.nodes
                .iter()
                .map(|(id, name, memory)| (name, memory, blame(memory, now, &records), memory.series.sums(), id)),
        );
        let mut total = Tally::default();
        let mut classes: BTreeMap<Arc<str>, (Tally, u64)> = BTreeMap::new();
        for (_, memory, tally, sums, _) in &held {
            total.add(tally);
            rates.pods += sums.started;
            let (of_class, seen) = classes.entry(memory.class.clone()).or_default();
            of_class.add(tally);
            *seen += sums.started;
        }
        let cluster = whole(&total);
        let members: Vec<Member> =
            classes.values().map(|&(tally, seen)| Member { tally, above: cluster, seen }).collect();
        let k_class = strengths(&members);
        let mut above_nodes: HashMap<Arc<str>, [f64; 4]> = HashMap::with_capacity(classes.len());
        for (name, member) in classes.keys().zip(&members) {
            let set = member.rates(k_class);
            above_nodes.insert(name.clone(), member.below(&set));
            rates.classes.insert(name.clone(), set);
        }
        let members: Vec<Member> = held
            .iter()
            .map(|(_, memory, tally, sums, _)| Member {
                tally: *tally,
                above: above_nodes.get(&memory.class).copied().unwrap_or(cluster),
                seen: sums.started,
            })
            .collect();
        let k_node = strengths(&members);
        let spells: Vec<_> = held.iter().map(|(_, memory, ..)| &memory.ailing.spells).collect();
        let mut spell_rates = spell_rates(&spells, now).into_iter();
        rates.nodes.reserve(members.len());
        for ((name, memory, _, sums, id), member) in held.iter().zip(&members) {
            let set = member.rates(k_node);
            let lately = memory.lately.as_of(now).map(|(pods, trouble)| Lately { pods, trouble });
            let recent = memory.series.since(self.now.hour().saturating_sub(1));
            let ready_share = (sums.watched_ms > 0).then(|| sums.ready_ms as f64 / sums.watched_ms as f64);
            let expected = self.usage.expected(*id);
            let share = |expected: Option<f64>, of: Option<f64>| Some(expected? / of.filter(|of| *of > 0.0)?);
            let peak =
                |usual: Option<f64>, sum: Option<f64>| usual.map(|usual| sum.map_or(usual, |sum| usual.max(sum)));
            let (cores, bytes) = memory.allocatable.unzip();
            let known = NodeRates {
                class: memory.class.clone(),
                failure_rate: set.failure,
                restart_rate: set.restart,
                oom_rate: set.oom,
                eviction_rate: set.eviction,
                stability_score: set.failure.zip(ready_share).map(|(rate, ready)| (1.0 - rate.value) * ready),
                ready_share,
                pods: sums.started,
                failed_pods: sums.failed,
                recent_failed_pods: recent.failed,
                hour: lately[0],
                day: lately[1],
                ails: memory.ailing.as_of(now, spell_rates.next()),
                restarts: sums.restarts,
                oom_kills: sums.oom,
                evictions: sums.evicted,
                average_restarts: (sums.started > 0).then(|| sums.restarts as f64 / sums.started as f64),
                mean_cpu: memory.cpu.mean(),
                mean_memory: memory.memory.mean(),
                peak_cpu: peak(memory.cpu.peak(), share(expected.map(|e| e.0), cores)),
                peak_memory: peak(memory.memory.peak(), share(expected.map(|e| e.1), bytes)),
                expected_cpu: expected.map(|e| e.0),
                expected_memory: expected.map(|e| e.1),
            };
            rates.nodes.insert((*name).clone(), Box::new(known));
        }
        rates
    }
}

/// The rates of each revision, when there is more than one to tell apart.
fn templates(memory: &WorkloadMemory, now: i64, above: [f64; 4]) -> Vec<(Arc<str>, RateSet)> {
    if memory.revisions.len() < 2 {
        return Vec::new();
    }
    let member = |tally: &Tally| {
        let tally = tally.as_of(now);
        Member { tally, above, seen: tally.pods.round() as u64 }
    };
    memory.revisions.iter().map(|(name, tally, _)| (name.clone(), member(tally).rates([K_DEFAULT; 4]))).collect()
}

/// What is held against a node: each workload for at most [`CELL_PODS`] pods, and of what it may have brought upon itself only
/// the part that its record elsewhere does not explain.
fn blame(memory: &NodeMemory, now: i64, records: &[Tally]) -> Tally {
    let mut sum = Tally { at: now, ..Tally::default() };
    for (workload, cell) in memory.cells.iter() {
        let cell = cell.as_of(now);
        if cell.pods <= NO_PODS {
            continue;
        }
        let mut part = cell.scaled((CELL_PODS / cell.pods).min(1.0));
        if let Some(record) = records.get(*workload as usize) {
            let pods = (record.pods - cell.pods).max(0.0);
            let failures = (record.failures - cell.failures).clamp(0.0, pods);
            part.failures *= 1.0 - failures / (pods + UNPROVEN_PODS);
        }
        sum.add(&part);
    }
    sum
}
