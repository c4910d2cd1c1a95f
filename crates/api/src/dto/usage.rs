//! Series of usage, thinned to what a chart needs.

use augur_history::{UnixMillis, UsagePoint, UsageSeries};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{round, timestamp};

const MIB: f64 = 1_048_576.0;

/// `GET /api/v1/usage`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct UsageList {
    /// When the series begin.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When they end.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
    /// By namespace, pod, container and node.
    pub series: Vec<UsageView>,
}

/// The usage of a container or of a node.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct UsageView {
    /// Namespace of the pod; `null` for a node.
    pub namespace: Option<String>,
    /// The pod; `null` for a node.
    pub pod: Option<String>,
    /// The container; `null` for a node.
    pub container: Option<String>,
    /// The node.
    pub node: String,
    /// Mean CPU in cores in equal spans from `since` to `until`; `null` where nothing was read.
    pub cpu: Vec<Option<f64>>,
    /// The same of memory, in MiB.
    pub memory: Vec<Option<f64>>,
    /// The highest CPU of all.
    pub cpu_highest: Option<f64>,
    /// The highest memory of all, in MiB.
    pub memory_highest: Option<f64>,
}

impl UsageList {
    /// The series in so many spans each. What lies outside of the time is left out.
    pub fn new(series: &[UsageSeries], since: UnixMillis, until: UnixMillis, spans: usize) -> Self {
        let view = |one: &UsageSeries| {
            let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            let within: Vec<&UsagePoint> =
                one.points.iter().filter(|point| point.at >= since && point.at < until).collect();
            let highest = |value: &dyn Fn(&UsagePoint) -> Option<f64>| {
                within.iter().filter_map(|point| value(point)).reduce(f64::max).map(round)
            };
            UsageView {
                namespace: name(&one.namespace),
                pod: name(&one.pod),
                container: name(&one.container),
                node: one.node.to_string(),
                cpu: thinned(&within, since, until, spans, |point| point.cpu),
                memory: thinned(&within, since, until, spans, |point| point.memory.map(|bytes| bytes / MIB)),
                cpu_highest: highest(&|point| point.cpu_max.or(point.cpu)),
                memory_highest: highest(&|point| point.memory_max.or(point.memory).map(|bytes| bytes / MIB)),
            }
        };
        Self { since: timestamp(since), until: timestamp(until), series: series.iter().map(view).collect() }
    }
}

fn thinned(
    points: &[&UsagePoint],
    since: UnixMillis,
    until: UnixMillis,
    spans: usize,
    value: impl Fn(&UsagePoint) -> Option<f64>,
) -> Vec<Option<f64>> {
    let length = (until.0 - since.0).max(1);
    let mut sums = vec![(0.0, 0u32); spans];
    for point in points {
        let at = i128::from(point.at.0 - since.0) * spans as i128 / i128::from(length);
        if let (Ok(at), Some(value)) = (usize::try_from(at), value(point))
            && let Some((sum, count)) = sums.get_mut(at)
        {
            (*sum, *count) = (*sum + value, *count + 1);
        }
    }
    sums.into_iter().map(|(sum, count)| (count > 0).then(|| round(sum / f64::from(count)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_means_and_gaps_stay() {
        let point = |at: i64, cpu: f64| UsagePoint {
            at: UnixMillis(at),
            span_ms: 10,
            cpu: Some(cpu),
            cpu_max: Some(cpu * 2.0),
            memory: None,
            memory_max: None,
        };
        let series = UsageSeries {
            namespace: "".into(),
            pod: "".into(),
            container: "".into(),
            node: "n1".into(),
            points: vec![point(90, 9.0), point(100, 1.0), point(110, 3.0), point(150, 5.0), point(200, 7.0)],
        };
        let list = UsageList::new(&[series], UnixMillis(100), UnixMillis(200), 4);
        let one = &list.series[0];
        assert_eq!(one.cpu, [Some(2.0), None, Some(5.0), None]);
        assert_eq!((one.cpu_highest, one.memory_highest, one.pod.as_deref()), (Some(10.0), None, None));
        assert_eq!(one.memory, [None; 4]);
    }
}
