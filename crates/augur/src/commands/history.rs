//! `augur history nodes|workloads|pod NAME`: what a scheduler remembers, as tables and sparklines.
//!
//! Asks a running one over HTTP, or reads the data folder of one that does not run; both become the API's answers, which
//! `kubectl augur` shows in the same way.

use std::path::Path;

use anyhow::Context;
use augur_api::dto::{DecisionList, DecisionView, NodeHistory, UsageList, WorkloadList};
use augur_history::{
    DecisionFilter, History, HistoryError, HistoryHandle, HistoryOptions, SeriesOf, UnixMillis, UsageSeries,
};
use augur_kubectl::Server;
use augur_kubectl::table::Look;
use augur_kubectl::view::{self, Show};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::export;
use crate::cli::{HistoryArgs, HistoryWhat};
use crate::output;

/// Where a scheduler on this machine listens, which is asked when its folder is in use.
const LOCAL: &str = "http://127.0.0.1:8080";
/// Spans of a sparkline.
const POINTS: usize = 32;
const DAY_MS: i64 = 24 * 3_600_000;
const WEEK_MS: i64 = 7 * DAY_MS;
/// Placements of a pod that are shown.
const PLACEMENTS: usize = 20;

/// Prints what is asked for.
///
/// # Errors
/// The folder holds no history, the scheduler does not answer, or nothing is remembered.
pub async fn run(args: &HistoryArgs) -> anyhow::Result<()> {
    let memory = match (&args.url, &args.data_dir) {
        (Some(url), _) => Memory::Asked(Server::at(url, args.token_file.as_deref()).await?),
        (None, Some(folder)) => Memory::Read(open(folder)?),
        (None, None) => match open(Path::new("./augur-data")) {
            Ok(history) => Memory::Read(history),
            Err(error) if is_in_use(&error) => Memory::Asked(Server::at(LOCAL, args.token_file.as_deref()).await?),
            Err(error) => return Err(error.context("--url asks a scheduler that runs, --data-dir reads a folder")),
        },
    };
    let show = Show { look: Look::default(), wide: false, now: Timestamp::now() };
    let text = match &args.what {
        HistoryWhat::Nodes => {
            let (nodes, usage) = (memory.nodes().await?, memory.usage(None).await?);
            view::node_history(&nodes, &usage, args.limit, show)?
        }
        HistoryWhat::Workloads => view::workloads(&memory.workloads().await?, true, args.limit, show)?,
        HistoryWhat::Pod { name } => {
            let (decisions, usage) = (memory.decisions(name).await?, memory.usage(Some(name)).await?);
            let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
            let nothing = is_empty(&decisions["decisions"]) && is_empty(&usage["series"]);
            anyhow::ensure!(!nothing, "nothing is remembered of a pod {name}");
            view::pod_history(&decisions, &usage, show)?
        }
        HistoryWhat::Export(export) => match &memory {
            Memory::Read(history) => return export::run(&history.handle(), export),
            Memory::Asked(server) => return export::ask(server, export).await,
        },
    };
    Ok(output::line(text.trim_end_matches('\n'))?)
}

fn open(folder: &Path) -> anyhow::Result<History> {
    let file = folder.join(augur_history::STORE_FILE);
    anyhow::ensure!(file.exists(), "{} does not exist; --data-dir names the folder of a scheduler", file.display());
    let opened = History::open(&HistoryOptions::new(folder));
    opened.with_context(|| format!("{}; a scheduler that runs is asked with --url {LOCAL}", folder.display()))
}

fn is_in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(HistoryError::InUse { .. }))
}

/// Where answers come from.
enum Memory {
    Asked(Server),
    Read(History),
}

impl Memory {
    async fn nodes(&self) -> anyhow::Result<Value> {
        match self {
            Memory::Asked(server) => Ok(server.get("/api/v1/nodes").await?),
            Memory::Read(history) => {
                let rates = history.handle().rates();
                let mut nodes: Vec<_> = rates.nodes.iter().collect();
                nodes.sort_by_key(|(name, _)| *name);
                let nodes = nodes.into_iter();
                let nodes = nodes.map(|(name, rates)| json!({ "name": name, "history": NodeHistory::from(&**rates) }));
                Ok(json!({ "nodes": nodes.collect::<Vec<_>>() }))
            }
        }
    }

    async fn workloads(&self) -> anyhow::Result<Value> {
        match self {
            Memory::Asked(server) => Ok(server.get("/api/v1/workloads").await?),
            Memory::Read(history) => Ok(serde_json::to_value(WorkloadList::new(&history.handle().rates()))?),
        }
    }

    async fn decisions(&self, pod: &str) -> anyhow::Result<Value> {
        match self {
            Memory::Asked(server) => {
                Ok(server.get(&format!("/api/v1/decisions?pod={}&limit={PLACEMENTS}", name_of(pod)?)).await?)
            }
            Memory::Read(history) => {
                let filter =
                    DecisionFilter { pod: Some(pod.to_owned()), limit: PLACEMENTS, ..DecisionFilter::default() };
                let found = history.handle().decisions(&filter)?;
                let decisions =
                    found.iter().map(|(record, outcome)| DecisionView::new(record, outcome.as_ref())).collect();
                Ok(serde_json::to_value(DecisionList { decisions })?)
            }
        }
    }

    /// The last week of a pod's containers, or the last day of all nodes.
    async fn usage(&self, pod: Option<&str>) -> anyhow::Result<Value> {
        match self {
            Memory::Asked(server) => {
                let of = pod.map(|pod| Ok(format!("pod={}&since=168h", name_of(pod)?)));
                let of = of.unwrap_or_else(|| anyhow::Ok("since=24h".to_owned()))?;
                Ok(server.get(&format!("/api/v1/usage?{of}&points={POINTS}")).await?)
            }
            Memory::Read(history) => {
                let series = series(&history.handle(), pod)?;
                // The folder may be of long ago: the end is the last that was read.
                let end = |series: &UsageSeries| series.points.last().map(|point| point.at.0 + point.span_ms);
                let until = series.iter().filter_map(end).max().unwrap_or(0);
                let since = until - if pod.is_some() { WEEK_MS } else { DAY_MS };
                Ok(serde_json::to_value(UsageList::new(&series, UnixMillis(since), UnixMillis(until), POINTS))?)
            }
        }
    }
}

fn series(history: &HistoryHandle, pod: Option<&str>) -> anyhow::Result<Vec<UsageSeries>> {
    let Some(pod) = pod else { return Ok(history.usage_series(SeriesOf::Nodes, UnixMillis(0))?) };
    let (namespace, name) = pod.rsplit_once('/').map_or((None, pod), |(namespace, name)| (Some(namespace), name));
    let mut series = history.usage_series(SeriesOf::Pod(name), UnixMillis(0))?;
    series.retain(|one| namespace.is_none_or(|namespace| *one.namespace == *namespace));
    Ok(series)
}

/// A pod's name for a query, where other characters would mean something else.
fn name_of(pod: &str) -> anyhow::Result<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '/');
    anyhow::ensure!(pod.chars().all(is_name), "{pod:?} is no name of a pod");
    Ok(pod)
}
