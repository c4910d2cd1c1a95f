//! The engine as the HTTP services see it: [`Backend`].

mod what_if;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use augur_api::dto::{
    AiFeatures, Algorithm, Contributions, Features, NodePrediction, Outlook, PodRequirements, Prediction, Thresholds,
    WhatIfAnswer, WhatIfBody,
};
use augur_api::{
    Answer, ApiError, Binding, Candidate, Check, CheckStatus, Health, ModelStatus, NodeView, PodQuery, PodSource,
    SchedulerBackend,
};
use augur_core::cycle::{Algorithm as CoreAlgorithm, Decision, NodeReport, WithoutPods};
use augur_core::object::Pod;
use augur_core::plugins::Code;
use augur_core::predictor::Predictor;
use augur_kube::{Leadership, convert, wire};
use augur_learn::{FeatureVector, Parts, PodFacts, row_of};
use futures::FutureExt;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::engine::{
    Copied, CopyError, DryRun, EngineHandle, EngineStatus, Mode, NodeSnapshot, QueryError, Recorder, Shared,
};
use crate::learner::{LearnerPlace, Swaps};

/// A silence of the API server beyond this is told: bookmarks come about each minute.
const SILENCE: Duration = Duration::from_secs(300);

/// How long a question waits for another that is answered on a copy of the cluster: twice what such an answer takes at most.
const TURN_WITHIN: Duration = Duration::from_secs(20);

/// Makes a predictor with nothing kept: what one keeps about nodes holds for one state of the cluster only.
pub type NewPredictor = Arc<dyn Fn() -> Box<dyn Predictor + Send + Sync> + Send + Sync>;

/// The engine behind the services.
pub struct Backend {
    engine: EngineHandle,
    thresholds: Thresholds,
    swaps: Swaps,
    learner: LearnerPlace,
    /// Whether it is no failure when the source of readings has none.
    fallback: bool,
    new_predictor: NewPredictor,
    /// One copy of the cluster at a time: each takes memory and a core.
    copying: Arc<Semaphore>,
}

impl Backend {
    /// A backend; dry runs on copies of the cluster ask predictors that `new_predictor` makes.
    pub fn new(
        engine: EngineHandle,
        thresholds: Thresholds,
        swaps: Swaps,
        learner: LearnerPlace,
        fallback: bool,
        new_predictor: NewPredictor,
    ) -> Self {
        let copying = Arc::new(Semaphore::new(1));
        Backend { engine, thresholds, swaps, learner, fallback, new_predictor, copying }
    }

    /// Answers on a copy of the cluster, off the scheduler thread and off the threads that serve.
    fn on_copy<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<Question<T>, ApiError>> + Send + 'static,
    ) -> Answer<T> {
        let (engine, copying, new_predictor) = (self.engine.clone(), self.copying.clone(), self.new_predictor.clone());
        async move {
            let answer = question.await?;
            let turn: OwnedSemaphorePermit = match tokio::time::timeout(TURN_WITHIN, copying.acquire_owned()).await {
                Ok(Ok(turn)) => turn,
                _ => return Err(ApiError::unavailable("busy", "too many dry runs at once; try again")),
            };
            let copied = engine.copy().await.map_err(no_copy)?;
            let work = move || {
                let result = answer(copied, &*new_predictor());
                drop(turn);
                result
            };
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|error| ApiError::unavailable("dry_run_failed", format!("the dry run failed: {error}")))?
        }
        .boxed()
    }

    fn kubernetes(&self) -> Check {
        let status = self.engine.status();
        let watches = self.engine.watches();
        let silence = watches.silence();
        let synced = watches.is_synced();
        match silence {
            _ if status.stopped => {
                Check::new(CheckStatus::Unhealthy, "the scheduler thread has ended; restart the service")
            }
            None => Check::new(
                CheckStatus::Unhealthy,
                format!("nodes and pods have not been listed yet{}", denied(watches)),
            ),
            Some(_) if !synced => {
                let message = format!("a watch is broken; decisions go on with what is known{}", denied(watches));
                Check::new(CheckStatus::Degraded, message)
            }
            Some(silence) if silence > SILENCE => {
                Check::new(CheckStatus::Degraded, format!("the API server has been silent for {} s", silence.as_secs()))
            }
            Some(_) => {
                let EngineStatus { nodes, placed_pods, binding, bound, .. } = *status;
                let mut message = format!(
                    "watches in sync; {nodes} nodes, {placed_pods} pods on them; {bound} bound, {binding} being bound"
                );
                for (count, what) in losses(&status, watches) {
                    if count > 0 {
                        message.push_str(&format!("; {count} {what}"));
                    }
                }
                message.push_str(&denied(watches));
                Check::new(CheckStatus::Healthy, message)
            }
        }
    }

    fn leader(&self) -> Check {
        match self.engine.leadership() {
            _ if self.engine.mode() == Mode::Shadow => {
                Check::new(CheckStatus::Healthy, "shadow mode: others decide, nothing is written")
            }
            Leadership::Alone => Check::new(CheckStatus::Healthy, "no election is held; this replica leads"),
            Leadership::Leader => Check::new(CheckStatus::Healthy, "this replica leads"),
            Leadership::Standby { error: Some(error), .. } => {
                Check::new(CheckStatus::Degraded, format!("nothing is decided here: {error}"))
            }
            Leadership::Standby { holder: Some(holder), .. } => {
                Check::new(CheckStatus::Healthy, format!("this replica stands by; {holder} leads"))
            }
            Leadership::Standby { .. } => Check::new(CheckStatus::Healthy, "this replica stands by; nobody leads yet"),
        }
    }

    fn metrics_api(&self) -> Check {
        let status = self.engine.status();
        let metrics = &status.metrics;
        match (&metrics.nodes_error, metrics.asked) {
            (_, None) => Check::new(CheckStatus::Degraded, "the source of readings has not been asked yet"),
            (Some(error), _) => {
                let status = if self.fallback { CheckStatus::Degraded } else { CheckStatus::Unhealthy };
                Check::new(status, format!("{}: {error}", metrics.source))
            }
            (None, Some(_)) if metrics.readings.0 == 0 => {
                Check::new(CheckStatus::Degraded, format!("{} tells of no node", metrics.source))
            }
            (None, Some(_)) if metrics.pods_error.is_some() || !metrics.warnings.is_empty() => {
                let pods = metrics.pods_error.iter().map(|error| format!("no readings of pods: {error}"));
                let warnings = metrics.warnings.iter().map(|warning| format!("incomplete: {warning}"));
                let reasons: Vec<_> = pods.chain(warnings).collect();
                Check::new(CheckStatus::Degraded, format!("{}: {}", metrics.source, reasons.join("; ")))
            }
            (None, Some(_)) if metrics.unread > 0 || !metrics.latest_rejected.is_empty() => {
                let reasons: Vec<_> =
                    metrics.latest_rejected.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
                let (source, unread) = (&metrics.source, metrics.unread);
                let mut message = format!("{source}: {unread} ready nodes without a reading to be believed");
                if !reasons.is_empty() {
                    message.push_str(&format!("; readings left out: {}", reasons.join(", ")));
                }
                Check::new(CheckStatus::Degraded, message)
            }
            (None, Some(_)) => {
                let (nodes, pods) = metrics.readings;
                Check::new(
                    CheckStatus::Healthy,
                    format!("{}: readings of {nodes} nodes and {pods} pods", metrics.source),
                )
            }
        }
    }
}

impl SchedulerBackend for Backend {
    fn health(&self) -> Health {
        let status = self.engine.status();
        let model = match self.engine.model() {
            (Some(id), None) => Check::new(CheckStatus::Healthy, format!("model {id} has a say")),
            (_, reason) => Check::new(
                CheckStatus::Degraded,
                format!(
                    "decisions are made by enhanced scoring alone: {}",
                    reason.as_ref().map_or("not_trained", |reason| reason.code())
                ),
            ),
        };
        Health {
            kubernetes: self.kubernetes(),
            metrics_api: self.metrics_api(),
            learner: self.learner.check(),
            model,
            leader: self.leader(),
            ready: status.ready && !status.stopped,
            alive: !status.stopped,
            leads: self.engine.leadership().leads(),
        }
    }

    fn nodes(&self, with_pods: bool) -> Answer<Vec<NodeView>> {
        let nodes = self.engine.query(move |view| view.nodes(with_pods));
        async move {
            let nodes = nodes.await.map_err(unavailable)?;
            Ok(nodes.into_iter().map(NodeSnapshot::view).collect())
        }
        .boxed()
    }

    fn predict(&self, query: PodQuery) -> Answer<Prediction> {
        let (engine, thresholds, swaps) = (self.engine.clone(), self.thresholds, self.swaps.clone());
        async move {
            let pod = asked_for(&engine, &query).await?;
            let record = query.record;
            let dry_run = engine.query(move |view| view.is_ready().then(|| view.dry_run(pod, thresholds, record)));
            let dry_run = dry_run.await.map_err(unavailable)?.ok_or_else(not_ready)?;
            let model = dry_run.decision.model_id.as_ref().and_then(|id| swaps.model(id));
            let parts = model.and_then(|model| Some(model.answer(&row_of(&dry_run.features)?).ok()?.1));
            Ok(prediction(query, dry_run, parts))
        }
        .boxed()
    }

    fn what_if(&self, question: WhatIfBody) -> Answer<WhatIfAnswer> {
        self.on_copy(async move {
            let pods = what_if::pods_of(&question.workloads)?;
            let answer: Question<WhatIfAnswer> =
                Box::new(move |copied, predictor| what_if::rehearse(copied, pods, &question, predictor));
            Ok(answer)
        })
    }

    fn outlook(&self, namespace: String, name: String) -> Answer<Outlook> {
        let engine = self.engine.clone();
        self.on_copy(async move {
            let query = PodQuery { namespace, name, source: PodSource::Cluster, record: false };
            let pod = existing(&engine, &query).await?;
            let answer: Question<Outlook> =
                Box::new(move |copied, predictor| Ok(what_if::outlook(copied, &pod, predictor)));
            Ok(answer)
        })
    }

    fn features(&self, query: PodQuery) -> Answer<Vec<(Arc<str>, FeatureVector)>> {
        let engine = self.engine.clone();
        async move {
            let pod = asked_for(&engine, &query).await?;
            let rows = engine.query(move |view| view.is_ready().then(|| view.features(&pod)));
            rows.await.map_err(unavailable)?.ok_or_else(not_ready)
        }
        .boxed()
    }

    fn train(&self, token: Option<HeaderValue>) -> Answer<serde_json::Value> {
        self.learner.train(token)
    }

    fn contrast(&self, model_id: &str, row: &[Option<f64>], other: &[Option<f64>]) -> Option<Vec<(&'static str, f64)>> {
        let model = self.swaps.model(model_id)?;
        model.contrast(&row_of(row)?, &row_of(other)?).ok()
    }

    fn confidence(&self, model_id: &str, row: &[Option<f64>]) -> Option<Parts> {
        let (_, parts) = self.swaps.model(model_id)?.answer(&row_of(row)?).ok()?;
        Some(parts)
    }

    fn preempt(&self, pod: Box<RawValue>, candidates: Vec<Candidate>) -> Answer<Vec<bool>> {
        let engine = self.engine.clone();
        async move {
            let pod = read_pod(pod.get())?;
            let of = |it: Candidate| WithoutPods {
                node: it.node.into(),
                leaving: it.victims.into_iter().map(Into::into).collect(),
            };
            let nodes: Vec<WithoutPods> = candidates.into_iter().map(of).collect();
            let fits = engine.query(move |view| view.is_ready().then(|| view.fits_without(&pod, &nodes)));
            let fits = fits.await.map_err(unavailable)?.ok_or_else(not_ready)?;
            Ok(fits.iter().map(Result::is_ok).collect())
        }
        .boxed()
    }

    fn bind(&self, binding: Binding) -> Answer<()> {
        let engine = self.engine.clone();
        async move {
            let Binding { namespace, name, uid, node } = binding;
            let refused = |message: String| ApiError::new(StatusCode::CONFLICT, "not_bound", message);
            let known = engine.fetch_pod(&namespace, &name).await.map_err(|error| {
                ApiError::unavailable("kubernetes_unavailable", format!("cannot get the pod: {error}"))
            })?;
            let pod = known.map(|json| read_pod(&json)).transpose()?.filter(|pod| *pod.uid == *uid);
            let pod = pod.ok_or_else(|| refused(format!("there is no pod {namespace}/{name} with uid {uid}")))?;
            if let Some(node) = &pod.node {
                return Err(refused(format!("pod {namespace}/{name} is already assigned to node \"{node}\"")));
            }
            // The node may have changed since the other scheduler looked at it.
            let place = [WithoutPods { node: node.as_str().into(), leaving: Vec::new() }];
            let fits = engine.query(move |view| view.is_ready().then(|| view.fits_without(&pod, &place)));
            let fits = fits.await.map_err(unavailable)?.ok_or_else(not_ready)?;
            if let Some(Err(reasons)) = fits.into_iter().next() {
                return Err(refused(format!("node {node} cannot take the pod: {}", reasons.join(", "))));
            }
            let binding = augur_kube::Binding {
                namespace: namespace.into(),
                name: name.into(),
                uid: uid.into(),
                node: node.into(),
            };
            engine.bind(&binding).await.map_err(|error| refused(error.to_string()))
        }
        .boxed()
    }

    fn model(&self) -> ModelStatus {
        let (model_id, fallback) = self.engine.model();
        let trained_at = self.swaps.champion().and_then(|m| Timestamp::from_millisecond(m.trained_at_ms).ok());
        let swapped = self.swaps.last();
        ModelStatus {
            model_id: model_id.map(|id| id.to_string()),
            schema: augur_learn::SCHEMA.to_owned(),
            trained_at,
            age_seconds: trained_at.map(|at| self.engine.now().duration_since(at).as_secs_f64()),
            source: swapped.map(|(_, source)| source.to_owned()),
            last_swap: swapped.map(|(at, _)| at),
            fallback_reason: fallback.map(|fallback| fallback.to_string()),
        }
    }
}

/// What is to be done with a copy.
type Question<T> = Box<dyn FnOnce(Copied, &dyn Predictor) -> Result<T, ApiError> + Send>;

fn no_copy(error: CopyError) -> ApiError {
    let code = match error {
        CopyError::NotReady => "not_ready",
        CopyError::Restless => "busy",
        CopyError::Ended(_) => "scheduler_unavailable",
    };
    ApiError::unavailable(code, error.to_string())
}

/// The pod that a query speaks of, as if it had not been placed yet.
async fn asked_for(engine: &EngineHandle, query: &PodQuery) -> Result<Arc<Pod>, ApiError> {
    match &query.source {
        PodSource::Cluster => Ok(unbound(existing(engine, query).await?)),
        PodSource::Spec(json) => read_spec(query, json.get()).map(Arc::new),
        PodSource::Pod(json) => read_pod(json.get()).map(Arc::new),
    }
}

/// The pod of that name in the cluster: as the scheduler knows it, else (for what another scheduler is to place, or what has
/// ended) as the API server has it.
async fn existing(engine: &EngineHandle, query: &PodQuery) -> Result<Arc<Pod>, ApiError> {
    let (namespace, name) = (query.namespace.clone(), query.name.clone());
    let known = engine.query(move |view| view.is_ready().then(|| view.pod(&namespace, &name)));
    if let Some(pod) = known.await.map_err(unavailable)?.ok_or_else(not_ready)? {
        return Ok(pod);
    }
    match engine.fetch_pod(&query.namespace, &query.name).await {
        Ok(Some(json)) => read_pod(&json).map(Arc::new),
        Ok(None) => Err(ApiError::not_found(
            "pod_not_found",
            format!("there is no pod {}/{}; give a pod_spec to ask for one", query.namespace, query.name),
        )),
        Err(error) => Err(ApiError::unavailable("kubernetes_unavailable", format!("cannot get the pod: {error}"))),
    }
}

/// The pod as if it had not been placed yet.
fn unbound(pod: Arc<Pod>) -> Arc<Pod> {
    match pod.node {
        Some(_) => Arc::new(Pod { node: None, ..(*pod).clone() }),
        None => pod,
    }
}

/// What went wrong since the start without stopping anything.
fn losses(status: &EngineStatus, watches: &Shared) -> Vec<(u64, String)> {
    let mut losses = vec![
        (status.binding_errors, "bindings failed".to_owned()),
        (status.rejections, "pods refused by kubelets".to_owned()),
        (status.recalled, "bindings recalled".to_owned()),
        (status.events_dropped, "events lost".to_owned()),
        (status.conditions_lost, "conditions not accepted".to_owned()),
    ];
    let skipped = watches.skipped().into_iter();
    losses.extend(skipped.map(|(kind, reason, count)| (count, format!("{kind} skipped as {reason}"))));
    losses
}

/// The rights that the API server has denied since the start, as the end of a sentence.
fn denied(watches: &Shared) -> String {
    let denied = watches.denials.counts();
    let rights: Vec<String> = denied.iter().map(|(right, count)| format!("{right} ({count} times)")).collect();
    if rights.is_empty() { String::new() } else { format!("; denied by the API server: {}", rights.join(", ")) }
}

fn not_ready() -> ApiError {
    ApiError::unavailable("not_ready", "nodes and pods have not been listed yet; try again")
}

fn unavailable(error: QueryError) -> ApiError {
    ApiError::unavailable("scheduler_unavailable", error.to_string())
}

/// A pod that exists only in a request.
fn read_spec(query: &PodQuery, json: &str) -> Result<Pod, ApiError> {
    let spec: wire::PodSpec<'_> =
        serde_json::from_str(json).map_err(|error| not_understood("pod_spec", json, &error))?;
    let node = (!spec.node_name.is_empty()).then(|| spec.node_name.as_str().into());
    let spec = convert::pod_spec(&wire::ObjectMeta::default(), &spec)
        .map_err(|skipped| ApiError::unprocessable("invalid_pod", format!("pod_spec.{}", skipped.detail)))?;
    Ok(Pod { node, ..Pod::new("", &query.namespace, &query.name, Arc::new(spec)) })
}

fn read_pod(json: &str) -> Result<Pod, ApiError> {
    let pod: wire::Pod<'_> = serde_json::from_str(json).map_err(|error| not_understood("pod", json, &error))?;
    convert::pod(&pod).map_err(|skipped| ApiError::unprocessable("invalid_pod", skipped.detail))
}

/// The error with the field at which reading ended.
fn not_understood(what: &str, json: &str, error: &serde_json::Error) -> ApiError {
    let lines: usize = json.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let end = json.floor_char_boundary(lines + error.column());
    let field = json[..end].rsplit_once("\":").and_then(|(before, _)| before.rsplit_once('"')).map(|(_, key)| key);
    let place = field.map_or(what.to_owned(), |field| format!("{what}: field {field}"));
    ApiError::unprocessable("invalid_pod", format!("{place}: {error}"))
}

/// A lead over the runner-up of fewer points is named as a reason for low confidence.
const SMALL_LEAD: f64 = 5.0;

/// What keeps the confidence of a decision low.
fn confidence_reasons(decision: &Decision, parts: Option<&Parts>) -> Vec<String> {
    let mut reasons: Vec<String> = Vec::new();
    let Some(chosen) = &decision.chosen else { return reasons };
    if let Some(other) = &decision.runner_up {
        let lead = (chosen.total - other.total).abs();
        if lead == 0.0 {
            reasons.push(format!("{} is as good", other.node));
        } else if lead < SMALL_LEAD {
            reasons.push(format!("{} is only {lead:.1} points behind", other.node));
        }
    }
    match (parts, &decision.fallback) {
        (Some(parts), _) => reasons.extend(parts.reasons().into_iter().map(str::to_owned)),
        (None, Some(fallback)) => reasons.push(format!("no model had a say: {fallback}")),
        (None, None) => {}
    }
    if parts.is_none() && chosen.enhanced.is_some_and(|enhanced| enhanced.coverage < 1.0) {
        reasons.push("live signals of the node are missing".to_owned());
    }
    reasons
}

/// The answer of the contract; `parts` is what the model's confidence is made of.
fn prediction(query: PodQuery, dry_run: DryRun, parts: Option<Parts>) -> Prediction {
    let DryRun { pod, mut decision, id, features, cluster, rates } = dry_run;
    let node = decision.node().cloned();
    let recorder = Recorder::new();
    let mut texts: HashMap<String, Arc<str>> = HashMap::new();
    let mut reports = std::mem::take(&mut decision.nodes);
    // Best first; those that do not fit last. The chosen one leads its equals.
    reports.sort_by(|a, b| {
        let rank = |report: &NodeReport| (report.rejection.is_some(), Some(&report.node) != node.as_ref());
        let by_total = b.total.total_cmp(&a.total);
        rank(a).0.cmp(&rank(b).0).then(by_total).then(rank(a).1.cmp(&rank(b).1)).then_with(|| a.node.cmp(&b.node))
    });
    let node_predictions = reports
        .into_iter()
        .map(|report| {
            let contributions = recorder.parts(&report).into_iter().map(|part| (part.plugin, part.points));
            let contributions = Contributions(contributions.collect());
            let feasible = report.rejection.is_none();
            let stability_score = rates.nodes.get(&report.node).and_then(|rates| rates.stability_score);
            let (unresolvable, reasons) = match report.rejection {
                None => (false, Vec::new()),
                Some(rejection) => {
                    let mut shared =
                        |text: String| texts.entry(text).or_insert_with_key(|text| text.as_str().into()).clone();
                    let reasons = rejection.reasons.into_iter().map(&mut shared).collect();
                    (rejection.code == Code::UnschedulableAndUnresolvable, reasons)
                }
            };
            NodePrediction {
                feasible,
                reasons,
                unresolvable,
                resource_score: report.enhanced.map(|score| score.resource_score),
                readiness_score: report.enhanced.map(|score| score.readiness_score),
                stability_score,
                stability_score_reason: stability_score.is_none().then_some("no pod has been seen on this node yet"),
                ml_confidence: report.prediction.map(|prediction| prediction.confidence),
                ml_prediction: report.prediction.map(|prediction| u8::from(prediction.p_bad < 0.5)),
                ml_probabilities: report.prediction.map(|prediction| [prediction.p_bad, 1.0 - prediction.p_bad]),
                p_bad: report.prediction.map(|prediction| prediction.p_bad),
                total_score: feasible.then_some(report.total),
                contributions,
                node_name: report.node,
            }
        })
        .collect();
    let requests = PodFacts::of(&pod, &rates, None);
    let confidence_reasons = confidence_reasons(&decision, parts.as_ref());
    Prediction {
        pod_name: query.name,
        pod_namespace: query.namespace,
        confidence: node.is_some().then_some(decision.confidence),
        confidence_reason: node.is_none().then(|| "no node was chosen".to_owned()),
        confidence_reasons,
        n_eff: parts.map(|parts| parts.n_eff),
        predicted_node: node,
        reason: decision.reason,
        algorithm: match decision.algorithm {
            CoreAlgorithm::EnhancedScoring => Algorithm::EnhancedScoring,
            CoreAlgorithm::MlPrediction => Algorithm::MlPrediction,
        },
        fallback_reason: decision.fallback.map(|fallback| fallback.to_string().into()),
        model_id: decision.model_id,
        decision_id: id,
        runner_up: decision.runner_up.map(|report| report.node),
        ai_features: AiFeatures {
            pod_requirements: PodRequirements {
                cpu_request: requests.cpu_request,
                memory_request: requests.memory_request,
            },
            cluster_state: cluster,
            features: Features(features),
        },
        node_predictions,
    }
}
