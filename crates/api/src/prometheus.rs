//! Metrics in OpenMetrics' or Prometheus' own text format.
//!
//! [`SchedulerMetrics`] is what the engine counts: under kube-scheduler's stable names where the same thing is measured, so
//! that existing dashboards work, and under `augur_` otherwise. [`HttpMetrics`] is what a service counts of its own requests.
//! What can be read at any time (nodes, history) is turned into gauges when it is asked for, see [`Gauges`].

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::error::ApiError;

/// Content type of the OpenMetrics format.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of Prometheus' own, older format, which is what tools expect that do not ask for a format.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How an attempt at a pod ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(
    non_camel_case_types,
    reason = "kube-scheduler's label values are lower case, and the derive takes them from here"
)]
pub enum AttemptResult {
    /// Bound.
    scheduled,
    /// No node fitted.
    unschedulable,
    /// Something failed: the binding, say.
    error,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    result: AttemptResult,
    profile: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SkippedLabels {
    kind: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeniedLabels {
    verb: String,
    group: String,
    resource: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IncomingLabels {
    event: &'static str,
    queue: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PointLabels {
    extension_point: &'static str,
    status: &'static str,
    profile: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PluginLabels {
    plugin: &'static str,
    profile: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheLabels {
    r#type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SliLabels {
    attempts: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabels {
    algorithm: &'static str,
    fallback_reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    extender: String,
    verb: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    verb: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// Pods that wait, by queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PendingPods {
    /// Ready to be tried.
    pub active: usize,
    /// Waiting for their back-off to end.
    pub backoff: usize,
    /// Waiting for the cluster to change.
    pub unschedulable: usize,
    /// Waiting for their scheduling gates to be removed.
    pub gated: usize,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// What the engine counts. All methods are cheap and may be called from any thread.
pub struct SchedulerMetrics {
    registry: Registry,
    attempts: Family<AttemptLabels, Counter>,
    attempt_duration: Histograms<AttemptLabels>,
    algorithm_duration: Histogram,
    decision_duration: Histogram,
    points: Histograms<PointLabels>,
    healed: Counter,
    unconfirmed: Counter,
    preemption_attempts: Counter,
    preemption_victims: Histogram,
    unschedulable: Family<PluginLabels, Gauge>,
    cache_size: Family<CacheLabels, Gauge>,
    pending: Family<QueueLabels, Gauge>,
    pod_attempts: Histogram,
    sli: Histograms<SliLabels>,
    incoming: Family<IncomingLabels, Counter>,
    decisions: Family<DecisionLabels, Counter>,
    skipped: Family<SkippedLabels, Counter>,
    denied: Family<DeniedLabels, Counter>,
    extender_fallbacks: Family<FallbackLabels, Counter>,
    extender_calls: Histograms<CallLabels>,
    kubelet_rejections: Family<ReasonLabels, Counter>,
    recalled_bindings: Counter,
}

/// kube-scheduler's buckets of an attempt: 1 ms to 16 s.
fn attempt_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

/// kube-scheduler's buckets of an extension point: 0.1 ms to 0.2 s.
fn point_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 12))
}

/// kube-scheduler's buckets of the time to schedule a pod: 10 ms to 5,243 s.
fn sli_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 20))
}

impl Default for SchedulerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl SchedulerMetrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let attempts = Family::default();
        let attempt_duration = Histograms::new_with_constructor(attempt_buckets as fn() -> Histogram);
        let algorithm_duration = attempt_buckets();
        // Finer than kube-scheduler's, whose first bucket ends at 1 ms.
        let decision_duration = Histogram::new(exponential_buckets(0.000_01, 2.0, 20));
        let points = Histograms::new_with_constructor(point_buckets as fn() -> Histogram);
        let preemption_attempts = Counter::default();
        let (healed, unconfirmed) = (Counter::default(), Counter::default());
        let preemption_victims = Histogram::new(exponential_buckets(1.0, 2.0, 7));
        let unschedulable = Family::default();
        let cache_size = Family::default();
        let pending = Family::default();
        let pod_attempts = Histogram::new(exponential_buckets(1.0, 2.0, 5));
        let sli = Histograms::new_with_constructor(sli_buckets as fn() -> Histogram);
        let incoming = Family::default();
        let decisions = Family::default();
        let skipped = Family::default();
        let k = registry.sub_registry_with_prefix("scheduler");
        k.register("schedule_attempts", "Attempts to schedule pods, by result", attempts.clone());
        k.register(
            "scheduling_attempt_duration_seconds",
            "Time of an attempt, from taking the pod to the end of its binding",
            attempt_duration.clone(),
        );
        k.register("scheduling_algorithm_duration_seconds", "Time of a decision alone", algorithm_duration.clone());
        k.register("pending_pods", "Pods that wait, by queue", pending.clone());
        k.register("pod_scheduling_attempts", "Attempts until a pod was scheduled", pod_attempts.clone());
        k.register(
            "pod_scheduling_sli_duration_seconds",
            "Time from when a pod came into the queue until it was bound",
            sli.clone(),
        );
        k.register("queue_incoming_pods", "Pods added to a queue, by event and queue", incoming.clone());
        k.register(
            "framework_extension_point_duration_seconds",
            "Time at an extension point; those within a decision are worked off as one and not told apart",
            points.clone(),
        );
        k.register("preemption_attempts", "Attempts to make room by preemption", preemption_attempts.clone());
        k.register("preemption_victims", "Pods evicted in a preemption", preemption_victims.clone());
        k.register("unschedulable_pods", "Pods that wait, by the plugins that rejected them", unschedulable.clone());
        k.register("cache_size", "Nodes, pods and assumed pods in the scheduler's state", cache_size.clone());
        let ours = registry.sub_registry_with_prefix("augur");
        ours.register("cache_healed", "Differences from the API server's view healed by a list", healed.clone());
        ours.register("bindings_unconfirmed", "Bindings that the watch never showed", unconfirmed.clone());
        ours.register("decision_duration_seconds", "Time of a decision alone", decision_duration.clone());
        ours.register("decisions", "Decisions, by algorithm and reason for doing without a model", decisions.clone());
        ours.register(
            "objects_skipped",
            "Objects that could not be understood and were left out, by kind and reason",
            skipped.clone(),
        );
        let denied = Family::default();
        let help = "Requests that the API server denied, by the right that a role would have to give";
        ours.register("kubernetes_denied", help, Family::clone(&denied));
        let extender_fallbacks = Family::default();
        let help = "Calls of the extender that were answered without an opinion, by verb and reason";
        ours.register("extender_fallbacks", help, Family::clone(&extender_fallbacks));
        let extender_calls = Histograms::new_with_constructor(attempt_buckets as fn() -> Histogram);
        let help = "Seconds that calls of extenders took, by extender, verb and result";
        ours.register("extender_call_duration_seconds", help, extender_calls.clone());
        let kubelet_rejections = Family::default();
        let help = "Pods that were bound and that the kubelet refused, by reason";
        ours.register("kubelet_rejections", help, Family::clone(&kubelet_rejections));
        let recalled_bindings = Counter::default();
        let help = "Bindings not sent because the node changed after the decision";
        ours.register("recalled_bindings", help, recalled_bindings.clone());
        Self {
            registry,
            attempts,
            attempt_duration,
            algorithm_duration,
            decision_duration,
            points,
            healed,
            unconfirmed,
            preemption_attempts,
            preemption_victims,
            unschedulable,
            cache_size,
            pending,
            pod_attempts,
            sli,
            incoming,
            decisions,
            skipped,
            denied,
            extender_fallbacks,
            extender_calls,
            kubelet_rejections,
            recalled_bindings,
        }
    }

    /// A call of the extender was answered without an opinion.
    pub fn extender_fallback(&self, verb: &'static str, reason: &'static str) {
        self.extender_fallbacks.get_or_create(&FallbackLabels { verb, reason }).inc();
    }

    /// An extender was called: a `verb` of the protocol, and whether it answered as it should.
    pub fn extender_call(&self, extender: &str, verb: &'static str, answered: bool, took: Duration) {
        let result = if answered { "success" } else { "error" };
        let labels = CallLabels { extender: extender.to_owned(), verb, result };
        self.extender_calls.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// The kubelet refused a pod that was bound to its node.
    pub fn kubelet_rejection(&self, reason: &'static str) {
        self.kubelet_rejections.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A binding was not sent because the node had changed.
    pub fn recalled_binding(&self) {
        self.recalled_bindings.inc();
    }

    /// An attempt has ended.
    pub fn attempt(&self, result: AttemptResult, profile: &str, took: Duration) {
        let labels = AttemptLabels { result, profile: profile.to_owned() };
        self.attempts.get_or_create(&labels).inc();
        self.attempt_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A decision was taken in the given time. `fallback_reason`: why no model had a say, empty when one had.
    pub fn decided(&self, algorithm: crate::dto::Algorithm, fallback_reason: &str, took: Duration) {
        self.algorithm_duration.observe(took.as_secs_f64());
        self.decision_duration.observe(took.as_secs_f64());
        let labels = DecisionLabels { algorithm: algorithm.as_str(), fallback_reason: fallback_reason.to_owned() };
        self.decisions.get_or_create(&labels).inc();
    }

    /// A pod was bound after so many attempts, so long after it first came into the queue.
    pub fn scheduled(&self, attempts: u32, waited: Duration) {
        self.pod_attempts.observe(f64::from(attempts));
        // As kube-scheduler labels it: the count up to 15, then "16+".
        let attempts = if attempts > 15 { "16+".to_owned() } else { attempts.to_string() };
        self.sli.get_or_create(&SliLabels { attempts }).observe(waited.as_secs_f64());
    }

    /// So many pods in all came into `queue` (`active`, `backoff`, `unschedulable`, `gated`) because of `event`.
    pub fn incoming(&self, event: &'static str, queue: &'static str, total: u64) {
        self.incoming.get_or_create(&IncomingLabels { event, queue }).inner().store(total, Ordering::Relaxed);
    }

    /// So many objects of the kind (`pods`, `nodes`, …) in all were left out for the reason.
    pub fn skipped(&self, kind: &'static str, reason: &'static str, total: u64) {
        self.skipped.get_or_create(&SkippedLabels { kind, reason }).inner().store(total, Ordering::Relaxed);
    }

    /// So many requests in all were denied for want of the right to `verb` on `resource` (with its part, if any) of `group`.
    pub fn denied(&self, verb: &str, group: &str, resource: &str, total: u64) {
        let [verb, group, resource] = [verb, group, resource].map(str::to_owned);
        let labels = DeniedLabels { verb, group, resource };
        self.denied.get_or_create(&labels).inner().store(total, Ordering::Relaxed);
    }

    /// So many differences from the API server's view were healed by a list, and so many bindings were given up because the
    /// watch never showed them; since the start.
    pub fn checked(&self, healed: u64, unconfirmed: u64) {
        self.healed.inner().store(healed, Ordering::Relaxed);
        self.unconfirmed.inner().store(unconfirmed, Ordering::Relaxed);
    }

    /// A binding ended after this time.
    pub fn binding(&self, bound: bool, profile: &str, took: Duration) {
        let status = if bound { "Success" } else { "Error" };
        let labels = PointLabels { extension_point: "Bind", status, profile: profile.to_owned() };
        self.points.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// It was tried to make room for a pod, at the price of so many others.
    pub fn preemption(&self, victims: usize) {
        self.preemption_attempts.inc();
        if victims > 0 {
            self.preemption_victims.observe(victims as f64);
        }
    }

    /// How many pods of which profile wait because of which plugin.
    pub fn unschedulable(&self, waiting: impl IntoIterator<Item = ((&'static str, String), usize)>) {
        self.unschedulable.clear();
        for ((plugin, profile), count) in waiting {
            let gauge = self.unschedulable.get_or_create_owned(&PluginLabels { plugin, profile });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// What the scheduler's state holds.
    pub fn cached(&self, nodes: usize, pods: usize, assumed: usize) {
        for (kind, count) in [("nodes", nodes), ("pods", pods), ("assumed_pods", assumed)] {
            self.cache_size.get_or_create(&CacheLabels { r#type: kind }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// How many pods wait.
    pub fn pending(&self, pods: PendingPods) {
        for (queue, count) in [
            ("active", pods.active),
            ("backoff", pods.backoff),
            ("unschedulable", pods.unschedulable),
            ("gated", pods.gated),
        ] {
            self.pending.get_or_create(&QueueLabels { queue }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    service: &'static str,
    method: String,
    route: String,
    code: u16,
}

/// What a service counts of its requests.
pub(crate) struct HttpMetrics {
    registry: Registry,
    service: &'static str,
    duration: Histograms<RequestLabels>,
}

fn request_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 16))
}

impl HttpMetrics {
    pub fn new(service: &'static str) -> Self {
        let mut registry = Registry::default();
        let duration = Histograms::new_with_constructor(request_buckets as fn() -> Histogram);
        registry.register("augur_http_request_duration_seconds", "Time of a request until its head", duration.clone());
        Self { registry, service, duration }
    }

    /// A request was answered. `route` is the pattern of its path.
    pub fn request(&self, method: &str, route: &str, code: u16, took: Duration) {
        let labels = RequestLabels { service: self.service, method: method.to_owned(), route: route.to_owned(), code };
        self.duration.get_or_create(&labels).observe(took.as_secs_f64());
    }
}

/// Numbers that are read when metrics are asked for.
#[derive(Default)]
pub(crate) struct Gauges {
    registry: Registry,
    /// By name: a metric is described once, however many labels it has.
    labelled: HashMap<String, LabelledGauge>,
}

type LabelledGauge = Family<[(&'static str, String); 1], Gauge<f64, AtomicU64>>;

impl Gauges {
    /// Adds a number; what is not known is left out.
    pub fn add(&mut self, name: &str, help: &str, value: Option<f64>) {
        if let Some(value) = value {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            self.registry.register(name, help, gauge);
        }
    }

    /// Adds a number with a label; of a label that others choose, such as a name, the caller bounds the values.
    pub fn add_labelled(&mut self, name: &str, help: &str, label: (&'static str, &str), value: f64) {
        if !self.labelled.contains_key(name) {
            let gauge = LabelledGauge::default();
            self.registry.register(name, help, gauge.clone());
            self.labelled.insert(name.to_owned(), gauge);
        }
        if let Some(gauge) = self.labelled.get(name) {
            gauge.get_or_create(&[(label.0, label.1.to_owned())]).set(value);
        }
    }

    /// Adds a number that only grows and need not be whole.
    pub fn add_seconds(&mut self, name: &str, help: &str, value: f64) {
        let counter = Counter::<f64, AtomicU64>::default();
        counter.inc_by(value);
        self.registry.register(name, help, counter);
    }

    /// Adds a number that only grows.
    pub fn add_counter(&mut self, name: &str, help: &str, value: u64) {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        self.registry.register(name, help, counter);
    }
}

/// Everything, in the format that the client accepts.
pub(crate) fn answer(
    headers: &HeaderMap,
    scheduler: Option<&SchedulerMetrics>,
    http: &HttpMetrics,
    gauges: &Gauges,
) -> Result<Response, ApiError> {
    let text = encode(scheduler, http, gauges)
        .map_err(|e| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", e.to_string()))?;
    let accept = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (content_type, text) = match accept.into_iter().any(|accept| accept.contains("application/openmetrics-text")) {
        true => (OPENMETRICS, text),
        false => (TEXT, plain(&text)),
    };
    Ok(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// The same in Prometheus' own format: there a counter's description bears the full name of its only series, and nothing marks
/// the end.
fn plain(openmetrics: &str) -> String {
    let of_counter = |line: &str| line.strip_prefix("# TYPE ")?.strip_suffix(" counter").map(str::to_owned);
    let counters: HashSet<String> = openmetrics.lines().filter_map(of_counter).collect();
    let mut text = String::with_capacity(openmetrics.len() + 8 * counters.len());
    for line in openmetrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        match described.and_then(|described| described.split_once(' ')) {
            Some((name, rest)) if counters.contains(name) => {
                text.push_str(&line[.."# HELP ".len()]);
                text.push_str(name);
                text.push_str("_total ");
                text.push_str(rest);
            }
            _ => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// Writes everything in the OpenMetrics format.
fn encode(
    scheduler: Option<&SchedulerMetrics>,
    http: &HttpMetrics,
    gauges: &Gauges,
) -> Result<String, std::fmt::Error> {
    let mut text = String::with_capacity(16 << 10);
    if let Some(scheduler) = scheduler {
        encode_registry(&mut text, &scheduler.registry)?;
    }
    encode_registry(&mut text, &http.registry)?;
    encode_registry(&mut text, &gauges.registry)?;
    encode_eof(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_labels_are_those_of_kube_scheduler() {
        let m = SchedulerMetrics::new();
        m.attempt(AttemptResult::scheduled, "default-scheduler", Duration::from_millis(3));
        m.decided(crate::dto::Algorithm::EnhancedScoring, "not_trained", Duration::from_micros(80));
        m.scheduled(20, Duration::from_secs(1));
        m.incoming("UnschedulablePodAdd", "active", 3);
        m.binding(true, "default-scheduler", Duration::from_millis(2));
        m.preemption(2);
        m.unschedulable([(("NodeResourcesFit", "default-scheduler".to_owned()), 4)]);
        m.cached(3, 2, 1);
        m.skipped("nodes", "bad_quantity", 2);
        m.pending(PendingPods { active: 2, ..PendingPods::default() });
        let http = HttpMetrics::new("scheduler");
        http.request("GET", "/api/v1/nodes/{name}", 200, Duration::from_millis(1));
        let mut gauges = Gauges::default();
        gauges.add("augur_nodes", "Nodes", Some(3.0));
        gauges.add("augur_unknown", "Not known", None);
        gauges.add_labelled("augur_arm", "Arms", ("arm", "model"), 1.0);
        gauges.add_labelled("augur_arm", "Arms", ("arm", "holdback"), 2.0);
        let text = encode(Some(&m), &http, &gauges).unwrap();
        for line in [
            r#"scheduler_schedule_attempts_total{result="scheduled",profile="default-scheduler"} 1"#,
            r#"scheduler_scheduling_attempt_duration_seconds_count{result="scheduled",profile="default-scheduler"} 1"#,
            r#"scheduler_pending_pods{queue="active"} 2"#,
            r#"scheduler_pod_scheduling_sli_duration_seconds_count{attempts="16+"} 1"#,
            r#"scheduler_queue_incoming_pods_total{event="UnschedulablePodAdd",queue="active"} 3"#,
            r#"scheduler_framework_extension_point_duration_seconds_count{extension_point="Bind",status="Success",profile="default-scheduler"} 1"#,
            "scheduler_preemption_attempts_total 1",
            r#"scheduler_preemption_victims_bucket{le="2.0"} 1"#,
            r#"scheduler_unschedulable_pods{plugin="NodeResourcesFit",profile="default-scheduler"} 4"#,
            r#"scheduler_cache_size{type="assumed_pods"} 1"#,
            r#"augur_decisions_total{algorithm="enhanced_scoring",fallback_reason="not_trained"} 1"#,
            r#"augur_objects_skipped_total{kind="nodes",reason="bad_quantity"} 2"#,
            "augur_nodes 3.0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("augur_unknown"));
        assert_eq!(text.matches("# HELP augur_arm ").count(), 1);
        assert_eq!(text.matches("augur_arm{arm=").count(), 2);
        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("# TYPE augur_decisions counter\n"));
        let plain = plain(&text);
        assert!(plain.contains("# TYPE augur_decisions_total counter\n") && !plain.contains("# EOF"));
        assert!(
            plain.contains("# HELP augur_decisions_total Decisions, by")
                && plain.contains("# TYPE augur_nodes gauge\n")
        );
        assert_eq!(plain.lines().count() + 1, text.lines().count());
    }
}
