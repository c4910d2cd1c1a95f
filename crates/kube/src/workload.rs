//! Which workload a pod belongs to: the top of its owner chain, told from the pod alone.
//!
//! A watch on every kind of owner would cost more than it tells. [`workload`] reads what controllers leave on their pods:
//! a Deployment's ReplicaSet is named after it and the pods' `pod-template-hash`; a CronJob's Job is named after it and the
//! minute it was scheduled for. Pods that nobody owns are told apart by their labels: what carries the same ones is alike.

use std::borrow::Cow;

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
        // A static pod: the same on each node, with the node's name at the end.
        "Node" => {
            let own = pod.name.strip_suffix(owner.name.as_str()).and_then(|name| name.strip_suffix('-'));
            ("Pod", own.filter(|name| !name.is_empty()).unwrap_or(&pod.name).into())
        }
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

/// The name of what pods without an owner have in common.
fn unowned<'a>(pod: &'a ObjectMeta<'_>) -> Cow<'a, str> {
    // A label whose value is the pod's own name says nothing of its like.
    let telling = || pod.labels.iter().filter(|(_, value)| value.as_str() != pod.name.as_str());
    let named: String = joined(telling().filter(|(key, _)| NAMING.contains(&key.as_str())));
    if !named.is_empty() {
        return named.into();
    }
    let all = joined(telling().filter(|(key, _)| !TELLS_APART.contains(&key.as_str())));
    match pod.generate_name.trim_end_matches('-') {
        _ if !all.is_empty() => all.into(),
        "" => pod.name.as_str().into(),
        generated => generated.into(),
    }
}

/// Labels in the notation of a selector.
fn joined<'p, T: std::ops::Deref<Target = str> + 'p>(labels: impl Iterator<Item = (&'p T, &'p T)>) -> String {
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
