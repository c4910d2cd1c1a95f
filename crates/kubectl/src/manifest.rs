//! Manifests for a dry run: [`read`] finds what makes pods in YAML or JSON and says how many of which template.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// Priority classes that every cluster has, with their values.
const BUILT_IN: [(&str, i64); 2] =
    [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// What a manifest asks for.
#[derive(Debug, Default, PartialEq)]
pub struct Asked {
    /// Workloads as `POST /api/v1/what-if` takes them.
    pub workloads: Vec<Value>,
    /// What the user should know: objects that were passed over, and what is not resolved here.
    pub notes: Vec<String>,
}

/// Workloads of a manifest of one or more documents. `replicas` takes the place of what it says.
///
/// # Errors
/// When it is no YAML, or has nothing that makes pods.
pub fn read(text: &str, namespace: &str, replicas: Option<u32>) -> anyhow::Result<Asked> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("it is neither YAML nor JSON")?;
    let mut asked = Asked::default();
    for document in documents {
        let items = match document["items"].as_array() {
            Some(items) if document["kind"].as_str().is_some_and(|kind| kind.ends_with("List")) => items.clone(),
            _ => vec![document],
        };
        for item in items.iter().filter(|item| !item.is_null()) {
            add(item, namespace, replicas, &mut asked)?;
        }
    }
    if asked.workloads.is_empty() {
        bail!(
            "it has nothing that makes pods: Pod, Deployment, ReplicaSet, StatefulSet, ReplicationController, Job or CronJob"
        );
    }
    Ok(asked)
}

fn add(item: &Value, namespace: &str, replicas: Option<u32>, asked: &mut Asked) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let Some(kind) = text(&item["kind"]) else { bail!("an object has no kind") };
    let name = text(&item["metadata"]["name"]).or_else(|| text(&item["metadata"]["generateName"]));
    let Some(name) = name else { bail!("an object of kind {kind} has no name") };
    let name = name.trim_end_matches('-').to_owned();
    let spec = &item["spec"];
    let (template, count) = match kind.as_str() {
        "Pod" => (item, Some(1)),
        "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController" => {
            (&spec["template"], Some(spec["replicas"].as_u64().unwrap_or(1)))
        }
        "Job" => (&spec["template"], at_once(spec)),
        "CronJob" => (&spec["jobTemplate"]["spec"]["template"], at_once(&spec["jobTemplate"]["spec"])),
        "DaemonSet" => {
            asked.notes.push(format!("daemonset/{name} is passed over: its pods go to every node that admits them"));
            return Ok(());
        }
        _ => {
            asked.notes.push(format!("{}/{name} is passed over: it makes no pods", kind.to_lowercase()));
            return Ok(());
        }
    };
    let mut template = json!({ "metadata": { "labels": template["metadata"]["labels"] }, "spec": template["spec"] });
    let resource = format!("{}/{name}", kind.to_lowercase());
    if !template["spec"].is_object() {
        bail!("{resource} has no pod template");
    }
    if item["spec"]["volumeClaimTemplates"].as_array().is_some_and(|claims| !claims.is_empty()) {
        asked.notes.push(format!("{resource}: its volume claim templates are not looked at, only claims that exist"));
    }
    priority(&mut template["spec"], &resource, &mut asked.notes);
    asked.workloads.push(json!({
        "namespace": text(&item["metadata"]["namespace"]).unwrap_or_else(|| namespace.to_owned()),
        "kind": kind,
        "name": name,
        "replicas": replicas.map_or(count.unwrap_or(1), u64::from),
        "template": template,
    }));
    Ok(())
}

/// How many pods of a job run at once.
fn at_once(spec: &Value) -> Option<u64> {
    let parallelism = spec["parallelism"].as_u64().unwrap_or(1);
    Some(spec["completions"].as_u64().map_or(parallelism, |completions| completions.min(parallelism)))
}

/// A priority class is resolved by the API server, which is not asked here.
fn priority(spec: &mut Value, resource: &str, notes: &mut Vec<String>) {
    let Some(class) = spec["priorityClassName"].as_str().map(str::to_owned) else { return };
    if spec["priority"].is_number() || class.is_empty() {
        return;
    }
    match BUILT_IN.iter().find(|(name, _)| *name == class) {
        Some((_, value)) => spec["priority"] = json!(value),
        None => notes.push(format!(
            "{resource}: the priority class {class} is not looked up; the pods count with priority 0. Set spec.priority in the \
             template to have it counted"
        )),
    }
}

/// A file's text; standard input for `-`.
///
/// # Errors
/// When it cannot be read.
pub fn text_of(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return std::io::read_to_string(std::io::stdin()).context("cannot read standard input");
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  replicas: 3
  template:
    metadata: {labels: {app: web}, annotations: {a: b}}
    spec: {priorityClassName: gold, containers: [{name: c}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
---
---
apiVersion: v1
kind: List
items:
- kind: Pod
  metadata: {generateName: probe-}
  spec: {priorityClassName: system-node-critical, containers: []}
- kind: Job
  metadata: {name: once}
  spec: {parallelism: 4, completions: 2, template: {spec: {containers: []}}}
- kind: DaemonSet
  metadata: {name: logs}
  spec: {template: {spec: {}}}
";

    #[test]
    fn what_makes_pods_is_found() {
        let asked = read(MANIFEST, "default", None).unwrap();
        let short = |w: &Value| format!("{} {} {} x{}", w["namespace"], w["kind"], w["name"], w["replicas"]);
        let workloads: Vec<_> = asked.workloads.iter().map(short).collect();
        assert_eq!(
            workloads,
            [r#""team" "Deployment" "web" x3"#, r#""default" "Pod" "probe" x1"#, r#""default" "Job" "once" x2"#]
        );
        assert_eq!(asked.workloads[0]["template"]["metadata"], json!({ "labels": { "app": "web" } }));
        assert_eq!(asked.workloads[1]["template"]["spec"]["priority"], json!(2_000_001_000));
        let notes: Vec<_> = asked.notes.iter().map(|note| note.split_whitespace().next().unwrap()).collect();
        assert_eq!(notes, ["deployment/web:", "service/web", "daemonset/logs"]);
        let asked = read(MANIFEST, "default", Some(9)).unwrap();
        assert!(asked.workloads.iter().all(|workload| workload["replicas"] == 9));
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        for (text, part) in [
            ("kind: Service\nmetadata: {name: a}", "nothing that makes pods"),
            ("kind: Deployment\nmetadata: {name: a}\nspec: {}", "deployment/a has no pod template"),
            ("kind: Pod\nspec: {}", "no name"),
            ("{", "neither YAML nor JSON"),
        ] {
            let error = format!("{:#}", read(text, "default", None).unwrap_err());
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
