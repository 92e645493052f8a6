//! Keys and values that outlive a step: allocated once, written in place.

use candle_core::{DType, Device, Result, Tensor};

use crate::device::Kernels;
use crate::device::kernels::Place;

/// Of every layer, `[slots, heads, len, head width]`. What a slot holds beyond what was stored is old.
#[derive(Debug, Default)]
pub struct KvCache {
    layers: Vec<(Tensor, Tensor)>,
    width: usize,
}

/// The shape of a cache.
#[derive(Debug, Clone, Copy)]
pub struct KvShape {
    pub layers: usize,
    pub slots: usize,
    pub heads: usize,
    pub len: usize,
    pub width: usize,
}

impl KvCache {
    pub fn new(shape: KvShape, dtype: DType, device: &Device) -> Result<Self> {
        let KvShape { layers, slots, heads, len, width } = shape;
        let tensor = || Tensor::zeros((slots, heads, len, width / heads), dtype, device);
        let layers = (0..layers).map(|_| Ok((tensor()?, tensor()?))).collect::<Result<_>>()?;
        Ok(KvCache { layers, width })
    }

    /// Stores the keys and values that stand side by side in `x` from `column` on.
    pub fn store(
        &self,
        kernels: &dyn Kernels,
        layer: usize,
        x: &Tensor,
        column: usize,
        places: &[Place],
    ) -> Result<()> {
        let (keys, values) = &self.layers[layer];
        kernels.store(keys, x, column, places)?;
        kernels.store(values, x, column + self.width, places)
    }

    pub fn attend(&self, kernels: &dyn Kernels, layer: usize, q: &Tensor, reach: &[Place]) -> Result<Tensor> {
        let (keys, values) = &self.layers[layer];
        kernels.cached_attention(q, keys, values, reach)
    }

    /// Copies the first `len` entries of a slot to another one.
    pub fn copy_slot(&self, from: usize, to: usize, len: usize) -> Result<()> {
        if from == to || len == 0 {
            return Ok(());
        }
        for tensor in self.layers.iter().flat_map(|(keys, values)| [keys, values]) {
            let piece = tensor.get(from)?.narrow(1, 0, len)?.force_contiguous()?;
            tensor.get(to)?.slice_set(&piece, 1, 0)?;
        }
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.layers.iter().map(|(k, v)| (k.elem_count() + v.elem_count()) * k.dtype().size_in_bytes()).sum()
    }
}
