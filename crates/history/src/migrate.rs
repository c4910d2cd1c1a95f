//! Brings files of earlier schema versions up to the present one, each step in one transaction: a crash leaves the old file or
//! the new one.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableTable as _, TableDefinition};

use crate::counters::Bucket;
use crate::memory::kept::{KeptNode, KeptRevision, KeptWorkload, workload_name};
use crate::memory::pod::Tracked;
use crate::memory::tally::{Tally, weight};
use crate::rates::Usage;
use crate::store::{self, HistoryError, Store, encode};
use crate::types::HOUR_MS;

/// Brings a file from one version to the next.
pub(crate) type Step = fn(&Store) -> Result<(), HistoryError>;

/// The steps, the first of which begins at version 1.
pub(crate) const STEPS: [Step; 3] = [from_1, from_2, from_3];

/// Hourly counts of nodes before version 4.
const NODE_HOURS: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("node_hours");
/// Hourly counts of workloads before version 4.
const WORKLOAD_HOURS: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("workload_hours");

/// From version 1: the decayed counts of workloads are made from the hourly ones. Those of nodes start anew, because version 1
/// does not tell which workloads its counts came from.
fn from_1(store: &Store) -> Result<(), HistoryError> {
    store.write("bringing the file up to version 2", |tx| {
        tx.open_table(store::NODE_CELLS)?;
        store::open_usage_tables(tx)?;
        let mut tallies: BTreeMap<String, Vec<(u32, Bucket)>> = BTreeMap::new();
        for row in tx.open_table(WORKLOAD_HOURS)?.iter()? {
            let (key, value) = row?;
            let (workload, hour) = key.value();
            if let Some(bucket) = Bucket::from_bytes(value.value()) {
                tallies.entry(workload.to_owned()).or_default().push((hour, bucket));
            }
        }
        let newest = tallies.values().flatten().map(|(hour, _)| *hour).max().unwrap_or(0);
        let mut table = tx.open_table(store::WORKLOAD_TALLIES)?;
        for (workload, hours) in tallies {
            let mut sum = Tally { at: i64::from(newest) * HOUR_MS, ..Tally::default() };
            for (hour, bucket) in hours {
                let one = Tally {
                    at: 0,
                    pods: bucket.started.into(),
                    failures: bucket.troubled.saturating_sub(bucket.evicted).into(),
                    node_failures: bucket.evicted.into(),
                    restarted: bucket.restarted.into(),
                    oom: bucket.oom.min(bucket.restarted).into(),
                    evicted: bucket.evicted.into(),
                };
                sum.add(&one.scaled(weight(i64::from(newest - hour) * HOUR_MS)));
            }
            let none: Vec<(Arc<str>, Tally)> = Vec::new();
            table.insert(workload.as_str(), encode(&(sum, none))?.as_slice())?;
        }
        let mut usage = tx.open_table(store::USAGE)?;
        let mut known: Vec<(String, (Usage, Usage))> = Vec::new();
        for row in usage.iter()? {
            let (key, value) = row?;
            if let Ok(pair) = serde_json::from_slice(value.value()) {
                known.push((key.value().to_owned(), pair));
            }
        }
        for (node, (cpu, memory)) in known {
            usage.insert(node.as_str(), encode(&(cpu, memory, ""))?.as_slice())?;
        }
        tx.open_table(store::META)?.insert("schema_version", 2)?;
        Ok(())
    })
}

/// From version 2: the lists of recent trouble are made from the pods that are followed, as version 2 did whenever it started.
fn from_2(store: &Store) -> Result<(), HistoryError> {
    store.write("bringing the file up to version 3", |tx| {
        tx.open_table(store::POD_PEAKS)?;
        tx.open_table(store::CLUSTER)?;
        let mut troubled: Vec<Tracked> = Vec::new();
        for row in tx.open_table(store::PODS)?.iter()? {
            let (_, value) = row?;
            let pod = serde_json::from_slice::<Tracked>(value.value()).ok();
            troubled.extend(pod.filter(|pod| pod.trouble_at.is_some() && pod.cause.is_some()));
        }
        troubled.sort_by_key(|pod| pod.trouble_at);
        let named = |pod: &Tracked, other: Arc<str>| Some((pod.trouble_at?.0, other, pod.cause?));

        let mut table = tx.open_table(store::WORKLOAD_TALLIES)?;
        for (name, (tally, revisions)) in rows::<(Tally, Vec<(Arc<str>, Tally)>)>(&table)? {
            let mut kept = KeptWorkload { tally, ..KeptWorkload::default() };
            for (revision, tally) in revisions {
                let of = |pod: &&Tracked| pod.revision == revision && workload_name(&pod.workload) == name;
                let troubles = troubled.iter().filter(of).filter_map(|pod| named(pod, pod.node.clone())).collect();
                kept.revisions.push(KeptRevision { name: revision, tally, troubles, ..KeptRevision::default() });
            }
            table.insert(name.as_str(), encode(&kept)?.as_slice())?;
        }
        let mut table = tx.open_table(store::USAGE)?;
        for (name, (cpu, memory, class)) in rows::<(Usage, Usage, Arc<str>)>(&table)? {
            let of = troubled.iter().filter(|pod| *pod.node == *name);
            let troubles = of.filter_map(|pod| named(pod, workload_name(&pod.workload).into())).collect();
            let kept = KeptNode { cpu, memory, class, troubles, ..KeptNode::default() };
            table.insert(name.as_str(), encode(&kept)?.as_slice())?;
        }
        let mut bytes = 0;
        for row in tx.open_table(store::EXAMPLES)?.iter()? {
            bytes += row?.1.value().len() as u64;
        }
        let mut meta = tx.open_table(store::META)?;
        meta.insert("example_bytes", bytes)?;
        meta.insert("schema_version", 3)?;
        Ok(())
    })
}

/// From version 3: hourly counts change places in their keys. Decisions and examples stay as they are until they leave the window.
fn from_3(store: &Store) -> Result<(), HistoryError> {
    store.write("bringing the file up to version 4", |tx| {
        for (before, after) in [(NODE_HOURS, store::NODE_HOURS), (WORKLOAD_HOURS, store::WORKLOAD_HOURS)] {
            let mut table = tx.open_table(after)?;
            for row in tx.open_table(before)?.iter()? {
                let (key, value) = row?;
                let (name, hour) = key.value();
                table.insert((hour, name), value.value())?;
            }
            tx.delete_table(before)?;
        }
        store::open_usage_tables(tx)?;
        tx.open_table(store::META)?.insert("schema_version", 4)?;
        Ok(())
    })
}

/// All rows of a table that can be read.
fn rows<T: serde::de::DeserializeOwned>(
    table: &redb::Table<'_, &'static str, &'static [u8]>,
) -> Result<Vec<(String, T)>, redb::Error> {
    let mut rows = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        rows.extend(serde_json::from_slice(value.value()).ok().map(|row| (key.value().to_owned(), row)));
    }
    Ok(rows)
}
