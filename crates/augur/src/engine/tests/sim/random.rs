//! Random numbers from a seed (SplitMix64): the same seed, the same numbers.

use std::sync::Mutex;

/// A source of random numbers. What must not disturb one another's numbers has a source of its own.
pub struct Random(Mutex<u64>);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(Mutex::new(seed))
    }

    /// A source of its own for another part.
    pub fn fork(&self) -> Self {
        Random::new(self.next())
    }

    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True in so many of a thousand cases.
    pub fn in_thousand(&self, cases: u64) -> bool {
        self.below(1000) < cases
    }

    pub fn of<'a, T>(&self, all: &'a [T]) -> Option<&'a T> {
        all.get(usize::try_from(self.below(all.len() as u64)).unwrap())
    }
}
