//! Blocks of series as bytes: the numbers of the series, and columns of codes, each compressed with `pco`.
//!
//! A raw block holds ten minutes of readings ([`RAW_POINTS`] each 30 s: CPU, memory); a coarse block one hour
//! ([`COARSE_POINTS`] each 5 min: mean and highest of CPU and of memory). Within a column the points of one series stand
//! together, because neighbours in time resemble each other most.

use std::collections::BTreeMap;

use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use super::code::{self, MISSING};

/// Milliseconds from one raw point to the next.
pub(crate) const RAW_STEP_MS: i64 = 30_000;
/// Points in a raw block.
pub(crate) const RAW_POINTS: usize = 20;
/// Milliseconds in a raw block.
pub(crate) const RAW_BLOCK_MS: i64 = RAW_STEP_MS * RAW_POINTS as i64;
/// Milliseconds from one coarse point to the next.
pub(crate) const COARSE_STEP_MS: i64 = 300_000;
/// Points in a coarse block.
pub(crate) const COARSE_POINTS: usize = 12;
/// Milliseconds in a coarse block.
pub(crate) const COARSE_BLOCK_MS: i64 = COARSE_STEP_MS * COARSE_POINTS as i64;

/// Raw points in a coarse one.
const RAW_IN_COARSE: usize = (COARSE_STEP_MS / RAW_STEP_MS) as usize;
/// Columns of a raw block.
const RAW_COLUMNS: usize = 2;
/// Columns of a coarse block.
const COARSE_COLUMNS: usize = 4;
/// More series than any shard has; what claims more is damaged.
const MAX_SERIES: usize = 4_000_000;

/// Series and their codes, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// Numbers of the series, ascending.
    pub ids: Vec<u32>,
    /// For each column the points of all series, series by series.
    pub columns: Vec<Vec<u16>>,
}

/// Why bytes are no block.
#[derive(Debug, thiserror::Error)]
#[error("a block of series is damaged: {0}")]
pub(crate) struct BlockError(String);

impl Block {
    pub fn encode(&self) -> Result<Vec<u8>, BlockError> {
        let damaged = |e: pco::errors::PcoError| BlockError(e.to_string());
        let config = ChunkConfig::default()
            .with_compression_level(4)
            .with_mode_spec(ModeSpec::Classic)
            .with_delta_spec(DeltaSpec::TryConsecutive(1));
        let mut bytes = Vec::new();
        let mut put = |part: Vec<u8>| {
            bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend(part);
        };
        put(pco::standalone::simple_compress(&self.ids, &config).map_err(damaged)?);
        for column in &self.columns {
            put(pco::standalone::simple_compress(column, &config).map_err(damaged)?);
        }
        Ok(bytes)
    }

    pub fn decode(mut bytes: &[u8]) -> Result<Self, BlockError> {
        let damaged = |e: pco::errors::PcoError| BlockError(e.to_string());
        let mut part = || -> Result<Option<&[u8]>, BlockError> {
            let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
            let length = u32::from_le_bytes(*length) as usize;
            let (part, rest) = rest.split_at_checked(length).ok_or_else(|| BlockError("it is cut off".to_owned()))?;
            bytes = rest;
            Ok(Some(part))
        };
        let ids: Vec<u32> = match part()? {
            Some(part) => pco::standalone::simple_decompress(part).map_err(damaged)?,
            None => Vec::new(),
        };
        let mut columns = Vec::new();
        while let Some(part) = part()? {
            columns.push(pco::standalone::simple_decompress::<u16>(part).map_err(damaged)?);
        }
        let whole = columns.iter().all(|c| c.len().checked_rem(ids.len()) == Some(0) && c.len() == columns[0].len());
        if ids.len() > MAX_SERIES || (!ids.is_empty() && !whole) {
            return Err(BlockError("its columns do not fit its series".to_owned()));
        }
        Ok(Self { ids, columns })
    }

    /// Adds what another block of the same time has and this one has not.
    pub fn join(&mut self, other: &Block) {
        let points = self.points().max(other.points());
        let mut all: BTreeMap<u32, Vec<Vec<u16>>> = BTreeMap::new();
        // What comes later wins where both have a reading.
        for block in [other, &*self].into_iter().filter(|block| block.points() == points) {
            for (index, id) in block.ids.iter().enumerate() {
                let columns = all.entry(*id).or_insert_with(|| vec![vec![MISSING; points]; block.columns.len()]);
                for (column, known) in columns.iter_mut().enumerate() {
                    for (known, new) in known.iter_mut().zip(block.series(index, column)) {
                        *known = if *new == MISSING { *known } else { *new };
                    }
                }
            }
        }
        let columns = self.columns.len().max(other.columns.len());
        *self = Block { ids: all.keys().copied().collect(), columns: vec![Vec::new(); columns] };
        for series in all.into_values() {
            for (column, points) in self.columns.iter_mut().zip(series) {
                column.extend(points);
            }
        }
    }

    /// Points of each series.
    pub fn points(&self) -> usize {
        self.columns.first().map_or(0, |column| column.len().checked_div(self.ids.len()).unwrap_or(0))
    }

    /// The points of a series in a column.
    pub fn series(&self, index: usize, column: usize) -> &[u16] {
        let points = self.points();
        self.columns.get(column).and_then(|c| c.get(index * points..(index + 1) * points)).unwrap_or(&[])
    }
}

/// One coarse block from the raw blocks of its hour, each with its place in it (0..6).
pub(crate) fn coarsen(raw: &[(usize, Block)]) -> Block {
    const HOUR: usize = COARSE_POINTS * RAW_IN_COARSE;
    let mut series: BTreeMap<u32, [[u16; HOUR]; RAW_COLUMNS]> = BTreeMap::new();
    for (place, block) in raw.iter().filter(|(_, block)| block.points() == RAW_POINTS) {
        for (index, id) in block.ids.iter().enumerate() {
            let hour = series.entry(*id).or_insert([[MISSING; HOUR]; RAW_COLUMNS]);
            for (column, points) in hour.iter_mut().enumerate() {
                if let Some(part) = points.get_mut(place * RAW_POINTS..(place + 1) * RAW_POINTS) {
                    part.copy_from_slice(block.series(index, column));
                }
            }
        }
    }
    let mut coarse = Block { ids: Vec::with_capacity(series.len()), columns: vec![Vec::new(); COARSE_COLUMNS] };
    for (id, [cpu, memory]) in series {
        coarse.ids.push(id);
        for (column, (mean, highest)) in [
            (0, (coarse_points(&cpu, code::cpu, code::of_cpu))),
            (2, (coarse_points(&memory, code::memory, code::of_memory))),
        ] {
            coarse.columns[column].extend(mean);
            coarse.columns[column + 1].extend(highest);
        }
    }
    coarse
}

fn coarse_points(
    points: &[u16],
    value: fn(u16) -> Option<f64>,
    code: fn(f64) -> u16,
) -> ([u16; COARSE_POINTS], [u16; COARSE_POINTS]) {
    let (mut mean, mut highest) = ([MISSING; COARSE_POINTS], [MISSING; COARSE_POINTS]);
    for ((chunk, mean), highest) in points.chunks(RAW_IN_COARSE).zip(&mut mean).zip(&mut highest) {
        let (sum, n) = chunk.iter().filter_map(|c| value(*c)).fold((0.0, 0), |(sum, n), v| (sum + v, n + 1));
        if n > 0 {
            *mean = code(sum / f64::from(n));
            *highest = chunk.iter().copied().max().unwrap_or(MISSING);
        }
    }
    (mean, highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(id: u32, cpu: f64, memory: f64) -> Block {
        Block {
            ids: vec![id],
            columns: vec![vec![code::of_cpu(cpu); RAW_POINTS], vec![code::of_memory(memory); RAW_POINTS]],
        }
    }

    #[test]
    fn blocks_survive_their_bytes_and_damage_is_told() {
        let block = Block { ids: vec![1, 7], columns: vec![(0..40).collect(), (100..140).collect()] };
        let bytes = block.encode().unwrap();
        assert_eq!(Block::decode(&bytes).unwrap(), block);
        assert_eq!((block.points(), block.series(1, 0)), (20, &(20..40).collect::<Vec<u16>>()[..]));
        for cut in 1..bytes.len() {
            assert!(
                Block::decode(&bytes[..cut]).is_err_and(|_| true) || Block::decode(&bytes[..cut]).unwrap() != block
            );
        }
        assert_eq!(Block::decode(&[]).unwrap(), Block::default());
    }

    #[test]
    fn two_halves_of_ten_minutes_are_joined() {
        let (mut before, mut after) = (raw(7, 1.0, 1e9), raw(7, 2.0, 1e9));
        before.columns[0][5..].fill(MISSING);
        after.columns[0][..5].fill(MISSING);
        after.join(&before);
        after.join(&raw(9, 3.0, 1e9));
        let cpu: Vec<_> = after.series(0, 0).iter().map(|c| code::cpu(*c).unwrap().round()).collect();
        assert_eq!((after.ids.as_slice(), cpu[4], cpu[5]), (&[7, 9][..], 1.0, 2.0));
    }

    #[test]
    fn an_hour_becomes_twelve_points_and_gaps_stay_gaps() {
        let mut second = raw(7, 3.0, 2e9);
        second.columns[0][..10].fill(MISSING);
        let coarse = coarsen(&[(0, raw(7, 1.0, 1e9)), (2, second), (2, raw(9, 0.5, 1e9))]);
        assert_eq!((coarse.ids.as_slice(), coarse.points()), (&[7, 9][..], COARSE_POINTS));
        let mean: Vec<_> = coarse.series(0, 0).iter().map(|c| code::cpu(*c).map(f64::round)).collect();
        assert_eq!(mean[..6], [Some(1.0), Some(1.0), None, None, None, Some(3.0)]);
        assert_eq!(code::memory(coarse.series(0, 3)[5]).map(|v| (v / 1e9).round()), Some(2.0));
    }
}
