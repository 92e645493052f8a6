//! The arithmetic that the network asks of a device, behind one trait.
//!
//! [`Plain`](super::plain::Plain) says in candle's own operations what each function means, for any device;
//! a device with something faster implements the trait beside it and is tested against it.

use std::fmt::Debug;

use candle_core::{Result, Tensor};

/// A place in a cache: which slot, and where in it.
pub type Place = (usize, usize);

pub trait Kernels: Debug + Send + Sync {
    /// `x · weightᵀ + bias`, then the exact GELU if `gelu`. `x` is `[rows, in]` or `[batch, rows, in]`,
    /// `weight` is `[out, in]`. The result for a row (rank 2) or a batch entry (rank 3) must not depend on
    /// its neighbours.
    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Tensor>;

    /// Layer normalisation over the last dimension, eps 1e-5.
    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor>;

    /// Full self-attention without a mask: `[batch, rows, 3 × width]`, queries, keys and values side by
    /// side, to `[batch, rows, width]`.
    fn attention(&self, qkv: &Tensor, heads: usize) -> Result<Tensor>;

    /// Writes `width` columns of `x` (`[rows, …]`) from `column` on into `cache` (`[slots, heads, len, head
    /// width]`) in place, row `i` at `places[i]`.
    fn store(&self, cache: &Tensor, x: &Tensor, column: usize, places: &[Place]) -> Result<()>;

    /// Attention of single rows to a cache: row `i` of the first `width` columns of `q` sees the first
    /// `reach[i].1` entries of slot `reach[i].0`. Gives `[rows, width]`.
    fn cached_attention(&self, q: &Tensor, keys: &Tensor, values: &Tensor, reach: &[Place])
    -> Result<Tensor>;
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::device::cpu::Cpu;
    use crate::device::plain::Plain;
    use proptest::prelude::*;

    fn random(shape: &[usize], seed: u64) -> Tensor {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    #[track_caller]
    fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
        assert_eq!(a.dims(), b.dims());
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (a, b) in flat(a).into_iter().zip(flat(b)) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn linear_agrees(rows in 1usize..19, width in 1usize..300, out in 1usize..90,
                         bias: bool, gelu: bool, batch in 0usize..3, seed: u64) {
            let shape = if batch == 0 { vec![rows, width] } else { vec![batch, rows, width] };
            let (x, w) = (random(&shape, seed), random(&[out, width], seed + 1));
            let bias = bias.then(|| random(&[out], seed + 2));
            let fast = Cpu.linear(&x, &w, bias.as_ref(), gelu).unwrap();
            assert_close(&fast, &Plain.linear(&x, &w, bias.as_ref(), gelu).unwrap(), 1e-4);
        }

        #[test]
        fn a_row_does_not_depend_on_its_neighbours(rows in 2usize..12, width in 1usize..200, out in 1usize..3000, seed: u64) {
            let (x, w) = (random(&[rows, width], seed), random(&[out, width], seed + 1));
            let all = Cpu.linear(&x, &w, None, false).unwrap();
            for row in 0..rows {
                let alone = Cpu.linear(&x.narrow(0, row, 1).unwrap(), &w, None, false).unwrap();
                prop_assert_eq!(alone.to_vec2::<f32>().unwrap()[0].clone(), all.get(row).unwrap().to_vec1::<f32>().unwrap());
            }
        }

        #[test]
        fn attention_agrees(rows in 1usize..700, heads in 1usize..4, head in prop::sample::select(vec![8usize, 20, 64]), seed: u64) {
            let qkv = random(&[2, rows, 3 * heads * head], seed);
            assert_close(&Cpu.attention(&qkv, heads).unwrap(), &Plain.attention(&qkv, heads).unwrap(), 1e-4);
        }

        #[test]
        fn caches_agree(slots in 1usize..4, heads in 1usize..4, len in 1usize..40, rows in 1usize..9, seed: u64) {
            use rand::{Rng, SeedableRng};
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let head = 16;
            let x = random(&[rows, 3 * heads * head], seed);
            let places: Vec<Place> = (0..rows).map(|_| (rng.random_range(0..slots), rng.random_range(0..len))).collect();
            let results: Vec<Tensor> = [&Cpu as &dyn Kernels, &Plain].into_iter().map(|kernels| {
                let keys = random(&[slots, heads, len, head], seed + 1);
                let values = random(&[slots, heads, len, head], seed + 2);
                kernels.store(&keys, &x, heads * head, &places).unwrap();
                kernels.store(&values, &x, 2 * heads * head, &places).unwrap();
                let reach: Vec<Place> = places.iter().map(|&(slot, position)| (slot, position + 1)).collect();
                kernels.cached_attention(&x, &keys, &values, &reach).unwrap()
            }).collect();
            assert_close(&results[0], &results[1], 1e-4);
        }
    }
}
