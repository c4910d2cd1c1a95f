//! What the controllers know of the cluster: objects by resource and name, by UID, by owner, pods by node.
//!
//! Filled by watches and by the controllers' own writes, so that a controller sees at once what it has done.
//! Entry points: [`Cache::put`] and [`Cache::remove`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use super::view::{Entry, Pod};

/// Where an object is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// Plural, with the group outside the core group.
    pub resource: &'static str,
    /// Namespace; empty for what has none.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Place {
    /// The place of an entry of a resource.
    pub fn of(resource: &'static str, entry: &Entry) -> Place {
        let meta = entry.meta();
        Place { resource, namespace: Arc::clone(&meta.namespace), name: Arc::clone(&meta.name) }
    }
}

/// The resources whose objects controllers adopt.
const ADOPTED: [&str; 2] = ["pods", "replicasets.apps"];

type Objects = BTreeMap<(Arc<str>, Arc<str>), Arc<Entry>>;

/// The objects and their indexes.
#[derive(Debug, Default)]
pub(super) struct Cache {
    objects: HashMap<&'static str, Objects>,
    by_uid: HashMap<Arc<str>, Place>,
    /// By UID of the owner. The entries are here, too: controllers go through them often.
    dependents: HashMap<Arc<str>, BTreeMap<Place, Arc<Entry>>>,
    pods_by_node: HashMap<Arc<str>, BTreeSet<Place>>,
    /// What nobody controls, of the resources that controllers adopt, by namespace.
    orphans: HashMap<(&'static str, Arc<str>), BTreeSet<Place>>,
    /// Objects that we deleted ourselves and whose deletion the watch has yet to report; at most one for each object that
    /// existed.
    gone: HashMap<Arc<str>, &'static str>,
}

/// What a change did to the cache.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The state before, if there was one.
    pub old: Option<Arc<Entry>>,
    /// The state after, if there is one.
    pub new: Option<Arc<Entry>>,
}

impl Cache {
    /// Takes in a state of an object; `None` when the cache knows a later one.
    pub fn put(&mut self, resource: &'static str, entry: Entry) -> Option<Change> {
        let meta = entry.meta();
        if self.gone.contains_key(&meta.uid) {
            return None;
        }
        let key = (Arc::clone(&meta.namespace), Arc::clone(&meta.name));
        let old = self.objects.entry(resource).or_default().get(&key).cloned();
        if old.as_ref().is_some_and(|old| old.meta().revision() >= meta.revision()) {
            return None;
        }
        if let Some(old) = &old {
            self.unlink(resource, old);
        }
        let entry = Arc::new(entry);
        self.link(resource, &entry);
        self.objects.entry(resource).or_default().insert(key, Arc::clone(&entry));
        Some(Change { old, new: Some(entry) })
    }

    /// Forgets an object that the API server no longer has. `own`: we deleted it, and the watch will report it again.
    pub fn remove(
        &mut self,
        resource: &'static str,
        namespace: &str,
        name: &str,
        uid: &str,
        own: bool,
    ) -> Option<Change> {
        let key: (Arc<str>, Arc<str>) = (namespace.into(), name.into());
        if own {
            self.gone.insert(uid.into(), resource);
        } else {
            self.gone.remove(uid);
        }
        let objects = self.objects.get_mut(resource)?;
        if objects.get(&key)?.meta().uid.as_ref() != uid {
            return None;
        }
        let old = objects.remove(&key)?;
        self.unlink(resource, &old);
        Some(Change { old: Some(old), new: None })
    }

    /// Takes in a whole list of a resource: what it has, and that the rest is gone. Answers with the changes.
    pub fn replace(&mut self, resource: &'static str, entries: Vec<Entry>) -> Vec<Change> {
        self.gone.retain(|_, of| *of != resource);
        let listed: BTreeSet<Arc<str>> = entries.iter().map(|e| Arc::clone(&e.meta().uid)).collect();
        let lost: Vec<Arc<Entry>> = self.all(resource).filter(|e| !listed.contains(&e.meta().uid)).cloned().collect();
        let mut changes = Vec::new();
        for entry in lost {
            let meta = entry.meta();
            changes.extend(self.remove(resource, &meta.namespace, &meta.name, &meta.uid, false));
        }
        for entry in entries {
            changes.extend(self.put(resource, entry));
        }
        changes
    }

    fn link(&mut self, resource: &'static str, entry: &Arc<Entry>) {
        let place = Place::of(resource, entry);
        let meta = entry.meta();
        self.by_uid.insert(Arc::clone(&meta.uid), place.clone());
        for owner in &meta.owner_references {
            self.dependents.entry(Arc::clone(&owner.uid)).or_default().insert(place.clone(), Arc::clone(entry));
        }
        if let Some(node) = entry.pod().and_then(Pod::node) {
            self.pods_by_node.entry(Arc::clone(node)).or_default().insert(place.clone());
        }
        if ADOPTED.contains(&resource) && meta.controller().is_none() {
            self.orphans.entry((resource, Arc::clone(&meta.namespace))).or_default().insert(place);
        }
    }

    fn unlink(&mut self, resource: &'static str, entry: &Entry) {
        let place = Place::of(resource, entry);
        let meta = entry.meta();
        self.by_uid.remove(&meta.uid);
        for owner in &meta.owner_references {
            if let Some(dependents) = self.dependents.get_mut(&owner.uid) {
                dependents.remove(&place);
                if dependents.is_empty() {
                    self.dependents.remove(&owner.uid);
                }
            }
        }
        if let Some(node) = entry.pod().and_then(Pod::node) {
            remove_from(&mut self.pods_by_node, node, &place);
        }
        if ADOPTED.contains(&resource) && meta.controller().is_none() {
            remove_from(&mut self.orphans, &(resource, Arc::clone(&meta.namespace)), &place);
        }
    }

    /// An object by name.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.objects.get(resource)?.get(&(namespace.into(), name.into()))
    }

    /// The object at a place.
    pub fn at(&self, place: &Place) -> Option<&Arc<Entry>> {
        self.objects.get(place.resource)?.get(&(Arc::clone(&place.namespace), Arc::clone(&place.name)))
    }

    /// Where the object with this UID is.
    pub fn by_uid(&self, uid: &str) -> Option<&Place> {
        self.by_uid.get(uid)
    }

    /// All objects of a resource, by namespace and name.
    pub fn all(&self, resource: &str) -> impl Iterator<Item = &Arc<Entry>> + Clone {
        self.objects.get(resource).into_iter().flat_map(BTreeMap::values)
    }

    /// The objects of a resource in a namespace, by name.
    pub fn in_namespace(&self, resource: &str, namespace: &str) -> impl Iterator<Item = &Arc<Entry>> {
        let namespace: Arc<str> = namespace.into();
        let from = (Arc::clone(&namespace), Arc::from(""));
        self.objects
            .get(resource)
            .into_iter()
            .flat_map(move |objects| objects.range(from.clone()..))
            .take_while(move |((of, _), _)| *of == namespace)
            .map(|(_, entry)| entry)
    }

    /// Where the dependents of an owner are.
    pub fn dependents(&self, uid: &str) -> impl Iterator<Item = &Place> {
        self.dependents.get(uid).into_iter().flat_map(BTreeMap::keys)
    }

    /// The objects of a resource that an owner controls.
    pub fn controlled(&self, resource: &'static str, uid: &str) -> Vec<Arc<Entry>> {
        self.dependents
            .get(uid)
            .into_iter()
            .flatten()
            .filter(|(place, entry)| place.resource == resource && entry.meta().controlled_by(uid))
            .map(|(_, entry)| Arc::clone(entry))
            .collect()
    }

    /// The objects of a resource in a namespace that nobody controls.
    pub fn orphans(&self, resource: &'static str, namespace: &Arc<str>) -> impl Iterator<Item = &Arc<Entry>> {
        self.orphans.get(&(resource, Arc::clone(namespace))).into_iter().flatten().filter_map(|place| self.at(place))
    }

    /// Where the pods of a node are.
    pub fn pods_on(&self, node: &str) -> impl Iterator<Item = &Place> {
        self.pods_by_node.get(node).into_iter().flatten()
    }

    /// The nodes that pods are bound to.
    pub fn nodes_of_pods(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pods_by_node.keys()
    }
}

fn remove_from<K: Eq + Hash>(index: &mut HashMap<K, BTreeSet<Place>>, key: &K, place: &Place) {
    if let Some(places) = index.get_mut(key) {
        places.remove(place);
        if places.is_empty() {
            index.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::view::Depth;
    use super::*;

    fn pod(name: &str, revision: u64, node: &str) -> Entry {
        Entry::of(
            json!({
                "metadata": {
                    "namespace": "n", "name": name, "uid": name, "resourceVersion": revision.to_string(),
                    "ownerReferences": [{ "uid": "o", "kind": "ReplicaSet", "name": "r", "controller": true }],
                },
                "spec": { "nodeName": node },
            }),
            Depth::Pod,
        )
        .unwrap()
    }

    #[test]
    fn indexes_follow_the_objects() {
        let mut cache = Cache::default();
        assert!(cache.put("pods", pod("a", 3, "")).is_some());
        assert!(cache.put("pods", pod("a", 2, "old")).is_none(), "an older state changes nothing");
        assert!(cache.put("pods", pod("a", 4, "m")).is_some());
        assert!(cache.put("pods", pod("b", 5, "m")).is_some());
        assert_eq!(cache.pods_on("m").count(), 2);
        assert_eq!(cache.controlled("pods", "o").len(), 2);
        assert_eq!(cache.in_namespace("pods", "n").count(), 2);
        assert_eq!(cache.in_namespace("pods", "m").count(), 0);
        assert!(cache.remove("pods", "n", "a", "another", false).is_none());
        assert!(cache.remove("pods", "n", "a", "a", true).is_some());
        assert!(cache.put("pods", pod("a", 4, "m")).is_none(), "a late report of what we deleted is not believed");
        cache.remove("pods", "n", "a", "a", false);
        assert_eq!(cache.pods_on("m").count(), 1);
        assert_eq!(cache.by_uid("a"), None);
    }
}
