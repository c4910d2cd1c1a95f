//! Usage shapes of workloads: recordings from the public traces in a folder, or the generator that was fitted to them where the
//! folder has none. Files are read line by line; what is kept are the series. Entry point: [`Usage::load`].

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, ensure};
use augur_sandbox::sim::{self, Curve, Shape, ShapeClass, fitted};
use csv::StringRecord;
use flate2::read::MultiGzDecoder;
use serde_json::{Value, json};

use super::dice::Dice;
use super::world::{MINUTE, START};

/// Samples of a day of Bitbrains, one every five minutes.
const DAY_SLOTS: u64 = 288;
/// Days and nights with fewer samples are left out.
const ENOUGH_SLOTS: usize = 280;
/// So are pods with fewer samples, a little over three hours.
const ENOUGH_SAMPLES: usize = 200;
/// Longest series, in minutes: a month. A later time in a file is an error, so that a bad cell does not fill the memory.
const LONGEST: u64 = 31 * 24 * 60;
/// Machines whose request would be below this share of their cores are all but idle and left out.
const IDLE: f64 = 0.02;

/// Where the usage of one resource comes from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The trace that is replayed, or that the generator was fitted to.
    trace: &'static str,
    replayed: bool,
    curves: Vec<ShapeClass>,
}

impl Source {
    fn generator(trace: &'static str, curves: &[ShapeClass]) -> Source {
        Source { trace, replayed: false, curves: curves.to_vec() }
    }

    /// Recordings for as long as the process lives (they are read once, and copied about with the behaviour of pods), each as
    /// likely as the others. All begin when simulated time does.
    fn replay(trace: &'static str, series: Vec<Vec<f32>>) -> Source {
        let weight = 1.0 / series.len().max(1) as f64;
        let curve = |samples: Vec<f32>| {
            let passed = (START / MINUTE).unsigned_abs() as usize % samples.len().max(1);
            let first = samples.len() - passed;
            Curve::Recorded { samples: Vec::leak(samples), step: MINUTE, first }
        };
        let curves = series.into_iter().map(|samples| ShapeClass { weight, curve: curve(samples) }).collect();
        Source { trace, replayed: true, curves }
    }

    fn json(&self) -> Value {
        let kind = if self.replayed { "trace" } else { "generator" };
        json!({ "from": kind, "trace": self.trace, "series": self.curves.len() })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.replayed {
            true => write!(f, "replayed from {} series of {}", self.curves.len(), self.trace),
            false => write!(f, "by the generator ({} classes, fitted to {})", self.curves.len(), self.trace),
        }
    }
}

/// Where workloads' usage comes from.
#[derive(Debug, Clone)]
pub struct Usage {
    cpu: Source,
    memory: Source,
}

impl Usage {
    /// By the generator alone.
    pub fn generated() -> Usage {
        let fitted = fitted();
        Usage { cpu: Source::generator(BITBRAINS, &fitted.cpu), memory: Source::generator(GENAI, &fitted.memory) }
    }

    /// From a folder of traces; by the generator what it does not have, unless it must have all (`asked`).
    ///
    /// # Errors
    /// When a file cannot be read, has no series, or must be there and is not; the message names it.
    pub fn load(folder: &Path, asked: bool) -> anyhow::Result<Usage> {
        let mut usage = Usage::generated();
        let there = |trace: &str| {
            let path = folder.join(trace);
            ensure!(path.is_dir() || !asked, "{} is no folder: name the folder that has the traces", path.display());
            Ok(path.is_dir().then_some(path))
        };
        if let Some(folder) = there(BITBRAINS)? {
            usage.cpu = Source::replay(BITBRAINS, bitbrains(&folder)?);
        }
        if let Some(folder) = there(GENAI)? {
            usage.memory = Source::replay(GENAI, genai(&folder)?);
        }
        Ok(usage)
    }

    /// The shape of one workload. Takes two draws, whatever the source, so that all else in a world stays the same.
    pub fn draw(&self, dice: &mut Dice) -> Option<Shape> {
        let (cpu, memory) = (dice.unit(), dice.unit());
        let curve = |source: &Source, draw| sim::pick(&source.curves, draw).map(|class| class.curve);
        Some(Shape { cpu: curve(&self.cpu, cpu)?, memory: curve(&self.memory, memory)? })
    }

    /// For the JSON line.
    pub fn json(&self) -> Value {
        json!({ "cpu": self.cpu.json(), "memory": self.memory.json() })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Usage of CPU {}; of memory {}.", self.cpu, self.memory)
    }
}

const BITBRAINS: &str = "bitbrains_rnd";
const GENAI: &str = "alibaba_genai_pods";

/// Days of machines: CPU as a share of the request that the day before suggests, its 90th percentile and 15 % more, as
/// `scripts/traces/fit.py` has it.
fn bitbrains(folder: &Path) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut capacities: BTreeMap<u64, f64> = BTreeMap::new();
    read(&folder.join("vms.csv"), ["vm", "cap_mhz"], |[vm, capacity]| {
        capacities.insert(whole(vm)?, number(capacity)?);
        Ok(())
    })?;
    let file = folder.join("usage_5min_14d.csv.gz");
    let mut days = Days::default();
    read(&file, ["vm", "slot", "cpu_mhz"], |[vm, slot, mhz]| {
        let (vm, slot) = (whole(vm)?, whole(slot)?);
        ensure!(capacities.contains_key(&vm), "machine {vm} is not in vms.csv");
        days.sample((vm, slot / DAY_SLOTS), slot % DAY_SLOTS, number(mhz)?, &capacities)
    })?;
    days.turn(&capacities);
    ensure!(!days.series.is_empty(), "{} has no two full days of a machine that does something", file.display());
    Ok(days.series)
}

/// The day that is being read, and the one before.
#[derive(Default)]
struct Days {
    /// Machine and day.
    of: (u64, u64),
    slots: BTreeMap<u64, f64>,
    before: Option<((u64, u64), BTreeMap<u64, f64>)>,
    series: Vec<Vec<f32>>,
}

impl Days {
    fn sample(&mut self, of: (u64, u64), slot: u64, mhz: f64, capacities: &BTreeMap<u64, f64>) -> anyhow::Result<()> {
        ensure!(of >= self.of, "machine {} goes back in time: sort it by machine and slot", of.0);
        if of != self.of {
            self.turn(capacities);
            self.of = of;
        }
        self.slots.entry(slot).or_insert(mhz);
        Ok(())
    }

    /// The day is over.
    fn turn(&mut self, capacities: &BTreeMap<u64, f64>) {
        let slots = std::mem::take(&mut self.slots);
        let of = self.of;
        let full = slots.len() >= ENOUGH_SLOTS;
        let before = self.before.take().filter(|(day, _)| *day == (of.0, of.1.wrapping_sub(1)));
        if let Some((_, before)) = before.filter(|_| full) {
            let capacity = capacities.get(&of.0).copied().unwrap_or_default();
            let request = 1.15 * ninth_decile(before.into_values().collect());
            if capacity > 0.0 && request >= IDLE * capacity {
                let samples = slots.iter().map(|(slot, mhz)| (slot * 5 * 60, mhz / request));
                self.series.push(resampled(samples, DAY_SLOTS * 5));
            }
        }
        self.before = full.then_some((of, slots));
    }
}

/// The 90th percentile, interpolated.
fn ninth_decile(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = 0.9 * values.len().saturating_sub(1) as f64;
    let of = |index: usize| values.get(index).or(values.last()).copied().unwrap_or_default();
    of(at as usize) + (of(at as usize + 1) - of(at as usize)) * at.fract()
}

/// Pods' memory as a share of what they have.
fn genai(folder: &Path) -> anyhow::Result<Vec<Vec<f32>>> {
    let file = folder.join("pod_memory_util.csv.gz");
    let mut pods: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
    read(&file, ["pod", "t", "value"], |[pod, at, share]| {
        let at = whole(at)?;
        ensure!(at < LONGEST * 60, "{at} seconds are more than a month");
        pods.entry(pod.to_owned()).or_default().insert(at, number(share)?);
        Ok(())
    })?;
    let whole_enough = pods.into_values().filter(|samples| samples.len() >= ENOUGH_SAMPLES);
    let series: Vec<Vec<f32>> = whole_enough
        .map(|samples| {
            let begin = samples.keys().next().copied().unwrap_or_default();
            let minutes = samples.keys().next_back().map_or(0, |last| (last - begin) / 60 + 1);
            resampled(samples.into_iter().map(|(at, share)| (at - begin, share)), minutes)
        })
        .collect();
    ensure!(!series.is_empty(), "{} has no pod with {ENOUGH_SAMPLES} samples", file.display());
    Ok(series)
}

/// One value a minute: the last sample until then, or the first of all; `samples` are seconds and values, by time.
fn resampled(samples: impl Iterator<Item = (u64, f64)>, minutes: u64) -> Vec<f32> {
    let mut samples = samples.peekable();
    let mut value = samples.peek().map_or(0.0, |(_, first)| *first);
    (0..minutes)
        .map(|minute| {
            while let Some((_, next)) = samples.next_if(|(at, _)| *at <= minute * 60) {
                value = next;
            }
            value as f32
        })
        .collect()
}

/// Gives the named columns of each line to `take`. Names ending in `.gz` are decompressed.
fn read<const N: usize>(
    path: &Path,
    columns: [&str; N],
    mut take: impl FnMut([&str; N]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = || format!("cannot read the trace {}", path.display());
    let file = File::open(path).with_context(name)?;
    let plain: Box<dyn std::io::Read> = match path.extension() {
        Some(end) if end == "gz" => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut reader = csv::Reader::from_reader(plain);
    let header = reader.headers().with_context(name)?.clone();
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let found = header.iter().position(|known| known == column);
        *place = found.with_context(|| format!("it has no column {column}")).with_context(name)?;
    }
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).with_context(name)? {
        let line = || record.position().map_or(0, csv::Position::line);
        let cells = places.map(|place| record.get(place).unwrap_or_default());
        take(cells).with_context(|| format!("line {}", line())).with_context(name)?;
    }
    Ok(())
}

fn whole(cell: &str) -> anyhow::Result<u64> {
    cell.parse().with_context(|| format!("{cell:?} is no whole number"))
}

/// A use: finite and not negative.
fn number(cell: &str) -> anyhow::Result<f64> {
    let parsed = cell.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
    parsed.with_context(|| format!("{cell:?} is no use of a resource"))
}

#[cfg(test)]
mod tests;
