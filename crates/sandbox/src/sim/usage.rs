//! What containers and daemons use, as a pure function of seed, object and time: nothing is ticked, whoever asks pays.
//! Entry points: [`container`] for a running container, [`daemons`] for what a node uses itself.

use super::rng::{Purpose, Rng};
use super::spec::{Archetype, Behaviour, ContainerSpec, GIB, MIB, Millis, NodeSpec};

const SECOND: Millis = 1_000;
const MINUTE: Millis = 60 * SECOND;
const DAY: Millis = 24 * 60 * MINUTE;

/// What a container without requests is taken to need.
const DEFAULT_CPU_MILLI: i64 = 50;
const DEFAULT_MEMORY: i64 = 64 * MIB;

/// Memory of a leaker without a limit has no bound; this stands for it in sums.
pub const UNBOUNDED: i64 = 1 << 50;

/// An amount of usage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Thousandths of a core.
    pub cpu_milli: f64,
    /// Bytes of working set.
    pub memory: i64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.cpu_milli += other.cpu_milli;
        self.memory += other.memory;
    }
}

/// What container number `index` of a pod's stream wants at `now` when it runs since `since`. CPU is capped by its limit and
/// memory too, since what exceeds the memory limit is killed.
#[must_use]
pub fn container(
    rng: Rng,
    stream: u64,
    index: usize,
    spec: &ContainerSpec,
    behaviour: &Behaviour,
    since: Millis,
    now: Millis,
) -> Usage {
    let stream = stream.wrapping_add(index as u64);
    let (cpu, memory) = base(spec);
    let age = (now - since).max(0);
    let load = |low, high| behaviour.load.unwrap_or_else(|| rng.between(stream, Purpose::Load, 0, low, high));
    let fill = |low, high| rng.between(stream, Purpose::Load, 1, low, high);
    let noise = 0.95 + 0.1 * rng.wave(stream, Purpose::Noise, now, MINUTE);
    let warm = (0.6 + 0.4 * age as f64 / (2.0 * MINUTE as f64)).min(1.0);
    let by_archetype = || match behaviour.archetype {
        Archetype::Steady | Archetype::CrashLoop => {
            (load(0.25, 0.65) * (0.7 + 0.6 * daily(rng, stream, now)) * noise, fill(0.55, 0.8) * warm)
        }
        Archetype::Bursty => {
            let slot = now.div_euclid(45 * SECOND) as u64;
            let spike = rng.unit(stream, Purpose::Spike, slot) < 0.12;
            let height = rng.between(stream, Purpose::Spike, slot ^ (1 << 40), 1.2, 3.0);
            let share = if spike { height } else { load(0.1, 0.2) };
            (share * noise, fill(0.5, 0.7) * warm + if spike { 0.2 } else { 0.0 })
        }
        Archetype::Batch => (load(0.85, 1.0) * noise, (0.3 + 0.6 * age as f64 / (5.0 * MINUTE as f64)).min(0.9)),
        Archetype::Leaker => {
            let leaked = leak_rate(rng, stream, memory, behaviour) as f64 * (age as f64 / MINUTE as f64);
            (load(0.25, 0.5) * noise, LEAKER_START + leaked / memory as f64)
        }
        Archetype::Noisy => (load(2.5, 5.0) * noise, fill(1.1, 1.6) * warm),
    };
    let (cpu_share, memory_share) = match &behaviour.shape {
        Some(shape) => (
            shape.cpu.at(rng, stream, Purpose::Load, now) * noise,
            shape.memory.at(rng, stream, Purpose::Spike, now) * warm,
        ),
        None => by_archetype(),
    };
    let mut usage = Usage { cpu_milli: cpu as f64 * cpu_share, memory: (memory as f64 * memory_share) as i64 };
    if let Some(limit) = spec.cpu_limit {
        usage.cpu_milli = usage.cpu_milli.min(limit as f64);
    }
    if let Some(limit) = spec.memory_limit {
        usage.memory = usage.memory.min(limit);
    }
    usage
}

/// Share of its request that a leaker uses when it starts.
const LEAKER_START: f64 = 0.4;

fn base(spec: &ContainerSpec) -> (i64, i64) {
    let or = |given: i64, otherwise| if given > 0 { given } else { otherwise };
    (or(spec.requests.cpu_milli, DEFAULT_CPU_MILLI), or(spec.requests.memory, DEFAULT_MEMORY))
}

/// From 0 at night to 1 in the early afternoon, a little shifted for each service.
fn daily(rng: Rng, stream: u64, now: Millis) -> f64 {
    let shift = rng.between(stream, Purpose::Load, 2, -0.04, 0.04);
    let angle = (now.rem_euclid(DAY) as f64 / DAY as f64 + shift - 14.0 / 24.0) * std::f64::consts::TAU;
    0.5 + 0.5 * angle.cos()
}

fn leak_rate(rng: Rng, stream: u64, memory: i64, behaviour: &Behaviour) -> i64 {
    let drawn = || (memory as f64 * rng.between(stream, Purpose::Load, 3, 0.05, 0.15)) as i64;
    behaviour.leak_per_minute.unwrap_or_else(drawn).max(1)
}

/// How long after its start a leaking container reaches its memory limit; `None` when it never does.
#[must_use]
pub fn reaches_limit(
    rng: Rng,
    stream: u64,
    index: usize,
    spec: &ContainerSpec,
    behaviour: &Behaviour,
) -> Option<Millis> {
    let limit = spec.memory_limit.filter(|_| behaviour.archetype == Archetype::Leaker)?;
    let (_, memory) = base(spec);
    let rate = leak_rate(rng, stream.wrapping_add(index as u64), memory, behaviour);
    let left = (limit as f64 - LEAKER_START * memory as f64).max(0.0);
    Some((left / rate as f64 * MINUTE as f64).ceil() as Millis)
}

/// More than a container can ever use, from which a node knows that it need not look.
#[must_use]
pub fn peak(spec: &ContainerSpec, behaviour: &Behaviour) -> Usage {
    let (cpu, memory) = base(spec);
    let load = behaviour.load.map_or(0.0, |load| load * 1.4);
    let by_archetype = || match behaviour.archetype {
        Archetype::Steady | Archetype::CrashLoop | Archetype::Batch => (load.max(1.05), memory),
        Archetype::Bursty => (load.max(3.2), memory),
        Archetype::Leaker => (load.max(0.6), UNBOUNDED),
        Archetype::Noisy => (load.max(5.3), memory * 2),
    };
    let (cpu_share, memory) = match &behaviour.shape {
        Some(shape) => (shape.cpu.peak() * 1.05, (memory as f64 * shape.memory.peak()) as i64),
        None => by_archetype(),
    };
    let cpu_milli = cpu as f64 * cpu_share;
    Usage {
        cpu_milli: spec.cpu_limit.map_or(cpu_milli, |limit| cpu_milli.min(limit as f64)),
        memory: spec.memory_limit.map_or(memory, |limit| memory.min(limit)),
    }
}

/// What the system daemons of a node use.
#[must_use]
pub fn daemons(rng: Rng, stream: u64, node: &NodeSpec, starved: bool, now: Millis) -> Usage {
    let capacity = &node.capacity;
    let share = rng.between(stream, Purpose::Daemons, 0, 0.01, 0.02);
    let noise = 0.9 + 0.2 * rng.wave(stream, Purpose::Noise, now, MINUTE);
    let mut usage = Usage {
        cpu_milli: (60.0 + capacity.cpu_milli as f64 * share) * noise,
        memory: 200 * MIB + (capacity.memory as f64 * share) as i64,
    };
    usage.memory = usage.memory.min(capacity.memory / 4);
    if starved {
        let period = rng.between(stream, Purpose::Daemons, 1, 15.0, 30.0) * MINUTE as f64;
        usage.memory += (capacity.memory as f64 * (0.2 + 0.6 * saw(rng, stream, now, period))) as i64;
    }
    usage
}

/// From 0 to 1 over `period`, then back at once.
fn saw(rng: Rng, stream: u64, now: Millis, period: f64) -> f64 {
    (now as f64 / period + rng.unit(stream, Purpose::Daemons, 2)).rem_euclid(1.0)
}

/// Bytes on the disk of a node apart from images: system, logs and the writable layers of `pods` pods.
#[must_use]
pub fn disk(rng: Rng, stream: u64, node: &NodeSpec, slow: bool, pods: usize, now: Millis) -> i64 {
    let mut used = node.disk / 10 + pods as i64 * GIB / 5;
    if slow {
        let period = rng.between(stream, Purpose::Daemons, 3, 30.0, 50.0) * MINUTE as f64;
        used += (node.disk as f64 * 0.82 * saw(rng, stream, now, period)) as i64;
    }
    used
}

/// Size of an image in bytes: the same everywhere.
#[must_use]
pub fn image_size(rng: Rng, image: &str) -> i64 {
    (rng.between(super::rng::stream(&[image]), Purpose::Image, 0, 20.0, 900.0) * MIB as f64) as i64
}
