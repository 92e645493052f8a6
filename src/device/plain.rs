//! Every kernel in candle's own operations: what the fast ones are tested against, and what runs on a device
//! that has none.

use candle_core::{D, Result, Tensor};
use candle_nn::ops::{layer_norm, softmax_last_dim};

use super::kernels::{Kernels, Place};

#[derive(Debug)]
pub struct Plain;

/// Query rows whose scores are in memory at a time: never the whole square of the window.
const QUERY_ROWS: usize = 512;

impl Kernels for Plain {
    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Tensor> {
        let y = x.broadcast_matmul(&weight.t()?)?;
        let y = match bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        if gelu { y.gelu_erf() } else { Ok(y) }
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        layer_norm(&x.contiguous()?, weight, bias, super::LAYER_NORM_EPS)
    }

    fn attention(&self, qkv: &Tensor, heads: usize) -> Result<Tensor> {
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
        let mut pieces = Vec::with_capacity(rows.div_ceil(QUERY_ROWS));
        for first in (0..rows).step_by(QUERY_ROWS) {
            let q = q.narrow(2, first, QUERY_ROWS.min(rows - first))?.contiguous()?;
            pieces.push(softmax_last_dim(&q.matmul(&k)?)?.matmul(&v)?);
        }
        Tensor::cat(&pieces, 2)?.transpose(1, 2)?.reshape((batch, rows, width))
    }

    fn store(&self, cache: &Tensor, x: &Tensor, column: usize, places: &[Place]) -> Result<()> {
        let (_, heads, _, head) = cache.dims4()?;
        let x = x.narrow(D::Minus1, column, heads * head)?;
        // Rows that follow one another in the same slot go in one piece.
        let mut first = 0;
        while first < places.len() {
            let (slot, position) = places[first];
            let run =
                (first..places.len()).take_while(|&i| places[i] == (slot, position + i - first)).count();
            let piece =
                x.narrow(0, first, run)?.reshape((run, heads, head))?.transpose(0, 1)?.contiguous()?;
            cache.narrow(0, slot, 1)?.squeeze(0)?.slice_set(&piece, 1, position)?;
            first += run;
        }
        Ok(())
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        reach: &[Place],
    ) -> Result<Tensor> {
        let (_, heads, _, head) = keys.dims4()?;
        let q = (q.narrow(D::Minus1, 0, heads * head)? * scale(head))?;
        let rows = reach.iter().enumerate().map(|(row, &(slot, len))| {
            let seen = |cache: &Tensor| cache.get(slot)?.narrow(1, 0, len)?.contiguous();
            let q = q.get(row)?.reshape((heads, 1, head))?;
            let scores = softmax_last_dim(&q.matmul(&seen(keys)?.transpose(1, 2)?)?)?;
            scores.matmul(&seen(values)?)?.reshape((1, heads * head))
        });
        Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
    }
}

fn scale(head: usize) -> f64 {
    (head as f64).powf(-0.5)
}
