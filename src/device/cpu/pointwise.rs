//! Functions of single values, written so that the compiler turns the loops into vector code.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::SERIAL_WORK;

/// Values per piece of work of a thread.
const PIECE: usize = 1 << 14;

/// The exact GELU, `x · Φ(x)`, in place.
pub fn gelu(values: &mut [f32]) {
    let arch = Arch::new();
    if values.len() <= SERIAL_WORK {
        arch.dispatch(Gelu(values));
    } else {
        values.par_chunks_mut(PIECE).for_each(|piece| arch.dispatch(Gelu(piece)));
    }
}

struct Gelu<'a>(&'a mut [f32]);

impl WithSimd for Gelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for x in self.0 {
            *x = 0.5 * *x * (1.0 + erf(*x * std::f32::consts::FRAC_1_SQRT_2));
        }
    }
}

/// The error function to about two units in the last place: a ratio of polynomials fitted to it on [-4, 4],
/// outside of which f32 knows only ±1.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let x2 = x * x;
    let mut p = -2.726_142e-10;
    for c in [2.770_681_4e-8, -2.101_024e-6, -5.692_506_5e-5, -7.349_906_3e-4, -2.954_6e-3, -1.609_603_3e-2] {
        p = p * x2 + c;
    }
    let mut q = -1.456_607_2e-5;
    for c in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_474e-2] {
        q = q * x2 + c;
    }
    x * p / q
}

/// `e^x` for x ≤ 0 to about one unit in the last place.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2^23 rounds to an integer that then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.max(-87.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5] {
        p = p * r + c;
    }
    let p = p * (r * r) + r + 1.0;
    let two_to_n = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    p * two_to_n
}

/// Replaces scores by `e^(score − max)` and gives their sum. Not yet divided by it: the caller has fewer
/// values to divide afterwards.
#[inline(always)]
pub fn exponentials<S: Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let mut max = f32::NEG_INFINITY;
    let (vectors, tail) = S::as_mut_simd_f32s(scores);
    let mut lanes = simd.splat_f32s(f32::NEG_INFINITY);
    for &v in vectors.iter() {
        lanes = simd.max_f32s(lanes, v);
    }
    for &v in tail.iter() {
        max = max.max(v);
    }
    let max = max.max(simd.reduce_max_f32s(lanes));
    for score in scores.iter_mut() {
        *score = exp(*score - max);
    }
    let (vectors, tail) = S::as_simd_f32s(scores);
    let mut lanes = simd.splat_f32s(0.0);
    for &v in vectors {
        lanes = simd.add_f32s(lanes, v);
    }
    simd.reduce_sum_f32s(lanes) + tail.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor};

    #[test]
    fn gelu_is_the_exact_one() {
        let mut values: Vec<f32> = (-12_000..=12_000).map(|i| i as f32 * 1e-3).collect();
        let exact = Tensor::from_slice(&values, values.len(), &Device::Cpu).unwrap().gelu_erf().unwrap();
        gelu(&mut values);
        for (ours, exact) in values.iter().zip(exact.to_vec1::<f32>().unwrap()) {
            assert!((ours - exact).abs() <= 2e-6 * exact.abs().max(0.5), "{ours} {exact}");
        }
    }

    #[test]
    fn exp_is_exact_to_the_last_bits() {
        for i in 0..870_000 {
            let x = -(i as f32) * 1e-4;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= exact * 3e-7, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }
}
