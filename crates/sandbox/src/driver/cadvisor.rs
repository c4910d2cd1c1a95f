//! The page that a kubelet serves at `/metrics/cadvisor`: [`Counters`] adds up between two scrapes what the simulation shows at
//! each, as a kernel would all the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use augur_apiserver::Exposition;

use crate::sim::{ContainerCgroup, Millis, NodeSpec, Usage};

/// The kernel's period of CPU bandwidth control: ten in a second.
const PERIODS_PER_SECOND: f64 = 10.0;
/// Share of its CPU limit from which on a container is throttled in every period.
const THROTTLED_FROM: f64 = 0.999;

/// A cgroup and what it has counted.
#[derive(Debug, Clone, Default)]
struct Counted {
    labels: Vec<(&'static str, String)>,
    started: Millis,
    at: Millis,
    usage: Usage,
    cpu_seconds: f64,
    /// Periods and throttled periods; `None` without a CPU limit.
    periods: Option<(f64, f64)>,
}

impl Counted {
    /// Lets time pass until `now`, with the mean of the usage before and now.
    fn pass(&mut self, usage: Usage, limit: Option<i64>, now: Millis) {
        let seconds = (now - self.at).max(0) as f64 / 1000.0;
        let cores = (self.usage.cpu_milli + usage.cpu_milli) / 2000.0;
        self.cpu_seconds += cores * seconds;
        if let Some(limit) = limit {
            let (all, throttled) = self.periods.get_or_insert((0.0, 0.0));
            let new = (PERIODS_PER_SECOND * seconds).round();
            *all += new;
            if usage.cpu_milli >= limit as f64 * THROTTLED_FROM {
                *throttled += new;
            }
        }
        (self.at, self.usage) = (now, usage);
    }

    fn labels(&self) -> Vec<(&str, &str)> {
        self.labels.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }
}

/// The cgroups of one node.
#[derive(Debug, Default)]
pub(super) struct Counters {
    root: Counted,
    cores: f64,
    memory: f64,
    /// By pod, container and start: a container that is started anew is another cgroup.
    containers: BTreeMap<(Arc<str>, Arc<str>, Millis), Counted>,
}

impl Counters {
    /// Takes in what the node shows now; `factor` is by how much it lies.
    pub fn count(&mut self, node: &NodeSpec, used: Usage, cgroups: Vec<ContainerCgroup>, factor: f64, now: Millis) {
        let shown =
            |usage: Usage| Usage { cpu_milli: usage.cpu_milli * factor, memory: (usage.memory as f64 * factor) as i64 };
        if self.root.labels.is_empty() {
            let labels = [("container", ""), ("id", "/"), ("image", ""), ("name", ""), ("namespace", ""), ("pod", "")];
            self.root.labels = labels.map(|(name, value)| (name, value.to_owned())).to_vec();
            (self.root.at, self.root.started, self.root.usage) = (now, now, shown(used));
        }
        (self.cores, self.memory) = (node.capacity.cpu_milli as f64 / 1000.0, node.capacity.memory as f64);
        self.root.pass(shown(used), None, now);
        let mut before = std::mem::take(&mut self.containers);
        for cgroup in cgroups {
            let key = (cgroup.uid.clone(), cgroup.container.clone(), cgroup.since);
            let usage = shown(cgroup.usage);
            let mut counted = before.remove(&key).unwrap_or_else(|| first(&cgroup, usage));
            counted.pass(usage, cgroup.cpu_limit, now);
            self.containers.insert(key, counted);
        }
    }

    /// The page as of the latest count.
    pub fn page(&self) -> String {
        let mut page = Exposition::default();
        let all = || std::iter::once(&self.root).chain(self.containers.values());
        page.family("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.");
        for counted in all() {
            let mut labels = counted.labels();
            labels.insert(1, ("cpu", "total"));
            page.sample(&labels, counted.cpu_seconds);
        }
        page.family("container_memory_working_set_bytes", "gauge", "Current working set in bytes.");
        for counted in all() {
            page.sample(&counted.labels(), counted.usage.memory as f64);
        }
        page.family(
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds.",
        );
        for counted in all() {
            page.sample(&counted.labels(), counted.started as f64 / 1000.0);
        }
        let limited = || all().filter_map(|counted| counted.periods.map(|periods| (counted, periods)));
        page.family("container_cpu_cfs_periods_total", "counter", "Number of elapsed enforcement period intervals.");
        for (counted, (periods, _)) in limited() {
            page.sample(&counted.labels(), periods);
        }
        page.family("container_cpu_cfs_throttled_periods_total", "counter", "Number of throttled period intervals.");
        for (counted, (_, throttled)) in limited() {
            page.sample(&counted.labels(), throttled);
        }
        page.family("container_scrape_error", "gauge", "1 if there was an error while getting container metrics.");
        page.sample(&[], 0.0);
        page.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.");
        page.sample(&[], self.cores);
        page.family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
        page.sample(&[], self.memory);
        page.into_text()
    }
}

/// A cgroup that has counted nothing yet. What it used before it was first scraped is taken to be what it uses now.
fn first(cgroup: &ContainerCgroup, usage: Usage) -> Counted {
    let id = format!("/kubepods.slice/pod{}/{}-{}", cgroup.uid, cgroup.container, cgroup.since);
    let name = format!("k8s_{}_{}_{}_{}", cgroup.container, cgroup.pod, cgroup.namespace, cgroup.uid);
    let labels = vec![
        ("container", cgroup.container.to_string()),
        ("id", id),
        ("image", cgroup.image.to_string()),
        ("name", name),
        ("namespace", cgroup.namespace.to_string()),
        ("pod", cgroup.pod.to_string()),
    ];
    Counted { labels, started: cgroup.since, at: cgroup.since, usage, ..Counted::default() }
}
