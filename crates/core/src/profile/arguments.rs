//! The arguments of plugins, with kube-scheduler's defaults. Start at [`PluginArguments`].
//!
//! They are taken as valid: whoever reads them from a file checks them (`pluginConfig` of `KubeSchedulerConfiguration`).

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::object::{NodeAffinity, Resources, SpreadConstraint, WhenUnsatisfiable};
use crate::preemption::Window;
use crate::state::{HOSTNAME, NodeView};

/// The largest score of a point of a shape (`MaxCustomPriorityScore`); 10 of it make 100.
pub const MAX_SHAPE_SCORE: i64 = 10;

/// The arguments of all plugins that have some.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PluginArguments {
    /// NodeResourcesFit.
    pub fit: FitArguments,
    /// NodeResourcesBalancedAllocation: resources whose shares of use are to be alike.
    pub balanced: BalancedResources,
    /// InterPodAffinity.
    pub inter_pod_affinity: InterPodAffinityArguments,
    /// PodTopologySpread: rules of pods that have none.
    pub spread_defaults: SpreadDefaults,
    /// NodeAffinity: affinity that every pod of the profile has besides its own.
    pub added_affinity: AddedAffinity,
    /// DefaultPreemption: how many candidates are enough.
    pub preemption: Window,
}

/// A resource that has a part in a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceWeight {
    /// Which.
    pub resource: ScoredResource,
    /// Its part, 1 to 100.
    pub weight: i64,
}

/// A resource by what it takes to look it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScoredResource {
    /// `cpu`, in thousandths of a core.
    Cpu,
    /// `memory`, in bytes.
    Memory,
    /// `ephemeral-storage`, in bytes.
    EphemeralStorage,
    /// Any other. It has no part in the score of a pod that does not ask for it.
    Other(Arc<str>),
}

impl ScoredResource {
    /// The resource of this name.
    #[must_use]
    pub fn of(name: &str) -> ScoredResource {
        match name {
            "cpu" => ScoredResource::Cpu,
            "memory" => ScoredResource::Memory,
            "ephemeral-storage" => ScoredResource::EphemeralStorage,
            _ => ScoredResource::Other(name.into()),
        }
    }

    /// What is asked for of it, by a pod that asks for so much.
    pub(crate) fn asked(&self, of: &Resources) -> i64 {
        match self {
            ScoredResource::Cpu => of.cpu.get(),
            ScoredResource::Memory => of.memory.get(),
            ScoredResource::EphemeralStorage => of.ephemeral_storage.get(),
            ScoredResource::Other(name) => of.scalar(name),
        }
    }

    /// What the node has of it and what its pods asked for.
    pub(crate) fn on(&self, node: NodeView<'_>) -> (i64, i64) {
        let used = node.used();
        match self {
            ScoredResource::Cpu => (used.allocatable_cpu.get(), used.requested_cpu.get()),
            ScoredResource::Memory => (used.allocatable_memory.get(), used.requested_memory.get()),
            ScoredResource::EphemeralStorage => (used.allocatable_storage.get(), used.requested_storage.get()),
            ScoredResource::Other(name) => node.scalar(name),
        }
    }
}

fn cpu_and_memory() -> Vec<ResourceWeight> {
    [ScoredResource::Cpu, ScoredResource::Memory].map(|resource| ResourceWeight { resource, weight: 1 }).into()
}

/// NodeResourcesFit.
#[derive(Debug, Clone, PartialEq)]
pub struct FitArguments {
    /// Extended resources that the filter does not look at (`ignoredResources`).
    pub ignored_resources: BTreeSet<Arc<str>>,
    /// The same for all that have one of these prefixes before the slash (`ignoredResourceGroups`).
    pub ignored_groups: BTreeSet<Arc<str>>,
    /// How a node is scored.
    pub strategy: ScoringStrategy,
    /// Over which resources; not empty.
    pub resources: Vec<ResourceWeight>,
}

impl Default for FitArguments {
    fn default() -> Self {
        FitArguments {
            ignored_resources: BTreeSet::new(),
            ignored_groups: BTreeSet::new(),
            strategy: ScoringStrategy::LeastAllocated,
            resources: cpu_and_memory(),
        }
    }
}

impl FitArguments {
    /// Whether the filter leaves the resource out. Only extended resources can be: what has no domain or one of
    /// kubernetes.io always counts.
    pub(crate) fn ignores(&self, name: &str) -> bool {
        if self.ignored_resources.is_empty() && self.ignored_groups.is_empty() {
            return false;
        }
        let Some((group, _)) = name.split_once('/') else { return false };
        let extended = !name.contains("kubernetes.io/") && !name.starts_with("requests.");
        extended && (self.ignored_resources.contains(name) || self.ignored_groups.contains(group))
    }
}

/// How NodeResourcesFit scores a resource on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScoringStrategy {
    /// By the share that stays free.
    LeastAllocated,
    /// By the share that is taken.
    MostAllocated,
    /// By a function of the share that is taken: straight lines between these points, of increasing utilization.
    RequestedToCapacityRatio(Vec<ShapePoint>),
}

/// A point of a function of utilization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapePoint {
    /// Percent of the resource that is taken.
    pub utilization: i64,
    /// 0 to [`MAX_SHAPE_SCORE`].
    pub score: i64,
}

/// The value of the broken line through the points, times ten, at a utilization in percent. Whole numbers, rounded
/// towards zero as Go divides.
fn along(shape: &[ShapePoint], utilization: i64) -> i64 {
    let scaled = |point: &ShapePoint| point.score * (100 / MAX_SHAPE_SCORE);
    let Some(next) = shape.iter().position(|point| utilization <= point.utilization) else {
        return shape.last().map_or(0, scaled);
    };
    let Some(before) = next.checked_sub(1).and_then(|at| shape.get(at)) else { return scaled(&shape[next]) };
    let after = &shape[next];
    let rise = (scaled(after) - scaled(before)) * (utilization - before.utilization);
    scaled(before) + rise / (after.utilization - before.utilization)
}

impl ScoringStrategy {
    /// The score of resources, each with weight, what would be asked for, and what there is.
    pub(crate) fn score(&self, resources: impl Iterator<Item = (i64, i64, i64)>) -> i64 {
        let (mut sum, mut weights) = (0i64, 0i64);
        for (weight, requested, allocatable) in resources {
            if allocatable == 0 {
                continue;
            }
            let score = match self {
                ScoringStrategy::LeastAllocated if requested > allocatable => 0,
                ScoringStrategy::LeastAllocated => (allocatable - requested).saturating_mul(100) / allocatable,
                ScoringStrategy::MostAllocated => requested.min(allocatable).saturating_mul(100) / allocatable,
                ScoringStrategy::RequestedToCapacityRatio(shape) => {
                    let full = requested > allocatable;
                    let score = along(shape, if full { 100 } else { requested.saturating_mul(100) / allocatable });
                    // A resource that scores nothing has no weight either.
                    if score <= 0 {
                        continue;
                    }
                    score
                }
            };
            sum += score * weight;
            weights += weight;
        }
        match self {
            _ if weights == 0 => 0,
            ScoringStrategy::RequestedToCapacityRatio(_) => (sum as f64 / weights as f64).round() as i64,
            _ => sum / weights,
        }
    }
}

/// Resources of NodeResourcesBalancedAllocation, all of the same weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BalancedResources(pub Vec<ScoredResource>);

impl Default for BalancedResources {
    fn default() -> Self {
        BalancedResources(vec![ScoredResource::Cpu, ScoredResource::Memory])
    }
}

/// InterPodAffinity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterPodAffinityArguments {
    /// What a required term of a pod that is there adds to the score of one that it selects, 0 to 100.
    pub hard_pod_affinity_weight: i64,
    /// Whether the terms of pods that are there have no part in the score of a pod without preferred terms of its own.
    pub ignore_preferred_terms_of_existing_pods: bool,
}

impl Default for InterPodAffinityArguments {
    fn default() -> Self {
        InterPodAffinityArguments { hard_pod_affinity_weight: 1, ignore_preferred_terms_of_existing_pods: false }
    }
}

/// Rules of spreading for pods that have none. Which pods are alike follows from services and controllers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SpreadDefaults {
    /// kube-scheduler's own: host names with a skew of 3 and zones with one of 5, as a wish. Nodes without a zone are
    /// spread by host name alone.
    #[default]
    System,
    /// The given ones; their selectors are not looked at.
    List(Vec<SpreadConstraint>),
}

impl SpreadDefaults {
    /// The rules of this kind.
    pub(crate) fn rules(&self, when: WhenUnsatisfiable) -> Vec<SpreadConstraint> {
        match self {
            SpreadDefaults::System if when == WhenUnsatisfiable::ScheduleAnyway => {
                let rule = |(key, max_skew): (&str, i32)| SpreadConstraint {
                    topology_key: key.into(),
                    max_skew,
                    when_unsatisfiable: when,
                    selector: None,
                    min_domains: None,
                    honor_node_affinity: true,
                    honor_taints: false,
                };
                [(HOSTNAME, 3), ("topology.kubernetes.io/zone", 5)].map(rule).into()
            }
            SpreadDefaults::System => Vec::new(),
            SpreadDefaults::List(rules) => {
                rules.iter().filter(|rule| rule.when_unsatisfiable == when).cloned().collect()
            }
        }
    }

    /// Whether there are no rules.
    pub(crate) fn are_none(&self) -> bool {
        matches!(self, SpreadDefaults::List(rules) if rules.is_empty())
    }

    /// Whether there are rules that must hold.
    pub(crate) fn are_hard(&self) -> bool {
        match self {
            SpreadDefaults::System => false,
            SpreadDefaults::List(rules) => {
                rules.iter().any(|rule| rule.when_unsatisfiable == WhenUnsatisfiable::DoNotSchedule)
            }
        }
    }
}

/// Node affinity that every pod of a profile has besides its own (`addedAffinity`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddedAffinity(pub NodeAffinity);

impl AddedAffinity {
    /// Whether the node has what the profile requires.
    pub(crate) fn admits(&self, node: &crate::object::Node) -> bool {
        self.0.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(&node.name, &node.labels)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(points: &[(i64, i64)]) -> ScoringStrategy {
        let point = |&(utilization, score): &(i64, i64)| ShapePoint { utilization, score };
        ScoringStrategy::RequestedToCapacityRatio(points.iter().map(point).collect())
    }

    #[test]
    fn least_and_most_allocated_weigh_resources() {
        // cpu 3000 of 4000 is asked for, memory 5000 of 10000: 25 and 50 stay free.
        let resources = || [(1, 3000, 4000), (1, 5000, 10000)].into_iter();
        assert_eq!(ScoringStrategy::LeastAllocated.score(resources()), 37);
        assert_eq!(ScoringStrategy::MostAllocated.score(resources()), 62);
        let weighed = || [(1, 3000, 4000), (2, 5000, 10000)].into_iter();
        assert_eq!(ScoringStrategy::LeastAllocated.score(weighed()), 41, "(25 + 2·50) / 3");
        assert_eq!(ScoringStrategy::MostAllocated.score(weighed()), 58, "(75 + 2·50) / 3");
        let beyond = || [(1, 5000, 4000), (1, 0, 0)].into_iter();
        assert_eq!(ScoringStrategy::LeastAllocated.score(beyond()), 0);
        assert_eq!(ScoringStrategy::MostAllocated.score(beyond()), 100, "what is not there has no weight");
    }

    #[test]
    fn the_shape_is_a_broken_line() {
        let spread = shape(&[(0, 10), (100, 0)]);
        let pack = shape(&[(0, 0), (100, 10)]);
        let one = |strategy: &ScoringStrategy, requested| strategy.score([(1, requested, 1000)].into_iter());
        assert_eq!([0, 300, 1000, 1100].map(|requested| one(&spread, requested)), [100, 70, 0, 0]);
        assert_eq!([0, 300, 1000, 1100].map(|requested| one(&pack, requested)), [0, 30, 100, 100]);
        let bent = shape(&[(10, 1), (50, 5), (70, 2)]);
        assert_eq!([50, 100, 300, 500, 600, 700, 900].map(|r| one(&bent, r)), [10, 10, 30, 50, 35, 20, 20]);
    }

    #[test]
    fn what_scores_nothing_has_no_weight_in_the_ratio() {
        let pack = shape(&[(0, 0), (100, 10)]);
        assert_eq!(pack.score([(3, 0, 4), (5, 2, 8)].into_iter()), 25);
        assert_eq!(pack.score([(3, 2, 4), (5, 2, 8)].into_iter()), 34, "(3·50 + 5·25) / 8 = 34.4");
        assert_eq!(pack.score([(3, 3, 4), (5, 2, 8)].into_iter()), 44, "(3·75 + 5·25) / 8 = 43.75 is rounded");
        assert_eq!(pack.score([(3, 0, 4)].into_iter()), 0);
    }

    #[test]
    fn only_extended_resources_are_ignored() {
        let fit = FitArguments {
            ignored_resources: ["example.com/a".into(), "hugepages-2Mi".into()].into(),
            ignored_groups: ["vendor.io".into(), "kubernetes.io".into()].into(),
            ..FitArguments::default()
        };
        let names = ["example.com/a", "example.com/b", "vendor.io/x", "kubernetes.io/y", "hugepages-2Mi"];
        assert_eq!(names.map(|name| fit.ignores(name)), [true, false, true, false, false]);
    }
}
