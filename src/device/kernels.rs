//! The operations that the network needs from a device, behind one trait.
//!
//! [`Reference`](super::reference::Reference) defines each operation in candle's own operations, for any device. A device
//! with faster kernels implements the trait too and is tested against the reference.
//!
//! Results go to existing tensors (`y`, contiguous, sharing no memory with what is read), so that a step allocates
//! nothing.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::cpu::CpuMatrix;
use super::formats::MatrixFormat;
use super::sampling::DeviceSampler;

/// An entry of a cache: its slot, and its position in the slot.
pub type CachePosition = (usize, usize);

/// The first entries of a cache slot: the slot, and the number of entries.
pub type CachePrefix = (usize, usize);

/// A token of one of the sequences that go through the decoder together. The kernels read the struct with this layout.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRow {
    pub token: u32,
    /// The token's position in its sequence.
    pub position: u32,
    /// The cache slot of the sequence's own keys and values.
    pub sequence: u32,
    /// The cache slot of the audio's keys and values.
    pub window: u32,
}

/// The rows of a decoder pass.
#[derive(Debug, Default)]
pub struct TokenBatch {
    pub rows: Vec<TokenRow>,
    /// The cache entry that holds each row's own keys and values.
    pub positions: Vec<CachePosition>,
    /// The rows in device memory, if the kernels read them there.
    pub on_device: Option<DeviceBatch>,
}

#[derive(Debug)]
pub struct DeviceBatch {
    pub rows: Tensor,
    /// Neighbouring rows of one sequence, for kernels that load their keys and values once; none if the rows share too
    /// little.
    pub tiles: Option<QueryTiles>,
}

#[derive(Debug)]
pub struct QueryTiles {
    /// Tiles of the self-attention.
    pub text: Tensor,
    /// Tiles of the cross-attention.
    pub audio: Tensor,
    pub count: usize,
}

impl TokenBatch {
    pub fn new(rows: Vec<TokenRow>) -> Self {
        let positions = rows.iter().map(|row| (row.sequence as usize, row.position as usize)).collect();
        TokenBatch { rows, positions, on_device: None }
    }

    /// Returns a batch with a row for each of the first `entries` entries of these slots, slot after slot.
    pub fn of_slots(slots: &[usize], entries: usize) -> Self {
        let row = |slot, at| TokenRow { token: 0, position: at as u32, sequence: slot as u32, window: 0 };
        Self::new(slots.iter().flat_map(|&slot| (0..entries).map(move |at| row(slot, at))).collect())
    }
}

/// The keys and values that rows attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionSource {
    /// Those of their own sequence, up to and including the row.
    Text,
    /// This many entries of their window.
    Audio(usize),
}

impl AttentionSource {
    /// Returns the cache entries that a row attends to.
    pub fn prefix(self, row: &TokenRow) -> CachePrefix {
        match self {
            AttentionSource::Text => (row.sequence as usize, row.position as usize + 1),
            AttentionSource::Audio(entries) => (row.window as usize, entries),
        }
    }
}

/// A weight matrix `[out, in]` on its device.
#[derive(Debug)]
pub struct Matrix {
    pub values: MatrixValues,
    pub out: usize,
    pub width: usize,
}

/// The layouts of a weight matrix. Each device uses one of them.
#[derive(Debug)]
pub enum MatrixValues {
    /// `[out, in]`.
    RowMajor(Tensor),
    /// As the CPU's kernels read them.
    Packed(CpuMatrix),
}

impl Matrix {
    pub fn row_major(&self) -> Result<&Tensor> {
        match &self.values {
            MatrixValues::RowMajor(values) => Ok(values),
            MatrixValues::Packed(_) => bail!("a weight matrix in panels instead of rows"),
        }
    }

    pub fn packed(&self) -> Result<&CpuMatrix> {
        match &self.values {
            MatrixValues::Packed(values) => Ok(values),
            MatrixValues::RowMajor(_) => bail!("a weight matrix in rows instead of panels"),
        }
    }
}

/// What a matrix product does with its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Stores it in `y`.
    Store,
    /// Stores its exact GELU in `y`.
    Gelu,
    /// Adds it to `y`.
    Add,
}

/// The keys and values of one layer for several slots, in the layout of their device.
#[derive(Debug)]
pub struct LayerCache {
    pub keys: Tensor,
    pub values: Tensor,
    pub shape: CacheShape,
}

#[derive(Debug, Clone, Copy)]
pub struct CacheShape {
    pub slots: usize,
    pub heads: usize,
    /// Entries of a slot.
    pub len: usize,
    pub head_dim: usize,
}

impl CacheShape {
    pub fn dims(self) -> [usize; 4] {
        [self.slots, self.heads, self.len, self.head_dim]
    }
}

pub trait Kernels: Debug + Send + Sync {
    /// Copies a weight matrix `[out, in]` from the host to the device, in the device's layout and in `format`.
    fn upload_matrix(&self, weight: Tensor, format: MatrixFormat) -> Result<Matrix>;

    /// Copies a weight matrix whose inputs are about so large. A format of few bits loses less if it knows.
    fn upload_matrix_for(&self, weight: Tensor, format: MatrixFormat, magnitudes: &[f32]) -> Result<Matrix> {
        let _ = magnitudes;
        self.upload_matrix(weight, format)
    }

    /// Copies any other tensor from the host to the device.
    fn upload_tensor(&self, x: Tensor) -> Result<Tensor> {
        Ok(x)
    }

    /// Overwrites the beginning of an f32 tensor with these values, one slice after the other.
    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()>;

    /// Prepares a batch for the kernels. Its rows attend to `audio_len` entries of audio; 0 if they are only stored.
    fn upload_batch(&self, batch: TokenBatch, audio_len: usize) -> Result<TokenBatch> {
        let _ = audio_len;
        Ok(batch)
    }

    /// Sums, for each row, its token's row of `table` and its position's row of `positions`.
    fn embed(&self, table: &Matrix, positions: &Tensor, batch: &TokenBatch, y: &Tensor) -> Result<()>;

    /// Copies the rows of `x`, `[rows, width]`, at these indices.
    fn gather(&self, x: &Tensor, indices: &[u32], y: &Tensor) -> Result<()>;

    /// Transposes `[batch, rows, columns]` in f32 to `[batch, columns, rows]`.
    fn transpose(&self, x: &Tensor, y: &Tensor) -> Result<()>;

    /// Computes `y += rows`, the last dimensions of `y` being those of `rows`.
    fn add(&self, rows: &Tensor, y: &Tensor) -> Result<()>;

    /// Computes `x · weightᵀ + bias`, rows of `x` to rows of `y`, of any rank. The result of a row must not depend on
    /// its neighbours.
    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Tensor>,
        epilogue: Epilogue,
        y: &Tensor,
    ) -> Result<()>;

    /// Computes the GELU of a convolution of three taps with one row of zeros on either side, `[batch, rows, in]` to
    /// `[batch, rows / stride, out]`; the weight is `[out, 3 × in]`, tap after tap.
    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()>;

    /// Normalises over the last dimension, with an epsilon of 1e-5.
    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()>;

    /// Computes full self-attention without a mask: `[batch, rows, 3 × width]`, queries, keys and values side by side,
    /// to `[batch, rows, width]`.
    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()>;

    /// Allocates an empty cache.
    fn new_cache(&self, shape: CacheShape, dtype: DType, device: &Device) -> Result<LayerCache>;

    /// Writes the keys and values of a batch to the rows' positions in the cache. They stand side by side in `x`,
    /// `[rows, …]`, from `column` on.
    fn store(&self, cache: &LayerCache, x: &Tensor, column: usize, batch: &TokenBatch) -> Result<()>;

    /// Copies entries of a slot to the same positions of another one.
    fn copy_entries(&self, cache: &LayerCache, from: usize, to: usize, entries: Range<usize>) -> Result<()>;

    /// Computes the attention of single rows to a cache, into `[rows, width]`. The first `width` columns of `q` are the
    /// queries.
    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        batch: &TokenBatch,
        source: AttentionSource,
        y: &Tensor,
    ) -> Result<()>;

    /// Computes the attention weights of all rows for the first entries of a slot and for some of the heads, into
    /// `[heads, rows, entries]`; each row sums to 1. The first `width` columns of `q` are the queries.
    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        heads: &[usize],
        prefix: CachePrefix,
        y: &Tensor,
    ) -> Result<()>;

    /// Replaces the content of `to` with all values of `x`, as f32.
    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()>;

    /// Returns the same kernels with a queue of their own, where the device has several. Work on that queue waits for
    /// other queues only in [`wait_for_main_queue`](Self::wait_for_main_queue).
    fn new_queue(&self) -> Result<Option<Arc<dyn Kernels>>> {
        Ok(None)
    }

    /// Orders all later work on this queue after the work that the device's main queue has been given so far.
    fn wait_for_main_queue(&self) -> Result<()> {
        Ok(())
    }

    /// Returns whether all work on this queue is finished.
    fn is_idle(&self) -> Result<bool> {
        Ok(true)
    }

    /// Blocks until all work on this queue is finished.
    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    /// Returns the device's sampler, if it has one.
    fn sampler(&self) -> Option<&dyn DeviceSampler> {
        None
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::device::cpu::{Cpu, SimdLevel};
    use crate::device::cuda;
    use crate::device::reference::Reference;
    use proptest::prelude::*;

    fn random(shape: &[usize], seed: u64) -> Tensor {
        use rand::{Rng, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn flat(t: &Tensor) -> Vec<f32> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[track_caller]
    fn assert_close(a: &Tensor, b: &Tensor, tolerance: f32) {
        assert_eq!(a.dims(), b.dims());
        for (a, b) in flat(a).into_iter().zip(flat(b)) {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} {b}");
        }
    }

    /// Returns the CPU kernels in all vector instructions of the processor, and without any for a small test.
    fn cpus(multiplications: usize) -> Vec<Cpu> {
        let is_fast = |level: &SimdLevel| multiplications < 1 << 20 || level.lanes() > 1;
        SimdLevel::all().into_iter().filter(is_fast).map(Cpu::with_level).collect()
    }

    /// Returns the results of all kernels for the same initial `y`, those of the reference last.
    fn all_kernels(y: &Tensor, f: impl Fn(&dyn Kernels, &Tensor) -> Result<()>) -> Vec<Tensor> {
        // Work is in one piece with few processors, and split with many.
        let cuda = [2, 40].into_iter().filter_map(cuda::host::kernels);
        let cuda: Vec<_> = cuda.map(|kernels| Box::new(kernels) as Box<dyn Kernels>).collect();
        let cpu = cpus(y.elem_count() * 100).into_iter().map(|cpu| Box::new(cpu) as Box<dyn Kernels>);
        let reference: Box<dyn Kernels> = Box::new(Reference::on(&Device::Cpu));
        let run = |kernels: Box<dyn Kernels>| {
            let y = y.copy().unwrap();
            f(&*kernels, &y).unwrap();
            y
        };
        cuda.into_iter().chain(cpu).chain([reference]).map(run).collect()
    }

    #[track_caller]
    fn assert_agree(y: &Tensor, f: impl Fn(&dyn Kernels, &Tensor) -> Result<()>) {
        assert_all_close(&all_kernels(y, f), 1e-4);
    }

    #[track_caller]
    fn assert_all_close(all: &[Tensor], tolerance: f32) {
        let (reference, others) = all.split_last().unwrap();
        others.iter().for_each(|other| assert_close(other, reference, tolerance));
    }

    fn linear(cpu: &Cpu, x: &Tensor, w: &Matrix) -> Vec<f32> {
        let y = random(&[x.dim(0).unwrap(), w.out], 0);
        cpu.linear(x, w, None, Epilogue::Store, &y).unwrap();
        flat(&y)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn products_agree(rows in 1usize..300, width in 1usize..900, out in 1usize..90, bias: bool, seed: u64) {
            let (x, w) = (random(&[rows, width], seed), random(&[out, width], seed + 1));
            let bias = bias.then(|| random(&[out], seed + 2));
            for epilogue in [Epilogue::Store, Epilogue::Gelu, Epilogue::Add] {
                assert_agree(&random(&[rows, out], seed + 3), |kernels, y| {
                    kernels.linear(&x, &kernels.upload_matrix(w.clone(), DType::F32.into())?, bias.as_ref(), epilogue, y)
                });
            }
        }

        #[test]
        fn product_of_a_row_does_not_depend_on_its_neighbours(rows in 2usize..230, width in 1usize..1700, out in 1usize..300, seed: u64) {
            let (x, w) = (random(&[rows, width], seed), random(&[out, width], seed + 1));
            for cpu in cpus(rows * width * out) {
                let w = cpu.upload_matrix(w.clone(), DType::F32.into()).unwrap();
                let all = linear(&cpu, &x, &w);
                for count in (1..=20).filter(|&count| count <= rows) {
                    let first = rows - count;
                    let last = linear(&cpu, &x.narrow(0, first, count).unwrap(), &w);
                    prop_assert_eq!(&last, &all[first * out..], "{:?}, {} rows", &cpu, count);
                }
            }
        }

        #[test]
        fn convolutions_agree(windows in 1usize..3, rows in 3usize..90, width in 1usize..50, stride in 1usize..3, seed: u64) {
            let rows = rows.next_multiple_of(stride);
            let (x, w) = (random(&[windows, rows, width], seed), random(&[40, 3 * width], seed + 1));
            assert_agree(&random(&[windows, rows / stride, 40], seed + 2), |kernels, y| {
                kernels.convolve(&x, &kernels.upload_matrix(w.clone(), DType::F32.into())?, &random(&[40], seed + 3), stride, y)
            });
        }

        #[test]
        // The variance of a few similar values is nearly lost in rounding, in all kernels.
        fn row_kernels_agree(rows in 1usize..200, width in 24usize..900, seed: u64) {
            let y = random(&[rows, width], seed);
            let (x, row) = (random(&[rows, width], seed + 1), |i| random(&[width], seed + i));
            assert_agree(&y, |kernels, y| kernels.layer_norm(&x, &row(2), &row(3), y));
            assert_agree(&y, |kernels, y| kernels.add(&row(2), y));
            let (table, positions) = (random(&[70, width], seed + 4), random(&[9, width], seed + 5));
            let row = |(token, position)| TokenRow { token, position, sequence: 0, window: 0 };
            let embedded = [(69, 0), (0, 8), (48, 3)].map(row).to_vec();
            let y = random(&[3, width], seed);
            assert_agree(&y, |kernels, y| {
                let batch = kernels.upload_batch(TokenBatch::new(embedded.clone()), 0)?;
                kernels.embed(&kernels.upload_matrix(table.clone(), DType::F32.into())?, &positions, &batch, y)
            });
            assert_agree(&y, |kernels, y| kernels.gather(&table, &[3, 69, 3], y));
            assert_agree(&random(&[1, width, rows], seed), |kernels, y| kernels.transpose(&x.unsqueeze(0)?, y));
        }

        #[test]
        fn attention_agrees(rows in 1usize..700, heads in 1usize..4, head in prop::sample::select(vec![8usize, 24, 64]), seed: u64) {
            let qkv = random(&[2, rows, 3 * heads * head], seed);
            let y = random(&[2, rows, heads * head], seed);
            assert_agree(&y, |kernels, y| kernels.attention(&qkv, heads, y));
        }

        #[test]
        fn caches_agree(slots in 1usize..4, heads in 1usize..4, len in 1usize..140, rows in 1usize..20, copied in (0usize..140, 1usize..140), from_audio: bool, prompts: bool, seed: u64) {
            use rand::{Rng, SeedableRng};
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let head_dim = 16;
            let width = heads * head_dim;
            let shape = CacheShape { slots, heads, len, head_dim };
            let all = || TokenBatch::of_slots(&(0..slots).collect::<Vec<_>>(), len);
            let x = random(&[slots * len, 3 * width], seed);
            let q = random(&[rows, 3 * width], seed + 1);
            let row = |sequence: usize, position: usize, window: usize| {
                TokenRow { token: 0, position: position as u32, sequence: sequence as u32, window: window as u32 }
            };
            let mut tokens: Vec<TokenRow> = (0..rows)
                .map(|_| row(rng.random_range(0..slots), rng.random_range(0..len), rng.random_range(0..slots)))
                .collect();
            // Neighbours that attend to the same entries, and neighbours that do not; or prompts.
            tokens[rows / 2..].fill(row(0, len - 1, 0));
            if prompts {
                tokens = (0..slots).flat_map(|slot| (len / 3..len).map(move |at| row(slot, at, slots - 1 - slot))).collect();
            }
            let (rows, q) = (tokens.len(), if prompts { random(&[tokens.len(), 3 * width], seed + 1) } else { q });
            let source = if from_audio { AttentionSource::Audio(len.div_ceil(2)) } else { AttentionSource::Text };
            assert_agree(&random(&[rows, width], seed), |kernels, y| {
                let cache = kernels.new_cache(shape, DType::F32, &Device::Cpu)?;
                kernels.store(&cache, &x, width, &kernels.upload_batch(all(), 0)?)?;
                kernels.copy_entries(&cache, slots - 1, 0, copied.0.min(len)..(copied.0 + copied.1).min(len))?;
                let batch = kernels.upload_batch(TokenBatch::new(tokens.clone()), len.div_ceil(2))?;
                kernels.cached_attention(&q, &cache, &batch, source, y)
            });
        }

        #[test]
        fn attention_weights_agree(len in 1usize..140, attended in 1usize..140, rows in 1usize..30, selected in prop::collection::vec(0usize..3, 1..5), seed: u64) {
            let (slots, heads, head_dim) = (2, 3, 16);
            let width = heads * head_dim;
            let shape = CacheShape { slots, heads, len, head_dim };
            let all = || TokenBatch::of_slots(&(0..slots).collect::<Vec<_>>(), len);
            let x = random(&[slots * len, 2 * width], seed);
            let q = random(&[rows + 1, 2 * width], seed + 1).narrow(0, 1, rows).unwrap();
            let attended = attended.min(len);
            let weights = all_kernels(&random(&[selected.len(), rows, attended], seed), |kernels, y| {
                let cache = kernels.new_cache(shape, DType::F32, &Device::Cpu)?;
                kernels.store(&cache, &x, 0, &kernels.upload_batch(all(), 0)?)?;
                kernels.cached_weights(&q, &cache, &selected, (1, attended), y)
            });
            assert_all_close(&weights, 1e-5);
            for sum in flat(&weights[0].sum(2).unwrap()) {
                prop_assert!((sum - 1.0).abs() < 1e-4);
            }
        }

        #[test]
        fn attention_of_a_row_does_not_depend_on_its_neighbours(rows in 2usize..20, len in 1usize..140, seed: u64) {
            let (heads, head_dim) = (2, 64);
            let shape = CacheShape { slots: 1, heads, len, head_dim };
            let row = TokenRow { token: 0, position: len as u32 - 1, sequence: 0, window: 0 };
            let (x, q) = (random(&[len, 2 * heads * head_dim], seed), random(&[rows, heads * head_dim], seed + 1));
            for cpu in cpus(0) {
                let cache = cpu.new_cache(shape, DType::F32, &Device::Cpu).unwrap();
                cpu.store(&cache, &x, 0, &TokenBatch::of_slots(&[0], len)).unwrap();
                let y = random(&[rows, heads * head_dim], seed);
                cpu.cached_attention(&q, &cache, &TokenBatch::new(vec![row; rows]), AttentionSource::Text, &y).unwrap();
                for at in 0..rows {
                    let (q, alone) = (q.narrow(0, at, 1).unwrap(), random(&[1, heads * head_dim], seed));
                    cpu.cached_attention(&q, &cache, &TokenBatch::new(vec![row]), AttentionSource::Text, &alone).unwrap();
                    prop_assert_eq!(flat(&alone), flat(&y.narrow(0, at, 1).unwrap()));
                }
            }
        }
    }

    #[test]
    fn rejects_results_in_the_memory_of_an_operand() {
        let x = random(&[4, 16], 0);
        let cpu = Cpu::new();
        let w = cpu.upload_matrix(random(&[16, 16], 1), DType::F32.into()).unwrap();
        assert!(cpu.linear(&x, &w, None, Epilogue::Store, &x).is_err());
    }
}
