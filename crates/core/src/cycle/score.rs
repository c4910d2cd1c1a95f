//! The choice among the nodes that a pod fits: [`Scoring::place`].
//!
//! Where neither live signals nor a model have a part, the best node is known from what is kept; else every node that
//! the pod fits gets its total.

use std::sync::Arc;

use super::company::Domains;
use super::decision::{Algorithm, Cycle, Decision, Detail, NodeReport, Outcome};
use super::explore::{Tried, explore};
use super::report::{chosen_sentence, explored_sentence, rejections};
use super::standing::{Choice, Standing};
use super::{Outside, confidence, unsupported};
use crate::enhanced::{EnhancedConfig, EnhancedRow, EnhancedScorer};
use crate::extender::{Advice, Opinion};
use crate::object::{Pod, PodDevices};
use crate::plugins::{PluginId, dynamic_resources, volume_binding};
use crate::predictor::{Fallback, NodePrediction, PredictRequest, Predictor};
use crate::profile::{MAX_MODEL_SHARE, Profile};
use crate::state::{ClusterState, NodeId, NodeView, mix, name_hash};

/// The rows of enhanced scoring, for one configuration.
struct EnhancedColumn {
    config: EnhancedConfig,
    observed: u64,
    rows: Vec<EnhancedRow>,
    /// Whether anything is known of any node.
    any_known: bool,
    /// Whether what is known tells no node from another.
    alike: bool,
    /// A scorer that holds for whichever nodes are compared, where there is one: no part is known of some nodes only, or what is
    /// known is the same everywhere.
    scorer: Option<EnhancedScorer>,
    /// By row, what this scorer gives and what it takes for the risk, weights included.
    bonuses: Vec<(f64, f64)>,
}

/// What a model said of a candidate, and what that moved the score by.
type Moved = (NodeId, f64, NodePrediction);

/// Scores and chooses, with what is kept for it.
#[derive(Default)]
pub(super) struct Scoring {
    enhanced: Option<EnhancedColumn>,
    feasible: Vec<NodeId>,
    totals: Vec<f64>,
}

/// Adds up the total of a node.
struct Totals<'t> {
    state: &'t ClusterState,
    standing: &'t Standing,
    scorer: &'t EnhancedScorer,
    /// What enhanced scoring is multiplied with; 0 where it does not count.
    weight: f64,
    /// What a risk of 1 takes from a node's score.
    risk_weight: f64,
    /// Where anything is known, by row.
    rows: Option<&'t [EnhancedRow]>,
    /// What enhanced scoring and risk add, by row, where that has been worked out.
    bonuses: Option<&'t [(f64, f64)]>,
    /// By node.
    moved: &'t [Moved],
    /// What devices are worth, by node in the order of name hashes; empty where that is the same everywhere.
    devices: &'t [(u64, i64)],
    /// What extenders said, if they gave points and there is something to compare.
    advice: Option<&'t Advice>,
}

impl Totals<'_> {
    /// What the model said of the node, if it was asked.
    fn moved(&self, id: NodeId) -> Option<&Moved> {
        self.moved.binary_search_by_key(&id, |(id, ..)| *id).ok().map(|at| &self.moved[at])
    }

    fn without_model(&self, id: NodeId) -> f64 {
        let (enhanced, risk) = match self.bonuses {
            Some(bonuses) => bonuses[id.index()],
            None => {
                let row = self.rows.map_or(EnhancedRow::default(), |rows| rows[id.index()]);
                let enhanced = if self.weight > 0.0 { self.weight * self.scorer.total(&row) } else { 0.0 };
                (enhanced, self.risk_part(id))
            }
        };
        let scores = self.standing.total(id) + self.devices(id).unwrap_or(0);
        scores.saturating_add(self.extenders(id).map_or(0, Opinion::total)) as f64 + enhanced + risk
    }

    fn extenders(&self, id: NodeId) -> Option<&Opinion> {
        self.advice.and_then(|advice| advice.of(self.state.view(id).name()))
    }

    /// What the node's risk takes from its score.
    fn risk_part(&self, id: NodeId) -> f64 {
        let part = |rows: &[EnhancedRow]| -self.risk_weight * self.scorer.risk(&rows[id.index()]);
        self.rows.filter(|_| self.risk_weight > 0.0).map_or(0.0, part)
    }

    /// The weighted score of DynamicResources, if it has a say.
    fn devices(&self, id: NodeId) -> Option<i64> {
        if self.devices.is_empty() {
            return None;
        }
        let hash = self.state.name_hash(id);
        self.devices.binary_search_by_key(&hash, |(hash, _)| *hash).ok().map(|at| self.devices[at].1)
    }

    fn of(&self, id: NodeId) -> f64 {
        self.without_model(id) + self.moved(id).map_or(0.0, |(_, part, _)| *part)
    }
}

impl Scoring {
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
        let all = || state.ids().map(|id| &rows[id.index()]);
        let any_known = all().any(EnhancedRow::knows_anything);
        let common = EnhancedRow::common(all());
        let alike = common.is_some();
        let mut scorer = EnhancedScorer::new(config);
        if let Some(common) = &common {
            scorer.see(common);
        } else {
            all().for_each(|row| scorer.see(row));
        }
        scorer.close();
        let scorer = (alike || scorer.knows_all_alike(state.node_count())).then_some(scorer);
        let weight = config.weight.max(0.0);
        let bonus = |scorer: &EnhancedScorer, row: &EnhancedRow| {
            (weight * scorer.total(row), -weight * config.risk_weight.max(0.0) * scorer.risk(row))
        };
        let bonuses = match &scorer {
            // Where all are alike nothing is compared.
            Some(scorer) if !alike => rows.iter().map(|row| bonus(scorer, row)).collect(),
            _ => Vec::new(),
        };
        self.enhanced = Some(EnhancedColumn {
            config: config.clone(),
            observed: state.observed(),
            rows,
            any_known,
            alike,
            scorer,
            bonuses,
        });
    }

    /// Chooses one of the nodes that the pod fits, of which there is at least one.
    pub(super) fn place(
        &mut self,
        standing: &mut Standing,
        domains: &mut Domains,
        state: &ClusterState,
        pod: &Pod,
        profile: &Profile,
        Outside { predictor, advice, cycle }: Outside<'_>,
    ) -> Decision {
        let feasible_nodes = standing.feasible();
        // As kube-scheduler: with one feasible node there is nothing to compare and no score.
        let compares = feasible_nodes > 1;
        if compares {
            standing.score_groups();
        } else {
            standing.score_nothing();
        }
        self.refresh_enhanced(state, &profile.enhanced);
        let column = self.enhanced.as_ref().filter(|column| column.any_known);
        let alike = column.is_none_or(|column| column.alike);
        let mut feasible = std::mem::take(&mut self.feasible);
        feasible.clear();
        let asks = predictor.available(cycle.now);
        let by_devices = compares && dynamic_resources::tells_apart(pod, state, profile);
        let advice = advice.filter(|advice| compares && advice.has_scores());
        let by_others = by_devices || advice.is_some();
        if !alike || by_others || (compares && asks.is_ok()) || cycle.detail == Detail::Full {
            // The order of rows would show in the last bits of sums.
            feasible.extend(domains.by_hash(state).iter().copied().filter(|id| standing.fits(*id)));
        }
        let scorer = match column.and_then(|column| column.scorer.clone()) {
            Some(scorer) => scorer,
            None => {
                let mut scorer = EnhancedScorer::new(&profile.enhanced);
                if let Some(column) = column {
                    feasible.iter().for_each(|id| scorer.see(&column.rows[id.index()]));
                }
                scorer.close();
                scorer
            }
        };
        let weight = if compares { profile.enhanced.weight.max(0.0) } else { 0.0 };
        let rows = column.filter(|_| weight > 0.0 && scorer.knows_anything()).map(|column| column.rows.as_slice());
        // Worked out with weights, which count only where nodes are compared.
        let bonuses = column.filter(|column| rows.is_some() && !column.bonuses.is_empty());
        let bonuses = bonuses.map(|column| column.bonuses.as_slice());
        let compared = rows.is_some() && !alike;
        let risk_weight = if rows.is_some() { weight * profile.enhanced.risk_weight.max(0.0) } else { 0.0 };
        let mut range = standing.range() as f64 + weight * 100.0 + risk_weight;
        let mut devices = Vec::new();
        if by_devices {
            let weight = profile.weight(PluginId::DynamicResources);
            let scores = dynamic_resources::scores(pod, state, &feasible);
            devices.extend(feasible.iter().zip(scores).map(|(id, score)| (state.name_hash(*id), weight * score)));
            range += 100.0 * weight as f64;
        }
        range += advice.map_or(0.0, |advice| advice.range() as f64);
        let mut moved = Vec::new();
        let mut all = std::mem::take(&mut self.totals);
        all.clear();
        if compared || by_others || (compares && asks.is_ok()) {
            let (scorer, moved, devices) = (&scorer, &[][..], &devices[..]);
            let totals = Totals { state, standing, scorer, weight, risk_weight, rows, bonuses, moved, devices, advice };
            all.extend(feasible.iter().map(|id| totals.without_model(*id)));
        }
        let limits = (profile.model_share.clamp(0.0, MAX_MODEL_SHARE) * range, profile.model_candidates);
        let model = asks.and_then(|()| {
            if !compares {
                return Err(Fallback::NothingToCompare);
            }
            ask_model(state, pod, predictor, cycle, limits, &feasible, &all, &mut moved)
        });
        for (id, part, _) in &moved {
            if let Ok(at) = feasible.binary_search_by_key(&state.name_hash(*id), |id| state.name_hash(*id)) {
                all[at] += part;
            }
        }
        let choice = if compared || by_others || !moved.is_empty() {
            choose_among(cycle.seed, &feasible, &all)
        } else {
            standing.choose(|equals| draw(cycle.seed, equals))
        };
        let Some(mut choice) = choice else {
            (self.feasible, self.totals) = (feasible, all);
            let error = "no node could be chosen although the pod fits some";
            return super::bare(state, pod, cycle, Outcome::Failed(error.to_owned()), error.to_owned());
        };
        // Room was made for it there, at the cost of others.
        let nominated = state.nomination(&pod.uid).or(pod.nominated_node.as_ref());
        if let Some(place) = nominated.and_then(|name| state.find(name)).filter(|id| standing.fits(*id)) {
            if place != choice.best {
                (choice.second, choice.best) = (Some(choice.best), place);
            }
            choice.equals = 1;
        }
        // Room that was made is not for trying, nor are pods that matter most.
        let exploration = profile.exploration.of(pod, nominated.is_none() && model.is_ok());
        let total = |id: NodeId| {
            let at = feasible.binary_search_by_key(&state.name_hash(id), |id| state.name_hash(*id));
            at.ok().and_then(|at| all.get(at)).copied().unwrap_or(f64::NEG_INFINITY)
        };
        let Tried { choice, explored, propensity } = explore(choice, &exploration, cycle.seed, state, &moved, total);
        let (scorer, moved, devices) = (&scorer, &moved[..], &devices[..]);
        let totals = Totals { state, standing, scorer, weight, risk_weight, rows, bonuses, moved, devices, advice };
        let enhanced = self.enhanced.as_ref().map(|column| column.rows.as_slice()).unwrap_or_default();
        let report = |id: NodeId| NodeReport {
            node: state.view(id).name().clone(),
            rejection: None,
            plugins: if compares {
                let mut parts = standing.parts(state, id);
                parts.extend(totals.devices(id).map(|score| (PluginId::DynamicResources, score)));
                parts.sort_by_key(|(plugin, _)| *plugin);
                parts
            } else {
                Vec::new()
            },
            extenders: totals.extenders(id).map(|opinion| opinion.scores.clone()).unwrap_or_default(),
            enhanced: Some(scorer.score(&enhanced.get(id.index()).copied().unwrap_or_default())),
            risk_part: totals.risk_part(id),
            prediction: totals.moved(id).map(|(_, _, prediction)| *prediction),
            model_part: totals.moved(id).map_or(0.0, |(_, part, _)| *part),
            total: totals.of(id),
        };
        let chosen = report(choice.best);
        let runner_up = choice.second.map(report);
        let margin = runner_up.as_ref().map(|second| (chosen.total - second.total).abs());
        let coverage = match chosen.prediction {
            Some(prediction) => prediction.confidence,
            None => chosen.enhanced.map_or(0.0, |enhanced| enhanced.coverage),
        };
        let mut nodes = Vec::new();
        if cycle.detail == Detail::Full {
            nodes.extend(feasible.iter().map(|id| report(*id)));
            nodes.extend(rejections(standing, state));
            nodes.sort_by(|a, b| a.node.cmp(&b.node));
        }
        let (algorithm, fallback, model_id) = match model {
            Ok(model_id) => (Algorithm::MlPrediction, None, model_id),
            Err(fallback) => (Algorithm::EnhancedScoring, Some(fallback), None),
        };
        let name = chosen.node.clone();
        let reason = match (&runner_up, explored) {
            (Some(best), true) => explored_sentence(&chosen, best, feasible_nodes, state.node_count()),
            (other, _) => chosen_sentence(&chosen, other.as_ref(), feasible_nodes, state.node_count(), choice.equals),
        };
        (self.feasible, self.totals) = (feasible, all);
        Decision {
            outcome: Outcome::Placed(name),
            algorithm,
            fallback,
            model_id,
            model_weight: limits.0,
            confidence: confidence(margin, range, coverage),
            propensity,
            explored,
            total_nodes: state.node_count(),
            feasible_nodes,
            chosen: Some(chosen),
            runner_up,
            nodes,
            not_considered: unsupported::preferred(state, pod),
            volumes: volume_binding::pod_volumes(pod, state, state.view(choice.best).node()),
            devices: match standing.plugins().filter().contains(&PluginId::DynamicResources) {
                true => dynamic_resources::pod_devices(pod, state, state.view(choice.best).node()),
                false => PodDevices::default(),
            },
            reason,
            cycle,
        }
    }
}

/// A number below the given one, each as likely over all seeds.
fn draw(seed: u64, below: usize) -> usize {
    ((u128::from(mix(seed)) * below as u128) >> u64::BITS) as usize
}

/// Chooses the highest total; `feasible` is in the order of name hashes. As [`Standing::choose`] does with what is kept.
fn choose_among(seed: u64, feasible: &[NodeId], totals: &[f64]) -> Option<Choice> {
    // The highest total, and the highest below it with the first that has it.
    let (mut best, mut next) = (f64::NEG_INFINITY, (f64::NEG_INFINITY, None));
    let mut equals: Vec<NodeId> = Vec::new();
    for (&id, &total) in feasible.iter().zip(totals) {
        if total > best {
            next = (best, equals.first().copied());
            best = total;
            equals.clear();
            equals.push(id);
        } else if total == best {
            equals.push(id);
        } else if total > next.0 {
            next = (total, Some(id));
        }
    }
    let drawn = draw(seed, equals.len());
    let second = if equals.len() > 1 { equals.get((drawn + 1) % equals.len()).copied() } else { next.1 };
    Some(Choice { best: *equals.get(drawn)?, second, equals: equals.len() })
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
    if weight <= 0.0 || most < 2 {
        return Err(Fallback::Disabled);
    }
    let mut order: Vec<usize> = (0..feasible.len()).collect();
    // By the pod, not by the seed: which nodes the model sees is then no part of the lot that propensities are of.
    let uid = name_hash(&pod.uid);
    let lot = |at: usize| mix(uid ^ state.name_hash(feasible[at]));
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
        (feasible[at], weight * prediction.confidence.clamp(0.0, 1.0) * better, prediction)
    }));
    moved.sort_unstable_by_key(|(id, ..)| *id);
    Ok(predictor.model_for(pod))
}

fn logit(p: f64) -> f64 {
    let p = p.clamp(1e-6, 1.0 - 1e-6);
    (p / (1.0 - p)).ln()
}
