//! Whether a model in use does harm: a sequential comparison of the arms that pods were dealt to by lot.
//!
//! Pods of the model's arm and of the reference arm (the last known good model, or none) are followed from their placement.
//! Each time one gets into trouble, the question is whose turn it was: if the arms were equally good, the model's arm would
//! be hit in proportion to its pods that were placed at about the same time and reached that age (the log-rank comparison,
//! stratified by time: shares of the arms and the world's troubles change together with it). What hits a node hits its pods
//! at once, so that only the first of them is bet on. The bets against that, for hazards that
//! are 1.5, 2 and 4 times as high, make a process that is a martingale while the arms are equal; by Ville's inequality it
//! reaches 1/α with probability α at most, however often one looks. Entry point: [`Guard`].
//!
//! The same question is put to what the model says: by its probabilities, whose turn was it? If a draw with equal chances has told
//! that so many times better than they did, the model contradicts what happens, whichever pods it had a say in; that takes minutes
//! where the arms, between which its bounded part of the score makes little difference, take hours.

use std::collections::HashMap;

/// How many times as high the hazards are that are bet on.
const RATIOS: [f64; 3] = [1.5, 2.0, 4.0];

/// Pods placed within this time of each other are compared.
const COHORT_MS: i64 = 150_000;
/// Troubles on one node within this time are taken for one: that of the node. Longer, and what a bad node does to one pod after
/// another would be left out, of which the arm that avoids it has less.
const SAME_TROUBLE_MS: i64 = 5_000;

/// What befalls one node within this time is held against what the model says once: a node that turns bad unforeseen is one
/// surprise, however many pods it hits.
const SAME_SPELL_MS: i64 = 600_000;

/// Pods followed at once: those of one horizon at a hundred placements a second. Beyond it pods are not followed.
const MAX_FOLLOWED: usize = 360_000;

/// Hazards of the model are taken to this power, so that one that exaggerates what it rightly sees does not contradict.
const TRUST: f64 = 0.5;

/// Which arm a pod is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The model that is judged had a say.
    Model,
    /// It had not: by lot.
    Reference,
}

#[derive(Debug, Clone, Copy)]
struct Followed {
    arm: Arm,
    node: u64,
    placed_ms: i64,
    /// When it got into trouble or ended.
    until_ms: Option<i64>,
    /// The hazard that the model sees in it, to the power of [`TRUST`].
    hazard: Option<f64>,
}

/// What has been seen of both arms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ArmCounts {
    /// Pods placed.
    pub placed: u64,
    /// Of these, how many got into trouble within the horizon.
    pub bad: u64,
}

impl ArmCounts {
    /// Share of pods in trouble.
    pub fn rate(&self) -> Option<f64> {
        (self.placed > 0).then(|| self.bad as f64 / self.placed as f64)
    }
}

/// Compares the arms as outcomes come in.
#[derive(Debug, Clone)]
pub struct Guard {
    horizon_ms: i64,
    pods: HashMap<u64, Followed>,
    /// When the latest trouble on a node was bet on. Swept with the pods.
    troubled: HashMap<u64, i64>,
    /// When the latest trouble on a node was held against what the model says. Swept likewise.
    surprised: HashMap<u64, i64>,
    /// Logarithms of the bets that the model's arm fares worse, by ratio.
    harm: [f64; 3],
    /// The same that it fares better.
    benefit: [f64; 3],
    /// Logarithm of how much better equal chances told whose turn it was than the model.
    contradiction: f64,
    model: ArmCounts,
    reference: ArmCounts,
    swept_ms: i64,
}

impl Guard {
    /// Nothing seen; trouble counts within the horizon after placement.
    pub fn new(horizon_ms: i64) -> Self {
        Guard {
            horizon_ms: horizon_ms.max(1),
            pods: HashMap::new(),
            troubled: HashMap::new(),
            surprised: HashMap::new(),
            harm: [0.0; 3],
            benefit: [0.0; 3],
            contradiction: 0.0,
            model: ArmCounts::default(),
            reference: ArmCounts::default(),
            swept_ms: i64::MIN,
        }
    }

    /// Follows a pod on a node, with the probability that the judged model gives its trouble there, whether it was asked then
    /// or not.
    pub fn placed(&mut self, pod: u64, arm: Arm, node: u64, at_ms: i64, said: Option<f64>) {
        if self.pods.len() >= MAX_FOLLOWED || self.pods.contains_key(&pod) {
            return;
        }
        self.counts(arm).placed += 1;
        let hazard = said.map(|p| (-(1.0 - p.clamp(1e-3, 0.999)).ln()).powf(TRUST));
        self.pods.insert(pod, Followed { arm, node, placed_ms: at_ms, until_ms: None, hazard });
    }

    /// A pod got into trouble.
    pub fn trouble(&mut self, pod: u64, at_ms: i64) {
        let horizon = self.horizon_ms;
        let Some(hit) = self.pods.get_mut(&pod).filter(|pod| pod.until_ms.is_none()) else { return };
        hit.until_ms = Some(at_ms);
        let (arm, node, placed, age) = (hit.arm, hit.node, hit.placed_ms, (at_ms - hit.placed_ms).max(0));
        let own = hit.hazard;
        if age > horizon {
            return;
        }
        self.counts(arm).bad += 1;
        if self.troubled.get(&node).is_some_and(|last| (at_ms - last).abs() <= SAME_TROUBLE_MS) {
            return;
        }
        self.troubled.insert(node, at_ms);
        // Those that have been, or could have been, as old without trouble, this one included.
        let mut at_risk = [0.0f64; 2];
        let (mut hazards, mut known) = (0.0, 0.0);
        for pod in self.pods.values() {
            let reached = pod.until_ms.unwrap_or(at_ms) - pod.placed_ms;
            if reached >= age && (pod.placed_ms - placed).abs() <= COHORT_MS {
                at_risk[usize::from(pod.arm == Arm::Reference)] += 1.0;
                if let Some(hazard) = pod.hazard {
                    (hazards, known) = (hazards + hazard, known + 1.0);
                }
            }
        }
        let again = self.surprised.get(&node).is_some_and(|last| (at_ms - last).abs() <= SAME_SPELL_MS);
        if let Some(own) = own.filter(|_| known > 1.0 && !again) {
            self.surprised.insert(node, at_ms);
            self.contradiction += (hazards / known / own).ln();
        }
        let share = at_risk[0] / (at_risk[0] + at_risk[1]).max(1.0);
        if share <= 0.0 || share >= 1.0 {
            return;
        }
        for (ratio, (harm, benefit)) in RATIOS.into_iter().zip(self.harm.iter_mut().zip(&mut self.benefit)) {
            let (worse, better) = (share * ratio + 1.0 - share, share / ratio + 1.0 - share);
            *harm += if arm == Arm::Model { (ratio / worse).ln() } else { -worse.ln() };
            *benefit += if arm == Arm::Model { (1.0 / (ratio * better)).ln() } else { -better.ln() };
        }
    }

    /// A pod ended without trouble.
    pub fn ended(&mut self, pod: u64, at_ms: i64) {
        if let Some(pod) = self.pods.get_mut(&pod)
            && pod.until_ms.is_none()
        {
            pod.until_ms = Some(at_ms);
        }
    }

    /// Forgets pods whose horizon has passed.
    pub fn advance(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.swept_ms) < self.horizon_ms / 12 {
            return;
        }
        self.swept_ms = now_ms;
        let horizon = self.horizon_ms;
        self.pods.retain(|_, pod| now_ms - pod.placed_ms <= horizon);
        self.troubled.retain(|_, last| now_ms - *last <= SAME_TROUBLE_MS);
        self.surprised.retain(|_, last| now_ms - *last <= SAME_SPELL_MS);
    }

    /// The evidence that the model's arm fares worse: 1 is none, 20 happens by chance once in twenty models that are as good
    /// as the reference, at any time in their lives.
    pub fn harm(&self) -> f64 {
        mixture(&self.harm)
    }

    /// The evidence that it fares better, likewise.
    pub fn benefit(&self) -> f64 {
        mixture(&self.benefit)
    }

    /// How many times better equal chances told whom trouble would hit than the model did. A model that is right is met with 20
    /// once in twenty times at most, at any time.
    pub fn contradiction(&self) -> f64 {
        self.contradiction.min(500.0).exp()
    }

    /// What the model's arm showed.
    pub fn model(&self) -> ArmCounts {
        self.model
    }

    /// What the reference arm showed.
    pub fn reference(&self) -> ArmCounts {
        self.reference
    }

    /// Share in trouble of the model's arm less that of the reference, with its 95 % interval (normal approximation).
    pub fn difference(&self) -> Option<(f64, [f64; 2])> {
        let (model, reference) = (self.model.rate()?, self.reference.rate()?);
        let variance = |counts: ArmCounts| {
            let p = (counts.bad as f64 + 1.0) / (counts.placed as f64 + 2.0);
            p * (1.0 - p) / counts.placed as f64
        };
        let half = 1.96 * (variance(self.model) + variance(self.reference)).sqrt();
        let difference = model - reference;
        Some((difference, [difference - half, difference + half]))
    }

    fn counts(&mut self, arm: Arm) -> &mut ArmCounts {
        match arm {
            Arm::Model => &mut self.model,
            Arm::Reference => &mut self.reference,
        }
    }
}

/// The mean of the bets, which is again a martingale.
fn mixture(bets: &[f64; 3]) -> f64 {
    bets.iter().map(|bet| bet.min(500.0).exp()).sum::<f64>() / bets.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arms::Random;

    const MINUTE: i64 = 60_000;

    /// Places a pod every two seconds, half in each arm, and lets them fail early with the given chances. The minute in which
    /// the evidence of harm reached `limit`.
    fn run(seed: u64, model: f64, reference: f64, minutes: i64, limit: f64) -> (Option<i64>, Guard) {
        let mut random = Random::new(seed);
        let mut guard = Guard::new(60 * MINUTE);
        let mut failures: std::collections::BTreeMap<i64, Vec<u64>> = std::collections::BTreeMap::new();
        for (pod, at) in (0..minutes * MINUTE).step_by(2_000).enumerate() {
            let due: Vec<i64> = failures.range(..=at).map(|(at, _)| *at).collect();
            for due in due {
                for pod in failures.remove(&due).unwrap_or_default() {
                    guard.trouble(pod, due);
                }
            }
            let arm = if random.below(2) == 0 { Arm::Model } else { Arm::Reference };
            guard.placed(pod as u64, arm, pod as u64 % 50, at, None);
            let chance = if arm == Arm::Model { model } else { reference };
            if (random.below(1_000_000) as f64) < chance * 1e6 {
                failures.entry(at + 1 + random.below(5 * MINUTE as usize) as i64).or_default().push(pod as u64);
            }
            guard.advance(at);
            if guard.harm() >= limit {
                return (Some(at / MINUTE), guard);
            }
        }
        (None, guard)
    }

    #[test]
    fn a_harmful_model_is_caught_within_half_an_hour() {
        for seed in 0..20 {
            let (caught, guard) = run(seed, 0.25, 0.08, 30, 20.0);
            assert!(caught.is_some_and(|minute| minute < 30), "{seed}: {} {:?}", guard.harm(), guard.difference());
        }
    }

    #[test]
    fn equal_arms_are_seldom_called_harmful_however_often_one_looks() {
        let alarms = (0..100).filter(|seed| run(1_000 + seed, 0.1, 0.1, 120, 20.0).0.is_some()).count();
        assert!(alarms <= 9, "{alarms} of 100 at a promised rate of 5");
    }

    /// After its probation a model gets nearly all pods; troubles that come then hit mostly its own, by share alone.
    #[test]
    fn troubles_that_come_when_the_shares_have_changed_are_no_evidence() {
        let alarms = (0..40).filter(|seed| {
            let mut random = Random::new(5_000 + seed);
            let mut guard = Guard::new(60 * MINUTE);
            for (pod, at) in (0..60 * MINUTE).step_by(4_000).enumerate() {
                let late = at >= 30 * MINUTE;
                let arm = if random.below(100) < if late { 95 } else { 50 } { Arm::Model } else { Arm::Reference };
                guard.placed(pod as u64, arm, random.below(50) as u64, at, None);
                if random.below(100) < if late { 15 } else { 2 } {
                    guard.trouble(pod as u64, at + 500);
                }
            }
            guard.harm() >= 20.0
        });
        let alarms = alarms.count();
        assert!(alarms <= 4, "{alarms} of 40 at a promised rate of 5 %");
    }

    /// A node that fails takes all its pods with it, and which arm had more of them there is no news of the others.
    #[test]
    fn a_node_that_fails_is_one_trouble() {
        let mut guard = Guard::new(60 * MINUTE);
        for pod in 0..40 {
            let arm = if pod % 2 == 0 { Arm::Model } else { Arm::Reference };
            guard.placed(pod, arm, u64::from(pod % 2 == 0), 0, None);
        }
        (0..40).step_by(2).for_each(|pod| guard.trouble(pod, MINUTE));
        assert!(guard.harm() < 3.0 && guard.model().bad == 20, "{}", guard.harm());
    }

    /// Half an hour of pods, of which one in ten fails with 0.4 and the others with 0.03, and what a model says of both kinds.
    fn contradicts(seed: u64, said: [f64; 2]) -> bool {
        let mut random = Random::new(seed);
        let mut guard = Guard::new(60 * MINUTE);
        (0..30 * MINUTE).step_by(4_000).enumerate().any(|(pod, at)| {
            let weak = random.below(10) == 0;
            let p = said[usize::from(!weak)];
            guard.placed(pod as u64, Arm::Reference, pod as u64 % 50, at, Some(p));
            if random.unit() < if weak { 0.4 } else { 0.03 } {
                guard.trouble(pod as u64, at + 500);
            }
            guard.contradiction() >= 20.0
        })
    }

    #[test]
    fn a_model_that_says_the_opposite_is_found_out_and_one_that_exaggerates_is_not() {
        let count = |said| (0..40).filter(|seed| contradicts(*seed, said)).count();
        assert!(count([0.03, 0.4]) >= 38, "the opposite of what happens: {}", count([0.03, 0.4]));
        assert!(count([0.4, 0.03]) <= 2 && count([0.9, 0.01]) <= 2 && count([0.1, 0.1]) == 0);
    }

    #[test]
    fn a_model_that_helps_is_seen_to() {
        let (caught, guard) = run(7, 0.03, 0.15, 120, 20.0);
        assert_eq!(caught, None);
        assert!(guard.benefit() > 100.0 && guard.harm() < 1.0, "{} {}", guard.benefit(), guard.harm());
        assert!(guard.difference().is_some_and(|(_, [_, high])| high < 0.0));
    }
}
