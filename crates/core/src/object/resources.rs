//! Amounts of all resources of a node or a pod.

use std::sync::Arc;

use augur_notation::Quantity;

use crate::units::{Bytes, MilliCpu};

/// The name of a resource beyond the three common ones, such as `nvidia.com/gpu` or `hugepages-2Mi`.
pub type ResourceName = Arc<str>;

/// Amounts of resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// CPU.
    pub cpu: MilliCpu,
    /// Memory.
    pub memory: Bytes,
    /// Disk for containers and logs (`ephemeral-storage`).
    pub ephemeral_storage: Bytes,
    /// All other resources but `pods`, by name, each once. Huge pages are in bytes, others in whole units.
    pub scalars: Vec<(ResourceName, i64)>,
}

impl Resources {
    /// From names and amounts as the API lists them; `pods` is left out. Parts of a unit count as whole ones.
    #[must_use]
    pub fn of<'a>(amounts: impl IntoIterator<Item = (&'a str, Quantity)>) -> Resources {
        let mut resources = Resources::default();
        for (name, amount) in amounts {
            match name {
                "cpu" => resources.cpu = MilliCpu(amount.milli()),
                "memory" => resources.memory = Bytes(amount.value()),
                "ephemeral-storage" => resources.ephemeral_storage = Bytes(amount.value()),
                "pods" => {}
                _ => resources.scalars.push((name.into(), amount.value())),
            }
        }
        resources.scalars.sort_by(|a, b| a.0.cmp(&b.0));
        resources.scalars.dedup_by(|a, b| a.0 == b.0);
        resources
    }

    /// The amount of a resource beyond the common ones; 0 if it is not listed.
    #[must_use]
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.iter().find(|(known, _)| &**known == name).map_or(0, |(_, amount)| *amount)
    }
}
