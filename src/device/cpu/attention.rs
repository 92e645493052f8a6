//! Attention of a whole window to itself: scores of a few query rows at a time, never the square of the window.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::pointwise::exponentials;

/// Query rows computed together. With two vectors of keys or values beside them the sums just fit the
/// registers of every machine, and each value loaded serves several of them.
const ROWS: usize = 6;
/// Vectors of keys, or of a value's columns, computed together.
const VECTORS: usize = 2;

/// Every row of `qkv` (`[rows, 3 × width]`) sees every row; into `y` (`[rows, width]`).
pub fn full(qkv: &[f32], y: &mut [f32], rows: usize, heads: usize, head: usize) {
    let (arch, width) = (Arch::new(), heads * head);
    // Enough pieces to keep all threads busy to the end; a piece packs its head's keys and values anew.
    let pieces = (3 * rayon::current_num_threads()).div_ceil(heads);
    let piece = rows.div_ceil(pieces).next_multiple_of(ROWS);
    let tasks: Vec<(usize, usize)> =
        (0..heads).flat_map(|h| (0..rows).step_by(piece).map(move |first| (h, first))).collect();
    let results: Vec<Vec<f32>> = tasks
        .par_iter()
        .map(|&(h, first)| {
            let count = piece.min(rows - first);
            arch.dispatch(OneHead { qkv, rows, width, head, column: h * head, first, count })
        })
        .collect();
    for (&(h, first), result) in tasks.iter().zip(&results) {
        for (row, values) in (first..).zip(result.chunks_exact(head)) {
            y[row * width + h * head..][..head].copy_from_slice(values);
        }
    }
}

/// Some query rows of one head against all of its keys and values.
struct OneHead<'a> {
    qkv: &'a [f32],
    rows: usize,
    width: usize,
    head: usize,
    column: usize,
    first: usize,
    count: usize,
}

impl OneHead<'_> {
    /// Part 0 of a row is its query, 1 its key, 2 its value.
    #[inline(always)]
    fn part(&self, row: usize, part: usize) -> &[f32] {
        &self.qkv[row * 3 * self.width + part * self.width + self.column..][..self.head]
    }

    /// The keys, a block of lanes after the other, in it dimension after dimension: what lies together is
    /// multiplied by the same value of a query. Zeros fill the last block.
    #[inline(always)]
    fn packed_keys(&self, block: usize) -> Vec<f32> {
        let mut packed = vec![0f32; self.rows.next_multiple_of(block) * self.head];
        for row in 0..self.rows {
            let to = &mut packed[row / block * block * self.head + row % block..];
            for (dimension, &value) in self.part(row, 1).iter().enumerate() {
                to[dimension * block] = value;
            }
        }
        packed
    }

    /// The values, a block of columns after the other, in it row after row. Zeros fill the last block.
    #[inline(always)]
    fn packed_values(&self, block: usize) -> Vec<f32> {
        let mut packed = vec![0f32; self.head.next_multiple_of(block) * self.rows];
        for row in 0..self.rows {
            for (index, columns) in self.part(row, 2).chunks(block).enumerate() {
                packed[(index * self.rows + row) * block..][..columns.len()].copy_from_slice(columns);
            }
        }
        packed
    }

    /// `ROWS` queries from `row` on, scaled, dimension after dimension. Zeros stand for rows beyond the last.
    #[inline(always)]
    fn queries(&self, row: usize, scale: f32, to: &mut [[f32; ROWS]]) {
        to.fill([0.0; ROWS]);
        for r in 0..ROWS.min(self.first + self.count - row) {
            for (to, &value) in to.iter_mut().zip(self.part(row + r, 0)) {
                to[r] = value * scale;
            }
        }
    }
}

impl WithSimd for OneHead<'_> {
    /// `[count, head]`
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let block = VECTORS * S::F32_LANES;
        let (keys, values) = (self.packed_keys(block), self.packed_values(block));
        let (rows, head) = (self.rows, self.head);
        let (scale, padded) = ((head as f32).powf(-0.5), rows.next_multiple_of(block));
        let mut queries = vec![[0f32; ROWS]; head];
        let mut scores = vec![0f32; ROWS * padded];
        let mut heard = vec![0f32; ROWS * block];
        let mut output = vec![0f32; self.count * head];
        for (tile, output) in output.chunks_mut(ROWS * head).enumerate() {
            self.queries(self.first + tile * ROWS, scale, &mut queries);
            for (index, keys) in keys.chunks_exact(block * head).enumerate() {
                multiply(simd, keys, &queries, |r, v, sum| {
                    let to = &mut scores[r * padded + index * block + v * S::F32_LANES..][..S::F32_LANES];
                    simd.partial_store_f32s(to, sum);
                });
            }
            let mut sums = [0f32; ROWS];
            for (sum, scores) in sums.iter_mut().zip(scores.chunks_exact_mut(padded)) {
                *sum = exponentials(simd, &mut scores[..rows]);
            }
            for (index, values) in values.chunks_exact(block * rows).enumerate() {
                weigh(simd, values, &scores, padded, |r, v, sum| {
                    let to = &mut heard[r * block + v * S::F32_LANES..][..S::F32_LANES];
                    simd.partial_store_f32s(to, sum);
                });
                let columns = index * block..head.min((index + 1) * block);
                for (r, output) in output.chunks_exact_mut(head).enumerate() {
                    for (y, heard) in output[columns.clone()].iter_mut().zip(&heard[r * block..]) {
                        *y = heard / sums[r];
                    }
                }
            }
        }
        output
    }
}

/// The products of `ROWS` queries with one block of keys.
#[inline(always)]
fn multiply<S: Simd>(
    simd: S,
    keys: &[f32],
    queries: &[[f32; ROWS]],
    mut put: impl FnMut(usize, usize, S::f32s),
) {
    let (keys, _) = S::as_simd_f32s(keys).0.as_chunks::<VECTORS>();
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (keys, query) in keys.iter().zip(queries) {
        for r in 0..ROWS {
            let q = simd.splat_f32s(query[r]);
            for v in 0..VECTORS {
                sums[r][v] = simd.mul_add_f32s(q, keys[v], sums[r][v]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            put(r, v, sum);
        }
    }
}

/// The sums of one block of the values' columns, weighed by the scores of `ROWS` queries.
#[inline(always)]
fn weigh<S: Simd>(
    simd: S,
    values: &[f32],
    scores: &[f32],
    padded: usize,
    mut put: impl FnMut(usize, usize, S::f32s),
) {
    let (values, _) = S::as_simd_f32s(values).0.as_chunks::<VECTORS>();
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    let row = |r: usize| scores[r * padded..(r + 1) * padded].iter();
    let scores = row(0).zip(row(1)).zip(row(2)).zip(row(3)).zip(row(4)).zip(row(5));
    for (values, (((((a, b), c), d), e), f)) in values.iter().zip(scores) {
        for (sums, score) in sums.iter_mut().zip([a, b, c, d, e, f]) {
            let score = simd.splat_f32s(*score);
            for v in 0..VECTORS {
                sums[v] = simd.mul_add_f32s(score, values[v], sums[v]);
            }
        }
    }
    for (r, sums) in sums.into_iter().enumerate() {
        for (v, sum) in sums.into_iter().enumerate() {
            put(r, v, sum);
        }
    }
}
