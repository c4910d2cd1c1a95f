//! One decision: [`decide`], the only way in which a node is chosen, for scheduling, dry runs and replay alike.
//!
//! The order is kube-scheduler's: gates, what is not implemented, narrowing, filters, scores; then enhanced scoring and
//! the model, and a seeded choice among equals. [`Decider`] is the same with verdicts kept from decision to decision.

mod decision;
mod diagnosis;
mod judgement;
mod preempt;
mod trial;
mod unsupported;
mod verdicts;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use decision::{Algorithm, Cycle, Decision, Detail, NodeRejection, NodeReport, Outcome};
pub use diagnosis::{Diagnosis, PreemptionCandidate, PreemptionOutlook};

use crate::enhanced::{EnhancedConfig, EnhancedRow, EnhancedScorer};
use crate::object::{Pod, PodSpec, PodVolumes};
use crate::plugins::{self, Code, PluginId, PluginSet, Stop, volume_binding};
use crate::predictor::{Fallback, NodePrediction, PredictRequest, Predictor};
use crate::profile::{MAX_MODEL_SHARE, Profile};
use crate::state::{ClusterState, NodeId, NodeView, mix};
use diagnosis::{Tally, narrowed_reason, texts};
use judgement::Judgement;
use verdicts::{Scale, Verdicts};

/// Verdicts of so many specs are kept. A spec's verdicts take about 60 bytes a node: 1,024 specs at 5,000 nodes are
/// 300 MB, so that the bound is also one on rows.
const MAX_SPECS: usize = 1024;
/// Rows of verdicts that are kept at most, over all specs.
const MAX_ROWS: usize = 2_000_000;

/// Decides where the pod goes. Pure: equal arguments give equal decisions.
#[must_use]
pub fn decide(state: &ClusterState, pod: &Pod, profile: &Profile, predictor: &dyn Predictor, cycle: Cycle) -> Decision {
    Decider::new().decide(state, pod, profile, predictor, cycle)
}

/// How clear a choice is, 0..1: half for being chosen at all and half for the margin to the runner-up, which counts
/// fully from a tenth of the score's range on; times a half plus half the share of the signals' weight that is known on
/// the chosen node. A model's own confidence takes the place of the second factor when it had a part.
#[must_use]
pub fn confidence(margin: Option<f64>, range: f64, coverage: f64) -> f64 {
    let margin = match margin {
        Some(margin) if range > 0.0 => (margin / (range / 10.0)).clamp(0.0, 1.0),
        Some(_) => 0.0,
        None => 1.0,
    };
    (0.5 + 0.5 * margin) * (0.5 + 0.5 * coverage.clamp(0.0, 1.0))
}

/// [`decide`], with what can be kept between decisions. Of one state only: verdicts are known by the versions of its
/// rows.
#[derive(Default)]
pub struct Decider {
    /// By the address of the spec, which the verdicts keep alive.
    verdicts: HashMap<usize, Verdicts>,
    uses: u64,
    enhanced: Option<EnhancedColumn>,
    feasible: Vec<NodeId>,
    sums: Vec<i64>,
    totals: Vec<f64>,
}

/// The rows of enhanced scoring, for one configuration.
struct EnhancedColumn {
    config: EnhancedConfig,
    observed: u64,
    rows: Vec<EnhancedRow>,
    /// Whether anything is known of any node.
    any_known: bool,
}

/// What a model said of a candidate, by its place among them, and what that moved the score by.
type Moved = (usize, f64, NodePrediction);

/// What came of scoring.
struct Scores {
    /// By candidate.
    totals: Vec<f64>,
    /// By place.
    moved: Vec<Moved>,
    scales: Vec<Scale>,
    /// Scores that took a look at the whole cluster: plugin, weight, 0..100 by candidate.
    surveyed: Vec<(PluginId, i64, Vec<i64>)>,
    scorer: EnhancedScorer,
    range: f64,
    /// Points that the model moves a total by for each unit of log-odds, at full confidence.
    model_weight: f64,
    model: Result<Option<Arc<str>>, Fallback>,
}

impl Decider {
    /// Nothing kept yet.
    #[must_use]
    pub fn new() -> Decider {
        Decider::default()
    }

    /// Decides where the pod goes; see [`decide`].
    #[must_use]
    pub fn decide(
        &mut self,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        predictor: &dyn Predictor,
        cycle: Cycle,
    ) -> Decision {
        if !pod.spec.scheduling_gates.is_empty() {
            let gates = pod.spec.scheduling_gates.clone();
            return bare(state, pod, cycle, Outcome::Gated(gates), "its scheduling gates hold it back".to_owned());
        }
        let (refused, _) = unsupported::required(state, pod, &profile.plugins);
        if !refused.is_empty() {
            let reason = format!("it needs what is not implemented: {}", refused.join(", "));
            return bare(state, pod, cycle, Outcome::Refused(refused), reason);
        }
        if let Some(decision) = turned_away(state, pod, profile, cycle) {
            return decision;
        }
        // What a pod on a node asks for depends on the pod, not on its spec alone.
        if pod.node.is_some() {
            let mut verdicts = Verdicts::new(&pod.spec, pod.node.as_ref(), state, profile);
            return self.decide_by(&mut verdicts, state, pod, profile, predictor, cycle);
        }
        let key = Arc::as_ptr(&pod.spec).addr();
        let mut verdicts = match self.verdicts.remove(&key) {
            Some(kept) if kept.are_of(profile) => kept,
            _ => Verdicts::new(&pod.spec, None, state, profile),
        };
        let decision = self.decide_by(&mut verdicts, state, pod, profile, predictor, cycle);
        self.keep(key, verdicts, state.row_count());
        decision
    }

    fn keep(&mut self, key: usize, mut verdicts: Verdicts, rows: usize) {
        self.uses += 1;
        verdicts.last_used = self.uses;
        let limit = (MAX_ROWS / rows.max(1)).clamp(1, MAX_SPECS);
        if self.verdicts.len() >= limit {
            // Half go at once, those not used for longest, so that the search for them is seldom.
            let mut uses: Vec<u64> = self.verdicts.values().map(|verdicts| verdicts.last_used).collect();
            uses.sort_unstable();
            let oldest_kept = uses[uses.len() / 2];
            self.verdicts.retain(|_, verdicts| verdicts.last_used > oldest_kept);
        }
        self.verdicts.insert(key, verdicts);
    }

    fn decide_by(
        &mut self,
        verdicts: &mut Verdicts,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        predictor: &dyn Predictor,
        cycle: Cycle,
    ) -> Decision {
        let mut feasible = std::mem::take(&mut self.feasible);
        verdicts.refresh(state, &mut feasible);
        if let Some(narrowed) = verdicts.narrowed() {
            feasible.retain(|id| narrowed.names.binary_search(state.view(*id).name()).is_ok());
        }
        let judgement = Judgement::new(verdicts, pod, state, &mut feasible);
        let decision = if feasible.is_empty() {
            unschedulable(&judgement, state, pod, cycle)
        } else if let (Some((plugin, error)), 2..) = (verdicts.score_error(), feasible.len()) {
            let error = format!("running PreScore plugin \"{}\": {error}", plugin.name());
            bare(state, pod, cycle, Outcome::Failed(error.clone()), error)
        } else {
            let scores = self.score(verdicts, state, pod, profile, predictor, cycle, &feasible);
            self.choose(&judgement, state, pod, cycle, &feasible, scores)
        };
        self.feasible = feasible;
        decision
    }

    /// The enhanced rows, brought up to date.
    fn refresh_enhanced(&mut self, state: &ClusterState, config: &EnhancedConfig) {
        let current = self.enhanced.as_ref().is_some_and(|column| {
            column.observed == state.observed() && column.rows.len() == state.row_count() && column.config == *config
        });
        if current {
            return;
        }
        let mut rows = vec![EnhancedRow::default(); state.row_count()];
        for id in state.ids() {
            let node = state.view(id);
            rows[id.index()] = EnhancedRow::new(config, node.signals(), node.node().taints.len());
        }
        let any_known = rows.iter().any(EnhancedRow::knows_anything);
        self.enhanced = Some(EnhancedColumn { config: config.clone(), observed: state.observed(), rows, any_known });
    }

    fn enhanced_row(&self, id: NodeId) -> EnhancedRow {
        self.enhanced.as_ref().and_then(|column| column.rows.get(id.index())).copied().unwrap_or_default()
    }

    #[expect(clippy::too_many_arguments, reason = "the inputs of a decision, passed through")]
    fn score(
        &mut self,
        verdicts: &Verdicts,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        predictor: &dyn Predictor,
        cycle: Cycle,
        feasible: &[NodeId],
    ) -> Scores {
        self.refresh_enhanced(state, &profile.enhanced);
        let mut scorer = EnhancedScorer::new(&profile.enhanced);
        if let Some(column) = self.enhanced.as_ref().filter(|column| column.any_known) {
            feasible.iter().for_each(|id| scorer.see(&column.rows[id.index()]));
        }
        scorer.close();
        let mut sums = std::mem::take(&mut self.sums);
        // As kube-scheduler: with one feasible node there is nothing to compare and no score.
        let mut scales = Vec::new();
        if feasible.len() > 1 {
            scales = verdicts.scales(profile, feasible);
            verdicts.sums(&scales, feasible, &mut sums);
        } else {
            sums.clear();
            sums.resize(feasible.len(), 0);
        }
        let surveyed = if feasible.len() > 1 { surveyed_scores(state, pod, profile, feasible) } else { Vec::new() };
        for (_, weight, scores) in &surveyed {
            sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += weight * score);
        }
        let weights = scales.iter().map(|scale| scale.weight).chain(surveyed.iter().map(|(_, weight, _)| *weight));
        let mut range = 100.0 * weights.sum::<i64>() as f64;
        let weight = profile.enhanced.weight.max(0.0);
        let enhanced_counts = weight > 0.0 && feasible.len() > 1;
        let told_apart = enhanced_counts && scorer.knows_anything();
        let constant = if enhanced_counts { weight * scorer.total(&EnhancedRow::default()) } else { 0.0 };
        let mut totals = std::mem::take(&mut self.totals);
        totals.clear();
        match self.enhanced.as_ref().filter(|_| told_apart) {
            Some(column) => totals.extend(
                sums.iter()
                    .zip(feasible)
                    .map(|(sum, id)| *sum as f64 + weight * scorer.total(&column.rows[id.index()])),
            ),
            None => totals.extend(sums.iter().map(|sum| *sum as f64 + constant)),
        }
        self.sums = sums;
        if enhanced_counts {
            range += weight * 100.0;
        }
        let mut moved = Vec::new();
        let limits = (profile.model_share.clamp(0.0, MAX_MODEL_SHARE) * range, profile.model_candidates);
        let model = ask_model(state, pod, predictor, cycle, limits, feasible, &totals, &mut moved);
        for (at, part, _) in &moved {
            totals[*at] += part;
        }
        Scores { totals, moved, scales, surveyed, scorer, range, model_weight: limits.0, model }
    }

    fn choose<'a>(
        &mut self,
        judgement: &Judgement<'a>,
        state: &'a ClusterState,
        pod: &Pod,
        cycle: Cycle,
        feasible: &[NodeId],
        scores: Scores,
    ) -> Decision {
        let Scores { totals, moved, scales, surveyed, scorer, range, model_weight, model } = scores;
        let Some(Choice { mut best, mut second, mut equals }) = choose_among(state, cycle.seed, feasible, &totals)
        else {
            return unschedulable(judgement, state, pod, cycle);
        };
        // Room was made for it there, at the cost of others.
        let nominated = state.nomination(&pod.uid).or(pod.nominated_node.as_ref());
        if let Some(place) = nominated.and_then(|name| feasible.iter().position(|id| state.view(*id).name() == name)) {
            if place != best {
                (second, best) = (Some(best), place);
            }
            equals = 1;
        }
        let plugin_parts = |at: usize| {
            let mut parts = judgement.verdicts.parts(&scales, feasible[at]);
            parts.extend(surveyed.iter().filter_map(|(plugin, weight, all)| Some((*plugin, weight * all.get(at)?))));
            parts.sort_by_key(|(plugin, _)| *plugin);
            parts
        };
        let by_model = |at: usize| moved.binary_search_by_key(&at, |(at, ..)| *at).ok().map(|found| moved[found]);
        let report = |at: usize| NodeReport {
            node: state.view(feasible[at]).name().clone(),
            rejection: None,
            plugins: plugin_parts(at),
            enhanced: Some(scorer.score(&self.enhanced_row(feasible[at]))),
            prediction: by_model(at).map(|(_, _, prediction)| prediction),
            model_part: by_model(at).map_or(0.0, |(_, part, _)| part),
            total: totals[at],
        };
        let chosen = report(best);
        let runner_up = second.map(report);
        let margin = runner_up.as_ref().map(|second| chosen.total - second.total);
        let coverage = match chosen.prediction {
            Some(prediction) => prediction.confidence,
            None => chosen.enhanced.map_or(0.0, |enhanced| enhanced.coverage),
        };
        let mut nodes = Vec::new();
        if cycle.detail == Detail::Full {
            nodes.extend((0..feasible.len()).map(report));
            nodes.extend(rejections(judgement, state, &pod.spec));
            nodes.sort_by(|a, b| a.node.cmp(&b.node));
        }
        let (algorithm, fallback, model_id) = match model {
            Ok(model_id) => (Algorithm::MlPrediction, None, model_id),
            Err(fallback) => (Algorithm::EnhancedScoring, Some(fallback), None),
        };
        self.totals = totals;
        let name = chosen.node.clone();
        let reason = chosen_sentence(&chosen, runner_up.as_ref(), feasible.len(), state.node_count(), equals);
        Decision {
            outcome: Outcome::Placed(name),
            algorithm,
            fallback,
            model_id,
            model_weight,
            confidence: confidence(margin, range, coverage),
            propensity: 1.0 / equals.max(1) as f64,
            total_nodes: state.node_count(),
            feasible_nodes: feasible.len(),
            chosen: Some(chosen),
            runner_up,
            nodes,
            not_considered: unsupported::preferred(state, pod),
            volumes: volume_binding::pod_volumes(pod, state, state.view(feasible[best]).node()),
            reason,
            cycle,
        }
    }
}

/// The best and the second best candidate, by place.
struct Choice {
    best: usize,
    second: Option<usize>,
    /// Candidates as good as the best, itself included.
    equals: usize,
}

/// Chooses the highest total. Among equals it is the one with the largest number made from seed and name: every one is
/// as likely, and the order of rows does not matter.
fn choose_among(state: &ClusterState, seed: u64, feasible: &[NodeId], totals: &[f64]) -> Option<Choice> {
    let higher = |a: f64, b: f64| if b > a { b } else { a };
    let highest = totals.iter().copied().fold(f64::NEG_INFINITY, higher);
    // Both are mixed well already.
    let seed = mix(seed);
    let lot = |at: usize| (seed ^ state.name_hash(feasible[at])).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The best, and the best but for the best: among equals they are drawn together.
    let mut best: Option<(usize, u64)> = None;
    let mut second: Option<(usize, u64)> = None;
    let mut equals = 0;
    let mut next = f64::NEG_INFINITY;
    for (at, total) in totals.iter().enumerate() {
        if *total < highest {
            next = higher(next, *total);
            continue;
        }
        equals += 1;
        let own = (at, lot(at));
        if best.is_none_or(|best| own.1 > best.1) {
            second = best;
            best = Some(own);
        } else if second.is_none_or(|second| own.1 > second.1) {
            second = Some(own);
        }
    }
    if second.is_none() {
        let mut lowest = u64::MAX;
        for (at, total) in totals.iter().enumerate() {
            // Which of several runners-up is told does not matter, as long as it is the same for any order of rows.
            if *total == next && state.name_hash(feasible[at]) <= lowest {
                lowest = state.name_hash(feasible[at]);
                second = Some((at, lowest));
            }
        }
    }
    best.map(|(best, _)| Choice { best, second: second.map(|(second, _)| second), equals })
}

/// Asks the model about the best candidates, at most as many as the second of `limits`, and says in `moved` what its
/// answer moves their scores by: at most twice the first of `limits` either way. The model's id.
#[expect(clippy::too_many_arguments, reason = "the inputs of a decision, passed through")]
fn ask_model(
    state: &ClusterState,
    pod: &Pod,
    predictor: &dyn Predictor,
    cycle: Cycle,
    (weight, most): (f64, usize),
    feasible: &[NodeId],
    totals: &[f64],
    moved: &mut Vec<Moved>,
) -> Result<Option<Arc<str>>, Fallback> {
    predictor.available(cycle.now)?;
    if feasible.len() < 2 {
        return Err(Fallback::NothingToCompare);
    }
    if weight <= 0.0 || most < 2 {
        return Err(Fallback::Disabled);
    }
    let mut order: Vec<usize> = (0..feasible.len()).collect();
    let lot = |at: usize| mix(cycle.seed ^ state.name_hash(feasible[at]));
    let by_rank = |a: &usize, b: &usize| totals[*b].total_cmp(&totals[*a]).then_with(|| lot(*b).cmp(&lot(*a)));
    if most < order.len() {
        order.select_nth_unstable_by(most, by_rank);
        order.truncate(most);
    }
    order.sort_by(by_rank);
    let candidates: Vec<NodeView<'_>> = order.iter().map(|&at| state.view(feasible[at])).collect();
    let request = PredictRequest { pod, cluster: state.summary(), candidates: &candidates, now: cycle.now };
    let mut predictions = Vec::with_capacity(candidates.len());
    predictor.predict(&request, &mut predictions)?;
    let sound = |p: &NodePrediction| p.p_bad.is_finite() && p.confidence.is_finite();
    if predictions.len() != candidates.len() || !predictions.iter().all(sound) {
        return Err(Fallback::Failed("the model's answer does not fit the question".into()));
    }
    let mut by_risk: Vec<f64> = predictions.iter().map(|prediction| prediction.p_bad).collect();
    by_risk.sort_by(f64::total_cmp);
    let median = logit(by_risk[by_risk.len() / 2]);
    moved.extend(order.into_iter().zip(predictions).map(|(at, prediction)| {
        let better = (median - logit(prediction.p_bad)).clamp(-2.0, 2.0);
        (at, weight * prediction.confidence.clamp(0.0, 1.0) * better, prediction)
    }));
    moved.sort_unstable_by_key(|(at, ..)| *at);
    Ok(predictor.model_for(pod))
}

/// Scores of the plugins that take a look at the whole cluster and have a say on the pod.
fn surveyed_scores(
    state: &ClusterState,
    pod: &Pod,
    profile: &Profile,
    feasible: &[NodeId],
) -> Vec<(PluginId, i64, Vec<i64>)> {
    let arguments = profile.plugins.arguments();
    let scoring = plugins::ALL.iter().map(|plugin| (plugin, profile.weight(plugin.id())));
    scoring
        .filter(|(_, weight)| *weight != 0)
        .filter_map(|(plugin, weight)| {
            Some((plugin.id(), weight, plugin.survey_scores(pod, state, feasible, arguments)?))
        })
        .collect()
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}

/// A decision without a node.
fn bare(state: &ClusterState, pod: &Pod, cycle: Cycle, outcome: Outcome, reason: String) -> Decision {
    Decision {
        outcome,
        algorithm: Algorithm::EnhancedScoring,
        fallback: Some(Fallback::NothingToCompare),
        model_id: None,
        model_weight: 0.0,
        confidence: 0.0,
        propensity: 0.0,
        total_nodes: state.node_count(),
        feasible_nodes: 0,
        chosen: None,
        runner_up: None,
        nodes: Vec::new(),
        not_considered: unsupported::preferred(state, pod),
        volumes: PodVolumes::default(),
        reason,
        cycle,
    }
}

/// The decision on a pod that a plugin turns away before any node is looked at.
fn turned_away(state: &ClusterState, pod: &Pod, profile: &Profile, cycle: Cycle) -> Option<Decision> {
    if state.node_count() == 0 {
        return None;
    }
    let stopped = |id: &PluginId| Some((*id, plugins::find(*id)?.admit(pod, state).err()?));
    let (plugin, stop) = profile.plugins.pre_filter().iter().find_map(stopped)?;
    let why = match stop {
        Stop::Rejected(why) => why,
        Stop::Failed(error) => {
            let error = format!("running PreFilter plugin \"{}\": {error}", plugin.name());
            return Some(bare(state, pod, cycle, Outcome::Failed(error.clone()), error));
        }
    };
    let diagnosis = Diagnosis {
        nodes: state.node_count(),
        reasons: BTreeMap::from([(why.clone(), state.node_count())]),
        plugins: PluginSet::of(&[plugin]),
        asks_for_claims: profile.plugins.post_filter().contains(PluginId::DynamicResources),
        preemption: preempt::hopeless(state, pod, &profile.plugins),
        turned_away: Some(why),
    };
    let reason = diagnosis.message();
    Some(bare(state, pod, cycle, Outcome::Unschedulable(diagnosis), reason))
}

fn unschedulable<'a>(judgement: &Judgement<'a>, state: &'a ClusterState, pod: &Pod, cycle: Cycle) -> Decision {
    let mut tally = Tally::default();
    let narrowed = judgement.verdicts.narrowed();
    let left_out =
        |id: NodeId| narrowed.is_some_and(|narrowed| narrowed.names.binary_search(state.view(id).name()).is_err());
    let mut outside = 0;
    for id in state.ids() {
        if left_out(id) {
            outside += 1;
        } else if let Some(rejection) = judgement.status(id) {
            tally.add(rejection);
        }
    }
    let mut plugins = tally.plugins();
    let mut reasons = tally.reasons(&pod.spec);
    if let (Some(narrowed), 1..) = (narrowed, outside) {
        reasons.insert(narrowed_reason(narrowed.by), outside);
        plugins.insert(narrowed.by);
    }
    if state.node_count() == 0 {
        // A node that could hold the pod is what it waits for.
        plugins.insert(PluginId::NodeResourcesFit);
    }
    let preemption = preempt::outlook(state, pod, judgement, left_out, cycle.now);
    let asks_for_claims = judgement.verdicts.plugins().post_filter().contains(PluginId::DynamicResources);
    let nodes = state.node_count();
    let diagnosis = Diagnosis { nodes, reasons, plugins, turned_away: None, asks_for_claims, preemption };
    let reason = diagnosis.message();
    let mut decision = bare(state, pod, cycle, Outcome::Unschedulable(diagnosis), reason);
    if cycle.detail == Detail::Full {
        decision.nodes.extend(rejections(judgement, state, &pod.spec));
        decision.nodes.sort_by(|a, b| a.node.cmp(&b.node));
    }
    decision
}

/// Reports on all nodes that are not feasible.
fn rejections<'a>(
    judgement: &'a Judgement<'_>,
    state: &'a ClusterState,
    spec: &'a PodSpec,
) -> impl Iterator<Item = NodeReport> + 'a {
    state.ids().filter_map(move |id| {
        let node = state.view(id).name().clone();
        let outside = judgement.verdicts.narrowed().filter(|narrowed| narrowed.names.binary_search(&node).is_err());
        let rejection = match (outside, judgement.status(id)) {
            (Some(narrowed), _) => NodeRejection {
                plugin: None,
                code: Code::UnschedulableAndUnresolvable,
                reasons: vec![narrowed_reason(narrowed.by)],
            },
            (None, Some(rejection)) => {
                NodeRejection { plugin: Some(rejection.plugin), code: rejection.code, reasons: texts(spec, rejection) }
            }
            (None, None) => return None,
        };
        Some(NodeReport {
            node,
            rejection: Some(rejection),
            plugins: Vec::new(),
            enhanced: None,
            prediction: None,
            model_part: 0.0,
            total: 0.0,
        })
    })
}

/// The plugins whose judgement a refused pod lacks: it waits for what concerns them.
pub(crate) fn refused_by(state: &ClusterState, pod: &Pod, profile: &Profile) -> PluginSet {
    unsupported::required(state, pod, &profile.plugins).1
}

fn chosen_sentence(
    chosen: &NodeReport,
    runner_up: Option<&NodeReport>,
    feasible: usize,
    nodes: usize,
    equals: usize,
) -> String {
    let place = format!("{feasible} of {nodes} nodes can take the pod");
    match runner_up {
        None => format!("{} is the only one of {nodes} nodes that can take the pod", chosen.node),
        Some(second) if equals > 1 => format!(
            "{place}; {} was drawn from {equals} equally good ones (score {:.1}), {} among them",
            chosen.node, chosen.total, second.node
        ),
        Some(second) => {
            let (what, by) = main_difference(chosen, second);
            format!(
                "{place}; {} scores {:.1}, {:.1} more than {}, mostly by {what} ({by:+.1})",
                chosen.node,
                chosen.total,
                chosen.total - second.total,
                second.node
            )
        }
    }
}

/// What speaks most for the first against the second, and by how much.
fn main_difference(first: &NodeReport, second: &NodeReport) -> (&'static str, f64) {
    let plugins = first.plugins.iter().map(|(plugin, score)| {
        let other = second.plugins.iter().find(|(known, _)| known == plugin).map_or(0, |(_, score)| *score);
        (plugin.name(), (score - other) as f64)
    });
    let total = |report: &NodeReport| report.enhanced.map_or(0.0, |enhanced| enhanced.total);
    plugins
        .chain([
            ("its live signals", total(first) - total(second)),
            ("the model", first.model_part - second.model_part),
        ])
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or(("nothing", 0.0))
}
