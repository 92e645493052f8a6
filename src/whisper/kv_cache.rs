//! Keys and values that outlive a step: allocated once, written in place.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use crate::device::Kernels;
use crate::device::kernels::{KeysValues, Place, Rows, Sees};

/// Of every layer. What a slot holds beyond what was stored is old.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<KeysValues>,
    kernels: Arc<dyn Kernels>,
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
    /// One without slots.
    pub fn none(kernels: Arc<dyn Kernels>) -> Self {
        KvCache { layers: Vec::new(), kernels }
    }

    pub fn new(shape: KvShape, dtype: DType, device: &Device, kernels: Arc<dyn Kernels>) -> Result<Self> {
        let KvShape { layers, slots, heads, len, width } = shape;
        let layer = |_| kernels.cache([slots, heads, len, width / heads], dtype, device);
        Ok(KvCache { layers: (0..layers).map(layer).collect::<Result<_>>()?, kernels })
    }

    /// Stores the keys and values that stand side by side in `x` from `column` on.
    pub fn store(&self, layer: usize, x: &Tensor, column: usize, rows: &Rows) -> Result<()> {
        self.kernels.store(&self.layers[layer], x, column, rows)
    }

    /// The same by kernels of another queue.
    pub fn store_by(&self, kernels: &dyn Kernels, layer: usize, x: &Tensor, rows: &Rows) -> Result<()> {
        kernels.store(&self.layers[layer], x, 0, rows)
    }

    pub fn attend(&self, layer: usize, q: &Tensor, rows: &Rows, sees: Sees, y: &Tensor) -> Result<()> {
        self.kernels.cached_attention(q, &self.layers[layer], rows, sees, y)
    }

    /// How the rows of `q` weigh the first entries of a slot.
    pub fn weigh(&self, layer: usize, q: &Tensor, heads: &[usize], seen: Place, y: &Tensor) -> Result<()> {
        self.kernels.cached_weights(q, &self.layers[layer], heads, seen, y)
    }

    /// Copies entries of a slot to the same places of another one.
    pub fn copy_slot(&self, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        if from == to || entries.is_empty() {
            return Ok(());
        }
        self.layers.iter().try_for_each(|layer| self.kernels.copy(layer, from, to, entries.clone()))
    }

    pub fn bytes(&self) -> usize {
        let tensors = self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]);
        tensors.map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
    }
}
