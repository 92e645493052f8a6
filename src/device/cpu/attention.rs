//! Attention of rows to keys and values in panels: those of a cache, or those of the window itself.
//!
//! The keys of a head are stored in panels of several keys, dimension after dimension; its values in panels of several
//! dimensions, entry after entry. Both products can then use [`super::tile`].

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::level::SimdLevel;
use super::memory::{SharedSlice, with_scratch};
use super::pointwise::exponentials;
use super::stored::Stored;
use super::tile::{MAX_ROWS, PanelTile, is_wide, tile_height};
use crate::device::kernels::CacheShape;

/// Values of a key that are converted at a time.
const NARROWED: usize = 64;

/// Columns in the panels of the keys and of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadPanels {
    pub keys: usize,
    pub values: usize,
}

impl HeadPanels {
    pub fn of(level: SimdLevel) -> Self {
        Self::with_lanes(level.lanes())
    }

    const fn with_lanes(lanes: usize) -> Self {
        match lanes {
            // A head of 64 dimensions fills panels of 32, but not of 48.
            4 | 16 => HeadPanels { keys: 48, values: 32 },
            _ => HeadPanels { keys: 16, values: 16 },
        }
    }
}

/// The layout of one head's keys or values.
#[derive(Debug, Clone, Copy)]
pub enum HeadLayout {
    Keys { len: usize, head_dim: usize, panel: usize },
    Values { len: usize, head_dim: usize, panel: usize },
}

impl HeadLayout {
    pub fn keys(level: SimdLevel, CacheShape { len, head_dim, .. }: CacheShape) -> Self {
        HeadLayout::Keys { len, head_dim, panel: HeadPanels::of(level).keys }
    }

    pub fn values(level: SimdLevel, CacheShape { len, head_dim, .. }: CacheShape) -> Self {
        HeadLayout::Values { len, head_dim, panel: HeadPanels::of(level).values }
    }

    /// Returns the number of f32 values that a head takes.
    pub fn size(self) -> usize {
        match self {
            HeadLayout::Keys { len, head_dim, panel } => len.next_multiple_of(panel) * head_dim,
            HeadLayout::Values { len, head_dim, panel } => head_dim.next_multiple_of(panel) * len,
        }
    }

    /// Writes the key or the value of an entry.
    #[inline(always)]
    pub fn write<T: Stored>(self, to: &mut [T], at: usize, entry: &[f32]) {
        match self {
            HeadLayout::Keys { head_dim, panel, .. } => {
                let mut column = to[at / panel * panel * head_dim + at % panel..].iter_mut().step_by(panel);
                for entry in entry.chunks(NARROWED) {
                    let mut narrow = [T::default(); NARROWED];
                    T::narrow(entry, &mut narrow[..entry.len()]);
                    column.by_ref().zip(&narrow[..entry.len()]).for_each(|(to, &value)| *to = value);
                }
            }
            HeadLayout::Values { len, panel, .. } => {
                for (index, columns) in entry.chunks(panel).enumerate() {
                    T::narrow(columns, &mut to[(index * len + at) * panel..][..columns.len()]);
                }
            }
        }
    }

    /// Copies entries of one head to another head of the same slice.
    pub fn copy<T: Stored>(self, all: &mut [T], from: usize, to: usize, entries: &Range<usize>) {
        let (from, to) = (from * self.size(), to * self.size());
        match self {
            HeadLayout::Keys { head_dim, panel, .. } => {
                for index in entries.start / panel..entries.end.div_ceil(panel) {
                    let first = entries.start.saturating_sub(index * panel);
                    let end = panel.min(entries.end - index * panel);
                    for dimension in 0..head_dim {
                        let at = (index * head_dim + dimension) * panel;
                        all.copy_within(from + at + first..from + at + end, to + at + first);
                    }
                }
            }
            HeadLayout::Values { len, panel, .. } => {
                for at in (0..self.size()).step_by(len * panel) {
                    let (first, end) = (at + entries.start * panel, at + entries.end * panel);
                    all.copy_within(from + first..from + end, to + first);
                }
            }
        }
    }
}

/// Returns the scratch values that a [`QueryGroup`] needs.
pub fn scratch_len(level: SimdLevel, attended: usize, head_dim: usize) -> usize {
    MAX_ROWS * (attended.next_multiple_of(HeadPanels::of(level).keys) + head_dim)
}

/// Up to [`MAX_ROWS`] query rows of one head that attend to the same entries.
pub struct QueryGroup<'a, T> {
    /// The queries, the first at the start and each next one `stride` later.
    pub q: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub head_dim: usize,
    pub keys: &'a [T],
    pub values: &'a [T],
    /// Entries that the head has room for.
    pub len: usize,
    /// Entries that the rows attend to, from the first one on.
    pub attended: usize,
    pub scratch: &'a mut [f32],
}

impl<T: Stored> QueryGroup<'_, T> {
    /// Computes the attention, and calls `put` with the row, the first dimension, and the values from there on.
    #[inline(always)]
    pub fn attend<S: Simd>(self, simd: S, put: impl FnMut(usize, usize, &[f32])) {
        if const { is_wide(S::F32_LANES) } {
            self.attend_in_panels::<S, 48, 32>(simd, put);
        } else {
            self.attend_in_panels::<S, 16, 16>(simd, put);
        }
    }

    /// As [`attend`](Self::attend), with panels of `K` keys and of `C` dimensions.
    #[inline(always)]
    fn attend_in_panels<S: Simd, const K: usize, const C: usize>(
        mut self,
        simd: S,
        mut put: impl FnMut(usize, usize, &[f32]),
    ) {
        debug_assert_eq!(HeadPanels::with_lanes(S::F32_LANES).values, C);
        let totals = self.exponential_scores::<S, K>(simd);
        let QueryGroup { rows, head_dim, values, len, attended, scratch, .. } = self;
        let padded = attended.next_multiple_of(K);
        let scores = &scratch[..MAX_ROWS * padded];
        for (panel, w) in values.chunks_exact(C * len).enumerate() {
            let mut sums = [[0f32; C]; MAX_ROWS];
            let w = &w[..attended * C];
            let to = sums.as_flattened_mut();
            PanelTile::<T, C> { x: scores, stride: padded, rows, w, sums: to, sums_stride: C, fresh: true }
                .add(simd);
            let columns = C.min(head_dim - panel * C);
            for (row, (sums, total)) in sums.iter_mut().zip(totals).enumerate().take(rows) {
                sums.iter_mut().for_each(|sum| *sum /= total);
                put(row, panel * C, &sums[..columns]);
            }
        }
    }

    /// Computes the attention weights, and calls `put` with the row and the weights of all attended entries, which sum to
    /// 1.
    #[inline(always)]
    pub fn weights<S: Simd>(mut self, simd: S, mut put: impl FnMut(usize, &[f32])) {
        let totals = if const { is_wide(S::F32_LANES) } {
            self.exponential_scores::<S, 48>(simd)
        } else {
            self.exponential_scores::<S, 16>(simd)
        };
        let padded = self.attended.next_multiple_of(const { HeadPanels::with_lanes(S::F32_LANES).keys });
        let weights = self.scratch.chunks_exact_mut(padded);
        for (row, (weights, total)) in weights.zip(totals).enumerate().take(self.rows) {
            let weights = &mut weights[..self.attended];
            weights.iter_mut().for_each(|weight| *weight /= total);
            put(row, weights);
        }
    }

    /// Writes the exponentials of all scores to the start of the scratch, row after row, and returns their sums.
    #[inline(always)]
    fn exponential_scores<S: Simd, const K: usize>(&mut self, simd: S) -> [f32; MAX_ROWS] {
        debug_assert_eq!(HeadPanels::with_lanes(S::F32_LANES).keys, K);
        let QueryGroup { q, stride, rows, head_dim, keys, attended, ref mut scratch, .. } = *self;
        let scale = (head_dim as f32).powf(-0.5);
        let padded = attended.next_multiple_of(K);
        let (scores, queries) = scratch.split_at_mut(MAX_ROWS * padded);
        for (to, from) in queries.chunks_exact_mut(head_dim).zip(q.chunks(stride)).take(rows) {
            to.iter_mut().zip(from).for_each(|(to, q)| *to = q * scale);
        }
        for (panel, w) in keys.chunks_exact(K * head_dim).take(padded / K).enumerate() {
            let sums = &mut scores[panel * K..];
            let (x, stride, sums_stride) = (&*queries, head_dim, padded);
            PanelTile::<T, K> { x, stride, rows, w, sums, sums_stride, fresh: true }.add(simd);
        }
        let mut totals = [1f32; MAX_ROWS];
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
pub fn full(level: SimdLevel, qkv: &[f32], y: &mut [f32], rows: usize, heads: usize, head_dim: usize) {
    let width = heads * head_dim;
    assert!(qkv.len() == rows * 3 * width && y.len() == rows * width, "attention: shapes do not match");
    // Enough pieces to keep all threads busy to the end. Each piece packs its head's keys and values again.
    let pieces = (3 * rayon::current_num_threads()).div_ceil(heads);
    let piece = rows.div_ceil(pieces).next_multiple_of(tile_height(level.lanes(), rows));
    let pieces = rows.div_ceil(piece);
    let y = SharedSlice::new(y);
    (0..heads * pieces).into_par_iter().with_max_len(1).for_each(|task| {
        let (head, first) = (task / pieces, task % pieces * piece);
        let count = piece.min(rows - first);
        let shape = CacheShape { slots: 1, heads, len: rows, head_dim };
        let layouts = (HeadLayout::keys(level, shape), HeadLayout::values(level, shape));
        let scratch = layouts.0.size() + layouts.1.size() + scratch_len(level, rows, head_dim);
        with_scratch(scratch, |scratch| {
            let column = head * head_dim;
            level.dispatch(HeadPiece {
                qkv,
                y,
                layouts,
                rows,
                width,
                head_dim,
                column,
                first,
                count,
                scratch,
            });
        });
    });
}

/// Some query rows of one head against all of its keys and values.
struct HeadPiece<'a> {
    qkv: &'a [f32],
    y: SharedSlice<'a>,
    /// Those of the keys and of the values.
    layouts: (HeadLayout, HeadLayout),
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
        let HeadPiece { qkv, y, layouts, rows, width, head_dim, column, first, count, scratch } = self;
        let (len, attended) = (rows, rows);
        let (keys, scratch) = scratch.split_at_mut(layouts.0.size());
        let (values, scratch) = scratch.split_at_mut(layouts.1.size());
        for (at, row) in qkv.chunks_exact(3 * width).enumerate() {
            layouts.0.write(keys, at, &row[width + column..][..head_dim]);
            layouts.1.write(values, at, &row[2 * width + column..][..head_dim]);
        }
        let tile = tile_height(S::F32_LANES, count);
        for row in (first..first + count).step_by(tile) {
            let rows = tile.min(first + count - row);
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
