//! Series on disk: sealed blocks, their names, and how old ones become coarse and then go.
//!
//! [`write`] puts sealed blocks down, [`compact`] does a bounded piece of the work that ages ask for, [`read`] finds the series of
//! one name.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use super::block::{Block, BlockError, COARSE_BLOCK_MS, COARSE_STEP_MS, RAW_BLOCK_MS, RAW_STEP_MS, coarsen};
use super::{PAST_SERIES, SHARDS, Sealed, SeriesName, code};
use crate::store::{HistoryError, storage};
use crate::types::{HOUR_MS, UnixMillis};

/// Readings of the last hours: when the block begins, and its shard.
pub(crate) const RAW: TableDefinition<(i64, u32), &[u8]> = TableDefinition::new("usage_raw");
/// Hours of coarse points.
pub(crate) const COARSE: TableDefinition<(i64, u32), &[u8]> = TableDefinition::new("usage_coarse");
/// `pod NUL namespace NUL container NUL node NUL` and the number of the series, so that all series of a pod stand together.
pub(crate) const SERIES: TableDefinition<(&[u8], u32), ()> = TableDefinition::new("series");
/// Series that go on.
pub(crate) const SERIES_OPEN: TableDefinition<&[u8], u32> = TableDefinition::new("series_open");
/// Series that ended, by the hour in which they did.
pub(crate) const SERIES_ENDED: TableDefinition<(u32, u32), &[u8]> = TableDefinition::new("series_ended");

/// How long readings are kept in full.
const RAW_MS: i64 = 6 * HOUR_MS;
/// Shards made coarse in one transaction, so that none takes long.
const SHARDS_AT_ONCE: usize = 4;
/// Blocks and names removed in one transaction.
const REMOVE_AT_ONCE: usize = 512;

impl SeriesName {
    fn key(&self) -> Vec<u8> {
        [&self.pod, &self.namespace, &self.container, &self.node]
            .into_iter()
            .flat_map(|part| part.bytes().chain(std::iter::once(0)))
            .collect()
    }

    pub fn of_key(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.split('\0').map(Arc::from);
        Some(Self { pod: parts.next()?, namespace: parts.next()?, container: parts.next()?, node: parts.next()? })
    }
}

/// Names that came and went, and sealed blocks. `reached`: up to when readings of days gone by have come, if they are coming;
/// `held` counts the bytes of all blocks.
pub(crate) fn write(
    tx: &WriteTransaction,
    now: UnixMillis,
    created: &[(SeriesName, u32)],
    ended: &[(SeriesName, u32)],
    sealed: &[Sealed],
    reached: Option<UnixMillis>,
    held: &mut u64,
) -> Result<(), redb::Error> {
    let mut series = tx.open_table(SERIES)?;
    let mut open = tx.open_table(SERIES_OPEN)?;
    for (name, id) in created {
        let key = name.key();
        series.insert((key.as_slice(), *id), ())?;
        if *id < PAST_SERIES {
            open.insert(key.as_slice(), id)?;
        }
    }
    let mut over = tx.open_table(SERIES_ENDED)?;
    for (name, id) in ended {
        let key = name.key();
        // A pod of a StatefulSet may have begun a series of the same name meanwhile.
        let goes_on = open.get(key.as_slice())?.is_some_and(|open| open.value() != *id);
        if *id < PAST_SERIES && !goes_on {
            open.remove(key.as_slice())?;
        }
        let hour = reached.filter(|_| *id > PAST_SERIES).unwrap_or(now).hour();
        over.insert((hour, *id), key.as_slice())?;
    }
    let mut raw = tx.open_table(RAW)?;
    for block in sealed {
        let key = (block.start, block.shard);
        let before = raw.get(key)?.map(|bytes| bytes.value().to_vec());
        *held = held.saturating_sub(before.as_ref().map_or(0, |bytes| bytes.len() as u64));
        // The same ten minutes twice: the process was started again within them.
        let both = before.and_then(|before| joined(&before, &block.bytes).ok());
        let bytes = both.as_deref().unwrap_or(&block.bytes);
        raw.insert(key, bytes)?;
        *held += bytes.len() as u64;
    }
    Ok(())
}

fn joined(before: &[u8], after: &[u8]) -> Result<Vec<u8>, BlockError> {
    let mut block = Block::decode(after)?;
    block.join(&Block::decode(before)?);
    block.encode()
}

/// Removes what was told of the days before `until` and not told to the end.
pub(crate) fn clear_past(tx: &WriteTransaction, until: UnixMillis, held: &mut u64) -> Result<(), redb::Error> {
    for (table, length) in [(RAW, RAW_BLOCK_MS), (COARSE, COARSE_BLOCK_MS)] {
        let mut table = tx.open_table(table)?;
        // A block in which `until` lies holds series of the present too; those of the past in it lose their names.
        table.retain_in(..(until.0 - length + 1, 0), |_, bytes| {
            *held = held.saturating_sub(bytes.len() as u64);
            false
        })?;
    }
    tx.open_table(SERIES)?.retain(|(_, id), ()| id < PAST_SERIES)?;
    Ok(())
}

/// Does a piece of what is due: readings older than six hours become coarse, what is older than the window goes. Answers whether
/// more is due. `reached`: up to when readings of days gone by have come, if they are coming.
pub(crate) fn compact(
    tx: &WriteTransaction,
    now: UnixMillis,
    window_ms: i64,
    reached: Option<UnixMillis>,
    held: &mut u64,
) -> Result<bool, redb::Error> {
    let ripe = reached.map_or(now.0 - RAW_MS, |reached| reached.0.min(now.0 - RAW_MS));
    let mut raw = tx.open_table(RAW)?;
    let mut coarse = tx.open_table(COARSE)?;
    for _ in 0..SHARDS_AT_ONCE {
        let Some((start, shard)) = raw.first()?.map(|(key, _)| key.value()) else { break };
        let hour = start.div_euclid(COARSE_BLOCK_MS) * COARSE_BLOCK_MS;
        if hour + COARSE_BLOCK_MS > ripe {
            break;
        }
        let mut blocks = Vec::new();
        for place in 0..COARSE_BLOCK_MS / RAW_BLOCK_MS {
            let removed = raw.remove((hour + place * RAW_BLOCK_MS, shard))?;
            let decoded = removed.map(|bytes| {
                *held = held.saturating_sub(bytes.value().len() as u64);
                Block::decode(bytes.value())
            });
            match decoded {
                Some(Ok(block)) => blocks.push((place as usize, block)),
                // What is damaged is lost; the rest of the hour is not.
                Some(Err(error)) => tracing::warn!(%error, "ten minutes of usage cannot be read"),
                None => {}
            }
        }
        match coarsen(&blocks).encode() {
            Ok(bytes) if !blocks.is_empty() => {
                // The same hour twice: readings of days gone by ended within it.
                let before = coarse.get((hour, shard))?.map(|bytes| bytes.value().to_vec());
                *held = held.saturating_sub(before.as_ref().map_or(0, |bytes| bytes.len() as u64));
                let both = before.and_then(|before| joined(&before, &bytes).ok()).unwrap_or(bytes);
                coarse.insert((hour, shard), both.as_slice())?;
                *held += both.len() as u64;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "an hour of usage is lost"),
        }
    }
    let oldest = now.0 - window_ms;
    let mut removed = 0;
    while removed < REMOVE_AT_ONCE {
        let first = coarse.first()?.map(|(key, _)| key.value());
        let Some(key) = first.filter(|key| key.0 + COARSE_BLOCK_MS <= oldest) else { break };
        let length = coarse.remove(key)?.map_or(0, |bytes| bytes.value().len() as u64);
        *held = held.saturating_sub(length);
        removed += 1;
    }
    let mut ended = tx.open_table(SERIES_ENDED)?;
    let mut series = tx.open_table(SERIES)?;
    let oldest_hour = UnixMillis(oldest).hour();
    while removed < REMOVE_AT_ONCE {
        let first = ended.first()?.map(|(key, name)| (key.value(), name.value().to_vec()));
        let Some((key, name)) = first.filter(|(key, _)| key.0 < oldest_hour) else { break };
        ended.remove(key)?;
        series.remove((name.as_slice(), key.1))?;
        removed += 1;
    }
    let due = raw.first()?.is_some_and(|(key, _)| key.value().0 + 2 * COARSE_BLOCK_MS <= ripe);
    Ok(due || removed >= REMOVE_AT_ONCE)
}

/// Removes the oldest blocks while they take more than `budget`, a bounded number at once.
pub(crate) fn keep_within(tx: &WriteTransaction, budget: u64, held: &mut u64) -> Result<(), redb::Error> {
    for table in [COARSE, RAW] {
        let mut table = tx.open_table(table)?;
        let mut removed = 0;
        while *held > budget && removed < REMOVE_AT_ONCE {
            let first = table.first()?.map(|(key, value)| (key.value(), value.value().len()));
            let Some((key, length)) = first else { break };
            table.remove(key)?;
            *held = held.saturating_sub(length as u64);
            removed += 1;
        }
    }
    Ok(())
}

/// The series that were open.
pub(crate) fn open_series(tx: &ReadTransaction) -> Result<HashMap<SeriesName, u32>, HistoryError> {
    let step = "reading the names of series";
    let mut known = HashMap::new();
    for row in tx.open_table(SERIES_OPEN).map_err(storage(step))?.iter().map_err(storage(step))? {
        let (key, id) = row.map_err(storage(step))?;
        known.extend(SeriesName::of_key(key.value()).map(|name| (name, id.value())));
    }
    Ok(known)
}

/// Bytes of coarse blocks, hours that they stand for, and bytes of raw blocks.
pub(crate) fn sizes(tx: &ReadTransaction) -> Result<(u64, u64, u64), HistoryError> {
    let step = "measuring series";
    let mut sums = [0, 0];
    let mut hours = std::collections::BTreeSet::new();
    for (is_coarse, (table, sum)) in [true, false].into_iter().zip([COARSE, RAW].into_iter().zip(&mut sums)) {
        for row in tx.open_table(table).map_err(storage(step))?.iter().map_err(storage(step))? {
            let (key, value) = row.map_err(storage(step))?;
            *sum += value.value().len() as u64;
            if is_coarse {
                hours.insert(key.value().0);
            }
        }
    }
    let [coarse, raw] = sums;
    Ok((coarse, hours.len() as u64, raw))
}

/// A reading, or the mean and the highest of five minutes of readings.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct UsagePoint {
    /// When it begins.
    pub at: UnixMillis,
    /// Milliseconds that it stands for: 30 s within the last hours, five minutes before.
    pub span_ms: i64,
    /// Mean CPU in cores.
    pub cpu: Option<f64>,
    /// Highest CPU.
    pub cpu_max: Option<f64>,
    /// Mean memory in bytes.
    pub memory: Option<f64>,
    /// Highest memory.
    pub memory_max: Option<f64>,
}

/// The series of one container or node.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct UsageSeries {
    /// Namespace of the pod; empty for a node.
    pub namespace: Arc<str>,
    /// The pod; empty for a node.
    pub pod: Arc<str>,
    /// The container; empty for a node.
    pub container: Arc<str>,
    /// The node.
    pub node: Arc<str>,
    /// Its points, oldest first; what was not read is left out.
    pub points: Vec<UsagePoint>,
}

/// Whose series to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesOf<'a> {
    /// Of all containers of the pods of this name, in whatever namespace.
    Pod(&'a str),
    /// Of the node of this name.
    Node(&'a str),
    /// Of all nodes.
    Nodes,
    /// Of everything.
    All,
}

/// The series of something since a moment, oldest points first.
pub(crate) fn read(
    tx: &ReadTransaction,
    of: SeriesOf<'_>,
    since: UnixMillis,
) -> Result<Vec<UsageSeries>, HistoryError> {
    let step = "reading series";
    let table = tx.open_table(SERIES).map_err(storage(step))?;
    let prefix: Vec<u8> = match of {
        SeriesOf::Pod(pod) => pod.bytes().chain(std::iter::once(0)).collect(),
        SeriesOf::Node(node) => [0, 0, 0].into_iter().chain(node.bytes()).chain(std::iter::once(0)).collect(),
        SeriesOf::Nodes => vec![0, 0, 0],
        SeriesOf::All => Vec::new(),
    };
    let mut found: HashMap<u32, UsageSeries> = HashMap::new();
    for row in table.range((prefix.as_slice(), 0)..).map_err(storage(step))? {
        let (key, ()) = row.map_err(storage(step)).map(|(key, value)| (key, value.value()))?;
        let (name, id) = key.value();
        if !name.starts_with(&prefix) {
            break;
        }
        if let Some(name) = SeriesName::of_key(name) {
            let SeriesName { pod, namespace, container, node } = name;
            found.insert(id, UsageSeries { namespace, pod, container, node, points: Vec::new() });
        }
    }
    let shards: std::collections::BTreeSet<u32> = found.keys().map(|id| id % SHARDS).collect();
    for (table, length) in [(COARSE, COARSE_BLOCK_MS), (RAW, RAW_BLOCK_MS)] {
        let table = tx.open_table(table).map_err(storage(step))?;
        let mut start = since.0.div_euclid(length) * length;
        // From one time to the next, so that only the shards that are wanted are read.
        while let Some(next) = table
            .range((start, 0)..)
            .map_err(storage(step))?
            .next()
            .transpose()
            .map_err(storage(step))?
            .map(|(key, _)| key.value().0)
        {
            for shard in &shards {
                if let Some(bytes) = table.get((next, *shard)).map_err(storage(step))? {
                    match Block::decode(bytes.value()) {
                        Ok(block) => add_points(&block, next, &mut found),
                        Err(error) => tracing::warn!(%error, "a part of a series cannot be read"),
                    }
                }
            }
            start = next + 1;
        }
    }
    let name = |s: &UsageSeries| (s.namespace.clone(), s.pod.clone(), s.container.clone(), s.node.clone());
    let mut parts: Vec<UsageSeries> = found.into_values().filter(|series| !series.points.is_empty()).collect();
    parts.sort_by_key(name);
    let mut series: Vec<UsageSeries> = Vec::with_capacity(parts.len());
    for mut part in parts {
        part.points.retain(|point| point.at >= since);
        match series.last_mut().filter(|whole| name(whole) == name(&part)) {
            // What was told of days gone by, and what was read since.
            Some(whole) => {
                whole.points.append(&mut part.points);
                whole.points.sort_by_key(|point| point.at);
            }
            None => series.push(part),
        }
    }
    Ok(series)
}

fn add_points(block: &Block, start: i64, found: &mut HashMap<u32, UsageSeries>) {
    for (id, point) in points(block, start) {
        if let Some(series) = found.get_mut(&id) {
            series.points.push(point);
        }
    }
}

/// All points of a block that begins at `start`, with the numbers of their series; what was not read is left out.
pub(crate) fn points(block: &Block, start: i64) -> impl Iterator<Item = (u32, UsagePoint)> {
    let coarse = block.columns.len() > 2;
    let step = if coarse { COARSE_STEP_MS } else { RAW_STEP_MS };
    block.ids.iter().enumerate().flat_map(move |(index, id)| {
        let column = move |column: usize| block.series(index, column);
        (0..block.points()).filter_map(move |point| {
            let cpu = |c: usize| column(c).get(point).and_then(|code| code::cpu(*code));
            let memory = |c: usize| column(c).get(point).and_then(|code| code::memory(*code));
            let (cpu, cpu_max, memory, memory_max) = match coarse {
                true => (cpu(0), cpu(1), memory(2), memory(3)),
                false => (cpu(0), cpu(0), memory(1), memory(1)),
            };
            let at = UnixMillis(start + point as i64 * step);
            let point = UsagePoint { at, span_ms: step, cpu, cpu_max, memory, memory_max };
            (cpu.is_some() || memory.is_some()).then_some((*id, point))
        })
    })
}
