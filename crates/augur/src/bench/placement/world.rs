//! What there is and what happens, whatever the scheduler does: nodes with their hidden troubles, workloads with their hidden
//! behaviour, arrivals. The same for every policy. Entry point: [`World::new`]; `docs/scenarios.md` tells where each number
//! comes from.

use std::sync::Arc;

use augur_core::object::{
    ContainerResources, Labels, Node, PodResources, PodSpec as CorePodSpec, Resources as CoreResources,
    SpreadConstraint, WhenUnsatisfiable, WorkloadRef,
};
use augur_notation::{LabelSelector, Quantity};
use augur_sandbox::sim::{self, Archetype, Behaviour, Character, Fault, GIB, Millis, NodeSpec, Resources};
use clap::ValueEnum;

use super::dice::{Dice, weibull_scale};
use super::traces::Usage;

pub const SECOND: Millis = 1_000;
pub const MINUTE: Millis = 60 * SECOND;
pub const HOUR: Millis = 60 * MINUTE;
const DAY: f64 = 24.0 * HOUR as f64;

/// When simulated time begins: 2026-01-01T00:00Z.
pub const START: Millis = 1_767_225_600_000;

const ZONE: &str = "topology.kubernetes.io/zone";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// LANL: the shape of the gamma distribution of nodes' failure rates, the median of its systems.
const NODE_RATE_SHAPE: f64 = 0.8;
/// LANL: the shape of the Weibull distribution of a node's gaps between failures. Below 1: failures come in clusters.
pub const GAP_SHAPE: f64 = 0.67;
/// LANL: the standard deviation of the logarithm of down times.
const SPELL_SIGMA: f64 = 1.34;
/// Half of the spells are over after this time. LANL's 59 minutes are those of people who repair; most spells here end by
/// themselves.
const SPELL_MEDIAN: f64 = 15.0 * MINUTE as f64;
/// LANL: how much more often than by chance a node fails as it did before, as the share of spells of its own kind.
const OWN_KIND: f64 = 0.5;
/// LANL's root causes as what the sandbox can do to a node: hardware throttles or loses its power, software takes the memory,
/// undetermined is a disk, network and the rest cut it off.
pub const KINDS: [(Fault, f64); 5] = [
    (Fault::Heat, 0.302),
    (Fault::Die, 0.302),
    (Fault::Starve, 0.226),
    (Fault::SlowDisk, 0.112),
    (Fault::Disconnect, 0.058),
];
/// MIT SuperCloud: how failure rates differ between submitters (beta distribution).
const SUBMITTER_FAILS: (f64, f64) = (0.38, 1.13);
/// Their mean there is a quarter, of people who try things out; here it is that of the jobs of `mixed` in `augur up`.
const TASKS_FAIL: f64 = 0.05;
/// Shares of the cluster's CPU that services and tasks request, on average.
const SERVICE_SHARE: f64 = 0.30;
const TASK_SHARE: f64 = 0.25;

/// A world's character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Nodes with spells of trouble, a few of them with most.
    FailingNodes,
    /// Nothing to learn: sound nodes, applications that do not fail.
    Healthy,
    /// As `failing-nodes`; at half time the good nodes turn bad and the reverse.
    Shift,
    /// As `failing-nodes`; a bad model is promoted by force at half time.
    Sabotage,
    /// A cluster with few troubles.
    Mixed,
}

impl Scenario {
    /// Mean number of spells a node has in a day.
    fn spells_per_day(self) -> f64 {
        match self {
            Scenario::FailingNodes | Scenario::Shift | Scenario::Sabotage => 6.0,
            Scenario::Mixed => 1.0,
            Scenario::Healthy => 0.0,
        }
    }

    /// The name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Trouble that a node has for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spell {
    pub node: usize,
    pub at: Millis,
    pub lasts: Millis,
    pub kind: Fault,
}

/// What is hidden of a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frailty {
    /// Spells a day.
    pub rate: f64,
    /// The kind of half of them.
    pub kind: usize,
}

/// A node: as the simulation has it and as the API shows it.
#[derive(Debug, Clone)]
pub struct WorldNode {
    pub spec: NodeSpec,
    pub object: Node,
}

/// What pods of one kind share.
#[derive(Debug, Clone)]
pub struct Template {
    pub name: Arc<str>,
    pub workload: WorkloadRef,
    pub labels: Labels,
    pub core: Arc<CorePodSpec>,
    pub image: Arc<str>,
    pub requests: Resources,
    pub behaviour: Behaviour,
    /// How many pods a service has; 0 for tasks.
    pub replicas: usize,
}

/// Something that comes from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    /// A service is created with all its pods, or gets a new revision that replaces them one by one.
    Service { template: usize },
    /// Tasks of a submitter that end by themselves after their own time.
    Tasks { template: usize, durations: Vec<Millis> },
}

/// The whole world of a seed.
#[derive(Debug, Clone)]
pub struct World {
    pub scenario: Scenario,
    pub seed: u64,
    pub end: Millis,
    pub nodes: Vec<WorldNode>,
    /// The hidden rates from the start, and from half time on.
    pub frailties: [Vec<Frailty>; 2],
    /// By time.
    pub spells: Vec<Spell>,
    pub templates: Vec<Template>,
    /// By time.
    pub arrivals: Vec<(Millis, Arrival)>,
}

impl World {
    /// The world of a scenario and seed. Draws for one part do not depend on the size of another.
    pub fn new(scenario: Scenario, nodes: usize, hours: f64, seed: u64, usage: &Usage) -> World {
        World::made(scenario, nodes, hours, seed, usage, false)
    }

    /// The same, but nodes have been from the start as they are from half time on; what happens from then on is the same.
    pub fn settled(scenario: Scenario, nodes: usize, hours: f64, seed: u64, usage: &Usage) -> World {
        World::made(scenario, nodes, hours, seed, usage, true)
    }

    fn made(scenario: Scenario, nodes: usize, hours: f64, seed: u64, usage: &Usage, settled: bool) -> World {
        let end = START + (hours * HOUR as f64) as Millis;
        let half = START + (end - START) / 2;
        let nodes: Vec<WorldNode> = (0..nodes).map(node).collect();
        let drawn = frailties(scenario, nodes.len(), seed);
        let after = if scenario == Scenario::Shift { reversed(&drawn) } else { drawn.clone() };
        let before = if settled { after.clone() } else { drawn };
        let mut spells = spells(&before, START, half.min(end), seed, 0);
        spells.extend(self::spells(&after, half, end, seed, 1));
        spells.sort_by_key(|spell| (spell.at, spell.node));
        let cpu: f64 = nodes.iter().map(|node| node.spec.capacity.cpu_milli as f64).sum();
        let mut templates = services(cpu * SERVICE_SHARE, seed, usage);
        let mut arrivals = Vec::new();
        let mut dice = Dice::new(seed, sim::stream(&["rollouts"]));
        for template in 0..templates.len() {
            let mut at = START + (dice.unit() * 10.0 * MINUTE as f64) as Millis;
            while at < end {
                arrivals.push((at, Arrival::Service { template }));
                at += (dice.exponential(DAY / 1.5) as Millis).max(30 * MINUTE);
            }
        }
        let first = templates.len();
        let submitters = submitters(scenario, seed, usage);
        arrivals.extend(tasks(&submitters, first, cpu * TASK_SHARE, end, seed));
        templates.extend(submitters.into_iter().map(|submitter| submitter.template));
        arrivals.sort_by_key(|(at, _)| *at);
        World { scenario, seed, end, nodes, frailties: [before, after], spells, templates, arrivals }
    }

    /// The hidden rates at a time.
    pub fn frailties_at(&self, now: Millis) -> &[Frailty] {
        &self.frailties[usize::from(now >= self.half_time())]
    }

    /// When `shift` shifts and `sabotage` happens.
    pub fn half_time(&self) -> Millis {
        START + (self.end - START) / 2
    }
}

/// Of ten nodes five have 8 cores and 32 GiB, three 16 cores and 32 GiB, two 8 cores and 64 GiB; dealt to three zones.
fn node(index: usize) -> WorldNode {
    let (class, cores, memory) = match index % 10 {
        0 | 2 | 4 | 6 | 8 => ("general", 8, 32),
        1 | 5 | 7 => ("compute", 16, 32),
        _ => ("memory", 8, 64),
    };
    let name = format!("{class}-{:03}", index + 1);
    let labels = [
        (HOSTNAME, name.clone()),
        (ZONE, format!("zone-{}", index % 3)),
        ("node.kubernetes.io/instance-type", class.to_owned()),
    ];
    let spec = NodeSpec {
        name: Arc::from(name.as_str()),
        labels: labels.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        taints: Vec::new(),
        capacity: Resources { cpu_milli: cores * 1_000, memory: memory * GIB, extended: Vec::new() },
        pods: 110,
        reserved_memory: sim::EVICTION_MEMORY,
        disk: 100 * GIB,
        images: Vec::new(),
        character: Character::Healthy,
    };
    let allocatable = spec.allocatable();
    let object = Node {
        name: spec.name.clone(),
        labels: labels.into_iter().collect(),
        allocatable: CoreResources::of([
            ("cpu", Quantity::of_milli(allocatable.cpu_milli)),
            ("memory", Quantity::of_milli(allocatable.memory.saturating_mul(1_000))),
        ]),
        allowed_pods: spec.pods,
        ready: true,
        ..Node::default()
    };
    WorldNode { spec, object }
}

fn frailties(scenario: Scenario, nodes: usize, seed: u64) -> Vec<Frailty> {
    let mut dice = Dice::new(seed, sim::stream(&["frailty"]));
    let weights = KINDS.map(|(_, weight)| weight);
    (0..nodes)
        .map(|_| {
            let relative = dice.gamma(NODE_RATE_SHAPE) / NODE_RATE_SHAPE;
            Frailty { rate: scenario.spells_per_day() * relative, kind: dice.pick(&weights) }
        })
        .collect()
}

/// The best node gets what the worst had, and so on.
fn reversed(before: &[Frailty]) -> Vec<Frailty> {
    let mut order: Vec<usize> = (0..before.len()).collect();
    order.sort_by(|a, b| before[*a].rate.total_cmp(&before[*b].rate));
    let mut after = before.to_vec();
    for (rank, node) in order.iter().enumerate() {
        after[*node] = before[order[order.len() - 1 - rank]];
    }
    after
}

/// Spells of all nodes between two times, as they come in a process that has been going on for days.
fn spells(frailties: &[Frailty], from: Millis, to: Millis, seed: u64, part: u64) -> Vec<Spell> {
    let weights = KINDS.map(|(_, weight)| weight);
    let mut all = Vec::new();
    for (node, frailty) in frailties.iter().enumerate().filter(|(_, frailty)| frailty.rate > 1e-6) {
        let mut dice = Dice::new(seed, sim::stream(&["spells", &node.to_string(), &part.to_string()]));
        let gap = DAY / frailty.rate;
        let mut at = from as f64 - 3.0 * DAY.min(gap * 20.0) * dice.unit();
        loop {
            at += dice.weibull(GAP_SHAPE, gap);
            let kind = if dice.unit() < OWN_KIND { frailty.kind } else { dice.pick(&weights) };
            let lasts = dice.lognormal(SPELL_MEDIAN, SPELL_SIGMA).clamp(MINUTE as f64, 4.0 * HOUR as f64);
            if at >= to as f64 {
                break;
            }
            let (begin, end) = (at.max(from as f64), (at + lasts).min(to as f64));
            if end > begin + SECOND as f64 {
                all.push(Spell { node, at: begin as Millis, lasts: (end - begin) as Millis, kind: KINDS[kind].0 });
            }
            at += lasts;
        }
    }
    all
}

/// The expected number of spells that begin on a node within `span`, given that the last ended `since` ago.
pub fn expected_spells(rate: f64, since: Millis, span: Millis) -> f64 {
    if rate <= 1e-6 {
        return 0.0;
    }
    let scale = weibull_scale(GAP_SHAPE, DAY / rate);
    let hazard = |t: Millis| (t.max(0) as f64 / scale).powf(GAP_SHAPE);
    hazard(since.saturating_add(span)) - hazard(since)
}

/// Services until their requests make the given sum, in thousandths of a core.
fn services(cpu: f64, seed: u64, usage: &Usage) -> Vec<Template> {
    let mut dice = Dice::new(seed, sim::stream(&["services"]));
    let mut sum = 0.0;
    let mut all = Vec::new();
    while sum < cpu {
        let name = format!("service-{:02}", all.len() + 1);
        let replicas = (dice.lognormal(4.0, 0.7).round() as usize).clamp(2, 20);
        let milli = [100, 250, 500, 1_000, 2_000][dice.pick(&[0.15, 0.3, 0.3, 0.2, 0.05])];
        let spec = Request { milli, gib_per_core: [1.0, 2.0, 4.0, 8.0][dice.pick(&[0.2, 0.4, 0.3, 0.1])] };
        let behaviour =
            Behaviour { archetype: Archetype::Steady, shape: usage.draw(&mut dice), ..Behaviour::default() };
        sum += milli as f64 * replicas as f64;
        all.push(template(&name, "Deployment", spec, behaviour, replicas));
    }
    all
}

/// Somebody who submits tasks again and again.
struct Submitter {
    template: Template,
    /// Relative to the others.
    popularity: f64,
    /// Half of the tasks take longer, in milliseconds.
    median: f64,
}

/// Run times of one submitter's tasks: standard deviation of their logarithm.
const TASK_SIGMA: f64 = 0.8;
const LONGEST_TASK: f64 = 3.0 * HOUR as f64;

fn submitters(scenario: Scenario, seed: u64, usage: &Usage) -> Vec<Submitter> {
    let mut dice = Dice::new(seed, sim::stream(&["submitters"]));
    (0..30)
        .map(|rank| {
            let milli = [250, 500, 1_000, 2_000, 4_000][dice.pick(&[0.2, 0.3, 0.3, 0.15, 0.05])];
            let spec = Request { milli, gib_per_core: [1.0, 2.0, 4.0, 8.0][dice.pick(&[0.2, 0.4, 0.3, 0.1])] };
            let (a, b) = SUBMITTER_FAILS;
            let fails = dice.beta(a, b) * TASKS_FAIL * (a + b) / a;
            let failure_rate = if scenario == Scenario::Healthy { 0.0 } else { fails };
            let behaviour = Behaviour {
                archetype: Archetype::Batch,
                shape: usage.draw(&mut dice),
                failure_rate,
                ..Behaviour::default()
            };
            Submitter {
                template: template(&format!("tasks-{:02}", rank + 1), "CronJob", spec, behaviour, 0),
                // The busiest of MIT's submitters sends an eighth of all, the 30 busiest three fifths.
                popularity: 1.0 / (1.0 + f64::from(rank)).powf(0.8),
                median: dice.lognormal(5.0 * MINUTE as f64, 0.7).clamp(30.0 * SECOND as f64, HOUR as f64),
            }
        })
        .collect()
}

/// Tasks that come at random, more by day than by night, three in ten in groups of five; as many as make the given mean of
/// requests, in thousandths of a core.
fn tasks(submitters: &[Submitter], first: usize, cpu: f64, end: Millis, seed: u64) -> Vec<(Millis, Arrival)> {
    const GROUPED: f64 = 0.3;
    const GROUP: usize = 5;
    let mut dice = Dice::new(seed, sim::stream(&["tasks"]));
    let weights: Vec<f64> = submitters.iter().map(|submitter| submitter.popularity).collect();
    let popularity: f64 = weights.iter().sum();
    let mean_work: f64 = submitters
        .iter()
        .map(|one| {
            one.popularity * one.template.requests.cpu_milli as f64 * one.median * (TASK_SIGMA * TASK_SIGMA / 2.0).exp()
        })
        .sum::<f64>()
        / popularity;
    let pods_per_arrival = 1.0 - GROUPED + GROUPED * GROUP as f64;
    let gap = mean_work * pods_per_arrival / cpu;
    let mut all = Vec::new();
    let mut at = START as f64 + 5.0 * MINUTE as f64;
    loop {
        let angle = ((at - START as f64) / DAY - 14.0 / 24.0) * std::f64::consts::TAU;
        at += dice.exponential(gap) / (1.0 + 0.4 * angle.cos());
        if at >= end as f64 {
            return all;
        }
        let which = dice.pick(&weights);
        let pods = if dice.unit() < GROUPED { GROUP } else { 1 };
        let durations = (0..pods)
            .map(|_| {
                dice.lognormal(submitters[which].median, TASK_SIGMA).clamp(20.0 * SECOND as f64, LONGEST_TASK) as Millis
            })
            .collect();
        all.push((at as Millis, Arrival::Tasks { template: first + which, durations }));
    }
}

#[derive(Debug, Clone, Copy)]
struct Request {
    milli: i64,
    gib_per_core: f64,
}

fn template(name: &str, kind: &str, request: Request, behaviour: Behaviour, replicas: usize) -> Template {
    // Half of the smallest nodes' memory at most.
    let memory = ((request.milli as f64 / 1_000.0 * request.gib_per_core * GIB as f64) as i64).min(16 * GIB);
    let image: Arc<str> = format!("registry.example/{name}:1").into();
    let requests = Resources { cpu_milli: request.milli, memory, extended: Vec::new() };
    let container = ContainerResources {
        requests: vec![
            ("cpu".into(), Quantity::of_milli(request.milli)),
            ("memory".into(), Quantity::of_milli(memory.saturating_mul(1_000))),
        ],
        ..ContainerResources::default()
    };
    let resources = PodResources { containers: vec![container], ..PodResources::default() };
    let own = LabelSelector::structured([("app", name)], Vec::<(&str, &str, Vec<&str>)>::new()).ok();
    let rule = |(key, max_skew): (&str, i32)| SpreadConstraint {
        topology_key: key.into(),
        max_skew,
        when_unsatisfiable: WhenUnsatisfiable::ScheduleAnyway,
        selector: own.clone(),
        min_domains: None,
        honor_node_affinity: true,
        honor_taints: false,
    };
    // What kube-scheduler gives pods of a service that have no rules of their own.
    let spread = if replicas > 0 { [(HOSTNAME, 3), (ZONE, 5)].map(rule).into() } else { Vec::new() };
    let core = CorePodSpec {
        scheduler_name: "default-scheduler".into(),
        requests: resources.requests(),
        images: vec![image.clone()],
        image_containers: 1,
        spread,
        ..CorePodSpec::default()
    };
    Template {
        name: name.into(),
        workload: WorkloadRef { kind: kind.into(), name: name.into() },
        labels: [("app", name)].into_iter().collect(),
        core: Arc::new(core),
        image,
        requests,
        behaviour,
        replicas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shares of all spells that the worst 5 % of nodes hold, over seeds.
    #[test]
    fn failures_are_skewed_over_nodes_as_in_the_lanl_trace() {
        let share = |seed| {
            let world = World::new(Scenario::FailingNodes, 100, 24.0, seed, &Usage::generated());
            let mut counts = vec![0.0; world.nodes.len()];
            world.spells.iter().for_each(|spell| counts[spell.node] += 1.0);
            counts.sort_by(|a: &f64, b| b.total_cmp(a));
            counts.iter().take(5).sum::<f64>() / counts.iter().sum::<f64>()
        };
        let mean = (0..20).map(share).sum::<f64>() / 20.0;
        assert!((0.13..=0.24).contains(&mean), "{mean}");
    }

    /// Of MIT SuperCloud's failed jobs the worst 10 % of the submitters hold 49 %, the worst 20 % hold 69 % (304 submitters,
    /// without cancelled jobs).
    #[test]
    fn failures_are_skewed_over_submitters_as_in_the_mit_trace() {
        let shares = |seed| {
            let world = World::new(Scenario::FailingNodes, 50, 24.0, seed, &Usage::generated());
            let mut failures = vec![0.0; world.templates.len()];
            for (_, arrival) in &world.arrivals {
                if let Arrival::Tasks { template, durations } = arrival {
                    failures[*template] += world.templates[*template].behaviour.failure_rate * durations.len() as f64;
                }
            }
            failures.sort_by(|a: &f64, b| b.total_cmp(a));
            let all: f64 = failures.iter().sum();
            [3, 6].map(|worst| failures.iter().take(worst).sum::<f64>() / all)
        };
        let all: Vec<[f64; 2]> = (0..30).map(shares).collect();
        let mean = |at: usize| all.iter().map(|shares| shares[at]).sum::<f64>() / all.len() as f64;
        assert!((0.42..=0.55).contains(&mean(0)) && (0.62..=0.75).contains(&mean(1)), "{} {}", mean(0), mean(1));
    }

    #[test]
    fn a_world_depends_on_its_seed_only_and_the_load_is_what_it_should_be() {
        let world = World::new(Scenario::FailingNodes, 50, 24.0, 3, &Usage::generated());
        let again = World::new(Scenario::FailingNodes, 50, 24.0, 3, &Usage::generated());
        assert_eq!((&world.spells, &world.arrivals), (&again.spells, &again.arrivals));
        assert_ne!(world.spells, World::new(Scenario::FailingNodes, 50, 24.0, 4, &Usage::generated()).spells);
        let work: f64 = world
            .arrivals
            .iter()
            .filter_map(|(_, arrival)| match arrival {
                Arrival::Tasks { template, durations } => {
                    let cpu = world.templates[*template].requests.cpu_milli as f64;
                    Some(cpu * durations.iter().sum::<Millis>() as f64)
                }
                Arrival::Service { .. } => None,
            })
            .sum();
        let cpu: i64 = world.nodes.iter().map(|node| node.spec.capacity.cpu_milli).sum();
        let share = work / (cpu as f64 * 24.0 * HOUR as f64);
        assert!((0.18..0.30).contains(&share), "{share}");
    }

    #[test]
    fn healthy_has_no_troubles_and_shift_turns_the_nodes_around() {
        let healthy = World::new(Scenario::Healthy, 20, 4.0, 1, &Usage::generated());
        assert!(healthy.spells.is_empty() && healthy.templates.iter().all(|t| t.behaviour.failure_rate == 0.0));
        let shift = World::new(Scenario::Shift, 20, 4.0, 1, &Usage::generated());
        let worst = |rates: &[Frailty]| (0..rates.len()).max_by(|a, b| rates[*a].rate.total_cmp(&rates[*b].rate));
        let best = |rates: &[Frailty]| (0..rates.len()).min_by(|a, b| rates[*a].rate.total_cmp(&rates[*b].rate));
        assert_eq!(worst(&shift.frailties[0]), best(&shift.frailties[1]));
        assert_eq!(shift.frailties_at(START), &shift.frailties[0][..]);
    }
}
