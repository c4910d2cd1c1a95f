//! Deployments: which replica set runs the present template, and how many pods each of them is to have.
//!
//! [`reconcile`] looks at one deployment and its replica sets and takes the next step of a rollout, of scaling, or of
//! cleaning up; what it writes makes it look again. The status is made in `deployment_status`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::action::{Action, Outcome, Parent, delete};
use super::cache::Place;
use super::deployment_status as status;
use super::replica_set::REPLICA_SET;
use super::template::{TEMPLATE_HASH, same_template, template_hash};
use super::view::{Entry, int_or_percent, number, text};

/// The kind.
pub(super) const DEPLOYMENT: Parent = Parent {
    resource: "deployments.apps",
    api_version: "apps/v1",
    kind: "Deployment",
    component: "deployment-controller",
};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.to";
/// Longest list of earlier revisions that a replica set carries.
const REVISION_HISTORY_CHARS: usize = 2000;
/// `progressDeadlineSeconds` and `revisionHistoryLimit` of this size mean none.
const UNLIMITED: i64 = 2_147_483_647;

/// A replica set with the numbers that rollouts are made of.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub entry: Arc<Entry>,
    /// `spec.replicas`; what it will be once this step's writes are done.
    pub wanted: i64,
    pub replicas: i64,
    pub ready: i64,
    pub available: i64,
    pub terminating: i64,
}

impl Set {
    fn of(entry: &Arc<Entry>) -> Set {
        let (spec, status) = (&entry.value()["spec"], &entry.value()["status"]);
        Set {
            entry: Arc::clone(entry),
            wanted: number(&spec["replicas"], 1),
            replicas: number(&status["replicas"], 0),
            ready: number(&status["readyReplicas"], 0),
            available: number(&status["availableReplicas"], 0),
            terminating: number(&status["terminatingReplicas"], 0),
        }
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.entry.meta().annotations.get(name).map(String::as_str)
    }

    fn revision(&self) -> i64 {
        self.annotation(REVISION).and_then(|r| r.parse().ok()).unwrap_or(0)
    }

    pub(super) fn name(&self) -> &str {
        &self.entry.meta().name
    }
}

/// A deployment in the course of one step.
pub(super) struct Rollout<'a> {
    pub entry: &'a Arc<Entry>,
    pub spec: &'a Value,
    pub replicas: i64,
    /// The replica set of the present template.
    pub new: Option<Set>,
    /// The others, oldest first.
    pub old: Vec<Set>,
    pub now: Timestamp,
    pub outcome: Outcome,
    /// The name of a replica set that this step creates.
    pub created: Option<String>,
}

/// Takes the next step of a deployment. `sets` are the replica sets that it controls; `old_pods` tells whether pods of other
/// replica sets than the named one still run.
pub(super) fn reconcile(
    deployment: &Arc<Entry>,
    sets: &[Arc<Entry>],
    old_pods: impl Fn(Option<&str>) -> bool,
    now: Timestamp,
) -> Outcome {
    let spec = &deployment.value()["spec"];
    let mut sorted: Vec<Set> = sets.iter().map(Set::of).collect();
    sorted.sort_by_key(|s| (s.entry.meta().creation_timestamp, Arc::clone(&s.entry.meta().name)));
    let new = sorted.iter().position(|s| same_template(&s.entry.value()["spec"]["template"], &spec["template"]));
    let new = new.map(|index| sorted.remove(index));
    let mut rollout = Rollout {
        entry: deployment,
        spec,
        replicas: number(&spec["replicas"], 1),
        new,
        old: sorted,
        now,
        outcome: Outcome::default(),
        created: None,
    };
    let progress = if deployment.meta().deleting() {
        status::Progress::AsItIs
    } else if spec["paused"] == true {
        rollout.sync_new_set();
        rollout.scale();
        rollout.clean_up();
        status::Progress::AsItIs
    } else if rollout.is_scaling() {
        rollout.sync_new_set();
        rollout.scale();
        status::Progress::AsItIs
    } else {
        if spec["strategy"]["type"] == "Recreate" {
            rollout.recreate(old_pods);
        } else {
            rollout.roll();
        }
        status::Progress::Followed
    };
    status::finish(&mut rollout, progress);
    rollout.outcome
}

impl Rollout<'_> {
    fn sets(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    fn total_wanted(&self) -> i64 {
        self.sets().map(|s| s.wanted).sum()
    }

    /// How many pods above the wanted number there may be, and how many below it may be unavailable.
    fn fence_posts(&self) -> (i64, i64) {
        let strategy = &self.spec["strategy"];
        if strategy["type"] == "Recreate" {
            return (0, 0);
        }
        let surge = int_or_percent(&strategy["rollingUpdate"]["maxSurge"], self.replicas, true, 0);
        let unavailable = int_or_percent(&strategy["rollingUpdate"]["maxUnavailable"], self.replicas, false, 0);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    pub(super) fn max_unavailable(&self) -> i64 {
        if self.replicas == 0 { 0 } else { self.fence_posts().1.min(self.replicas) }
    }

    pub(super) fn progress_deadline(&self) -> Option<i64> {
        self.spec["progressDeadlineSeconds"].as_i64().filter(|s| *s != UNLIMITED)
    }

    fn note(&mut self, message: String) {
        let note = DEPLOYMENT.note(self.entry, "Normal", "ScalingReplicaSet", message);
        self.outcome.actions.push(Action::Event(note));
    }

    /// Some replica set was made for another number of replicas than are wanted now.
    fn is_scaling(&self) -> bool {
        self.sets().filter(|s| s.wanted > 0).any(|s| {
            s.annotation(DESIRED_REPLICAS).and_then(|d| d.parse::<i64>().ok()).is_some_and(|d| d != self.replicas)
        })
    }

    /// Annotations that a replica set takes over from its deployment.
    fn inherited(&self) -> impl Iterator<Item = (&String, &String)> {
        self.entry.meta().annotations.iter().filter(|(key, _)| {
            ![LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO]
                .contains(&key.as_str())
        })
    }

    /// Brings annotations and revision of the new replica set up to date.
    fn sync_new_set(&mut self) {
        let newest = self.old.iter().map(Set::revision).max().unwrap_or(0) + 1;
        let Some(new) = &self.new else { return };
        let mut annotations = Map::new();
        for (key, value) in self.inherited() {
            if new.annotation(key) != Some(value) {
                annotations.insert(key.clone(), json!(value));
            }
        }
        let before = new.revision();
        let revision = before.max(newest);
        if before < revision {
            annotations.insert(REVISION.to_owned(), json!(revision.to_string()));
            if let Some(earlier) = new.annotation(REVISION) {
                let history = new.annotation(REVISION_HISTORY).filter(|h| !h.is_empty());
                let mut all: Vec<&str> = history.into_iter().flat_map(|h| h.split(',')).collect();
                all.push(earlier);
                while all.len() > 1 && all.iter().map(|r| r.len() + 1).sum::<usize>() > REVISION_HISTORY_CHARS {
                    all.remove(0);
                }
                annotations.insert(REVISION_HISTORY.to_owned(), json!(all.join(",")));
            }
        }
        let mut patch = Map::new();
        if !annotations.is_empty() {
            patch.insert("metadata".to_owned(), json!({ "annotations": annotations }));
        }
        let min_ready = number(&self.spec["minReadySeconds"], 0);
        if number(&new.entry.value()["spec"]["minReadySeconds"], 0) != min_ready {
            patch.insert("spec".to_owned(), json!({ "minReadySeconds": min_ready }));
        }
        if !patch.is_empty() {
            let place = REPLICA_SET.place(&new.entry);
            self.outcome.actions.push(Action::Patch { place, status: false, patch: Value::Object(patch) });
        }
        self.set_revision(revision);
    }

    fn set_revision(&mut self, revision: i64) {
        let revision = revision.to_string();
        if self.entry.meta().annotations.get(REVISION) != Some(&revision) {
            self.outcome.actions.push(Action::Patch {
                place: DEPLOYMENT.place(self.entry),
                status: false,
                patch: json!({ "metadata": { "annotations": { REVISION: revision } } }),
            });
        }
    }

    /// How many pods the new replica set may have at this point of the rollout.
    fn new_set_size(&self) -> i64 {
        if self.spec["strategy"]["type"] == "Recreate" {
            return self.replicas;
        }
        let surge = int_or_percent(&self.spec["strategy"]["rollingUpdate"]["maxSurge"], self.replicas, true, 0);
        let present = self.new.as_ref().map_or(0, |s| s.wanted);
        let room = self.replicas + surge - self.total_wanted();
        if room <= 0 { present } else { present + room.min(self.replicas - present) }
    }

    /// Creates the replica set of the present template.
    fn create_new_set(&mut self) {
        let template = &self.spec["template"];
        let collisions = self.entry.value()["status"]["collisionCount"].as_i64();
        let hash = template_hash(template, collisions);
        let name = format!("{}-{hash}", self.entry.meta().name);
        let mut template = template.clone();
        template["metadata"]["labels"][TEMPLATE_HASH] = json!(hash);
        let mut selector = self.spec["selector"].clone();
        selector["matchLabels"][TEMPLATE_HASH] = json!(hash);
        let revision = self.old.iter().map(Set::revision).max().unwrap_or(0) + 1;
        let size = self.new_set_size();
        let mut annotations: Map<String, Value> = self.inherited().map(|(k, v)| (k.clone(), json!(v))).collect();
        annotations.insert(REVISION.to_owned(), json!(revision.to_string()));
        annotations.insert(DESIRED_REPLICAS.to_owned(), json!(self.replicas.to_string()));
        annotations.insert(MAX_REPLICAS.to_owned(), json!((self.replicas + self.fence_posts().0).to_string()));
        let object = json!({
            "apiVersion": REPLICA_SET.api_version,
            "kind": REPLICA_SET.kind,
            "metadata": {
                "name": name,
                "namespace": self.entry.meta().namespace,
                "labels": template["metadata"]["labels"],
                "annotations": annotations,
                "ownerReferences": [DEPLOYMENT.controller_reference(self.entry)],
            },
            "spec": {
                "replicas": size,
                "minReadySeconds": number(&self.spec["minReadySeconds"], 0),
                "selector": selector,
                "template": template,
            },
        });
        self.outcome.actions.push(Action::Create {
            resource: REPLICA_SET.resource,
            namespace: Arc::clone(&self.entry.meta().namespace),
            object,
            note: None,
        });
        if size > 0 {
            self.note(format!("Scaled up replica set {name} from 0 to {size}"));
        }
        self.set_revision(revision);
        self.created = Some(name);
    }

    /// Gives a replica set its size, and notes for which size of the deployment that is. True when the size changes.
    fn resize(&mut self, set: &mut Set, size: i64) -> bool {
        let desired = self.replicas.to_string();
        let max = (self.replicas + self.fence_posts().0).to_string();
        let noted = set.annotation(DESIRED_REPLICAS) == Some(&desired) && set.annotation(MAX_REPLICAS) == Some(&max);
        let before = set.wanted;
        if before == size && noted {
            return false;
        }
        self.outcome.actions.push(Action::Patch {
            place: REPLICA_SET.place(&set.entry),
            status: false,
            patch: json!({
                "metadata": { "annotations": { DESIRED_REPLICAS: desired, MAX_REPLICAS: max } },
                "spec": { "replicas": size },
            }),
        });
        if before == size {
            return false;
        }
        set.wanted = size;
        let way = if before < size { "up" } else { "down" };
        self.note(format!("Scaled {way} replica set {} from {before} to {size}", set.name()));
        true
    }

    /// Like [`Self::resize`], but leaves a replica set alone that has the size already.
    fn resize_if_other(&mut self, set: &mut Set, size: i64) -> bool {
        set.wanted != size && self.resize(set, size)
    }

    fn resize_new(&mut self, size: i64) -> bool {
        let Some(mut new) = self.new.take() else { return false };
        let changed = self.resize_if_other(&mut new, size);
        self.new = Some(new);
        changed
    }

    /// Follows a change of `spec.replicas` outside the normal course of a rollout, or in the middle of one, where each
    /// replica set grows or shrinks by its share.
    fn scale(&mut self) {
        let active: Vec<usize> = (0..self.old.len()).filter(|i| self.old[*i].wanted > 0).collect();
        let new_active = self.new.as_ref().is_some_and(|s| s.wanted > 0);
        match (active.as_slice(), new_active, &self.new) {
            ([], _, Some(_)) => {
                self.resize_new(self.replicas);
                return;
            }
            ([], _, None) => {
                // The latest of the old ones.
                if let Some(mut latest) = self.old.pop() {
                    self.resize_if_other(&mut latest, self.replicas);
                    self.old.push(latest);
                }
                return;
            }
            ([only], false, _) => {
                let mut set = self.old.remove(*only);
                self.resize_if_other(&mut set, self.replicas);
                self.old.insert(*only, set);
                return;
            }
            _ => {}
        }
        let saturated = self.new.as_ref().is_some_and(|s| {
            s.wanted == self.replicas
                && s.available == self.replicas
                && s.annotation(DESIRED_REPLICAS).and_then(|d| d.parse::<i64>().ok()) == Some(self.replicas)
        });
        if saturated {
            for index in active {
                let mut set = self.old[index].clone();
                self.resize_if_other(&mut set, 0);
                self.old[index] = set;
            }
        } else if self.spec["strategy"]["type"] != "Recreate" {
            self.scale_in_proportion();
        }
    }

    fn scale_in_proportion(&mut self) {
        let surge = self.fence_posts().0;
        let most = if self.replicas > 0 { self.replicas + surge } else { 0 };
        let mut sets: Vec<Set> = self.sets().filter(|s| s.wanted > 0).cloned().collect();
        let to_add = most - sets.iter().map(|s| s.wanted).sum::<i64>();
        // Growing favours the newest among the largest, shrinking the oldest.
        sets.sort_by(|a, b| {
            let by_age = a.entry.meta().creation_timestamp.cmp(&b.entry.meta().creation_timestamp);
            b.wanted.cmp(&a.wanted).then(if to_add > 0 { by_age.reverse() } else { by_age })
        });
        let mut added = 0;
        let mut sizes: Vec<i64> = Vec::with_capacity(sets.len());
        for set in &sets {
            let share = if to_add == 0 || to_add == added { 0 } else { self.share(set, surge, to_add - added) };
            added += share;
            sizes.push(set.wanted + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (set, size) in sets.iter_mut().zip(sizes) {
            self.resize(set, size);
            let slot = self.old.iter_mut().chain(&mut self.new).find(|s| s.entry.meta().uid == set.entry.meta().uid);
            if let Some(slot) = slot {
                *slot = set.clone();
            }
        }
    }

    /// How much a replica set grows by, of the `left` pods that are still to be handed out (negative when shrinking).
    fn share(&self, set: &Set, surge: i64, left: i64) -> i64 {
        let fraction = if self.replicas == 0 {
            -set.wanted
        } else {
            let noted = set.annotation(MAX_REPLICAS).and_then(|m| m.parse::<i64>().ok()).filter(|m| *m > 0);
            let before = noted.unwrap_or_else(|| number(&self.entry.value()["status"]["replicas"], 0));
            if before <= 0 {
                return 0;
            }
            // Rounded half away from zero; sizes are not negative.
            let scaled = set.wanted.saturating_mul(self.replicas + surge);
            (2 * scaled + before) / (2 * before) - set.wanted
        };
        if left > 0 { fraction.min(left) } else { fraction.max(left) }
    }

    fn roll(&mut self) {
        if self.new.is_none() {
            self.create_new_set();
            return;
        }
        self.sync_new_set();
        let wanted = self.new.as_ref().map_or(0, |s| s.wanted);
        let grown = match wanted.cmp(&self.replicas) {
            std::cmp::Ordering::Equal => false,
            std::cmp::Ordering::Greater => self.resize_new(self.replicas),
            std::cmp::Ordering::Less => {
                let size = self.new_set_size();
                self.resize_new(size)
            }
        };
        if !grown && !self.shrink_old() && status::is_complete(self) {
            self.clean_up();
        }
    }

    /// Takes pods from the old replica sets as far as enough stay available, unhealthy ones first.
    fn shrink_old(&mut self) -> bool {
        if self.old.iter().all(|s| s.wanted == 0) {
            return false;
        }
        let least_available = self.replicas - self.max_unavailable();
        let not_yet = self.new.as_ref().map_or(0, |s| s.wanted - s.available);
        let spare = self.total_wanted() - least_available - not_yet;
        if spare <= 0 {
            return false;
        }
        let mut old = std::mem::take(&mut self.old);
        let mut removed = 0;
        for set in &mut old {
            let unhealthy = (set.wanted - set.available).min(spare - removed);
            if unhealthy > 0 && self.resize_if_other(set, set.wanted - unhealthy) {
                removed += unhealthy;
            }
        }
        let available: i64 =
            old.iter().map(|s| s.available).sum::<i64>() + self.new.as_ref().map_or(0, |s| s.available);
        let mut left = available - least_available;
        for set in &mut old {
            let healthy = set.wanted.min(left);
            if healthy > 0 && self.resize_if_other(set, set.wanted - healthy) {
                left -= healthy;
                removed += healthy;
            }
        }
        self.old = old;
        removed > 0
    }

    fn recreate(&mut self, old_pods: impl Fn(Option<&str>) -> bool) {
        if self.new.is_some() {
            self.sync_new_set();
        }
        let mut old = std::mem::take(&mut self.old);
        let mut shrunk = false;
        for set in &mut old {
            shrunk |= self.resize_if_other(set, 0);
        }
        self.old = old;
        let new_uid = self.new.as_ref().map(|s| Arc::clone(&s.entry.meta().uid));
        if shrunk || self.old.iter().any(|s| s.replicas > 0) || old_pods(new_uid.as_deref()) {
            return;
        }
        if self.new.is_none() {
            self.create_new_set();
            return;
        }
        if !self.resize_new(self.replicas) && status::is_complete(self) {
            self.clean_up();
        }
    }

    /// Deletes the oldest replica sets beyond `revisionHistoryLimit`.
    fn clean_up(&mut self) {
        let Some(limit) = self.spec["revisionHistoryLimit"].as_i64().filter(|l| *l != UNLIMITED) else { return };
        let mut alive: Vec<&Set> = self.old.iter().filter(|s| !s.entry.meta().deleting()).collect();
        let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        alive.sort_by_key(|s| (s.revision(), s.entry.meta().creation_timestamp));
        let deletions: Vec<Action> = alive
            .into_iter()
            .take(surplus)
            .filter(|s| {
                let object = s.entry.value();
                s.replicas == 0
                    && s.wanted == 0
                    && number(&object["metadata"]["generation"], 0)
                        <= number(&object["status"]["observedGeneration"], 0)
            })
            .map(|s| delete(REPLICA_SET.resource, &s.entry))
            .collect();
        self.outcome.actions.extend(deletions);
    }
}

/// The write after a replica set's name turned out to be taken by another template: the next name will differ.
pub(super) fn after_collision(deployment: &Entry) -> Action {
    let count = number(&deployment.value()["status"]["collisionCount"], 0) + 1;
    Action::Patch {
        place: Place::of(DEPLOYMENT.resource, deployment),
        status: true,
        patch: json!({ "status": { "collisionCount": count } }),
    }
}

/// The name in an action that creates a replica set.
pub(super) fn created_name(action: &Action) -> Option<&str> {
    match action {
        Action::Create { resource, object, .. } if *resource == REPLICA_SET.resource => {
            Some(text(&object["metadata"]["name"]))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;
