//! Hours gone by, from the series of cAdvisor and kube-state-metrics: [`Prometheus::past`].
//!
//! Every fact has the time of the step at which it shows, never an earlier one. What the series do not tell is left out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::answer::{Answer, Series};
use super::labels::{NODE_INFO, NodeNames};
use super::usage::{ContainerKey, Rejected, UsageQueries, container, readings};
use super::{Prometheus, PrometheusError};
use crate::metrics::{ABSURD_CPU, ABSURD_MEMORY, NodeUsage, PodReading, Usage, believable};
use crate::workload::{by_series_labels, cron_job, deployment, static_pod};

/// The longest pause after a request. As long as the request took is waited before the next, so that a server that is slow is
/// never busy with us for more than half of the time.
const PAUSE: Duration = Duration::from_secs(2);
/// What tells pods apart.
const BY_POD: &str = "namespace, pod, uid";

const PODS: &str = r#"max by (namespace, pod, uid, node, created_by_kind, created_by_name) (kube_pod_info{node!=""})"#;
const REPLICA_SETS: &str =
    r#"max by (namespace, replicaset, owner_kind, owner_name) (kube_replicaset_owner{owner_is_controller="true"})"#;
/// Labels of the pods that nobody owns, which have to name their workload; of all others nothing is asked.
const BARE_LABELS: &str =
    r#"kube_pod_labels and on (namespace, pod, uid) kube_pod_info{node!="",created_by_kind=~"|<none>"}"#;
const NODES_READY: &str = r#"max by (node) (kube_node_status_condition{condition="Ready",status="true"})"#;
const ALLOCATABLE: &str = r#"max by (node, resource) (kube_node_status_allocatable{resource=~"cpu|memory"})"#;
const READY_KNOWN: &str = r#"count(kube_pod_status_ready{condition="true"})"#;

/// A pod as the series know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastPod {
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
    /// Uid; empty where kube-state-metrics does not tell it.
    pub uid: Arc<str>,
    /// Where it runs.
    pub node: Arc<str>,
    /// Kind of the workload, as [`crate::workload`] tells it.
    pub kind: Arc<str>,
    /// Name of the workload.
    pub owner: Arc<str>,
    /// The revision of the workload's pod template; empty when not known.
    pub revision: Arc<str>,
}

/// What is new of a pod. The order is that in which news of one moment are to be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PastPodNews {
    /// How a container ended before its latest restart.
    LastEnd {
        /// The container.
        container: Arc<str>,
        /// `OOMKilled`, `Error`, `Completed`, ….
        reason: Arc<str>,
    },
    /// The exit code of that end.
    LastExitCode {
        /// The container.
        container: Arc<str>,
        /// The code.
        code: i32,
    },
    /// How a container that does not run any more has ended.
    Ended {
        /// `OOMKilled`, `Error`, `Completed`, ….
        reason: Arc<str>,
    },
    /// `status.reason`: `Evicted`, `NodeLost`, ….
    Reason(Arc<str>),
    /// Restarts of a container so far.
    Restarts {
        /// The container.
        container: Arc<str>,
        /// How many.
        count: u32,
    },
    /// It is over; whether with success.
    Over {
        /// `Succeeded` or `Failed`.
        succeeded: bool,
    },
}

/// News of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastPodEvent {
    /// The step at which it shows, in milliseconds since 1970.
    pub at: i64,
    /// The pod, by its place in [`PastHours::pods`].
    pub pod: usize,
    /// What.
    pub news: PastPodNews,
}

/// What the series tell of a span. All times are in milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct PastHours {
    /// All pods that ran on a node.
    pub pods: Vec<PastPod>,
    /// Which of them were there, at every coarse step of which that is known.
    pub present: BTreeMap<i64, Vec<usize>>,
    /// What is new of pods, in order.
    pub events: Vec<PastPodEvent>,
    /// Pods that should be ready and are not, at every fine step of which that is known.
    pub unready: BTreeMap<i64, Vec<usize>>,
    /// Nodes with whether they are ready, at every fine step of which that is known.
    pub nodes: BTreeMap<i64, Vec<(Arc<str>, bool)>>,
    /// Allocatable cores and bytes of nodes, as first told in this span.
    pub allocatable: HashMap<Arc<str>, (f64, f64)>,
    /// Usage of nodes and pods, at every coarse step.
    pub usage: BTreeMap<i64, (NodeUsage, Vec<PodReading>)>,
    /// Values left out, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What the server says of its own answers.
    pub warnings: Vec<String>,
}

/// Namespace, name and uid.
type PodKey = (Arc<str>, Arc<str>, Arc<str>);
/// Namespace and name, or kind and name.
type Pair = (Arc<str>, Arc<str>);

/// A span that is being asked about.
struct Asking<'a> {
    prometheus: &'a Prometheus,
    from: Timestamp,
    until: Timestamp,
    hours: PastHours,
    index: HashMap<PodKey, usize>,
}

impl Prometheus {
    /// What held from `from` up to before `until`: usage and presence at every coarse step, everything else at every fine one.
    /// One request goes out after the other.
    ///
    /// # Errors
    /// See [`PrometheusError`]; nothing is told of a span in which a question failed.
    pub async fn past(
        &self,
        (from, until): (Timestamp, Timestamp),
        (coarse, fine): (Duration, Duration),
    ) -> Result<PastHours, PrometheusError> {
        let (hours, index) = (PastHours::default(), HashMap::new());
        let mut asking = Asking { prometheus: self, from, until, hours, index };
        asking.pods(coarse).await?;
        asking.events(fine).await?;
        asking.nodes(coarse, fine).await?;
        asking.usage(coarse).await?;
        let mut hours = asking.hours;
        hours.events.sort_by(|a, b| (a.at, a.pod, &a.news).cmp(&(b.at, b.pod, &b.news)));
        hours.warnings.dedup();
        Ok(hours)
    }
}

impl Asking<'_> {
    /// Asks, waits, and keeps the points that lie in the span and are numbers.
    async fn ask(&mut self, query: &str, step: Duration) -> Result<Vec<Series>, PrometheusError> {
        let asked = Instant::now();
        let last = self.until.checked_sub(step).unwrap_or(self.from).max(self.from);
        let Answer { mut series, warnings, malformed } =
            self.prometheus.query_range(query, self.from, last, step).await?;
        tokio::time::sleep(asked.elapsed().min(PAUSE)).await;
        self.hours.warnings.extend(warnings);
        let (from, until) = (self.from.as_millisecond(), self.until.as_millisecond());
        let mut reject = |reason, count: usize| {
            if count > 0 {
                *self.hours.rejected.entry(reason).or_default() += count as u64;
            }
        };
        reject("malformed", usize::try_from(malformed).unwrap_or(usize::MAX));
        for series in &mut series {
            let told = series.points.len();
            series.points.retain(|(at, _)| (from..until).contains(at));
            reject("outside", told - series.points.len());
            let inside = series.points.len();
            series.points.retain(|(_, value)| value.is_finite());
            reject("not_an_amount", inside - series.points.len());
            series.points.sort_by_key(|(at, _)| *at);
        }
        Ok(series)
    }

    async fn pods(&mut self, coarse: Duration) -> Result<(), PrometheusError> {
        let pods = self.ask(PODS, coarse).await?;
        let mut owners: HashMap<Pair, Pair> = HashMap::new();
        for series in self.ask(REPLICA_SETS, coarse).await? {
            let key = (series.label("namespace"), series.label("replicaset"));
            owners.insert(key, (series.label("owner_kind"), series.label("owner_name")));
        }
        let bare = if pods.iter().any(is_bare) { self.bare(coarse).await? } else { HashMap::new() };
        for series in pods {
            let (namespace, name) = (series.label("namespace"), series.label("pod"));
            let key = (namespace.clone(), name.clone(), series.label("uid"));
            let by_labels = bare.get(&key).cloned();
            let place = *self.index.entry(key).or_insert_with(|| {
                let owner = (series.label("created_by_kind"), series.label("created_by_name"));
                let above = owners.get(&(namespace.clone(), owner.1.clone()));
                let (kind, owner, revision) = workload(&name, owner, above, by_labels);
                let (uid, node) = (series.label("uid"), series.label("node"));
                self.hours.pods.push(PastPod { namespace, name, uid, node, kind, owner, revision });
                self.hours.pods.len() - 1
            });
            for (at, _) in series.points {
                self.hours.present.entry(at).or_default().push(place);
            }
        }
        Ok(())
    }

    /// Pods that nobody owns by what their labels, as they were last, say of their workload.
    async fn bare(&mut self, coarse: Duration) -> Result<HashMap<PodKey, Arc<str>>, PrometheusError> {
        let mut series = self.ask(BARE_LABELS, coarse).await?;
        series.sort_by_key(|series| series.points.last().map(|(at, _)| *at));
        let named = series.iter().filter_map(|series| {
            let key = (series.label("namespace"), series.label("pod"), series.label("uid"));
            let name = by_series_labels(series.labels(), &key.1)?;
            Some((key, name.into()))
        });
        Ok(named.collect())
    }

    /// The pod of a series, if it is one of those that are there.
    fn pod(&self, series: &Series) -> Option<usize> {
        self.index.get(&(series.label("namespace"), series.label("pod"), series.label("uid"))).copied()
    }

    /// News at the first point of every series and wherever the value differs from the one before.
    async fn changes(
        &mut self,
        query: &str,
        fine: Duration,
        news: impl Fn(&Series, f64) -> PastPodNews,
    ) -> Result<(), PrometheusError> {
        for series in self.ask(query, fine).await? {
            let Some(pod) = self.pod(&series) else { continue };
            let mut before = None;
            for &(at, value) in &series.points {
                if before.replace(value) != Some(value) {
                    self.hours.events.push(PastPodEvent { at, pod, news: news(&series, value) });
                }
            }
        }
        Ok(())
    }

    async fn events(&mut self, fine: Duration) -> Result<(), PrometheusError> {
        let by_container = |metric: &str, more: &str| format!("max by ({BY_POD}, container{more}) ({metric})");
        let restarts = format!("{} > 0", by_container("kube_pod_container_status_restarts_total", ""));
        self.changes(&restarts, fine, |series, value| PastPodNews::Restarts {
            container: series.label("container"),
            count: value.clamp(0.0, f64::from(u32::MAX)) as u32,
        })
        .await?;
        let reason = by_container("kube_pod_container_status_last_terminated_reason", ", reason");
        self.changes(&format!("{reason} == 1"), fine, |series, _| PastPodNews::LastEnd {
            container: series.label("container"),
            reason: series.label("reason"),
        })
        .await?;
        let code = by_container("kube_pod_container_status_last_terminated_exitcode", "");
        self.changes(&code, fine, |series, value| PastPodNews::LastExitCode {
            container: series.label("container"),
            code: value as i32,
        })
        .await?;
        let ended = by_container("kube_pod_container_status_terminated_reason", ", reason");
        self.changes(&format!("{ended} == 1"), fine, |series, _| PastPodNews::Ended { reason: series.label("reason") })
            .await?;
        let status = format!("max by ({BY_POD}, reason) (kube_pod_status_reason) == 1");
        self.changes(&status, fine, |series, _| PastPodNews::Reason(series.label("reason"))).await?;
        let over = format!(r#"max by ({BY_POD}, phase) (kube_pod_status_phase{{phase=~"Failed|Succeeded"}}) == 1"#);
        self.changes(&over, fine, |series, _| PastPodNews::Over { succeeded: *series.label("phase") == *"Succeeded" })
            .await?;
        for series in self.ask(READY_KNOWN, fine).await? {
            self.hours.unready.extend(series.points.iter().map(|(at, _)| (*at, Vec::new())));
        }
        let unready = format!(
            r#"max by ({BY_POD}) (kube_pod_status_ready{{condition="true"}}) == 0 unless on ({BY_POD}) ({over})"#
        );
        for series in self.ask(&unready, fine).await? {
            let Some(pod) = self.pod(&series) else { continue };
            for (at, _) in series.points {
                self.hours.unready.entry(at).or_default().push(pod);
            }
        }
        Ok(())
    }

    async fn nodes(&mut self, coarse: Duration, fine: Duration) -> Result<(), PrometheusError> {
        for series in self.ask(NODES_READY, fine).await? {
            let node = series.label("node");
            for (at, value) in series.points {
                self.hours.nodes.entry(at).or_default().push((node.clone(), value > 0.5));
            }
        }
        let mut amounts: HashMap<Arc<str>, [Option<f64>; 2]> = HashMap::new();
        for series in self.ask(ALLOCATABLE, coarse).await? {
            let Some((_, value)) = series.points.first() else { continue };
            let place = usize::from(*series.label("resource") == *"memory");
            amounts.entry(series.label("node")).or_default()[place] = Some(*value);
        }
        let whole = amounts.into_iter().filter_map(|(node, [cpu, memory])| Some((node, (cpu?, memory?))));
        self.hours.allocatable = whole.collect();
        Ok(())
    }

    async fn usage(&mut self, coarse: Duration) -> Result<(), PrometheusError> {
        let mut names = NodeNames::new(self.prometheus.node_label.clone());
        // The mean since the step before.
        let queries = UsageQueries::new(&names, coarse.max(self.prometheus.rate_window));
        let mut cpu = self.ask(&queries.node_cpu, coarse).await?;
        let mut memory = self.ask(&queries.node_memory, coarse).await?;
        if cpu.is_empty() || memory.is_empty() {
            cpu = self.ask(&queries.exporter_cpu, coarse).await?;
            memory = self.ask(&queries.exporter_memory, coarse).await?;
        }
        let answer = |series: &[Series]| Answer { series: series.to_vec(), ..Answer::default() };
        if names.needs_addresses(&answer(&cpu)) {
            let nodes = self.ask(NODE_INFO, coarse).await?;
            names.addresses(&answer(&nodes));
        }
        let rejected = &mut self.hours.rejected;
        for (at, node, usage) in joined(&cpu, &memory, |series| names.of(series), rejected) {
            self.hours.usage.entry(at).or_default().0.insert(node, usage);
        }
        let cpu = self.ask(&queries.container_cpu, coarse).await?;
        let memory = self.ask(&queries.container_memory, coarse).await?;
        let mut containers: BTreeMap<i64, Vec<(ContainerKey, Usage)>> = BTreeMap::new();
        for (at, key, usage) in joined(&cpu, &memory, container, &mut self.hours.rejected) {
            containers.entry(at).or_default().push((key, usage));
        }
        for (at, containers) in containers {
            self.hours.usage.entry(at).or_default().1 = readings(containers.into_iter());
        }
        Ok(())
    }
}

/// Whether a series of `kube_pod_info` is of a pod that nobody owns.
fn is_bare(info: &Series) -> bool {
    matches!(&*info.label("created_by_kind"), "" | "<none>")
}

/// The workload above what created a pod, and the revision of its template. Without an owner it has the name that its labels
/// give, if they do.
fn workload(
    pod: &Arc<str>,
    (kind, name): Pair,
    above: Option<&Pair>,
    by_labels: Option<Arc<str>>,
) -> (Arc<str>, Arc<str>, Arc<str>) {
    let none: Arc<str> = Arc::default();
    match (&*kind, above) {
        ("ReplicaSet", Some((above_kind, above))) if !above.is_empty() && **above != *"<none>" => {
            let hash = name.strip_prefix(&**above).and_then(|rest| rest.strip_prefix('-'));
            let known = hash.filter(|hash| deployment(&name, hash).is_some());
            (above_kind.clone(), above.clone(), known.map_or(none, Into::into))
        }
        ("Job", _) => match cron_job(&name) {
            Some(above) => ("CronJob".into(), above.into(), none),
            None => (kind, name, none),
        },
        ("" | "<none>", _) => ("Pod".into(), by_labels.unwrap_or_else(|| pod.clone()), none),
        ("Node", _) => ("Pod".into(), static_pod(pod, &name).into(), none),
        _ => (kind, name, none),
    }
}

/// The values of two kinds of series at the moments at which both have one.
fn joined<K: std::hash::Hash + Eq + Clone>(
    cpu: &[Series],
    memory: &[Series],
    key: impl Fn(&Series) -> Option<K>,
    rejected: &mut Rejected,
) -> Vec<(i64, K, Usage)> {
    let mut reject = |reason| *rejected.entry(reason).or_default() += 1;
    let mut found: HashMap<K, BTreeMap<i64, [Option<f64>; 2]>> = HashMap::new();
    for (place, (kind, absurd)) in [(cpu, ABSURD_CPU), (memory, ABSURD_MEMORY)].into_iter().enumerate() {
        for series in kind {
            let Some(key) = key(series) else {
                reject("unnamed");
                continue;
            };
            let values = found.entry(key).or_default();
            for (at, value) in &series.points {
                match believable(*value, absurd) {
                    Ok(value) => {
                        let known = &mut values.entry(*at).or_default()[place];
                        *known = Some(known.map_or(value, |known| known.max(value)));
                    }
                    Err(reason) => reject(reason),
                }
            }
        }
    }
    let mut joined = Vec::new();
    for (key, values) in found {
        for (ms, [cpu, memory]) in values {
            let (Some(cpu), Some(memory), Ok(at)) = (cpu, memory, Timestamp::from_millisecond(ms)) else { continue };
            joined.push((ms, key.clone(), Usage { cpu, memory, at }));
        }
    }
    joined
}
