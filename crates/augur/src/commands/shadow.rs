//! `augur shadow report`: what shadow mode found, from a running service or from its data folder.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use augur_api::{Estimate, ShadowReport};
use augur_history::{DecisionFilter, History, HistoryOptions, UnixMillis};
use http::Uri;
use jiff::{SignedDuration, Timestamp};

use crate::cli::{ReportFormat, ShadowReportArgs};
use crate::commands::health::fetch;
use crate::output;

/// How long the service may take: it reads a week of decisions.
const PATIENCE: Duration = Duration::from_secs(60);

/// Decisions that a report is made of at most.
const REPORTED: usize = 200_000;

/// Prints the report.
///
/// # Errors
/// When the service does not answer, or the data folder cannot be read.
pub async fn report(args: &ShadowReportArgs) -> anyhow::Result<()> {
    let report = match &args.data_dir {
        Some(dir) => {
            if !dir.is_dir() {
                bail!("--data-dir {}: there is no such folder", dir.display());
            }
            let history = History::open(&HistoryOptions::new(dir))?;
            let since = |hours: u32| Timestamp::now() - SignedDuration::from_hours(hours.into());
            let since = args.hours.map(|hours| UnixMillis(since(hours).as_millisecond()));
            let filter = DecisionFilter { since, limit: REPORTED, ..DecisionFilter::default() };
            let found = history.handle().decisions(&filter)?;
            ShadowReport::of(found.iter().map(|(record, outcome)| (record, outcome.as_ref())))
        }
        None => ask(args).await?,
    };
    Ok(output::line(&match args.output {
        ReportFormat::Json => serde_json::to_string_pretty(&report)?,
        ReportFormat::Table => table(&report),
    })?)
}

async fn ask(args: &ShadowReportArgs) -> anyhow::Result<ShadowReport> {
    let since = args.hours.map_or_else(String::new, |hours| format!("?since={hours}h"));
    let url = format!("{}/api/v1/shadow/report{since}", args.url.trim_end_matches('/'));
    let uri: Uri = url.parse().with_context(|| format!("--url {} is not a URL", args.url))?;
    let (status, body) = fetch(&uri, PATIENCE).await?;
    if !status.is_success() {
        bail!("{uri} answered {status}: {}", String::from_utf8_lossy(&body));
    }
    serde_json::from_slice(&body).with_context(|| format!("{uri} answered something else than a report"))
}

fn table(report: &ShadowReport) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        // Writing to memory does not fail.
        let _ = writeln!(text, "{what:<44} {value}");
    };
    line("decisions of other schedulers", &report.decisions.to_string());
    line("  the same node", &report.same_node.to_string());
    line("  another node with an equal score", &report.equal_score.to_string());
    line("  a better node by Augur's score", &report.differed.to_string());
    line("  a node that is not feasible by what it knew", &report.not_feasible.to_string());
    line("  no node found here", &report.no_node.to_string());
    let share = |estimate: &Estimate| {
        let [value, low, high] = [estimate.value, estimate.low, estimate.high].map(|share| share * 100.0);
        format!("{value:.1} % ({low:.1} to {high:.1}, 95 % {}, n = {})", estimate.interval, estimate.n)
    };
    let points = |estimate: &Estimate| {
        let Estimate { value, low, high, n, interval } = estimate;
        format!("{value:+.3} ({low:+.3} to {high:+.3}, 95 % {interval}, n = {n})")
    };
    let or_unknown = |estimate: &Option<Estimate>, show: &dyn Fn(&Estimate) -> String| {
        estimate.as_ref().map_or_else(|| "not known".to_owned(), show)
    };
    line("differing decisions", &or_unknown(&report.differing_share, &share));
    line("score gained a decision, in points", &or_unknown(&report.score_gain, &points));
    line("risk avoided a decision, by the model", &or_unknown(&report.risk_reduction_by_model, &points));
    line("stability gained a decision, by history", &or_unknown(&report.stability_gain_by_history, &points));
    line("went bad where both agreed", &or_unknown(&report.bad_when_agreed, &share));
    line("went bad where they differed", &or_unknown(&report.bad_when_differed, &share));
    text.truncate(text.trim_end().len());
    text
}
