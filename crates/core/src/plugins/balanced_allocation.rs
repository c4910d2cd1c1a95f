//! NodeResourcesBalancedAllocation: a node is liked if the pod brings the shares of use of its resources closer together.

use super::{Context, Plugin, PluginId, Scope};
use crate::profile::ScoredResource;
use crate::state::{ClusterState, NodeView};

pub(crate) struct BalancedAllocation;

/// Sums over shares of use.
#[derive(Default)]
struct Shares {
    count: usize,
    first: f64,
    second: f64,
    sum: f64,
}

impl Shares {
    fn add(&mut self, requested: i64, allocatable: i64) {
        let share = (requested as f64 / allocatable as f64).min(1.0);
        match self.count {
            0 => self.first = share,
            1 => self.second = share,
            _ => {}
        }
        self.count += 1;
        self.sum += share;
    }
}

/// 100 for equal shares, less by their standard deviation. `use_of` is asked again if there are more than two.
fn balance<I: Iterator<Item = (i64, i64)>>(use_of: impl Fn() -> I) -> i64 {
    let mut shares = Shares::default();
    use_of().for_each(|(requested, allocatable)| shares.add(requested, allocatable));
    let apart = match shares.count {
        0 | 1 => 0.0,
        2 => ((shares.first - shares.second) / 2.0).abs(),
        count => {
            let mean = shares.sum / count as f64;
            let squares = use_of().map(|(requested, allocatable)| {
                let off = (requested as f64 / allocatable as f64).min(1.0) - mean;
                off * off
            });
            (squares.fold(0.0, |sum, square| sum + square) / count as f64).sqrt()
        }
    };
    ((1.0 - apart) * 100.0) as i64
}

impl Plugin for BalancedAllocation {
    fn id(&self) -> PluginId {
        PluginId::NodeResourcesBalancedAllocation
    }

    fn score_scope(&self, pod: &Context) -> Result<Scope, String> {
        let granted = &pod.spec.requests.granted;
        let asks = pod.arguments().balanced.0.iter().any(|resource| resource.asked(granted) != 0);
        Ok(if asks { Scope::Node } else { Scope::Skip })
    }

    fn score(&self, pod: &Context, node: NodeView<'_>, _: &ClusterState) -> i64 {
        let granted = &pod.spec.requests.granted;
        let resources = &pod.arguments().balanced.0;
        // What the pod asks for, what the node has and what is taken of it.
        let counted = || {
            resources.iter().filter_map(|resource| {
                let asked = resource.asked(granted);
                if asked == 0 && matches!(resource, ScoredResource::Other(_)) {
                    return None;
                }
                let (allocatable, requested) = resource.on(node);
                (allocatable != 0).then_some((asked, allocatable, requested))
            })
        };
        let before = balance(|| counted().map(|(_, allocatable, requested)| (requested, allocatable)));
        let after =
            balance(|| counted().map(|(asked, allocatable, requested)| (requested.saturating_add(asked), allocatable)));
        50 + (50 + after - before) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::balance;

    #[test]
    fn the_deviation_of_two_is_half_their_difference_and_of_more_the_usual_one() {
        assert_eq!(balance(|| [(3000, 4000), (5000, 10000)].into_iter()), 87);
        // Shares 0.75, 0.5, 0.25: mean 0.5, deviation sqrt(0.125 / 3) = 0.204.
        assert_eq!(balance(|| [(3, 4), (2, 4), (1, 4)].into_iter()), 79);
        assert_eq!(balance(|| [(9, 4)].into_iter()), 100);
        assert_eq!(balance(std::iter::empty::<(i64, i64)>), 100);
    }
}
