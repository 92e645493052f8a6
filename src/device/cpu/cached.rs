//! Attention of single rows to keys and values that lie in a cache.

use candle_core::{Result, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::pointwise::exponentials;
use super::{Place, SERIAL_WORK};

#[derive(Debug, Clone, Copy)]
pub struct CacheShape {
    pub heads: usize,
    pub len: usize,
    pub head: usize,
}

/// Row `i` of `q` (rows of `columns` values, the first `heads × head` of them the query) sees the first
/// `reach[i].1` entries of slot `reach[i].0`.
pub fn attend(
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
