//! Randomness by counting: every draw is a pure function of the seed, what it is for and how many came before it, so that
//! the order in which the simulation asks cannot change an answer. Entry points: [`Rng::unit`], [`stream`].

/// Draws for one simulation.
#[derive(Debug, Clone, Copy)]
pub struct Rng(u64);

impl Rng {
    /// Draws that depend on `seed` only.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Rng(mix(seed ^ 0x9e37_79b9_7f4a_7c15))
    }

    /// 64 bits for draw number `n` of `purpose` in a stream.
    #[must_use]
    pub fn bits(self, stream: u64, purpose: Purpose, n: u64) -> u64 {
        mix(mix(self.0 ^ stream).wrapping_add((purpose as u64) << 48) ^ n.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// A number from 0 up to, but not including, 1.
    #[must_use]
    pub fn unit(self, stream: u64, purpose: Purpose, n: u64) -> f64 {
        (self.bits(stream, purpose, n) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from `low` up to, but not including, `high`.
    #[must_use]
    pub fn between(self, stream: u64, purpose: Purpose, n: u64, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit(stream, purpose, n)
    }

    /// A curve from 0 to 1 that takes a new random direction every `period` (milliseconds) and is linear in between.
    #[must_use]
    pub fn wave(self, stream: u64, purpose: Purpose, at: i64, period: i64) -> f64 {
        let slot = at.div_euclid(period);
        let within = at.rem_euclid(period) as f64 / period as f64;
        let here = self.unit(stream, purpose, slot as u64);
        let next = self.unit(stream, purpose, (slot + 1) as u64);
        here + (next - here) * within
    }
}

/// What a draw is for; draws for different purposes are independent.
#[derive(Debug, Clone, Copy)]
#[repr(u64)]
pub enum Purpose {
    /// How much of its requests a container uses.
    Load = 1,
    /// Small fluctuations of usage.
    Noise,
    /// Whether and how high usage spikes.
    Spike,
    /// Latency of an image pull.
    Pull,
    /// Whether an image pull fails.
    PullFails,
    /// Latency of a container start.
    Start,
    /// Whether a container fails soon after its start.
    StartFails,
    /// How long work lasts.
    Duration,
    /// Whether batch work fails.
    Outcome,
    /// How long a container takes to stop.
    Stop,
    /// Whether stress hits a container, and how.
    Stress,
    /// Size of an image.
    Image,
    /// What the daemons of a node use.
    Daemons,
    /// Lengths of spells without network.
    Spell,
    /// Phase of a node's heartbeats.
    Phase,
}

/// The stream of a named object (FNV-1a).
#[must_use]
pub fn stream(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        for byte in part.bytes().chain(std::iter::once(0xff)) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    hash
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_seed_stream_purpose_and_number_only() {
        let rng = Rng::new(7);
        let draw = rng.unit(stream(&["a"]), Purpose::Load, 3);
        assert_eq!(draw, Rng::new(7).unit(stream(&["a"]), Purpose::Load, 3));
        assert_ne!(draw, Rng::new(8).unit(stream(&["a"]), Purpose::Load, 3));
        assert_ne!(draw, rng.unit(stream(&["b"]), Purpose::Load, 3));
        assert_ne!(draw, rng.unit(stream(&["a"]), Purpose::Noise, 3));
        assert_ne!(draw, rng.unit(stream(&["a"]), Purpose::Load, 4));
        assert_ne!(stream(&["a", "bc"]), stream(&["ab", "c"]));
    }

    #[test]
    fn draws_are_spread_evenly() {
        let rng = Rng::new(1);
        let draws: Vec<f64> = (0..10_000).map(|n| rng.unit(5, Purpose::Spike, n)).collect();
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        let low = draws.iter().filter(|d| **d < 0.1).count();
        assert!((900..1100).contains(&low), "{low}");
    }

    #[test]
    fn a_wave_is_continuous() {
        let rng = Rng::new(3);
        for at in 0..5_000 {
            let step = rng.wave(1, Purpose::Noise, at + 1, 1000) - rng.wave(1, Purpose::Noise, at, 1000);
            assert!(step.abs() < 0.002, "{step} at {at}");
        }
    }
}
