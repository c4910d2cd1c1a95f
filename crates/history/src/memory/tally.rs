//! Exponentially decayed counts ([`Tally`]): what rates are made of.
//!
//! An event that lies [`HALF_LIFE_MS`] back weighs half. A tally costs the same however long its past is.

use serde::{Deserialize, Serialize};

/// The time after which a count weighs half: two days, so that a node which was repaired is believed within the window.
pub(crate) const HALF_LIFE_MS: i64 = 48 * 3_600_000;

/// The weight of something that happened `age_ms` ago, 0..1.
pub(crate) fn weight(age_ms: i64) -> f64 {
    (-(age_ms.max(0) as f64) / HALF_LIFE_MS as f64).exp2()
}

/// Counts of pods, decayed to the moment `at`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// The moment in milliseconds since 1970 as of which the counts hold.
    pub at: i64,
    /// Pods exposed.
    pub pods: f64,
    /// Pods in trouble that an application may bring upon itself.
    pub failures: f64,
    /// Pods in trouble that only a node brings about: evicted, lost with it, refused by it.
    pub node_failures: f64,
    /// Pods restarted at least once.
    pub restarted: f64,
    /// Pods with a container killed for memory.
    pub oom: f64,
    /// Pods evicted by the kubelet.
    pub evicted: f64,
}

/// Numbers in a stored tally.
const FIELDS: usize = 7;

impl Tally {
    /// The counts as of `now`.
    pub fn as_of(&self, now: i64) -> Self {
        if now <= self.at {
            return *self;
        }
        let w = weight(now - self.at);
        Self { at: now, ..self.scaled(w) }
    }

    /// Decays to `now` in place, for adding to it.
    pub fn touch(&mut self, now: i64) -> &mut Self {
        *self = self.as_of(now);
        self
    }

    /// All counts times `factor`.
    pub fn scaled(&self, factor: f64) -> Self {
        Self {
            at: self.at,
            pods: self.pods * factor,
            failures: self.failures * factor,
            node_failures: self.node_failures * factor,
            restarted: self.restarted * factor,
            oom: self.oom * factor,
            evicted: self.evicted * factor,
        }
    }

    /// Adds counts of the same moment.
    pub fn add(&mut self, other: &Self) {
        self.pods += other.pods;
        self.failures += other.failures;
        self.node_failures += other.node_failures;
        self.restarted += other.restarted;
        self.oom += other.oom;
        self.evicted += other.evicted;
    }

    /// Takes counts of the same moment back.
    pub fn take_back(&mut self, other: &Self) {
        self.add(&other.scaled(-1.0));
        let counts = [&mut self.pods, &mut self.failures, &mut self.node_failures, &mut self.restarted, &mut self.oom];
        counts.into_iter().for_each(|count| *count = count.max(0.0));
    }

    /// All trouble.
    pub fn trouble(&self) -> f64 {
        self.failures + self.node_failures
    }

    pub fn to_bytes(self) -> [u8; FIELDS * 8] {
        let mut bytes = [0; FIELDS * 8];
        let fields = [self.pods, self.failures, self.node_failures, self.restarted, self.oom, self.evicted];
        let words = std::iter::once(self.at.to_le_bytes()).chain(fields.map(f64::to_le_bytes));
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word);
        }
        bytes
    }

    /// `None` when these are not the bytes of a tally.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let words: [[u8; 8]; FIELDS] = bytes.as_chunks().0.try_into().ok().filter(|_| bytes.len() == FIELDS * 8)?;
        let [at, rest @ ..] = words;
        let [pods, failures, node_failures, restarted, oom, evicted] = rest.map(f64::from_le_bytes);
        let tally = Self { at: i64::from_le_bytes(at), pods, failures, node_failures, restarted, oom, evicted };
        rest.iter().all(|word| f64::from_le_bytes(*word).is_finite()).then_some(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_is_left_after_the_half_life_and_bytes_keep_it() {
        let mut tally = Tally { at: 0, pods: 4.0, failures: 2.0, ..Tally::default() };
        tally.touch(HALF_LIFE_MS).pods += 1.0;
        assert_eq!((tally.pods, tally.failures), (3.0, 1.0));
        assert_eq!(tally.as_of(0), tally, "the past is not made up");
        assert_eq!(Tally::from_bytes(&tally.to_bytes()), Some(tally));
        assert_eq!(Tally::from_bytes(&[0; 8]), None);
        assert_eq!(Tally::from_bytes(&[0xff; 56]), None, "no number");
    }
}
