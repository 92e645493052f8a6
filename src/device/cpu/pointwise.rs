//! Pointwise functions, and layer normalization, in loops that the compiler vectorizes.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;
use super::level::SimdLevel;
use super::memory::SharedSlice;
use crate::device::LAYER_NORM_EPS;

/// Rows per task.
const PIECE: usize = 64;

/// Computes the exact GELU, `x · Φ(x)`, of whole vectors in place.
#[inline(always)]
pub fn gelu<S: Simd>(simd: S, values: &mut [f32]) {
    let half = simd.splat_f32s(0.5);
    for x in S::as_mut_simd_f32s(values).0 {
        let half_x = simd.mul_f32s(*x, half);
        let scaled = simd.mul_f32s(*x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
        // The error function is odd.
        let erf = erf(simd, simd.abs_f32s(scaled));
        *x = simd.mul_add_f32s(simd.abs_f32s(half_x), erf, half_x);
    }
}

/// Adds `rows` to each piece of `y` of the same length.
pub fn add(level: SimdLevel, y: &mut [f32], rows: &[f32]) {
    let width = rows.len().div_ceil(PIECE);
    for y in y.chunks_mut(rows.len()) {
        y.par_chunks_mut(width).zip(rows.par_chunks(width)).for_each(|(y, row)| {
            level.dispatch(AddRow { y, row });
        });
    }
}

struct AddRow<'a> {
    y: &'a mut [f32],
    row: &'a [f32],
}

impl WithSimd for AddRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.y.iter_mut().zip(self.row).for_each(|(y, x)| *y += x);
    }
}

/// Transposes a matrix `[rows, columns]`.
pub fn transpose(x: &[f32], y: &mut [f32], rows: usize, columns: usize) {
    // A few rows at a time, so that the cache lines of both stay in the cache.
    for first in (0..rows).step_by(16) {
        let strip = first..rows.min(first + 16);
        for (column, y) in y.chunks_exact_mut(rows).enumerate() {
            for row in strip.clone() {
                y[row] = x[row * columns + column];
            }
        }
    }
}

/// Normalizes the rows of `x`, each as wide as `weight` and `bias`.
pub fn layer_norm(level: SimdLevel, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let width = weight.len();
    let (rows, y) = (x.len() / width, SharedSlice::new(y));
    let piece = |first: usize| {
        for row in first..rows.min(first + PIECE) {
            // SAFETY: only this piece writes this row.
            let y = unsafe { y.slice(row * width, width) };
            level.dispatch(NormRow { x: &x[row * width..][..width], weight, bias, y });
        }
    };
    if x.len() <= SERIAL_WORK {
        (0..rows).step_by(PIECE).for_each(piece);
    } else {
        (0..rows).into_par_iter().step_by(PIECE).for_each(piece);
    }
}

struct NormRow<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for NormRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let NormRow { x, weight, bias, y } = self;
        let width = x.len() as f32;
        let mean = total(simd, x) / width;
        for (y, x) in y.iter_mut().zip(x) {
            *y = x - mean;
        }
        let squares = {
            let (vectors, tail) = S::as_simd_f32s(y);
            let mut lanes = simd.splat_f32s(0.0);
            for &v in vectors {
                lanes = simd.mul_add_f32s(v, v, lanes);
            }
            simd.reduce_sum_f32s(lanes) + tail.iter().map(|x| x * x).sum::<f32>()
        };
        let scale = (squares / width + LAYER_NORM_EPS).sqrt().recip();
        for ((y, weight), bias) in y.iter_mut().zip(weight).zip(bias) {
            *y = *y * scale * weight + bias;
        }
    }
}

/// Returns the sum of all values.
#[inline(always)]
fn total<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let (vectors, tail) = S::as_simd_f32s(values);
    let mut lanes = simd.splat_f32s(0.0);
    for &v in vectors {
        lanes = simd.add_f32s(lanes, v);
    }
    simd.reduce_sum_f32s(lanes) + tail.iter().sum::<f32>()
}

/// Evaluates a polynomial whose coefficients are given from the highest power down.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, coefficients: [f32; N]) -> S::f32s {
    let mut sum = simd.splat_f32s(coefficients[0]);
    for c in &coefficients[1..] {
        sum = simd.mul_add_f32s(sum, x, simd.splat_f32s(*c));
    }
    sum
}

/// Computes the error function of numbers of at least 0 to about one unit in the last place. Below 1 it is a polynomial;
/// above, the logarithm of what is left to 1 is one. Both were fitted for the least maximum error, on [0, 1] and [0.9, 4];
/// beyond, the value in f32 is 1. A less exact one moves the scores of tokens more than all other rounding together.
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let below = [
        7.854_004e-5,
        -8.010_241e-4,
        5.188_334e-3,
        -2.685_381_5e-2,
        1.128_358_5e-1,
        -3.761_262_6e-1,
        1.283_791_7e-1,
    ];
    let below = polynomial(simd, simd.mul_f32s(x, x), below);
    let below = simd.mul_add_f32s(x, below, x);
    let x = simd.min_f32s(x, simd.splat_f32s(4.0));
    let above = [
        1.076_326_4e-5,
        -3.180_605e-4,
        3.622_922e-3,
        -2.372_019_2e-2,
        1.061_876_2e-1,
        6.351_815e-1,
        1.128_641,
    ];
    let above = simd.mul_f32s(simd.neg_f32s(x), polynomial(simd, x, above));
    let above = simd.sub_f32s(simd.splat_f32s(1.0), exp(simd, above));
    simd.select_f32s(simd.less_than_f32s(x, simd.splat_f32s(1.0)), below, above)
}

/// Computes `e^x` for x ≤ 0 to about one unit in the last place.
#[inline(always)]
fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding 1.5 · 2^23 rounds to an integer, which is then in the low bits.
    let round = simd.splat_f32s(12_582_912.0);
    let x = simd.max_f32s(x, simd.splat_f32s(-87.0));
    let shifted = simd.mul_add_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    // The logarithm of two in two parts, the first of them short enough to be multiplied exactly.
    let r = simd.mul_add_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let taylor = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5];
    let p = simd.mul_add_f32s(polynomial(simd, r, taylor), simd.mul_f32s(r, r), r);
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let two_to_n = simd.transmute_f32s_u32s(simd.add_u32s(exponent, simd.splat_u32s(0x3f80_0000)));
    simd.mul_add_f32s(p, two_to_n, two_to_n)
}

/// Computes `1 / (1 + e^−x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let small = exp(simd, simd.neg_f32s(simd.abs_f32s(x)));
    let above = simd.select_f32s(simd.less_than_f32s(x, zero), small, one);
    simd.div_f32s(above, simd.add_f32s(one, small))
}

/// Computes the hyperbolic tangent, to about 1e-7 of its range.
#[inline(always)]
pub fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let (one, two) = (simd.splat_f32s(1.0), simd.splat_f32s(2.0));
    simd.sub_f32s(simd.mul_f32s(two, sigmoid(simd, simd.mul_f32s(two, x))), one)
}

/// Replaces scores, in whole vectors, by `e^(score − max)` and returns their sum. Does not divide by the sum, because the
/// caller has fewer values to divide afterwards.
#[inline(always)]
pub fn exponentials<S: Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let (scores, _) = S::as_mut_simd_f32s(scores);
    let max = scores.iter().fold(simd.splat_f32s(f32::NEG_INFINITY), |max, &v| simd.max_f32s(max, v));
    let max = simd.splat_f32s(simd.reduce_max_f32s(max));
    let mut sum = simd.splat_f32s(0.0);
    for score in scores {
        *score = exp(simd, simd.sub_f32s(*score, max));
        sum = simd.add_f32s(sum, *score);
    }
    simd.reduce_sum_f32s(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    /// Computes the exponentials if the flag is set, otherwise the GELU.
    struct PointwiseRun<'a>(&'a mut [f32], bool);

    impl WithSimd for PointwiseRun<'_> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f32 {
            if self.1 {
                return exponentials(simd, self.0);
            }
            gelu(simd, self.0);
            0.0
        }
    }

    #[test]
    fn gelu_matches_the_exact_formula() {
        let values: Vec<f32> = (-120_000..120_000).map(|i| i as f32 * 1e-4).collect();
        let wide: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let exact = Tensor::from_slice(&wide, wide.len(), &Device::Cpu).unwrap().gelu_erf().unwrap();
        let exact = exact.to_vec1::<f64>().unwrap();
        for level in SimdLevel::all() {
            let mut values = values.clone();
            level.dispatch(PointwiseRun(&mut values, false));
            let mut sum = 0.0;
            for ((ours, exact), x) in values.iter().zip(&exact).zip(&wide) {
                let error = f64::from(*ours) - exact;
                assert!(error.abs() <= 1.2e-7 * x.abs().max(0.1), "{level:?}, {x}: {ours} {exact}");
                sum += error;
            }
            // Errors of one sign add up over all units of a layer.
            assert!((sum / values.len() as f64).abs() < 2e-9, "{level:?}: {sum}");
        }
    }

    #[test]
    fn exponentials_are_exact_to_the_last_bits() {
        let scores: Vec<f32> = (0..864_000).map(|i| -(i as f32) * 1e-4).collect();
        for level in SimdLevel::all() {
            let mut ours = scores.clone();
            let sum = level.dispatch(PointwiseRun(&mut ours, true));
            let mut total = 0.0;
            for (&x, &ours) in scores.iter().zip(&ours) {
                let exact = f64::from(x).exp();
                assert!((f64::from(ours) - exact).abs() <= exact * 3e-7, "{level:?}: {x}");
                total += exact;
            }
            // Without vectors, one sum adds up all of them.
            assert!((f64::from(sum) - total).abs() < 1e-3 * total);
            assert_eq!(ours[0], 1.0);
            let mut ours = [[0.0; 16], [f32::NEG_INFINITY; 16]].concat();
            assert_eq!(level.dispatch(PointwiseRun(&mut ours, true)), 16.0);
        }
    }
}
