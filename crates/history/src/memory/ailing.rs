//! Whether a node ails now, and how often it does ([`Ailing`]).
//!
//! The sign is that pods of several workloads have trouble on it within minutes: restarts after an error, lost readiness,
//! failures, evictions. Each workload counts at most once, and the one that counts most only by half, so that no single one can
//! speak against a node; what only a node does (evicting, losing its pods, not answering) counts in full. A workload that
//! has the same trouble elsewhere says little.

pub(super) mod spells;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pod::{News, may_be_app};
use super::recent::at_fault;
use super::{CELLS, Memory};
use crate::rates::Ails;
use crate::types::{Cause, HOUR_MS, UnixMillis};
use spells::Spells;

/// Trouble weighs half after so long: about as long as it takes to show again while it lasts.
const TROUBLE_HALF_LIFE_MS: f64 = 480_000.0;
/// A node with so many pods shows half of its spells: an empty one shows what it does itself only.
const HALF_SEEN_PODS: f64 = 4.0;
/// A spell has begun when so many workloads are in trouble, and is over when it is less than the second.
const SPELL: (f64, f64) = (1.0, 0.25);
/// What a node does itself counts as so many workloads at most.
const OWN: f64 = 2.0;
/// A workload's record elsewhere is that of its pods there and of so many without failure.
const UNPROVEN_PODS: f64 = 4.0;
/// What counts less is forgotten.
const FADED: f64 = 0.01;

/// Trouble on one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ailing {
    /// By workload, as of `at`.
    workloads: Vec<(u32, f64)>,
    /// The node's own doing, as of `at`.
    own: f64,
    at: i64,
    in_spell: bool,
    pub spells: Spells,
    last: Option<i64>,
}

/// The same with workloads by name, as it is kept on disk.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct KeptAiling {
    workloads: Vec<(Arc<str>, f64)>,
    own: f64,
    at: i64,
    in_spell: bool,
    /// As files had it before there were `periods`: spells and hours watched, decayed with a half-life of twelve hours, and when.
    #[serde(skip_serializing)]
    spells: (f64, f64, i64),
    periods: Spells,
    last: Option<i64>,
}

fn decay(age_ms: i64, half_life: f64) -> f64 {
    (-(age_ms.max(0) as f64) / half_life).exp2()
}

impl Ailing {
    fn troubled(&self, now: i64) -> f64 {
        let (sum, most) =
            self.workloads.iter().fold((0.0, 0.0f64), |(sum, most), (_, level)| (sum + level, most.max(*level)));
        (sum - most / 2.0 + self.own) * decay(now - self.at, TROUBLE_HALF_LIFE_MS)
    }

    /// What is kept of it; `name` tells the name of a workload.
    pub fn kept(&self, name: impl Fn(u32) -> Option<Arc<str>>) -> KeptAiling {
        let workloads = self.workloads.iter().filter_map(|(workload, level)| Some((name(*workload)?, *level)));
        let Ailing { own, at, in_spell, last, .. } = *self;
        let periods = self.spells.clone();
        KeptAiling { workloads: workloads.collect(), own, at, in_spell, periods, last, ..KeptAiling::default() }
    }

    /// What was kept; `id` tells the number of a workload.
    pub fn load(kept: &KeptAiling, id: impl Fn(&str) -> Option<u32>) -> Ailing {
        let workloads = kept.workloads.iter().filter_map(|(name, level)| Some((id(name)?, *level)));
        let KeptAiling { own, at, in_spell, last, .. } = *kept;
        let (decayed, hours, when) = kept.spells;
        let mut spells = kept.periods.clone();
        if spells == Spells::default() && hours > 0.0 {
            spells.add(when - 12 * HOUR_MS, decayed.round() as u32, (hours * HOUR_MS as f64) as u64);
        }
        Ailing { workloads: workloads.collect(), own, at, in_spell, spells, last }
    }

    /// Adds the spells of a memory of the same node. Its workloads of the last minutes have other numbers, and are left out.
    pub fn take_in(&mut self, past: &Ailing, now: i64) {
        self.spells.take_in(&past.spells, now);
        self.last = self.last.max(past.last);
    }

    /// As of `now`; the rate of spells is told by those of all nodes.
    pub fn as_of(&self, now: i64, spell_rate: Option<f64>) -> Ails {
        let (spells, hours) = self.spells.sums(now);
        let quiet_minutes = self.last.map(|last| (now - last).max(0) as f64 / 60_000.0);
        Ails { troubled: self.troubled(now), spells, hours, spell_rate, quiet_minutes }
    }

    /// The node was watched for so long with so many pods.
    pub fn watched(&mut self, now: i64, passed_ms: u32, pods: u32) {
        let seen = f64::from(pods) / (f64::from(pods) + HALF_SEEN_PODS);
        self.spells.add(now, 0, (f64::from(passed_ms) * seen).round() as u64);
    }

    /// A pod of a workload got into trouble, or with `None` the node by itself. `weight` of 0..1: how much that says of the node.
    pub fn trouble(&mut self, now: i64, workload: Option<u32>, weight: f64) {
        let now = now.max(self.at);
        self.in_spell &= self.troubled(now) >= SPELL.1;
        let faded = decay(now - self.at, TROUBLE_HALF_LIFE_MS);
        self.at = now;
        self.own *= faded;
        self.workloads.retain_mut(|(_, level)| {
            *level *= faded;
            *level >= FADED
        });
        match workload {
            None => self.own = (self.own + weight).min(OWN),
            Some(workload) => {
                if let Some((_, level)) = self.workloads.iter_mut().find(|(known, _)| *known == workload) {
                    *level = (*level + weight).min(1.0);
                } else if self.workloads.len() < CELLS {
                    self.workloads.push((workload, weight));
                }
            }
        }
        if self.troubled(now) < SPELL.0 {
            return;
        }
        self.last = Some(now);
        if !std::mem::replace(&mut self.in_spell, true) {
            self.spells.add(now, 1, 0);
        }
    }
}

impl Memory {
    /// Holds what is new of a pod against its node, as far as it says anything of it.
    pub(super) fn ails(&mut self, uid: &Arc<str>, news: News, now: UnixMillis) {
        let Some(pod) = self.pods.get(uid).filter(|_| news.hit) else { return };
        let node = pod.node.clone();
        if news.trouble.is_some_and(|cause| !may_be_app(cause)) || news.evicted {
            // Nothing came of the binding: that is no sign of the node.
            if news.trouble != Some(Cause::BindFailed) {
                self.nodes.entry(&node).ailing.trouble(now.0, None, 1.0);
            }
            return;
        }
        if pod.app_fault || (news.trouble.is_some() && at_fault(pod, &self.workloads, &self.nodes, &self.recent)) {
            return;
        }
        let (by_itself, key) = (pod.ended_by_itself(), pod.workload.clone());
        let (here, workload) = (self.nodes.id(&node), self.workloads.id(&key));
        let Some(memory) = self.workloads.get(&key) else { return };
        // A program that ends with an error of its own here and elsewhere has an error of its own.
        if by_itself && memory.failed_on.elsewhere(here, now.0) {
            return;
        }
        let total = memory.tally.as_of(now.0);
        let memory = self.nodes.entry(&node);
        let cell = memory.cells.get(workload).map(|cell| cell.as_of(now.0)).unwrap_or_default();
        let (pods, failures) = ((total.pods - cell.pods).max(0.0), (total.failures - cell.failures).max(0.0));
        let weight = 1.0 - (failures / (pods + UNPROVEN_PODS)).min(1.0);
        memory.ailing.trouble(now.0, Some(workload), weight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    #[test]
    fn one_workload_never_makes_a_node_ail_and_several_do() {
        let mut ailing = Ailing::default();
        (0..1_000).for_each(|at| ailing.trouble(at, Some(7), 1.0));
        assert!(ailing.as_of(1_000, None).troubled <= 0.5 && ailing.as_of(1_000, None).spells == 0.0);
        ailing.trouble(1_000, Some(8), 1.0);
        let ails = ailing.as_of(1_000, None);
        assert!(ails.troubled > 1.4 && ails.spells == 1.0 && ails.quiet_minutes == Some(0.0), "{ails:?}");
        // Troubles of the same spell are no further spell; those after a quiet hour are.
        ailing.trouble(2_000, Some(9), 1.0);
        assert_eq!(ailing.as_of(2_000, None).spells, 1.0);
        let later = 60 * MINUTE;
        assert!(ailing.as_of(later, None).troubled < 0.02);
        ailing.trouble(later, None, 1.0);
        assert_eq!(ailing.as_of(later, None).spells, 2.0);
    }

    #[test]
    fn a_node_without_pods_is_hardly_watched() {
        let hours = |pods| {
            let mut ailing = Ailing::default();
            (0..120).for_each(|minute| ailing.watched(minute * MINUTE, 60_000, pods));
            ailing.as_of(120 * MINUTE, None).hours
        };
        assert!(hours(0) == 0.0 && hours(4) == 1.0 && hours(110) > 1.9, "{} {}", hours(4), hours(110));
    }

    #[test]
    fn what_a_file_of_before_holds_counts() {
        let old = r#"{"workloads":[],"own":0.0,"at":0,"in_spell":false,"spells":[3.8,7.0,90000000],"last":90000000}"#;
        let ailing = Ailing::load(&serde_json::from_str(old).unwrap(), |_| None);
        let ails = ailing.as_of(90_000_000, None);
        assert_eq!((ails.spells, ails.hours, ails.quiet_minutes), (4.0, 7.0, Some(0.0)));
        let kept = serde_json::to_string(&ailing.kept(|_| None)).unwrap();
        let again = Ailing::load(&serde_json::from_str(&kept).unwrap(), |_| None);
        assert_eq!(again.as_of(90_000_000, None), ails);
    }
}
