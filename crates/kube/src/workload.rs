//! Which workload a pod belongs to: the top of its owner chain, told from the pod alone.
//!
//! A watch on every kind of owner would cost more than it tells. [`workload`] reads what controllers leave on their pods:
//! a Deployment's ReplicaSet is named after it and the pods' `pod-template-hash`; a CronJob's Job is named after it and the
//! minute it was scheduled for. Pods that nobody owns are told apart by their labels: what carries the same ones is alike.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::wire::ObjectMeta;

/// The label by which a Deployment tells its ReplicaSets apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Labels that name an application or a part of it, as Kubernetes recommends them and as they were usual before. Where a pod
/// carries any, they alone name its workload; what else it carries (a run, a user, a version) may be its own.
const NAMING: [&str; 8] = [
    "app",
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/name",
    "component",
    "k8s-app",
    "name",
    "tier",
];

/// Labels that tell one pod, or one revision, from the others of its workload.
const TELLS_APART: [&str; 8] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "controller-revision-hash",
    "controller-uid",
    "pod-template-generation",
    TEMPLATE_HASH,
    "statefulset.kubernetes.io/pod-name",
];

/// Minutes since 1970 that the name of a CronJob's Job may end in: the years 2000 to 2100. A Job whose own name ends in such
/// a number by chance is taken for a CronJob's, which merges it with its like and does no other harm.
const CRON_MINUTES: std::ops::Range<u64> = 15_778_080..68_374_080;

/// The kind and name of the workload of the pod with this metadata. The kind of a pod that nobody owns is `Pod`; its name is its
/// labels (`app=web,tier=cache`), else what its name was generated from, else its own name.
#[must_use]
pub fn workload<'a>(pod: &'a ObjectMeta<'_>) -> (&'a str, Cow<'a, str>) {
    let owners = &pod.owner_references;
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else {
        return ("Pod", unowned(pod));
    };
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = pod.labels.get(TEMPLATE_HASH).map_or("", |hash| hash.as_str());
            match deployment(&owner.name, hash) {
                Some(deployment) => ("Deployment", deployment.into()),
                None => ("ReplicaSet", owner.name.as_str().into()),
            }
        }
        "Job" => match cron_job(&owner.name) {
            Some(cron_job) => ("CronJob", cron_job.into()),
            None => ("Job", owner.name.as_str().into()),
        },
        "Node" => ("Pod", static_pod(&pod.name, &owner.name).into()),
        kind => (kind, owner.name.as_str().into()),
    }
}

/// The Deployment of a ReplicaSet of this name, whose pods have this template hash.
pub(crate) fn deployment<'a>(replica_set: &'a str, hash: &str) -> Option<&'a str> {
    let deployment = replica_set.strip_suffix(hash)?.strip_suffix('-')?;
    (!hash.is_empty() && !deployment.is_empty()).then_some(deployment)
}

/// The CronJob of a Job of this name.
pub(crate) fn cron_job(job: &str) -> Option<&str> {
    let (cron_job, minutes) = job.rsplit_once('-')?;
    let is_time = minutes.parse().is_ok_and(|minutes| CRON_MINUTES.contains(&minutes));
    (!cron_job.is_empty() && is_time).then_some(cron_job)
}

/// What a static pod is called on every node: its name has the node's at the end.
pub(crate) fn static_pod<'a>(pod: &'a str, node: &str) -> &'a str {
    let own = pod.strip_suffix(node).and_then(|name| name.strip_suffix('-'));
    own.filter(|name| !name.is_empty()).unwrap_or(pod)
}

/// The name of what pods without an owner have in common.
fn unowned<'a>(pod: &'a ObjectMeta<'_>) -> Cow<'a, str> {
    let labels = pod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    match (by_labels(labels, &pod.name), pod.generate_name.trim_end_matches('-')) {
        (Some(labels), _) => labels.into(),
        (None, "") => pod.name.as_str().into(),
        (None, generated) => generated.into(),
    }
}

/// What labels, in the order of their keys, say of the workload of a pod that nobody owns.
fn by_labels<'p>(labels: impl Iterator<Item = (&'p str, &'p str)> + Clone, pod: &str) -> Option<String> {
    // A label whose value is the pod's own name says nothing of its like.
    let telling = labels.filter(|(_, value)| *value != pod);
    let named = joined(telling.clone().filter(|(key, _)| NAMING.contains(key)));
    if !named.is_empty() {
        return Some(named);
    }
    Some(joined(telling.filter(|(key, _)| !TELLS_APART.contains(key)))).filter(|all| !all.is_empty())
}

/// The same from the labels of `kube_pod_labels`, whose names are `label_` and the key with `_` for whatever is neither letter
/// nor digit. The keys that are asked for by name are found again; another one that has a `_` may have been anything, and where
/// it would have to be part of the name, there is none.
pub(crate) fn by_series_labels<'p>(labels: impl Iterator<Item = (&'p str, &'p str)>, pod: &str) -> Option<String> {
    let known = |name: &str| NAMING.iter().chain(&TELLS_APART).copied().find(|key| sanitised(key) == name);
    let labels: BTreeMap<&str, &str> = labels
        .filter_map(|(name, value)| name.strip_prefix("label_").map(|name| (known(name).unwrap_or(name), value)))
        .collect();
    let is_known = |key: &str| !key.contains('_');
    let name = by_labels(labels.iter().map(|(key, value)| (*key, *value)), pod)?;
    let is_named = labels.iter().any(|(key, value)| NAMING.contains(key) && *value != pod);
    let is_whole = labels.iter().all(|(key, value)| is_known(key) || *value == pod);
    (is_named || is_whole).then_some(name)
}

/// A key as it is in the name of a label of a series.
fn sanitised(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// Labels in the notation of a selector.
fn joined<'p>(labels: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let mut text = String::new();
    for (key, value) in labels {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(key);
        text.push('=');
        text.push_str(value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(labels: &str, owner: &str) -> String {
        let json = format!(r#"{{"name":"p","labels":{labels},"ownerReferences":[{owner}]}}"#);
        let meta: ObjectMeta<'_> = serde_json::from_str(&json).unwrap();
        let (kind, name) = workload(&meta);
        format!("{kind}/{name}")
    }

    #[test]
    fn owners_are_followed_as_far_as_names_tell() {
        let hash = r#"{"pod-template-hash":"5d8f9"}"#;
        let rs = r#"{"kind":"ReplicaSet","name":"web-5d8f9","controller":true}"#;
        assert_eq!(of(hash, rs), "Deployment/web");
        assert_eq!(of("{}", rs), "ReplicaSet/web-5d8f9", "nothing says that a Deployment stands above it");
        assert_eq!(of(hash, r#"{"kind":"ReplicaSet","name":"5d8f9","controller":true}"#), "ReplicaSet/5d8f9");
        assert_eq!(of("{}", r#"{"kind":"Job","name":"backup-29412345","controller":true}"#), "CronJob/backup");
        assert_eq!(of("{}", r#"{"kind":"Job","name":"backup-2","controller":true}"#), "Job/backup-2");
        assert_eq!(of("{}", r#"{"kind":"StatefulSet","name":"db","controller":true}"#), "StatefulSet/db");
        assert_eq!(of("{}", r#"{"kind":"Node","name":"n1","controller":true}"#), "Pod/p");
        assert_eq!(of("{}", r#"{"kind":"Config","name":"c"}"#), "Pod/p", "an owner that is no controller");
    }

    fn bare(meta: &str) -> String {
        let meta: ObjectMeta<'_> = serde_json::from_str(meta).unwrap();
        let (kind, name) = workload(&meta);
        format!("{kind}/{name}")
    }

    #[test]
    fn labels_of_series_name_the_same_workload_as_those_of_the_pod_or_none() {
        let labels: [&[(&str, &str)]; 6] = [
            &[("app.kubernetes.io/name", "web"), ("app", "w"), ("run", "17"), ("my-team/run.id", "x")],
            &[("role", "db"), ("zone", "z1"), ("batch.kubernetes.io/controller-uid", "u")],
            &[("k8s-app", "p"), ("role", "db")],
            &[("app", "p"), ("statefulset.kubernetes.io/pod-name", "p")],
            &[],
            &[("role", "db"), ("example.com/own-name", "p")],
        ];
        let series = |labels: &[(&str, &str)]| {
            let names: Vec<(String, &str)> =
                labels.iter().map(|(key, value)| (format!("label_{}", sanitised(key)), *value)).collect();
            let names = names.iter().map(|(name, value)| (name.as_str(), *value));
            by_series_labels(names.chain([("namespace", "shop"), ("pod", "p"), ("app", "exporter")]), "p")
        };
        for labels in labels {
            let sorted: BTreeMap<&str, &str> = labels.iter().copied().collect();
            let own = by_labels(sorted.iter().map(|(key, value)| (*key, *value)), "p");
            assert_eq!(series(labels), own, "{labels:?}");
        }
        assert_eq!(series(labels[0]).as_deref(), Some("app=w,app.kubernetes.io/name=web"));
        assert_eq!(series(&[("role", "db"), ("example.com/zone", "z")]), None, "a key that cannot be told");
    }

    #[test]
    fn pods_without_owner_are_of_one_workload_when_their_labels_are() {
        assert_eq!(bare(r#"{"name":"a","labels":{"tier":"x","app":"web","run":"17"}}"#), "Pod/app=web,tier=x");
        assert_eq!(
            bare(r#"{"name":"b","labels":{"tier":"x","app":"web","pod-template-hash":"h"}}"#),
            "Pod/app=web,tier=x"
        );
        assert_eq!(
            bare(r#"{"name":"c","labels":{"role":"db","zone":"z1","controller-uid":"u"}}"#),
            "Pod/role=db,zone=z1"
        );
        assert_eq!(
            bare(r#"{"name":"d","labels":{"app":"d"}}"#),
            "Pod/d",
            "a label that is the pod's name tells nothing"
        );
        assert_eq!(bare(r#"{"name":"run-x7k2p","generateName":"run-"}"#), "Pod/run");
        let node = r#"[{"kind":"Node","name":"n1","controller":true}]"#;
        assert_eq!(bare(&format!(r#"{{"name":"kube-proxy-n1","ownerReferences":{node}}}"#)), "Pod/kube-proxy");
    }
}
