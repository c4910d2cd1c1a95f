//! Which of many rows has the highest total, kept while totals change one by one: [`Order`].
//!
//! Rows are in the order of their name hashes, cut into chunks; over the chunks stands a tournament tree that knows of
//! every part of the order the highest total and how many rows have it. A change of one total costs a chunk and a path
//! to the root. Among equals the n-th by name hash is found on the way down: where a row stands among its equals depends
//! on names alone, not on when rows came, so that a drawn number chooses alike in a state that was rebuilt.

use crate::state::NodeId;

/// The total of rows that are not to be chosen.
pub(super) const OUT: i64 = i64::MIN;

/// Chunks are split when they hold more rows than this on average.
const CHUNK: usize = 24;

/// The highest total in a part of the order, and how many rows have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Best {
    pub(super) total: i64,
    pub(super) rows: usize,
}

impl Best {
    const NONE: Best = Best { total: OUT, rows: 0 };

    fn or(self, other: Best) -> Best {
        match self.total.cmp(&other.total) {
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Equal => Best { total: self.total, rows: self.rows + other.rows },
        }
    }

    fn if_total(self, total: i64) -> usize {
        if self.total == total { self.rows } else { 0 }
    }
}

/// What an order reads of rows, by their number.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) totals: &'a [i64],
    pub(super) hashes: &'a [u64],
}

/// Some rows with the highest total among them.
#[derive(Debug, Clone)]
pub(super) struct Order {
    /// There are two to this power chunks; a row's is in the first bits of its hash.
    bits: u32,
    /// Rows by hash.
    chunks: Vec<Vec<NodeId>>,
    /// The root is at 1, the parts of part i are at 2i and 2i + 1, and the last half is the chunks.
    tree: Vec<Best>,
    len: usize,
    /// Chunks with rows whose totals changed.
    changed: Vec<u32>,
    all_changed: bool,
}

impl Default for Order {
    fn default() -> Self {
        Order {
            bits: 0,
            chunks: vec![Vec::new()],
            tree: vec![Best::NONE; 2],
            len: 0,
            changed: Vec::new(),
            all_changed: false,
        }
    }
}

impl Order {
    /// The order of the given rows, which are sorted by hash.
    pub(super) fn of(rows: &[NodeId], hashes: &[u64]) -> Order {
        let mut bits = 0;
        while rows.len() >= CHUNK << bits {
            bits += 1;
        }
        let mut left = rows;
        let chunks: Vec<Vec<NodeId>> = (0..1u64 << bits)
            .map(|chunk| {
                let end = left.partition_point(|id| prefix(hashes[id.index()], bits) <= chunk);
                let (here, others) = left.split_at(end);
                left = others;
                here.to_vec()
            })
            .collect();
        let tree = vec![Best::NONE; 2 * chunks.len()];
        Order { bits, chunks, tree, len: rows.len(), changed: Vec::new(), all_changed: true }
    }

    fn chunk(&self, hash: u64) -> usize {
        prefix(hash, self.bits) as usize
    }

    /// Adds a row that is not there.
    pub(super) fn insert(&mut self, id: NodeId, hashes: &[u64]) {
        if self.len >= CHUNK << self.bits {
            self.split(hashes);
        }
        let hash = hashes[id.index()];
        let chunk = self.chunk(hash);
        let at = self.chunks[chunk].partition_point(|other| hashes[other.index()] < hash);
        self.chunks[chunk].insert(at, id);
        self.len += 1;
        self.note(chunk);
    }

    /// Takes a row out. Its hash must be what it was when it came.
    pub(super) fn remove(&mut self, id: NodeId, hash: u64) {
        let chunk = self.chunk(hash);
        if let Some(at) = self.chunks[chunk].iter().position(|other| *other == id) {
            self.chunks[chunk].remove(at);
            self.len -= 1;
            self.note(chunk);
        }
    }

    /// The row's total changed.
    pub(super) fn change(&mut self, hash: u64) {
        self.note(self.chunk(hash));
    }

    fn note(&mut self, chunk: usize) {
        if self.all_changed {
            return;
        }
        // Beyond this it is cheaper to look at everything once.
        self.all_changed = self.changed.len() > self.chunks.len() / 4;
        self.changed.push(chunk as u32);
    }

    fn split(&mut self, hashes: &[u64]) {
        self.bits += 1;
        let old = std::mem::take(&mut self.chunks);
        for chunk in old {
            let half = chunk.partition_point(|id| prefix(hashes[id.index()], self.bits) & 1 == 0);
            let mut low = chunk;
            let high = low.split_off(half);
            self.chunks.push(low);
            self.chunks.push(high);
        }
        self.tree = vec![Best::NONE; 2 * self.chunks.len()];
        self.all_changed = true;
    }

    fn judge(&self, chunk: usize, totals: &[i64]) -> Best {
        let rows = self.chunks[chunk].iter().map(|id| totals[id.index()]).filter(|total| *total != OUT);
        rows.fold(Best::NONE, |best, total| best.or(Best { total, rows: 1 }))
    }

    /// Brings the tree up to date with the totals.
    pub(super) fn settle(&mut self, totals: &[i64]) {
        let chunks = self.chunks.len();
        let mut changed = std::mem::take(&mut self.changed);
        if std::mem::take(&mut self.all_changed) {
            for chunk in 0..chunks {
                self.tree[chunks + chunk] = self.judge(chunk, totals);
            }
            for part in (1..chunks).rev() {
                self.tree[part] = self.tree[2 * part].or(self.tree[2 * part + 1]);
            }
        } else {
            for chunk in changed.iter().map(|chunk| *chunk as usize) {
                let mut part = chunks + chunk;
                let mut best = self.judge(chunk, totals);
                while self.tree[part] != best {
                    self.tree[part] = best;
                    part /= 2;
                    if part == 0 {
                        break;
                    }
                    best = self.tree[2 * part].or(self.tree[2 * part + 1]);
                }
            }
        }
        changed.clear();
        self.changed = changed;
    }

    /// The highest total and how many have it, as of the last [`Order::settle`]. [`OUT`] if nothing can be chosen.
    pub(super) fn best(&self) -> Best {
        self.tree[1]
    }

    /// Rows with the highest total whose hashes begin with the given `level` bits.
    fn best_with(&self, begin: u64, level: u32, rows: Rows<'_>) -> usize {
        let best = self.best().total;
        match level.checked_sub(self.bits) {
            None | Some(0) => self.tree[(1 << level) + begin as usize].if_total(best),
            Some(more) => self.best_in_chunk(begin >> more, begin, level, rows).count(),
        }
    }

    fn best_in_chunk<'a>(
        &'a self,
        chunk: u64,
        begin: u64,
        level: u32,
        rows: Rows<'a>,
    ) -> impl Iterator<Item = NodeId> + 'a {
        let best = self.best().total;
        let chosen = move |id: &NodeId| {
            prefix(rows.hashes[id.index()], level) == begin && rows.totals[id.index()] == best && best != OUT
        };
        self.chunks[chunk as usize].iter().copied().filter(chosen)
    }
}

/// The first bits of a hash.
fn prefix(hash: u64, bits: u32) -> u64 {
    if bits == 0 { 0 } else { hash >> (u64::BITS - bits) }
}

/// Of the rows that have the highest total of their order, over several orders, the n-th by hash.
pub(super) fn nth(orders: &[&Order], mut n: usize, rows: Rows<'_>) -> Option<NodeId> {
    let depth = orders.iter().map(|order| order.bits).max()?;
    let mut begin = 0;
    for level in 1..=depth {
        begin <<= 1;
        let count: usize = orders.iter().map(|order| order.best_with(begin, level, rows)).sum();
        if n >= count {
            n -= count;
            begin |= 1;
        }
    }
    let mut found: Vec<NodeId> = orders
        .iter()
        .flat_map(|order| order.best_in_chunk(begin >> (depth - order.bits), begin, depth, rows))
        .collect();
    if n >= found.len() {
        return None;
    }
    Some(*found.select_nth_unstable_by_key(n, |id| rows.hashes[id.index()]).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::mix;

    proptest! {
        /// After any changes the orders say what looking at every row says.
        #[test]
        fn the_tree_is_as_looking_at_everything(
            steps in prop::collection::vec((0..200usize, 0..3usize, 0..4i64), 1..400), drawn in any::<usize>(),
        ) {
            let hashes: Vec<u64> = (0..200).map(|row| mix(row + 1)).collect();
            let mut totals = vec![OUT; 200];
            let mut place: Vec<Option<usize>> = vec![None; 200];
            let mut orders = vec![Order::default(); 2];
            for (row, to, total) in steps {
                let id = NodeId::of_index(row);
                let to = (to < 2).then_some(to);
                if place[row] != to {
                    if let Some(from) = place[row] {
                        orders[from].remove(id, hashes[row]);
                    }
                    if let Some(to) = to {
                        orders[to].insert(id, &hashes);
                    }
                    place[row] = to;
                }
                totals[row] = if total == 3 { OUT } else { total };
                if let Some(to) = to {
                    orders[to].change(hashes[row]);
                }
                orders.iter_mut().for_each(|order| order.settle(&totals));
                for (index, order) in orders.iter().enumerate() {
                    let of = |row: &usize| place[*row] == Some(index) && totals[*row] != OUT;
                    let best = (0..200).filter(of).map(|row| totals[row]).max();
                    prop_assert_eq!(order.best().total, best.unwrap_or(OUT));
                    let rows = (0..200).filter(of).filter(|row| Some(totals[*row]) == best).count();
                    prop_assert_eq!(order.best().rows, rows);
                }
            }
            let is_best = |row: &usize| place[*row].is_some_and(|of| totals[*row] != OUT && totals[*row] == orders[of].best().total);
            let mut all: Vec<usize> = (0..200).filter(is_best).collect();
            all.sort_by_key(|row| hashes[*row]);
            let both: Vec<&Order> = orders.iter().collect();
            let rows = Rows { totals: &totals, hashes: &hashes };
            if let Some(n) = drawn.checked_rem(all.len()) {
                prop_assert_eq!(nth(&both, n, rows).map(NodeId::index), Some(all[n]));
            }
            prop_assert_eq!(nth(&both, all.len(), rows), None);
        }
    }
}
