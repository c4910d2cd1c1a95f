//! Taints of nodes and what pods tolerate.

use std::sync::Arc;

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Keeps pods away.
    NoSchedule,
    /// Makes the node less liked.
    PreferNoSchedule,
    /// Keeps pods away, and ends those that are there.
    NoExecute,
    /// Something that does not exist; it does nothing.
    Unknown,
}

impl Effect {
    /// The effect of this name.
    #[must_use]
    pub fn of(name: &str) -> Effect {
        match name {
            "NoSchedule" => Effect::NoSchedule,
            "PreferNoSchedule" => Effect::PreferNoSchedule,
            "NoExecute" => Effect::NoExecute,
            _ => Effect::Unknown,
        }
    }

    /// Whether it keeps pods away that do not tolerate it.
    #[must_use]
    pub fn is_hard(self) -> bool {
        matches!(self, Effect::NoSchedule | Effect::NoExecute)
    }
}

/// A taint of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taint {
    /// Key.
    pub key: Arc<str>,
    /// Value; may be empty.
    pub value: Arc<str>,
    /// Effect.
    pub effect: Effect,
}

/// How a toleration compares values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum TolerationOperator {
    /// The values are equal; also when the object leaves the operator out.
    #[default]
    Equal,
    /// Any value.
    Exists,
    /// An operator that is not available; it tolerates nothing.
    Unknown,
}

/// What a pod tolerates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Toleration {
    /// Key; empty for all.
    pub key: Arc<str>,
    /// How values are compared.
    pub operator: TolerationOperator,
    /// Value.
    pub value: Arc<str>,
    /// Effect; none for all.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it covers the taint.
    #[must_use]
    pub fn covers(&self, key: &str, value: &str, effect: Effect) -> bool {
        self.effect.is_none_or(|own| own == effect)
            && (self.key.is_empty() || &*self.key == key)
            && match self.operator {
                TolerationOperator::Equal => &*self.value == value,
                TolerationOperator::Exists => true,
                TolerationOperator::Unknown => false,
            }
    }

    /// Whether one of the tolerations covers the taint.
    #[must_use]
    pub fn any_covers(tolerations: &[Toleration], taint: &Taint) -> bool {
        tolerations.iter().any(|toleration| toleration.covers(&taint.key, &taint.value, taint.effect))
    }
}
