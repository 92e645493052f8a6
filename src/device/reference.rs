//! The reference kernels: every operation in candle's own operations. The fast kernels are tested against them, and they
//! run on devices that have no others.

use std::ops::Range;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};

use super::formats::MatrixFormat;
use super::kernels::{
    AttentionSource, CachePrefix, CacheShape, Epilogue, Kernels, LayerCache, Matrix, MatrixValues, TokenBatch,
};

#[derive(Debug)]
pub struct Reference {
    device: Device,
}

impl Reference {
    pub fn on(device: &Device) -> Self {
        Reference { device: device.clone() }
    }
}

/// Query rows whose scores are in memory at a time, so that a window never needs its whole square of scores.
const QUERY_ROWS: usize = 512;

impl Kernels for Reference {
    fn upload_matrix(&self, weight: Tensor, format: MatrixFormat) -> Result<Matrix> {
        let (out, width) = weight.dims2()?;
        let values = self.upload_tensor(weight.to_dtype(format.float()?)?)?;
        Ok(Matrix { values: MatrixValues::RowMajor(values), out, width })
    }

    fn upload_tensor(&self, x: Tensor) -> Result<Tensor> {
        x.contiguous()?.to_device(&self.device)
    }

    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()> {
        let y = y.flatten_all()?;
        let mut first = 0;
        for values in values {
            y.slice_set(&Tensor::from_slice(values, values.len(), &self.device)?, 0, first)?;
            first += values.len();
        }
        Ok(())
    }

    fn embed(&self, table: &Matrix, positions: &Tensor, batch: &TokenBatch, y: &Tensor) -> Result<()> {
        let tokens: Vec<u32> = batch.rows.iter().map(|row| row.token).collect();
        let at: Vec<u32> = batch.rows.iter().map(|row| row.position).collect();
        let rows = |table: &Tensor, indices: Vec<u32>| {
            table.index_select(&Tensor::from_vec(indices, batch.rows.len(), &self.device)?, 0)
        };
        set(y, &(rows(table.row_major()?, tokens)? + rows(positions, at)?)?)
    }

    fn gather(&self, x: &Tensor, indices: &[u32], y: &Tensor) -> Result<()> {
        set(y, &x.index_select(&Tensor::from_slice(indices, indices.len(), &self.device)?, 0)?)
    }

    fn transpose(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        set(y, &x.transpose(1, 2)?)
    }

    fn add(&self, rows: &Tensor, y: &Tensor) -> Result<()> {
        set(y, &y.broadcast_add(rows)?)
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Tensor>,
        epilogue: Epilogue,
        y: &Tensor,
    ) -> Result<()> {
        let product = x.broadcast_matmul(&weight.row_major()?.t()?)?;
        let product = match bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        };
        match epilogue {
            Epilogue::Store => set(y, &product),
            Epilogue::Gelu => set(y, &product.gelu_erf()?),
            Epilogue::Add => set(y, &(product + y)?),
        }
    }

    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()> {
        let (windows, rows, width) = x.dims3()?;
        let (padded, out) = (x.pad_with_zeros(1, 1, 1)?, rows / stride);
        let tap = |first: usize| {
            let rows = padded.narrow(1, first, out * stride)?.contiguous()?;
            rows.reshape((windows, out, stride * width))?.narrow(2, 0, width)
        };
        let taps = Tensor::cat(&[tap(0)?, tap(1)?, tap(2)?], 2)?.contiguous()?;
        self.linear(&taps, weight, Some(bias), Epilogue::Gelu, y)
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()> {
        set(y, &layer_norm(&x.contiguous()?, weight, bias, super::LAYER_NORM_EPS)?)
    }

    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()> {
        let (batch, rows, width) = qkv.dims3()?;
        let (width, head_dim) = (width / 3, width / 3 / heads);
        let split = |i: usize| {
            qkv.narrow(2, i * width, width)?
                .reshape((batch, rows, heads, head_dim))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (q, k, v) = (split(0)?, split(1)?.transpose(2, 3)?, split(2)?);
        let q = (q * scale(head_dim))?;
        for first in (0..rows).step_by(QUERY_ROWS) {
            let count = QUERY_ROWS.min(rows - first);
            let q = q.narrow(2, first, count)?.contiguous()?;
            let attended = softmax_last_dim(&q.matmul(&k)?)?.matmul(&v)?;
            y.slice_set(&attended.transpose(1, 2)?.reshape((batch, count, width))?, 1, first)?;
        }
        Ok(())
    }

    fn new_cache(&self, shape: CacheShape, dtype: DType, device: &Device) -> Result<LayerCache> {
        let zeros = || Tensor::zeros(&shape.dims()[..], dtype, device);
        Ok(LayerCache { keys: zeros()?, values: zeros()?, shape })
    }

    fn store(&self, cache: &LayerCache, x: &Tensor, column: usize, batch: &TokenBatch) -> Result<()> {
        let (CacheShape { heads, head_dim, .. }, positions) = (cache.shape, &batch.positions);
        for (cache, column) in [(&cache.keys, column), (&cache.values, column + heads * head_dim)] {
            let x = x.narrow(D::Minus1, column, heads * head_dim)?;
            // Neighbouring rows with neighbouring positions are written at once.
            let mut first = 0;
            while first < positions.len() {
                let (slot, position) = positions[first];
                let run = (first..positions.len())
                    .take_while(|&i| positions[i] == (slot, position + i - first))
                    .count();
                let piece = x.narrow(0, first, run)?.reshape((run, heads, head_dim))?;
                cache.get(slot)?.slice_set(&piece.transpose(0, 1)?.contiguous()?, 1, position)?;
                first += run;
            }
        }
        Ok(())
    }

    fn copy_entries(&self, cache: &LayerCache, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        for tensor in [&cache.keys, &cache.values] {
            let piece = tensor.get(from)?.narrow(1, entries.start, entries.len())?.force_contiguous()?;
            tensor.get(to)?.slice_set(&piece, 1, entries.start)?;
        }
        Ok(())
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        batch: &TokenBatch,
        source: AttentionSource,
        y: &Tensor,
    ) -> Result<()> {
        let CacheShape { heads, head_dim, .. } = cache.shape;
        let q = (q.narrow(D::Minus1, 0, heads * head_dim)? * scale(head_dim))?;
        for (row, (slot, len)) in batch.rows.iter().map(|row| source.prefix(row)).enumerate() {
            let prefix = |cache: &Tensor| cache.get(slot)?.narrow(1, 0, len)?.contiguous();
            let q = q.get(row)?.reshape((heads, 1, head_dim))?;
            let weights = softmax_last_dim(&q.matmul(&prefix(&cache.keys)?.transpose(1, 2)?)?)?;
            let attended = weights.matmul(&prefix(&cache.values)?)?;
            y.slice_set(&attended.reshape((1, heads * head_dim))?, 0, row)?;
        }
        Ok(())
    }

    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        heads: &[usize],
        (slot, len): CachePrefix,
        y: &Tensor,
    ) -> Result<()> {
        let head_dim = cache.shape.head_dim;
        let keys = cache.keys.get(slot)?.narrow(1, 0, len)?;
        for (index, &head) in heads.iter().enumerate() {
            let q = (q.narrow(D::Minus1, head * head_dim, head_dim)?.contiguous()? * scale(head_dim))?;
            let weights = softmax_last_dim(&q.matmul(&keys.get(head)?.t()?)?)?;
            y.slice_set(&weights.unsqueeze(0)?.to_dtype(y.dtype())?, 0, index)?;
        }
        Ok(())
    }

    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        *to = x.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
        Ok(())
    }
}

fn set(y: &Tensor, result: &Tensor) -> Result<()> {
    y.slice_set(&result.to_dtype(y.dtype())?.contiguous()?, 0, 0)
}

fn scale(head_dim: usize) -> f64 {
    (head_dim as f64).powf(-0.5)
}
