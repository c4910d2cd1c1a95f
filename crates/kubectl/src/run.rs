//! Each command: what it asks the scheduler, and what it prints.

use std::io::{IsTerminal, Write};

use anyhow::{Context, bail};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answers::{Decisions, Workloads};
use crate::cli::{
    Cli, Command, Common, DecisionsArgs, ExplainArgs, HistoryArgs, ManArgs, ModelCommand, NodesArgs, Output,
    ShadowCommand, WhatIfArgs,
};
use crate::server::{Server, ServerError};
use crate::table::Look;
use crate::view::{self, Show};
use crate::{complete, manifest};

/// Pods of a workload whose usage is shown.
const CHARTS: usize = 8;
/// Spans of a sparkline.
const POINTS: usize = 24;

/// Short names of kinds, as kubectl knows them.
const KINDS: [(&str, &str); 16] = [
    ("deploy", "Deployment"),
    ("deployment", "Deployment"),
    ("deployments", "Deployment"),
    ("sts", "StatefulSet"),
    ("statefulset", "StatefulSet"),
    ("statefulsets", "StatefulSet"),
    ("ds", "DaemonSet"),
    ("daemonset", "DaemonSet"),
    ("daemonsets", "DaemonSet"),
    ("rs", "ReplicaSet"),
    ("replicaset", "ReplicaSet"),
    ("job", "Job"),
    ("jobs", "Job"),
    ("cj", "CronJob"),
    ("cronjob", "CronJob"),
    ("cronjobs", "CronJob"),
];

/// Runs the command.
///
/// # Errors
/// When the scheduler does not answer, or refuses; when nothing is found.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let common = &cli.common;
    match cli.command {
        Command::Completion(args) => return print(&complete::script(args.shell)),
        Command::Man(args) => return man(&args),
        Command::Complete(args) => return print(&complete::candidates(&args.words)),
        _ => {}
    }
    let server = Server::find(common).await?;
    if let Some(note) = server.note() {
        tell(note);
    }
    let now =
        if common.output.is_none_or(|output| output == Output::Wide) { server.now().await } else { Timestamp::now() };
    let ask = Ask { server, output: common.output, show: show(common, now) };
    match cli.command {
        Command::Explain(args) => ask.explain(&args).await,
        Command::Nodes(args) => ask.nodes(&args).await,
        Command::History(args) => ask.history(&args).await,
        Command::Decisions(args) => ask.decisions(&args).await,
        Command::WhatIf(args) => ask.what_if(&args).await,
        Command::Shadow(ShadowCommand::Report { since }) => {
            let since = since.map_or(String::new(), |since| format!("?since={}", escaped(&since)));
            let answer = ask.server.get(&format!("/api/v1/shadow/report{since}")).await?;
            ask.print(&answer, || Ok(view::shadow_report(&answer)?))
        }
        Command::Model(ModelCommand::Status) => {
            let answer = ask.server.get("/api/v1/model/status").await?;
            ask.print(&answer, || Ok(view::model_status(&answer, ask.show)?))
        }
        // Answered above, without a scheduler.
        Command::Completion(_) | Command::Man(_) | Command::Complete(_) => Ok(()),
    }
}

fn show(common: &Common, now: Timestamp) -> Show {
    let no_color = common.no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colors = !no_color && std::io::stdout().is_terminal();
    let look = Look { colors, no_headers: common.no_headers };
    Show { look, wide: common.output == Some(Output::Wide), now }
}

/// A scheduler, and how its answers are to be printed.
struct Ask {
    server: Server,
    output: Option<Output>,
    show: Show,
}

impl Ask {
    /// Prints the answer itself, or what is to be shown of it.
    fn print(&self, answer: &Value, text: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<()> {
        match self.output {
            Some(Output::Json) => print(&format!("{}\n", serde_json::to_string_pretty(answer)?)),
            Some(Output::Yaml) => print(&serde_saphyr::to_string(answer).context("cannot write YAML")?),
            Some(Output::Wide) | None => print(&text()?),
        }
    }

    async fn explain(&self, args: &ExplainArgs) -> anyhow::Result<()> {
        let (namespace, name) = self.pod(&args.pod)?;
        let path = format!("/api/v1/pods/{}/{}", escaped(&namespace), escaped(&name));
        let decided = found(self.server.get(&format!("{path}/explain")).await)?;
        let outlook = found(self.server.get(&format!("{path}/outlook")).await)?;
        if decided.is_none() && outlook.is_none() {
            bail!(
                "pod {name:?} in namespace {namespace:?} is neither in the cluster nor in the scheduler's memory of seven days; \
                 name its namespace with -n, or as NAMESPACE/NAME"
            );
        }
        let answer = json!({ "decided": decided, "now": outlook });
        self.print(&answer, || {
            let pod = (namespace.as_str(), name.as_str());
            Ok(view::explain(pod, decided.as_ref(), outlook.as_ref(), args.limit, self.show)?)
        })
    }

    async fn nodes(&self, args: &NodesArgs) -> anyhow::Result<()> {
        let mut answer = self.server.get("/api/v1/nodes").await?;
        if let (false, Some(nodes)) = (args.names.is_empty(), answer["nodes"].as_array_mut()) {
            let has = |nodes: &[Value], name: &str| nodes.iter().any(|node| node["name"] == name);
            if let Some(missing) = args.names.iter().find(|name| !has(nodes, name)) {
                bail!("nodes {missing:?} not found");
            }
            nodes.retain(|node| args.names.iter().any(|name| node["name"] == name.as_str()));
        }
        if answer["nodes"].as_array().is_none_or(Vec::is_empty) {
            tell("No resources found");
            return Ok(());
        }
        let usage = match self.output {
            Some(Output::Json | Output::Yaml) => Value::Null,
            _ => self.server.get(&format!("/api/v1/usage?since=24h&points={POINTS}")).await?,
        };
        self.print(&answer, || Ok(view::nodes(&answer, &usage, args.sort_by, self.show)?))
    }

    async fn history(&self, args: &HistoryArgs) -> anyhow::Result<()> {
        let Some(wanted) = &args.workload else { return self.workloads(args).await };
        if let Some(pod) = ["pod/", "pods/", "po/"].iter().find_map(|prefix| wanted.strip_prefix(prefix)) {
            return self.pod_history(pod, args.limit).await;
        }
        let (kind, name) = match wanted.split_once('/') {
            Some((kind, name)) => (Some(kind), name),
            None => (None, wanted.as_str()),
        };
        let kind = kind.map(|kind| {
            let known = KINDS.iter().find(|(short, _)| kind.eq_ignore_ascii_case(short));
            known.map_or(kind, |(_, known)| known)
        });
        let all = self.server.get("/api/v1/workloads").await?;
        let namespace = self.server.namespace();
        let found: Vec<(String, String)> = serde_json::from_value::<Workloads>(all)
            .context("the list of workloads is not understood")?
            .workloads
            .into_iter()
            .filter(|it| it.namespace == namespace && it.name == name)
            .filter(|it| kind.is_none_or(|kind| it.kind.eq_ignore_ascii_case(kind)))
            .map(|it| (it.kind, it.name))
            .collect();
        let (kind, name) = match found.as_slice() {
            [] => bail!(
                "no pod of {wanted:?} in namespace {namespace:?} was seen in the last seven days; `kubectl augur history -A` lists \
                 what was"
            ),
            [one] => one,
            several => {
                let names: Vec<_> = several.iter().map(|(kind, name)| crate::words::resource(kind, name)).collect();
                bail!("{wanted:?} is several workloads; name one of {}", names.join(", "));
            }
        };
        let path = format!("{}/{}/{}", escaped(namespace), escaped(kind), escaped(name));
        let workload = self.server.get(&format!("/api/v1/workloads/{path}")).await?;
        let decisions = self.server.get(&format!("/api/v1/decisions?workload={path}&limit={}", args.limit)).await?;
        let mut usage = Vec::new();
        if !matches!(self.output, Some(Output::Json | Output::Yaml)) {
            let known: Decisions = serde_json::from_value(decisions.clone()).context("decisions are not understood")?;
            for decision in known.decisions.iter().take(CHARTS) {
                let pod = format!("{}/{}", escaped(&decision.pod_namespace), escaped(&decision.pod_name));
                usage.push(self.server.get(&format!("/api/v1/usage?pod={pod}&since=24h&points={POINTS}")).await?);
            }
        }
        let answer = json!({ "workload": workload, "decisions": decisions["decisions"] });
        self.print(&answer, || Ok(view::workload(&workload, &decisions, &usage, self.show)?))
    }

    async fn workloads(&self, args: &HistoryArgs) -> anyhow::Result<()> {
        let mut answer = self.server.get("/api/v1/workloads").await?;
        let namespace = self.server.namespace();
        if let (false, Some(workloads)) = (args.all_namespaces, answer["workloads"].as_array_mut()) {
            workloads.retain(|workload| workload["namespace"] == namespace);
        }
        if answer["workloads"].as_array().is_none_or(Vec::is_empty) {
            self.nothing(args.all_namespaces);
            return Ok(());
        }
        self.print(&answer, || Ok(view::workloads(&answer, args.all_namespaces, args.limit, self.show)?))
    }

    async fn pod_history(&self, pod: &str, limit: usize) -> anyhow::Result<()> {
        let (namespace, name) = self.pod(pod)?;
        let pod = format!("{}/{}", escaped(&namespace), escaped(&name));
        let decisions = self.server.get(&format!("/api/v1/decisions?pod={pod}&limit={limit}")).await?;
        let usage = self.server.get(&format!("/api/v1/usage?pod={pod}&since=168h&points={POINTS}")).await?;
        let is_empty = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
        if is_empty(&decisions["decisions"]) && is_empty(&usage["series"]) {
            bail!("nothing is remembered of pod {name:?} in namespace {namespace:?}");
        }
        let answer = json!({ "decisions": decisions["decisions"], "usage": usage["series"] });
        self.print(&answer, || Ok(view::pod_history(&decisions, &usage, self.show)?))
    }

    async fn decisions(&self, args: &DecisionsArgs) -> anyhow::Result<()> {
        let mut path = format!("/api/v1/decisions?limit={}", args.limit);
        match &args.pod {
            Some(pod) => {
                let (namespace, name) = self.pod(pod)?;
                path.push_str(&format!("&pod={}/{}", escaped(&namespace), escaped(&name)));
            }
            None if !args.all_namespaces => path.push_str(&format!("&namespace={}", escaped(self.server.namespace()))),
            None => {}
        }
        for (name, value) in [("node", &args.node), ("since", &args.since)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", escaped(value)));
            }
        }
        let answer = self.server.get(&path).await?;
        if answer["decisions"].as_array().is_none_or(Vec::is_empty) {
            self.nothing(args.all_namespaces);
            return Ok(());
        }
        self.print(&answer, || Ok(view::decisions(&answer, args.all_namespaces, self.show)?))
    }

    async fn what_if(&self, args: &WhatIfArgs) -> anyhow::Result<()> {
        let mut workloads = Vec::new();
        for file in &args.filename {
            let text = manifest::text_of(file)?;
            let asked = manifest::read(&text, self.server.namespace(), args.replicas);
            let asked = asked.with_context(|| file.display().to_string())?;
            asked.notes.iter().for_each(|note| tell(&format!("note: {note}")));
            workloads.extend(asked.workloads);
        }
        let answer =
            self.server.post("/api/v1/what-if", &json!({ "workloads": workloads, "drain": args.drain })).await?;
        self.print(&answer, || Ok(view::what_if(&answer, self.show)?))
    }

    /// `NAME`, `pod/NAME` or `NAMESPACE/NAME`.
    fn pod(&self, text: &str) -> anyhow::Result<(String, String)> {
        let (namespace, name) = match text.split_once('/') {
            None | Some(("pod" | "pods" | "po", _)) => {
                (self.server.namespace(), text.rsplit('/').next().unwrap_or(text))
            }
            Some((namespace, name)) => (namespace, name),
        };
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            bail!("{text:?} is no pod; name one as NAME, pod/NAME or NAMESPACE/NAME");
        }
        Ok((namespace.to_owned(), name.to_owned()))
    }

    fn nothing(&self, all_namespaces: bool) {
        let namespace = self.server.namespace();
        tell(&if all_namespaces {
            "No resources found".to_owned()
        } else {
            format!("No resources found in {namespace} namespace.")
        });
    }
}

/// `None` for what the scheduler says does not exist.
fn found(answer: Result<Value, ServerError>) -> anyhow::Result<Option<Value>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn man(args: &ManArgs) -> anyhow::Result<()> {
    match &args.dir {
        None => {
            std::io::stdout().write_all(&complete::page()?)?;
            Ok(())
        }
        Some(folder) => {
            complete::pages(folder)?;
            print(&format!("pages written to {}\n", folder.display()))
        }
    }
}

/// A part of a path or query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// To standard output. That it was closed is the reader's choice, not a failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// To standard error, beside the answer.
fn tell(text: &str) {
    // It may be closed; there is nobody left to tell then.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_paths_are_escaped() {
        assert_eq!(escaped("a-b.c_d~1"), "a-b.c_d~1");
        assert_eq!(escaped("a/b c&?%é"), "a%2Fb%20c%26%3F%25%C3%A9");
    }
}
