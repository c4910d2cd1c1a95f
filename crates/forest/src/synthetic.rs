//! A table from a seed, for benchmarks and tests: labels drawn from a known probability of 13 columns.

use crate::forest::logistic;
use crate::random::Random;

/// A made-up table.
#[derive(Debug, Clone)]
pub struct Synthetic {
    /// Names of the columns.
    pub names: Vec<String>,
    /// The columns, all of one length.
    pub columns: Vec<Vec<f32>>,
    /// 0 or 1, drawn from `truth`.
    pub labels: Vec<f32>,
    /// The probability of label 1 that each row was drawn with.
    pub truth: Vec<f32>,
}

impl Synthetic {
    /// Draws `rows` rows: about 15 % of label 1, with steps, interactions and a heavy tail among the 13 columns, three of which
    /// tell nothing. Knowing the truth gives an AUC of about 0.89.
    #[must_use]
    pub fn draw(rows: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let names = [
            "cpu_used",
            "memory_used",
            "pods",
            "age_hours",
            "restarts",
            "pressure",
            "zone",
            "image_present",
            "request_cpu",
            "request_memory",
            "noise_a",
            "noise_b",
            "noise_c",
        ];
        let mut columns = vec![Vec::with_capacity(rows); names.len()];
        let (mut labels, mut truth) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        for _ in 0..rows {
            let cpu = random.unit();
            let memory = (0.5 * cpu + 0.5 * random.unit() + 0.1 * random.normal()).clamp(0.0, 1.0);
            let pods = (random.unit() * 110.0).floor();
            let age = (-(1.0 - random.unit()).ln() * 200.0).min(5_000.0);
            let restarts = if random.unit() < 0.3 { (-(1.0 - random.unit()).ln() * 3.0).floor() } else { 0.0 };
            let pressure = random.unit().powi(4);
            let zone = f64::from(random.below(8));
            let image = f64::from(random.below(2));
            let request_cpu = (random.normal() * 1.2 - 1.0).exp();
            let request_memory = request_cpu * (random.normal() * 0.7).exp();
            let mut x = -3.9;
            x += 2.8 * (cpu - 0.6).max(0.0) * (1.0 + request_cpu.min(3.0));
            x += if memory + 0.2 * request_memory.min(2.0) > 0.85 { 1.7 } else { 0.0 };
            x += 0.8 * restarts.min(5.0).sqrt();
            x += 3.5 * pressure * (1.0 + (pods / 110.0));
            x += if zone == 3.0 || zone == 6.0 { 1.1 } else { 0.0 };
            x += if image == 0.0 && age < 24.0 { 1.5 } else { 0.0 };
            x += (pods * 0.09).sin() * 0.5;
            let p = logistic(x as f32 * 1.15);
            let row = [
                cpu,
                memory,
                pods,
                age,
                restarts,
                pressure,
                zone,
                image,
                request_cpu,
                request_memory,
                random.normal(),
                random.normal(),
                random.unit(),
            ];
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value as f32);
            }
            truth.push(p);
            labels.push(if random.unit() < f64::from(p) { 1.0 } else { 0.0 });
        }
        Self { names: names.map(str::to_owned).to_vec(), columns, labels, truth }
    }

    /// The columns as slices, as [`crate::Bins::fit`] and [`crate::Bins::encode`] take them.
    #[must_use]
    pub fn slices(&self) -> Vec<&[f32]> {
        self.columns.iter().map(Vec::as_slice).collect()
    }
}
