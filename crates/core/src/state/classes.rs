//! Node classes: nodes alike in labels, taints, cordon and declared features, so that what only depends on these is
//! judged once a class and not once a node.

use std::collections::HashMap;
use std::sync::Arc;

use crate::object::{Labels, Node, Taint};

/// The label that differs on every node and is therefore left out of classes. Who asks for it asks node by node.
pub(crate) const HOSTNAME: &str = "kubernetes.io/hostname";

/// A class's number. Numbers of classes without nodes are used again, with a new serial.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ClassId(u32);

impl ClassId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    labels: Labels,
    taints: Vec<Taint>,
    unschedulable: bool,
    declared_features: Vec<Arc<str>>,
}

#[derive(Debug, Default)]
struct Class {
    key: Option<Arc<Key>>,
    nodes: usize,
    serial: u64,
}

/// All classes that have nodes.
#[derive(Debug, Default)]
pub(crate) struct Classes {
    classes: Vec<Class>,
    by_key: HashMap<Arc<Key>, ClassId>,
    free: Vec<ClassId>,
    serial: u64,
}

impl Classes {
    /// The class of the node, which it joins.
    pub(crate) fn enter(&mut self, node: &Node) -> ClassId {
        let key = Key {
            labels: node.labels.without(HOSTNAME),
            taints: node.taints.clone(),
            unschedulable: node.unschedulable,
            declared_features: node.declared_features.clone(),
        };
        if let Some(&id) = self.by_key.get(&key) {
            self.classes[id.index()].nodes += 1;
            return id;
        }
        let key = Arc::new(key);
        self.serial += 1;
        let class = Class { key: Some(key.clone()), nodes: 1, serial: self.serial };
        let id = match self.free.pop() {
            Some(id) => {
                self.classes[id.index()] = class;
                id
            }
            None => {
                self.classes.push(class);
                ClassId((self.classes.len() - 1) as u32)
            }
        };
        self.by_key.insert(key, id);
        id
    }

    /// A node leaves the class.
    pub(crate) fn leave(&mut self, id: ClassId) {
        let Some(class) = self.classes.get_mut(id.index()) else { return };
        class.nodes = class.nodes.saturating_sub(1);
        if class.nodes == 0
            && let Some(key) = class.key.take()
        {
            self.by_key.remove(&key);
            self.free.push(id);
        }
    }

    /// Numbers given out so far: indexes are below this.
    pub(crate) fn len(&self) -> usize {
        self.classes.len()
    }

    /// Tells one class from a later one of the same number.
    pub(crate) fn serial(&self, id: ClassId) -> u64 {
        self.classes.get(id.index()).map_or(0, |class| class.serial)
    }
}
