//! StatefulSets: pods with stable names, made and replaced in order.
//!
//! Entry point: [`reconcile`].

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::action::{Action, Outcome, Parent, count};
use super::history::{HASH_LABEL, Revisions};
use super::template::pod_from;
use super::view::{Entry, Pod, int_or_percent, items, number, text};

/// The kind.
pub(super) const STATEFUL_SET: Parent = Parent {
    resource: "statefulsets.apps",
    api_version: "apps/v1",
    kind: "StatefulSet",
    component: "statefulset-controller",
};

const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";

struct Sync<'a> {
    set: &'a Arc<Entry>,
    spec: &'a Value,
    pods: &'a [Arc<Entry>],
    replicas: i64,
    /// The first ordinal.
    start: i64,
    min_ready: i64,
    now: Timestamp,
    outcome: Outcome,
}

/// Takes the next step of a stateful set. `pods` are those it controls, `claims` tells whether a claim exists, `templates`
/// gives the template of a revision.
pub(super) fn reconcile<'t>(
    set: &Arc<Entry>,
    pods: &[Arc<Entry>],
    revisions: &Revisions,
    claims: impl Fn(&str) -> bool,
    templates: impl Fn(&str) -> Option<&'t Value>,
    now: Timestamp,
) -> Outcome {
    let spec = &set.value()["spec"];
    let mut sync = Sync {
        set,
        spec,
        pods,
        replicas: number(&spec["replicas"], 1),
        start: number(&spec["ordinals"]["start"], 0),
        min_ready: number(&spec["minReadySeconds"], 0),
        now,
        outcome: Outcome::default(),
    };
    let update = revisions.update.as_str();
    let recorded = text(&set.value()["status"]["currentRevision"]);
    // The revision that pods below the partition are of; it is the new one when its template is not known any more.
    let current = if !recorded.is_empty() && templates(recorded).is_some() { recorded } else { update };
    if !set.meta().deleting() {
        sync.step(current, update, claims, templates);
    }
    sync.write_status(current, update);
    sync.outcome
}

impl Sync<'_> {
    fn name(&self, ordinal: i64) -> String {
        format!("{}-{ordinal}", self.set.meta().name)
    }

    fn ordinal(&self, pod: &Entry) -> Option<i64> {
        let rest = pod.meta().name.strip_prefix(&*self.set.meta().name)?.strip_prefix('-')?;
        rest.parse().ok().filter(|ordinal: &i64| ordinal.to_string() == rest)
    }

    fn pod(&self, ordinal: i64) -> Option<&Arc<Entry>> {
        let name = self.name(ordinal);
        self.pods.iter().find(|p| *p.meta().name == *name)
    }

    fn wanted(&self) -> std::ops::Range<i64> {
        self.start..self.start + self.replicas
    }

    fn available(&mut self, pod: &Entry) -> bool {
        match pod.pod().filter(|p| p.phase() == "Running").and_then(|p| p.available_at(self.min_ready)) {
            Some(at) if at <= self.now => true,
            Some(at) => {
                self.outcome.again(at);
                false
            }
            None => false,
        }
    }

    fn delete(&mut self, pod: &Entry) {
        let name = &pod.meta().name;
        let message = format!("delete Pod {name} in StatefulSet {} successful", self.set.meta().name);
        let [deletion, _] = STATEFUL_SET.delete_pod(self.set, pod);
        self.outcome.actions.push(deletion);
        let note = STATEFUL_SET.note(self.set, "Normal", "SuccessfulDelete", message);
        self.outcome.actions.push(Action::Event(note));
    }

    fn step<'t>(
        &mut self,
        current: &str,
        update: &str,
        claims: impl Fn(&str) -> bool,
        templates: impl Fn(&str) -> Option<&'t Value>,
    ) {
        let ordered = self.spec["podManagementPolicy"] != "Parallel";
        let strategy = &self.spec["updateStrategy"];
        let partition = number(&strategy["rollingUpdate"]["partition"], 0);
        let rolling = strategy["type"] != "OnDelete";
        let mut settled = true;
        for ordinal in self.wanted() {
            match self.pod(ordinal).cloned() {
                None => {
                    // Below the partition, a pod comes back as what it was.
                    let revision = if rolling && ordinal < self.start + partition { current } else { update };
                    self.create(ordinal, revision, &claims, &templates);
                    settled = false;
                }
                Some(pod) if pod.meta().deleting() => settled = false,
                Some(pod) if pod.pod().is_some_and(Pod::finished) => {
                    self.delete(&pod);
                    settled = false;
                }
                Some(pod) if !self.available(&pod) => settled = false,
                Some(_) => {}
            }
            if ordered && !settled {
                break;
            }
        }
        if ordered && !settled {
            return;
        }
        let wanted = self.wanted();
        let mut condemned: Vec<(i64, Arc<Entry>)> = self
            .pods
            .iter()
            .filter_map(|p| self.ordinal(p).filter(|o| !wanted.contains(o)).map(|o| (o, Arc::clone(p))))
            .collect();
        condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        for (_, pod) in &condemned {
            if !pod.meta().deleting() {
                self.delete(pod);
            }
            if ordered {
                return;
            }
        }
        if rolling && settled {
            self.replace(update, partition);
        }
    }

    /// Replaces pods of an earlier revision, from the highest ordinal down, as many at a time as may be unavailable.
    fn replace(&mut self, update: &str, partition: i64) {
        let allowed =
            int_or_percent(&self.spec["updateStrategy"]["rollingUpdate"]["maxUnavailable"], self.replicas, true, 1)
                .max(1);
        let mut unavailable = 0;
        for ordinal in self.wanted().rev() {
            let Some(pod) = self.pod(ordinal).cloned() else {
                unavailable += 1;
                if unavailable >= allowed {
                    return;
                }
                continue;
            };
            let old = pod.meta().label(HASH_LABEL) != update;
            if old && ordinal >= self.start + partition && !pod.meta().deleting() {
                self.delete(&pod);
                unavailable += 1;
            } else if pod.meta().deleting() || !self.available(&pod) {
                unavailable += 1;
            }
            if unavailable >= allowed {
                return;
            }
        }
    }

    fn create<'t>(
        &mut self,
        ordinal: i64,
        revision: &str,
        claims: &impl Fn(&str) -> bool,
        templates: &impl Fn(&str) -> Option<&'t Value>,
    ) {
        let name = self.name(ordinal);
        let template = templates(revision).unwrap_or(&self.spec["template"]);
        let mut pod = pod_from(&STATEFUL_SET, self.set, template);
        if let Some(metadata) = pod["metadata"].as_object_mut() {
            metadata.remove("generateName");
            metadata.insert("name".to_owned(), json!(name));
        }
        pod["metadata"]["labels"][HASH_LABEL] = json!(revision);
        pod["metadata"]["labels"][POD_NAME] = json!(name);
        pod["metadata"]["labels"][POD_INDEX] = json!(ordinal.to_string());
        pod["spec"]["hostname"] = json!(name);
        if let Some(service) = self.spec["serviceName"].as_str().filter(|s| !s.is_empty()) {
            pod["spec"]["subdomain"] = json!(service);
        }
        let mut volumes = items(&pod["spec"]["volumes"]).to_vec();
        for claim in items(&self.spec["volumeClaimTemplates"]) {
            let volume = text(&claim["metadata"]["name"]);
            let claim_name = format!("{volume}-{name}");
            volumes.retain(|v| v["name"] != volume);
            volumes.push(json!({ "name": volume, "persistentVolumeClaim": { "claimName": claim_name } }));
            if !claims(&claim_name) {
                let mut object = claim.clone();
                object["apiVersion"] = json!("v1");
                object["kind"] = json!("PersistentVolumeClaim");
                object["metadata"]["name"] = json!(claim_name);
                object["metadata"]["namespace"] = json!(self.set.meta().namespace);
                for (key, value) in self.spec["selector"]["matchLabels"].as_object().into_iter().flatten() {
                    object["metadata"]["labels"][key.as_str()] = value.clone();
                }
                if let Some(object) = object.as_object_mut() {
                    object.remove("status");
                }
                self.outcome.actions.push(Action::Create {
                    resource: "persistentvolumeclaims",
                    namespace: Arc::clone(&self.set.meta().namespace),
                    object,
                    note: None,
                });
            }
        }
        if !volumes.is_empty() {
            pod["spec"]["volumes"] = Value::Array(volumes);
        }
        self.outcome.actions.push(Action::Create {
            resource: "pods",
            namespace: Arc::clone(&self.set.meta().namespace),
            object: pod,
            note: None,
        });
        let message = format!("create Pod {name} in StatefulSet {} successful", self.set.meta().name);
        let note = STATEFUL_SET.note(self.set, "Normal", "SuccessfulCreate", message);
        self.outcome.actions.push(Action::Event(note));
    }

    fn write_status(&mut self, current: &str, update: &str) {
        let (mut replicas, mut ready, mut available, mut of_current, mut of_update) = (0, 0, 0, 0, 0);
        let pods: Vec<Arc<Entry>> = self.pods.iter().filter(|p| self.ordinal(p).is_some()).cloned().collect();
        for pod in &pods {
            replicas += 1;
            if pod.pod().is_some_and(|p| p.phase() == "Running" && p.ready()) {
                ready += 1;
                available += i64::from(self.available(pod));
            }
            if !pod.meta().deleting() {
                of_current += i64::from(pod.meta().label(HASH_LABEL) == current);
                of_update += i64::from(pod.meta().label(HASH_LABEL) == update);
            }
        }
        // When every pod is of the new revision and ready, it is the current one.
        let rolled = of_update == replicas && ready == replicas && replicas == self.replicas;
        let (current, of_current) = if rolled { (update, of_update) } else { (current, of_current) };
        let mut status = Map::new();
        count(&mut status, "observedGeneration", number(&self.set.value()["metadata"]["generation"], 0));
        status.insert("replicas".to_owned(), json!(replicas));
        count(&mut status, "readyReplicas", ready);
        count(&mut status, "currentReplicas", of_current);
        count(&mut status, "updatedReplicas", of_update);
        status.insert("availableReplicas".to_owned(), json!(available));
        status.insert("currentRevision".to_owned(), json!(current));
        status.insert("updateRevision".to_owned(), json!(update));
        status.insert("collisionCount".to_owned(), json!(number(&self.set.value()["status"]["collisionCount"], 0)));
        self.outcome.actions.extend(STATEFUL_SET.status(self.set, status));
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{now, object, pod};
    use super::*;

    fn set(replicas: i64, spec: &Value) -> Arc<Entry> {
        let mut value = json!({
            "metadata": { "namespace": "n", "name": "db", "uid": "u", "generation": 1 },
            "spec": { "replicas": replicas, "serviceName": "db",
                "selector": { "matchLabels": { "app": "db" } },
                "template": { "metadata": { "labels": { "app": "db" } }, "spec": { "containers": [] } },
                "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": {} }] },
            "status": { "currentRevision": "db-1", "updateRevision": "db-2" },
        });
        for (name, member) in spec.as_object().unwrap() {
            value["spec"][name] = member.clone();
        }
        object(value)
    }

    fn steps(set: &Arc<Entry>, pods: &[Arc<Entry>]) -> Vec<String> {
        let revisions = Revisions { update: "db-2".to_owned(), ..Revisions::default() };
        let template = json!({ "spec": {} });
        reconcile(set, pods, &revisions, |claim| claim == "data-db-0", |_| Some(&template), now(1000))
            .actions
            .iter()
            .filter_map(|a| match a {
                Action::Create { object, .. } => {
                    let hash = text(&object["metadata"]["labels"][HASH_LABEL]);
                    Some(format!("+{} {hash}", text(&object["metadata"]["name"])).trim().to_owned())
                }
                Action::Delete { place, .. } => Some(format!("-{}", place.name)),
                _ => None,
            })
            .collect()
    }

    fn member(line: &str, revision: &str) -> Arc<Entry> {
        pod(line, &json!({ HASH_LABEL: revision }))
    }

    #[test]
    fn pods_come_one_after_the_other_or_all_at_once() {
        assert_eq!(steps(&set(2, &json!({})), &[]), ["+db-0 db-2"], "its claim exists");
        assert_eq!(steps(&set(2, &json!({})), &[member("db-0 running a 1", "db-2")]), Vec::<String>::new());
        assert_eq!(steps(&set(2, &json!({})), &[member("db-0 ready a 1", "db-2")]), ["+data-db-1", "+db-1 db-2"]);
        let parallel = set(2, &json!({ "podManagementPolicy": "Parallel" }));
        assert_eq!(steps(&parallel, &[]), ["+db-0 db-2", "+data-db-1", "+db-1 db-2"]);
    }

    #[test]
    fn pods_go_from_the_highest_down() {
        let all =
            [member("db-0 ready a 1", "db-2"), member("db-1 ready a 1", "db-2"), member("db-2 ready a 1", "db-2")];
        assert_eq!(steps(&set(1, &json!({})), &all), ["-db-2"]);
        let parallel = set(1, &json!({ "podManagementPolicy": "Parallel" }));
        assert_eq!(steps(&parallel, &all), ["-db-2", "-db-1"]);
    }

    #[test]
    fn an_update_replaces_from_the_highest_down_to_the_partition() {
        let all =
            [member("db-0 ready a 1", "db-1"), member("db-1 ready a 1", "db-1"), member("db-2 ready a 1", "db-1")];
        assert_eq!(steps(&set(3, &json!({})), &all), ["-db-2"]);
        let one_new = [all[0].clone(), all[1].clone(), member("db-2 ready a 1", "db-2")];
        assert_eq!(steps(&set(3, &json!({})), &one_new), ["-db-1"]);
        let one_starting = [all[0].clone(), all[1].clone(), member("db-2 running a 1", "db-2")];
        assert_eq!(steps(&set(3, &json!({})), &one_starting), Vec::<String>::new());
        let partitioned = set(3, &json!({ "updateStrategy": { "rollingUpdate": { "partition": 2 } } }));
        assert_eq!(steps(&partitioned, &one_new), Vec::<String>::new());
        assert_eq!(steps(&partitioned, &one_new[1..]), ["+db-0 db-1"], "what the partition holds back stays as it was");
        assert_eq!(steps(&set(3, &json!({ "updateStrategy": { "type": "OnDelete" } })), &all), Vec::<String>::new());
    }
}
