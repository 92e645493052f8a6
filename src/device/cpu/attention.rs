//! Attention on the CPU: whole windows block by block, and single rows against a cache.

use candle_core::{Result, bail};
use gemm::Parallelism;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::linear::strided_product;
use super::pointwise::exponentials;
use super::{Place, SERIAL_WORK};

/// Query rows whose scores are in memory at a time, per thread: with 1500 keys they fit the second-level
/// cache, and the rest of the 1500 × 1500 scores never exists.
const QUERY_ROWS: usize = 100;

/// Every row of `qkv` (`[rows, 3 × width]`) sees every row; into `y` (`[rows, width]`).
pub fn full(qkv: &[f32], y: &mut [f32], rows: usize, heads: usize, head: usize) {
    let (arch, width) = (Arch::new(), heads * head);
    let blocks: Vec<_> = y.chunks_mut(QUERY_ROWS * width).enumerate().collect();
    // A block of rows of `y` belongs to one thread, which goes through its heads.
    blocks.into_par_iter().for_each_init(
        || vec![0f32; QUERY_ROWS * rows],
        |scores, (block, y)| {
            let (first, count) = (block * QUERY_ROWS, y.len() / width);
            for h in 0..heads {
                let part = |row: usize, column: usize| &qkv[row * 3 * width + column + h * head..];
                let (q, k, v) = (part(first, 0), part(0, width), part(0, 2 * width));
                let scores = &mut scores[..count * rows];
                let scale = (head as f32).powf(-0.5);
                let stride = 3 * width;
                strided_product(
                    q,
                    (stride, 1),
                    k,
                    (1, stride),
                    scores,
                    rows,
                    (count, head, rows),
                    false,
                    scale,
                    Parallelism::None,
                );
                let sums = arch.dispatch(Softmax { scores, rows });
                let y = &mut y[h * head..];
                strided_product(
                    scores,
                    (rows, 1),
                    v,
                    (stride, 1),
                    y,
                    width,
                    (count, rows, head),
                    false,
                    1.0,
                    Parallelism::None,
                );
                for (row, sum) in sums.into_iter().enumerate() {
                    y[row * width..row * width + head].iter_mut().for_each(|y| *y /= sum);
                }
            }
        },
    );
}

struct Softmax<'a> {
    scores: &'a mut [f32],
    rows: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        self.scores.chunks_exact_mut(self.rows).map(|row| exponentials(simd, row)).collect()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct CacheShape {
    pub heads: usize,
    pub len: usize,
    pub head: usize,
}

/// Row `i` of `q` (rows of `columns` values, the first `heads × head` of them the query) sees the first
/// `reach[i].1` entries of slot `reach[i].0`.
pub fn cached(
    q: &[f32],
    columns: usize,
    keys: &[f32],
    values: &[f32],
    shape: CacheShape,
    reach: &[Place],
    y: &mut [f32],
) -> Result<()> {
    let CacheShape { heads, len, head } = shape;
    if q.len() != reach.len() * columns || y.len() != reach.len() * heads * head {
        bail!("cached attention: {} values for {} rows of {columns}", q.len(), reach.len());
    }
    let arch = Arch::new();
    let work = |(index, y): (usize, &mut [f32]), scores: &mut Vec<f32>| {
        let (row, h) = (index / heads, index % heads);
        let (slot, seen) = reach[row];
        let start = (slot * heads + h) * len * head;
        let span = start..start + seen * head;
        let q = &q[row * columns + h * head..][..head];
        scores.resize(seen, 0.0);
        arch.dispatch(OneRow { q, keys: &keys[span.clone()], values: &values[span], scores, y });
    };
    let total: usize = reach.iter().map(|&(_, seen)| seen * heads * head).sum();
    if total <= SERIAL_WORK {
        let mut scores = Vec::new();
        y.chunks_exact_mut(head).enumerate().for_each(|item| work(item, &mut scores));
    } else {
        y.par_chunks_exact_mut(head).enumerate().for_each_init(Vec::new, |scores, item| work(item, scores));
    }
    Ok(())
}

struct OneRow<'a> {
    q: &'a [f32],
    keys: &'a [f32],
    values: &'a [f32],
    scores: &'a mut [f32],
    y: &'a mut [f32],
}

impl WithSimd for OneRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let OneRow { q, keys, values, scores, y } = self;
        let head = q.len();
        let scale = (head as f32).powf(-0.5);
        let (qv, q_tail) = S::as_simd_f32s(q);
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(head)) {
            let (kv, k_tail) = S::as_simd_f32s(key);
            let mut sum = simd.splat_f32s(0.0);
            for (&q, &k) in qv.iter().zip(kv) {
                sum = simd.mul_add_f32s(q, k, sum);
            }
            let tail: f32 = q_tail.iter().zip(k_tail).map(|(q, k)| q * k).sum();
            *score = (simd.reduce_sum_f32s(sum) + tail) * scale;
        }
        let sum = exponentials(simd, scores);
        y.fill(0.0);
        for (&score, value) in scores.iter().zip(values.chunks_exact(head)) {
            for (y, v) in y.iter_mut().zip(value) {
                *y += score * v;
            }
        }
        y.iter_mut().for_each(|y| *y /= sum);
    }
}
