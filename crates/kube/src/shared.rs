//! What many objects of a kind have in common, kept once: [`Shared::pod`] and [`Shared::node`].
//!
//! Tens of thousands of pods name a few nodes, owners, namespaces and labels, and most are made from a few templates. Whoever reads
//! them one after the other keeps a [`Shared`], so that not even a list of all of them holds these texts more than once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use augur_core::object::{ControllerRef, Labels, Node, Pod, PodSpec};

/// What may come beside twice of what was held before it is looked for what nobody holds any more.
const SWEEP_AFTER: usize = 1024;

/// Texts, labels and specs in use. It holds what some object that went through it still holds, and what was let go of since it
/// last looked, which it does whenever it has doubled.
#[derive(Debug, Default)]
pub struct Shared {
    names: HashSet<Arc<str>>,
    labels: HashSet<Labels>,
    specs: HashSet<Arc<PodSpec>>,
    /// How many there were when it last looked.
    swept: usize,
}

impl Shared {
    /// Makes the pod share what it has in common with others.
    pub fn pod(&mut self, pod: &mut Pod) {
        self.sweep();
        self.name(&mut pod.namespace);
        self.labels(&mut pod.labels);
        share(&mut self.specs, &mut pod.spec);
        pod.node.iter_mut().for_each(|node| self.name(node));
        if let Some(workload) = &mut pod.workload {
            self.name(&mut workload.kind);
            self.name(&mut workload.name);
        }
        match &mut pod.controller {
            Some(
                ControllerRef::ReplicationController(name)
                | ControllerRef::ReplicaSet(name)
                | ControllerRef::StatefulSet(name),
            ) => self.name(name),
            None => {}
        }
    }

    /// Makes the node share what it has in common with others.
    pub fn node(&mut self, node: &mut Node) {
        self.sweep();
        // Each node has its own host name, so that labels are not alike as a whole.
        node.labels = node.labels.map(|text| self.name(text));
        for name in node.declared_features.iter_mut().chain(node.images.iter_mut().flat_map(|image| &mut image.names)) {
            self.name(name);
        }
    }

    /// The text as all have it.
    pub fn name(&mut self, name: &mut Arc<str>) {
        share(&mut self.names, name);
    }

    fn labels(&mut self, labels: &mut Labels) {
        if let Some(known) = self.labels.get(labels) {
            *labels = known.clone();
            return;
        }
        *labels = labels.map(|text| share(&mut self.names, text));
        self.labels.insert(labels.clone());
    }

    fn sweep(&mut self) {
        if self.len() > 2 * self.swept + SWEEP_AFTER {
            // The scheduler has a set of specs of its own: each would keep for ever what the other holds too.
            self.specs.retain(|spec| Arc::strong_count(spec) > 2);
            self.labels.retain(|labels| !labels.is_last());
            self.names.retain(|name| Arc::strong_count(name) > 1);
            self.swept = self.len();
        }
    }

    fn len(&self) -> usize {
        self.names.len() + self.labels.len() + self.specs.len()
    }
}

fn share<T: ?Sized + Eq + Hash>(known: &mut HashSet<Arc<T>>, value: &mut Arc<T>) {
    match known.get(value) {
        Some(known) => *value = known.clone(),
        None => {
            known.insert(value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, app: &str) -> Pod {
        let mut pod = Pod::new(uid, "shop", uid, Arc::new(PodSpec::default()));
        pod.labels = [("app", app)].into_iter().collect();
        pod.node = Some("n1".into());
        pod
    }

    #[test]
    fn what_pods_have_in_common_is_kept_once_and_no_longer_than_they_are() {
        let mut shared = Shared::default();
        let (mut a, mut b) = (pod("a", "web"), pod("b", "web"));
        shared.pod(&mut a);
        shared.pod(&mut b);
        assert_eq!((a.labels.clone(), b.uid.clone()), (pod("a", "web").labels, "b".into()));
        assert!(Arc::ptr_eq(&a.spec, &b.spec) && Arc::ptr_eq(&a.namespace, &b.namespace));
        assert!(a.node.iter().zip(&b.node).all(|(a, b)| Arc::ptr_eq(a, b)));
        let mut also_held_by_the_scheduler = HashSet::new();
        for number in 0..10 * SWEEP_AFTER {
            let mut pod = pod(&format!("p{number}"), &format!("app-{number}"));
            pod.spec = Arc::new(PodSpec { scheduler_name: format!("s{number}").into(), ..PodSpec::default() });
            shared.pod(&mut pod);
            also_held_by_the_scheduler.insert(pod.spec.clone());
        }
        assert!(shared.len() < 6 * SWEEP_AFTER, "{}", shared.len());
        assert!(shared.labels.contains(&a.labels) && shared.names.contains("shop"));
    }
}
