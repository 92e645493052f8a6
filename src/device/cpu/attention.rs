//! Attention of rows to keys and values in panels: those of a cache, or those of the window itself.
//!
//! The keys of a head are stored in panels of [`KEYS`] keys, dimension after dimension; its values in panels of
//! [`COLUMNS`] dimensions, entry after entry. Both products can then use [`super::tile`].

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::memory::{SharedSlice, with_scratch};
use super::pointwise::exponentials;
use super::tile::{PanelTile, ROWS};
use crate::device::kernels::CacheShape;

/// Keys in a panel.
pub const KEYS: usize = 48;
/// Dimensions of the values in a panel.
pub const COLUMNS: usize = 32;

/// The layout of one head's keys or values.
#[derive(Debug, Clone, Copy)]
pub enum HeadLayout {
    Keys { len: usize, head_dim: usize },
    Values { len: usize, head_dim: usize },
}

impl HeadLayout {
    pub fn keys(shape: CacheShape) -> Self {
        HeadLayout::Keys { len: shape.len, head_dim: shape.head_dim }
    }

    pub fn values(shape: CacheShape) -> Self {
        HeadLayout::Values { len: shape.len, head_dim: shape.head_dim }
    }

    /// Returns the number of f32 values that a head takes.
    pub fn size(self) -> usize {
        match self {
            HeadLayout::Keys { len, head_dim } => len.next_multiple_of(KEYS) * head_dim,
            HeadLayout::Values { len, head_dim } => head_dim.next_multiple_of(COLUMNS) * len,
        }
    }

    /// Writes the key or the value of an entry.
    #[inline(always)]
    pub fn write(self, to: &mut [f32], at: usize, entry: &[f32]) {
        match self {
            HeadLayout::Keys { head_dim, .. } => {
                let panel = to[at / KEYS * KEYS * head_dim + at % KEYS..].iter_mut().step_by(KEYS);
                panel.zip(entry).for_each(|(to, &value)| *to = value);
            }
            HeadLayout::Values { len, .. } => {
                for (panel, columns) in entry.chunks(COLUMNS).enumerate() {
                    to[(panel * len + at) * COLUMNS..][..columns.len()].copy_from_slice(columns);
                }
            }
        }
    }

    /// Copies entries of one head to another head of the same slice.
    pub fn copy(self, all: &mut [f32], from: usize, to: usize, entries: &Range<usize>) {
        let (from, to) = (from * self.size(), to * self.size());
        match self {
            HeadLayout::Keys { head_dim, .. } => {
                for panel in entries.start / KEYS..entries.end.div_ceil(KEYS) {
                    let first = entries.start.saturating_sub(panel * KEYS);
                    let end = KEYS.min(entries.end - panel * KEYS);
                    for dimension in 0..head_dim {
                        let at = (panel * head_dim + dimension) * KEYS;
                        all.copy_within(from + at + first..from + at + end, to + at + first);
                    }
                }
            }
            HeadLayout::Values { len, .. } => {
                for at in (0..self.size()).step_by(len * COLUMNS) {
                    let (first, end) = (at + entries.start * COLUMNS, at + entries.end * COLUMNS);
                    all.copy_within(from + first..from + end, to + first);
                }
            }
        }
    }
}

/// Returns the scratch values that a [`QueryGroup`] needs.
pub fn scratch_len(attended: usize, head_dim: usize) -> usize {
    ROWS * (attended.next_multiple_of(KEYS) + head_dim)
}

/// Up to [`ROWS`] query rows of one head that attend to the same entries.
pub struct QueryGroup<'a> {
    /// The queries, the first at the start and each next one `stride` later.
    pub q: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub head_dim: usize,
    pub keys: &'a [f32],
    pub values: &'a [f32],
    /// Entries that the head has room for.
    pub len: usize,
    /// Entries that the rows attend to, from the first one on.
    pub attended: usize,
    pub scratch: &'a mut [f32],
}

impl QueryGroup<'_> {
    /// Computes the attention, and calls `put` with the row, the first dimension, and the values from there on.
    #[inline(always)]
    pub fn attend<S: Simd>(mut self, simd: S, mut put: impl FnMut(usize, usize, &[f32])) {
        let totals = self.exponential_scores(simd);
        let QueryGroup { rows, head_dim, values, len, attended, scratch, .. } = self;
        let padded = attended.next_multiple_of(KEYS);
        let scores = &scratch[..ROWS * padded];
        for (panel, w) in values.chunks_exact(COLUMNS * len).enumerate() {
            let mut sums = [[0f32; COLUMNS]; ROWS];
            let w = &w[..attended * COLUMNS];
            let to = sums.as_flattened_mut();
            PanelTile::<COLUMNS> {
                x: scores,
                stride: padded,
                rows,
                w,
                sums: to,
                sums_stride: COLUMNS,
                fresh: true,
            }
            .add(simd);
            let columns = COLUMNS.min(head_dim - panel * COLUMNS);
            for (row, (sums, total)) in sums.iter_mut().zip(totals).enumerate().take(rows) {
                sums.iter_mut().for_each(|sum| *sum /= total);
                put(row, panel * COLUMNS, &sums[..columns]);
            }
        }
    }

    /// Computes the attention weights, and calls `put` with the row and the weights of all attended entries, which sum to
    /// 1.
    #[inline(always)]
    pub fn weights<S: Simd>(mut self, simd: S, mut put: impl FnMut(usize, &[f32])) {
        let totals = self.exponential_scores(simd);
        let padded = self.attended.next_multiple_of(KEYS);
        let weights = self.scratch.chunks_exact_mut(padded);
        for (row, (weights, total)) in weights.zip(totals).enumerate().take(self.rows) {
            let weights = &mut weights[..self.attended];
            weights.iter_mut().for_each(|weight| *weight /= total);
            put(row, weights);
        }
    }

    /// Writes the exponentials of all scores to the start of the scratch, row after row, and returns their sums.
    #[inline(always)]
    fn exponential_scores<S: Simd>(&mut self, simd: S) -> [f32; ROWS] {
        let QueryGroup { q, stride, rows, head_dim, keys, attended, ref mut scratch, .. } = *self;
        let scale = (head_dim as f32).powf(-0.5);
        let padded = attended.next_multiple_of(KEYS);
        let (scores, queries) = scratch.split_at_mut(ROWS * padded);
        for (to, from) in queries.chunks_exact_mut(head_dim).zip(q.chunks(stride)).take(rows) {
            to.iter_mut().zip(from).for_each(|(to, q)| *to = q * scale);
        }
        for (panel, w) in keys.chunks_exact(KEYS * head_dim).take(padded / KEYS).enumerate() {
            let sums = &mut scores[panel * KEYS..];
            PanelTile::<KEYS> {
                x: queries,
                stride: head_dim,
                rows,
                w,
                sums,
                sums_stride: padded,
                fresh: true,
            }
            .add(simd);
        }
        let mut totals = [1f32; ROWS];
        for (total, scores) in totals.iter_mut().zip(scores.chunks_exact_mut(padded)).take(rows) {
            scores[attended..].fill(f32::NEG_INFINITY);
            *total = simd.vectorize(ExponentialScores(scores));
        }
        totals
    }
}

struct ExponentialScores<'a>(&'a mut [f32]);

impl WithSimd for ExponentialScores<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        exponentials(simd, self.0)
    }
}

/// Computes the attention of every row of `qkv`, `[rows, 3 × width]`, to every row, into `y`, `[rows, width]`.
pub fn full(qkv: &[f32], y: &mut [f32], rows: usize, heads: usize, head_dim: usize) {
    let (arch, width) = (Arch::new(), heads * head_dim);
    assert!(qkv.len() == rows * 3 * width && y.len() == rows * width, "attention: shapes do not match");
    // Enough pieces to keep all threads busy to the end. Each piece packs its head's keys and values again.
    let pieces = (3 * rayon::current_num_threads()).div_ceil(heads);
    let piece = rows.div_ceil(pieces).next_multiple_of(ROWS);
    let pieces = rows.div_ceil(piece);
    let y = SharedSlice::new(y);
    (0..heads * pieces).into_par_iter().with_max_len(1).for_each(|task| {
        let (head, first) = (task / pieces, task % pieces * piece);
        let count = piece.min(rows - first);
        let len = rows;
        let scratch = HeadLayout::Keys { len, head_dim }.size()
            + HeadLayout::Values { len, head_dim }.size()
            + scratch_len(len, head_dim);
        with_scratch(scratch, |scratch| {
            let column = head * head_dim;
            arch.dispatch(HeadPiece { qkv, y, rows, width, head_dim, column, first, count, scratch });
        });
    });
}

/// Some query rows of one head against all of its keys and values.
struct HeadPiece<'a> {
    qkv: &'a [f32],
    y: SharedSlice<'a>,
    rows: usize,
    width: usize,
    head_dim: usize,
    column: usize,
    first: usize,
    count: usize,
    scratch: &'a mut [f32],
}

impl WithSimd for HeadPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let HeadPiece { qkv, y, rows, width, head_dim, column, first, count, scratch } = self;
        let (len, attended) = (rows, rows);
        let layouts = (HeadLayout::Keys { len, head_dim }, HeadLayout::Values { len, head_dim });
        let (keys, scratch) = scratch.split_at_mut(layouts.0.size());
        let (values, scratch) = scratch.split_at_mut(layouts.1.size());
        for (at, row) in qkv.chunks_exact(3 * width).enumerate() {
            layouts.0.write(keys, at, &row[width + column..][..head_dim]);
            layouts.1.write(values, at, &row[2 * width + column..][..head_dim]);
        }
        for row in (first..first + count).step_by(ROWS) {
            let rows = ROWS.min(first + count - row);
            let (q, stride) = (&qkv[row * 3 * width + column..], 3 * width);
            let (keys, values, scratch) = (&*keys, &*values, &mut *scratch);
            QueryGroup { q, stride, rows, head_dim, keys, values, len, attended, scratch }.attend(
                simd,
                |r, dimension, attended| {
                    // SAFETY: only this piece writes these rows and columns.
                    let to = unsafe { y.slice((row + r) * width + column + dimension, attended.len()) };
                    to.copy_from_slice(attended);
                },
            );
        }
    }
}
