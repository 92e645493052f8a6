//! The tensors of a key and value cache in one number format.

use std::marker::PhantomData;
use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};

use super::attention::HeadLayout;
use super::cached;
use super::level::SimdLevel;
use super::memory::use_huge_pages;
use super::storage::{TensorNumber, values_of, write_from, write_from_as};
use crate::device::kernels::{CachePosition, CachePrefix, CacheShape, LayerCache};

/// A cache whose values are `T`.
pub struct CacheOf<'a, T> {
    level: SimdLevel,
    cache: &'a LayerCache,
    keys: HeadLayout,
    values: HeadLayout,
    number: PhantomData<T>,
}

/// Allocates an empty cache.
pub fn allocate(level: SimdLevel, shape: CacheShape, dtype: DType, device: &Device) -> Result<LayerCache> {
    let CacheShape { slots, heads, .. } = shape;
    let zeros = |layout: HeadLayout| {
        let (len, shape) = (slots * heads * layout.size(), (slots, heads, layout.size()));
        // Zeros of these types come from the system, which touches no memory for them.
        match dtype {
            DType::F16 => {
                let zeros = use_huge_pages(vec![0u16; len]).reinterpret_into::<f16>();
                Tensor::from_vec(zeros, shape, device)
            }
            DType::BF16 => {
                let zeros = use_huge_pages(vec![0u16; len]).reinterpret_into::<bf16>();
                Tensor::from_vec(zeros, shape, device)
            }
            _ => Tensor::from_vec(use_huge_pages(vec![0f32; len]), shape, device),
        }
    };
    let (keys, values) = (HeadLayout::keys(level, shape), HeadLayout::values(level, shape));
    Ok(LayerCache { keys: zeros(keys)?, values: zeros(values)?, shape })
}
impl<'a, T: TensorNumber> CacheOf<'a, T> {
    pub fn of(level: SimdLevel, cache: &'a LayerCache) -> Self {
        let (keys, values) = (HeadLayout::keys(level, cache.shape), HeadLayout::values(level, cache.shape));
        CacheOf { level, cache, keys, values, number: PhantomData }
    }

    /// Stores the keys and values that stand side by side in `x` from a column on.
    pub fn store(&self, x: &Tensor, column: usize, positions: &[CachePosition]) -> Result<()> {
        let (columns, shape) = (x.dims2()?.1, self.cache.shape);
        let store = |cache, layout, column| {
            write_from_as::<f32, T>(cache, x, |x, cache| {
                cached::store(cache, layout, shape, (x, columns, column), positions)
            })
        };
        store(&self.cache.keys, self.keys, column)?;
        store(&self.cache.values, self.values, column + shape.heads * shape.head_dim)
    }

    /// Copies entries of a slot to the same positions of another one.
    pub fn copy(&self, from: usize, to: usize, entries: &Range<usize>) -> Result<()> {
        let LayerCache { keys, values, shape } = self.cache;
        let copy = |cache, other, layout| {
            write_from_as::<T, T>(cache, other, |_, cache| {
                cached::copy(cache, layout, *shape, (from, to), entries)
            })
        };
        copy(keys, values, self.keys)?;
        copy(values, keys, self.values)
    }

    pub fn attend(&self, q: &Tensor, prefixes: &[CachePrefix], y: &Tensor) -> Result<()> {
        let (columns, shape) = (q.dims2()?.1, self.cache.shape);
        let (keys, values) = (values_of::<T>(&self.cache.keys)?, values_of::<T>(&self.cache.values)?);
        write_from(y, q, |q, y| cached::attend(self.level, (q, columns), &keys, &values, shape, prefixes, y))
    }

    pub fn weigh(&self, q: &Tensor, heads: &[usize], prefix: CachePrefix, y: &Tensor) -> Result<()> {
        let (columns, shape) = (q.dims2()?.1, self.cache.shape);
        let keys = values_of::<T>(&self.cache.keys)?;
        write_from(y, q, |q, y| cached::weigh(self.level, (q, columns), &keys, shape, heads, prefix, y))
    }
}
