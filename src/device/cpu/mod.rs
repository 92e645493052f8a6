//! The kernels of the CPU: f32, on the widest vectors that the machine has, chosen at run time.

#![expect(unsafe_code, reason = "calls into the gemm crate, which takes pointers")]

mod attention;
mod cached;
mod linear;
mod pointwise;

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Storage, Tensor, bail};
use candle_nn::ops::layer_norm;

use super::kernels::{Kernels, Place};

#[derive(Debug)]
pub struct Cpu;

/// Rows with this much work or less are computed by the calling thread alone: waking others costs more.
const SERIAL_WORK: usize = 1 << 16;

impl Kernels for Cpu {
    fn linear(&self, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Result<Tensor> {
        let (out, width) = weight.dims2()?;
        let mut shape = x.dims().to_vec();
        if shape.last() != Some(&width) {
            bail!("linear: rows of {:?} against a weight of {:?}", x.shape(), weight.shape());
        }
        let rank = shape.len();
        shape[rank - 1] = out;
        let mut y = vec![0f32; shape.iter().product()];
        let (x_values, w) = (values(x)?, values(weight)?);
        let bias = bias.map(values).transpose()?;
        let bias = bias.as_deref();
        if rank == 2 {
            linear::rows(&x_values, &w, bias, &mut y, width, out);
        } else {
            let rows = shape[rank - 2];
            for (x, y) in x_values.chunks_exact(rows * width).zip(y.chunks_exact_mut(rows * out)) {
                linear::matrix(x, &w, bias, y, (rows, width, out));
            }
        }
        if gelu {
            pointwise::gelu(&mut y);
        }
        Tensor::from_vec(y, shape, x.device())
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
        layer_norm(x, weight, bias, super::LAYER_NORM_EPS)
    }

    fn attention(&self, qkv: &Tensor, heads: usize) -> Result<Tensor> {
        let (batch, rows, width3) = qkv.dims3()?;
        let width = width3 / 3;
        let mut y = vec![0f32; batch * rows * width];
        for (qkv, y) in values(qkv)?.chunks_exact(rows * width3).zip(y.chunks_exact_mut(rows * width)) {
            attention::full(qkv, y, rows, heads, width / heads);
        }
        Tensor::from_vec(y, (batch, rows, width), qkv.device())
    }

    fn store(&self, cache: &Tensor, x: &Tensor, column: usize, places: &[Place]) -> Result<()> {
        cache.inplace_op2(x, &Store { column, places })
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        keys: &Tensor,
        entries: &Tensor,
        reach: &[Place],
    ) -> Result<Tensor> {
        let (slots, heads, len, head) = keys.dims4()?;
        if let Some(&place) = reach.iter().find(|&&(slot, seen)| slot >= slots || seen == 0 || seen > len) {
            bail!("cached attention: {place:?} in {slots} slots of {len}");
        }
        let shape = cached::CacheShape { heads, len, head };
        let (rows, columns) = q.dims2()?;
        let mut y = vec![0f32; rows * heads * head];
        cached::attend(&values(q)?, columns, &values(keys)?, &values(entries)?, shape, reach, &mut y)?;
        Tensor::from_vec(y, (rows, heads * head), q.device())
    }
}

/// The values of a contiguous f32 tensor, where they lie.
struct Values<G> {
    storage: G,
    range: Range<usize>,
}

fn values(x: &Tensor) -> Result<Values<impl Deref<Target = Storage>>> {
    let (storage, layout) = x.storage_and_layout();
    let Some((first, last)) = layout.contiguous_offsets() else {
        bail!("a tensor of {:?} is not contiguous", x.shape());
    };
    if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
        bail!("the CPU's kernels take f32 tensors of the CPU");
    }
    Ok(Values { storage, range: first..last })
}

impl<G: Deref<Target = Storage>> Deref for Values<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => &[],
        }
    }
}

struct Store<'a> {
    column: usize,
    places: &'a [Place],
}

impl InplaceOp2 for Store<'_> {
    fn name(&self) -> &'static str {
        "store"
    }

    fn cpu_fwd(&self, cache: &mut CpuStorage, to: &Layout, x: &CpuStorage, from: &Layout) -> Result<()> {
        let (CpuStorage::F32(cache), CpuStorage::F32(x)) = (cache, x) else {
            bail!("store: only f32");
        };
        let (slots, heads, len, head) = to.shape().dims4()?;
        let (rows, columns) = from.shape().dims2()?;
        let (Some((start, _)), Some((first, _))) = (to.contiguous_offsets(), from.contiguous_offsets())
        else {
            bail!("store: only contiguous tensors");
        };
        if rows != self.places.len() || self.column + heads * head > columns {
            bail!("store: {rows}x{columns} into {} places from column {}", self.places.len(), self.column);
        }
        for (row, &(slot, position)) in self.places.iter().enumerate() {
            if slot >= slots || position >= len {
                bail!("store: place {slot}, {position} in {slots} slots of {len}");
            }
            for h in 0..heads {
                let source = first + row * columns + self.column + h * head;
                let target = start + ((slot * heads + h) * len + position) * head;
                cache[target..target + head].copy_from_slice(&x[source..source + head]);
            }
        }
        Ok(())
    }
}
