//! The kernels of the CPU: f32, on the widest vectors that the machine has, chosen at run time.
//!
//! Every value is summed in one order, whatever the number of threads and whatever is computed beside it.

#![expect(unsafe_code, reason = "threads write to parts of one slice; prefetching; advice to the kernel")]

mod attention;
mod cached;
mod linear;
mod memory;
mod pointwise;
mod tile;

use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Device, InplaceOp1, InplaceOp2, Layout, Result, Storage, Tensor, bail};

use super::kernels::{Kernels, KeysValues, Matrix, Place, Row, Rows, Sees, Then};
use cached::CacheShape;
use linear::Product;

#[derive(Debug)]
pub struct Cpu;

/// With this much work or less, the calling thread does it alone: waking others costs more.
const SERIAL_WORK: usize = 1 << 16;

impl Kernels for Cpu {
    fn matrix(&self, weight: Tensor) -> Result<Matrix> {
        let (out, width) = weight.dims2()?;
        let mut packed = memory::zeros(linear::packed_len(width, out));
        linear::pack(&values(&weight.contiguous()?)?, width, &mut packed);
        let shape = (out.div_ceil(linear::PANEL), width, linear::PANEL);
        Ok(Matrix { values: Tensor::from_vec(packed, shape, &Device::Cpu)?, out, width })
    }

    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()> {
        y.inplace_op1(&Overwrite(values))
    }

    fn embed(&self, table: &Matrix, positions: &Tensor, rows: &Rows, y: &Tensor) -> Result<()> {
        let (width, panel) = (table.width, linear::PANEL);
        let positions = values(positions)?;
        let beyond = |row: &&Row| {
            row.token as usize >= table.out || (row.position as usize + 1) * width > positions.len()
        };
        if let Some(row) = rows.list.iter().find(beyond) {
            bail!("embedding: {row:?} of {} tokens and {} positions", table.out, positions.len() / width);
        }
        into(y, &table.values, |table, y| {
            for (y, row) in y.chunks_exact_mut(width).zip(&rows.list) {
                let (index, lane) = (row.token as usize / panel, row.token as usize % panel);
                let column = table[index * panel * width + lane..].iter().step_by(panel);
                let position = &positions[row.position as usize * width..];
                y.iter_mut().zip(column).zip(position).for_each(|((y, x), position)| *y = x + position);
            }
            Ok(())
        })
    }

    fn pick(&self, x: &Tensor, chosen: &[u32], y: &Tensor) -> Result<()> {
        let (rows, width) = x.dims2()?;
        if chosen.iter().any(|&row| row as usize >= rows) || y.elem_count() != chosen.len() * width {
            bail!("pick: {chosen:?} of {rows} rows to {:?}", y.shape());
        }
        into(y, x, |x, y| {
            for (y, &row) in y.chunks_exact_mut(width).zip(chosen) {
                y.copy_from_slice(&x[row as usize * width..][..width]);
            }
            Ok(())
        })
    }

    fn turn(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        let (_, rows, columns) = x.dims3()?;
        into(y, x, |x, y| {
            for (x, y) in x.chunks_exact(rows * columns).zip(y.chunks_exact_mut(rows * columns)) {
                pointwise::turn(x, y, rows, columns);
            }
            Ok(())
        })
    }

    fn add(&self, rows: &Tensor, y: &Tensor) -> Result<()> {
        into(y, rows, |rows, y| {
            pointwise::add(y, rows);
            Ok(())
        })
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Tensor>,
        then: Then,
        y: &Tensor,
    ) -> Result<()> {
        let (width, out) = (weight.width, weight.out);
        let rows = x.elem_count() / width;
        let (w, bias) = (values(&weight.values)?, bias.map(values).transpose()?);
        into(y, x, |x, y| {
            if x.len() != rows * width || y.len() != rows * out {
                bail!("linear: {} values by {width} x {out} to {}", x.len(), y.len());
            }
            let bias = bias.as_deref();
            Product { x, stride: width, rows, width, weight: &w, bias, out, then }.run(y);
            Ok(())
        })
    }

    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()> {
        let (_, rows, input) = x.dims3()?;
        let (w, bias) = (values(&weight.values)?, values(bias)?);
        let (out, count) = (weight.out, rows / stride);
        if weight.width != 3 * input || rows < 3 || y.elem_count() != x.dim(0)? * count * out {
            bail!("convolve: {:?} to {:?}", x.shape(), y.shape());
        }
        let product = |x: &[f32], stride, rows, y: &mut [f32]| {
            let (width, bias, then) = (3 * input, Some(&*bias), Then::Gelu);
            Product { x, stride, rows, width, weight: &w, bias, out, then }.run(y);
        };
        into(y, x, |x, y| {
            for (x, y) in x.chunks_exact(rows * input).zip(y.chunks_exact_mut(count * out)) {
                // The taps of a row lie side by side already, but for the rows at the edges.
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
        into(y, x, |x, y| {
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
        into(y, qkv, |qkv, y| {
            for (qkv, y) in qkv.chunks_exact(rows * width3).zip(y.chunks_exact_mut(rows * width)) {
                attention::full(qkv, y, rows, heads, width / heads);
            }
            Ok(())
        })
    }

    fn cache(&self, shape: [usize; 4], _: DType, device: &Device) -> Result<KeysValues> {
        let [slots, heads, len, head] = shape;
        let layout = CacheShape { slots, heads, len, head };
        let make = |size| Tensor::from_vec(memory::zeros(slots * heads * size), (slots, heads, size), device);
        Ok(KeysValues { keys: make(layout.keys().size())?, values: make(layout.values().size())?, shape })
    }

    fn store(&self, cache: &KeysValues, x: &Tensor, column: usize, rows: &Rows) -> Result<()> {
        let (columns, shape, places) = (x.dims2()?.1, CacheShape::from(cache.shape), &rows.places);
        into(&cache.keys, x, |x, keys| {
            cached::store(keys, shape.keys(), shape, (x, columns, column), places)
        })?;
        let column = column + shape.heads * shape.head;
        into(&cache.values, x, |x, values| {
            cached::store(values, shape.values(), shape, (x, columns, column), places)
        })
    }

    fn copy(&self, cache: &KeysValues, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        let shape = CacheShape::from(cache.shape);
        let (keys, values) = (&cache.keys, &cache.values);
        into(keys, values, |_, keys| cached::copy(keys, shape.keys(), shape, (from, to), &entries))?;
        into(values, keys, |_, values| cached::copy(values, shape.values(), shape, (from, to), &entries))
    }

    fn cached_attention(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        rows: &Rows,
        sees: Sees,
        y: &Tensor,
    ) -> Result<()> {
        let columns = q.dims2()?.1;
        let reach: Vec<Place> = rows.list.iter().map(|row| sees.reach(row)).collect();
        let (keys, entries) = (values(&cache.keys)?, values(&cache.values)?);
        into(y, q, |q, y| cached::attend(q, columns, &keys, &entries, cache.shape.into(), &reach, y))
    }

    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        heads: &[usize],
        seen: Place,
        y: &Tensor,
    ) -> Result<()> {
        let (columns, keys) = (q.dims2()?.1, values(&cache.keys)?);
        into(y, q, |q, y| cached::weigh(q, columns, &keys, cache.shape.into(), heads, seen, y))
    }

    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        to.clear();
        to.extend_from_slice(&values(x)?);
        Ok(())
    }
}

impl From<[usize; 4]> for CacheShape {
    fn from([slots, heads, len, head]: [usize; 4]) -> Self {
        CacheShape { slots, heads, len, head }
    }
}

/// The values of a contiguous f32 tensor, where they lie.
struct Values<G> {
    storage: G,
    range: Range<usize>,
}

fn values(x: &Tensor) -> Result<Values<impl Deref<Target = Storage>>> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(cpu) = &*storage else {
        bail!("the CPU's kernels take tensors of the CPU");
    };
    let range = range(cpu, layout)?;
    Ok(Values { storage, range })
}

fn range(storage: &CpuStorage, layout: &Layout) -> Result<Range<usize>> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(_), Some((first, last))) => Ok(first..last),
        (CpuStorage::F32(_), None) => bail!("a tensor of {:?} is not contiguous", layout.shape()),
        _ => bail!("the CPU's kernels take f32 tensors"),
    }
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

/// Calls `f` with the values of `x` to read and those of `y` to write. It is an error if both share memory.
fn into(y: &Tensor, x: &Tensor, f: impl Fn(&[f32], &mut [f32]) -> Result<()>) -> Result<()> {
    y.inplace_op2(x, &Into(f))
}

struct Into<F>(F);

impl<F: Fn(&[f32], &mut [f32]) -> Result<()>> InplaceOp2 for Into<F> {
    fn name(&self) -> &'static str {
        "a kernel of the CPU"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, to: &Layout, x: &CpuStorage, from: &Layout) -> Result<()> {
        let (from, to) = (range(x, from)?, range(y, to)?);
        match (x, y) {
            (CpuStorage::F32(x), CpuStorage::F32(y)) => (self.0)(&x[from], &mut y[to]),
            _ => bail!("the CPU's kernels take f32 tensors"),
        }
    }
}

struct Overwrite<'a>(&'a [&'a [f32]]);

impl InplaceOp1 for Overwrite<'_> {
    fn name(&self) -> &'static str {
        "writing values of the host"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, to: &Layout) -> Result<()> {
        let to = range(y, to)?;
        let CpuStorage::F32(y) = y else { bail!("the CPU's kernels take f32 tensors") };
        let mut rest = &mut y[to];
        for values in self.0 {
            if values.len() > rest.len() {
                bail!("{} values to write where there is room for {}", values.len(), rest.len());
            }
            let (part, behind) = rest.split_at_mut(values.len());
            part.copy_from_slice(values);
            rest = behind;
        }
        Ok(())
    }
}
