//! Which workload a pod belongs to: the top of its owner chain, told from the pod alone.
//!
//! A watch on every kind of owner would cost more than it tells. [`workload`] reads what controllers leave on their pods:
//! a Deployment's ReplicaSet is named after it and the pods' `pod-template-hash`; a CronJob's Job is named after it and the
//! minute it was scheduled for.

use crate::wire::ObjectMeta;

/// The label by which a Deployment tells its ReplicaSets apart.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// Minutes since 1970 that the name of a CronJob's Job may end in: the years 2000 to 2100. A Job whose own name ends in such
/// a number by chance is taken for a CronJob's, which merges it with its like and does no other harm.
const CRON_MINUTES: std::ops::Range<u64> = 15_778_080..68_374_080;

/// The kind and name of the workload of the pod with this metadata; `("Pod", name)` for a pod that nobody owns.
#[must_use]
pub fn workload<'a>(pod: &'a ObjectMeta<'_>) -> (&'a str, &'a str) {
    let owners = &pod.owner_references;
    let Some(owner) = owners.iter().find(|owner| owner.controller == Some(true)) else {
        return ("Pod", &pod.name);
    };
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let hash = pod.labels.get(TEMPLATE_HASH).map_or("", |hash| hash.as_str());
            match deployment(&owner.name, hash) {
                Some(deployment) => ("Deployment", deployment),
                None => ("ReplicaSet", &owner.name),
            }
        }
        "Job" => match cron_job(&owner.name) {
            Some(cron_job) => ("CronJob", cron_job),
            None => ("Job", &owner.name),
        },
        // A static pod; its name ends in the node's, and there is nothing above it.
        "Node" => ("Pod", &pod.name),
        kind => (kind, &owner.name),
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
}
