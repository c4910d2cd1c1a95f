//! `augur shadow report`: what shadow mode found, from a running service or from its data folder.

use anyhow::bail;
use augur_api::ShadowReport;
use augur_history::{DecisionFilter, History, HistoryOptions, UnixMillis};
use augur_kubectl::Server;
use jiff::{SignedDuration, Timestamp};

use crate::cli::{ReportFormat, ShadowReportArgs};
use crate::output;

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
            serde_json::to_value(ShadowReport::of(found.iter().map(|(record, outcome)| (record, outcome.as_ref()))))?
        }
        None => ask(args).await?,
    };
    Ok(output::line(&match args.output {
        ReportFormat::Json => serde_json::to_string_pretty(&report)?,
        ReportFormat::Table => augur_kubectl::view::shadow_report(&report)?.trim_end().to_owned(),
    })?)
}

async fn ask(args: &ShadowReportArgs) -> anyhow::Result<serde_json::Value> {
    let since = args.hours.map_or_else(String::new, |hours| format!("?since={hours}h"));
    Ok(Server::at(&args.url, None).await?.get(&format!("/api/v1/shadow/report{since}")).await?)
}
