//! The command line: [`Cli`] and the arguments of each command.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api_security::ApiSecurity;
use crate::bench::cluster::BenchClusterArgs;
use crate::bench::placement::{Policy, Scenario};

use crate::commands::export::ExportArgs;
use crate::commands::sandbox::SandboxArgs;
use crate::config::{Metrics, MetricsSource};
use crate::election::ElectionArgs;
use crate::engine::Mode;
use crate::serving::ServingArgs;

/// A Kubernetes scheduler that learns from what became of the pods it placed.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 120)]
pub struct Cli {
    /// How log lines are written to standard error.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Plain)]
    pub log_format: LogFormat,
    /// Which log lines are written, as in `info` or `augur=debug,warn`.
    #[arg(long, global = true, env = "AUGUR_LOG", default_value = "warn,kube_client=off")]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Plain,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows everything on this machine: a simulated cluster behind a real Kubernetes API, scheduled by Augur.
    Up(Box<UpArgs>),
    /// Runs the scheduler (port 8080) against a cluster.
    Scheduler(Box<SchedulerArgs>),
    /// Runs the learner (port 5000): training, judgement, promotion and rollback of models, fed by a scheduler.
    Learner(LearnerArgs),
    /// Runs the simulated cluster alone: its API server, nodes, workloads and controllers, without Augur.
    Sandbox(SandboxArgs),
    /// Runs the bare embedded Kubernetes API server: no nodes, no controllers.
    Apiserver(ApiserverArgs),
    /// Asks a service whether it is well; exits with 1 if it is not.
    Health(HealthArgs),
    /// Shows what a scheduler remembers of nodes, workloads and pods.
    History(HistoryArgs),
    /// Tells what shadow mode found.
    #[command(subcommand)]
    Shadow(ShadowCommand),
    /// Measures.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Runs recorded answers of kube-scheduler against the decision core; exits with 1 if any differs.
    Conformance(ConformanceArgs),
    /// Checks a configuration file and prints the settings that result from it.
    Config(ConfigArgs),
    /// Trains a model on a table and writes it to a file.
    Train(TrainArgs),
    /// Trains on a table's train rows, judges on its test rows and prints how good the probabilities are.
    Evaluate(EvaluateArgs),
}

/// Arguments of `augur up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// The simulated cluster: `small`, `mixed`, `failing-nodes`, or a scenario file.
    #[arg(long, default_value = "mixed", conflicts_with = "trace")]
    pub scenario: String,
    /// Feeds a public trace instead of a scenario.
    #[arg(long, value_enum, requires = "nodes", requires = "pods")]
    pub trace: Option<Trace>,
    /// The trace's list of nodes (CSV, may be gzip-compressed).
    #[arg(long, value_name = "NODES.csv")]
    pub nodes: Option<PathBuf>,
    /// The trace's list of pods (CSV, may be gzip-compressed).
    #[arg(long, value_name = "PODS.csv")]
    pub pods: Option<PathBuf>,
    /// How many seconds of the cluster pass in a real one; `max` feeds a trace as fast as the API takes it. [default: 1
    /// for a scenario, max for a trace]
    #[arg(long, value_parser = Speed::parse)]
    pub speed: Option<Speed>,
    /// Ends when the trace has been fed and its pods are decided, instead of serving on.
    #[arg(long, requires = "trace")]
    pub until_done: bool,
    /// Seed of the simulation and of the choice among nodes of equal score.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Where history, decisions and feedback are kept, and the kubeconfig file is written.
    #[arg(long, default_value = "./augur-data")]
    pub data_dir: PathBuf,
    /// Settings of both services.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The address that the Kubernetes API listens at.
    #[arg(long, default_value = "127.0.0.1")]
    pub api_host: IpAddr,
    /// The port of the Kubernetes API.
    #[arg(long, default_value_t = 8001)]
    pub api_port: u16,
    /// The address that both services listen at. [default: 127.0.0.1]
    #[arg(long)]
    pub host: Option<IpAddr>,
    /// The port of the scheduler service. [default: 8080]
    #[arg(long)]
    pub port: Option<u16>,
    /// The port of the learner service.
    #[arg(long, default_value_t = 5000)]
    pub learner_port: u16,
    /// Prints nothing but errors.
    #[arg(long)]
    pub quiet: bool,
    /// How the Kubernetes API is protected.
    #[command(flatten)]
    pub api: ApiSecurity,
}

/// A public trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Trace {
    /// Alibaba's OpenB GPU trace.
    Openb,
}

/// The fastest that time passes: a day of the cluster in less than nine seconds.
const FASTEST: f64 = 10_000.0;

/// How fast time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// So many seconds of the cluster in a real one.
    Times(f64),
    /// As fast as the API takes it.
    Max,
}

impl Speed {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Speed::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times > 0.0 && times <= FASTEST => Ok(Speed::Times(times)),
            _ => Err(format!("a number above 0 and at most {FASTEST}, or `max`")),
        }
    }
}

/// Arguments of `augur scheduler`.
#[derive(Debug, Args)]
pub struct SchedulerArgs {
    /// The cluster. [default: clientConnection.kubeconfig or kubernetes.kubeconfig_path of the configuration file, or the
    /// pod's service account]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// `scheduler` places pods; `shadow` writes nothing and records what it would have done where other schedulers bind pods;
    /// `extender` answers a kube-scheduler that asks it. [default: mode of the configuration file, or scheduler]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// The schedulerName of the pods to be placed; several are separated by commas. Each has the profile of its name in the
    /// configuration file, or the first one there. [default: the names of the file's profiles, or augur]
    #[arg(long, value_delimiter = ',')]
    pub scheduler_name: Vec<String>,
    /// Settings: augur.yaml, or a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prints the settings in effect, these flags included, as kube-scheduler's /configz does, and ends.
    #[arg(long)]
    pub print_config: bool,
    /// Requests a second to the API server; 0 for no limit. [default: clientConnection.qps of the configuration file, or no
    /// limit]
    #[arg(long, value_name = "N")]
    pub kube_api_qps: Option<f32>,
    /// Requests at once before that limit counts. [default: clientConnection.burst of the configuration file, or 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub kube_api_burst: Option<i32>,
    /// Where history, decisions and feedback are kept.
    #[arg(long, default_value = "./augur-data")]
    pub data_dir: PathBuf,
    /// The address to listen at. [default: server.host of the configuration file]
    #[arg(long)]
    pub host: Option<IpAddr>,
    /// The port to listen at. [default: 8080]
    #[arg(long)]
    pub port: Option<u16>,
    /// Also serves the learner's API, on this port.
    #[arg(long)]
    pub learner_port: Option<u16>,
    /// Seed of the choice among nodes of equal score.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// Where readings of usage come from.
    #[command(flatten)]
    pub metrics: MetricsArgs,
    /// Also lets users of the cluster change state, by their bearer tokens (TokenReview), whom the cluster permits to `post` to
    /// the path (SubjectAccessReview of a nonResourceURL). Nobody may without a token then, not even over loopback.
    #[arg(long)]
    pub token_review: bool,
    /// How the services are protected.
    #[command(flatten)]
    pub serving: ServingArgs,
    /// Leader election.
    #[command(flatten)]
    pub election: ElectionArgs,
}

/// Where readings of usage come from.
#[derive(Debug, Clone, Default, Args)]
pub struct MetricsArgs {
    /// Who tells what nodes and pods use. [default: metrics.source of the configuration file, or metrics-api]
    #[arg(long, value_enum)]
    pub metrics_source: Option<MetricsSource>,
    /// A Prometheus-compatible server: with it an empty history takes in the days before. [default: metrics.prometheus.url of
    /// the configuration file]
    #[arg(long, value_name = "URL")]
    pub prometheus_url: Option<String>,
    /// The file with its bearer token. [default: metrics.prometheus.bearer_token_file of the configuration file]
    #[arg(long, value_name = "FILE")]
    pub prometheus_token_file: Option<PathBuf>,
}

impl MetricsArgs {
    /// Puts what was given over the settings of the file.
    pub fn apply(&self, metrics: &mut Metrics) {
        metrics.source = self.metrics_source.unwrap_or(metrics.source);
        if let Some(url) = &self.prometheus_url {
            metrics.prometheus.url = Some(url.clone());
        }
        if let Some(file) = &self.prometheus_token_file {
            metrics.prometheus.bearer_token_file = Some(file.display().to_string());
        }
    }
}

/// Arguments of `augur learner`.
#[derive(Debug, Args)]
pub struct LearnerArgs {
    /// The scheduler service, which answers predictions and sends examples: it has this learner as `scheduler.ai_api_url`.
    #[arg(long, value_name = "URL")]
    pub scheduler_url: Option<String>,
    /// Settings of the service.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where examples, feedback and models are kept.
    #[arg(long, default_value = "./augur-learner-data")]
    pub data_dir: PathBuf,
    /// The address to listen at. [default: server.host of the configuration file]
    #[arg(long)]
    pub host: Option<IpAddr>,
    /// The port to listen at.
    #[arg(long, default_value_t = 5000)]
    pub port: u16,
    /// How the service is protected; the token is sent to the scheduler too.
    #[command(flatten)]
    pub serving: ServingArgs,
}

/// What `augur shadow` can do.
#[derive(Debug, Subcommand)]
pub enum ShadowCommand {
    /// In how many decisions other schedulers and Augur differed, and what following Augur is expected to have changed.
    Report(ShadowReportArgs),
}

/// Arguments of `augur shadow report`.
#[derive(Debug, Args)]
pub struct ShadowReportArgs {
    /// The scheduler service to ask.
    #[arg(long, default_value = "http://127.0.0.1:8080", conflicts_with = "data_dir")]
    pub url: String,
    /// Reads this data folder instead, whose scheduler must not run.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Only decisions of the last so many hours.
    #[arg(long, value_name = "HOURS")]
    pub hours: Option<u32>,
    /// How to write it.
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Table)]
    pub output: ReportFormat,
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Arguments of `augur apiserver`.
#[derive(Debug, Args)]
pub struct ApiserverArgs {
    /// The address to listen at.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// The port to listen at.
    #[arg(long, default_value_t = 8001)]
    pub port: u16,
    /// Keeps the objects in this folder across restarts, and writes a kubeconfig file there; without it they are kept in memory
    /// only.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Enables `POST /debug/forget-history`, which drops all watch and list history, for clients with this bearer token.
    #[arg(long, env = "AUGUR_DEBUG_TOKEN", hide_env_values = true)]
    pub debug_token: Option<String>,
    /// How the API is protected.
    #[command(flatten)]
    pub api: ApiSecurity,
}

/// Arguments of `augur health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// What to ask.
    #[arg(long, default_value = "http://127.0.0.1:8080/health")]
    pub url: String,
    /// How long to wait for an answer, in seconds.
    #[arg(long, default_value_t = 5)]
    pub timeout: u64,
}

/// Arguments of `augur conformance`.
#[derive(Debug, Args)]
pub struct ConformanceArgs {
    /// The folder with the cases, or with a folder `cases`: one gzip-compressed file of JSON lines for each category.
    #[arg(long, value_name = "DIR")]
    pub corpus: PathBuf,
    /// Only this category.
    #[arg(long)]
    pub category: Option<String>,
    /// Only the case of this id.
    #[arg(long, value_name = "ID")]
    pub case: Option<String>,
}

/// Arguments of `augur train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The table: CSV with a header (may be gzip-compressed) or Parquet, its rows in the order of time.
    #[arg(long, value_name = "FILE")]
    pub table: PathBuf,
    /// The column of labels, 0 and 1.
    #[arg(long, value_name = "COLUMN")]
    pub label: String,
    /// A column that is no feature, because it only says which rows belong together.
    #[arg(long, value_name = "COLUMN")]
    pub group: Option<String>,
    /// The column that says `train` or `test`; only train rows are used. Without it all are.
    #[arg(long, value_name = "COLUMN")]
    pub split: Option<String>,
    /// Where the model is written.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `augur evaluate`.
#[derive(Debug, Args)]
pub struct EvaluateArgs {
    /// The table: CSV with a header (may be gzip-compressed) or Parquet, its rows in the order of time.
    #[arg(long, value_name = "FILE")]
    pub table: PathBuf,
    /// The column of labels: 0 and 1, or two values of a kind, as no and yes.
    #[arg(long, value_name = "COLUMN")]
    pub label: String,
    /// Predicts the label as a number, with intervals that hold nine in ten.
    #[arg(long, conflicts_with = "report")]
    pub regression: bool,
    /// The column of rows that belong together, as a user's; intervals come from drawing groups. It is no feature.
    #[arg(long, value_name = "COLUMN")]
    pub group: Option<String>,
    /// The column that says `train` or `test`. Without it the last 30 % of the rows are tested on.
    #[arg(long, value_name = "COLUMN")]
    pub split: Option<String>,
    /// The form of what is printed.
    #[arg(long, value_enum, default_value_t = EvaluateFormat::Text)]
    pub format: EvaluateFormat,
    /// Also writes a report with plots, one HTML file.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// The form of what `augur evaluate` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EvaluateFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// Arguments of `augur history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// What to show.
    #[command(subcommand)]
    pub what: HistoryWhat,
    /// The scheduler service to ask. [default: http://127.0.0.1:8080, if ./augur-data is in use]
    #[arg(long, global = true)]
    pub url: Option<String>,
    /// Reads this data folder instead, whose scheduler must not run. [default: ./augur-data]
    #[arg(long, global = true, conflicts_with = "url")]
    pub data_dir: Option<PathBuf>,
    /// A file with the bearer token that the scheduler wants for `export`, unless it listens on loopback only.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Rows at most.
    #[arg(long, default_value_t = 50, global = true)]
    pub limit: usize,
}

/// What `augur history` shows.
#[derive(Debug, Subcommand)]
pub enum HistoryWhat {
    /// Nodes, those with the highest failure rate first.
    Nodes,
    /// Workloads, those with most pods first.
    Workloads,
    /// Placements, outcomes and usage of one pod.
    Pod {
        /// `NAME` or `NAMESPACE/NAME`.
        name: String,
    },
    /// Series, decisions and examples as Parquet files, for pandas, DuckDB or Spark.
    Export(ExportArgs),
}

/// The measurements.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Pods created over HTTP while watchers follow: rate, latency, memory.
    Apiserver(BenchApiserverArgs),
    /// A scheduler process against an API server: rate, latency, CPU, memory.
    Cluster(BenchClusterArgs),
    /// The decision loop alone, on one core: rate, latency, memory.
    Decide(BenchDecideArgs),
    /// Seven days of memory: ingestion, disk, memory, features, reopening after a crash.
    History(BenchHistoryArgs),
    /// History's labels against the hidden causes of the simulation: a confusion table.
    Labels(BenchLabelsArgs),
    /// `POST /predict` over HTTP: latency by number of nodes.
    Predict(BenchPredictArgs),
    /// The forest: training, prediction, explanation, re-scoring, and how good it is.
    Forest(BenchForestArgs),
    /// Policies in the same simulated worlds, by virtual time: what becomes of their placements.
    Placement(BenchPlacementArgs),
}

/// Arguments of `augur bench placement`.
#[derive(Debug, Args)]
pub struct BenchPlacementArgs {
    /// The character of the worlds.
    #[arg(long, value_enum, default_value_t = Scenario::FailingNodes)]
    pub scenario: Scenario,
    /// What is compared, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Policy::value_variants().to_vec())]
    pub policies: Vec<Policy>,
    /// Worlds, each by its own seed.
    #[arg(long, default_value_t = 5)]
    pub seeds: u64,
    /// The seed of the first world; the others follow it.
    #[arg(long, default_value_t = 1)]
    pub first_seed: u64,
    /// Nodes of each world.
    #[arg(long, default_value_t = 50)]
    pub nodes: usize,
    /// Simulated hours.
    #[arg(long, default_value_t = 24.0)]
    pub hours: f64,
    /// The folder with the traces (`bitbrains_rnd`, `alibaba_genai_pods`) that usage is replayed from, or `off` for the
    /// generator; by default `traces` in $AUGUR_SHARED if it is set, and the generator for what is not there.
    #[arg(long, value_name = "DIR|off")]
    pub traces: Option<PathBuf>,
    /// Writes a report with plots, one HTML file.
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = PlacementFormat::Text)]
    pub format: PlacementFormat,
}

/// Arguments of `augur bench labels`.
#[derive(Debug, Args)]
pub struct BenchLabelsArgs {
    /// The character of the worlds.
    #[arg(long, value_enum, default_value_t = Scenario::FailingNodes)]
    pub scenario: Scenario,
    /// Worlds, each by its own seed from 1 on.
    #[arg(long, default_value_t = 3)]
    pub seeds: u64,
    /// Nodes of each world.
    #[arg(long, default_value_t = 50)]
    pub nodes: usize,
    /// Simulated hours.
    #[arg(long, default_value_t = 12.0)]
    pub hours: f64,
}

/// The form of a measurement's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlacementFormat {
    /// A table, and one JSON line last.
    Text,
    /// The JSON line alone.
    Json,
}

/// Arguments of `augur bench apiserver`.
#[derive(Debug, Args)]
pub struct BenchApiserverArgs {
    /// Pods to create.
    #[arg(long, default_value_t = 50_000)]
    pub pods: usize,
    /// Watches that follow all pods.
    #[arg(long, default_value_t = 10)]
    pub watchers: usize,
    /// Connections that create.
    #[arg(long, default_value_t = 8)]
    pub clients: usize,
}

/// Arguments of `augur bench decide`.
#[derive(Debug, Args)]
pub struct BenchDecideArgs {
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 5_000)]
    pub nodes: usize,
    /// Pods that are on the nodes before.
    #[arg(long, default_value_t = 0)]
    pub existing: usize,
    /// Pods to be placed.
    #[arg(long, default_value_t = 10_000)]
    pub pods: usize,
    /// What the pods ask for.
    #[arg(long, value_enum, default_value_t = DecideWorkload::Basic)]
    pub workload: DecideWorkload,
    /// How many kinds of pods come in turn.
    #[arg(long, default_value_t = 1)]
    pub templates: usize,
    /// Zones that the nodes are in.
    #[arg(long, default_value_t = 3)]
    pub zones: usize,
    /// Measure how the cost grows with nodes, pods, templates and zones instead, and draw it into this file (SVG). Takes
    /// minutes and, at a million nodes, 2 GiB.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["nodes", "existing", "pods", "workload", "templates", "zones"])]
    pub curve: Option<std::path::PathBuf>,
}

/// What pods ask for in `augur bench decide`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DecideWorkload {
    /// CPU and memory.
    Basic,
    /// To be spread over zones, as a must.
    Spread,
    /// To be spread over zones, as a wish.
    PreferredSpread,
    /// The zone of their like.
    Affinity,
    /// Nodes without their like.
    AntiAffinity,
    /// The zone of their like, as a wish.
    PreferredAffinity,
    /// Nodes with certain labels.
    NodeAffinity,
    /// Room that others have to make.
    Preemption,
    /// All of these in turn but preemption.
    Mixed,
}

/// Arguments of `augur bench history`.
#[derive(Debug, Args)]
pub struct BenchHistoryArgs {
    /// Nodes of the cluster.
    #[arg(long, default_value_t = 5_000)]
    pub nodes: usize,
    /// Pods on them, of one container each.
    #[arg(long, default_value_t = 150_000)]
    pub pods: usize,
    /// Hours that pass.
    #[arg(long, default_value_t = 168)]
    pub hours: u32,
    /// The last of them, with a reading every 30 s; these are measured. Those before have one every five minutes.
    #[arg(long, default_value_t = 9)]
    pub full_hours: u32,
    /// Pods that are placed on a day, each of which runs for half an hour.
    #[arg(long, default_value_t = 50_000)]
    pub decisions_per_day: u32,
}

/// Arguments of `augur bench forest`.
#[derive(Debug, Args)]
pub struct BenchForestArgs {
    /// Rows to train on; a quarter as many are judged by.
    #[arg(long, default_value_t = 200_000)]
    pub rows: usize,
    /// Seed of the table and of the forest.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Runs of each measurement, the least of which counts.
    #[arg(long, default_value_t = 7)]
    pub repeats: usize,
    /// Writes the table to this CSV file instead of measuring, for other programs to be measured on the same data.
    #[arg(long, value_name = "FILE.csv")]
    pub write_table: Option<PathBuf>,
}

/// Arguments of `augur bench predict`.
#[derive(Debug, Args)]
pub struct BenchPredictArgs {
    /// Nodes of the cluster; several sizes are separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [50, 5_000])]
    pub nodes: Vec<usize>,
    /// Requests for each size, after a tenth as many that are not counted.
    #[arg(long, default_value_t = 2_000)]
    pub requests: usize,
}

/// Arguments of `augur config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The file, augur.yaml or a KubeSchedulerConfiguration; without it the defaults are printed.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Prints the reference of all settings in Markdown.
    #[arg(long, conflicts_with = "config")]
    pub reference: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_speed_is_a_positive_number_or_max() {
        assert_eq!(Speed::parse("60"), Ok(Speed::Times(60.0)));
        assert_eq!(Speed::parse("max"), Ok(Speed::Max));
        for wrong in ["0", "-1", "inf", "nan", "1e9", "fast"] {
            assert!(Speed::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_trace_needs_its_files_and_excludes_a_scenario() {
        let parse = |args: &[&str]| Cli::try_parse_from(["augur", "up"].iter().chain(args));
        assert!(parse(&["--trace", "openb"]).is_err());
        assert!(parse(&["--trace", "openb", "--nodes", "n", "--pods", "p"]).is_ok());
        assert!(parse(&["--trace", "openb", "--nodes", "n", "--pods", "p", "--scenario", "small"]).is_err());
    }
}
