//! Usage shapes: how the usage of a container is spread over time, as a share of its request. Fitted to public traces
//! (`docs/scenarios.md` tells which) or recorded. Entry points: [`Shape`], [`fitted`].

use std::sync::OnceLock;

use super::rng::{Purpose, Rng};
use super::spec::Millis;

/// How many quantiles a curve has.
pub const KNOTS: usize = 9;
/// Their probabilities.
pub const PROBABILITIES: [f64; KNOTS] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

const FITTED: &str = include_str!("../../../../config/shapes/fitted.csv");
const MINUTE: Millis = 60_000;

/// How usage develops, as shares of the request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Curve {
    /// Values are drawn from these quantiles, and each is held for a while.
    Fitted {
        /// Shares at [`PROBABILITIES`].
        quantiles: &'static [f64; KNOTS],
        /// For how long a value is held, on average.
        hold: Millis,
    },
    /// A recording, played from some place on, again and again.
    Recorded {
        /// Shares, one after the other.
        samples: &'static [f32],
        /// Time between two of them.
        step: Millis,
        /// Where it begins at time 0.
        first: usize,
    },
}

impl Curve {
    /// The share at `now`; draws depend on `stream` and `purpose`.
    #[must_use]
    pub fn at(&self, rng: Rng, stream: u64, purpose: Purpose, now: Millis) -> f64 {
        match *self {
            Curve::Fitted { quantiles, hold } => {
                let hold = hold.max(MINUTE);
                // Containers do not change step together.
                let shift = (rng.unit(stream, purpose, 1 << 50) * hold as f64) as Millis;
                let slot = (now + shift).div_euclid(hold);
                quantile(quantiles, rng.unit(stream, purpose, slot as u64))
            }
            Curve::Recorded { samples, step, first } => {
                let slot = now.div_euclid(step.max(1)).unsigned_abs() as usize;
                let at = (slot + first) % samples.len().max(1);
                samples.get(at).map_or(0.0, |share| f64::from(*share))
            }
        }
    }

    /// The largest share that it can have.
    #[must_use]
    pub fn peak(&self) -> f64 {
        match self {
            Curve::Fitted { quantiles, .. } => quantiles[KNOTS - 1],
            Curve::Recorded { samples, .. } => f64::from(samples.iter().copied().fold(0.0, f32::max)),
        }
    }
}

/// How a container uses CPU and memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// CPU.
    pub cpu: Curve,
    /// Memory.
    pub memory: Curve,
}

/// A class of containers of alike usage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShapeClass {
    /// The share of containers that are of this class; those of all classes make about 1.
    pub weight: f64,
    /// Their usage.
    pub curve: Curve,
}

/// The shapes that come with Augur, and the distributions that they were fitted to.
#[derive(Debug)]
pub struct Fitted {
    /// Classes of CPU usage.
    pub cpu: Vec<ShapeClass>,
    /// Classes of memory usage.
    pub memory: Vec<ShapeClass>,
    /// Quantiles of CPU usage in the trace, all containers and times together.
    pub cpu_trace: [f64; KNOTS],
    /// The same of memory usage.
    pub memory_trace: [f64; KNOTS],
}

/// The shapes that come with Augur (`config/shapes/fitted.csv`, made by `scripts/traces/fit.py`).
#[must_use]
pub fn fitted() -> &'static Fitted {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    static ALL: OnceLock<Fitted> = OnceLock::new();
    let rows: &'static Vec<_> = ROWS.get_or_init(|| FITTED.lines().filter_map(row).collect());
    ALL.get_or_init(|| {
        let of = |kind: &str| {
            let some = rows.iter().filter(|(known, ..)| known == kind);
            some.map(|(_, weight, hold, quantiles)| ShapeClass {
                weight: *weight,
                curve: Curve::Fitted { quantiles, hold: *hold },
            })
            .collect()
        };
        let trace = |kind: &str| rows.iter().find(|(known, ..)| known == kind).map_or([0.0; KNOTS], |(.., q)| *q);
        Fitted {
            cpu: of("cpu"),
            memory: of("memory"),
            cpu_trace: trace("cpu-trace"),
            memory_trace: trace("memory-trace"),
        }
    })
}

/// A line of the table: kind, weight, hold, quantiles.
type Row = (String, f64, Millis, [f64; KNOTS]);

/// Reads a line of the table; `None` for its head.
fn row(line: &str) -> Option<Row> {
    let mut cells = line.split(',');
    let kind = cells.next()?.to_owned();
    let mut number = || cells.next()?.parse::<f64>().ok();
    number()?;
    let (weight, hold) = (number()?, number()?);
    let mut quantiles = [0.0; KNOTS];
    for quantile in &mut quantiles {
        *quantile = number()?;
    }
    Some((kind, weight, (hold * MINUTE as f64) as Millis, quantiles))
}

/// The value at probability `p` of a distribution given by quantiles, interpolated in between.
#[must_use]
pub fn quantile(quantiles: &[f64; KNOTS], p: f64) -> f64 {
    let above = PROBABILITIES.iter().position(|known| *known >= p).unwrap_or(KNOTS - 1).max(1);
    let (low, high) = (PROBABILITIES[above - 1], PROBABILITIES[above]);
    let within = ((p - low) / (high - low)).clamp(0.0, 1.0);
    let (from, to) = (quantiles[above - 1], quantiles[above]);
    // Tails spread over powers of ten: geometric there.
    if low >= 0.9 && from > 0.0 { from * (to / from).powf(within) } else { from + (to - from) * within }
}

/// The class that a draw from 0 to 1 falls on.
#[must_use]
pub fn pick(classes: &[ShapeClass], draw: f64) -> Option<&ShapeClass> {
    let total: f64 = classes.iter().map(|class| class.weight).sum();
    let mut left = draw * total;
    classes
        .iter()
        .find(|class| {
            left -= class.weight;
            left < 0.0
        })
        .or(classes.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distribution over containers and times that the classes make, against the trace they were fitted to.
    fn compare(classes: &[ShapeClass], trace: &[f64; KNOTS], tolerance: f64) {
        let rng = Rng::new(11);
        let mut all: Vec<f64> = (0..2_000u64)
            .flat_map(|stream| {
                let class = pick(classes, rng.unit(stream, Purpose::Load, 9)).expect("there are classes");
                (0..48).map(move |slot| class.curve.at(rng, stream, Purpose::Load, slot * 30 * MINUTE))
            })
            .collect();
        all.sort_by(f64::total_cmp);
        let mut table = String::new();
        let mut worst: f64 = 0.0;
        // The ends are single samples.
        for (p, expected) in PROBABILITIES.iter().zip(trace).skip(1).take(KNOTS - 2) {
            let got = all[(p * (all.len() - 1) as f64) as usize];
            table += &format!("{p:>5} {expected:>8.3} {got:>8.3}\n");
            worst = worst.max((got - expected).abs() / expected.abs().max(0.25));
        }
        assert!(worst < tolerance, "quantile, trace, generator (worst {worst:.2}):\n{table}");
    }

    #[test]
    fn the_generator_has_the_distribution_of_its_traces() {
        let fitted = fitted();
        assert_eq!((fitted.cpu.len(), fitted.memory.len()), (32, 16));
        compare(&fitted.cpu, &fitted.cpu_trace, 0.3);
        compare(&fitted.memory, &fitted.memory_trace, 0.15);
    }

    #[test]
    fn a_value_is_held_and_a_recording_is_played_again() {
        let curve = fitted().cpu[2].curve;
        let at = |minute| curve.at(Rng::new(1), 5, Purpose::Load, minute * MINUTE);
        let changes = (0..1_000).filter(|minute| at(*minute) != at(minute + 1)).count();
        assert!((8..20).contains(&changes), "held for 82 minutes: {changes}");
        let curve = Curve::Recorded { samples: &[0.5, 1.5], step: MINUTE, first: 1 };
        let at = |minute| curve.at(Rng::new(1), 5, Purpose::Load, minute * MINUTE);
        assert_eq!([at(0), at(1), at(2)], [1.5, 0.5, 1.5]);
        assert!((curve.peak() - 1.5).abs() < 1e-9);
    }
}
