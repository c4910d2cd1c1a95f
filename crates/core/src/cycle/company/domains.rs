//! The domain of every row by topology key, worked out once for all that ask for the key: [`Domains`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::state::{ClusterState, NodeId};

/// Stands for the domain of a node without the label.
const NO_DOMAIN: u32 = u32::MAX;

/// The values of one label, numbered, and which of them every row has.
#[derive(Debug, Default)]
pub(in crate::cycle) struct Column {
    of_row: Vec<u32>,
    values: Vec<Arc<str>>,
}

impl Column {
    fn new(state: &ClusterState, key: &str) -> Column {
        let mut column = Column { of_row: vec![NO_DOMAIN; state.row_count()], values: Vec::new() };
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        for id in state.ids() {
            let Some(value) = state.row(id).node.labels.shared(key) else { continue };
            let number = *numbers.entry(value).or_insert_with(|| {
                column.values.push(value.clone());
                (column.values.len() - 1) as u32
            });
            column.of_row[id.index()] = number;
        }
        column
    }

    /// The domain of the row; none without the label.
    pub(super) fn of(&self, row: usize) -> Option<usize> {
        self.of_row.get(row).filter(|domain| **domain != NO_DOMAIN).map(|domain| *domain as usize)
    }

    /// The value of the label that makes the domain.
    pub(super) fn value(&self, domain: usize) -> &str {
        self.values.get(domain).map_or("", |value| value)
    }

    /// How many domains there are: numbers are below this.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// Columns of the labels that somebody asks for. They go with every change of a label, so that their number is that of
/// the keys in use.
#[derive(Debug, Default)]
pub(in crate::cycle) struct Domains {
    topology: u64,
    columns: HashMap<Arc<str>, Arc<Column>>,
    members: u64,
    hashes: Arc<Vec<u64>>,
    by_name: Arc<Vec<NodeId>>,
}

impl Domains {
    /// The column of the label.
    pub(super) fn column(&mut self, state: &ClusterState, key: &Arc<str>) -> Arc<Column> {
        if self.topology != state.topology() {
            self.topology = state.topology();
            self.columns.clear();
        }
        self.columns.entry(key.clone()).or_insert_with(|| Arc::new(Column::new(state, key))).clone()
    }

    /// The hash of every row's name, shared as long as the set of nodes stands.
    pub(in crate::cycle) fn hashes(&mut self, state: &ClusterState) -> Arc<Vec<u64>> {
        self.refresh(state);
        self.hashes.clone()
    }

    /// All rows by name, shared as long as the set of nodes stands.
    pub(in crate::cycle) fn by_name(&mut self, state: &ClusterState) -> Arc<Vec<NodeId>> {
        self.refresh(state);
        if self.by_name.len() != state.node_count() {
            let mut by_name: Vec<NodeId> = state.ids().collect();
            by_name.sort_unstable_by(|a, b| state.row(*a).node.name.cmp(&state.row(*b).node.name));
            self.by_name = Arc::new(by_name);
        }
        self.by_name.clone()
    }

    fn refresh(&mut self, state: &ClusterState) {
        if self.members != state.members() {
            self.members = state.members();
            let mut hashes = vec![0; state.row_count()];
            state.ids().for_each(|id| hashes[id.index()] = state.name_hash(id));
            self.hashes = Arc::new(hashes);
            self.by_name = Arc::default();
        }
    }
}
