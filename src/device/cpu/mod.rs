//! The CPU kernels: f32, with the widest vector instructions of the machine, selected at run time.
//!
//! Each sum adds its terms in one fixed order, whatever the number of threads and whatever else is in the batch.

#![expect(unsafe_code, reason = "threads that write to parts of one slice, prefetching, madvise")]

mod attention;
mod cached;
mod linear;
mod memory;
mod pointwise;
mod storage;
mod tile;

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::kernels::{
    AttentionSource, CachePrefix, CacheShape, Epilogue, Kernels, LayerCache, Matrix, MatrixValues,
    TokenBatch, TokenRow,
};
use attention::HeadLayout;
use linear::PackedProduct;
use storage::{overwrite, values, write_from};

#[derive(Debug)]
pub struct Cpu;

/// Work up to which the calling thread does it alone, because waking others costs more.
const SERIAL_WORK: usize = 1 << 16;

impl Kernels for Cpu {
    fn upload_matrix(&self, weight: Tensor, format: DType) -> Result<Matrix> {
        if format != DType::F32 {
            bail!("the CPU kernels take weights in f32, not {format:?}");
        }
        let (out, width) = weight.dims2()?;
        let mut packed = memory::zeros(linear::packed_len(width, out));
        linear::pack(&values(&weight.contiguous()?)?, width, &mut packed);
        let shape = (out.div_ceil(linear::PANEL), width, linear::PANEL);
        let packed = Tensor::from_vec(packed, shape, &Device::Cpu)?;
        Ok(Matrix { values: MatrixValues::Panels(packed), out, width })
    }

    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()> {
        overwrite(values, y)
    }

    fn embed(&self, table: &Matrix, positions: &Tensor, batch: &TokenBatch, y: &Tensor) -> Result<()> {
        let (width, panel) = (table.width, linear::PANEL);
        let positions = values(positions)?;
        let out_of_range = |row: &&TokenRow| {
            row.token as usize >= table.out || (row.position as usize + 1) * width > positions.len()
        };
        if let Some(row) = batch.rows.iter().find(out_of_range) {
            bail!("embedding: {row:?} of {} tokens and {} positions", table.out, positions.len() / width);
        }
        write_from(y, table.panels()?, |table, y| {
            for (y, row) in y.chunks_exact_mut(width).zip(&batch.rows) {
                let (index, lane) = (row.token as usize / panel, row.token as usize % panel);
                let column = table[index * panel * width + lane..].iter().step_by(panel);
                let position = &positions[row.position as usize * width..];
                y.iter_mut().zip(column).zip(position).for_each(|((y, x), position)| *y = x + position);
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
            pointwise::add(y, rows);
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
        let (w, bias) = (values(weight.panels()?)?, bias.map(values).transpose()?);
        write_from(y, x, |x, y| {
            if x.len() != rows * width || y.len() != rows * out {
                bail!("linear: {} values by {width} x {out} to {}", x.len(), y.len());
            }
            let bias = bias.as_deref();
            PackedProduct { x, stride: width, rows, width, weight: &w, bias, out, epilogue }.run(y);
            Ok(())
        })
    }

    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()> {
        let (_, rows, input) = x.dims3()?;
        let (w, bias) = (values(weight.panels()?)?, values(bias)?);
        let (out, count) = (weight.out, rows / stride);
        if weight.width != 3 * input || rows < 3 || y.elem_count() != x.dim(0)? * count * out {
            bail!("convolve: {:?} to {:?}", x.shape(), y.shape());
        }
        let product = |x: &[f32], stride, rows, y: &mut [f32]| {
            let (width, bias, epilogue) = (3 * input, Some(&*bias), Epilogue::Gelu);
            PackedProduct { x, stride, rows, width, weight: &w, bias, out, epilogue }.run(y);
        };
        write_from(y, x, |x, y| {
            for (x, y) in x.chunks_exact(rows * input).zip(y.chunks_exact_mut(count * out)) {
                // The taps of a row are contiguous in `x`, except for the rows at the edges.
                let (first, inner) = y.split_at_mut(out);
                let mut edge = vec![0f32; 3 * input];
                edge[input..].copy_from_slice(&x[..2 * input]);
                product(&edge, 0, 1, first);
                let whole = (rows - 2) / stride;
                let (inner, last) = inner.split_at_mut(whole.min(count - 1) * out);
                product(&x[(stride - 1) * input..], stride * input, inner.len() / out, inner);
                if !last.is_empty() {
                    edge[..2 * input].copy_from_slice(&x[(rows - 2) * input..]);
                    edge[2 * input..].fill(0.0);
                    product(&edge, 0, 1, last);
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
            pointwise::layer_norm(x, &weight, &bias, y);
            Ok(())
        })
    }

    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()> {
        let (_, rows, width3) = qkv.dims3()?;
        let width = width3 / 3;
        write_from(y, qkv, |qkv, y| {
            for (qkv, y) in qkv.chunks_exact(rows * width3).zip(y.chunks_exact_mut(rows * width)) {
                attention::full(qkv, y, rows, heads, width / heads);
            }
            Ok(())
        })
    }

    fn new_cache(&self, shape: CacheShape, _: DType, device: &Device) -> Result<LayerCache> {
        let CacheShape { slots, heads, .. } = shape;
        let new = |size| Tensor::from_vec(memory::zeros(slots * heads * size), (slots, heads, size), device);
        let (keys, values) = (HeadLayout::keys(shape), HeadLayout::values(shape));
        Ok(LayerCache { keys: new(keys.size())?, values: new(values.size())?, shape })
    }

    fn store(&self, cache: &LayerCache, x: &Tensor, column: usize, batch: &TokenBatch) -> Result<()> {
        let (columns, shape, positions) = (x.dims2()?.1, cache.shape, &batch.positions);
        write_from(&cache.keys, x, |x, keys| {
            cached::store(keys, HeadLayout::keys(shape), shape, (x, columns, column), positions)
        })?;
        let column = column + shape.heads * shape.head_dim;
        write_from(&cache.values, x, |x, values| {
            cached::store(values, HeadLayout::values(shape), shape, (x, columns, column), positions)
        })
    }

    fn copy_entries(&self, cache: &LayerCache, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        let LayerCache { keys, values, shape } = cache;
        write_from(keys, values, |_, keys| {
            cached::copy(keys, HeadLayout::keys(*shape), *shape, (from, to), &entries)
        })?;
        write_from(values, keys, |_, values| {
            cached::copy(values, HeadLayout::values(*shape), *shape, (from, to), &entries)
        })
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        batch: &TokenBatch,
        source: AttentionSource,
        y: &Tensor,
    ) -> Result<()> {
        let columns = q.dims2()?.1;
        let prefixes: Vec<CachePrefix> = batch.rows.iter().map(|row| source.prefix(row)).collect();
        let (keys, entries) = (values(&cache.keys)?, values(&cache.values)?);
        write_from(y, q, |q, y| cached::attend(q, columns, &keys, &entries, cache.shape, &prefixes, y))
    }

    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &LayerCache,
        heads: &[usize],
        prefix: CachePrefix,
        y: &Tensor,
    ) -> Result<()> {
        let (columns, keys) = (q.dims2()?.1, values(&cache.keys)?);
        write_from(y, q, |q, y| cached::weigh(q, columns, &keys, cache.shape, heads, prefix, y))
    }

    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        to.clear();
        to.extend_from_slice(&values(x)?);
        Ok(())
    }
}
