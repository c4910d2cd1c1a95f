//! A week of a small cluster whose every number is known, as a page of samples and as answers to Augur's questions.

use std::fmt::Write as _;
use std::sync::Arc;

use augur_history::{HistoryHandle, Rates, SeriesOf, UnixMillis, WorkloadKey};

/// Seconds.
pub const MINUTE: i64 = 60;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// Labels, and the value at a second of the week; none where the series does not exist then.
pub type Series = (String, Box<dyn Fn(i64) -> Option<f64> + Send + Sync>);

fn series(labels: &str, value: impl Fn(i64) -> Option<f64> + Send + Sync + 'static) -> Series {
    (labels.to_owned(), Box::new(value))
}

/// While `from <= t < until`.
fn during(from: i64, until: i64, value: f64) -> impl Fn(i64) -> Option<f64> + Send + Sync {
    move |t| (from <= t && t < until).then_some(value)
}

/// A pod's life.
struct Life {
    labels: &'static str,
    info: &'static str,
    from: i64,
    until: i64,
    /// When it is over, and whether it succeeded.
    over: Option<(i64, bool)>,
    cores: f64,
    bytes: f64,
}

const END: i64 = i64::MAX;
const WEB_A: &str = r#"namespace="shop",pod="web-5d8f9-a",uid="w1""#;
const WEB_B: &str = r#"namespace="shop",pod="web-5d8f9-b",uid="w2""#;
const DB_1: &str = r#"namespace="shop",pod="db-0",uid="d1""#;
const DB_2: &str = r#"namespace="shop",pod="db-0",uid="d2""#;
const BACKUP: &str = r#"namespace="batch",pod="backup-29412345-x",uid="b1""#;
const TASK_1: &str = r#"namespace="batch",pod="task-1",uid="t1""#;
const TASK_2: &str = r#"namespace="batch",pod="task-2",uid="t2""#;

const LIVES: [Life; 7] = [
    Life {
        labels: WEB_A,
        info: r#"created_by_kind="ReplicaSet",created_by_name="web-5d8f9",node="n1""#,
        from: -DAY,
        until: END,
        over: None,
        cores: 0.2,
        bytes: 200e6,
    },
    Life {
        labels: WEB_B,
        info: r#"created_by_kind="ReplicaSet",created_by_name="web-5d8f9",node="n2""#,
        from: -DAY,
        until: END,
        over: None,
        cores: 0.2,
        bytes: 200e6,
    },
    Life {
        labels: DB_1,
        info: r#"created_by_kind="StatefulSet",created_by_name="db",node="n3""#,
        from: -DAY,
        until: 2 * DAY + 13 * HOUR,
        over: Some((2 * DAY + 12 * HOUR, false)),
        cores: 1.5,
        bytes: 4e9,
    },
    Life {
        labels: DB_2,
        info: r#"created_by_kind="StatefulSet",created_by_name="db",node="n2""#,
        from: 2 * DAY + 12 * HOUR + 4 * MINUTE,
        until: END,
        over: None,
        cores: 1.5,
        bytes: 4e9,
    },
    Life {
        labels: BACKUP,
        info: r#"created_by_kind="Job",created_by_name="backup-29412345",node="n1""#,
        from: 6 * DAY,
        until: 6 * DAY + HOUR,
        over: Some((6 * DAY + 20 * MINUTE, true)),
        cores: 0.9,
        bytes: 500e6,
    },
    // Two that nobody owns.
    Life {
        labels: TASK_1,
        info: r#"created_by_kind="<none>",created_by_name="<none>",node="n2""#,
        from: DAY,
        until: END,
        over: None,
        cores: 0.1,
        bytes: 100e6,
    },
    Life {
        labels: TASK_2,
        info: r#"created_by_kind="",created_by_name="",node="n2""#,
        from: 2 * DAY,
        until: END,
        over: None,
        cores: 0.1,
        bytes: 100e6,
    },
];

/// Nodes with when they are there.
const NODES: [(&str, i64); 4] = [("n1", END), ("n2", END), ("n3", END), ("n4", 5 * DAY)];
/// When n3 does not answer.
const DOWN: std::ops::Range<i64> = 3 * DAY..3 * DAY + HOUR;

/// Restarts of the web pod on n1: three before the week, then one kill for memory and one error.
fn restarts(t: i64) -> f64 {
    3.0 + f64::from(u8::from(t >= DAY)) + f64::from(u8::from(t >= 4 * DAY))
}

/// All series by metric.
pub fn week() -> Vec<(&'static str, Vec<Series>)> {
    let on = |life: &'static Life| during(life.from, life.until, 1.0);
    let runs = |life: &'static Life| move |t| t < life.over.map_or(life.until, |(at, _)| at) && life.from <= t;
    let container = |life: &'static Life| {
        let labels: Vec<&str> = life.labels.split(',').take(2).collect();
        format!(r#"container="main",{}"#, labels.join(","))
    };
    let nodes = |value: fn(usize, i64) -> f64, more: &'static str| {
        NODES.iter().enumerate().map(move |(place, (name, until))| {
            series(&format!(r#"{more}node="{name}""#), move |t| (t < *until).then(|| value(place, t)))
        })
    };
    let node_cores = |place: usize, t: i64| -> f64 {
        let name = format!(r#"node="{}""#, NODES[place].0);
        let there = LIVES.iter().filter(|life| life.info.contains(&name));
        there.filter(|life| life.from <= t && t < life.over.map_or(life.until, |o| o.0)).map(|l| l.cores).sum::<f64>()
    };
    let ready = |place: usize, t: i64| f64::from(u8::from(place != 2 || !DOWN.contains(&t)));
    let mut cpu: Vec<Series> = LIVES
        .iter()
        .map(|life| {
            // A container that is started anew counts from nothing.
            let began = move |t: i64| match life.labels {
                WEB_A if t >= 4 * DAY => 4 * DAY,
                WEB_A if t >= DAY => DAY,
                _ => life.from,
            };
            let value = move |t: i64| runs(life)(t).then(|| life.cores * (t - began(t)) as f64);
            series(&format!(r#"id="/pod",{}"#, container(life)), value)
        })
        .collect();
    // What the pods use and a tenth of a core; the sum since the week before, of what is piecewise constant.
    cpu.extend(NODES.iter().enumerate().map(|(place, (name, until))| {
        let value = move |t: i64| {
            let mut sum = 0.0;
            let mut edges: Vec<i64> = LIVES.iter().flat_map(|l| [l.from, l.over.map_or(l.until, |o| o.0)]).collect();
            edges.extend([-DAY, t]);
            edges.retain(|edge| (-DAY..=t).contains(edge));
            edges.sort_unstable();
            for pair in edges.windows(2) {
                sum += (node_cores(place, pair[0]) + 0.1) * (pair[1] - pair[0]) as f64;
            }
            (t < *until).then_some(sum)
        };
        series(&format!(r#"id="/",instance="{name}:10250",node="{name}""#), value)
    }));
    let mut memory: Vec<Series> =
        LIVES.iter().map(|life| series(&container(life), move |t| runs(life)(t).then_some(life.bytes))).collect();
    memory.extend(NODES.iter().map(|(name, until)| {
        series(&format!(r#"id="/",instance="{name}:10250",node="{name}""#), move |t| (t < *until).then_some(1e9))
    }));
    let over = LIVES.iter().filter_map(|life| {
        let (at, succeeded) = life.over?;
        let phase = if succeeded { "Succeeded" } else { "Failed" };
        let value = move |t| (life.from <= t && t < life.until).then(|| f64::from(u8::from(t >= at)));
        Some(series(&format!(r#"{},phase="{phase}""#, life.labels), value))
    });
    let web = |more: &str| format!(r#"container="main",{WEB_A}{more}"#);
    vec![
        ("container_cpu_usage_seconds_total", cpu),
        ("container_memory_working_set_bytes", memory),
        ("kube_node_status_condition", nodes(ready, r#"condition="Ready",status="true","#).collect()),
        (
            "kube_node_status_allocatable",
            nodes(|_, _| 4.0, r#"resource="cpu","#).chain(nodes(|_, _| 8e9, r#"resource="memory","#)).collect(),
        ),
        (
            "kube_pod_info",
            LIVES.iter().map(|life| series(&format!("{},{}", life.labels, life.info), on(life))).collect(),
        ),
        (
            "kube_pod_labels",
            LIVES
                .iter()
                .zip(1..)
                .map(|(life, run)| {
                    let own = format!(r#"label_app_kubernetes_io_name="tasks",label_run="{run}",label_tier="x""#);
                    series(&format!("{own},{}", life.labels), on(life))
                })
                .collect(),
        ),
        (
            "kube_replicaset_owner",
            vec![series(
                r#"namespace="shop",owner_is_controller="true",owner_kind="Deployment",owner_name="web",replicaset="web-5d8f9""#,
                |_| Some(1.0),
            )],
        ),
        ("kube_pod_status_phase", over.collect()),
        (
            "kube_pod_status_ready",
            LIVES
                .iter()
                .map(|life| {
                    let value = move |t| on(life)(t).map(|_| f64::from(u8::from(runs(life)(t) && t > life.from + 30)));
                    series(&format!(r#"condition="true",{}"#, life.labels), value)
                })
                .collect(),
        ),
        (
            "kube_pod_status_reason",
            vec![series(&format!(r#"{DB_1},reason="Evicted""#), |t| {
                (t < LIVES[2].until).then(|| f64::from(u8::from(t >= 2 * DAY + 12 * HOUR)))
            })],
        ),
        ("kube_pod_container_status_restarts_total", vec![series(&web(""), |t| Some(restarts(t)))]),
        (
            "kube_pod_container_status_last_terminated_reason",
            vec![
                series(&web(r#",reason="OOMKilled""#), during(DAY, 4 * DAY, 1.0)),
                series(&web(r#",reason="Error""#), |t| (!(DAY..4 * DAY).contains(&t)).then_some(1.0)),
            ],
        ),
        (
            "kube_pod_container_status_last_terminated_exitcode",
            vec![series(&web(""), |t| Some(if (DAY..4 * DAY).contains(&t) { 137.0 } else { 1.0 }))],
        ),
    ]
}

/// The week from second `from` to `until` as OpenMetrics, a sample every `step` seconds, `began` being its first second since
/// 1970.
pub fn open_metrics(began: i64, until: i64, step: usize) -> String {
    let mut page = String::new();
    for (metric, all) in week() {
        for (labels, value) in all {
            for t in (0..until).step_by(step) {
                if let Some(value) = value(t) {
                    writeln!(page, "{metric}{{{labels}}} {value} {}", began + t).unwrap();
                }
            }
        }
    }
    page.push_str("# EOF\n");
    page
}

/// What Prometheus would answer to a question of Augur's over `start..=end` at every `step`, all in seconds; `began` as above.
pub fn matrix(promql: &str, (start, end, step): (i64, i64, i64), began: i64) -> String {
    let week = week();
    // The metric that comes first in the question is what it is about.
    let found = week.iter().filter_map(|(name, all)| Some((promql.find(name)?, *name, all))).min_by_key(|(at, ..)| *at);
    let mut items = Vec::new();
    let (_, name, all) = match found {
        Some(found) => found,
        None => return answer(&items),
    };
    if promql.starts_with("count(") {
        let points: Vec<String> = (start..=end).step_by(step as usize).map(|at| format!(r#"[{at},"5"]"#)).collect();
        items.push(format!(r#"{{"metric":{{}},"values":[{}]}}"#, points.join(",")));
        return answer(&items);
    }
    let root = promql.contains(r#"id="/""#);
    for (labels, value) in all {
        if name.starts_with("container_") && root != labels.contains(r#"id="/""#) {
            continue;
        }
        let over = |t: i64| {
            let life = LIVES.iter().find(|life| labels.contains(life.labels));
            life.and_then(|life| life.over).is_some_and(|(at, _)| t >= at)
        };
        let point = |at: i64| {
            let t = at - began;
            let now = value(t)?;
            match () {
                () if promql.contains("rate(") => {
                    let before = value(t - 300).filter(|before| *before <= now)?;
                    Some((now - before) / 300.0)
                }
                () if promql.contains("kube_pod_status_ready") => (now == 0.0 && !over(t)).then_some(0.0),
                () if promql.contains("== 1") => (now == 1.0).then_some(1.0),
                () => Some(now),
            }
        };
        let points = (start..=end).step_by(step as usize).filter_map(|at| Some(format!(r#"[{at},"{}"]"#, point(at)?)));
        let points: Vec<String> = points.collect();
        if !points.is_empty() {
            let labels = labels.replace('=', "\":").replace(',', ",\"");
            items.push(format!(r#"{{"metric":{{"{labels}}},"values":[{}]}}"#, points.join(",")));
        }
    }
    answer(&items)
}

fn answer(items: &[String]) -> String {
    format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, items.join(","))
}

pub fn workload(namespace: &str, kind: &str, name: &str) -> WorkloadKey {
    WorkloadKey { namespace: namespace.into(), kind: kind.into(), name: name.into() }
}

/// Compares what history knows with the week as it was. Readings are steps, so a share of the watched time is right to a
/// thousandth; CPU of a node to a hundredth of a core; the histograms' buckets are five per cent wide.
pub fn check(rates: &Arc<Rates>, history: &HistoryHandle, began: i64) {
    let of = |key: &WorkloadKey| rates.workloads.get(key).unwrap_or_else(|| panic!("{key:?} of {:?}", rates.workloads));
    let web = of(&workload("shop", "Deployment", "web"));
    assert_eq!((web.n, web.restarts, web.oom_kills, web.evictions), (2, 2, 1, 0), "three restarts came before");
    let usage = web.usage.unwrap();
    assert!((0.19..0.22).contains(&usage.cpu_p50) && (190e6..220e6).contains(&usage.memory_p50), "{usage:?}");
    let db = of(&workload("shop", "StatefulSet", "db"));
    assert_eq!((db.n, db.restarts, db.evictions), (2, 0, 1));
    let backup = of(&workload("batch", "CronJob", "backup"));
    assert_eq!((backup.n, backup.restarts, backup.oom_kills), (1, 0, 0));
    let tasks = of(&workload("batch", "Pod", "app.kubernetes.io/name=tasks,tier=x"));
    assert_eq!((tasks.n, tasks.restarts, tasks.evictions), (2, 0, 0));
    assert_eq!(rates.workloads.len(), 4, "{:?}", rates.workloads.keys());
    let node = |name: &str| rates.nodes.get(name).unwrap_or_else(|| panic!("{name} of {:?}", rates.nodes));
    assert_eq!((node("n1").restarts, node("n1").oom_kills, node("n1").ready_share), (2, 1, Some(1.0)));
    assert_eq!((node("n3").evictions, node("n3").failed_pods), (1, 1));
    let share = node("n3").ready_share.unwrap();
    assert!((share - (1.0 - 1.0 / 168.0)).abs() < 1e-3, "an hour of the week: {share}");
    // The pod of a fifth of a core, and a tenth of its own, of four.
    let mean = node("n1").mean_cpu.unwrap();
    assert!((mean - 0.3 / 4.0).abs() < 0.01, "{mean}");
    // Usage keeps its time.
    history.flush();
    let day = |day: i64| UnixMillis((began + day * DAY) * 1000);
    let series = history.usage_series(SeriesOf::Node("n4"), UnixMillis(0)).unwrap();
    assert_eq!(series.len(), 1);
    let last = series[0].points.last().unwrap().at;
    // Prometheus tells a value for five minutes after the last one.
    let late = 5 * MINUTE * 1000;
    let gone = day(5).0 - HOUR * 1000..=day(5).0 + late;
    assert!(gone.contains(&last.0), "n4 vanished on the fifth day: {last:?}");
    let series = history.usage_series(SeriesOf::Pod("backup-29412345-x"), UnixMillis(0)).unwrap();
    let points: Vec<_> = series[0].points.iter().map(|point| point.cpu.unwrap()).collect();
    assert!(!points.is_empty() && points.iter().all(|cores| (0.88..0.92).contains(cores)), "{points:?}");
    assert!(
        series[0].points.iter().all(|p| p.at >= day(6) && p.at.0 <= day(6).0 + 20 * MINUTE * 1000 + late),
        "{series:?}"
    );
}

/// Nothing is known.
pub fn is_empty(rates: &Arc<Rates>) -> bool {
    rates.workloads.is_empty() && rates.nodes.is_empty()
}
