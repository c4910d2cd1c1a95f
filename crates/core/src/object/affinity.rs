//! Affinity to nodes and to pods, and rules of spreading, as a pod states them.

use std::sync::Arc;

use augur_notation::{LabelSelector, Operator, Requirement, SelectorError};

use super::Labels;

/// Affinity to nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NodeAffinity {
    /// One of these must match; `None` if nothing is required. An empty list matches nothing.
    pub required: Option<Vec<NodeSelectorTerm>>,
    /// What matches of these is added to a node's score.
    pub preferred: Vec<PreferredNodeTerm>,
}

/// Conditions on a node that must all hold. Without any it matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct NodeSelectorTerm {
    /// On labels.
    expressions: Vec<Requirement>,
    /// On the name: whether it must be (or must not be) the given one.
    names: Vec<(bool, Arc<str>)>,
    /// Why the term cannot be read, with the path in it. Such a term matches nothing.
    error: Option<String>,
}

/// A term with its worth.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PreferredNodeTerm {
    /// 1 to 100; a term of 0 does not count.
    pub weight: i32,
    /// The term.
    pub term: NodeSelectorTerm,
}

impl NodeSelectorTerm {
    /// The term of the given `matchExpressions` and `matchFields`, each as key, operator and values.
    #[must_use]
    pub fn new<'a>(
        match_expressions: impl IntoIterator<Item = (&'a str, &'a str, Vec<&'a str>)>,
        match_fields: impl IntoIterator<Item = (&'a str, &'a str, Vec<&'a str>)>,
    ) -> NodeSelectorTerm {
        let mut term = NodeSelectorTerm::default();
        for (index, (key, operator, values)) in match_expressions.into_iter().enumerate() {
            let read =
                Operator::of_node_selector(operator).and_then(|operator| Requirement::new(key, operator, values));
            match read {
                Ok(requirement) => term.expressions.push(requirement),
                Err(error) => term.refuse("matchExpressions", index, &error),
            }
        }
        for (index, (key, operator, values)) in match_fields.into_iter().enumerate() {
            match (key, operator, values.as_slice()) {
                ("metadata.name", "In" | "NotIn", [name]) => term.names.push((operator == "In", (*name).into())),
                _ => {
                    let place = format!("matchFields[{index}]: {key} {operator} is not a legal field selector");
                    term.error.get_or_insert(place);
                }
            }
        }
        term
    }

    fn refuse(&mut self, list: &str, index: usize, error: &SelectorError) {
        self.error.get_or_insert(format!("{list}[{index}].{error}"));
    }

    /// Whether a node of this name and these labels matches.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &Labels) -> bool {
        !self.is_empty()
            && self.error.is_none()
            && self.expressions.iter().all(|requirement| requirement.matches(|key| labels.get(key)))
            && self.names.iter().all(|(is, wanted)| (&**wanted == name) == *is)
    }

    /// Whether it has no conditions, so that it matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.expressions.is_empty() && self.names.is_empty() && self.error.is_none()
    }

    /// The names of which a node must have one, if the term pins names. Contradicting pins leave none.
    #[must_use]
    pub fn pinned_names(&self) -> Option<Vec<Arc<str>>> {
        let mut pinned = self.names.iter().filter(|(is, _)| *is).map(|(_, name)| name);
        let first = pinned.next()?;
        Some(if pinned.all(|name| name == first) { vec![first.clone()] } else { Vec::new() })
    }

    /// Why the term cannot be read, with the path in it.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Whether the term asks for the name of the node or the label of this key, so that nodes alike in all other
    /// labels may differ.
    #[must_use]
    pub fn tells_apart(&self, key: &str) -> bool {
        !self.names.is_empty() || self.expressions.iter().any(|requirement| requirement.key() == key)
    }
}

/// Affinity to pods and away from them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PodAffinities {
    /// Pods of which one must be in the node's domain, for each term.
    pub required: Vec<PodAffinityTerm>,
    /// Pods of which none may be in the node's domain.
    pub required_anti: Vec<PodAffinityTerm>,
    /// Pods that make a domain more liked.
    pub preferred: Vec<PreferredPodTerm>,
    /// Pods that make a domain less liked.
    pub preferred_anti: Vec<PreferredPodTerm>,
}

impl PodAffinities {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.required.is_empty()
            && self.required_anti.is_empty()
            && self.preferred.is_empty()
            && self.preferred_anti.is_empty()
    }

    /// All terms.
    pub fn terms(&self) -> impl Iterator<Item = &PodAffinityTerm> {
        let preferred = self.preferred.iter().chain(&self.preferred_anti).map(|preference| &preference.term);
        self.required.iter().chain(&self.required_anti).chain(preferred)
    }
}

/// Which pods in which domains.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodAffinityTerm {
    /// Labels of the pods; `None` selects no pod, an empty selector all.
    pub selector: Option<LabelSelector>,
    /// Namespaces by name. If both ways are empty, the pod's own.
    pub namespaces: Vec<Arc<str>>,
    /// Namespaces by label.
    pub namespace_selector: Option<LabelSelector>,
    /// The label whose value is a node's domain.
    pub topology_key: Arc<str>,
}

/// A term with its worth.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PreferredPodTerm {
    /// 1 to 100.
    pub weight: i32,
    /// The term.
    pub term: PodAffinityTerm,
}

/// What happens when pods cannot be spread as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WhenUnsatisfiable {
    /// The pod waits.
    DoNotSchedule,
    /// The node scores less.
    ScheduleAnyway,
}

/// A rule of spreading pods over domains.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpreadConstraint {
    /// The label whose value is a node's domain.
    pub topology_key: Arc<str>,
    /// How far counts may be apart.
    pub max_skew: i32,
    /// What happens when they would be further apart.
    pub when_unsatisfiable: WhenUnsatisfiable,
    /// Which pods are counted; `None` selects no pod.
    pub selector: Option<LabelSelector>,
    /// Below this number of domains the smallest count is taken for zero.
    pub min_domains: Option<i32>,
    /// Whether nodes that the pod's node affinity excludes are left out (`nodeAffinityPolicy: Honor`).
    pub honor_node_affinity: bool,
    /// Whether nodes with taints that the pod does not tolerate are left out (`nodeTaintsPolicy: Honor`).
    pub honor_taints: bool,
}
