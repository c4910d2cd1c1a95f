//! Prediction of many rows: [`sums`] walks all trees and adds their leaves up.
//!
//! Lane `k` adds the trees that are the k-th of their groups, and the eight lanes are then added pairwise; the portable and
//! the AVX2 path do so in the same order, so their results are equal to the last bit.

use crate::tree::{Group, LANES, Word};

/// Rows walked through one group before the next: their codes and sums stay in the first-level cache beside the nodes.
pub(crate) const BLOCK: usize = 64;

/// Which code walks the trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Whatever is fastest on this machine.
    Fastest,
    /// The code that runs everywhere.
    Portable,
}

/// The sum of all trees' leaves for each row. `out` is as long as there are rows.
pub(crate) fn sums(groups: &[Group], codes: &[u8], stride: usize, path: Path, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if path == Path::Fastest && crate::predict_avx2::sums(groups, codes, stride, out) {
        return;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = path;
    portable(groups, codes, stride, out);
}

/// What eight lanes of trees say of a row: sums of leaves, of their squares, and of their weights.
pub(crate) type Spread = [[f32; LANES]; 3];

/// As [`sums`], with the squares and the weights of leaves beside: what [`crate::Forest::support`] rests on.
pub(crate) fn spreads(groups: &[Group], codes: &[u8], stride: usize, path: Path, out: &mut [[f32; 3]]) {
    #[cfg(target_arch = "x86_64")]
    if path == Path::Fastest && crate::predict_avx2::spreads(groups, codes, stride, out) {
        return;
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = path;
    match stride {
        16 => portable_spreads::<16>(groups, codes, out),
        32 => portable_spreads::<32>(groups, codes, out),
        64 => portable_spreads::<64>(groups, codes, out),
        128 => portable_spreads::<128>(groups, codes, out),
        _ => portable_spreads::<256>(groups, codes, out),
    }
}

fn portable_spreads<const STRIDE: usize>(groups: &[Group], codes: &[u8], out: &mut [[f32; 3]]) {
    let (rows, _) = codes.as_chunks::<STRIDE>();
    for (row, out) in rows.iter().zip(out) {
        let mut lanes: Spread = [[0.0; LANES]; 3];
        for group in groups {
            for (lane, at) in leaves(group, row).into_iter().enumerate() {
                let of = |values: &[f32]| values.get(at as usize).copied().unwrap_or(0.0);
                let value = of(&group.values);
                lanes[0][lane] += value;
                lanes[1][lane] += value * value;
                lanes[2][lane] += of(&group.covers);
            }
        }
        *out = [add_lanes(&lanes[0]), add_lanes(&lanes[1]), add_lanes(&lanes[2])];
    }
}

/// Adds eight lanes in the order that a vector register does: 4 apart, 2 apart, 1 apart.
pub(crate) fn add_lanes(lanes: &[f32; LANES]) -> f32 {
    let four = [lanes[0] + lanes[4], lanes[1] + lanes[5], lanes[2] + lanes[6], lanes[3] + lanes[7]];
    let two = [four[0] + four[2], four[1] + four[3]];
    two[0] + two[1]
}

fn portable(groups: &[Group], codes: &[u8], stride: usize, out: &mut [f32]) {
    match stride {
        16 => portable_of::<16>(groups, codes, out),
        32 => portable_of::<32>(groups, codes, out),
        64 => portable_of::<64>(groups, codes, out),
        128 => portable_of::<128>(groups, codes, out),
        _ => portable_of::<256>(groups, codes, out),
    }
}

fn portable_of<const STRIDE: usize>(groups: &[Group], codes: &[u8], out: &mut [f32]) {
    let mut lanes = [[0f32; LANES]; BLOCK];
    for (codes, out) in codes.chunks(BLOCK * STRIDE).zip(out.chunks_mut(BLOCK)) {
        lanes.fill([0.0; LANES]);
        let (rows, _) = codes.as_chunks::<STRIDE>();
        for group in groups {
            for (row, sums) in rows.iter().zip(&mut lanes) {
                walk(group, row, sums);
            }
        }
        for (sum, lanes) in out.iter_mut().zip(&lanes) {
            *sum = add_lanes(lanes);
        }
    }
}

/// One row through the eight trees of a group.
fn walk<const STRIDE: usize>(group: &Group, row: &[u8; STRIDE], sums: &mut [f32; LANES]) {
    for (sum, at) in sums.iter_mut().zip(leaves(group, row)) {
        *sum += group.values.get(at as usize).copied().unwrap_or(0.0);
    }
}

/// The leaves that a row comes to in the eight trees of a group, level by level, so that eight fetches are under way at once.
#[inline]
fn leaves<const STRIDE: usize>(group: &Group, row: &[u8; STRIDE]) -> [u32; LANES] {
    let mut at = [0u32; LANES];
    for (at, root) in at.iter_mut().zip(group.roots) {
        *at = u32::from(root);
    }
    for _ in 0..group.depth {
        for at in &mut at {
            let word = group.words.get(*at as usize).copied().unwrap_or(Word(0));
            let code = row[word.slot() & (STRIDE - 1)];
            *at = word.left() as u32 + u32::from(code > word.threshold());
        }
    }
    at
}
