//! The key and value cache: allocated once, written in place.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};

use crate::device::Kernels;
use crate::device::kernels::{AttentionSource, CachePrefix, CacheShape, LayerCache, TokenBatch};

/// The keys and values of every layer. Beyond the entries that were stored, a slot holds old ones.
#[derive(Debug)]
pub struct KvCache {
    layers: Vec<LayerCache>,
    kernels: Arc<dyn Kernels>,
}

impl KvCache {
    /// Returns a cache without memory.
    pub fn empty(kernels: Arc<dyn Kernels>) -> Self {
        KvCache { layers: Vec::new(), kernels }
    }

    pub fn new(
        layers: usize,
        shape: CacheShape,
        dtype: DType,
        device: &Device,
        kernels: Arc<dyn Kernels>,
    ) -> Result<Self> {
        let layers = (0..layers).map(|_| kernels.new_cache(shape, dtype, device)).collect::<Result<_>>()?;
        Ok(KvCache { layers, kernels })
    }

    /// Stores the keys and values that stand side by side in `x` from `column` on.
    pub fn store(&self, layer: usize, x: &Tensor, column: usize, batch: &TokenBatch) -> Result<()> {
        self.kernels.store(&self.layers[layer], x, column, batch)
    }

    /// Stores the keys and values in `x` with the kernels of another queue.
    pub fn store_with(
        &self,
        kernels: &dyn Kernels,
        layer: usize,
        x: &Tensor,
        batch: &TokenBatch,
    ) -> Result<()> {
        kernels.store(&self.layers[layer], x, 0, batch)
    }

    pub fn attend(
        &self,
        layer: usize,
        q: &Tensor,
        batch: &TokenBatch,
        source: AttentionSource,
        y: &Tensor,
    ) -> Result<()> {
        self.kernels.cached_attention(q, &self.layers[layer], batch, source, y)
    }

    /// Computes the attention weights of the rows of `q` for the first entries of a slot.
    pub fn attention_weights(
        &self,
        layer: usize,
        q: &Tensor,
        heads: &[usize],
        prefix: CachePrefix,
        y: &Tensor,
    ) -> Result<()> {
        self.kernels.cached_weights(q, &self.layers[layer], heads, prefix, y)
    }

    /// Copies entries of a slot to the same positions of another one.
    pub fn copy_slot(&self, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        if from == to || entries.is_empty() {
            return Ok(());
        }
        self.layers.iter().try_for_each(|layer| self.kernels.copy_entries(layer, from, to, entries.clone()))
    }

    pub fn bytes(&self) -> usize {
        let tensors = self.layers.iter().flat_map(|layer| [&layer.keys, &layer.values]);
        tensors.map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes()).sum()
    }
}
