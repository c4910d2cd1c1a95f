//! By lot, and yet the same on every replay: which pods are kept from the model, and which get the new one on probation.
//!
//! The lot is a hash of the pod's uid and a seed. Entry point: [`Lots`].

/// Draws lots for pods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lots {
    /// Seed of all draws.
    pub seed: u64,
    /// Share of pods that are never shown to a model, so that what the model does can be told from what would have
    /// happened anyway.
    pub holdback: f64,
}

impl Lots {
    /// Whether the pod is kept from every model.
    pub fn is_held_back(&self, uid: &str) -> bool {
        share(self.seed, 0x686f_6c64, uid) < self.holdback
    }

    /// Whether the pod is among the given share of those that get the model of this promotion.
    pub fn is_on_probation(&self, promotion: u64, uid: &str, probation: f64) -> bool {
        share(self.seed, 0x7072_6f62 ^ promotion.rotate_left(17), uid) < probation
    }
}

/// A number in 0..1, uniform over uids, and independent for another purpose.
fn share(seed: u64, purpose: u64, uid: &str) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ mix(seed ^ mix(purpose));
    for byte in uid.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (mix(hash) >> 11) as f64 / (1u64 << 53) as f64
}

/// The finaliser of SplitMix64.
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Numbers for bootstraps and samples: SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(mix(seed ^ 0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number in 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An index below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holdback_is_five_in_a_hundred_and_the_same_on_every_replay() {
        let lots = Lots { seed: 42, holdback: 0.05 };
        let held: Vec<bool> = (0..40_000).map(|i| lots.is_held_back(&format!("uid-{i}"))).collect();
        let again: Vec<bool> = (0..40_000).map(|i| lots.is_held_back(&format!("uid-{i}"))).collect();
        assert_eq!(held, again);
        // Five standard deviations around 2,000.
        let count = held.iter().filter(|held| **held).count();
        assert!((1_782..2_218).contains(&count), "{count}");
        let other = Lots { seed: 43, ..lots };
        let same = (0..40_000).filter(|i| other.is_held_back(&format!("uid-{i}")) && held[*i as usize]).count();
        assert!(same < 200, "another seed draws other pods: {same}");
    }

    #[test]
    fn probation_is_drawn_anew_for_every_promotion_and_apart_from_the_holdback() {
        let lots = Lots { seed: 1, holdback: 0.5 };
        let agree = |f: &dyn Fn(&str) -> bool, g: &dyn Fn(&str) -> bool| {
            (0..10_000).map(|i| format!("uid-{i}")).filter(|uid| f(uid) == g(uid)).count()
        };
        let first = |uid: &str| lots.is_on_probation(1, uid, 0.5);
        let second = |uid: &str| lots.is_on_probation(2, uid, 0.5);
        let held = |uid: &str| lots.is_held_back(uid);
        for count in [agree(&first, &second), agree(&first, &held)] {
            assert!((4_750..5_250).contains(&count), "{count}");
        }
    }
}
