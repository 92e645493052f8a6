//! Every kernel in candle's own operations: what the fast ones are tested against, and what runs on a device
//! that has none.

use std::ops::Range;

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};

use super::kernels::{Kernels, KeysValues, Matrix, Place, Rows, Sees, Then};

#[derive(Debug)]
pub struct Plain {
    device: Device,
}

impl Plain {
    pub fn on(device: &Device) -> Self {
        Plain { device: device.clone() }
    }
}

/// Query rows whose scores are in memory at a time: never the whole square of the window.
const QUERY_ROWS: usize = 512;

impl Kernels for Plain {
    fn matrix(&self, weight: Tensor) -> Result<Matrix> {
        let (out, width) = weight.dims2()?;
        Ok(Matrix { values: self.tensor(weight)?, out, width })
    }

    fn tensor(&self, x: Tensor) -> Result<Tensor> {
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

    fn embed(&self, table: &Matrix, positions: &Tensor, rows: &Rows, y: &Tensor) -> Result<()> {
        let tokens: Vec<u32> = rows.list.iter().map(|row| row.token).collect();
        let at: Vec<u32> = rows.list.iter().map(|row| row.position).collect();
        let rows = |table: &Tensor, chosen: Vec<u32>| {
            table.index_select(&Tensor::from_vec(chosen, rows.list.len(), &self.device)?, 0)
        };
        set(y, &(rows(&table.values, tokens)? + rows(positions, at)?)?)
    }

    fn pick(&self, x: &Tensor, chosen: &[u32], y: &Tensor) -> Result<()> {
        set(y, &x.index_select(&Tensor::from_slice(chosen, chosen.len(), &self.device)?, 0)?)
    }

    fn turn(&self, x: &Tensor, y: &Tensor) -> Result<()> {
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
        then: Then,
        y: &Tensor,
    ) -> Result<()> {
        let product = x.broadcast_matmul(&weight.values.t()?)?;
        let product = match bias {
            Some(bias) => product.broadcast_add(bias)?,
            None => product,
        };
        match then {
            Then::Keep => set(y, &product),
            Then::Gelu => set(y, &product.gelu_erf()?),
            Then::Add => set(y, &(product + y)?),
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
        self.linear(&taps, weight, Some(bias), Then::Gelu, y)
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()> {
        set(y, &layer_norm(&x.contiguous()?, weight, bias, super::LAYER_NORM_EPS)?)
    }

    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()> {
        let (batch, rows, width) = qkv.dims3()?;
        let (width, head) = (width / 3, width / 3 / heads);
        let split = |i: usize| {
            qkv.narrow(2, i * width, width)?
                .reshape((batch, rows, heads, head))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (q, k, v) = (split(0)?, split(1)?.transpose(2, 3)?, split(2)?);
        let q = (q * scale(head))?;
        for first in (0..rows).step_by(QUERY_ROWS) {
            let count = QUERY_ROWS.min(rows - first);
            let q = q.narrow(2, first, count)?.contiguous()?;
            let heard = softmax_last_dim(&q.matmul(&k)?)?.matmul(&v)?;
            y.slice_set(&heard.transpose(1, 2)?.reshape((batch, count, width))?, 1, first)?;
        }
        Ok(())
    }

    fn cache(&self, shape: [usize; 4], dtype: DType, device: &Device) -> Result<KeysValues> {
        let zeros = || Tensor::zeros(shape.as_slice(), dtype, device);
        Ok(KeysValues { keys: zeros()?, values: zeros()?, shape })
    }

    fn store(&self, cache: &KeysValues, x: &Tensor, column: usize, rows: &Rows) -> Result<()> {
        let ([_, heads, _, head], places) = (cache.shape, &rows.places);
        for (cache, column) in [(&cache.keys, column), (&cache.values, column + heads * head)] {
            let x = x.narrow(D::Minus1, column, heads * head)?;
            // Rows that follow one another in the same slot go in one piece.
            let mut first = 0;
            while first < places.len() {
                let (slot, position) = places[first];
                let run =
                    (first..places.len()).take_while(|&i| places[i] == (slot, position + i - first)).count();
                let piece = x.narrow(0, first, run)?.reshape((run, heads, head))?;
                cache.get(slot)?.slice_set(&piece.transpose(0, 1)?.contiguous()?, 1, position)?;
                first += run;
            }
        }
        Ok(())
    }

    fn copy(&self, cache: &KeysValues, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        for tensor in [&cache.keys, &cache.values] {
            let piece = tensor.get(from)?.narrow(1, entries.start, entries.len())?.force_contiguous()?;
            tensor.get(to)?.slice_set(&piece, 1, entries.start)?;
        }
        Ok(())
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        rows: &Rows,
        sees: Sees,
        y: &Tensor,
    ) -> Result<()> {
        let [_, heads, _, head] = cache.shape;
        let q = (q.narrow(D::Minus1, 0, heads * head)? * scale(head))?;
        for (row, (slot, len)) in rows.list.iter().map(|row| sees.reach(row)).enumerate() {
            let seen = |cache: &Tensor| cache.get(slot)?.narrow(1, 0, len)?.contiguous();
            let q = q.get(row)?.reshape((heads, 1, head))?;
            let scores = softmax_last_dim(&q.matmul(&seen(&cache.keys)?.transpose(1, 2)?)?)?;
            y.slice_set(&scores.matmul(&seen(&cache.values)?)?.reshape((1, heads * head))?, 0, row)?;
        }
        Ok(())
    }

    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        heads: &[usize],
        (slot, seen): Place,
        y: &Tensor,
    ) -> Result<()> {
        let head = cache.shape[3];
        let keys = cache.keys.get(slot)?.narrow(1, 0, seen)?;
        for (index, &h) in heads.iter().enumerate() {
            let q = (q.narrow(D::Minus1, h * head, head)?.contiguous()? * scale(head))?;
            let weights = softmax_last_dim(&q.matmul(&keys.get(h)?.t()?)?)?;
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

fn scale(head: usize) -> f64 {
    (head as f64).powf(-0.5)
}
