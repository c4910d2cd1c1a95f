//! Which pods must go so that a more important one fits, as kube-scheduler's DefaultPreemption picks them.
//!
//! The rules alone, without pods or nodes: [`select_victims`] finds the least that has to go on one node with the
//! help of a [`DryRun`], [`best`] chooses among nodes, [`Window`] says how many nodes are tried.

use std::cmp::Reverse;

use crate::time::Timestamp;

/// What the rules need to know of a pod that could be evicted. Its priority is lower than the preemptor's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PotentialVictim<'a> {
    /// Its priority.
    pub priority: i32,
    /// When it started; a pod that has not counts as started now.
    pub started: Timestamp,
    /// Indexes of the disruption budgets that select it and have not accounted for its end yet.
    pub budgets: &'a [usize],
}

/// One node without some of its pods. Implementations keep what removal and return of one pod changes, so that a
/// trial costs what moves and not what runs on the node.
pub trait DryRun {
    /// Why the preemptor does not fit.
    type Rejection;
    /// Takes a pod off the node, by its index among the potential victims.
    fn remove(&mut self, victim: usize);
    /// Puts it back.
    fn restore(&mut self, victim: usize);
    /// Runs the filters for the preemptor, with and without the pods nominated to the node.
    ///
    /// # Errors
    /// The preemptor does not fit.
    fn fits(&mut self) -> Result<(), Self::Rejection>;
}

/// The pods that have to go on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Victims {
    /// Indexes among the potential victims, the most important first.
    pub pods: Vec<usize>,
    /// How many of them are protected by an exhausted disruption budget.
    pub budget_violations: usize,
}

/// Why a node is no candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoCandidate<R> {
    /// Nothing on the node has a lower priority.
    NoVictims,
    /// The preemptor does not fit even when everything of lower priority is gone.
    DoesNotFit(R),
    /// The preemptor fits although nothing has to go: filters and dry run disagree.
    NothingToEvict,
}

/// The status text of a node on which nothing could be evicted.
pub const NO_VICTIMS_FOUND: &str = "No preemption victims found for incoming pod";
/// The text for nodes that no eviction can help.
pub const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
/// Why a pod that must not preempt does not.
pub const POLICY_NEVER: &str = "not eligible due to preemptionPolicy=Never.";
/// Why a pod whose victims are still ending waits.
pub const VICTIM_TERMINATING: &str = "not eligible due to a terminating pod on the nominated node.";

/// Finds the smallest set of pods that has to go, in the way kube-scheduler does: everything of lower priority is
/// removed, then pods come back as long as the preemptor still fits, those under an exhausted budget first, and of
/// each group the most important first.
///
/// `allowed` is what each budget still allows; it is used up in the order of importance.
///
/// # Errors
/// The node cannot be made to fit the preemptor.
pub fn select_victims<D: DryRun>(
    potential: &[PotentialVictim<'_>],
    allowed: &[i32],
    node: &mut D,
) -> Result<Victims, NoCandidate<D::Rejection>> {
    if potential.is_empty() {
        return Err(NoCandidate::NoVictims);
    }
    for victim in 0..potential.len() {
        node.remove(victim);
    }
    node.fits().map_err(NoCandidate::DoesNotFit)?;

    let mut order: Vec<usize> = (0..potential.len()).collect();
    order.sort_by_key(|&victim| importance(&potential[victim]));
    let (protected, others) = by_budget(&order, potential, allowed);

    let mut victims = Victims::default();
    for &victim in &protected {
        if !reprieve(victim, node) {
            victims.pods.push(victim);
            victims.budget_violations += 1;
        }
    }
    for &victim in &others {
        if !reprieve(victim, node) {
            victims.pods.push(victim);
        }
    }
    if victims.pods.is_empty() {
        return Err(NoCandidate::NothingToEvict);
    }
    victims.pods.sort_by_key(|&victim| importance(&potential[victim]));
    Ok(victims)
}

/// Sorts the most important first: higher priority, then the longer running.
fn importance(pod: &PotentialVictim<'_>) -> (Reverse<i32>, Timestamp) {
    (Reverse(pod.priority), pod.started)
}

fn reprieve(victim: usize, node: &mut impl DryRun) -> bool {
    node.restore(victim);
    let fits = node.fits().is_ok();
    if !fits {
        node.remove(victim);
    }
    fits
}

/// Splits pods into those whose eviction breaks a budget and the others. A pod uses up every budget that selects it,
/// also when one of them is exhausted.
fn by_budget(order: &[usize], potential: &[PotentialVictim<'_>], allowed: &[i32]) -> (Vec<usize>, Vec<usize>) {
    let mut left = allowed.to_vec();
    order.iter().partition(|&&victim| {
        let mut violates = false;
        for &budget in potential[victim].budgets {
            if let Some(left) = left.get_mut(budget) {
                *left = left.saturating_sub(1);
                violates |= *left < 0;
            }
        }
        violates
    })
}

/// What decides among candidate nodes; the smallest is the best. The order of the fields is the order of the
/// criteria.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cost {
    budget_violations: usize,
    highest_priority: i32,
    /// Each priority is shifted to be positive, or few victims of negative priority would cost more than many.
    priority_sum: i64,
    victims: usize,
    /// The latest start wins, of the longest running among the victims of the highest priority.
    started: Reverse<Timestamp>,
}

impl Cost {
    /// The cost of evicting the victims; nothing for an empty set.
    #[must_use]
    pub fn of(victims: &Victims, potential: &[PotentialVictim<'_>]) -> Option<Cost> {
        let pods = || victims.pods.iter().filter_map(|&victim| potential.get(victim));
        let highest_priority = pods().map(|pod| pod.priority).max()?;
        let started = pods().filter(|pod| pod.priority == highest_priority).map(|pod| pod.started).min()?;
        Some(Cost {
            budget_violations: victims.budget_violations,
            highest_priority,
            priority_sum: pods().map(|pod| i64::from(pod.priority) + (1 << 31)).sum(),
            victims: victims.pods.len(),
            started: Reverse(started),
        })
    }
}

impl Cost {
    /// The same, where the victims that decide by their start started at another time.
    #[must_use]
    pub fn started_at(self, started: Timestamp) -> Cost {
        Cost { started: Reverse(started), ..self }
    }
}

/// The candidates of the lowest cost, by index. All of them are right; kube-scheduler takes any.
#[must_use]
pub fn best(costs: &[Cost]) -> Vec<usize> {
    let Some(lowest) = costs.iter().min() else { return Vec::new() };
    (0..costs.len()).filter(|&candidate| costs[candidate] == *lowest).collect()
}

/// How many candidates are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Least part of the potential nodes, in percent.
    pub min_percentage: u32,
    /// Least number of candidates.
    pub min_absolute: u32,
}

impl Default for Window {
    fn default() -> Self {
        Window { min_percentage: 10, min_absolute: 100 }
    }
}

impl Window {
    /// How many candidates to look for among so many potential nodes.
    #[must_use]
    pub fn candidates(&self, nodes: usize) -> usize {
        let part = (nodes as u128 * u128::from(self.min_percentage) / 100) as usize;
        part.max(self.min_absolute as usize).min(nodes)
    }

    /// Whether the search may stop. One candidate must break no budget, so that a better node is not missed for
    /// having looked at too few.
    #[must_use]
    pub fn is_enough(&self, nodes: usize, without_violation: usize, with_violation: usize) -> bool {
        without_violation > 0 && without_violation + with_violation >= self.candidates(nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node where pods take room, and the preemptor needs `needs` of it.
    struct Room {
        sizes: Vec<u32>,
        here: Vec<bool>,
        free: u32,
        needs: u32,
    }

    impl DryRun for Room {
        type Rejection = &'static str;
        fn remove(&mut self, victim: usize) {
            assert!(std::mem::replace(&mut self.here[victim], false), "a pod is removed once");
            self.free += self.sizes[victim];
        }
        fn restore(&mut self, victim: usize) {
            assert!(!std::mem::replace(&mut self.here[victim], true), "a pod comes back once");
            self.free -= self.sizes[victim];
        }
        fn fits(&mut self) -> Result<(), Self::Rejection> {
            if self.free >= self.needs { Ok(()) } else { Err("too small") }
        }
    }

    fn pod(priority: i32, started: i64, budgets: &[usize]) -> PotentialVictim<'_> {
        PotentialVictim { priority, started: Timestamp::from_secs(started), budgets }
    }

    fn select(
        pods: &[PotentialVictim<'_>],
        sizes: &[u32],
        needs: u32,
        allowed: &[i32],
    ) -> Result<Victims, NoCandidate<&'static str>> {
        let mut room = Room { sizes: sizes.to_vec(), here: vec![true; sizes.len()], free: 0, needs };
        select_victims(pods, allowed, &mut room)
    }

    #[test]
    fn the_least_important_go() {
        let pods = [pod(5, 0, &[]), pod(1, 0, &[]), pod(1, 9, &[])];
        let victims = select(&pods, &[1, 1, 1], 1, &[]).expect("fits");
        assert_eq!(victims, Victims { pods: vec![2], budget_violations: 0 }, "the youngest of the lowest priority");
    }

    #[test]
    fn a_large_pod_of_high_priority_may_have_to_go_and_small_ones_stay() {
        let pods = [pod(5, 0, &[]), pod(1, 0, &[])];
        let victims = select(&pods, &[4, 1], 4, &[]).expect("fits");
        assert_eq!(victims.pods, [0]);
    }

    #[test]
    fn pods_under_an_exhausted_budget_are_reprieved_first() {
        let budget = [0];
        let pods = [pod(5, 0, &[]), pod(1, 0, &budget)];
        let victims = select(&pods, &[1, 1], 1, &[0]).expect("fits");
        assert_eq!(victims, Victims { pods: vec![0], budget_violations: 0 });
        let victims = select(&pods, &[1, 1], 1, &[1]).expect("fits");
        assert_eq!(victims.pods, [1], "the budget allows one disruption");
    }

    #[test]
    fn a_pod_uses_up_all_budgets_that_select_it() {
        let (both, second) = ([0, 1], [1]);
        let pods = [pod(5, 0, &both), pod(4, 0, &second)];
        let victims = select(&pods, &[1, 1], 2, &[0, 1]).expect("fits");
        assert_eq!(victims, Victims { pods: vec![0, 1], budget_violations: 2 });
    }

    #[test]
    fn a_node_without_help_says_why() {
        assert_eq!(select(&[], &[], 1, &[]), Err(NoCandidate::NoVictims));
        assert_eq!(select(&[pod(0, 0, &[])], &[1], 2, &[]), Err(NoCandidate::DoesNotFit("too small")));
        assert_eq!(select(&[pod(0, 0, &[])], &[1], 0, &[]), Err(NoCandidate::NothingToEvict));
    }

    #[test]
    fn the_criteria_decide_in_order() {
        let cost = |violations, pods: &[(i32, i64)]| {
            let pods: Vec<_> = pods.iter().map(|&(priority, started)| pod(priority, started, &[])).collect();
            let victims = Victims { pods: (0..pods.len()).collect(), budget_violations: violations };
            Cost::of(&victims, &pods).expect("not empty")
        };
        let ordered = [
            cost(0, &[(-9, 0), (-9, 0)]),
            cost(0, &[(1, 5)]),
            cost(0, &[(1, 4)]),
            cost(0, &[(1, 4), (-1, 9)]),
            cost(0, &[(1, 4), (0, 9)]),
            cost(0, &[(2, 9)]),
            cost(1, &[(-9, 0)]),
        ];
        for pair in ordered.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        assert_eq!(best(&[ordered[3], ordered[1], ordered[1]]), [1, 2]);
        assert_eq!(best(&[]), Vec::<usize>::new());
    }

    #[test]
    fn large_clusters_are_searched_in_part() {
        let window = Window::default();
        assert_eq!([50, 100, 500, 5_000].map(|nodes| window.candidates(nodes)), [50, 100, 100, 500]);
        assert!(!window.is_enough(500, 0, 200), "only nodes that break a budget were found");
        assert!(window.is_enough(500, 1, 99));
    }
}
