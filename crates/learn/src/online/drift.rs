//! Signs that the world has changed: they may start the training of a challenger and never promote one.
//!
//! * [`Adwin`] on the squared error of each label: adaptive windowing (Bifet & Gavaldà, SDM 2007) over exponential buckets.
//! * [`PageHinkley`] on the calibration error (Page, Biometrika 1954).
//! * [`psi`] on features, over the bins of the model: the population stability index.

/// Buckets of one size in an [`Adwin`].
const BUCKETS_PER_SIZE: usize = 5;
/// Values between two searches for a cut.
const LOOK_EVERY: u32 = 32;

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    n: f64,
    sum: f64,
}

/// A window that drops its older part when the newer one has another mean.
#[derive(Debug, Clone)]
pub struct Adwin {
    delta: f64,
    /// By size, 2^i values each, the oldest last.
    sizes: Vec<Vec<Bucket>>,
    since: u32,
}

impl Adwin {
    /// Raises a false alarm with probability `delta` at most for each cut that is looked at.
    pub fn new(delta: f64) -> Self {
        Adwin { delta, sizes: Vec::new(), since: 0 }
    }

    /// Takes in a value of 0..1; true when the mean has changed.
    pub fn add(&mut self, value: f64) -> bool {
        self.insert(0, Bucket { n: 1.0, sum: value.clamp(0.0, 1.0) });
        self.since += 1;
        if self.since < LOOK_EVERY {
            return false;
        }
        self.since = 0;
        let mut changed = false;
        while self.cut() {
            changed = true;
        }
        changed
    }

    /// The mean over the window.
    pub fn mean(&self) -> Option<f64> {
        let (n, sum) = self.total();
        (n > 0.0).then(|| sum / n)
    }

    fn total(&self) -> (f64, f64) {
        self.sizes.iter().flatten().fold((0.0, 0.0), |(n, sum), bucket| (n + bucket.n, sum + bucket.sum))
    }

    fn insert(&mut self, size: usize, bucket: Bucket) {
        if self.sizes.len() <= size {
            self.sizes.push(Vec::new());
        }
        let Some(row) = self.sizes.get_mut(size) else { return };
        row.insert(0, bucket);
        if row.len() > BUCKETS_PER_SIZE
            && let (Some(a), Some(b)) = (row.pop(), row.pop())
        {
            self.insert(size + 1, Bucket { n: a.n + b.n, sum: a.sum + b.sum });
        }
    }

    /// Drops the oldest bucket if some cut separates different means.
    fn cut(&mut self) -> bool {
        let (n, sum) = self.total();
        let mean = sum / n.max(1.0);
        // Values are within 0..1, so that this bounds their variance.
        let variance = mean * (1.0 - mean);
        let log = (2.0 * n.max(2.0).ln() / self.delta).ln();
        let mut newer = Bucket::default();
        let mut found = false;
        for bucket in self.sizes.iter().flatten() {
            newer = Bucket { n: newer.n + bucket.n, sum: newer.sum + bucket.sum };
            let older = Bucket { n: n - newer.n, sum: sum - newer.sum };
            if newer.n < 30.0 || older.n < 30.0 {
                continue;
            }
            let m = 1.0 / (1.0 / newer.n + 1.0 / older.n);
            let bound = (2.0 / m * variance * log).sqrt() + 2.0 / (3.0 * m) * log;
            if (newer.sum / newer.n - older.sum / older.n).abs() > bound {
                found = true;
                break;
            }
        }
        if found && let Some(row) = self.sizes.iter_mut().rev().find(|row| !row.is_empty()) {
            row.pop();
        }
        while self.sizes.last().is_some_and(Vec::is_empty) {
            self.sizes.pop();
        }
        found
    }
}

/// Notices that the mean of a sequence has risen or fallen.
#[derive(Debug, Clone)]
pub struct PageHinkley {
    tolerated: f64,
    limit: f64,
    up: f64,
    down: f64,
}

impl PageHinkley {
    /// Sums what exceeds `tolerated` on either side, and alarms at `limit`.
    pub fn new(tolerated: f64, limit: f64) -> Self {
        PageHinkley { tolerated, limit, up: 0.0, down: 0.0 }
    }

    /// Takes in a value that should be 0 on average; true at an alarm, after which it starts anew.
    pub fn add(&mut self, value: f64) -> bool {
        self.up = (self.up + value - self.tolerated).max(0.0);
        self.down = (self.down - value - self.tolerated).max(0.0);
        if self.up.max(self.down) <= self.limit {
            return false;
        }
        (self.up, self.down) = (0.0, 0.0);
        true
    }
}

/// The population stability index of two distributions over the same bins; above 0.25 is commonly called a shift. Bins get
/// half a count each, so that empty ones are no infinity.
pub fn psi(expected: &[u32], observed: &[u32]) -> f64 {
    let total = |counts: &[u32]| counts.iter().map(|c| f64::from(*c) + 0.5).sum::<f64>();
    let (all_expected, all_observed) = (total(expected), total(observed));
    expected
        .iter()
        .zip(observed)
        .map(|(e, o)| {
            let (e, o) = ((f64::from(*e) + 0.5) / all_expected, (f64::from(*o) + 0.5) / all_observed);
            (o - e) * (o / e).ln()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::Random;

    fn bernoulli(random: &mut Random, p: f64) -> f64 {
        f64::from(u8::from((random.below(1_000_000) as f64) < p * 1e6))
    }

    #[test]
    fn a_window_keeps_while_nothing_changes_and_follows_a_change() {
        let (mut random, mut adwin) = (Random::new(1), Adwin::new(0.002));
        let alarms = (0..20_000).filter(|_| adwin.add(bernoulli(&mut random, 0.2))).count();
        assert!(alarms <= 1, "{alarms}");
        let after = (0..2_000).position(|_| adwin.add(bernoulli(&mut random, 0.5)));
        assert!(after.is_some_and(|after| after < 500), "{after:?}");
        for _ in 0..2_000 {
            adwin.add(bernoulli(&mut random, 0.5));
        }
        assert!((adwin.mean().unwrap() - 0.5).abs() < 0.06, "{:?}", adwin.mean());
    }

    #[test]
    fn miscalibration_is_noticed_and_noise_is_not() {
        let mut random = Random::new(2);
        let mut calm = PageHinkley::new(0.05, 25.0);
        assert!(!(0..20_000).any(|_| calm.add(bernoulli(&mut random, 0.1) - 0.1)));
        let mut detector = PageHinkley::new(0.05, 25.0);
        let after = (0..2_000).position(|_| detector.add(bernoulli(&mut random, 0.3) - 0.1));
        assert!(after.is_some_and(|after| after < 400), "{after:?}");
    }

    #[test]
    fn the_stability_index_is_small_for_like_and_large_for_unlike() {
        assert!(psi(&[100, 200, 300], &[95, 205, 300]) < 0.01);
        assert!(psi(&[100, 200, 300], &[300, 200, 100]) > 0.25);
        assert!(psi(&[0, 0], &[0, 0]).abs() < 1e-12);
    }
}
