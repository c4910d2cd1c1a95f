//! What a change in the cluster asks for: which keys are to be worked on. Entry point: `Engine::on_change`.

use std::sync::Arc;

use super::cache::{Cache, Change, Place};
use super::engine::{Engine, Key, Task};
use super::job::TRACKING;
use super::node_lifecycle::has_no_execute;
use super::resource_claim::{CLAIMS, TEMPLATES};
use super::view::{Entry, Pod, items, selector_of, text};

/// The resources with a controller of their own, and its task.
const CONTROLLED: [(&str, Task); 9] = [
    ("deployments.apps", Task::Deployment),
    ("replicasets.apps", Task::ReplicaSet),
    ("statefulsets.apps", Task::StatefulSet),
    ("daemonsets.apps", Task::DaemonSet),
    ("jobs.batch", Task::Job),
    ("cronjobs.batch", Task::CronJob),
    ("poddisruptionbudgets.policy", Task::Budget),
    ("persistentvolumes", Task::Volume),
    ("persistentvolumeclaims", Task::Claim),
];

fn task_of(resource: &str) -> Option<Task> {
    CONTROLLED.iter().find(|(name, _)| *name == resource).map(|(_, task)| *task)
}

/// Whether something changed that controllers look at in a pod; a change of anything else asks for nothing.
fn differs<'a>(old: &'a Pod, new: &'a Pod) -> bool {
    let signature = |pod: &'a Pod| {
        (
            (pod.phase(), pod.ready(), pod.ready_since(), pod.node(), pod.restarts()),
            (pod.metadata.deletion_timestamp, &pod.metadata.labels),
            (&pod.metadata.owner_references, &pod.metadata.finalizers),
        )
    };
    signature(old) != signature(new)
}

impl Engine {
    /// Asks for the work that a change makes necessary.
    pub(super) fn on_change(&mut self, resource: &'static str, change: &Change) {
        self.ownership(resource, change);
        match resource {
            "pods" => self.pod_changed(change),
            "nodes" => self.node_changed(change),
            "namespaces" => self.add(Task::Namespace, resource, change),
            "leases.coordination.k8s.io" => self.lease_changed(change),
            "persistentvolumes" => self.volume_changed(change),
            "persistentvolumeclaims" => self.volume_claim_changed(change),
            "serviceaccounts" => self.account_changed(change),
            CLAIMS => self.claim_changed(change),
            TEMPLATES => self.template_changed(change),
            _ => {}
        }
        if let Some(task) = task_of(resource) {
            self.add(task, resource, change);
        }
        if resource == "replicasets.apps"
            && let Some(new) = &change.new
            && new.meta().controller().is_none()
        {
            self.adopters("deployments.apps", Task::Deployment, new);
        }
        if let Change { old: Some(old), new: None } = change {
            let namespace = &old.meta().namespace;
            if !namespace.is_empty() && self.emptied.contains_key(namespace) {
                let place = Place { resource: "namespaces", namespace: "".into(), name: Arc::clone(namespace) };
                self.queue.add((Task::Namespace, place));
            }
        }
    }

    fn add(&mut self, task: Task, resource: &'static str, change: &Change) {
        if let Some(entry) = change.new.as_ref().or(change.old.as_ref()) {
            self.queue.add((task, Place::of(resource, entry)));
        }
    }

    fn ownership(&mut self, resource: &'static str, change: &Change) {
        let mut keys: Vec<Key> = Vec::new();
        if let Some(new) = &change.new {
            let meta = new.meta();
            let place = Place::of(resource, new);
            if meta.deleting() && meta.finalizers.iter().any(|f| f == "orphan" || f == "foregroundDeletion") {
                keys.push((Task::Owner, place.clone()));
            }
            let lost = meta.owner_references.iter().any(|owner| {
                self.cache.by_uid(&owner.uid).and_then(|p| self.cache.at(p)).is_none_or(|o| o.meta().deleting())
            });
            if lost && !meta.deleting() {
                keys.push((Task::Dependent, place));
            }
        }
        if let Some(old) = &change.old {
            let meta = old.meta();
            if change.new.is_none() {
                keys.extend(self.cache.dependents(&meta.uid).map(|place| (Task::Dependent, place.clone())));
            }
        }
        // Owners that are being deleted wait for their dependents; controllers want to know of theirs.
        let references =
            |entry: &Option<Arc<Entry>>| entry.as_ref().map(|e| e.meta().owner_references.clone()).unwrap_or_default();
        let quiet = resource == "pods" && !pod_differs(change);
        for owner in references(&change.old).into_iter().chain(references(&change.new)) {
            let Some(place) = self.cache.by_uid(&owner.uid) else { continue };
            let deleting = self.cache.at(place).is_some_and(|e| e.meta().deleting());
            if deleting {
                keys.push((Task::Owner, place.clone()));
            }
            if owner.controller == Some(true)
                && !quiet
                && let Some(task) = task_of(place.resource)
            {
                keys.push((task, place.clone()));
            }
        }
        for key in keys {
            self.queue.add(key);
        }
    }

    fn pod_changed(&mut self, change: &Change) {
        if !pod_differs(change) {
            return;
        }
        let entries = || change.old.iter().chain(&change.new);
        let Some(entry) = entries().last() else { return };
        let place = Place::of("pods", entry);
        let budgets: Vec<Key> = self
            .cache
            .in_namespace("poddisruptionbudgets.policy", &place.namespace)
            .filter(|budget| {
                let selector = &budget.value()["spec"]["selector"];
                selector_of(selector).is_some_and(|selector| entries().any(|e| e.meta().matches(&selector)))
            })
            .map(|budget| (Task::Budget, Place::of("poddisruptionbudgets.policy", budget)))
            .collect();
        budgets.into_iter().for_each(|key| self.queue.add(key));
        self.claims_of_pod(entry, change.new.is_some());
        match &change.new {
            None => {
                self.leaving.remove(&place);
                self.recreate(entry);
            }
            Some(new) => {
                let labels_same = change.old.as_ref().is_some_and(|old| {
                    old.meta().labels == new.meta().labels && old.meta().owner_references == new.meta().owner_references
                });
                if new.meta().controller().is_none() && !new.meta().labels.is_empty() && !labels_same {
                    for (resource, task) in [
                        ("replicasets.apps", Task::ReplicaSet),
                        ("statefulsets.apps", Task::StatefulSet),
                        ("daemonsets.apps", Task::DaemonSet),
                        ("jobs.batch", Task::Job),
                    ] {
                        self.adopters(resource, task, new);
                    }
                }
                if new.meta().has_finalizer(TRACKING) {
                    self.queue.add((Task::JobPod, place.clone()));
                }
                let node = new.pod().and_then(Pod::node).and_then(|n| self.cache.get("nodes", "", n));
                if node.is_some_and(|n| has_no_execute(n)) {
                    self.queue.add((Task::Leaving, place));
                }
            }
        }
    }

    /// A volume may be what claims of its class wait for, and the claim that it names has to know of its end.
    fn volume_changed(&mut self, change: &Change) {
        let Some(entry) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let of = &entry.value()["spec"]["claimRef"];
        let mut keys: Vec<Key> = Vec::new();
        if of.is_null() {
            let unbound = |claim: &&Arc<Entry>| text(&claim.value()["spec"]["volumeName"]).is_empty();
            let claims = self.cache.all("persistentvolumeclaims").filter(unbound);
            keys.extend(claims.map(|claim| (Task::Claim, Place::of("persistentvolumeclaims", claim))));
        } else {
            let (namespace, name) = (text(&of["namespace"]).into(), text(&of["name"]).into());
            keys.push((Task::Claim, Place { resource: "persistentvolumeclaims", namespace, name }));
        }
        keys.into_iter().for_each(|key| self.queue.add(key));
    }

    /// The volume of a claim that is gone is free.
    fn volume_claim_changed(&mut self, change: &Change) {
        let Change { old: Some(old), new: None } = change else { return };
        let name = text(&old.value()["spec"]["volumeName"]);
        if !name.is_empty() {
            let place = Place { resource: "persistentvolumes", namespace: "".into(), name: name.into() };
            self.queue.add((Task::Volume, place));
        }
    }

    /// A deployment that recreates its pods waits for the last of the old ones to be gone.
    fn recreate(&mut self, pod: &Entry) {
        let set = pod.meta().controller().and_then(|o| self.cache.by_uid(&o.uid)).and_then(|p| self.cache.at(p));
        let deployment = set.and_then(|s| s.meta().controller()).and_then(|o| self.cache.by_uid(&o.uid)).cloned();
        if let Some(place) = deployment.filter(|p| p.resource == "deployments.apps") {
            self.queue.add((Task::Deployment, place));
        }
    }

    /// Objects of a resource whose selector matches something that nobody controls.
    fn adopters(&mut self, resource: &'static str, task: Task, orphan: &Entry) {
        let found: Vec<Key> = matching(&self.cache, resource, orphan).map(|place| (task, place)).collect();
        found.into_iter().for_each(|key| self.queue.add(key));
    }

    fn node_changed(&mut self, change: &Change) {
        let Some(entry) = change.new.as_ref().or(change.old.as_ref()) else { return };
        let name = Arc::clone(&entry.meta().name);
        let spec = |e: &Arc<Entry>| e.value()["spec"].clone();
        let same_spec = match change {
            Change { old: Some(old), new: Some(new) } => {
                spec(old) == spec(new) && old.meta().labels == new.meta().labels
            }
            _ => false,
        };
        if !same_spec {
            let sets: Vec<Key> =
                self.cache.all("daemonsets.apps").map(|e| (Task::DaemonSet, Place::of("daemonsets.apps", e))).collect();
            let pods: Vec<Key> = self.cache.pods_on(&name).map(|place| (Task::Leaving, place.clone())).collect();
            sets.into_iter().chain(pods).for_each(|key| self.queue.add(key));
        }
        match &change.new {
            None => {
                self.heard.remove(&name);
            }
            Some(new) => {
                let heartbeat = |e: &Arc<Entry>| {
                    let conditions = items(&e.value()["status"]["conditions"]);
                    conditions.iter().find(|c| c["type"] == "Ready").map(|c| c["lastHeartbeatTime"].clone())
                };
                if change.old.as_ref().is_none_or(|old| heartbeat(old) != heartbeat(new)) {
                    self.heard.insert(name, self.clock.now());
                }
                self.queue.add((Task::Node, Place::of("nodes", new)));
            }
        }
    }

    /// A claim is looked at, and the pod that it was made for.
    fn claim_changed(&mut self, change: &Change) {
        let Some(entry) = change.new.as_ref().or(change.old.as_ref()) else { return };
        self.queue.add((Task::ResourceClaim, Place::of(CLAIMS, entry)));
        let owner = entry.meta().controller().filter(|owner| owner.kind == "Pod");
        if let Some(pod) = owner.and_then(|owner| self.cache.by_uid(&owner.uid)).cloned() {
            self.queue.add((Task::PodClaims, pod));
        }
    }

    /// Pods may wait for the template.
    fn template_changed(&mut self, change: &Change) {
        let Some(template) = &change.new else { return };
        let meta = template.meta();
        let waiting: Vec<Key> = self
            .cache
            .in_namespace("pods", &meta.namespace)
            .filter(|pod| pod.pod().is_some_and(|pod| pod.claims_from_templates().any(|(_, of)| *of == *meta.name)))
            .map(|pod| (Task::PodClaims, Place::of("pods", pod)))
            .collect();
        waiting.into_iter().for_each(|key| self.queue.add(key));
    }

    /// The claims of a pod: those to be made for it, and when it ends those that it uses.
    fn claims_of_pod(&mut self, pod: &Entry, there: bool) {
        let Some(view) = pod.pod() else { return };
        if there && view.claims_from_templates().next().is_some() {
            self.queue.add((Task::PodClaims, Place::of("pods", pod)));
        }
        if !there || view.finished() {
            let uid = &*pod.meta().uid;
            let uses = |claim: &&Arc<Entry>| {
                let consumers = items(&claim.value()["status"]["reservedFor"]);
                claim.meta().controlled_by(uid) || consumers.iter().any(|consumer| consumer["uid"] == *uid)
            };
            let claims = self.cache.in_namespace(CLAIMS, &pod.meta().namespace).filter(uses);
            let keys: Vec<Key> = claims.map(|claim| (Task::ResourceClaim, Place::of(CLAIMS, claim))).collect();
            keys.into_iter().for_each(|key| self.queue.add(key));
        }
    }

    /// The account that every namespace has comes back when it is deleted.
    fn account_changed(&mut self, change: &Change) {
        if let Change { old: Some(old), new: None } = change
            && *old.meta().name == *"default"
        {
            let name = Arc::clone(&old.meta().namespace);
            self.queue.add((Task::Namespace, Place { resource: "namespaces", namespace: "".into(), name }));
        }
    }

    fn lease_changed(&mut self, change: &Change) {
        if let Some(new) = &change.new
            && *new.meta().namespace == *"kube-node-lease"
        {
            let now = self.clock.now();
            self.heard.insert(Arc::clone(&new.meta().name), now);
        }
    }
}

fn pod_differs(change: &Change) -> bool {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => match (old.pod(), new.pod()) {
            (Some(old), Some(new)) => differs(old, new),
            _ => true,
        },
        _ => true,
    }
}

fn matching(cache: &Cache, resource: &'static str, orphan: &Entry) -> impl Iterator<Item = Place> {
    cache
        .in_namespace(resource, &orphan.meta().namespace)
        .filter(|owner| {
            selector_of(&owner.value()["spec"]["selector"])
                .is_some_and(|selector| !selector.is_empty() && orphan.meta().matches(&selector))
        })
        .map(move |owner| Place::of(resource, owner))
}
