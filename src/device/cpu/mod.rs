//! The CPU kernels: f32 or 8-bit integers, with the widest vector instructions of the machine, selected at run time.
//!
//! Each sum adds its terms in one fixed order, whatever the number of threads and whatever else is in the batch.

#![expect(unsafe_code, reason = "threads that write to parts of one slice, prefetching, madvise")]

mod attention;
mod cache;
mod cached;
mod dense;
mod int8;
mod level;
mod linear;
mod lstm;
mod matrix;
mod memory;
mod pointwise;
mod storage;
mod stored;
mod tile;

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::MatrixFormat;
use super::kernels::{
    AttentionSource, CachePrefix, CacheShape, Epilogue, Kernels, LayerCache, Matrix, MatrixValues,
    TokenBatch, TokenRow,
};
use cache::CacheOf;
use half::{bf16, f16};
use matrix::InputRows;
use storage::{overwrite, values, write, write_from};

pub use dense::DenseLayer;
pub use level::SimdLevel;
pub use lstm::{LstmLayer, LstmWeights};
pub use matrix::CpuMatrix;

#[derive(Debug)]
pub struct Cpu {
    level: SimdLevel,
}

impl Cpu {
    pub fn new() -> Self {
        Self::with_level(SimdLevel::best())
    }

    /// Returns the kernels in these vector instructions.
    pub fn with_level(level: SimdLevel) -> Self {
        Cpu { level }
    }

    fn pack(&self, weight: Tensor, format: MatrixFormat, magnitudes: Option<&[f32]>) -> Result<Matrix> {
        let (out, width) = weight.dims2()?;
        if magnitudes.is_some_and(|magnitudes| magnitudes.len() != width) {
            bail!("a weight of {width} inputs, but other magnitudes");
        }
        let packed = CpuMatrix::pack(&values(&weight.contiguous()?)?, width, format, magnitudes, self.level)?;
        Ok(Matrix { values: MatrixValues::Packed(packed), out, width })
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new()
    }
}

/// Work up to which the calling thread does it alone, because waking others costs more.
const SERIAL_WORK: usize = 1 << 16;

/// Does something with a cache as one of its number format.
macro_rules! in_its_format {
    ($kernels:expr, $cache:expr, $typed:ident => $result:expr) => {
        match $cache.keys.dtype() {
            DType::F16 => {
                let $typed = CacheOf::<f16>::of($kernels.level, $cache);
                $result
            }
            DType::BF16 => {
                let $typed = CacheOf::<bf16>::of($kernels.level, $cache);
                $result
            }
            _ => {
                let $typed = CacheOf::<f32>::of($kernels.level, $cache);
                $result
            }
        }
    };
}

impl Kernels for Cpu {
    fn upload_matrix(&self, weight: Tensor, format: MatrixFormat) -> Result<Matrix> {
        self.pack(weight, format, None)
    }

    fn upload_matrix_for(&self, weight: Tensor, format: MatrixFormat, magnitudes: &[f32]) -> Result<Matrix> {
        self.pack(weight, format, Some(magnitudes))
    }

    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()> {
        overwrite(values, y)
    }

    fn embed(&self, table: &Matrix, positions: &Tensor, batch: &TokenBatch, y: &Tensor) -> Result<()> {
        let width = table.width;
        let positions = values(positions)?;
        let out_of_range = |row: &&TokenRow| {
            row.token as usize >= table.out || (row.position as usize + 1) * width > positions.len()
        };
        if let Some(row) = batch.rows.iter().find(out_of_range) {
            bail!("embedding: {row:?} of {} tokens and {} positions", table.out, positions.len() / width);
        }
        let table = table.packed()?;
        write(y, |y| {
            for (y, row) in y.chunks_exact_mut(width).zip(&batch.rows) {
                table.add_row(row.token as usize, &positions[row.position as usize * width..], y);
            }
            Ok(())
        })
    }

    fn gather(&self, x: &Tensor, indices: &[u32], y: &Tensor) -> Result<()> {
        let (rows, width) = x.dims2()?;
        if indices.iter().any(|&row| row as usize >= rows) || y.elem_count() != indices.len() * width {
            bail!("gather: {indices:?} of {rows} rows to {:?}", y.shape());
        }
        write_from(y, x, |x, y| {
            for (y, &row) in y.chunks_exact_mut(width).zip(indices) {
                y.copy_from_slice(&x[row as usize * width..][..width]);
            }
            Ok(())
        })
    }

    fn transpose(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        let (_, rows, columns) = x.dims3()?;
        write_from(y, x, |x, y| {
            for (x, y) in x.chunks_exact(rows * columns).zip(y.chunks_exact_mut(rows * columns)) {
                pointwise::transpose(x, y, rows, columns);
            }
            Ok(())
        })
    }

    fn add(&self, rows: &Tensor, y: &Tensor) -> Result<()> {
        write_from(y, rows, |rows, y| {
            pointwise::add(self.level, y, rows);
            Ok(())
        })
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Tensor>,
        epilogue: Epilogue,
        y: &Tensor,
    ) -> Result<()> {
        let (width, out) = (weight.width, weight.out);
        let rows = x.elem_count() / width;
        let (weight, bias) = (weight.packed()?, bias.map(values).transpose()?);
        write_from(y, x, |x, y| {
            if x.len() != rows * width || y.len() != rows * out {
                bail!("linear: {} values by {width} x {out} to {}", x.len(), y.len());
            }
            let input = InputRows { x, stride: width, rows };
            weight.multiply(self.level, input, bias.as_deref(), epilogue, y)
        })
    }

    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()> {
        let (_, rows, input) = x.dims3()?;
        let bias = values(bias)?;
        let (out, count) = (weight.out, rows / stride);
        if weight.width != 3 * input || rows < 3 || y.elem_count() != x.dim(0)? * count * out {
            bail!("convolve: {:?} to {:?}", x.shape(), y.shape());
        }
        let weight = weight.packed()?;
        let product = |x: &[f32], stride, rows, y: &mut [f32]| {
            let input = InputRows { x, stride, rows };
            weight.multiply(self.level, input, Some(&*bias), Epilogue::Gelu, y)
        };
        write_from(y, x, |x, y| {
            for (x, y) in x.chunks_exact(rows * input).zip(y.chunks_exact_mut(count * out)) {
                // The taps of a row are contiguous in `x`, except for the rows at the edges.
                let (first, inner) = y.split_at_mut(out);
                let mut edge = vec![0f32; 3 * input];
                edge[input..].copy_from_slice(&x[..2 * input]);
                product(&edge, 0, 1, first)?;
                let whole = (rows - 2) / stride;
                let (inner, last) = inner.split_at_mut(whole.min(count - 1) * out);
                product(&x[(stride - 1) * input..], stride * input, inner.len() / out, inner)?;
                if !last.is_empty() {
                    edge[..2 * input].copy_from_slice(&x[(rows - 2) * input..]);
                    edge[2 * input..].fill(0.0);
                    product(&edge, 0, 1, last)?;
                }
            }
            Ok(())
        })
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()> {
        let (weight, bias) = (values(weight)?, values(bias)?);
        write_from(y, x, |x, y| {
            if x.len() != y.len() || weight.len() != bias.len() || !x.len().is_multiple_of(weight.len()) {
                bail!("layer norm: {} values in rows of {}", x.len(), weight.len());
            }
            pointwise::layer_norm(self.level, x, &weight, &bias, y);
            Ok(())
        })
    }

    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()> {
        let (_, rows, width3) = qkv.dims3()?;
        let width = width3 / 3;
        write_from(y, qkv, |qkv, y| {
            for (qkv, y) in qkv.chunks_exact(rows * width3).zip(y.chunks_exact_mut(rows * width)) {
                attention::full(self.level, qkv, y, rows, heads, width / heads);
            }
            Ok(())
        })
    }

    fn new_cache(&self, shape: CacheShape, dtype: DType, device: &Device) -> Result<LayerCache> {
        cache::allocate(self.level, shape, dtype, device)
    }

    fn store(&self, cache: &LayerCache, x: &Tensor, column: usize, batch: &TokenBatch) -> Result<()> {
        in_its_format!(self, cache, cache => cache.store(x, column, &batch.positions))
    }

    fn copy_entries(&self, cache: &LayerCache, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        in_its_format!(self, cache, cache => cache.copy(from, to, &entries))
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        batch: &TokenBatch,
        source: AttentionSource,
        y: &Tensor,
    ) -> Result<()> {
        let prefixes: Vec<CachePrefix> = batch.rows.iter().map(|row| source.prefix(row)).collect();
        in_its_format!(self, cache, cache => cache.attend(q, &prefixes, y))
    }

    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        heads: &[usize],
        prefix: CachePrefix,
        y: &Tensor,
    ) -> Result<()> {
        in_its_format!(self, cache, cache => cache.weigh(q, heads, prefix, y))
    }

    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        to.clear();
        to.extend_from_slice(&values(x)?);
        Ok(())
    }
}
