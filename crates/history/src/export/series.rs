//! Series of usage, a row for each point: shard by shard, series by series, in the order of time.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable as _, TableDefinition};

use super::columns::{Column, Rows};
use super::{ExportError, Span};
use crate::store::{HistoryError, storage};
use crate::types::UnixMillis;
use crate::usage::block::{Block, COARSE_BLOCK_MS, RAW_BLOCK_MS};
use crate::usage::series::{COARSE, RAW, SERIES, UsagePoint, points};
use crate::usage::{SHARDS, SeriesName};

/// A block of series by time and shard.
type Blocks = TableDefinition<'static, (i64, u32), &'static [u8]>;

struct Row {
    name: Arc<SeriesName>,
    point: UsagePoint,
}

fn columns() -> Vec<Column<Row>> {
    let text =
        |name: &'static str, of: fn(&SeriesName) -> &Arc<str>| Column::text(name, move |row: &Row| some(of(&row.name)));
    let double =
        |name: &'static str, of: fn(&UsagePoint) -> Option<f64>| Column::double(name, move |row: &Row| of(&row.point));
    vec![
        Column::time("sampled_at", |row: &Row| Some(row.point.at.0)),
        Column::integer("span_ms", |row: &Row| Some(row.point.span_ms)),
        text("namespace", |name| &name.namespace),
        text("pod", |name| &name.pod),
        text("container", |name| &name.container),
        text("node", |name| &name.node),
        double("cpu_cores", |point| point.cpu),
        double("cpu_cores_max", |point| point.cpu_max),
        double("memory_bytes", |point| point.memory),
        double("memory_bytes_max", |point| point.memory_max),
    ]
}

/// The text, unless there is none.
pub(super) fn some(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

pub(super) fn write<W: Write + Send>(
    tx: &ReadTransaction,
    span: Span,
    file: W,
    path: &str,
) -> Result<u64, ExportError> {
    let parquet = |source| ExportError::Parquet { path: path.to_owned(), source };
    let mut rows = Rows::new(file, columns(), size_of::<Row>()).map_err(parquet)?;
    // Most names of all series are small; one scan for each shard would read the table 64 times.
    let names = names(tx)?;
    for shard in 0..SHARDS {
        // Of one shard a day is some megabytes.
        let mut found: BTreeMap<u32, Vec<UsagePoint>> = BTreeMap::new();
        for (table, length) in [(COARSE, COARSE_BLOCK_MS), (RAW, RAW_BLOCK_MS)] {
            read(tx, table, length, shard, span, &mut found)?;
        }
        for (id, mut points) in found {
            let Some(key) = names.get(&id) else { continue };
            let Some(name) = SeriesName::of_key(key).map(Arc::new) else { continue };
            points.sort_by_key(|point| point.at);
            for point in points {
                rows.add(Row { name: name.clone(), point }).map_err(parquet)?;
            }
        }
    }
    rows.finish().map_err(parquet)
}

/// The points of one shard within a span.
fn read(
    tx: &ReadTransaction,
    table: Blocks,
    length: i64,
    shard: u32,
    span: Span,
    found: &mut BTreeMap<u32, Vec<UsagePoint>>,
) -> Result<(), HistoryError> {
    let step = "reading series";
    let table = tx.open_table(table).map_err(storage(step))?;
    let mut start = span.from.0.div_euclid(length) * length;
    while start < span.until.0 {
        if let Some(bytes) = table.get((start, shard)).map_err(storage(step))? {
            match Block::decode(bytes.value()) {
                Ok(block) => {
                    for (id, point) in points(&block, start) {
                        if (span.from..span.until).contains(&point.at) {
                            found.entry(id).or_default().push(point);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "a part of a series cannot be read"),
            }
        }
        start += length;
    }
    Ok(())
}

/// The names of all series by number, as they are stored.
fn names(tx: &ReadTransaction) -> Result<BTreeMap<u32, Box<[u8]>>, HistoryError> {
    let step = "reading the names of series";
    let table = tx.open_table(SERIES).map_err(storage(step))?;
    let mut names = BTreeMap::new();
    for row in table.iter().map_err(storage(step))? {
        let (key, _) = row.map_err(storage(step))?;
        let (name, id) = key.value();
        names.insert(id, name.into());
    }
    Ok(names)
}

/// When the oldest block begins.
pub(super) fn first(tx: &ReadTransaction) -> Result<Option<UnixMillis>, HistoryError> {
    end(tx, |table| Ok(table.first()?.map(|(key, _)| key.value().0))).map(|ends| ends.into_iter().flatten().min())
}

/// When the latest block begins.
pub(super) fn last(tx: &ReadTransaction) -> Result<Option<UnixMillis>, HistoryError> {
    end(tx, |table| Ok(table.last()?.map(|(key, _)| key.value().0))).map(|[a, b]| a.max(b))
}

type Table = redb::ReadOnlyTable<(i64, u32), &'static [u8]>;

fn end(
    tx: &ReadTransaction,
    of: impl Fn(&Table) -> Result<Option<i64>, redb::StorageError>,
) -> Result<[Option<UnixMillis>; 2], HistoryError> {
    let step = "reading series";
    let one = |table| of(&tx.open_table(table).map_err(storage(step))?).map_err(storage(step));
    Ok([one(COARSE)?.map(UnixMillis), one(RAW)?.map(UnixMillis)])
}
