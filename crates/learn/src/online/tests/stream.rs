//! A cluster in a nutshell: pods come every few seconds, nodes fail them with hidden chances, and the learner's models choose.
//! Everything depends on the seed.

use std::collections::BTreeMap;

use augur_history::{DecisionId, Example, OutcomeLabel, UnixMillis, WorkloadKey};

use super::super::{Event, Learner, LearnerOptions};
use crate::arms::{Lots, Random};
use crate::features::{FEATURE_COUNT, FEATURE_NAMES, FeatureVector, row_of};

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
pub const NODES: usize = 40;

/// How likely a pod comes to harm.
pub type Truth = fn(node: usize, hour: i64) -> f64;

/// Settings that suit a stream of some 1,000 pods an hour.
pub fn options() -> LearnerOptions {
    LearnerOptions {
        trees: 30,
        max_depth: 6,
        min_matured: 600,
        min_bad: 30,
        update_interval: std::time::Duration::from_secs(2 * 3600),
        ..LearnerOptions::default()
    }
}

#[derive(Default, Clone, Copy)]
struct Lately {
    at: i64,
    counts: [(f64, f64); 2],
}

impl Lately {
    fn add(&mut self, now: i64, pods: f64, bad: f64) {
        self.counts = self.as_of(now);
        self.at = now;
        self.counts.iter_mut().for_each(|(p, b)| (*p, *b) = (*p + pods, *b + bad));
    }

    fn as_of(&self, now: i64) -> [(f64, f64); 2] {
        let mut counts = self.counts;
        for ((pods, bad), half_life) in counts.iter_mut().zip([30.0, 720.0]) {
            let decay = (-((now - self.at) as f64) / (half_life * MINUTE as f64)).exp2();
            (*pods, *bad) = (*pods * decay, *bad * decay);
        }
        counts
    }
}

pub struct Stream {
    pub learner: Learner,
    pub now: i64,
    /// By hour and arm (a model had a say or not): pods placed, and gone bad.
    pub hours: BTreeMap<(i64, bool), (u32, u32)>,
    pub events: Vec<(i64, Event)>,
    /// Nodes by how often they were chosen in the latest hour.
    random: Random,
    truth: Truth,
    lately: [Lately; NODES],
    due: BTreeMap<(i64, u64), (Example, OutcomeLabel)>,
    number: u64,
    lots: Lots,
}

impl Stream {
    pub fn new(seed: u64, options: LearnerOptions, truth: Truth) -> Stream {
        let lots = Lots { seed: options.seed, holdback: options.holdback };
        Stream {
            learner: Learner::new(options),
            now: 1_000 * HOUR,
            hours: BTreeMap::new(),
            events: Vec::new(),
            random: Random::new(seed),
            truth,
            lately: [Lately::default(); NODES],
            due: BTreeMap::new(),
            number: 0,
            lots,
        }
    }

    fn features(&mut self, node: usize, cpu: f64) -> FeatureVector {
        let [(hour_pods, hour_bad), (day_pods, day_bad)] = self.lately[node].as_of(self.now);
        let day = (day_bad + 1.0) / (day_pods + 10.0);
        let noise = self.random.below(1000) as f64 / 10.0;
        let mut row = [None; FEATURE_COUNT];
        let mut set = |name: &str, value: f64| {
            row[FEATURE_NAMES.iter().position(|known| *known == name).unwrap()] = Some(value);
        };
        set("pod_cpu_request", cpu);
        set("pod_memory_request", 512.0);
        set("node_cpu_usage", noise);
        set("node_ready", 1.0);
        set("node_taint_count", 0.0);
        set("node_bad_rate_day", day);
        set("node_bad_rate_recent", (hour_bad + 5.0 * day) / (hour_pods + 5.0));
        set("node_placements_day", day_pods);
        set("workload_placements", 10.0);
        row
    }

    /// Lets minutes pass, a pod coming every four seconds.
    pub fn run(&mut self, minutes: i64) {
        let end = self.now + minutes * MINUTE;
        while self.now < end {
            self.now += 4_000;
            self.place();
            while let Some(entry) = self.due.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let ((at, _), (mut example, label)) = entry.remove_entry();
                if label == OutcomeLabel::Immature {
                    let node: usize = example.node.parse().unwrap();
                    self.lately[node].add(at, 0.0, 1.0);
                }
                example.label = label;
                self.learner.observe(&example).unwrap();
            }
            if self.number.is_multiple_of(15) {
                let events = self.learner.tick(UnixMillis(self.now));
                let now = self.now;
                self.events.extend(events.into_iter().map(|event| (now, event)));
            }
        }
    }

    fn place(&mut self) {
        self.number += 1;
        let uid = format!("pod-{}", self.number);
        let workload = self.random.below(20);
        let cpu = 0.25 * (1 + workload % 4) as f64;
        // Eight nodes that fit; scores without the model are as good as random.
        let candidates: Vec<(usize, f64)> =
            (0..8).map(|_| (self.random.below(NODES), self.random.below(100) as f64)).collect();
        let rows: Vec<FeatureVector> = candidates.iter().map(|(node, _)| self.features(*node, cpu)).collect();
        let models = self.learner.in_use();
        let model = models.model_for(self.lots, &uid);
        let holdback = matches!(model, Err(augur_core::predictor::Fallback::Holdback));
        let logit = |p: f64| (p.clamp(1e-6, 1.0 - 1e-6) / (1.0 - p.clamp(1e-6, 1.0 - 1e-6))).ln();
        let mut scores: Vec<f64> = candidates.iter().map(|(_, score)| *score).collect();
        let mut p_bad = vec![None; rows.len()];
        if let Ok(model) = &model {
            let answers: Vec<_> = rows.iter().map(|row| model.answer(&row_of(row).unwrap()).unwrap().0).collect();
            let mut sorted: Vec<f64> = answers.iter().map(|answer| answer.p_bad).collect();
            sorted.sort_by(f64::total_cmp);
            let median = logit(sorted[sorted.len() / 2]);
            for (at, answer) in answers.iter().enumerate() {
                scores[at] += 60.0 * answer.confidence * (median - logit(answer.p_bad)).clamp(-2.0, 2.0);
                p_bad[at] = Some(answer.p_bad);
            }
        }
        let best = (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        let node = candidates[best].0;
        let chance = (self.truth)(node, self.now / HOUR - 1_000);
        let bad = (self.random.below(1_000_000) as f64) < chance * 1e6;
        let until = self.now + if bad { self.random.below(8 * MINUTE as usize) as i64 } else { HOUR };
        self.lately[node].add(self.now, 1.0, 0.0);
        let counts = self.hours.entry((self.now / HOUR - 1_000, model.is_ok())).or_default();
        *counts = (counts.0 + 1, counts.1 + u32::from(bad));
        let example = Example {
            decision_id: DecisionId::first_at(UnixMillis(self.now)),
            at: UnixMillis(self.now),
            node: node.to_string().into(),
            workload: Some(WorkloadKey {
                namespace: "default".into(),
                kind: "Deployment".into(),
                name: format!("app-{workload}").into(),
            }),
            label: OutcomeLabel::Immature,
            cause: None,
            propensity: 1.0,
            features: rows[best].to_vec(),
            model_id: model.ok().map(|model| model.id.clone()),
            p_bad: p_bad[best],
            holdback,
            until: None,
            alternative: None,
            feedback: None,
        };
        self.learner.observe(&example).unwrap();
        let (number, matures) = (self.number, self.now + HOUR);
        let seen = Example {
            cause: bad.then_some(augur_history::Cause::OomKilled),
            until: Some(UnixMillis(until)),
            ..example
        };
        if bad {
            self.due.insert((until, number), (seen.clone(), OutcomeLabel::Immature));
        }
        let label = if bad { OutcomeLabel::Bad } else { OutcomeLabel::Good };
        self.due.insert((matures, number), (seen, label));
    }

    /// Share of pods gone bad from hour `from` until before `to`, of those with a model, without, or all.
    pub fn bad_rate(&self, from: i64, to: i64, with_model: Option<bool>) -> f64 {
        let hours = self
            .hours
            .iter()
            .filter(|((hour, model), _)| (from..to).contains(hour) && with_model.is_none_or(|wanted| wanted == *model));
        let (placed, bad) = hours.fold((0, 0), |(a, b), (_, counts)| (a + counts.0, b + counts.1));
        f64::from(bad) / f64::from(placed.max(1))
    }

    pub fn first(&self, wanted: fn(&Event) -> bool) -> Option<i64> {
        self.events.iter().find(|(_, event)| wanted(event)).map(|(at, _)| at - 1_000 * HOUR)
    }

    pub fn count(&self, wanted: fn(&Event) -> bool) -> usize {
        self.events.iter().filter(|(_, event)| wanted(event)).count()
    }
}
