//! Access to the memory of candle's CPU tensors: values of contiguous tensors, to read and to overwrite.

use std::marker::PhantomData;
use std::ops::{Deref, Range};

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Storage, Tensor, bail};
use half::{bf16, f16};

use super::stored::Stored;

/// A number format of tensors.
pub trait TensorNumber: Stored {
    fn of(storage: &CpuStorage) -> Option<&[Self]>;

    fn of_mut(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

macro_rules! tensor_number {
    ($number:ty, $variant:ident) => {
        impl TensorNumber for $number {
            fn of(storage: &CpuStorage) -> Option<&[Self]> {
                if let CpuStorage::$variant(values) = storage { Some(values) } else { None }
            }

            fn of_mut(storage: &mut CpuStorage) -> Option<&mut [Self]> {
                if let CpuStorage::$variant(values) = storage { Some(values) } else { None }
            }
        }
    };
}

tensor_number!(f32, F32);
tensor_number!(f16, F16);
tensor_number!(bf16, BF16);

/// A borrow of the values of a contiguous tensor.
pub struct TensorValues<G, T> {
    storage: G,
    range: Range<usize>,
    number: PhantomData<T>,
}

pub fn values(x: &Tensor) -> Result<TensorValues<impl Deref<Target = Storage>, f32>> {
    values_of(x)
}

/// Does the same for any number format.
pub fn values_of<T: TensorNumber>(x: &Tensor) -> Result<TensorValues<impl Deref<Target = Storage>, T>> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(cpu) = &*storage else {
        bail!("the CPU kernels take tensors on the CPU");
    };
    let range = range::<T>(cpu, layout)?;
    Ok(TensorValues { storage, range, number: PhantomData })
}

fn range<T: TensorNumber>(storage: &CpuStorage, layout: &Layout) -> Result<Range<usize>> {
    match (T::of(storage), layout.contiguous_offsets()) {
        (Some(_), Some((first, last))) => Ok(first..last),
        (Some(_), None) => bail!("a tensor of {:?} is not contiguous", layout.shape()),
        (None, _) => bail!("a tensor in another number format than the CPU kernel takes"),
    }
}

impl<G: Deref<Target = Storage>, T: TensorNumber> Deref for TensorValues<G, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &*self.storage {
            Storage::Cpu(cpu) => T::of(cpu).map_or(&[], |values| &values[self.range.clone()]),
            _ => &[],
        }
    }
}

/// Calls `f` with the values of `x` to read and those of `y` to write. Fails if both share memory.
pub fn write_from(y: &Tensor, x: &Tensor, f: impl Fn(&[f32], &mut [f32]) -> Result<()>) -> Result<()> {
    write_from_as::<f32, f32>(y, x, f)
}

/// Does the same for any number formats.
pub fn write_from_as<X: TensorNumber, Y: TensorNumber>(
    y: &Tensor,
    x: &Tensor,
    f: impl Fn(&[X], &mut [Y]) -> Result<()>,
) -> Result<()> {
    y.inplace_op2(x, &WriteFrom(f, PhantomData))
}

struct WriteFrom<F, X, Y>(F, PhantomData<(X, Y)>);

impl<X: TensorNumber, Y: TensorNumber, F: Fn(&[X], &mut [Y]) -> Result<()>> InplaceOp2
    for WriteFrom<F, X, Y>
{
    fn name(&self) -> &'static str {
        "a CPU kernel"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, to: &Layout, x: &CpuStorage, from: &Layout) -> Result<()> {
        let (from, to) = (range::<X>(x, from)?, range::<Y>(y, to)?);
        match (X::of(x), Y::of_mut(y)) {
            (Some(x), Some(y)) => (self.0)(&x[from], &mut y[to]),
            _ => bail!("a tensor in another number format than the CPU kernel takes"),
        }
    }
}

/// Calls `f` with the values of `y` to write.
pub fn write(y: &Tensor, f: impl Fn(&mut [f32]) -> Result<()>) -> Result<()> {
    y.inplace_op1(&Write(f))
}

struct Write<F>(F);

impl<F: Fn(&mut [f32]) -> Result<()>> InplaceOp1 for Write<F> {
    fn name(&self) -> &'static str {
        "a CPU kernel"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, to: &Layout) -> Result<()> {
        let to = range::<f32>(y, to)?;
        match f32::of_mut(y) {
            Some(y) => (self.0)(&mut y[to]),
            None => bail!("the CPU kernel takes tensors in f32"),
        }
    }
}

/// Overwrites the beginning of `y` with these values, one slice after the other.
pub fn overwrite(values: &[&[f32]], y: &Tensor) -> Result<()> {
    write(y, |y| {
        let mut rest = y;
        for values in values {
            if values.len() > rest.len() {
                bail!("{} values to write into the last {} of a tensor", values.len(), rest.len());
            }
            let (part, remaining) = rest.split_at_mut(values.len());
            part.copy_from_slice(values);
            rest = remaining;
        }
        Ok(())
    })
}
