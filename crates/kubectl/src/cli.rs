//! The command line of `kubectl augur`: [`Cli`].

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

/// Asks the Augur scheduler of a cluster: why pods are where they are, what nodes and workloads did, and what would happen if.
#[derive(Debug, Parser)]
#[command(name = "kubectl-augur", bin_name = "kubectl augur", version, about, max_term_width = 100)]
#[command(
    after_help = "The scheduler is the one of --server-url or AUGUR_URL, else the Service of Augur in the cluster of the \
    kubeconfig, by way of the API server's proxy, else http://127.0.0.1:8080."
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Default, Args)]
pub struct Common {
    /// The scheduler's own address, as in http://127.0.0.1:8080, instead of the way through the cluster.
    #[arg(long, global = true, env = "AUGUR_URL", value_name = "URL", help_heading = "Connection")]
    pub server_url: Option<String>,
    /// A file with the bearer token to send to --server-url, for a scheduler that asks for one.
    #[arg(long, global = true, env = "AUGUR_TOKEN_FILE", value_name = "FILE", help_heading = "Connection")]
    pub token_file: Option<PathBuf>,
    /// The certificate authority of --server-url, in PEM.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub certificate_authority: Option<PathBuf>,
    /// The kubeconfig file. [default: KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. [default: its current one]
    #[arg(long, global = true, value_name = "NAME", help_heading = "Connection")]
    pub context: Option<String>,
    /// The scheduler's Service, where several are found or Services cannot be listed.
    #[arg(long, global = true, value_name = "NAMESPACE/NAME[:PORT]", help_heading = "Connection")]
    pub service: Option<String>,
    /// How long an answer may take, in seconds.
    #[arg(long, global = true, default_value_t = 60, value_name = "SECONDS", help_heading = "Connection")]
    pub request_timeout: u64,
    /// The namespace of pods and workloads. [default: that of the context, or default]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The form of the answer: the scheduler's own answer as JSON or YAML, or a table with more columns.
    #[arg(short, long, global = true, value_enum, value_name = "FORMAT")]
    pub output: Option<Output>,
    /// Tables without headings.
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// No colours; there are none either where NO_COLOR is set or the output is no terminal.
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// A table with more columns and rows.
    Wide,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Why a pod is where it is, why not on another node, and what would change that.
    Explain(ExplainArgs),
    /// Nodes: requested, used, predicted peak, stability, and a day of usage.
    Nodes(NodesArgs),
    /// What became of a workload's pods in seven days; without a name, of all workloads of the namespace.
    History(HistoryArgs),
    /// The decisions taken, newest first.
    Decisions(DecisionsArgs),
    /// Where many pods would go, or the pods of drained nodes: a dry run on a copy of the cluster that changes nothing.
    WhatIf(WhatIfArgs),
    /// What shadow mode found.
    #[command(subcommand)]
    Shadow(ShadowCommand),
    /// The model in use.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Prints a script that completes commands and flags in a shell.
    Completion(CompletionArgs),
    /// Prints the manual page, or writes the pages of all commands into a folder.
    Man(ManArgs),
    /// What the script of `completion kubectl` calls.
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete(CompleteArgs),
}

/// Arguments of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The pod, as `NAME`, `pod/NAME` or `NAMESPACE/NAME`.
    pub pod: String,
    /// Nodes in the table; all with `-o wide`.
    #[arg(long, default_value_t = 15, value_name = "N")]
    pub limit: usize,
}

/// Arguments of `nodes`.
#[derive(Debug, Clone, Args)]
pub struct NodesArgs {
    /// Only these nodes.
    pub names: Vec<String>,
    /// What comes first.
    #[arg(long, value_enum, default_value_t = SortNodes::Name)]
    pub sort_by: SortNodes,
}

/// The order of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortNodes {
    /// By name.
    Name,
    /// The least stable first.
    Stability,
    /// The highest use of CPU first.
    Cpu,
    /// The highest use of memory first.
    Memory,
}

/// Arguments of `history`.
#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    /// The workload, as `NAME`, `KIND/NAME` (`deploy/web`, `sts/db`, `pod/NAME`).
    pub workload: Option<String>,
    /// Workloads of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Rows at most.
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub limit: usize,
}

/// Arguments of `decisions`.
#[derive(Debug, Clone, Args)]
pub struct DecisionsArgs {
    /// Only about this pod.
    pub pod: Option<String>,
    /// Decisions about pods of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only those that chose this node.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Only those not older than this: a span like `15m`, or a time.
    #[arg(long, value_name = "SPAN")]
    pub since: Option<String>,
    /// Rows at most.
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
}

/// Arguments of `what-if`.
#[derive(Debug, Clone, Args)]
pub struct WhatIfArgs {
    /// Manifests in YAML or JSON, with Pods, Deployments, ReplicaSets, StatefulSets, ReplicationControllers and Jobs; `-` for
    /// standard input.
    #[arg(short, long, value_name = "FILE", required_unless_present = "drain")]
    pub filename: Vec<PathBuf>,
    /// So many pods of each, instead of what the manifest says.
    #[arg(long, value_name = "N", requires = "filename")]
    pub replicas: Option<u32>,
    /// Drains these nodes first.
    #[arg(long, value_name = "NODE", value_delimiter = ',', action = ArgAction::Append)]
    pub drain: Vec<String>,
}

/// What `shadow` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum ShadowCommand {
    /// In how many decisions other schedulers and Augur differed, and what following Augur is expected to have changed.
    Report {
        /// Only decisions not older than this: a span like `24h`, or a time.
        #[arg(long, value_name = "SPAN")]
        since: Option<String>,
    },
}

/// What `model` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum ModelCommand {
    /// Which model has a say, how old it is, where it came from, or why none has.
    Status,
}

/// Arguments of `completion`.
#[derive(Debug, Clone, Args)]
pub struct CompletionArgs {
    /// The shell; `kubectl` for the program `kubectl_complete-augur`, by which kubectl's own completion asks.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Who completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Elvish,
    Kubectl,
}

/// Arguments of `man`.
#[derive(Debug, Clone, Args)]
pub struct ManArgs {
    /// Writes kubectl-augur.1 and a page for each command into this folder.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Arguments of `__complete`.
#[derive(Debug, Clone, Args)]
pub struct CompleteArgs {
    /// The words so far; the last one is to be completed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    /// What the documents tell people to type is what the command line takes.
    #[test]
    fn commands_of_the_documents_are_taken() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut tried = 0;
        for page in ["README.md", "docs/user-guide.md", "docs/runbook.md", "docs/troubleshooting.md"] {
            let text = std::fs::read_to_string(root.join(page)).unwrap();
            for command in text.lines().filter_map(|line| line.trim().strip_prefix("kubectl augur ")) {
                let words = command.split_whitespace().take_while(|word| !matches!(*word, "|" | ">" | "#" | "&&"));
                if let Err(error) = Cli::try_parse_from(std::iter::once("kubectl-augur").chain(words)) {
                    panic!("{page}: {command}: {error}");
                }
                tried += 1;
            }
        }
        assert!(tried >= 10, "only {tried} commands found");
    }

    #[test]
    fn a_dry_run_needs_something_to_do() {
        let parse = |args: &[&str]| Cli::try_parse_from(["kubectl-augur", "what-if"].iter().chain(args));
        assert!(parse(&[]).is_err());
        assert!(parse(&["--drain", "n1", "--replicas", "3"]).is_err());
        assert!(parse(&["--drain", "n1,n2"]).is_ok());
        assert!(parse(&["-f", "a.yaml", "-f", "-", "--replicas", "3", "-n", "team", "-o", "wide"]).is_ok());
    }
}
