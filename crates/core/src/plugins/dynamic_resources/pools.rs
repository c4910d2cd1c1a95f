//! The pools of devices that a node can reach, of their newest generation, with what makes one unusable.

use std::collections::{BTreeMap, BTreeSet};

use crate::object::{CounterSet, Node, PoolId, Reach, ResourceSlice};
use crate::state::RelatedObjects;

/// Whether a pool can be allocated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Usable,
    /// Its driver has not published all of its slices yet.
    Incomplete,
    /// It contradicts itself.
    Invalid,
}

/// A pool as a node sees it.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    pub(super) id: PoolId,
    pub(super) condition: Condition,
    /// Slices with devices that the node may reach, by name.
    pub(super) slices: Vec<&'a ResourceSlice>,
    /// Slices of the pool that it does not reach; their devices consume the pool's counters too.
    pub(super) elsewhere: Vec<&'a ResourceSlice>,
    pub(super) counters: Vec<&'a CounterSet>,
}

/// The pools that the node can reach, in the order in which their devices are tried: by driver and name, those with devices that
/// have to be waited for last.
pub(super) fn of_node<'a>(node: &Node, related: &'a RelatedObjects) -> Vec<Pool<'a>> {
    let mut newest: BTreeMap<&PoolId, Vec<&ResourceSlice>> = BTreeMap::new();
    let here = related.slices_of_node(&node.name).chain(related.slices_of_node(""));
    for slice in here.filter(|slice| is_relevant(slice, node)) {
        let slices = newest.entry(&slice.pool).or_default();
        match slices.first().map(|first| first.generation.cmp(&slice.generation)) {
            Some(std::cmp::Ordering::Greater) => continue,
            Some(std::cmp::Ordering::Less) => slices.clear(),
            _ => {}
        }
        slices.push(slice);
    }
    let mut pools: Vec<Pool<'a>> = newest.into_iter().filter_map(|(id, slices)| build(id, slices, related)).collect();
    pools.sort_by_key(has_to_be_waited_for);
    pools
}

/// Whether the slice says anything about devices that the node can reach. Counters are needed wherever they are told.
fn is_relevant(slice: &ResourceSlice, node: &Node) -> bool {
    !slice.counters.is_empty()
        || match &slice.reach {
            Reach::PerDevice => slice.devices.iter().any(|device| device.reach.contains(&node.name, &node.labels)),
            reach => reach.contains(&node.name, &node.labels),
        }
}

fn has_to_be_waited_for(pool: &Pool<'_>) -> bool {
    pool.slices.iter().flat_map(|slice| &slice.devices).any(|device| !device.binding_conditions.is_empty())
}

/// The pool of these slices; none if a newer generation makes them void.
fn build<'a>(id: &PoolId, mut slices: Vec<&'a ResourceSlice>, related: &'a RelatedObjects) -> Option<Pool<'a>> {
    let first = slices.first()?;
    let (generation, wanted) = (first.generation, first.slice_count);
    let is_count = |count: usize| i64::try_from(count) == Ok(wanted);
    let unusable = |condition| {
        Some(Pool { id: id.clone(), condition, slices: Vec::new(), elsewhere: Vec::new(), counters: Vec::new() })
    };
    let mut elsewhere = Vec::new();
    if !is_count(slices.len()) {
        let of_pool = || related.slices().filter(|slice| slice.pool == *id);
        if of_pool().any(|slice| slice.generation > generation) {
            return None;
        }
        let seen: BTreeSet<&str> = slices.iter().map(|slice| &*slice.name).collect();
        elsewhere.extend(of_pool().filter(|slice| slice.generation == generation && !seen.contains(&*slice.name)));
        if !is_count(slices.len() + elsewhere.len()) {
            return unusable(Condition::Incomplete);
        }
    }
    slices.sort_by(|a, b| a.name.cmp(&b.name));
    elsewhere.sort_by(|a, b| a.name.cmp(&b.name));
    let counters: Vec<&CounterSet> = slices.iter().flat_map(|slice| &slice.counters).collect();
    slices.retain(|slice| slice.counters.is_empty());
    let mut names = BTreeSet::new();
    let distinct = slices.iter().flat_map(|slice| &slice.devices).all(|device| names.insert(&device.name));
    let mut sets = BTreeSet::new();
    let sets_distinct = counters.iter().all(|set| sets.insert(&set.name));
    let mut devices = slices.iter().chain(&elsewhere).flat_map(|slice| &slice.devices);
    let consume_what_is_there = devices.all(|device| {
        device.consumes.iter().all(|consumed| {
            counters.iter().find(|set| set.name == consumed.name).is_some_and(|set| {
                consumed.counters.iter().all(|(name, _)| set.counters.iter().any(|(known, _)| known == name))
            })
        })
    });
    if !(distinct && sets_distinct && consume_what_is_there) {
        return unusable(Condition::Invalid);
    }
    Some(Pool { id: id.clone(), condition: Condition::Usable, slices, elsewhere, counters })
}
