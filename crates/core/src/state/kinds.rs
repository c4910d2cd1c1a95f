//! Kinds of pods: pods on nodes that are alike in all by which other pods choose their company.
//!
//! Spreading and affinity between pods ask for namespace, labels, and the affinities that a pod has itself. Pods alike
//! in these count as so many of one kind, so that a rule is matched once a kind and not once a pod.

use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

use crate::object::{Labels, Pod, PodSpec};

/// The number of a kind, never given to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct KindId(u64);

/// What pods of one kind have in common.
#[derive(Debug, Clone)]
pub(crate) struct PodKind {
    pub(crate) namespace: Arc<str>,
    pub(crate) labels: Labels,
    /// Whether their deletion was asked for.
    pub(crate) terminating: bool,
    /// Their spec, if it has affinities to pods.
    pub(crate) choosy: Option<Arc<PodSpec>>,
}

impl PodKind {
    /// The kind of a pod.
    pub(crate) fn of(pod: &Pod) -> PodKind {
        PodKind {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            terminating: pod.terminating,
            choosy: (!pod.spec.pod_affinities.is_empty()).then(|| pod.spec.clone()),
        }
    }

    fn spec_address(&self) -> usize {
        self.choosy.as_ref().map_or(0, |spec| Arc::as_ptr(spec).addr())
    }

    fn chooses_namespaces(&self) -> bool {
        self.choosy.iter().flat_map(|spec| spec.pod_affinities.terms()).any(|term| term.namespace_selector.is_some())
    }
}

// Specs are compared by address: pods of a template share theirs, and two kinds that could be one do no harm.
impl PartialEq for PodKind {
    fn eq(&self, other: &PodKind) -> bool {
        self.spec_address() == other.spec_address()
            && self.terminating == other.terminating
            && self.namespace == other.namespace
            && self.labels == other.labels
    }
}

impl Eq for PodKind {}

impl Hash for PodKind {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.namespace.hash(hasher);
        self.labels.hash(hasher);
        self.terminating.hash(hasher);
        self.spec_address().hash(hasher);
    }
}

/// The kinds of which there are pods on known nodes.
#[derive(Debug, Default)]
pub(crate) struct PodKinds {
    kinds: BTreeMap<KindId, (Arc<PodKind>, usize)>,
    by_kind: HashMap<Arc<PodKind>, KindId>,
    /// Those with affinities to pods, which have a say on the pods that come.
    choosy: BTreeMap<KindId, Arc<PodKind>>,
    /// How many of these choose namespaces by label.
    by_namespace: usize,
    /// Label keys that their affinities ask for, each as often as a term asks for it.
    asked: HashMap<Arc<str>, usize>,
    last: u64,
}

impl PodKinds {
    /// A pod comes to a known node: its kind.
    pub(super) fn enter(&mut self, pod: &Pod) -> KindId {
        let kind = PodKind::of(pod);
        if let Some(&id) = self.by_kind.get(&kind) {
            if let Some((_, pods)) = self.kinds.get_mut(&id) {
                *pods += 1;
            }
            return id;
        }
        self.last += 1;
        let (id, kind) = (KindId(self.last), Arc::new(kind));
        if let Some(spec) = &kind.choosy {
            for key in asked(spec) {
                *self.asked.entry(key.into()).or_default() += 1;
            }
            self.by_namespace += usize::from(kind.chooses_namespaces());
            self.choosy.insert(id, kind.clone());
        }
        self.by_kind.insert(kind.clone(), id);
        self.kinds.insert(id, (kind, 1));
        id
    }

    /// A pod of the kind leaves.
    pub(super) fn leave(&mut self, id: KindId) {
        let Some((_, pods)) = self.kinds.get_mut(&id) else { return };
        *pods -= 1;
        if *pods > 0 {
            return;
        }
        let Some((kind, _)) = self.kinds.remove(&id) else { return };
        self.by_kind.remove(&kind);
        let Some(spec) = &kind.choosy else { return };
        self.choosy.remove(&id);
        self.by_namespace -= usize::from(kind.chooses_namespaces());
        for key in asked(spec) {
            if let Some(terms) = self.asked.get_mut(key) {
                *terms -= 1;
                if *terms == 0 {
                    self.asked.remove(key);
                }
            }
        }
    }

    /// Kinds that came after the given one, all of them or only those with affinities to pods.
    pub(crate) fn after(&self, id: KindId, choosy: bool) -> impl Iterator<Item = (KindId, &Arc<PodKind>)> {
        let range = (Bound::Excluded(id), Bound::Unbounded);
        let all = (!choosy).then(|| self.kinds.range(range).map(|(id, (kind, _))| (*id, kind)));
        let some = choosy.then(|| self.choosy.range(range).map(|(id, kind)| (*id, kind)));
        all.into_iter().flatten().chain(some.into_iter().flatten())
    }

    /// The kind that came last.
    pub(crate) fn last(&self) -> KindId {
        KindId(self.last)
    }

    /// Whether there are pods of the kind.
    pub(crate) fn contains(&self, id: KindId) -> bool {
        self.kinds.contains_key(&id)
    }

    /// Whether any pod has affinities to pods.
    pub(crate) fn any_choosy(&self) -> bool {
        !self.choosy.is_empty()
    }

    /// Whether any of them chooses namespaces by label.
    pub(crate) fn any_by_namespace(&self) -> bool {
        self.by_namespace > 0
    }

    /// Whether an affinity of a pod that is there asks for labels of this key.
    pub(crate) fn asks_for(&self, key: &str) -> bool {
        self.asked.contains_key(key)
    }
}

/// Label keys that the affinities of a spec ask for.
fn asked(spec: &PodSpec) -> impl Iterator<Item = &str> {
    let selectors = spec.pod_affinities.terms().filter_map(|term| term.selector.as_ref());
    selectors.flat_map(|selector| selector.requirements().iter().map(augur_notation::Requirement::key))
}
