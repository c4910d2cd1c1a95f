//! What containers and nodes use: series in compressed blocks, histograms by workload, and the sum of what the pods of a node
//! are expected to use at most. Entry point: [`Memory::usage`], once for every round of readings.
//!
//! Only the block of the present ten minutes is in memory; it is sealed when the next begins. `series.rs` reads what was sealed;
//! `journal.rs` keeps the rounds of the block that is not, for the case that the process is killed.

pub(crate) mod block;
pub(crate) mod code;
pub(crate) mod histogram;
pub(crate) mod journal;
pub(crate) mod series;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::memory::Memory;
use crate::types::{DAY_MS, UnixMillis};
use block::{Block, RAW_BLOCK_MS, RAW_POINTS, RAW_STEP_MS};
use histogram::{Histogram, Scale, Stored};

/// Blocks of one time, so that reading one series does not mean reading all.
pub(crate) const SHARDS: u32 = 64;
/// Containers of a pod whose series are kept; Kubernetes has no bound, this one keeps a strange pod from filling the memory.
const CONTAINERS: usize = 32;
/// Samples of a workload before its percentiles say something.
const MIN_SAMPLES: u64 = 10;

/// Numbers of series of the days before this history began lie above this one, so that they meet no other.
pub(crate) const PAST_SERIES: u32 = 1 << 31;

/// What one container uses.
#[derive(Debug, Clone, PartialEq)]
pub struct ContainerSample {
    /// The container.
    pub name: Arc<str>,
    /// CPU in cores.
    pub cpu: f64,
    /// Memory in bytes.
    pub memory: f64,
}

/// What the containers of one pod use.
#[derive(Debug, Clone, PartialEq)]
pub struct PodSample {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Its containers.
    pub containers: Vec<ContainerSample>,
}

/// What one node uses.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSample {
    /// Name.
    pub name: Arc<str>,
    /// CPU in cores.
    pub cpu: f64,
    /// Memory in bytes.
    pub memory: f64,
}

/// One round of readings. Readings that cannot be true are left out by whoever makes it.
#[derive(Debug, Clone, Default)]
pub struct UsageRound {
    /// When it was taken.
    pub at: UnixMillis,
    /// Nodes.
    pub nodes: Vec<NodeSample>,
    /// Pods; those that are not followed are ignored.
    pub pods: Vec<PodSample>,
}

/// What the pods of a workload use, all containers together, from decayed histograms (24 h); memory from daily peaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct UsagePercentiles {
    /// Samples of CPU.
    pub samples: u64,
    /// Median of CPU in cores.
    pub cpu_p50: f64,
    /// 95th percentile.
    pub cpu_p95: f64,
    /// 99th percentile.
    pub cpu_p99: f64,
    /// Median of the daily peaks of memory in bytes.
    pub memory_p50: f64,
    /// 98th percentile.
    pub memory_p98: f64,
    /// 99th percentile.
    pub memory_p99: f64,
}

/// The histograms of a workload as they are stored: samples, CPU, memory.
pub(crate) type StoredUsage = (u64, Stored, Stored);

/// The histograms of a workload.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkloadUsage {
    cpu: Histogram,
    memory: Histogram,
    samples: u64,
    pub percentiles: Option<UsagePercentiles>,
}

impl WorkloadUsage {
    fn refresh(&mut self) {
        let cpu = |share| self.cpu.percentile(Scale::Cpu, share).unwrap_or(0.0);
        let memory = |share| self.memory.percentile(Scale::Memory, share).unwrap_or(0.0);
        self.percentiles = (self.samples >= MIN_SAMPLES).then(|| UsagePercentiles {
            samples: self.samples,
            cpu_p50: cpu(0.5),
            cpu_p95: cpu(0.95),
            cpu_p99: cpu(0.99),
            memory_p50: memory(0.5),
            memory_p98: memory(0.98),
            memory_p99: memory(0.99),
        });
    }

    /// Adds what another has seen.
    pub fn take_in(&mut self, other: &Self) {
        self.cpu.take_in(&other.cpu);
        self.memory.take_in(&other.memory);
        self.samples = self.samples.saturating_add(other.samples);
        self.refresh();
    }

    pub fn store(&self) -> StoredUsage {
        (self.samples, self.cpu.store(), self.memory.store())
    }

    pub fn load((samples, cpu, memory): &StoredUsage) -> Self {
        let mut usage =
            Self { cpu: Histogram::load(cpu), memory: Histogram::load(memory), samples: *samples, percentiles: None };
        usage.refresh();
        usage
    }
}

/// Whose series it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SeriesName {
    /// Empty for a node.
    pub pod: Arc<str>,
    /// Empty for a node.
    pub namespace: Arc<str>,
    /// Empty for a node.
    pub container: Arc<str>,
    /// The node (of a pod: where it runs).
    pub node: Arc<str>,
}

/// A series within the block of the present.
#[derive(Debug, Clone)]
struct Open {
    id: u32,
    touched: bool,
    points: [[u16; 2]; RAW_POINTS],
}

/// A pod that is there, as usage sees it.
#[derive(Debug, Clone)]
struct PodSlot {
    workload: u32,
    node: u32,
    containers: Vec<(Arc<str>, u32)>,
    peak: Peak,
    /// The peak is another than the one that is kept.
    peak_changed: bool,
}

/// The highest memory of the present day of a pod's life, when that day ends, and the latest reading (cores, bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Peak {
    memory: f64,
    day_ends: i64,
    last: (f64, f64),
}

impl Peak {
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        let words = [
            self.memory.to_le_bytes(),
            self.day_ends.to_le_bytes(),
            self.last.0.to_le_bytes(),
            self.last.1.to_le_bytes(),
        ];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word);
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let [memory, day_ends, cpu, bytes] = bytes.as_chunks::<8>().0.try_into().ok()?;
        let peak = Self {
            memory: f64::from_le_bytes(memory),
            day_ends: i64::from_le_bytes(day_ends),
            last: (f64::from_le_bytes(cpu), f64::from_le_bytes(bytes)),
        };
        (peak.memory.is_finite() && peak.last.0.is_finite() && peak.last.1.is_finite()).then_some(peak)
    }
}

/// Ten minutes of series of one shard.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub start: i64,
    pub shard: u32,
    pub bytes: Vec<u8>,
}

/// The present of all series.
#[derive(Debug, Clone, Default)]
pub(crate) struct UsageMemory {
    /// When the block of the present begins.
    start: Option<i64>,
    open: Vec<Open>,
    free: Vec<u32>,
    /// Places of series that ended; free once the block is sealed.
    ending: Vec<u32>,
    nodes: HashMap<Arc<str>, u32>,
    pods: HashMap<(Arc<str>, Arc<str>), PodSlot>,
    /// Series that were open when the store was closed, by name.
    known: HashMap<SeriesName, u32>,
    next_id: u32,
    /// What the pods of a node are expected to use at most, by the number of the node: millionths of a core
    /// and bytes, in whole numbers so that their order does not matter.
    expected: BTreeMap<u32, (u64, u64)>,
    stale: HashSet<u32>,
    /// Pods read that are not followed.
    pub unknown: u64,
    /// The latest round of the block of the present.
    last_round: i64,
    /// Rounds are handed out for the journal.
    pub journaled: bool,
    /// Pods with a peak on disk that ended in the block of the present, as `namespace/name`.
    peaks_ended: Vec<String>,
}

impl UsageMemory {
    /// Goes on where the store was closed.
    pub fn resume(&mut self, next_id: u32, known: HashMap<SeriesName, u32>) {
        self.next_id = next_id;
        self.known = known;
    }

    /// A place for the series of this number.
    fn place_of(&mut self, id: u32) -> u32 {
        let open = Open { id, touched: false, points: [[0; 2]; RAW_POINTS] };
        match self.free.pop() {
            Some(place) => {
                self.open[place as usize] = open;
                place
            }
            None => {
                self.open.push(open);
                u32::try_from(self.open.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    pub fn next_id(&self) -> u32 {
        self.next_id
    }

    /// What the pods of this node are expected to use at most: cores and bytes.
    pub fn expected(&self, node: u32) -> Option<(f64, f64)> {
        self.expected.get(&node).map(|(cpu, memory)| (*cpu as f64 / 1e6, *memory as f64))
    }

    pub fn pod_came(&mut self, namespace: &Arc<str>, name: &Arc<str>, workload: u32, node: u32) {
        let slot = PodSlot { workload, node, containers: Vec::new(), peak: Peak::default(), peak_changed: false };
        self.pods.insert((namespace.clone(), name.clone()), slot);
    }

    /// Takes back the peak of a pod that is followed.
    pub fn load_peak(&mut self, name: &str, bytes: &[u8]) {
        let Some((namespace, name)) = name.split_once('/') else { return };
        if let Some(slot) = self.pods.get_mut(&(namespace.into(), name.into())) {
            slot.peak = Peak::from_bytes(bytes).unwrap_or_default();
        }
    }

    /// Names of series that were open when the store was closed, and whose pods did not come back.
    pub fn lost(&mut self) -> Vec<(SeriesName, u32)> {
        let pods = &self.pods;
        let lost =
            |name: &SeriesName| !name.pod.is_empty() && !pods.contains_key(&(name.namespace.clone(), name.pod.clone()));
        self.known.extract_if(|name, _| lost(name)).collect()
    }

    pub fn forget_workloads(&mut self, ids: &HashMap<u32, &crate::types::WorkloadKey>) {
        for slot in self.pods.values_mut().filter(|slot| ids.contains_key(&slot.workload)) {
            slot.workload = u32::MAX;
        }
        self.stale.retain(|id| !ids.contains_key(id));
    }
}

/// The place of a series, which is made when it is new.
fn place(usage: &mut UsageMemory, created: &mut Vec<(SeriesName, u32)>, name: SeriesName) -> u32 {
    let id = usage.known.remove(&name).unwrap_or_else(|| {
        usage.next_id += 1;
        created.push((name, usage.next_id));
        usage.next_id
    });
    usage.place_of(id)
}

impl Memory {
    /// Takes in one round of readings.
    pub fn usage(&mut self, round: &UsageRound) {
        self.advance(round.at);
        self.take_round(round);
        self.expect();
    }

    fn take_round(&mut self, round: &UsageRound) {
        let start = round.at.0.div_euclid(RAW_BLOCK_MS) * RAW_BLOCK_MS;
        match self.usage.start {
            // A clock that goes back says nothing about the past.
            Some(open) if start < open => return,
            Some(open) if start > open => self.seal(),
            _ => {}
        }
        self.usage.last_round =
            if self.usage.start.is_some() { self.usage.last_round.max(round.at.0) } else { round.at.0 };
        self.usage.start = Some(start);
        let mut journal = Vec::with_capacity(if self.usage.journaled { self.usage.open.len() } else { 0 });
        let journaled = self.usage.journaled;
        let point = usize::try_from((round.at.0 - start) / RAW_STEP_MS).unwrap_or(0).min(RAW_POINTS - 1);
        let (usage, created) = (&mut self.usage, &mut self.changes.series_created);
        let mut set = |open: &mut Vec<Open>, place: u32, codes: [u16; 2]| {
            if let Some(series) = open.get_mut(place as usize) {
                series.points[point] = codes;
                series.touched = true;
                if journaled {
                    journal.push((series.id, codes));
                }
            }
        };
        for node in &round.nodes {
            let known = usage.nodes.get(&node.name).copied();
            let at = known.unwrap_or_else(|| {
                let none: Arc<str> = Arc::default();
                let name =
                    SeriesName { pod: none.clone(), namespace: none.clone(), container: none, node: node.name.clone() };
                let at = place(usage, created, name);
                usage.nodes.insert(node.name.clone(), at);
                at
            });
            set(&mut usage.open, at, [code::of_cpu(node.cpu), code::of_memory(node.memory)]);
        }
        // Moved out, so that both it and its pods can be changed.
        let mut pods = std::mem::take(&mut usage.pods);
        for pod in &round.pods {
            // Two names make the key; cloning them is cheaper than a map of maps.
            let Some(slot) = pods.get_mut(&(pod.namespace.clone(), pod.name.clone())) else {
                usage.unknown += 1;
                continue;
            };
            let (mut cpu, mut memory) = (0.0, 0.0);
            for container in &pod.containers {
                let codes = [code::of_cpu(container.cpu), code::of_memory(container.memory)];
                // Of what is kept, and not of what was read: so the journal brings back the same.
                cpu += code::cpu(codes[0]).unwrap_or(f64::NAN);
                memory += code::memory(codes[1]).unwrap_or(f64::NAN);
                let found = slot.containers.iter().find(|(name, _)| *name == container.name).map(|(_, at)| *at);
                let at = match found {
                    Some(at) => at,
                    None if slot.containers.len() >= CONTAINERS => continue,
                    None => {
                        let name = SeriesName {
                            pod: pod.name.clone(),
                            namespace: pod.namespace.clone(),
                            container: container.name.clone(),
                            node: self.nodes.key(slot.node).cloned().unwrap_or_default(),
                        };
                        let at = place(usage, created, name);
                        // Most pods have one.
                        slot.containers.reserve_exact(1);
                        slot.containers.push((container.name.clone(), at));
                        at
                    }
                };
                set(&mut usage.open, at, codes);
            }
            if cpu.is_nan() || memory.is_nan() {
                continue;
            }
            slot.peak.last = (cpu, memory);
            let Some(workload) = self.workloads.at_mut(slot.workload) else { continue };
            let known = workload.usage.get_or_insert_with(Box::default);
            known.samples += 1;
            // What a workload that was hardly seen is expected to use is its latest reading.
            slot.peak_changed |= known.samples <= MIN_SAMPLES;
            known.cpu.add(Scale::Cpu, cpu, round.at.0);
            let peak = &mut slot.peak;
            if round.at.0 >= peak.day_ends {
                (peak.memory, peak.day_ends) = (memory, round.at.0 + DAY_MS);
                known.memory.add(Scale::Memory, memory, round.at.0);
                slot.peak_changed = true;
            } else if memory > peak.memory {
                let began = peak.day_ends - DAY_MS;
                known.memory.take_back(Scale::Memory, peak.memory, began);
                known.memory.add(Scale::Memory, memory, began);
                peak.memory = memory;
                slot.peak_changed = true;
            }
            usage.stale.insert(slot.workload);
        }
        usage.pods = pods;
        if journaled {
            self.changes.rounds.push((round.at.0, journal));
        }
        self.rates_stale = true;
    }

    /// Percentiles of the workloads read, and what the pods of each node come to.
    pub(crate) fn expect(&mut self) {
        for id in &self.usage.stale {
            if let Some(usage) = self.workloads.at_mut(*id).and_then(|workload| workload.usage.as_mut()) {
                usage.refresh();
            }
        }
        let mut expected: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for slot in self.usage.pods.values() {
            let known = self.workloads.at(slot.workload).and_then(|w| w.usage.as_ref()).and_then(|u| u.percentiles);
            // Of a workload that was hardly seen the latest reading has to do.
            let (cpu, memory) = known.map_or(slot.peak.last, |known| (known.cpu_p99, known.memory_p99));
            let sum = expected.entry(slot.node).or_default();
            *sum = (sum.0.saturating_add((cpu * 1e6) as u64), sum.1.saturating_add(memory as u64));
        }
        self.usage.expected = expected;
    }

    /// Ends the block of the present.
    pub(crate) fn seal(&mut self) {
        let Some(start) = self.usage.start.take() else { return };
        let mut blocks: Vec<Block> =
            (0..SHARDS).map(|_| Block { ids: Vec::new(), columns: vec![Vec::new(); 2] }).collect();
        let mut order: Vec<(u32, u32)> =
            self.usage.open.iter().enumerate().filter(|(_, s)| s.touched).map(|(at, s)| (s.id, at as u32)).collect();
        order.sort_unstable();
        for (id, at) in order {
            let series = &mut self.usage.open[at as usize];
            let block = &mut blocks[(id % SHARDS) as usize];
            block.ids.push(id);
            for (column, codes) in block.columns.iter_mut().enumerate() {
                codes.extend(series.points.iter().map(|point| point[column]));
            }
            series.points = [[0; 2]; RAW_POINTS];
            series.touched = false;
        }
        for (shard, block) in (0..SHARDS).zip(blocks).filter(|(_, block)| !block.ids.is_empty()) {
            match block.encode() {
                Ok(bytes) => self.changes.sealed.push(Sealed { start, shard, bytes }),
                Err(error) => tracing::error!(%error, "ten minutes of usage are lost"),
            }
        }
        self.usage.free.append(&mut self.usage.ending);
        self.changes.journal_until = Some(self.usage.last_round + 1);
        self.changes.peaks.extend(self.usage.peaks_ended.drain(..).map(|name| (name, None)));
        for ((namespace, name), slot) in self.usage.pods.iter_mut().filter(|(_, slot)| slot.peak_changed) {
            slot.peak_changed = false;
            self.changes.peaks.push((format!("{namespace}/{name}"), Some(slot.peak)));
        }
        let stale = std::mem::take(&mut self.usage.stale);
        // As of now: the commit may come after the first round of the next block.
        let histograms = |id: &u32| {
            let usage = self.workloads.at(*id)?.usage.as_ref()?;
            Some((self.workloads.key(*id)?.clone(), usage.store()))
        };
        self.changes.usage.extend(stale.iter().filter_map(histograms));
    }

    /// No series goes on.
    pub(crate) fn end_series(&mut self) {
        let mut pods: Vec<_> = self.usage.pods.keys().cloned().collect();
        pods.sort_unstable();
        for (namespace, name) in pods {
            self.usage_ends(&namespace, &name);
        }
        let none: Arc<str> = Arc::default();
        for (node, at) in std::mem::take(&mut self.usage.nodes) {
            let name = SeriesName { pod: none.clone(), namespace: none.clone(), container: none.clone(), node };
            if let Some(open) = self.usage.open.get(at as usize) {
                self.changes.series_ended.push((name, open.id));
            }
        }
    }

    /// A pod that is gone has no series any more.
    pub(crate) fn usage_ends(&mut self, namespace: &Arc<str>, name: &Arc<str>) {
        let Some(slot) = self.usage.pods.remove(&(namespace.clone(), name.clone())) else { return };
        if slot.peak.day_ends > 0 {
            let peak = format!("{namespace}/{name}");
            match self.usage.start {
                // The journal still needs what it was before this block.
                Some(_) => self.usage.peaks_ended.push(peak),
                None => self.changes.peaks.push((peak, None)),
            }
        }
        if self.usage.journaled && self.usage.start.is_some() && !slot.containers.is_empty() {
            let ended = self.journaled_end(namespace, name, &slot);
            self.changes.pods_ended.push(ended);
        }
        for (container, at) in slot.containers {
            let name = SeriesName {
                pod: name.clone(),
                namespace: namespace.clone(),
                container,
                node: self.nodes.key(slot.node).cloned().unwrap_or_default(),
            };
            if let Some(open) = self.usage.open.get(at as usize) {
                self.changes.series_ended.push((name, open.id));
            }
            self.usage.ending.push(at);
        }
    }
}
