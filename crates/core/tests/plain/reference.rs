//! Spreading, affinity between pods, and preemption, evaluated in the plainest way: for one pod and one node by looking
//! at all pods. Nothing is kept, counted ahead or grouped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use augur_core::cycle::{Cycle, Decision, decide};
use augur_core::object::{Labels, Node, Pod, PodAffinityTerm, SpreadConstraint, Toleration, WhenUnsatisfiable};
use augur_core::plugins::{Code, PluginId};
use augur_core::predictor::NoModel;
use augur_core::preemption::{Cost, DryRun, PotentialVictim, best, select_victims};
use augur_core::profile::Profile;

use super::samples::{HOSTNAME, ZONE, node_name};
use super::world::{World, selects};

/// Which pods a rule counts.
enum Counted<'w> {
    ByRule(&'w SpreadConstraint),
    /// By default: pods that services and controller select.
    Like(Vec<&'w augur_core::object::Selects>),
}

/// A rule of spreading.
struct Rule<'w> {
    key: &'w str,
    max_skew: i64,
    min_domains: i64,
    honor_node_affinity: bool,
    honor_taints: bool,
    counted: Counted<'w>,
}

impl<'w> Rule<'w> {
    fn of(rule: &'w SpreadConstraint) -> Rule<'w> {
        Rule {
            key: &rule.topology_key,
            max_skew: i64::from(rule.max_skew),
            min_domains: i64::from(rule.min_domains.unwrap_or(1)),
            honor_node_affinity: rule.honor_node_affinity,
            honor_taints: rule.honor_taints,
            counted: Counted::ByRule(rule),
        }
    }

    fn selects(&self, labels: &Labels, also_empty: bool) -> bool {
        match &self.counted {
            Counted::ByRule(rule) => rule.selector.as_ref().is_some_and(|selector| {
                (also_empty || !selector.is_empty()) && selector.matches(|key| labels.get(key))
            }),
            Counted::Like(all) => all.iter().all(|selector| selects(selector, labels)),
        }
    }

    fn counts_on(&self, world: &World, pod: &Pod, node: u8) -> i64 {
        let counted = |other: &&Arc<Pod>| {
            !other.terminating && other.namespace == pod.namespace && self.selects(&other.labels, false)
        };
        world.pods_on(node).filter(counted).count() as i64
    }

    fn looks_at(&self, pod: &Pod, node: &Node) -> bool {
        let required = pod.spec.node_affinity.required.as_ref();
        let wanted = pod.spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && required.is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)));
        let bears = |taint| Toleration::any_covers(&pod.spec.tolerations, taint);
        (!self.honor_node_affinity || wanted)
            && (!self.honor_taints || node.taints.iter().all(|taint| !taint.effect.is_hard() || bears(taint)))
    }
}

fn rules(pod: &Pod, when: WhenUnsatisfiable) -> Vec<Rule<'_>> {
    pod.spec.spread.iter().filter(|rule| rule.when_unsatisfiable == when).map(Rule::of).collect()
}

/// One pod in a world.
pub struct Reference<'w> {
    pub world: &'w World,
    pub pod: &'w Pod,
}

impl<'w> Reference<'w> {
    fn domain(&self, node: u8, key: &str) -> Option<&'w str> {
        self.world.nodes[&node].labels.get(key)
    }

    /// What spreading says of the node: the code of the rejection.
    pub fn spread(&self, node: u8) -> Option<Code> {
        let rules = rules(self.pod, WhenUnsatisfiable::DoNotSchedule);
        let has_all = |node: &u8| rules.iter().all(|rule| self.domain(*node, rule.key).is_some());
        for rule in &rules {
            let Some(domain) = self.domain(node, rule.key) else { return Some(Code::UnschedulableAndUnresolvable) };
            let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
            for (number, other) in self.world.nodes.iter().filter(|(number, _)| has_all(number)) {
                if rule.looks_at(self.pod, other) {
                    let of = self.domain(*number, rule.key).expect("has all keys");
                    *counts.entry(of).or_default() += rule.counts_on(self.world, self.pod, *number);
                }
            }
            let fewest = if (counts.len() as i64) < rule.min_domains {
                0
            } else {
                counts.values().min().copied().unwrap_or(i64::from(i32::MAX))
            };
            let itself = i64::from(rule.selects(&self.pod.labels, true));
            if counts.get(domain).copied().unwrap_or(0) + itself - fewest > rule.max_skew {
                return Some(Code::Unschedulable);
            }
        }
        None
    }

    /// Scores 0..100 by spreading of the nodes that the pod fits, if it has a say.
    pub fn spread_scores(&self, candidates: &[u8]) -> Option<BTreeMap<u8, i64>> {
        let mut rules = rules(self.pod, WhenUnsatisfiable::ScheduleAnyway);
        let by_default = self.pod.spec.spread.is_empty();
        if by_default && !self.world.like(self.pod).is_empty() {
            rules.extend([(HOSTNAME, 3), (ZONE, 5)].map(|(key, max_skew)| Rule {
                key,
                max_skew,
                min_domains: 1,
                honor_node_affinity: true,
                honor_taints: false,
                counted: Counted::Like(self.world.like(self.pod)),
            }));
        }
        if rules.is_empty() {
            return None;
        }
        let judged = |node: &u8| by_default || rules.iter().all(|rule| self.domain(*node, rule.key).is_some());
        let scored: Vec<u8> = candidates.iter().copied().filter(judged).collect();
        let raw = |node: u8| -> i64 {
            let mut score = 0.0;
            for rule in &rules {
                let Some(domain) = self.domain(node, rule.key) else { continue };
                let (count, size) = if rule.key == HOSTNAME {
                    (rule.counts_on(self.world, self.pod, node), scored.len())
                } else {
                    let domains: BTreeSet<&str> =
                        scored.iter().map(|node| self.domain(*node, rule.key).unwrap_or_default()).collect();
                    let inside = self.world.nodes.iter().filter(|(number, other)| {
                        judged(number)
                            && self.domain(**number, rule.key) == Some(domain)
                            && rule.looks_at(self.pod, other)
                    });
                    (inside.map(|(number, _)| rule.counts_on(self.world, self.pod, *number)).sum(), domains.len())
                };
                score += count as f64 * ((size + 2) as f64).ln() + (rule.max_skew - 1) as f64;
            }
            score.round() as i64
        };
        let all: BTreeMap<u8, i64> = scored.iter().map(|node| (*node, raw(*node))).collect();
        let (least, most) = (all.values().min().copied().unwrap_or(0), all.values().max().copied().unwrap_or(0));
        let normal = |node: &u8| match all.get(node) {
            None => 0,
            Some(_) if most == 0 => 100,
            Some(raw) => 100 * (most + least - raw) / most,
        };
        Some(candidates.iter().map(|node| (*node, normal(node))).collect())
    }

    /// Whether a term of the first pod selects the second.
    fn selects(&self, term: &PodAffinityTerm, owner: &Pod, other: &Pod) -> bool {
        let by_label = |selector: &augur_notation::LabelSelector| {
            selector.is_empty()
                || self
                    .world
                    .namespaces
                    .get(&*other.namespace)
                    .is_some_and(|labels| selector.matches(|key| labels.get(key)))
        };
        let in_namespace = term.namespaces.contains(&other.namespace)
            || term.namespace_selector.as_ref().is_some_and(by_label)
            || (term.namespaces.is_empty() && term.namespace_selector.is_none() && owner.namespace == other.namespace);
        in_namespace && term.selector.as_ref().is_some_and(|selector| selector.matches(|key| other.labels.get(key)))
    }

    /// Pods on known nodes, with the node.
    fn others(&self) -> impl Iterator<Item = (&'w Pod, u8)> {
        let known = self.world.pods.values().filter(|(_, node)| self.world.nodes.contains_key(node));
        known.map(|(pod, node)| (&**pod, *node))
    }

    fn together(&self, a: u8, b: u8, key: &str) -> bool {
        self.domain(a, key).is_some() && self.domain(a, key) == self.domain(b, key)
    }

    /// What affinity says of the node: the code of the rejection.
    pub fn affinity(&self, node: u8) -> Option<Code> {
        let own = &self.pod.spec.pod_affinities;
        let by_all = |other: &Pod| own.required.iter().all(|term| self.selects(term, self.pod, other));
        let has_domain = |term: &PodAffinityTerm| self.domain(node, &term.topology_key).is_some();
        if !own.required.iter().all(has_domain) {
            return Some(Code::UnschedulableAndUnresolvable);
        }
        let near = |term: &PodAffinityTerm| {
            self.others().any(|(other, at)| by_all(other) && self.together(node, at, &term.topology_key))
        };
        let any_anywhere = self.others().any(|(other, at)| {
            by_all(other) && own.required.iter().any(|term| self.domain(at, &term.topology_key).is_some())
        });
        if !own.required.iter().all(near) && (any_anywhere || !by_all(self.pod)) {
            return Some(Code::UnschedulableAndUnresolvable);
        }
        let far = |term: &PodAffinityTerm| {
            let here = |(other, at): (&Pod, u8)| {
                self.selects(term, self.pod, other) && self.together(node, at, &term.topology_key)
            };
            self.others().any(here)
        };
        let repelled = self.others().any(|(other, at)| {
            let terms = &other.spec.pod_affinities.required_anti;
            terms.iter().any(|term| self.selects(term, other, self.pod) && self.together(node, at, &term.topology_key))
        });
        (own.required_anti.iter().any(far) || repelled).then_some(Code::Unschedulable)
    }

    /// Scores 0..100 by affinity of the nodes that the pod fits, if it has a say.
    pub fn affinity_scores(&self, candidates: &[u8]) -> Option<BTreeMap<u8, i64>> {
        let own = &self.pod.spec.pod_affinities;
        // Every wish that is heard: its weight, and the node and key of the domain that it is about.
        let mut heard: Vec<(i64, u8, &str)> = Vec::new();
        for (other, at) in self.others() {
            let theirs = &other.spec.pod_affinities;
            for (wishes, sign) in [(&own.preferred, 1), (&own.preferred_anti, -1)] {
                let selecting = wishes.iter().filter(|wish| self.selects(&wish.term, self.pod, other));
                heard.extend(selecting.map(|wish| (sign * i64::from(wish.weight), at, &*wish.term.topology_key)));
            }
            let required = theirs.required.iter().filter(|term| self.selects(term, other, self.pod));
            heard.extend(required.map(|term| (1, at, &*term.topology_key)));
            for (wishes, sign) in [(&theirs.preferred, 1), (&theirs.preferred_anti, -1)] {
                let selecting = wishes.iter().filter(|wish| self.selects(&wish.term, other, self.pod));
                heard.extend(selecting.map(|wish| (sign * i64::from(wish.weight), at, &*wish.term.topology_key)));
            }
        }
        heard.retain(|(_, at, key)| self.domain(*at, key).is_some());
        if heard.is_empty() {
            return None;
        }
        let raw = |node: u8| -> i64 {
            heard.iter().filter(|(_, at, key)| self.together(node, *at, key)).map(|(weight, ..)| weight).sum()
        };
        let all: BTreeMap<u8, i64> = candidates.iter().map(|node| (*node, raw(*node))).collect();
        let (least, most) = (all.values().min().copied().unwrap_or(0), all.values().max().copied().unwrap_or(0));
        let normal = |raw: i64| {
            if most > least { (100.0 * ((raw - least) as f64 / (most - least) as f64)) as i64 } else { 0 }
        };
        Some(all.into_iter().map(|(node, raw)| (node, normal(raw))).collect())
    }

    /// The victims on each node where evicting pods helps, and on which nodes it costs least. Every dry run is a
    /// cluster without the pods, built and judged anew.
    pub fn victims(&self, decision: &Decision, cycle: Cycle) -> BTreeMap<String, (BTreeSet<String>, bool)> {
        let mut found = Vec::new();
        for node in self.world.nodes.keys() {
            let report = decision.nodes.iter().find(|report| *report.node == *node_name(*node));
            let rejection = report.and_then(|report| report.rejection.as_ref()).expect("no node is feasible");
            if rejection.code == Code::UnschedulableAndUnresolvable {
                continue;
            }
            let mut pods: Vec<u8> = self.world.pods.keys().copied().collect();
            pods.retain(|number| {
                let (pod, on) = &self.world.pods[number];
                on == node && pod.spec.priority < self.pod.spec.priority
            });
            pods.sort_by_key(|number| self.world.pods[number].0.uid.clone());
            let protects = |number: &u8| self.world.budget.iter().any(|b| b.counts(&self.world.pods[number].0));
            let budgets: Vec<Vec<usize>> =
                pods.iter().map(|number| if protects(number) { vec![0] } else { Vec::new() }).collect();
            let potential: Vec<PotentialVictim<'_>> = pods
                .iter()
                .zip(&budgets)
                .map(|(number, budgets)| {
                    let pod = &self.world.pods[number].0;
                    let started = pod.started.unwrap_or(cycle.now);
                    PotentialVictim { priority: pod.spec.priority, started, budgets }
                })
                .collect();
            let allowed: Vec<i32> = self.world.budget.iter().map(|budget| budget.allowed).collect();
            let mut trial =
                Trial { world: self.world.clone(), all: self.world, pods: &pods, pod: self.pod, node: *node, cycle };
            if let Ok(victims) = select_victims(&potential, &allowed, &mut trial) {
                let names = victims.pods.iter().map(|at| self.world.pods[&pods[*at]].0.uid.to_string()).collect();
                found.push((node_name(*node), names, Cost::of(&victims, &potential).expect("not empty")));
            }
        }
        let costs: Vec<Cost> = found.iter().map(|(.., cost)| *cost).collect();
        let cheapest = best(&costs);
        let found = found.into_iter().enumerate();
        found.map(|(at, (node, names, _))| (node, (names, cheapest.contains(&at)))).collect()
    }
}

/// A cluster without some pods of one node.
struct Trial<'w> {
    world: World,
    all: &'w World,
    pods: &'w [u8],
    pod: &'w Pod,
    node: u8,
    cycle: Cycle,
}

impl DryRun for Trial<'_> {
    type Rejection = ();

    fn remove(&mut self, victim: usize) {
        self.world.pods.remove(&self.pods[victim]);
    }

    fn restore(&mut self, victim: usize) {
        let number = self.pods[victim];
        self.world.pods.insert(number, self.all.pods[&number].clone());
    }

    fn fits(&mut self) -> Result<(), ()> {
        let state = self.world.build();
        let decision = decide(&state, self.pod, &Profile::default(), &NoModel::default(), self.cycle);
        let name = node_name(self.node);
        let fits = decision.nodes.iter().any(|report| *report.node == *name && report.rejection.is_none());
        if fits { Ok(()) } else { Err(()) }
    }
}

/// The plugins that are evaluated here.
pub const COMPANY: [PluginId; 2] = [PluginId::PodTopologySpread, PluginId::InterPodAffinity];
