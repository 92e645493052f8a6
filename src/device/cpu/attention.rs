//! Attention of rows to keys and values that lie in panels: those of a cache, or a window's own.
//!
//! Of one head, keys are panels of [`KEYS`] keys, dimension after dimension; values are panels of
//! [`COLUMNS`] dimensions, key after key. Both products are then those of [`super::tile`].

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::memory::{Shared, with_scratch};
use super::pointwise::exponentials;
use super::tile::{ROWS, Tile};

/// Keys of a panel.
pub const KEYS: usize = 48;
/// Dimensions of a value that are a panel.
pub const COLUMNS: usize = 32;

/// How one head's keys or values are laid out.
#[derive(Debug, Clone, Copy)]
pub enum Head {
    Keys { len: usize, head: usize },
    Values { len: usize, head: usize },
}

impl Head {
    pub fn size(self) -> usize {
        match self {
            Head::Keys { len, head } => len.next_multiple_of(KEYS) * head,
            Head::Values { len, head } => head.next_multiple_of(COLUMNS) * len,
        }
    }

    /// Writes the key or the value of an entry.
    #[inline(always)]
    pub fn put(self, to: &mut [f32], at: usize, entry: &[f32]) {
        match self {
            Head::Keys { head, .. } => {
                let panel = to[at / KEYS * KEYS * head + at % KEYS..].iter_mut().step_by(KEYS);
                panel.zip(entry).for_each(|(to, &value)| *to = value);
            }
            Head::Values { len, .. } => {
                for (panel, columns) in entry.chunks(COLUMNS).enumerate() {
                    to[(panel * len + at) * COLUMNS..][..columns.len()].copy_from_slice(columns);
                }
            }
        }
    }

    /// Copies entries of one head to another one of the same slice.
    pub fn copy(self, all: &mut [f32], from: usize, to: usize, entries: &Range<usize>) {
        let (from, to) = (from * self.size(), to * self.size());
        match self {
            Head::Keys { head, .. } => {
                for panel in entries.start / KEYS..entries.end.div_ceil(KEYS) {
                    let first = entries.start.saturating_sub(panel * KEYS);
                    let end = KEYS.min(entries.end - panel * KEYS);
                    for dimension in 0..head {
                        let at = (panel * head + dimension) * KEYS;
                        all.copy_within(from + at + first..from + at + end, to + at + first);
                    }
                }
            }
            Head::Values { len, .. } => {
                for at in (0..self.size()).step_by(len * COLUMNS) {
                    let (first, end) = (at + entries.start * COLUMNS, at + entries.end * COLUMNS);
                    all.copy_within(from + first..from + end, to + first);
                }
            }
        }
    }
}

/// Scratch values that [`Few`] needs.
pub fn few_len(seen: usize, head: usize) -> usize {
    ROWS * (seen.next_multiple_of(KEYS) + head)
}

/// Up to [`ROWS`] rows of one head that see the same entries.
pub struct Few<'a> {
    /// The first row's query; each next one is `stride` later.
    pub q: &'a [f32],
    pub stride: usize,
    pub rows: usize,
    pub head: usize,
    pub keys: &'a [f32],
    pub values: &'a [f32],
    /// Entries of the head, and how many of them are seen.
    pub len: usize,
    pub seen: usize,
    pub scratch: &'a mut [f32],
}

impl Few<'_> {
    /// Calls `put` with row, first dimension, and values from there on.
    #[inline(always)]
    pub fn attend<S: Simd>(mut self, simd: S, mut put: impl FnMut(usize, usize, &[f32])) {
        let totals = self.weigh(simd);
        let Few { rows, head, values, len, seen, scratch, .. } = self;
        let padded = seen.next_multiple_of(KEYS);
        let scores = &scratch[..ROWS * padded];
        for (panel, w) in values.chunks_exact(COLUMNS * len).enumerate() {
            let mut sums = [[0f32; COLUMNS]; ROWS];
            let w = &w[..seen * COLUMNS];
            let to = sums.as_flattened_mut();
            Tile::<COLUMNS> {
                x: scores,
                stride: padded,
                rows,
                w,
                sums: to,
                sums_stride: COLUMNS,
                fresh: true,
            }
            .add(simd);
            let columns = COLUMNS.min(head - panel * COLUMNS);
            for (row, (sums, total)) in sums.iter_mut().zip(totals).enumerate().take(rows) {
                sums.iter_mut().for_each(|sum| *sum /= total);
                put(row, panel * COLUMNS, &sums[..columns]);
            }
        }
    }

    /// Calls `put` with row and the weights of all entries that are seen, which sum to 1.
    #[inline(always)]
    pub fn weights<S: Simd>(mut self, simd: S, mut put: impl FnMut(usize, &[f32])) {
        let totals = self.weigh(simd);
        let padded = self.seen.next_multiple_of(KEYS);
        let weights = self.scratch.chunks_exact_mut(padded);
        for (row, (weights, total)) in weights.zip(totals).enumerate().take(self.rows) {
            let weights = &mut weights[..self.seen];
            weights.iter_mut().for_each(|weight| *weight /= total);
            put(row, weights);
        }
    }

    /// Puts the weights of all entries at the start of the scratch, row after row; they sum to what it gives.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, simd: S) -> [f32; ROWS] {
        let Few { q, stride, rows, head, keys, seen, ref mut scratch, .. } = *self;
        let scale = (head as f32).powf(-0.5);
        let padded = seen.next_multiple_of(KEYS);
        let (scores, queries) = scratch.split_at_mut(ROWS * padded);
        for (to, from) in queries.chunks_exact_mut(head).zip(q.chunks(stride)).take(rows) {
            to.iter_mut().zip(from).for_each(|(to, q)| *to = q * scale);
        }
        for (panel, w) in keys.chunks_exact(KEYS * head).take(padded / KEYS).enumerate() {
            let sums = &mut scores[panel * KEYS..];
            Tile::<KEYS> { x: queries, stride: head, rows, w, sums, sums_stride: padded, fresh: true }
                .add(simd);
        }
        let mut totals = [1f32; ROWS];
        for (total, scores) in totals.iter_mut().zip(scores.chunks_exact_mut(padded)).take(rows) {
            scores[seen..].fill(f32::NEG_INFINITY);
            *total = simd.vectorize(Exponentials(scores));
        }
        totals
    }
}

struct Exponentials<'a>(&'a mut [f32]);

impl WithSimd for Exponentials<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        exponentials(simd, self.0)
    }
}

/// Every row of `qkv` (`[rows, 3 × width]`) sees every row; into `y` (`[rows, width]`).
pub fn full(qkv: &[f32], y: &mut [f32], rows: usize, heads: usize, head: usize) {
    let (arch, width) = (Arch::new(), heads * head);
    assert!(qkv.len() == rows * 3 * width && y.len() == rows * width, "the shapes of an attention");
    // Enough pieces to keep all threads busy to the end; a piece lays its head's keys and values out anew.
    let pieces = (3 * rayon::current_num_threads()).div_ceil(heads);
    let piece = rows.div_ceil(pieces).next_multiple_of(ROWS);
    let pieces = rows.div_ceil(piece);
    let y = Shared::new(y);
    (0..heads * pieces).into_par_iter().with_max_len(1).for_each(|task| {
        let (h, first) = (task / pieces, task % pieces * piece);
        let count = piece.min(rows - first);
        let len = rows;
        let scratch =
            Head::Keys { len, head }.size() + Head::Values { len, head }.size() + few_len(len, head);
        with_scratch(scratch, |scratch| {
            arch.dispatch(OneHead { qkv, y, rows, width, head, column: h * head, first, count, scratch });
        });
    });
}

/// Some query rows of one head against all of its keys and values.
struct OneHead<'a> {
    qkv: &'a [f32],
    y: Shared<'a>,
    rows: usize,
    width: usize,
    head: usize,
    column: usize,
    first: usize,
    count: usize,
    scratch: &'a mut [f32],
}

impl WithSimd for OneHead<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let OneHead { qkv, y, rows, width, head, column, first, count, scratch } = self;
        let layouts = (Head::Keys { len: rows, head }, Head::Values { len: rows, head });
        let (keys, scratch) = scratch.split_at_mut(layouts.0.size());
        let (values, scratch) = scratch.split_at_mut(layouts.1.size());
        for (at, row) in qkv.chunks_exact(3 * width).enumerate() {
            layouts.0.put(keys, at, &row[width + column..][..head]);
            layouts.1.put(values, at, &row[2 * width + column..][..head]);
        }
        for row in (first..first + count).step_by(ROWS) {
            let some = ROWS.min(first + count - row);
            let q = &qkv[row * 3 * width + column..];
            let (keys, values, scratch) = (&*keys, &*values, &mut *scratch);
            Few { q, stride: 3 * width, rows: some, head, keys, values, len: rows, seen: rows, scratch }
                .attend(simd, |r, dimension, heard| {
                    // SAFETY: these rows and columns are this piece's own.
                    let to = unsafe { y.slice((row + r) * width + column + dimension, heard.len()) };
                    to.copy_from_slice(heard);
                });
        }
    }
}
