//! The domain of every row by topology key, worked out once for all that ask for the key: [`Domains`].

use std::collections::HashMap;
use std::sync::Arc;

use crate::state::{ClusterState, HOSTNAME, NodeId};

/// Fewer rows than this are taken as they come.
const SMALL: usize = 64;

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
    by_hash: Arc<Vec<NodeId>>,
    /// Rows that changed, and a bit for each row.
    changed: Vec<NodeId>,
    marks: Vec<u64>,
    /// Whether every row has a host name, as long as the topology stands.
    hosts: Option<Arc<Vec<bool>>>,
}

impl Domains {
    /// The column of the label.
    pub(super) fn column(&mut self, state: &ClusterState, key: &Arc<str>) -> Arc<Column> {
        self.keep_topology(state);
        self.columns.entry(key.clone()).or_insert_with(|| Arc::new(Column::new(state, key))).clone()
    }

    /// Whether each row has a host name.
    pub(super) fn hosts(&mut self, state: &ClusterState) -> Arc<Vec<bool>> {
        self.keep_topology(state);
        let has_host = |index| state.row(NodeId::of_index(index)).node.labels.get(HOSTNAME).is_some();
        self.hosts.get_or_insert_with(|| Arc::new((0..state.row_count()).map(has_host).collect())).clone()
    }

    fn keep_topology(&mut self, state: &ClusterState) {
        if self.topology != state.topology() {
            self.topology = state.topology();
            self.columns.clear();
            self.hosts = None;
        }
    }

    /// The rows, each once and in order, so that memory is read in order too.
    pub(in crate::cycle) fn each_once<'i>(&mut self, ids: impl Iterator<Item = &'i NodeId>, rows: usize) -> &[NodeId] {
        self.changed.clear();
        self.changed.extend(ids);
        if self.changed.len() > SMALL {
            self.marks.resize(rows.div_ceil(64), 0);
            for id in self.changed.drain(..) {
                self.marks[id.index() / 64] |= 1 << (id.index() % 64);
            }
            for (word, mark) in self.marks.iter_mut().enumerate() {
                while *mark != 0 {
                    self.changed.push(NodeId::of_index(64 * word + mark.trailing_zeros() as usize));
                    *mark &= *mark - 1;
                }
            }
        }
        &self.changed
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

    /// All rows by the hash of their names, shared as long as the set of nodes stands.
    pub(in crate::cycle) fn by_hash(&mut self, state: &ClusterState) -> Arc<Vec<NodeId>> {
        self.refresh(state);
        if self.by_hash.len() != state.node_count() {
            let mut by_hash: Vec<NodeId> = state.ids().collect();
            by_hash.sort_unstable_by_key(|id| state.name_hash(*id));
            self.by_hash = Arc::new(by_hash);
        }
        self.by_hash.clone()
    }

    fn refresh(&mut self, state: &ClusterState) {
        if self.members != state.members() {
            self.members = state.members();
            let mut hashes = vec![0; state.row_count()];
            state.ids().for_each(|id| hashes[id.index()] = state.name_hash(id));
            self.hashes = Arc::new(hashes);
            self.by_name = Arc::default();
            self.by_hash = Arc::default();
        }
    }
}
