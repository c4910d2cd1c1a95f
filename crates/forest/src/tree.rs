//! Trees as they are grown and imported ([`TreeNode`]), and as they are walked ([`Group`]): nodes of four bytes, eight trees
//! to a group so that one vector register holds a node of each.

use crate::error::ForestError;

/// A node as a trainer or importer makes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TreeNode {
    /// Slot whose code is compared.
    pub slot: u8,
    /// The largest code that goes left, below 255.
    pub threshold: u8,
    /// Index of the left child; the right one is the next. 0 says that this is a leaf.
    pub left: u32,
    /// A leaf's value: the mean of its labels, or what it adds to the log-odds.
    pub value: f32,
    /// The weight of the rows that came here in training, or 0 when unknown.
    pub cover: f32,
    /// What the split gained in training, 0 for leaves.
    pub gain: f32,
    /// The least value that keeps the forest monotone.
    pub lower: f32,
    /// The greatest value that keeps the forest monotone.
    pub upper: f32,
}

impl TreeNode {
    /// A leaf of that value.
    #[must_use]
    pub fn leaf(value: f32, cover: f32) -> Self {
        let (lower, upper) = (f32::NEG_INFINITY, f32::INFINITY);
        Self { slot: 0, threshold: 0, left: 0, value, cover, gain: 0.0, lower, upper }
    }
}

/// The bounds of a value that may be any number.
const FREE: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
/// Trees in a group.
pub(crate) const LANES: usize = 8;
/// The top levels that are walked without fetching from memory by index.
pub(crate) const TOP: usize = 7;
/// The raw threshold that no code exceeds: it marks leaves.
const NEVER: u8 = 255;
/// Nodes in a group, because a child is named by two bytes.
const GROUP_NODES: usize = 1 << 16;
/// The longest way from a root to a leaf.
const MAX_DEPTH: usize = 4_096;

/// A packed node. Bits 0-15: left child (the right one follows; a leaf names itself); 16-23: slot; 24-31: threshold with its
/// highest bit flipped, so that a signed comparison orders codes that had theirs flipped too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Word(pub u32);

impl Word {
    fn split(slot: u8, threshold: u8, left: u16) -> Self {
        Self(u32::from(threshold ^ 0x80) << 24 | u32::from(slot) << 16 | u32::from(left))
    }

    fn leaf(own: u16) -> Self {
        Self::split(0, NEVER, own)
    }

    pub fn slot(self) -> usize {
        (self.0 >> 16 & 0xFF) as usize
    }

    pub fn threshold(self) -> u8 {
        (self.0 >> 24) as u8 ^ 0x80
    }

    pub fn left(self) -> usize {
        (self.0 & 0xFFFF) as usize
    }

    pub fn is_leaf(self) -> bool {
        self.threshold() == NEVER
    }
}

/// Up to eight trees. Nodes of a tree are in breadth-first order, so that what is walked most shares cache lines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// Index of each lane's first node.
    pub roots: [u16; LANES],
    /// How many lanes hold trees; the others hold a leaf of 0.
    pub trees: usize,
    /// The longest way from a root to a leaf.
    pub depth: usize,
    /// The first three levels in heap order (0; 1, 2; 3 to 6), a word of each lane.
    pub top: [[u32; LANES]; TOP],
    pub words: Vec<Word>,
    /// Values of leaves, by index of the node.
    pub values: Vec<f32>,
    /// Weights of leaves, by index of the node.
    pub covers: Vec<f32>,
    /// Gains of splits, by index of the node.
    pub gains: Vec<f32>,
    /// Bounds of leaves' values, by index of the node; empty when nothing is constrained.
    pub bounds: Vec<(f32, f32)>,
}

/// Packs trees into groups, in their order.
pub(crate) fn pack(trees: &[Vec<TreeNode>], stride: usize) -> Result<Vec<Group>, ForestError> {
    let mut groups: Vec<Group> = Vec::new();
    for (index, tree) in trees.iter().enumerate() {
        let ordered = breadth_first(tree, stride).map_err(|what| ForestError::Data(format!("tree {index}: {what}")))?;
        // One node stays free for the leaf of the empty lanes.
        if ordered.len() >= GROUP_NODES {
            return Err(ForestError::Data(format!(
                "tree {index} has {} nodes; at most {} are supported",
                ordered.len(),
                GROUP_NODES - 1
            )));
        }
        match groups.last_mut() {
            Some(group) if group.trees < LANES && group.words.len() + ordered.len() < GROUP_NODES => {
                group.add(&ordered);
            }
            _ => {
                let mut group = Group::new();
                group.add(&ordered);
                groups.push(group);
            }
        }
    }
    for group in &mut groups {
        group.finish();
    }
    Ok(groups)
}

/// The tree's nodes in breadth-first order with children renumbered; checks that it is a tree.
fn breadth_first(tree: &[TreeNode], stride: usize) -> Result<Vec<TreeNode>, String> {
    let mut order: Vec<(usize, usize)> = vec![(0, 0)];
    let mut out: Vec<TreeNode> = Vec::with_capacity(tree.len());
    let mut at = 0;
    while let Some((index, depth)) = order.get(at).copied() {
        at += 1;
        let mut node = *tree.get(index).ok_or_else(|| format!("node {index} is missing"))?;
        if node.left != 0 {
            let left = node.left as usize;
            if left <= index || depth >= MAX_DEPTH || order.len() >= tree.len() {
                return Err(format!("children of node {index} are out of order or too deep"));
            }
            if usize::from(node.slot) >= stride || node.threshold == NEVER {
                return Err(format!("node {index} tests slot {} for {}", node.slot, node.threshold));
            }
            node.left = order.len() as u32;
            order.push((left, depth + 1));
            order.push((left + 1, depth + 1));
        } else if !node.value.is_finite() {
            return Err(format!("the value of leaf {index} is {}", node.value));
        }
        out.push(node);
    }
    Ok(out)
}

impl Group {
    fn new() -> Self {
        Self {
            roots: [0; LANES],
            trees: 0,
            depth: 0,
            top: [[0; LANES]; TOP],
            words: Vec::new(),
            values: Vec::new(),
            covers: Vec::new(),
            gains: Vec::new(),
            bounds: Vec::new(),
        }
    }

    fn add(&mut self, tree: &[TreeNode]) {
        let base = self.words.len();
        self.roots[self.trees] = base as u16;
        self.trees += 1;
        for (offset, node) in tree.iter().enumerate() {
            self.words.push(if node.left == 0 {
                Word::leaf((base + offset) as u16)
            } else {
                Word::split(node.slot, node.threshold, (base + node.left as usize) as u16)
            });
            let leaf = node.left == 0;
            self.values.push(if leaf { node.value } else { 0.0 });
            self.covers.push(if leaf { node.cover } else { 0.0 });
            self.gains.push(if leaf { 0.0 } else { node.gain });
            self.bounds.push(if leaf { (node.lower, node.upper) } else { FREE });
        }
    }

    /// Fills empty lanes, the top levels and the depth.
    pub fn finish(&mut self) {
        if self.trees < LANES {
            let empty = self.words.len() as u16;
            self.words.push(Word::leaf(empty));
            self.values.push(0.0);
            self.covers.push(0.0);
            self.gains.push(0.0);
            self.bounds.push(FREE);
            for lane in self.trees..LANES {
                self.roots[lane] = empty;
            }
        }
        if self.bounds.iter().all(|bounds| *bounds == FREE) {
            self.bounds = Vec::new();
        }
        for lane in 0..LANES {
            let mut nodes = [usize::from(self.roots[lane]); TOP];
            for parent in 0..TOP / 2 {
                let word = self.word(nodes[parent]);
                // Below a leaf the leaf repeats itself.
                nodes[2 * parent + 1] = word.left();
                nodes[2 * parent + 2] = word.left() + usize::from(!word.is_leaf());
            }
            for (position, node) in nodes.iter().enumerate() {
                self.top[position][lane] = self.word(*node).0;
            }
        }
        // Children come after their parents, so one pass settles all depths.
        let mut depths = vec![0usize; self.words.len()];
        for index in 0..self.words.len() {
            let word = self.words[index];
            if !word.is_leaf() {
                let depth = depths[index] + 1;
                for child in [word.left(), word.left() + 1] {
                    if let Some(slot) = depths.get_mut(child) {
                        *slot = depth;
                    }
                }
            }
        }
        self.depth = depths.into_iter().max().unwrap_or(0);
    }

    /// The nodes of one lane, as [`TreeNode`]s with children counted from its root.
    pub fn unpack(&self, lane: usize) -> Vec<TreeNode> {
        let start = usize::from(self.roots[lane]);
        let mut nodes = Vec::new();
        // As many nodes as the children of those so far.
        let mut end = start + 1;
        while start + nodes.len() < end {
            let index = start + nodes.len();
            let word = self.word(index);
            let mut node = TreeNode::leaf(self.values[index], self.covers[index]);
            if word.is_leaf() {
                (node.lower, node.upper) = self.bounds.get(index).copied().unwrap_or(FREE);
            } else {
                (node.slot, node.threshold) = (word.slot() as u8, word.threshold());
                node.left = (word.left() - start) as u32;
                node.gain = self.gains[index];
                end += 2;
            }
            nodes.push(node);
        }
        nodes
    }

    /// A node; a leaf for an index that does not exist.
    pub fn word(&self, index: usize) -> Word {
        self.words.get(index).copied().unwrap_or(Word(0x7F00_0000))
    }

    /// The leaf that a row of codes comes to in one lane.
    pub fn leaf_of(&self, lane: usize, row: &[u8]) -> usize {
        let mut index = usize::from(self.roots[lane]);
        loop {
            let word = self.word(index);
            if word.is_leaf() {
                return index;
            }
            let code = row.get(word.slot()).copied().unwrap_or(0);
            index = word.left() + usize::from(code > word.threshold());
        }
    }
}
