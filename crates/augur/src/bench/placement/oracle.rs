//! The oracle: it knows what is hidden, and places each pod where the least harm is to be expected. It knows every node's rate
//! and kind of trouble, its present state and when its last trouble ended, and what every pod will use; it does not know
//! the dice, so not when the next trouble comes. Entry point: [`Oracle::harm`].

use augur_sandbox::sim::{Fault, Millis, PodSpec, Sim, Usage};

use super::world::{HOUR, KINDS, MINUTE, World, expected_spells};

/// When the oracle looks at what will be wanted, after the decision.
const LOOKS: [Millis; 5] = [MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 55 * MINUTE];
/// The kubelet's housekeeping, which is when stress may hit.
const CHECK: f64 = 10_000.0;
/// How long what the oracle computed of a node holds, unless the node's pods change.
const KEEPS: Millis = MINUTE;

/// What it knows of a node.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: Millis,
    pods: usize,
    hot: bool,
    bad_now: f64,
    effective_cpu: f64,
    memory: f64,
    wanted: [Usage; LOOKS.len()],
}

/// The oracle's notes.
#[derive(Debug)]
pub struct Oracle {
    known: Vec<Option<Known>>,
    /// When the last spell of each node ended.
    last_spell: Vec<Millis>,
}

impl Oracle {
    /// Knows nothing of nodes that it was not asked about.
    pub fn new(world: &World) -> Oracle {
        // As if a day had passed since the last trouble.
        let long_ago = super::world::START - 24 * HOUR;
        Oracle { known: vec![None; world.nodes.len()], last_spell: vec![long_ago; world.nodes.len()] }
    }

    /// A spell ends on the node at a time.
    pub fn spell_ends(&mut self, node: usize, at: Millis) {
        self.last_spell[node] = at;
        self.known[node] = None;
    }

    /// Expected number of placements that come to harm when the pod goes to the node: itself, and its neighbours through it.
    pub fn harm(&mut self, world: &World, sim: &Sim, node: usize, pods: usize, pod: &PodSpec, now: Millis) -> f64 {
        let kept = self.known[node].filter(|known| known.at > now - KEEPS && known.pods == pods);
        let Some(known) = kept.or_else(|| look(world, sim, node, pods, now)) else { return 1.0 };
        self.known[node] = Some(known);
        let stays = pod.behaviour.duration.unwrap_or(HOUR).min(HOUR);
        let frailty = world.frailties_at(now)[node];
        let spells = expected_spells(frailty.rate, now - self.last_spell[node], stays);
        let kind =
            0.5 * spell_harm(frailty.kind) + 0.5 * (0..KINDS.len()).map(|k| KINDS[k].1 * spell_harm(k)).sum::<f64>();
        let mut harm = known.bad_now + (1.0 - known.bad_now) * (1.0 - (-spells * kind).exp());
        let mut before = 0;
        for (look, wanted) in LOOKS.iter().zip(known.wanted) {
            let span = (*look - before) as f64;
            before = *look;
            if *look - MINUTE > stays {
                break;
            }
            let own = sim.pod_wants(pod, now, now + look);
            let with = stress((wanted.cpu_milli + own.cpu_milli) / known.effective_cpu, known.hot);
            let without = stress(wanted.cpu_milli / known.effective_cpu, known.hot);
            let checks = span / CHECK;
            // The pod itself, and what it adds to the risk of the others.
            harm += (checks * with).min(1.0) + pods as f64 * (checks * (with - without)).clamp(0.0, 1.0);
            if wanted.memory as f64 + own.memory as f64 > known.memory {
                harm += 0.5;
            }
        }
        harm
    }
}

fn look(world: &World, sim: &Sim, node: usize, pods: usize, now: Millis) -> Option<Known> {
    let name = &world.nodes[node].spec.name;
    let truth = sim.node_truth(name, now)?;
    let mut wanted = [Usage::default(); LOOKS.len()];
    for (wanted, look) in wanted.iter_mut().zip(LOOKS) {
        *wanted = sim.node_truth(name, now + look)?.wanted;
    }
    let bad_now = if truth.absent {
        1.0
    } else if truth.slow_disk {
        0.5
    } else if truth.starving {
        0.6
    } else {
        0.0
    };
    let memory = (truth.memory - augur_sandbox::sim::EVICTION_MEMORY) as f64;
    Some(Known { at: now, pods, hot: truth.hot, bad_now, effective_cpu: truth.effective_cpu.max(1.0), memory, wanted })
}

/// The share of pods that come to harm in a spell of a kind.
fn spell_harm(kind: usize) -> f64 {
    match KINDS[kind].0 {
        Fault::Die => 1.0,
        Fault::Heat => 0.6,
        Fault::Starve | Fault::SlowDisk => 0.3,
        Fault::Disconnect => 0.5,
    }
}

/// The probability that a container dies of stress at one check, as the sandbox has it.
fn stress(contention: f64, hot: bool) -> f64 {
    let stress = (contention - 0.95).clamp(0.0, 2.0) + if hot { 0.05 + 0.4 * contention.min(1.5) } else { 0.0 };
    (0.06 * stress).min(0.04) / 2.0
}
