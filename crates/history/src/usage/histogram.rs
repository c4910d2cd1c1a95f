//! Exponentially decayed histograms of usage ([`Histogram`]), as the Vertical Pod Autoscaler keeps them: buckets that grow by
//! five per cent, a half-life of 24 hours.

use serde::{Deserialize, Serialize};

/// The time after which a sample weighs half.
const HALF_LIFE_MS: f64 = 24.0 * 3_600_000.0;
/// Buckets: the last one begins at some hundred thousand times the first one's width.
const BUCKETS: usize = 176;
/// From the width of one bucket to the next.
const GROWTH: f64 = 1.05;
/// Half-lives after which weights are scaled down, so that they stay small numbers.
const RESCALE: f64 = 10.0;

/// Where the buckets of a quantity begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Cores; the first bucket is a hundredth wide.
    Cpu,
    /// Bytes; the first bucket is ten million wide.
    Memory,
}

impl Scale {
    fn first(self) -> f64 {
        match self {
            Scale::Cpu => 0.01,
            Scale::Memory => 1e7,
        }
    }

    fn bucket(self, value: f64) -> usize {
        // The n-th bucket begins at first · (growth^n - 1) / (growth - 1).
        let n = (value / self.first() * (GROWTH - 1.0) + 1.0).ln() / GROWTH.ln();
        (n.max(0.0) as usize).min(BUCKETS - 1)
    }

    /// Where the bucket ends.
    fn end(self, bucket: usize) -> f64 {
        self.first() * (GROWTH.powi(bucket as i32 + 1) - 1.0) / (GROWTH - 1.0)
    }
}

/// Weights by bucket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    weights: Box<[f32; BUCKETS]>,
    total: f64,
    /// The moment whose samples weigh 1.
    reference: i64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { weights: Box::new([0.0; BUCKETS]), total: 0.0, reference: 0 }
    }
}

/// A histogram as it is stored: what is empty is left out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    reference: i64,
    buckets: Vec<(u8, f32)>,
}

impl Histogram {
    fn weight(&mut self, at: i64) -> f64 {
        if self.total <= 0.0 {
            self.reference = at;
        }
        let age = (at - self.reference) as f64 / HALF_LIFE_MS;
        if age > RESCALE {
            let factor = (-age).exp2();
            for weight in self.weights.iter_mut() {
                *weight = (f64::from(*weight) * factor) as f32;
            }
            self.total *= factor;
            self.reference = at;
            return 1.0;
        }
        age.exp2()
    }

    /// Adds a sample.
    pub fn add(&mut self, scale: Scale, value: f64, at: i64) {
        let weight = self.weight(at);
        self.weights[scale.bucket(value)] += weight as f32;
        self.total += weight;
    }

    /// Adds the samples of another.
    pub fn take_in(&mut self, other: &Self) {
        if self.total <= 0.0 {
            *self = other.clone();
            return;
        }
        let factor = ((other.reference - self.reference) as f64 / HALF_LIFE_MS).exp2();
        for (weight, more) in self.weights.iter_mut().zip(other.weights.iter()) {
            *weight += (f64::from(*more) * factor) as f32;
        }
        self.total += other.total * factor;
    }

    /// Takes back a sample that was added with the same value and time.
    pub fn take_back(&mut self, scale: Scale, value: f64, at: i64) {
        let weight = self.weight(at);
        let bucket = &mut self.weights[scale.bucket(value)];
        *bucket = (*bucket - weight as f32).max(0.0);
        self.total = (self.total - weight).max(0.0);
    }

    /// The end of the bucket below which this share of the weight lies; `None` without samples.
    pub fn percentile(&self, scale: Scale, share: f64) -> Option<f64> {
        let total: f64 = self.weights.iter().map(|w| f64::from(*w)).sum();
        if total <= 0.0 {
            return None;
        }
        let mut sum = 0.0;
        let bucket = self.weights.iter().position(|weight| {
            sum += f64::from(*weight);
            sum >= share * total
        });
        bucket.map(|bucket| scale.end(bucket))
    }

    pub fn store(&self) -> Stored {
        let buckets = self.weights.iter().enumerate().filter(|(_, w)| **w > 0.0);
        Stored { reference: self.reference, buckets: buckets.map(|(i, w)| (i as u8, *w)).collect() }
    }

    pub fn load(stored: &Stored) -> Self {
        let mut histogram = Self { reference: stored.reference, ..Self::default() };
        for (bucket, weight) in stored.buckets.iter().filter(|(_, w)| w.is_finite() && *w > 0.0) {
            if let Some(place) = histogram.weights.get_mut(usize::from(*bucket)) {
                *place = *weight;
                histogram.total += f64::from(*weight);
            }
        }
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3_600_000;

    #[test]
    fn percentiles_are_within_a_bucket_and_the_past_fades() {
        let mut h = Histogram::default();
        for i in 1..=100 {
            h.add(Scale::Cpu, f64::from(i) / 10.0, 0);
        }
        let p50 = h.percentile(Scale::Cpu, 0.5).unwrap();
        assert!((5.0..5.6).contains(&p50), "{p50}");
        for _ in 0..10 {
            h.add(Scale::Cpu, 1.0, 20 * DAY);
        }
        let p99 = h.percentile(Scale::Cpu, 0.99).unwrap();
        assert!((1.0..1.2).contains(&p99), "after twenty half-lives nothing is left: {p99}");
        assert_eq!(Histogram::load(&h.store()).percentile(Scale::Cpu, 0.99), Some(p99));
        assert_eq!(Histogram::default().percentile(Scale::Memory, 0.5), None);
    }

    #[test]
    fn a_sample_can_be_taken_back() {
        let mut h = Histogram::default();
        h.add(Scale::Memory, 1e9, 0);
        h.add(Scale::Memory, 8e9, DAY);
        h.take_back(Scale::Memory, 8e9, DAY);
        let p = h.percentile(Scale::Memory, 1.0).unwrap();
        assert!((1e9..1.1e9).contains(&p), "{p}");
    }
}
