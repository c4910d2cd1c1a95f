//! What is done for each key: the objects that a controller decides on are gathered, its decision is carried out.
//! Entry point: `Engine::work`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::action::{Action, Outcome, Parent};
use super::claim::claim;
use super::cron_job;
use super::daemon_set::{self, DAEMON_SET};
use super::deployment::{self, DEPLOYMENT};
use super::disruption;
use super::engine::{Engine, Key, Task, sweep_key};
use super::garbage;
use super::history::{self, HASH_LABEL, REVISIONS};
use super::job::{self, JOB};
use super::node_lifecycle;
use super::pod_garbage;
use super::replica_set::{self, REPLICA_SET};
use super::resource_claim;
use super::stateful_set::{self, STATEFUL_SET};
use super::template::same_template;
use super::view::{Entry, Owner, Pod, items, number, selector_of, text};
use super::volume;
use crate::error::ApiError;
use crate::local::LocalClient;
use crate::resource::{RESOURCES, Verbs, by_kind};
use crate::{DeleteOptions, Propagation};

/// How often a namespace that waits for its content is looked at even if nothing tells of a change.
const NAMESPACE_AGAIN: Duration = Duration::from_secs(5);

/// How often it is looked whether a claim that is to go still has users.
const USERS_AGAIN: Duration = Duration::from_secs(5);

/// Whether a pod uses the claim. Of a claim that is being deleted only, so that all pods of its namespace may be read.
fn claim_is_used(client: &LocalClient, namespace: &str, name: &str) -> bool {
    let pods = client.list("pods", namespace, "", "").map(|list| list.items).unwrap_or_default();
    pods.iter().filter_map(|bytes| serde_json::from_slice(bytes).ok()).any(|pod: Value| volume::uses(&pod, name))
}

impl Engine {
    /// Does what a key stands for.
    pub(super) fn work(&mut self, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let (task, place) = key;
        if *task == Task::Sweep {
            self.queue.add_at(sweep_key(), after(now, pod_garbage::INTERVAL));
            let actions = pod_garbage::sweep(&self.cache, &mut self.missing, self.options.terminated_pods, now);
            return self.apply(&actions);
        }
        let Some(entry) = self.cache.at(place).cloned() else { return Ok(()) };
        match task {
            Task::Owner => {
                let actions = garbage::owner(&self.cache, place);
                self.apply(&actions)
            }
            Task::Dependent => {
                let client = self.client.clone();
                let exists = |owner: &Owner, namespace: &str| owner_exists(&client, owner, namespace);
                let actions = garbage::dependent(&self.cache, place, exists);
                self.apply(&actions)
            }
            Task::Namespace => self.namespace(&entry, key, now),
            Task::Deployment => self.deployment(&entry, key, now),
            Task::ReplicaSet => self.replica_set(&entry, key, now),
            Task::StatefulSet => self.stateful_set(&entry, key, now),
            Task::DaemonSet => self.daemon_set(&entry, key, now),
            Task::Job => {
                let pods = self.claimed(&JOB, &entry)?;
                self.finish(key, &job::reconcile(&entry, &pods, now))
            }
            Task::CronJob => {
                let jobs = self.cache.controlled(JOB.resource, &entry.meta().uid);
                let outcome = cron_job::reconcile(&entry, &jobs, now);
                if let Some(at) = outcome.again_at {
                    self.queue.add_at(key.clone(), at);
                }
                // A job of that name and time was started already: the rest still has to be done.
                outcome.actions.iter().try_for_each(|action| match self.apply(std::slice::from_ref(action)) {
                    Err(error) if error.reason == "AlreadyExists" => Ok(()),
                    result => result,
                })
            }
            Task::Budget => self.budget(&entry, key, now),
            Task::Volume => {
                let claims = |namespace: &str, name: &str| self.cache.get(volume::CLAIM.resource, namespace, name);
                let actions = volume::volume(&entry, claims);
                self.apply(&actions)
            }
            Task::Claim => {
                let class = text(&entry.value()["spec"]["storageClassName"]);
                let class = self.cache.get(volume::CLASS, "", class);
                let meta = entry.meta();
                let used = || claim_is_used(&self.client, &meta.namespace, &meta.name);
                let actions = volume::claim(&entry, class, self.cache.all(volume::VOLUME.resource), used);
                if meta.deleting() && actions.is_empty() {
                    self.queue.add_at(key.clone(), after(now, USERS_AGAIN));
                }
                self.apply(&actions)
            }
            Task::Node => self.node(&entry, key, now),
            Task::Leaving => self.leaving(&entry, key, now),
            Task::JobPod => {
                let job = entry.meta().controller().filter(|o| o.kind == "Job");
                let gone = job.is_some_and(|o| self.cache.by_uid(&o.uid).is_none());
                let release = if gone { job::release(&entry) } else { None };
                self.apply(release.as_slice())
            }
            Task::PodClaims => {
                let owned = self.cache.controlled(resource_claim::CLAIMS, &entry.meta().uid);
                let namespace = Arc::clone(&entry.meta().namespace);
                let template = |name: &str| self.cache.get(resource_claim::TEMPLATES, &namespace, name).cloned();
                let outcome = resource_claim::for_pod(&entry, &owned, template);
                self.finish(key, &outcome)
            }
            Task::ResourceClaim => {
                let namespace = Arc::clone(&entry.meta().namespace);
                let actions = resource_claim::for_claim(&entry, |name, uid| self.has_ended(&namespace, name, uid));
                self.apply(&actions)
            }
            Task::Sweep => Ok(()),
        }
    }

    /// Whether the pod has come to its end or is gone. One that the cache does not know may be too new for it.
    fn has_ended(&self, namespace: &str, name: &str, uid: &str) -> bool {
        match self.cache.by_uid(uid).and_then(|place| self.cache.at(place)) {
            Some(entry) => entry.pod().is_some_and(Pod::finished),
            None => match self.client.get("pods", namespace, name) {
                Ok(pod) => pod["metadata"]["uid"] != *uid,
                Err(error) => error.reason == "NotFound",
            },
        }
    }

    fn finish(&mut self, key: &Key, outcome: &Outcome) -> Result<(), ApiError> {
        if let Some(at) = outcome.again_at {
            self.queue.add_at(key.clone(), at);
        }
        self.apply(&outcome.actions)
    }

    /// The pods that an object controls, after adopting and releasing.
    fn claimed(&mut self, parent: &Parent, owner: &Entry) -> Result<Vec<Arc<Entry>>, ApiError> {
        let Some(selector) = selector_of(&owner.value()["spec"]["selector"]) else { return Ok(Vec::new()) };
        let claimed = claim(&self.cache, parent, owner, &selector, "pods");
        if claimed.actions.is_empty() {
            return Ok(claimed.kept);
        }
        self.apply(&claimed.actions)?;
        Ok(claim(&self.cache, parent, owner, &selector, "pods").kept)
    }

    fn replica_set(&mut self, set: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let pods = self.claimed(&REPLICA_SET, set)?;
        let wanted = usize::try_from(number(&set.value()["spec"]["replicas"], 1)).unwrap_or(0);
        let surplus = pods.iter().filter(|p| p.pod().is_some_and(Pod::active)).count() > wanted;
        let siblings = match set.meta().controller() {
            Some(owner) if surplus => self
                .cache
                .controlled(REPLICA_SET.resource, &owner.uid)
                .iter()
                .flat_map(|sibling| self.cache.controlled("pods", &sibling.meta().uid))
                .collect(),
            _ => pods.clone(),
        };
        let managed = self.apply(&replica_set::manage(set, &pods, &siblings));
        // The pods as they are now, those among them that were just created or told to go.
        let pods = self.cache.controlled("pods", &set.meta().uid);
        let error = managed.as_ref().err().map(|e| e.message.clone());
        if let Err(failure) = &managed {
            let note = REPLICA_SET.note(set, "Warning", "FailedCreate", format!("Error creating: {}", failure.message));
            self.apply(&[Action::Event(note)])?;
        }
        let (status, next) = replica_set::status(set, &pods, error.as_deref(), now);
        if let Some(at) = next {
            self.queue.add_at(key.clone(), at);
        }
        self.apply(status.as_slice())?;
        managed
    }

    fn deployment(&mut self, entry: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let Some(selector) = selector_of(&entry.value()["spec"]["selector"]) else { return Ok(()) };
        let mut claimed = claim(&self.cache, &DEPLOYMENT, entry, &selector, REPLICA_SET.resource);
        if !claimed.actions.is_empty() {
            self.apply(&claimed.actions)?;
            claimed = claim(&self.cache, &DEPLOYMENT, entry, &selector, REPLICA_SET.resource);
        }
        let cache = &self.cache;
        let old_pods = |new: Option<&str>| {
            claimed.kept.iter().filter(|set| Some(&*set.meta().uid) != new).any(|set| {
                cache.controlled("pods", &set.meta().uid).iter().any(|p| p.pod().is_some_and(|pod| !pod.finished()))
            })
        };
        let outcome = deployment::reconcile(entry, &claimed.kept, old_pods, now);
        let created = outcome.actions.iter().find_map(deployment::created_name).map(str::to_owned);
        let result = self.finish(key, &outcome);
        match (created, result) {
            (Some(name), Err(error)) if error.reason == "AlreadyExists" => {
                let taken = self.client.get(REPLICA_SET.resource, &key.1.namespace, &name)?;
                let ours = items(&taken["metadata"]["ownerReferences"]).iter().any(|o| o["uid"] == *entry.meta().uid)
                    && same_template(&taken["spec"]["template"], &entry.value()["spec"]["template"]);
                if ours { Err(error) } else { self.apply(&[deployment::after_collision(entry)]) }
            }
            (_, result) => result,
        }
    }

    fn stateful_set(&mut self, set: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let pods = self.claimed(&STATEFUL_SET, set)?;
        let used = |name: &str| pods.iter().any(|p| p.meta().label(HASH_LABEL) == name);
        let existing = self.cache.controlled(REVISIONS, &set.meta().uid);
        let revisions = history::sync(&STATEFUL_SET, set, &existing, true, used);
        if !set.meta().deleting() {
            self.apply(&revisions.actions)?;
        }
        let existing = self.cache.controlled(REVISIONS, &set.meta().uid);
        let outcome = stateful_set::reconcile(
            set,
            &pods,
            &revisions,
            |claim| self.cache.get("persistentvolumeclaims", &key.1.namespace, claim).is_some(),
            |name| history::template(&existing, name),
            now,
        );
        self.finish(key, &outcome)
    }

    fn daemon_set(&mut self, set: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let pods = self.claimed(&DAEMON_SET, set)?;
        let used = |hash: &str| pods.iter().any(|p| p.meta().label(HASH_LABEL) == hash);
        let existing = self.cache.controlled(REVISIONS, &set.meta().uid);
        let revisions = history::sync(&DAEMON_SET, set, &existing, false, used);
        if !set.meta().deleting() {
            self.apply(&revisions.actions)?;
        }
        let outcome = daemon_set::reconcile(set, &pods, self.cache.all("nodes"), &revisions, &mut self.backoff, now);
        self.finish(key, &outcome)
    }

    fn budget(&mut self, budget: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let pods: Vec<Arc<Entry>> = match selector_of(&budget.value()["spec"]["selector"]) {
            Some(selector) => self
                .cache
                .in_namespace("pods", &key.1.namespace)
                .filter(|p| p.meta().matches(&selector))
                .cloned()
                .collect(),
            None => Vec::new(),
        };
        let scale = |owner: &Owner| {
            let set = self.cache.by_uid(&owner.uid).and_then(|p| self.cache.at(p))?;
            let top = set
                .meta()
                .controller()
                .filter(|o| o.kind == "Deployment")
                .and_then(|o| self.cache.by_uid(&o.uid).and_then(|p| self.cache.at(p)));
            let top = top.unwrap_or(set);
            let wanted = top.value()["spec"]["replicas"].as_i64()?;
            Some((Arc::clone(&top.meta().uid), wanted))
        };
        let outcome = disruption::reconcile(budget, &pods, scale, now);
        self.finish(key, &outcome)
    }

    fn node(&mut self, node: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let name = &node.meta().name;
        let heard = self.heard.get(name).copied().unwrap_or(now);
        let pods = self.cache.pods_on(name).filter_map(|place| self.cache.at(place));
        let outcome = node_lifecycle::node(node, heard, self.options.node_monitor_grace, pods, now);
        self.finish(key, &outcome)
    }

    fn leaving(&mut self, pod: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let node = pod.pod().and_then(Pod::node).and_then(|name| self.cache.get("nodes", "", name));
        let after_span = match (pod.pod(), node) {
            (Some(lean), Some(node)) if self.options.taint_eviction && !pod.meta().deleting() && !lean.finished() => {
                node_lifecycle::leaves_after(lean, node)
            }
            _ => None,
        };
        let Some(span) = after_span else {
            self.leaving.remove(&key.1);
            return Ok(());
        };
        // The first appointment counts: taints that come later do not prolong a stay.
        let at = *self
            .leaving
            .entry(key.1.clone())
            .and_modify(|at| *at = (*at).min(after(now, span)))
            .or_insert_with(|| after(now, span));
        if at > now {
            self.queue.add_at(key.clone(), at);
            return Ok(());
        }
        self.apply(&node_lifecycle::eviction(pod, now))
    }

    fn namespace(&mut self, entry: &Arc<Entry>, key: &Key, now: Timestamp) -> Result<(), ApiError> {
        let name = Arc::clone(&entry.meta().name);
        if !entry.meta().deleting() {
            return self.default_account(&name);
        }
        // While watched objects remain, their ends are waited for; everything is listed only now and then.
        let due = self.emptied.get(&name).is_none_or(|last| after(*last, NAMESPACE_AGAIN) <= now);
        let remaining = super::engine::WATCHED.iter().any(|(r, _)| self.cache.in_namespace(r, &name).next().is_some());
        if remaining && !due {
            return Ok(());
        }
        self.emptied.insert(Arc::clone(&name), now);
        self.queue.add_at(key.clone(), after(now, NAMESPACE_AGAIN));
        let mut left = false;
        for resource in RESOURCES.iter().filter(|r| r.namespaced && r.verbs == Verbs::All) {
            let qualified = resource.qualified();
            let list = self.client.list(&qualified, &name, "", "")?;
            for bytes in &list.items {
                let object: Value = serde_json::from_slice(bytes).unwrap_or_default();
                if object["metadata"]["deletionTimestamp"].is_null() {
                    let item = object["metadata"]["name"].as_str().unwrap_or_default();
                    let options =
                        DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
                    match self.client.delete(&qualified, &name, item, &options) {
                        Err(error) if error.code != 404 => return Err(error),
                        _ => {}
                    }
                }
            }
            left |= !self.client.list(&qualified, &name, "", "")?.items.is_empty();
        }
        if left {
            return Ok(());
        }
        self.emptied.remove(&name);
        self.apply(&[Action::Finalize { namespace: name }])
    }

    /// Every namespace has a service account that pods run as.
    fn default_account(&mut self, namespace: &Arc<str>) -> Result<(), ApiError> {
        if self.cache.get("serviceaccounts", namespace, "default").is_some() {
            return Ok(());
        }
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": { "name": "default", "namespace": namespace },
        });
        let creation = Action::Create {
            resource: "serviceaccounts",
            namespace: Arc::clone(namespace),
            object: account,
            note: None,
        };
        match self.apply(&[creation]) {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(()),
        }
    }
}

fn after(now: Timestamp, span: Duration) -> Timestamp {
    now.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Whether the owner that a reference means is there: same kind and name, same UID.
fn owner_exists(client: &crate::LocalClient, owner: &Owner, namespace: &str) -> bool {
    let Some(resource) = by_kind(&owner.api_version, &owner.kind) else {
        // Kinds that are not served cannot be looked up; what they own stays.
        return true;
    };
    let namespace = if resource.namespaced { namespace } else { "" };
    match client.get(&resource.qualified(), namespace, &owner.name) {
        Ok(object) => object["metadata"]["uid"] == *owner.uid,
        Err(error) => error.code != 404,
    }
}
