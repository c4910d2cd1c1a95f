//! Growing one tree from rows of codes, each with a weight and a target that are packed into one number.
//!
//! Rows lie side by side with their targets and are physically parted at each split, so that every pass reads memory in
//! order; nodes are finished depth first, so that small ones stay in the cache. Sums are whole numbers and thus exact.

use crate::bins::{BinnedRows, Bins};
use crate::random::Random;
use crate::train::split::{Best, Histogram, best_split};
use crate::tree::TreeNode;

/// A row's weight (upper half) and weight times target (lower half, signed), in the units of [`Target`]. Such numbers add up
/// like pairs as long as both sums stay below 2^31, which the units see to.
pub(crate) type Packed = u64;

pub(crate) fn pack(weight: u32, product: i32) -> Packed {
    (u64::from(weight) << 32).wrapping_add(i64::from(product) as u64)
}

/// The sums of weights and of products.
pub(crate) fn unpack(packed: Packed) -> (u32, i32) {
    let product = packed as u32 as i32;
    ((packed.wrapping_sub(i64::from(product) as u64) >> 32) as u32, product)
}

/// Units of packed numbers: how much one of weight, and one of weight times target, stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Units {
    pub weight: f64,
    pub product: f64,
}

/// What a tree may look like.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub max_depth: usize,
    /// The least weight of a leaf, in packed units.
    pub min_weight: u32,
    /// The fewest rows of a leaf.
    pub min_rows: usize,
    /// Columns tried at each node.
    pub mtry: usize,
    /// Added to weights in values and gains, in packed units.
    pub lambda: f32,
    /// The least gain of a split, in packed units of product squared by weight.
    pub min_gain: f32,
    /// A node whose rows all have the same target stays a leaf; the sum of products of such a node.
    pub pure_targets: bool,
}

/// A column that can be split on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its slot; a missing value is above all numbers there.
    pub slot: u8,
    /// True when the next slot has missing values below all numbers.
    pub missing: bool,
    /// How many codes it has, the missing one left out.
    pub codes: usize,
    /// 1 when the prediction must not fall as the value rises, -1 when it must not rise, 0 when it may do both.
    pub monotone: i8,
}

/// The columns of a schema.
pub(crate) fn columns(bins: &Bins, monotone: &[i8]) -> Vec<Column> {
    let slots = bins.slots();
    let high = slots.iter().enumerate().filter(|(_, s)| !s.missing_low);
    high.map(|(index, slot)| Column {
        slot: index as u8,
        missing: slots.get(index + 1).is_some_and(|next| next.missing_low),
        codes: usize::from(slot.edges) + 1,
        monotone: monotone.get(usize::from(slot.feature)).copied().unwrap_or(0),
    })
    .collect()
}

/// Memory that is used for one tree after another.
#[derive(Default)]
pub(crate) struct Workspace {
    codes: [Vec<u8>; 2],
    targets: [Vec<Packed>; 2],
    histograms: Vec<Histogram>,
}

struct Open {
    node: usize,
    start: usize,
    end: usize,
    depth: usize,
    side: usize,
    total: Packed,
    lower: f32,
    upper: f32,
}

/// Grows a tree from the rows whose target is not 0 in weight. `targets` has one number for each row.
/// A leaf's value is its sum of products by its sum of weights (and lambda), in units of one product by one weight.
pub(crate) fn grow(
    rows: &BinnedRows,
    targets: &[Packed],
    columns: &[Column],
    shape: &Shape,
    random: &mut Random,
    work: &mut Workspace,
) -> Vec<TreeNode> {
    match rows.stride() {
        16 => grow_of::<16>(rows, targets, columns, shape, random, work),
        32 => grow_of::<32>(rows, targets, columns, shape, random, work),
        64 => grow_of::<64>(rows, targets, columns, shape, random, work),
        128 => grow_of::<128>(rows, targets, columns, shape, random, work),
        _ => grow_of::<256>(rows, targets, columns, shape, random, work),
    }
}

fn grow_of<const STRIDE: usize>(
    rows: &BinnedRows,
    targets: &[Packed],
    columns: &[Column],
    shape: &Shape,
    random: &mut Random,
    work: &mut Workspace,
) -> Vec<TreeNode> {
    let (codes, _) = rows.codes().as_chunks::<STRIDE>();
    let Workspace { codes: sides, targets: packed, histograms } = work;
    // Room for every row on both sides, and one row more: parting writes each row to both ends before it knows which holds.
    for side in sides.iter_mut() {
        side.resize((codes.len() + 1) * STRIDE, 0);
    }
    for side in packed.iter_mut() {
        side.resize(codes.len() + 1, 0);
    }
    let [first, second] = sides;
    let mut sides = [first.as_chunks_mut::<STRIDE>().0, second.as_chunks_mut::<STRIDE>().0];
    let [first, second] = packed;
    let mut packed = [first.as_mut_slice(), second.as_mut_slice()];
    let (mut count, mut total) = (0, 0u64);
    for (row, target) in codes.iter().zip(targets) {
        sides[0][count] = *row;
        packed[0][count] = *target;
        count += usize::from(*target >> 32 != 0);
        total = total.wrapping_add(*target);
    }

    let mut order: Vec<usize> = (0..columns.len()).collect();
    let mut nodes = vec![TreeNode::leaf(0.0, 0.0)];
    let (lower, upper) = (f32::NEG_INFINITY, f32::INFINITY);
    let mut open = vec![Open { node: 0, start: 0, end: count, depth: 0, side: 0, total, lower, upper }];
    while let Some(at) = open.pop() {
        let (weight, product) = unpack(at.total);
        let value = (product as f32 / (weight as f32 + shape.lambda)).clamp(at.lower, at.upper);
        if let Some(node) = nodes.get_mut(at.node) {
            *node = TreeNode { lower: at.lower, upper: at.upper, ..TreeNode::leaf(value, weight as f32) };
        }
        let pure = shape.pure_targets && (product == 0 || product as u32 == weight);
        let small = (at.end - at.start) < 2 * shape.min_rows || (weight as f64) < 2.0 * f64::from(shape.min_weight);
        if pure || small || at.depth >= shape.max_depth {
            continue;
        }
        let here = &sides[at.side][at.start..at.end];
        let sums = &packed[at.side][at.start..at.end];
        let Some(best) = search(here, sums, columns, &mut order, shape, &at, random, histograms) else {
            continue;
        };
        let column = columns[best.column];
        let (slot, threshold) = match best.missing_left {
            // The slot with missing values below counts every number one up.
            true => (column.slot + 1, best.threshold + 1),
            false => (column.slot, best.threshold),
        };
        let middle = part(&mut sides, &mut packed, &at, usize::from(slot), threshold);
        if middle - at.start < shape.min_rows || at.end - middle < shape.min_rows {
            continue;
        }
        let left = nodes.len();
        if let Some(node) = nodes.get_mut(at.node) {
            (node.slot, node.threshold, node.left, node.gain) = (slot, threshold, left as u32, best.gain);
        }
        nodes.extend([TreeNode::leaf(0.0, 0.0); 2]);
        let bounds = child_bounds(&at, &best, column.monotone, shape.lambda);
        let side = 1 - at.side;
        let (start, end, depth) = (at.start, at.end, at.depth + 1);
        let right = at.total.wrapping_sub(best.left);
        let ((l, u), (rl, ru)) = bounds;
        open.push(Open { node: left + 1, start: middle, end, depth, side, total: right, lower: rl, upper: ru });
        open.push(Open { node: left, start, end: middle, depth, side, total: best.left, lower: l, upper: u });
    }
    nodes
}

/// Tries columns in random order: `mtry` of them, and more as long as none of these can be split.
#[expect(clippy::too_many_arguments, reason = "all of it is the state of one loop")]
fn search<const STRIDE: usize>(
    rows: &[[u8; STRIDE]],
    targets: &[Packed],
    columns: &[Column],
    order: &mut [usize],
    shape: &Shape,
    at: &Open,
    random: &mut Random,
    histograms: &mut Vec<Histogram>,
) -> Option<Best> {
    let mut best: Option<Best> = None;
    let mut tried = 0;
    while tried < order.len() && (best.is_none() || tried < shape.mtry) {
        let wanted = if tried == 0 { shape.mtry.clamp(1, order.len()) } else { 1 };
        for next in tried..tried + wanted {
            let swap = next + random.below((order.len() - next) as u32) as usize;
            order.swap(next, swap);
        }
        let chosen = &order[tried..tried + wanted];
        if histograms.len() < wanted {
            histograms.resize_with(wanted, Histogram::default);
        }
        fill(rows, targets, columns, chosen, histograms);
        for (index, histogram) in chosen.iter().zip(histograms.iter_mut()) {
            best_split(histogram, &columns[*index], *index, at.total, (at.lower, at.upper), shape, &mut best);
        }
        tried += wanted;
    }
    best
}

/// Adds the rows up by code, for four columns in one pass over them.
fn fill<const STRIDE: usize>(
    rows: &[[u8; STRIDE]],
    targets: &[Packed],
    columns: &[Column],
    chosen: &[usize],
    histograms: &mut [Histogram],
) {
    let slot = |index: usize| usize::from(columns[index].slot) & (STRIDE - 1);
    for (chosen, histograms) in chosen.chunks(4).zip(histograms.chunks_mut(4)) {
        for (index, histogram) in chosen.iter().zip(histograms.iter_mut()) {
            histogram.clear(columns[*index].codes);
        }
        match (chosen, histograms) {
            ([a, b, c, d], [ha, hb, hc, hd]) => {
                let (a, b, c, d) = (slot(*a), slot(*b), slot(*c), slot(*d));
                for (row, target) in rows.iter().zip(targets) {
                    ha.add(row[a], *target);
                    hb.add(row[b], *target);
                    hc.add(row[c], *target);
                    hd.add(row[d], *target);
                }
            }
            (chosen, histograms) => {
                for (index, histogram) in chosen.iter().zip(histograms) {
                    let slot = slot(*index);
                    for (row, target) in rows.iter().zip(targets) {
                        histogram.add(row[slot], *target);
                    }
                }
            }
        }
    }
}

/// Parts the node's rows onto the other side: those that go left from the start on, the others from the end back.
fn part<const STRIDE: usize>(
    sides: &mut [&mut [[u8; STRIDE]]; 2],
    packed: &mut [&mut [Packed]; 2],
    at: &Open,
    slot: usize,
    threshold: u8,
) -> usize {
    let [zero, one] = sides;
    let (from, into) = if at.side == 0 { (&**zero, &mut **one) } else { (&**one, &mut **zero) };
    let [zero, one] = packed;
    let (from_packed, into_packed) = if at.side == 0 { (&**zero, &mut **one) } else { (&**one, &mut **zero) };
    let from = &from[at.start..at.end];
    let from_packed = &from_packed[at.start..at.end];
    let into = &mut into[at.start..at.end];
    let into_packed = &mut into_packed[at.start..at.end];
    let slot = slot & (STRIDE - 1);
    let mut left = 0;
    for (done, (row, target)) in from.iter().zip(from_packed).enumerate() {
        let goes_left = row[slot] <= threshold;
        // Places left from the end: as many as rows went right so far.
        let right = into.len() - 1 - (done - left);
        let place = if goes_left { left } else { right };
        into[place] = *row;
        into_packed[place] = *target;
        left += usize::from(goes_left);
    }
    at.start + left
}

/// Bounds of the two children: under a constraint, the middle between their values parts them.
fn child_bounds(at: &Open, best: &Best, monotone: i8, lambda: f32) -> ((f32, f32), (f32, f32)) {
    let both = (at.lower, at.upper);
    if monotone == 0 {
        return (both, both);
    }
    let value = |packed: Packed| {
        let (weight, product) = unpack(packed);
        (product as f32 / (weight as f32 + lambda)).clamp(at.lower, at.upper)
    };
    let middle = (value(best.left) + value(at.total.wrapping_sub(best.left))) / 2.0;
    if monotone > 0 { ((at.lower, middle), (middle, at.upper)) } else { ((middle, at.upper), (at.lower, middle)) }
}
