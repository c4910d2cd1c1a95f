//! How often a node begins to ail, when that may change at any time: [`Spells`] are a node's counts, [`rates`] what they say.
//!
//! A node's spells are taken for a Poisson process whose rate is drawn anew, from a gamma distribution, at change points that
//! nobody announces; the posterior over when the last one was is exact but for the length of the periods (Adams and MacKay,
//! "Bayesian online changepoint detection", 2007). So a memory is as long as a node stays the same. Besides nodes that change by
//! themselves there are shifts, at which many change at once: what one node could tell only after many spells, all of them tell
//! together within hours.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{DAY_MS, HOUR_MS};

/// The newest periods are so long; those of all nodes begin at the same times.
const PERIOD_MS: i64 = 1_800_000;
/// How far back counts reach: a week, as the window of all counts.
const WINDOW_MS: i64 = 7 * DAY_MS;
/// A node changes by itself once in so many hours on average: as long as what is counted of pods is remembered (half after 48).
const CHANGE_HOURS: f64 = 70.0;
/// Many nodes change at once so often: once in the week that is remembered.
const SHIFT_HOURS: f64 = 168.0;
/// The shares of nodes that change then, each as likely as the others.
const SHARES: [f64; 5] = [0.2, 0.4, 0.6, 0.8, 1.0];
/// The cluster's rate in a period is held for the mean of all periods until so many spells speak against it.
const TREND_SPELLS: f64 = 10.0;
/// Moments for a change that are less likely are left out.
const UNLIKELY: f64 = 1e-4;
/// Odds are no larger, so that they remain numbers.
const MAX_LOG_ODDS: f64 = 300.0;

/// Spells that began in a period: `2^level` times [`PERIOD_MS`] from `slot` times that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(i64, u32, u32, u64)", into = "(i64, u32, u32, u64)")]
struct Period {
    slot: i64,
    level: u32,
    spells: u32,
    /// Time in which a spell would have been seen.
    seen_ms: u64,
}

impl From<(i64, u32, u32, u64)> for Period {
    fn from((slot, level, spells, seen_ms): (i64, u32, u32, u64)) -> Self {
        // What is longer than the window was never written.
        Period { slot, level: level.min(10), spells, seen_ms }
    }
}

impl From<Period> for (i64, u32, u32, u64) {
    fn from(period: Period) -> Self {
        (period.slot, period.level, period.spells, period.seen_ms)
    }
}

impl Period {
    fn slots(self) -> i64 {
        1 << self.level
    }

    fn ends_ms(self) -> i64 {
        (self.slot + self.slots()) * PERIOD_MS
    }

    /// The period that this one is part of by now: one twice as long once as much time as that has passed since its end.
    fn widened(mut self, now: i64) -> Period {
        loop {
            let twice = 2 * self.slots();
            let slot = self.slot - self.slot.rem_euclid(twice);
            if slot + 2 * twice > now.div_euclid(PERIOD_MS) {
                return self;
            }
            (self.slot, self.level) = (slot, self.level + 1);
        }
    }
}

/// The counts of a node, oldest first: about two dozen, the older the longer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Spells(Vec<Period>);

impl Spells {
    /// So many spells began, and so much time has passed in which one would have been seen.
    pub fn add(&mut self, now: i64, spells: u32, seen_ms: u64) {
        match self.0.last_mut() {
            Some(last) if now < last.ends_ms() => {
                (last.spells, last.seen_ms) = (last.spells + spells, last.seen_ms + seen_ms);
            }
            _ => {
                self.0.push(Period { slot: now.div_euclid(PERIOD_MS), level: 0, spells, seen_ms });
                self.0 = self.as_of(now);
            }
        }
    }

    /// Adds what another memory has counted of the same node.
    pub fn take_in(&mut self, other: &Spells, now: i64) {
        self.0.extend(&other.0);
        self.0.sort_by_key(|period| (period.slot, period.level));
        self.0 = self.as_of(now);
    }

    /// Spells and hours of all periods.
    pub fn sums(&self, now: i64) -> (f64, f64) {
        self.as_of(now).iter().fold((0.0, 0.0), |(spells, hours), period| {
            (spells + f64::from(period.spells), hours + period.seen_ms as f64 / HOUR_MS as f64)
        })
    }

    fn as_of(&self, now: i64) -> Vec<Period> {
        let mut joined: Vec<Period> = Vec::with_capacity(self.0.len());
        for period in self.0.iter().filter(|period| now - period.ends_ms() < WINDOW_MS) {
            let period = period.widened(now);
            match joined.last_mut().filter(|last| (last.slot, last.level) == (period.slot, period.level)) {
                Some(last) => {
                    (last.spells, last.seen_ms) = (last.spells + period.spells, last.seen_ms + period.seen_ms);
                }
                None => joined.push(period),
            }
        }
        joined
    }
}

/// Spells in some time, in hours of a mean hour of the cluster.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    slot: i64,
    slots: i64,
    spells: u32,
    hours: f64,
}

fn sum(counts: &[Count]) -> (u32, f64) {
    counts.iter().fold((0, 0.0), |(spells, hours), count| (spells + count.spells, hours + count.hours))
}

/// What is thought of rates before anything is known of a node: an exponential distribution (a gamma distribution of shape 1), which
/// says nothing but its mean. The shapes of LANL's systems have a median of 0.8.
struct Prior {
    /// The reciprocal of the mean.
    hours: f64,
    /// Logarithms of factorials.
    factorials: Vec<f64>,
}

impl Prior {
    fn of(mean: f64, spells: u32) -> Prior {
        let mut factorials = vec![0.0];
        let mut last = 0.0;
        for k in 1..=spells {
            last += f64::from(k).ln();
            factorials.push(last);
        }
        Prior { hours: 1.0 / mean, factorials }
    }

    fn factorial(&self, k: u32) -> f64 {
        self.factorials.get(k as usize).or(self.factorials.last()).copied().unwrap_or(0.0)
    }

    /// The logarithm of the probability of counts where others were seen before, but for what is the same whatever the rate.
    fn evidence(&self, known: (u32, f64), counts: (u32, f64)) -> f64 {
        let (spells, hours) = (known.0 + counts.0, self.hours + known.1);
        self.factorial(spells) - self.factorial(known.0) + f64::from(known.0 + 1) * hours.ln()
            - f64::from(spells + 1) * (hours + counts.1).ln()
    }

    /// The expected rate where so much was seen.
    fn rate(&self, (spells, hours): (u32, f64)) -> f64 {
        f64::from(spells + 1) / (self.hours + hours)
    }
}

/// Spells an hour that are to be expected on each node, in the order of `nodes`; none before any node was watched. Takes some
/// hundreds of logarithms a node.
pub(crate) fn rates(nodes: &[&Spells], now: i64) -> Vec<f64> {
    let periods: Vec<Vec<Period>> = nodes.iter().map(|spells| spells.as_of(now)).collect();
    let mut together: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for period in periods.iter().flatten() {
        let (spells, hours) = together.entry(period.slot).or_default();
        (*spells, *hours) = (*spells + f64::from(period.spells), *hours + period.seen_ms as f64 / HOUR_MS as f64);
    }
    let (spells, hours) = together.values().fold((0.0, 0.0), |(a, b), (spells, hours)| (a + spells, b + hours));
    if hours <= 0.0 {
        return Vec::new();
    }
    let mean = (spells + 0.5) / (hours + 1.0);
    // What all nodes have in common in a period (a busy hour, an outage) tells nothing of one of them.
    let counts = |period: &Period| {
        let (spells, hours) = together.get(&period.slot).copied().unwrap_or_default();
        let trend = (spells + TREND_SPELLS) / (hours * mean + TREND_SPELLS);
        let hours = period.seen_ms as f64 / HOUR_MS as f64 * trend;
        Count { slot: period.slot, slots: period.slots(), spells: period.spells, hours }
    };
    let nodes: Vec<Vec<Count>> = periods.iter().map(|periods| periods.iter().map(counts).collect()).collect();
    let most = nodes.iter().map(|counts| sum(counts).0).max().unwrap_or(0);
    let prior = Prior::of(mean, most);
    let slots: Vec<i64> = together.keys().copied().collect();
    let shifts = shifts(&nodes, &slots, &prior);
    let changed = |count: &Count| {
        let shifted = slots.binary_search(&count.slot).ok().and_then(|at| shifts.get(at)).copied().unwrap_or(0.0);
        1.0 - (1.0 - shifted) * (-hours_of(count.slots) / CHANGE_HOURS).exp()
    };
    nodes.iter().map(|counts| expected(counts, &prior, &changed)).collect()
}

fn hours_of(slots: i64) -> f64 {
    (slots * PERIOD_MS) as f64 / HOUR_MS as f64
}

/// The share of nodes that is thought to have changed when each period began, beyond those that change by themselves. A shift is
/// looked for after the one before it, until there is none that is more likely than not.
fn shifts(nodes: &[Vec<Count>], slots: &[i64], prior: &Prior) -> Vec<f64> {
    let mut shares = vec![0.0; slots.len()];
    let mut known = 0;
    while known + 1 < slots.len() {
        let found: Vec<(f64, f64)> = (known + 1..slots.len())
            .map(|at| {
                let lasts = slots.get(at + 1).map_or(1, |next| next - slots[at]);
                let (odds, share) = shift(nodes, slots[known], slots[at], prior);
                (odds * hours_of(lasts) / SHIFT_HOURS, share)
            })
            .collect();
        let sum: f64 = found.iter().map(|(odds, _)| odds).sum();
        for (share, (odds, found)) in shares.iter_mut().skip(known + 1).zip(&found) {
            *share = odds / (1.0 + sum) * found;
        }
        let likeliest = found.iter().enumerate().max_by(|a, b| a.1.0.total_cmp(&b.1.0));
        match likeliest.filter(|_| sum > 1.0) {
            Some((at, _)) => known += 1 + at,
            None => break,
        }
    }
    shares
}

/// How many times better the counts from `since` on are explained if many nodes changed at `slot`, and how large a share did.
fn shift(nodes: &[Vec<Count>], since: i64, slot: i64, prior: &Prior) -> (f64, f64) {
    let ratios: Vec<f64> = nodes
        .iter()
        .map(|counts| {
            let first = counts.partition_point(|count| count.slot < since);
            let second = counts.partition_point(|count| count.slot < slot);
            let (before, after) = (sum(&counts[first..second]), sum(&counts[second..]));
            (prior.evidence((0, 0.0), after) - prior.evidence(before, after)).exp()
        })
        .collect();
    let odds = SHARES.map(|share| {
        let log: f64 = ratios.iter().map(|ratio| (1.0 - share + share * ratio).ln()).sum();
        log.min(MAX_LOG_ODDS).exp() / SHARES.len() as f64
    });
    let sum: f64 = odds.iter().sum();
    (sum, odds.iter().zip(SHARES).map(|(odds, share)| odds * share).sum::<f64>() / sum.max(f64::MIN_POSITIVE))
}

/// The expected rate of a node, where `changed` tells how likely it is to have changed when a period began.
fn expected(counts: &[Count], prior: &Prior, changed: &dyn Fn(&Count) -> f64) -> f64 {
    // For each moment at which the last change may have been: how likely that is, and what was seen since.
    let mut runs: Vec<(f64, (u32, f64))> = Vec::new();
    for count in counts {
        let changed = if runs.is_empty() { 1.0 } else { changed(count) };
        runs.iter_mut().for_each(|(weight, _)| *weight *= 1.0 - changed);
        runs.push((changed, (0, 0.0)));
        let seen = (count.spells, count.hours);
        let logs: Vec<f64> = runs.iter().map(|(_, known)| prior.evidence(*known, seen)).collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for ((weight, known), log) in runs.iter_mut().zip(logs) {
            *weight *= (log - most).exp();
            *known = (known.0 + seen.0, known.1 + seen.1);
        }
        let sum: f64 = runs.iter().map(|(weight, _)| weight).sum();
        runs.iter_mut().for_each(|(weight, _)| *weight /= sum.max(f64::MIN_POSITIVE));
        runs.retain(|(weight, _)| *weight > UNLIKELY);
    }
    let (rate, sum) =
        runs.iter().fold((0.0, 0.0), |(rate, sum), (weight, known)| (rate + weight * prior.rate(*known), sum + weight));
    if sum > 0.0 { rate / sum } else { prior.rate((0, 0.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half hours, in each of which a node has a spell or not.
    fn live(nodes: &mut [Spells], from: i64, slots: i64, spells: impl Fn(usize, i64) -> u32) {
        for slot in from..from + slots {
            for (at, node) in nodes.iter_mut().enumerate() {
                node.add(slot * PERIOD_MS, spells(at, slot), 1_800_000);
            }
        }
    }

    fn rates_at(nodes: &[Spells], slot: i64) -> Vec<f64> {
        rates(&nodes.iter().collect::<Vec<_>>(), slot * PERIOD_MS - 1)
    }

    /// Of twenty nodes the first five have a spell every other hour, the others one a day.
    fn few_bad(at: usize, slot: i64) -> u32 {
        let every = if at < 5 { 4 } else { 48 };
        u32::from((slot + 7 * at as i64) % every == 0)
    }

    #[test]
    fn rates_are_those_of_nodes_and_stay_so_for_a_week() {
        let mut nodes = vec![Spells::default(); 20];
        live(&mut nodes, 0, 7 * 48, few_bad);
        let rates = rates_at(&nodes, 7 * 48);
        assert!(rates[..5].iter().all(|rate| (0.3..0.7).contains(rate)), "{rates:?}");
        assert!(rates[5..].iter().all(|rate| (0.02..0.12).contains(rate)), "no false alarm: {rates:?}");
        assert!(nodes.iter().all(|node| node.0.len() < 32), "{}", nodes[0].0.len());
    }

    #[test]
    fn a_node_that_turns_bad_is_known_after_few_spells_and_believed_again_after_quiet_hours() {
        let mut nodes = vec![Spells::default(); 20];
        live(&mut nodes, 0, 96, |at, slot| few_bad(at + 5, slot));
        let before = rates_at(&nodes, 96)[0];
        let bad = |at: usize, slot: i64| if at == 0 { u32::from(slot % 2 == 0) } else { few_bad(at + 5, slot) };
        live(&mut nodes, 96, 8, bad);
        let four = rates_at(&nodes, 104)[0];
        live(&mut nodes, 104, 8, bad);
        let eight = rates_at(&nodes, 112)[0];
        assert!(four > 2.5 * before && eight > 2.0 * four, "spells every hour: {before} {four} {eight}");
        live(&mut nodes, 112, 96, |at, slot| few_bad(at + 5, slot));
        assert!(rates_at(&nodes, 208)[0] < eight / 2.0);
    }

    #[test]
    fn many_nodes_that_change_at_once_are_known_sooner_than_one() {
        let after = |changed: usize| {
            let mut nodes = vec![Spells::default(); 20];
            live(&mut nodes, 0, 48, few_bad);
            // The first `changed` bad nodes are bad no more, as many others are.
            live(&mut nodes, 48, 12, |at, slot| match at {
                at if at < changed => few_bad(19, slot),
                at if at >= 10 && at < 10 + changed => few_bad(at % 5, slot),
                at => few_bad(at, slot),
            });
            rates_at(&nodes, 60)
        };
        let (one, all) = (after(1), after(5));
        assert!(all[0] < 0.7 * one[0] && all[10] > one[10], "{one:?} {all:?}");
        let mean = |rates: &[f64]| rates.iter().sum::<f64>() / rates.len() as f64;
        assert!(mean(&all[10..15]) > 1.1 * mean(&all[..5]), "six hours after the shift: {all:?}");
        assert!(one[1..5].iter().all(|rate| *rate > 0.3), "the others are as they were: {one:?}");
    }

    #[test]
    fn an_outage_of_all_leaves_the_order_of_nodes_and_is_forgotten_within_a_day() {
        let mut nodes = vec![Spells::default(); 20];
        live(&mut nodes, 0, 96, few_bad);
        let before = rates_at(&nodes, 96);
        live(&mut nodes, 96, 2, |_, _| 1);
        let after = rates_at(&nodes, 98);
        assert!(after[0] > 1.2 * after[19], "{before:?} {after:?}");
        live(&mut nodes, 98, 48, few_bad);
        let later = rates_at(&nodes, 146);
        assert!(later[0] > 0.3 && later[19] < 3.0 * before[19], "{before:?} {later:?}");
    }

    #[test]
    fn what_two_memories_counted_is_what_one_would_have() {
        let mut nodes = vec![Spells::default(); 3];
        let (whole, rest) = nodes.split_at_mut(1);
        let (early, late) = rest.split_at_mut(1);
        for slot in 0..100 {
            let part = if slot < 60 { &mut early[0] } else { &mut late[0] };
            for counts in [&mut whole[0], part] {
                counts.add(slot * PERIOD_MS, few_bad(0, slot), 1_800_000);
            }
        }
        late[0].take_in(&early[0], 100 * PERIOD_MS);
        assert_eq!(late[0].as_of(100 * PERIOD_MS), whole[0].as_of(100 * PERIOD_MS));
        let written = serde_json::to_string(&whole[0]).unwrap();
        assert!(written.len() < 600, "{written}");
        assert_eq!(serde_json::from_str::<Spells>(&written).unwrap(), whole[0]);
    }
}
