//! The walk of eight trees at once by AVX2: the one place of this crate with unsafe code.
//!
//! A register holds a node of each of eight trees. A row's codes stay in one register (two or four for rows of 32 or 64 bytes),
//! so that fetching each tree's code is a shuffle; only the nodes come from memory, and those of the first three levels not even
//! by index. Four rows are under way at once to hide the latency of the fetches.

#![expect(unsafe_code, reason = "vector instructions and gathers; each use says why it is sound")]

use std::arch::x86_64::{
    __m256, __m256i, _mm_loadu_si128, _mm256_add_ps, _mm256_and_si256, _mm256_blendv_ps, _mm256_broadcastsi128_si256,
    _mm256_castps_si256, _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_i32gather_epi32, _mm256_i32gather_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_mul_ps, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32, _mm256_storeu_ps, _mm256_sub_epi32, _mm256_xor_si256,
};

use crate::predict::{BLOCK, Spread, add_lanes};
use crate::tree::{Group, LANES};

/// Rows under way at once.
const WIDE: usize = 4;

/// Adds all trees up, as the portable code does. False when this machine or these rows need the portable code.
pub(crate) fn sums(groups: &[Group], codes: &[u8], stride: usize, out: &mut [f32]) -> bool {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return false;
    }
    // SAFETY: AVX2 was detected on the line above.
    unsafe {
        match stride {
            16 => all::<16, 1>(groups, codes, out),
            32 => all::<32, 2>(groups, codes, out),
            64 => all::<64, 4>(groups, codes, out),
            _ => return false,
        }
    }
    true
}

/// As [`sums`], with squares and weights of leaves.
pub(crate) fn spreads(groups: &[Group], codes: &[u8], stride: usize, out: &mut [[f32; 3]]) -> bool {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return false;
    }
    // SAFETY: AVX2 was detected on the line above.
    unsafe {
        match stride {
            16 => all_spreads::<16, 1>(groups, codes, out),
            32 => all_spreads::<32, 2>(groups, codes, out),
            64 => all_spreads::<64, 4>(groups, codes, out),
            _ => return false,
        }
    }
    true
}

#[target_feature(enable = "avx2")]
fn all_spreads<const STRIDE: usize, const PARTS: usize>(groups: &[Group], codes: &[u8], out: &mut [[f32; 3]]) {
    let mut lanes: [Spread; BLOCK] = [[[0.0; LANES]; 3]; BLOCK];
    for (codes, out) in codes.chunks(BLOCK * STRIDE).zip(out.chunks_mut(BLOCK)) {
        lanes.fill([[0.0; LANES]; 3]);
        let (rows, _) = codes.as_chunks::<STRIDE>();
        for group in groups {
            let (fours, rest) = rows.as_chunks::<WIDE>();
            let (four_sums, rest_sums) = lanes[..rows.len()].as_chunks_mut::<WIDE>();
            for (rows, sums) in fours.iter().zip(four_sums) {
                spread::<STRIDE, PARTS, WIDE>(group, rows, sums);
            }
            for (row, sums) in rest.iter().zip(rest_sums) {
                spread::<STRIDE, PARTS, 1>(group, std::array::from_ref(row), std::array::from_mut(sums));
            }
        }
        for (sums, lanes) in out.iter_mut().zip(&lanes) {
            *sums = [add_lanes(&lanes[0]), add_lanes(&lanes[1]), add_lanes(&lanes[2])];
        }
    }
}

#[target_feature(enable = "avx2")]
#[inline]
fn spread<const STRIDE: usize, const PARTS: usize, const ROWS: usize>(
    group: &Group,
    rows: &[[u8; STRIDE]; ROWS],
    sums: &mut [Spread; ROWS],
) {
    let at = leaves::<STRIDE, PARTS, ROWS>(group, rows);
    for row in 0..ROWS {
        // SAFETY: as in `leaves`; `values` and `covers` are as long as `words`.
        let (values, covers) = unsafe {
            let values = _mm256_i32gather_ps::<4>(group.values.as_ptr(), at[row]);
            (values, _mm256_i32gather_ps::<4>(group.covers.as_ptr(), at[row]))
        };
        add(&mut sums[row][0], values);
        add(&mut sums[row][1], _mm256_mul_ps(values, values));
        add(&mut sums[row][2], covers);
    }
}

/// `PARTS` registers of 16 codes hold a row of `STRIDE` bytes.
#[target_feature(enable = "avx2")]
fn all<const STRIDE: usize, const PARTS: usize>(groups: &[Group], codes: &[u8], out: &mut [f32]) {
    let mut lanes = [[0f32; LANES]; BLOCK];
    for (codes, out) in codes.chunks(BLOCK * STRIDE).zip(out.chunks_mut(BLOCK)) {
        lanes.fill([0.0; LANES]);
        let (rows, _) = codes.as_chunks::<STRIDE>();
        for group in groups {
            let (fours, rest) = rows.as_chunks::<WIDE>();
            let (four_sums, rest_sums) = lanes[..rows.len()].as_chunks_mut::<WIDE>();
            for (rows, sums) in fours.iter().zip(four_sums) {
                walk::<STRIDE, PARTS, WIDE>(group, rows, sums);
            }
            for (row, sums) in rest.iter().zip(rest_sums) {
                walk::<STRIDE, PARTS, 1>(group, std::array::from_ref(row), std::array::from_mut(sums));
            }
        }
        for (sum, lanes) in out.iter_mut().zip(&lanes) {
            *sum = add_lanes(lanes);
        }
    }
}

/// Some rows through the trees of one group.
#[target_feature(enable = "avx2")]
#[inline]
fn walk<const STRIDE: usize, const PARTS: usize, const ROWS: usize>(
    group: &Group,
    rows: &[[u8; STRIDE]; ROWS],
    sums: &mut [[f32; LANES]; ROWS],
) {
    let at = leaves::<STRIDE, PARTS, ROWS>(group, rows);
    for row in 0..ROWS {
        // SAFETY: as in `leaves`; `values` is as long as `words`.
        let leaves = unsafe { _mm256_i32gather_ps::<4>(group.values.as_ptr(), at[row]) };
        add(&mut sums[row], leaves);
    }
}

/// The leaves that some rows come to in the trees of one group.
#[target_feature(enable = "avx2")]
#[inline]
fn leaves<const STRIDE: usize, const PARTS: usize, const ROWS: usize>(
    group: &Group,
    rows: &[[u8; STRIDE]; ROWS],
) -> [__m256i; ROWS] {
    let codes: [[__m256i; PARTS]; ROWS] = std::array::from_fn(|row| load::<STRIDE, PARTS>(&rows[row]));
    let top: [__m256i; 7] = std::array::from_fn(|position| words(&group.top[position]));
    let child = _mm256_set1_epi32(0xFFFF);

    // Level 0 has one node for each tree, level 1 two to choose from, level 2 four.
    let mut at = [_mm256_setzero_si256(); ROWS];
    for row in 0..ROWS {
        let first = goes_right(top[0], &codes[row]);
        let node = choose(top[1], top[2], first);
        let second = goes_right(node, &codes[row]);
        let node = choose(choose(top[3], top[4], second), choose(top[5], top[6], second), first);
        let third = goes_right(node, &codes[row]);
        at[row] = _mm256_sub_epi32(_mm256_and_si256(node, child), third);
    }
    let nodes = group.words.as_ptr().cast::<i32>();
    for _ in 3..group.depth {
        for row in 0..ROWS {
            // SAFETY: every index is a child named by a node of this group, and `Group` holds only children within `words`
            // (`tree::pack` numbers them, `Group::finish` fills the empty lanes).
            let node = unsafe { _mm256_i32gather_epi32::<4>(nodes, at[row]) };
            let right = goes_right(node, &codes[row]);
            at[row] = _mm256_sub_epi32(_mm256_and_si256(node, child), right);
        }
    }
    at
}

/// All bits of a lane set where the row's code is above the node's threshold. Both have their highest bit flipped, which makes
/// the signed comparison order them as unsigned; the threshold's lower bytes are filled, so that only the highest byte decides.
#[target_feature(enable = "avx2")]
#[inline]
fn goes_right<const PARTS: usize>(node: __m256i, codes: &[__m256i; PARTS]) -> __m256i {
    // The slot is moved to the highest byte; what the lower bytes then pick does not matter.
    let pick = _mm256_slli_epi32::<8>(node);
    let code = match PARTS {
        1 => _mm256_shuffle_epi8(codes[0], pick),
        2 => either(codes[0], codes[1], pick),
        _ => {
            let (low, high) = (either(codes[0], codes[1], pick), either(codes[2], codes[3], pick));
            // Bit 5 of the slot says which half.
            let half = _mm256_slli_epi32::<2>(pick);
            blend(low, high, half)
        }
    };
    let threshold = _mm256_or_si256(node, _mm256_set1_epi32(0x00FF_FFFF));
    _mm256_cmpgt_epi32(code, threshold)
}

/// A code out of 32: bit 4 of the slot says which register.
#[target_feature(enable = "avx2")]
#[inline]
fn either(low: __m256i, high: __m256i, pick: __m256i) -> __m256i {
    let which = _mm256_slli_epi32::<3>(pick);
    blend(_mm256_shuffle_epi8(low, pick), _mm256_shuffle_epi8(high, pick), which)
}

/// Lanes of `high` where the highest bit of `which` is set, of `low` elsewhere.
#[target_feature(enable = "avx2")]
#[inline]
fn blend(low: __m256i, high: __m256i, which: __m256i) -> __m256i {
    let blended = _mm256_blendv_ps(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high), _mm256_castsi256_ps(which));
    _mm256_castps_si256(blended)
}

/// Lanes of `right` where `mask` is set, of `left` elsewhere.
#[target_feature(enable = "avx2")]
#[inline]
fn choose(left: __m256i, right: __m256i, mask: __m256i) -> __m256i {
    _mm256_xor_si256(left, _mm256_and_si256(_mm256_xor_si256(left, right), mask))
}

/// A row's codes with their highest bits flipped, each 16 of them twice in a register.
#[target_feature(enable = "avx2")]
#[inline]
fn load<const STRIDE: usize, const PARTS: usize>(row: &[u8; STRIDE]) -> [__m256i; PARTS] {
    let flip = _mm256_set1_epi8(-128);
    let (parts, _) = row.as_chunks::<16>();
    std::array::from_fn(|part| {
        // SAFETY: a part has 16 bytes, and the load needs no alignment.
        let codes = unsafe { _mm_loadu_si128(parts[part].as_ptr().cast()) };
        _mm256_xor_si256(_mm256_broadcastsi128_si256(codes), flip)
    })
}

#[target_feature(enable = "avx2")]
#[inline]
fn words(words: &[u32; LANES]) -> __m256i {
    // SAFETY: the array has 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[target_feature(enable = "avx2")]
#[inline]
fn add(sums: &mut [f32; LANES], values: __m256) {
    // SAFETY: the array has 32 bytes, and neither load nor store needs alignment.
    unsafe {
        let sum = _mm256_add_ps(_mm256_loadu_ps(sums.as_ptr()), values);
        _mm256_storeu_ps(sums.as_mut_ptr(), sum);
    }
}
