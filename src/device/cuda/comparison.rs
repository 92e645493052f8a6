//! Comparisons of every kernel with the reference in single precision, on random shapes and lengths and on edge cases.
//!
//! The same comparisons run with the kernels on the host and on a real GPU, in each of their number formats.

use candle_core::{DType, Device, Result, Tensor};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::device::kernels::{
    AttentionSource, CacheShape, Epilogue, Kernels, LayerCache, Matrix, TokenBatch, TokenRow,
};
use crate::device::reference::Reference;

/// The result of a comparison.
#[derive(Debug)]
pub struct Comparison {
    pub name: String,
    /// The largest difference, relative for values above 1.
    pub worst: f32,
    pub tolerance: f32,
}

impl Comparison {
    pub fn passes(&self) -> bool {
        self.worst <= self.tolerance
    }
}

/// Runs all comparisons in one number format. The seed selects the shapes and the values.
pub fn compare_all(
    kernels: &dyn Kernels,
    device: &Device,
    dtype: DType,
    seed: u64,
) -> Result<Vec<Comparison>> {
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let tested = KernelsUnderTest { kernels, device, dtype };
    let mut comparer = Comparer { tested, rng, done: Vec::new() };
    comparer.row_kernels()?;
    comparer.products()?;
    comparer.window_attention()?;
    comparer.single_row_attention()?;
    comparer.prompt_attention()?;
    comparer.attention_weights()?;
    Ok(comparer.done)
}

/// Kernels to compare, and the device and format of their tensors.
#[derive(Debug, Clone, Copy)]
struct KernelsUnderTest<'a> {
    kernels: &'a dyn Kernels,
    device: &'a Device,
    dtype: DType,
}

impl KernelsUnderTest<'_> {
    fn tensor(&self, x: &Tensor) -> Result<Tensor> {
        self.kernels.upload_tensor(x.to_dtype(self.dtype)?)
    }

    fn matrix(&self, x: &Tensor) -> Result<Matrix> {
        self.kernels.upload_matrix(x.to_dtype(self.dtype)?, self.dtype.into())
    }

    fn batch(&self, rows: &[TokenRow], audio_len: usize) -> Result<TokenBatch> {
        self.kernels.upload_batch(TokenBatch::new(rows.to_vec()), audio_len)
    }

    /// Returns a cache that holds the rows of `x`, keys and values from `column` on.
    fn filled_cache(&self, shape: CacheShape, x: &Tensor, column: usize) -> Result<LayerCache> {
        let cache = self.kernels.new_cache(shape, self.dtype, self.device)?;
        let slots: Vec<usize> = (0..shape.slots).collect();
        let batch = self.kernels.upload_batch(TokenBatch::of_slots(&slots, shape.len), 0)?;
        self.kernels.store(&cache, &self.tensor(x)?, column, &batch)?;
        Ok(cache)
    }
}

struct Comparer<'a> {
    tested: KernelsUnderTest<'a>,
    rng: ChaCha8Rng,
    done: Vec<Comparison>,
}

/// Head dimensions: mostly the one that uses the tensor cores.
const HEAD_DIMS: [usize; 7] = [64, 64, 64, 32, 128, 24, 80];

impl Comparer<'_> {
    fn between(&mut self, least: usize, most: usize) -> usize {
        self.rng.random_range(least..=most)
    }

    fn one_of(&mut self, of: &[usize]) -> usize {
        of[self.rng.random_range(0..of.len())]
    }

    /// Returns random values that the tested format represents exactly, so that both sides compute with the same ones.
    fn random(&mut self, shape: &[usize]) -> Result<Tensor> {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| self.rng.random_range(-1.5..1.5)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.tested.dtype)?.to_dtype(DType::F32)
    }

    /// Runs both sides on the same `y`, and compares the results.
    fn compare(
        &mut self,
        name: String,
        y: &Tensor,
        work: impl Fn(&KernelsUnderTest<'_>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let tolerance = match self.tested.dtype {
            DType::F16 => 2e-3,
            DType::BF16 => 1.6e-2,
            _ => 2e-5,
        };
        self.compare_as(name, (self.tested.dtype, tolerance), y, work)
    }

    fn compare_as(
        &mut self,
        name: String,
        (dtype, tolerance): (DType, f32),
        y: &Tensor,
        work: impl Fn(&KernelsUnderTest<'_>, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let reference = Reference::on(&Device::Cpu);
        let expected = KernelsUnderTest { kernels: &reference, device: &Device::Cpu, dtype: DType::F32 };
        let values = |side: &KernelsUnderTest<'_>, dtype: DType| {
            let y = side.kernels.upload_tensor(y.copy()?.to_dtype(dtype)?)?;
            work(side, &y)?;
            let mut read = Vec::new();
            side.kernels.read(&y, &mut read)?;
            Ok::<_, candle_core::Error>(read)
        };
        let (ours, theirs) = (values(&self.tested, dtype)?, values(&expected, DType::F32)?);
        let differences = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
        let worst = differences.fold(0.0, |worst: f32, other| if other <= worst { worst } else { other });
        let worst = if worst.is_nan() || ours.len() != theirs.len() { f32::INFINITY } else { worst };
        self.done.push(Comparison { name: format!("{name}, {dtype:?}"), worst, tolerance });
        Ok(())
    }

    fn row_kernels(&mut self) -> Result<()> {
        let (odd, even) = (self.between(1, 300), 8 * self.between(1, 200));
        for width in [odd, even, 1280, 5120] {
            let count = self.between(1, 5);
            let (y, x) = (self.random(&[count, width])?, self.random(&[count, width])?);
            let (weight, bias) = (self.random(&[width])?, self.random(&[width])?);
            // The variance of a few similar values is lost in rounding, on both sides.
            if width >= 24 {
                self.compare(format!("layer_norm of {count} x {width}"), &y, |side, y| {
                    side.kernels.layer_norm(
                        &side.tensor(&x)?,
                        &side.tensor(&weight)?,
                        &side.tensor(&bias)?,
                        y,
                    )
                })?;
            }
            self.compare(format!("add of {count} x {width}"), &y, |side, y| {
                side.kernels.add(&side.tensor(&bias)?, y)
            })?;
            let (table, positions) = (self.random(&[40, width])?, self.random(&[9, width])?);
            let tokens: Vec<u32> = (0..count).map(|_| self.rng.random_range(0..40)).collect();
            self.compare(format!("gather of {count} x {width}"), &y, |side, y| {
                side.kernels.gather(&side.tensor(&table)?, &tokens, y)
            })?;
            let row = |&token: &u32| TokenRow { token, position: token % 9, sequence: token, window: 0 };
            let list: Vec<TokenRow> = tokens.iter().map(row).collect();
            self.compare(format!("embed of {count} x {width}"), &y, |side, y| {
                side.kernels.embed(
                    &side.matrix(&table)?,
                    &side.tensor(&positions)?,
                    &side.batch(&list, 1)?,
                    y,
                )
            })?;
        }
        let (windows, rows, columns) =
            (self.between(1, 3), self.one_of(&[80, 128, 33]), self.between(1, 300));
        let (x, y) = (self.random(&[windows, rows, columns])?, self.random(&[windows, columns, rows])?);
        self.compare(format!("transpose of {windows} x {rows} x {columns}"), &y, |side, y| {
            side.kernels.transpose(&side.kernels.upload_tensor(x.clone())?, y)
        })
    }

    /// Compares what surrounds the library's products: GELU, im2row and sums.
    fn products(&mut self) -> Result<()> {
        for width in [self.between(1, 40), 80] {
            let (rows, out) = (self.between(1, 9), 8 * self.between(1, 9));
            let (x, weight) = (self.random(&[rows, width])?, (self.random(&[out, width])? * 0.25)?);
            let weight = weight.to_dtype(self.tested.dtype)?.to_dtype(DType::F32)?;
            let (bias, y) = (self.random(&[out])?, self.random(&[rows, out])?);
            self.compare(format!("gelu of {rows} x {out}"), &y, |side, y| {
                let bias = side.tensor(&bias)?;
                side.kernels.linear(&side.tensor(&x)?, &side.matrix(&weight)?, Some(&bias), Epilogue::Gelu, y)
            })?;
            for stride in [1, 2] {
                let (windows, rows) = (self.between(1, 3), stride * self.between(2, 20));
                let (x, weight) = (self.random(&[windows, rows, width])?, self.random(&[out, 3 * width])?);
                let weight = (weight * 0.25)?.to_dtype(self.tested.dtype)?.to_dtype(DType::F32)?;
                let y = self.random(&[windows, rows / stride, out])?;
                let name = format!("im2row of {windows} x {rows} x {width}, stride {stride}");
                self.compare(name, &y, |side, y| {
                    let (x, bias) = (side.tensor(&x)?, side.tensor(&bias)?);
                    side.kernels.convolve(&x, &side.matrix(&weight)?, &bias, stride, y)
                })?;
            }
        }
        Ok(())
    }

    fn window_attention(&mut self) -> Result<()> {
        let any = self.between(2, 400);
        for rows in [1, 64, 65, any] {
            let (windows, heads, head) = (self.between(1, 2), self.between(1, 3), self.one_of(&HEAD_DIMS));
            let (x, y) = (
                self.random(&[windows, rows, 3 * heads * head])?,
                self.random(&[windows, rows, heads * head])?,
            );
            let name = format!("attention of {windows} x {rows}, {heads} heads of {head}");
            self.compare(name, &y, |side, y| side.kernels.attention(&side.tensor(&x)?, heads, y))?;
        }
        let (x, y) = (self.random(&[1, 1500, 192])?, self.random(&[1, 1500, 64])?);
        let name = "attention of 1 x 1500, 1 heads of 64".into();
        self.compare(name, &y, |side, y| side.kernels.attention(&side.tensor(&x)?, 1, y))
    }

    /// Compares the attention of unrelated rows, and copies between slots.
    fn single_row_attention(&mut self) -> Result<()> {
        let any = self.between(2, 448);
        for len in [1, any, 1500] {
            let (slots, heads, head) = (3, self.between(1, 2), self.one_of(&HEAD_DIMS));
            let shape = CacheShape { slots, heads, len, head_dim: head };
            let (width, count) = (heads * head, self.between(1, 6));
            let column = width * self.between(0, 1);
            let (x, q) =
                (self.random(&[slots * len, column + 2 * width])?, self.random(&[count, 3 * width])?);
            let first = self.between(0, len - 1);
            let copied = first..self.between(first, len);
            let mut row = |_| TokenRow {
                token: 0,
                position: self.rng.random_range(0..len as u32),
                sequence: self.rng.random_range(0..slots as u32),
                window: self.rng.random_range(0..slots as u32),
            };
            let list: Vec<TokenRow> = (0..count).map(&mut row).collect();
            let y = self.random(&[count, width])?;
            for source in [AttentionSource::Text, AttentionSource::Audio(self.between(1, len))] {
                self.compare(
                    format!("cached_attention of {count} x {len}, {heads} heads of {head}, {source:?}"),
                    &y,
                    |side, y| {
                        let cache = side.filled_cache(shape, &x, column)?;
                        side.kernels.copy_entries(&cache, 2, 0, copied.clone())?;
                        let audio_len = if let AttentionSource::Audio(len) = source { len } else { 1 };
                        side.kernels.cached_attention(
                            &side.tensor(&q)?,
                            &cache,
                            &side.batch(&list, audio_len)?,
                            source,
                            y,
                        )
                    },
                )?;
            }
        }
        Ok(())
    }

    /// Compares the attention of neighbouring rows of one sequence.
    fn prompt_attention(&mut self) -> Result<()> {
        for most in [9, 448] {
            let len = self.between(8, most);
            let (slots, heads, head) = (2, self.between(1, 2), self.one_of(&HEAD_DIMS));
            let shape = CacheShape { slots, heads, len, head_dim: head };
            let width = heads * head;
            let mut list = Vec::new();
            for sequence in 0..slots {
                let end = self.between(8, len);
                let row = |position: usize| TokenRow {
                    token: 0,
                    position: position as u32,
                    sequence: sequence as u32,
                    window: (slots - 1 - sequence) as u32,
                };
                list.extend((self.between(0, end - 8)..end).map(row));
            }
            let (x, q) = (self.random(&[slots * len, 2 * width])?, self.random(&[list.len(), width])?);
            let (y, count) = (self.random(&[list.len(), width])?, list.len());
            for source in [AttentionSource::Text, AttentionSource::Audio(self.between(1, len))] {
                self.compare(
                    format!("tiled attention of {count} x {len}, {heads} heads of {head}, {source:?}"),
                    &y,
                    |side, y| {
                        let audio_len = if let AttentionSource::Audio(len) = source { len } else { 1 };
                        let (cache, batch) =
                            (side.filled_cache(shape, &x, 0)?, side.batch(&list, audio_len)?);
                        side.kernels.cached_attention(&side.tensor(&q)?, &cache, &batch, source, y)
                    },
                )?;
            }
        }
        Ok(())
    }

    fn attention_weights(&mut self) -> Result<()> {
        let any = self.between(2, 300);
        for len in [1, any, 1500] {
            let (slots, heads, head) = (2, 3, self.one_of(&HEAD_DIMS));
            let shape = CacheShape { slots, heads, len, head_dim: head };
            let (width, rows, attended) = (heads * head, self.between(1, 4), self.between(1, len));
            let (x, q) = (self.random(&[slots * len, 2 * width])?, self.random(&[rows, width])?);
            let y = self.random(&[2, rows, attended])?;
            // Attention weights are in single precision.
            self.compare_as(
                format!("attention_weights of {rows} x {attended}, head {head}"),
                (DType::F32, 2e-5),
                &y,
                |side, y| {
                    let cache = side.filled_cache(shape, &x, 0)?;
                    side.kernels.cached_weights(&side.tensor(&q)?, &cache, &[2, 0], (1, attended), y)
                },
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cuda::host;

    fn assert_all_pass(dtype: DType) {
        // Work is in one piece with few processors, and split with many.
        for (processors, seed) in [(1, 1), (40, 2)] {
            let Some(kernels) = host::kernels(processors) else { return };
            let comparisons = compare_all(&kernels, &Device::Cpu, dtype, seed).unwrap();
            let wrong: Vec<&Comparison> =
                comparisons.iter().filter(|comparison| !comparison.passes()).collect();
            assert!(comparisons.len() > 30 && wrong.is_empty(), "{wrong:#?}");
        }
    }

    #[test]
    fn f32_kernels_agree_with_the_reference() {
        assert_all_pass(DType::F32);
    }

    #[test]
    fn f16_kernels_agree_with_the_reference() {
        assert_all_pass(DType::F16);
    }

    #[test]
    fn bf16_kernels_agree_with_the_reference() {
        assert_all_pass(DType::BF16);
    }
}
