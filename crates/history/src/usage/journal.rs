//! Rounds of readings that are not sealed yet, so that a process that is killed loses at most the latest.
//!
//! Every round goes to disk as it was coded ([`write`]), in the commit after it; sealing removes it in the commit that brings the
//! block. What was journaled is played again when the file is opened ([`Memory::replay`]), on the peaks and histograms of the
//! latest seal.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::block::Block;
use super::{ContainerSample, NodeSample, Peak, PodSample, PodSlot, SeriesName, UsageRound, code};
use crate::memory::Memory;
use crate::memory::kept::{workload_name, workload_of};
use crate::store::{HistoryError, decode, encode, storage};
use crate::types::UnixMillis;

/// Rounds by their time: a block of one point.
pub(crate) const ROUNDS: TableDefinition<i64, &[u8]> = TableDefinition::new("usage_journal");
/// Pods that ended: after which round, and a number that tells them apart.
pub(crate) const ENDED: TableDefinition<(i64, u32), &[u8]> = TableDefinition::new("usage_journal_ended");

/// The time of a round, and the codes of CPU and memory by series.
pub(crate) type Round = (i64, Vec<(u32, [u16; 2])>);

/// A pod that ended in the block of the present.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PodEnded {
    /// The latest round before.
    after: i64,
    namespace: Arc<str>,
    name: Arc<str>,
    workload: Option<String>,
    node: Arc<str>,
    /// Its series.
    containers: Vec<(Arc<str>, u32)>,
}

/// What the journal holds.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    rounds: Vec<(i64, Block)>,
    /// In the order in which they ended.
    ended: Vec<PodEnded>,
}

/// Puts rounds and ends down; what lies before `until` is sealed and goes.
pub(crate) fn write(
    tx: &WriteTransaction,
    rounds: &[Round],
    ended: &[PodEnded],
    until: Option<i64>,
) -> Result<(), redb::Error> {
    let sealed = until.unwrap_or(i64::MIN);
    let mut table = tx.open_table(ROUNDS)?;
    if until.is_some() {
        table.retain_in(..sealed, |_, _| false)?;
    }
    for (at, readings) in rounds.iter().filter(|(at, _)| *at >= sealed) {
        let mut readings = readings.clone();
        readings.sort_unstable_by_key(|(id, _)| *id);
        readings.dedup_by_key(|(id, _)| *id);
        let column = |column: usize| readings.iter().map(|(_, codes)| codes[column]).collect();
        let block = Block { ids: readings.iter().map(|(id, _)| *id).collect(), columns: vec![column(0), column(1)] };
        match block.encode() {
            Ok(bytes) => {
                table.insert(at, bytes.as_slice())?;
            }
            Err(error) => tracing::error!(%error, "a round of readings is not in the journal"),
        }
    }
    let mut table = tx.open_table(ENDED)?;
    if until.is_some() {
        table.retain_in(..(sealed, 0), |_, _| false)?;
    }
    let mut number = table.last()?.map_or(0, |(key, _)| key.value().1);
    for pod in ended.iter().filter(|pod| pod.after >= sealed) {
        number += 1;
        table.insert((pod.after, number), encode(pod)?.as_slice())?;
    }
    Ok(())
}

/// Reads what is not sealed.
pub(crate) fn read(tx: &ReadTransaction) -> Result<Journal, HistoryError> {
    let step = "reading the journal of usage";
    let mut journal = Journal::default();
    for row in tx.open_table(ROUNDS).map_err(storage(step))?.iter().map_err(storage(step))? {
        let (at, bytes) = row.map_err(storage(step))?;
        match Block::decode(bytes.value()) {
            Ok(block) => journal.rounds.push((at.value(), block)),
            Err(error) => tracing::warn!(%error, "a round of readings cannot be read"),
        }
    }
    for row in tx.open_table(ENDED).map_err(storage(step))?.iter().map_err(storage(step))? {
        let (_, bytes) = row.map_err(storage(step))?;
        journal.ended.push(decode(bytes.value(), "pod that ended")?);
    }
    Ok(journal)
}

/// Of a name that several pods had: those that ended, the next of them last, and the one that is there now.
#[derive(Default)]
struct Namesakes {
    ended: Vec<PodSlot>,
    live: Option<PodSlot>,
}

/// Pods that ended, waiting for the rounds that they were in.
#[derive(Default)]
pub(crate) struct Ghosts(HashMap<(Arc<str>, Arc<str>), Namesakes>);

impl Memory {
    /// What is to be known of a pod that ended, when its rounds are played again.
    pub(super) fn journaled_end(&self, namespace: &Arc<str>, name: &Arc<str>, slot: &PodSlot) -> PodEnded {
        let id = |at: &u32| self.usage.open.get(*at as usize).map(|open| open.id);
        PodEnded {
            after: self.usage.last_round,
            namespace: namespace.clone(),
            name: name.clone(),
            workload: self.workloads.key(slot.workload).map(workload_name),
            node: self.nodes.key(slot.node).cloned().unwrap_or_default(),
            containers: slot.containers.iter().filter_map(|(name, at)| Some((name.clone(), id(at)?))).collect(),
        }
    }

    /// Before peaks are read: pods that ended have their places again, so that the peak on disk is that of the oldest of a name.
    pub(crate) fn raise(&mut self, journal: &Journal) -> Ghosts {
        let mut ghosts = Ghosts::default();
        for pod in journal.ended.iter().rev() {
            let workload = pod.workload.as_deref().and_then(workload_of);
            let places = pod.containers.iter().map(|(name, id)| (name.clone(), self.usage.place_of(*id)));
            let slot = PodSlot {
                containers: places.collect(),
                workload: workload.and_then(|key| self.workloads.find(&key)).unwrap_or(u32::MAX),
                node: self.nodes.id(&pod.node),
                peak: Peak::default(),
                peak_changed: false,
            };
            let of_name = ghosts.0.entry((pod.namespace.clone(), pod.name.clone())).or_default();
            of_name.ended.push(slot);
        }
        for (name, of_name) in &mut ghosts.0 {
            of_name.live = self.usage.pods.remove(name);
            if let Some(oldest) = of_name.ended.pop() {
                self.usage.pods.insert(name.clone(), oldest);
            }
        }
        ghosts
    }

    /// Lives through the rounds of the journal once more.
    pub(crate) fn replay(&mut self, journal: Journal, mut ghosts: Ghosts) {
        let mut names: HashMap<u32, SeriesName> =
            self.usage.known.iter().map(|(name, id)| (*id, name.clone())).collect();
        for pod in &journal.ended {
            for (container, id) in &pod.containers {
                let name = SeriesName {
                    pod: pod.name.clone(),
                    namespace: pod.namespace.clone(),
                    container: container.clone(),
                    node: pod.node.clone(),
                };
                names.insert(*id, name);
            }
        }
        let mut ended = journal.ended.into_iter().peekable();
        for (at, block) in journal.rounds {
            while let Some(pod) = ended.next_if(|pod| pod.after < at) {
                self.lay(&pod, &mut ghosts);
            }
            self.take_round(&round(at, &block, &names));
        }
        ended.for_each(|pod| self.lay(&pod, &mut ghosts));
        // These are on disk.
        self.changes.series_created.clear();
        self.changes.series_ended.clear();
        self.usage.journaled = true;
        self.expect();
    }

    /// A pod ends once more; the next of its name takes its place.
    fn lay(&mut self, pod: &PodEnded, ghosts: &mut Ghosts) {
        self.usage_ends(&pod.namespace, &pod.name);
        let name = (pod.namespace.clone(), pod.name.clone());
        let next = ghosts.0.get_mut(&name).and_then(|of_name| of_name.ended.pop().or_else(|| of_name.live.take()));
        if let Some(slot) = next {
            self.usage.pods.insert(name, slot);
        }
    }
}

/// A round as it was read, within the precision of codes.
fn round(at: i64, block: &Block, names: &HashMap<u32, SeriesName>) -> UsageRound {
    let mut round = UsageRound { at: UnixMillis(at), ..UsageRound::default() };
    let mut places: HashMap<(&Arc<str>, &Arc<str>), usize> = HashMap::with_capacity(block.ids.len());
    let code = |index: usize, column: usize| block.series(index, column).first().copied().unwrap_or(code::MISSING);
    for (index, id) in block.ids.iter().enumerate() {
        let Some(name) = names.get(id) else { continue };
        let cpu = code::cpu(code(index, 0)).unwrap_or(f64::NAN);
        let memory = code::memory(code(index, 1)).unwrap_or(f64::NAN);
        if name.pod.is_empty() {
            round.nodes.push(NodeSample { name: name.node.clone(), cpu, memory });
            continue;
        }
        let container = ContainerSample { name: name.container.clone(), cpu, memory };
        let place = *places.entry((&name.namespace, &name.pod)).or_insert_with(|| {
            round.pods.push(PodSample {
                namespace: name.namespace.clone(),
                name: name.pod.clone(),
                containers: Vec::with_capacity(1),
            });
            round.pods.len() - 1
        });
        if let Some(pod) = round.pods.get_mut(place) {
            pod.containers.push(container);
        }
    }
    round
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::crash_tests::{Backend, open};
    use crate::keeper::Keeper;
    use crate::restart_tests::same;
    use crate::types::*;

    /// Four and a half minutes before a block ends.
    const T0: i64 = 1_767_700_800_000 + 330_000;
    const ROUNDS: u64 = 14;

    fn pod(name: &str, uid: u64, workload: &str, at: UnixMillis) -> PodObservation {
        PodObservation {
            pod: PodKey { namespace: "shop".into(), name: name.into(), uid: format!("u{name}{uid}").into() },
            workload: WorkloadKey { namespace: "shop".into(), kind: "StatefulSet".into(), name: workload.into() },
            node: Some("n1".into()),
            phase: PodPhase::Running,
            ready: true,
            at,
            ..PodObservation::default()
        }
    }

    /// One round: `db-0` is made anew twice, `once` ends and does not come back.
    fn round(keeper: &mut Keeper, i: u64) {
        let at = UnixMillis(T0 + i as i64 * 30_000);
        let gone = |seen: PodObservation| PodObservation { gone: true, ..seen };
        match i {
            0 => ["db-0", "db-1", "once"].into_iter().for_each(|name| keeper.pod(&pod(name, 0, &name[..2], at))),
            3 | 5 => {
                keeper.pod(&gone(pod("db-0", i / 4, "db", at)));
                keeper.pod(&pod("db-0", i / 4 + 1, "db", at));
            }
            7 => keeper.pod(&gone(pod("once", 0, "on", at))),
            _ => {}
        }
        let reading = |name: &str, containers: &[&str]| PodSample {
            namespace: "shop".into(),
            name: name.into(),
            containers: (containers.iter().zip(1_u32..))
                .map(|(container, k)| ContainerSample {
                    name: (*container).into(),
                    cpu: f64::from(k) * 0.1 * (1.0 + (i * 7 % 5) as f64),
                    memory: f64::from(k) * 1e8 * (1.0 + (i * 5 % 7) as f64),
                })
                .collect(),
        };
        let pods = vec![reading("db-0", &["main", "proxy"]), reading("db-1", &["main"]), reading("once", &["main"])];
        let nodes = vec![NodeSample { name: "n1".into(), cpu: 2.0 + i as f64, memory: 8e9 }];
        keeper.usage(&UsageRound { at, nodes, pods });
    }

    /// All that readings have left in memory.
    fn known(keeper: &mut Keeper) -> Value {
        let memory = &keeper.memory;
        let histograms: std::collections::BTreeMap<String, Value> = (memory.workloads.iter())
            .filter_map(|(_, key, known)| Some((workload_name(key), json!(known.usage.as_ref()?.store()))))
            .collect();
        let usage = &memory.usage;
        let peaks: std::collections::BTreeMap<String, Vec<u8>> =
            usage.pods.iter().map(|((_, name), slot)| (name.to_string(), slot.peak.to_bytes().to_vec())).collect();
        let open: std::collections::BTreeMap<u32, Vec<[u16; 2]>> =
            usage.open.iter().filter(|open| open.touched).map(|open| (open.id, open.points.to_vec())).collect();
        json!({ "histograms": histograms, "peaks": peaks, "open": open, "start": usage.start })
    }

    #[test]
    fn a_crash_at_any_call_loses_no_round_that_was_acknowledged() {
        let whole = Backend::default();
        let (store, mut keeper) = open(&whole).unwrap();
        let before = whole.calls();
        let snapshots: Vec<Value> = (0..ROUNDS)
            .map(|i| {
                round(&mut keeper, i);
                keeper.commit().unwrap();
                known(&mut keeper)
            })
            .collect();
        let calls = whole.calls() - before;
        drop((keeper, store));
        let mut sealed = false;
        for n in (1..=calls).step_by(11) {
            let backend = Backend::default();
            let (store, mut keeper) = open(&backend).unwrap();
            backend.fail_from(n);
            let mut acknowledged = 0;
            for i in 0..ROUNDS {
                round(&mut keeper, i);
                if keeper.commit().is_err() {
                    break;
                }
                acknowledged += 1;
            }
            drop((keeper, store));
            for (which, image) in backend.images().into_iter().enumerate() {
                let (_store, mut keeper) = open(&Backend::of(image)).unwrap();
                let after = known(&mut keeper);
                let rounds = after["open"]["1"]
                    .as_array()
                    .map_or(0, |points| points.iter().filter(|point| point[0] != json!(code::MISSING)).count());
                sealed |= acknowledged > 9 && rounds > 0;
                // What was on its way when the machine went off may be there as well.
                let equal = |snapshot: Option<&Value>| snapshot.is_some_and(|s| s["open"] == after["open"]);
                match acknowledged {
                    0 if !equal(snapshots.first()) => continue,
                    k if equal(snapshots.get(k)) => same(&snapshots[k], &after, &format!("call {n}, image {which}: ")),
                    k => same(&snapshots[k - 1], &after, &format!("call {n}, image {which}: ")),
                }
                // And it goes on.
                for i in ROUNDS..ROUNDS + 3 {
                    round(&mut keeper, i);
                    keeper.commit().unwrap();
                }
            }
        }
        assert!(sealed, "none of the crashes came after a block was sealed");
    }

    #[test]
    fn what_began_while_the_disk_was_full_is_known_when_there_is_room() {
        let backend = Backend::default();
        let (store, mut keeper) = open(&backend).unwrap();
        for i in 0..9 {
            if i == 3 {
                backend.fail_from(5);
            }
            round(&mut keeper, i);
            assert_eq!(keeper.commit().is_ok(), !(3..6).contains(&i), "{i}");
            if i == 5 {
                backend.heal();
                store.reopen().unwrap();
            }
        }
        keeper.close();
        keeper.commit().unwrap();
        let series = crate::usage::series::read(&store.read().unwrap(), crate::SeriesOf::All, UnixMillis(0)).unwrap();
        let points = |name: &str| {
            let of_name = series.iter().filter(|one| *one.pod == *name && *one.container != *"proxy");
            of_name.map(|one| one.points.len()).sum::<usize>()
        };
        // `db-0` was made anew twice while nothing could be written.
        assert_eq!((points("db-0"), points("db-1"), points("once"), points("")), (9, 9, 7, 9), "{series:?}");
    }

    #[test]
    fn a_file_that_is_closed_leaves_no_journal() {
        let backend = Backend::default();
        let (store, mut keeper) = open(&backend).unwrap();
        for i in 0..9 {
            round(&mut keeper, i);
            keeper.commit().unwrap();
        }
        assert_eq!(store.count(super::ROUNDS).unwrap(), 9);
        assert_eq!(store.count(ENDED).unwrap(), 3);
        keeper.close();
        keeper.commit().unwrap();
        assert_eq!((store.count(super::ROUNDS).unwrap(), store.count(ENDED).unwrap()), (0, 0));
    }
}
