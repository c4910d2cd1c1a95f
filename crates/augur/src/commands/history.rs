//! `augur history nodes|workloads|pod NAME`: what a data folder remembers, as tables and sparklines.
//!
//! Reads the file of a scheduler that does not run; a running one answers the same over HTTP.

use augur_history::{
    DecisionFilter, History, HistoryHandle, HistoryOptions, OutcomeLabel, Rate, SeriesOf, UnixMillis, UsagePoint,
};
use jiff::Timestamp;

use super::export;
use crate::cli::{HistoryArgs, HistoryWhat};
use crate::output;

/// Characters of a sparkline.
const WIDTH: usize = 32;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Prints what is asked for.
///
/// # Errors
/// The folder holds no history, or it is in use.
pub fn run(args: &HistoryArgs) -> anyhow::Result<()> {
    let file = args.data_dir.join(augur_history::STORE_FILE);
    anyhow::ensure!(file.exists(), "{} does not exist; --data-dir names the folder of a scheduler", file.display());
    let history = History::open(&HistoryOptions::new(&args.data_dir))?;
    let h = history.handle();
    match &args.what {
        HistoryWhat::Nodes => nodes(&h, args.limit),
        HistoryWhat::Workloads => workloads(&h, args.limit),
        HistoryWhat::Pod { name } => pod(&h, name),
        HistoryWhat::Export(args) => export::run(&h, args),
    }
}

fn percent(value: Option<f64>) -> String {
    value.map_or("-".to_owned(), |value| format!("{:.1} %", value * 100.0))
}

fn rate(rate: Option<Rate>) -> String {
    rate.map_or("-".to_owned(), |r| format!("{:.1} % ({:.0}–{:.0})", r.value * 100.0, r.low * 100.0, r.high * 100.0))
}

fn nodes(h: &HistoryHandle, limit: usize) -> anyhow::Result<()> {
    let rates = h.rates();
    let mut rows = vec![
        ["NODE", "PODS", "FAILURE", "RESTART", "OOM", "EVICTION", "STABILITY", "CPU", "PEAK", "LAST DAY"]
            .map(str::to_owned),
    ];
    let mut names: Vec<_> = rates.nodes.iter().collect();
    // The worst first.
    names.sort_by(|(a, x), (b, y)| {
        let failure = |rates: &augur_history::NodeRates| rates.failure_rate.map_or(0.0, |rate| rate.value);
        failure(y).total_cmp(&failure(x)).then_with(|| a.cmp(b))
    });
    let more = names.len().saturating_sub(limit);
    for (name, known) in names.into_iter().take(limit) {
        let series = h.usage_series(SeriesOf::Node(name), UnixMillis(0))?;
        let points = series.first().map_or(&[][..], |series| &series.points);
        rows.push([
            name.to_string(),
            known.pods.to_string(),
            rate(known.failure_rate),
            rate(known.restart_rate),
            rate(known.oom_rate),
            rate(known.eviction_rate),
            known.stability_score.map_or("-".to_owned(), |score| format!("{score:.3}")),
            percent(known.mean_cpu),
            percent(known.peak_cpu),
            sparkline(points, DAY_MS, |point| point.cpu),
        ]);
    }
    print(&rows)?;
    if more > 0 {
        output::line(&format!("and {more} more (--limit)"))?;
    }
    Ok(())
}

fn workloads(h: &HistoryHandle, limit: usize) -> anyhow::Result<()> {
    let rates = h.rates();
    let mut rows = vec![
        ["WORKLOAD", "PODS", "FAILURE", "RESTART", "OOM", "EVICTION", "CPU P95", "MEMORY P98", "LEVEL"]
            .map(str::to_owned),
    ];
    let mut keys: Vec<_> = rates.workloads.iter().collect();
    keys.sort_by(|(a, x), (b, y)| y.n.cmp(&x.n).then_with(|| a.cmp(b)));
    let more = keys.len().saturating_sub(limit);
    for (key, known) in keys.into_iter().take(limit) {
        let usage = known.usage;
        rows.push([
            format!("{}/{}/{}", key.namespace, key.kind, key.name),
            known.n.to_string(),
            rate(known.failure_rate),
            rate(known.restart_rate),
            rate(known.oom_rate),
            rate(known.eviction_rate),
            usage.map_or("-".to_owned(), |usage| format!("{:.2}", usage.cpu_p95)),
            usage.map_or("-".to_owned(), |usage| format!("{:.0} MiB", usage.memory_p98 / 1_048_576.0)),
            known.backoff_level.to_owned(),
        ]);
    }
    print(&rows)?;
    if more > 0 {
        output::line(&format!("and {more} more (--limit)"))?;
    }
    Ok(())
}

fn pod(h: &HistoryHandle, name: &str) -> anyhow::Result<()> {
    let filter = DecisionFilter { pod: Some(name.to_owned()), limit: 20, ..DecisionFilter::default() };
    let decisions = h.decisions(&filter)?;
    let bare = name.rsplit_once('/').map_or(name, |(_, bare)| bare);
    let mut series = h.usage_series(SeriesOf::Pod(bare), UnixMillis(0))?;
    if let Some((namespace, _)) = name.split_once('/') {
        series.retain(|one| *one.namespace == *namespace);
    }
    anyhow::ensure!(!decisions.is_empty() || !series.is_empty(), "nothing is remembered of a pod {name}");
    let mut rows = vec![["DECIDED", "NODE", "STATE", "AFTER 1 H", "AFTER 24 H", "CAUSE"].map(str::to_owned)];
    for (record, outcome) in &decisions {
        let word = |value: &dyn erased::Word| value.word();
        rows.push([
            Timestamp::from_millisecond(record.at.0).map_or("-".to_owned(), |at| at.to_string()),
            record.node.as_deref().unwrap_or("none").to_owned(),
            outcome.as_ref().map_or("-".to_owned(), |o| word(&o.state)),
            outcome.as_ref().map_or("-".to_owned(), |o| word(&o.label)),
            outcome.as_ref().map_or("-".to_owned(), |o| word(&o.day_label)),
            outcome.as_ref().and_then(|o| o.cause).map_or("-".to_owned(), |cause| word(&cause)),
        ]);
    }
    print(&rows)?;
    for one in &series {
        let last = one.points.last();
        output::line(&format!(
            "{}/{} {} on {}\n  cpu    {} {:.3} cores\n  memory {} {:.0} MiB",
            one.namespace,
            one.pod,
            one.container,
            one.node,
            sparkline(&one.points, 7 * DAY_MS, |point| point.cpu),
            last.and_then(|point| point.cpu).unwrap_or(0.0),
            sparkline(&one.points, 7 * DAY_MS, |point| point.memory),
            last.and_then(|point| point.memory).unwrap_or(0.0) / 1_048_576.0,
        ))?;
    }
    if decisions.iter().any(|(_, o)| o.as_ref().is_some_and(|o| o.label == OutcomeLabel::AppFault)) {
        output::line("app_fault: replicas failed on many nodes; the node is not to blame")?;
    }
    Ok(())
}

/// Names of enumerations as the API writes them.
mod erased {
    /// Has such a name.
    pub trait Word {
        /// The name.
        fn word(&self) -> String;
    }
    impl<T: serde::Serialize> Word for T {
        fn word(&self) -> String {
            serde_json::to_value(self).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        }
    }
}

/// The last `span` of a series as bars, from nothing to the highest; spaces where nothing was read.
fn sparkline(points: &[UsagePoint], span: i64, value: impl Fn(&UsagePoint) -> Option<f64>) -> String {
    let Some(last) = points.last().map(|point| point.at.0 + point.span_ms) else { return String::new() };
    let mut columns = [(0.0, 0u32); WIDTH];
    for point in points {
        let at = (point.at.0 - (last - span)) * WIDTH as i64 / span;
        if let (Ok(column), Some(value)) = (usize::try_from(at), value(point))
            && let Some((sum, count)) = columns.get_mut(column)
        {
            (*sum, *count) = (*sum + value, *count + 1);
        }
    }
    let mean = |(sum, count): &(f64, u32)| (*count > 0).then(|| sum / f64::from(*count));
    let highest = columns.iter().filter_map(mean).fold(0.0, f64::max);
    let bar = |column: &(f64, u32)| match mean(column) {
        None => ' ',
        Some(value) if highest > 0.0 => BARS[((value / highest * 7.0).round() as usize).min(7)],
        Some(_) => BARS[0],
    };
    columns.iter().map(bar).collect()
}

/// Prints columns as wide as their widest cell.
fn print<const N: usize>(rows: &[[String; N]]) -> anyhow::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        output::line(cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_the_end_of_a_series_and_its_gaps() {
        let point = |hour: i64, cpu| UsagePoint {
            at: UnixMillis(hour * HOUR_MS),
            span_ms: HOUR_MS,
            cpu: Some(cpu),
            cpu_max: None,
            memory: None,
            memory_max: None,
        };
        let points: Vec<_> =
            (0..32).filter(|hour| *hour != 30).map(|hour| point(hour, f64::from(hour as i32))).collect();
        let line = sparkline(&points, 32 * HOUR_MS, |point| point.cpu);
        assert_eq!((line.chars().count(), line.chars().next(), line.chars().last()), (32, Some('▁'), Some('█')));
        assert_eq!(line.chars().nth(30), Some(' '));
        assert_eq!(sparkline(&[], DAY_MS, |point| point.cpu), "");
    }
}
