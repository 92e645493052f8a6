//! Access to the memory of candle's CPU tensors: values of contiguous f32 tensors, to read and to overwrite.

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, InplaceOp1, InplaceOp2, Layout, Result, Storage, Tensor, bail};

/// A borrow of the values of a contiguous f32 tensor.
pub struct TensorValues<G> {
    storage: G,
    range: Range<usize>,
}

pub fn values(x: &Tensor) -> Result<TensorValues<impl Deref<Target = Storage>>> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(cpu) = &*storage else {
        bail!("the CPU kernels take tensors on the CPU");
    };
    let range = range(cpu, layout)?;
    Ok(TensorValues { storage, range })
}

fn range(storage: &CpuStorage, layout: &Layout) -> Result<Range<usize>> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(_), Some((first, last))) => Ok(first..last),
        (CpuStorage::F32(_), None) => bail!("a tensor of {:?} is not contiguous", layout.shape()),
        _ => bail!("the CPU kernels take f32 tensors"),
    }
}

impl<G: Deref<Target = Storage>> Deref for TensorValues<G> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.range.clone()],
            _ => &[],
        }
    }
}

/// Calls `f` with the values of `x` to read and those of `y` to write. Fails if both share memory.
pub fn write_from(y: &Tensor, x: &Tensor, f: impl Fn(&[f32], &mut [f32]) -> Result<()>) -> Result<()> {
    y.inplace_op2(x, &WriteFrom(f))
}

struct WriteFrom<F>(F);

impl<F: Fn(&[f32], &mut [f32]) -> Result<()>> InplaceOp2 for WriteFrom<F> {
    fn name(&self) -> &'static str {
        "a CPU kernel"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, to: &Layout, x: &CpuStorage, from: &Layout) -> Result<()> {
        let (from, to) = (range(x, from)?, range(y, to)?);
        match (x, y) {
            (CpuStorage::F32(x), CpuStorage::F32(y)) => (self.0)(&x[from], &mut y[to]),
            _ => bail!("the CPU kernels take f32 tensors"),
        }
    }
}

/// Overwrites the beginning of `y` with these values, one slice after the other.
pub fn overwrite(values: &[&[f32]], y: &Tensor) -> Result<()> {
    y.inplace_op1(&Overwrite(values))
}

struct Overwrite<'a>(&'a [&'a [f32]]);

impl InplaceOp1 for Overwrite<'_> {
    fn name(&self) -> &'static str {
        "writing host values"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, to: &Layout) -> Result<()> {
        let to = range(y, to)?;
        let CpuStorage::F32(y) = y else { bail!("the CPU kernels take f32 tensors") };
        let mut rest = &mut y[to];
        for values in self.0 {
            if values.len() > rest.len() {
                bail!("{} values to write into the last {} of a tensor", values.len(), rest.len());
            }
            let (part, remaining) = rest.split_at_mut(values.len());
            part.copy_from_slice(values);
            rest = remaining;
        }
        Ok(())
    }
}
