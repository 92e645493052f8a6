//! The network's arithmetic in kernels of our own and in cuBLASLt's products.
//!
//! The kernels are in `kernels/`, in CUDA C++. What runs them is an [`Executor`]: the driver, or in tests the host.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{D, DType, Device, Result, Tensor, bail};

use super::attention::{Blocks, Queries, check_head, scale};
use super::executor::{Argument, Executor, Kernel, Launch, Pointer, Product};
use super::sampler::Stepper;
use super::scratch::Scratch;
use crate::device::LAYER_NORM_EPS;
use crate::device::kernels::{self, DeviceRows, Kernels, KeysValues, Matrix, Place, Rows, Sees, Then};
use crate::device::sampling::{self, Ahead};

/// Threads of a block that has a row.
pub(super) const ROW_THREADS: u32 = 128;
/// Threads of a block of a kernel that goes over numbers one by one, eight to a thread.
const THREADS: u32 = 256;
/// Of a kernel that goes over numbers one by one: enough for any device.
const MOST_BLOCKS: usize = 1 << 13;

#[derive(Debug)]
pub struct Cuda {
    pub(super) executor: Box<dyn Executor>,
    device: Device,
    /// The taps of a convolution side by side.
    taps: Scratch,
    /// What the splits of an attention have found.
    pub(super) partial: Scratch,
    /// Small lists of the host, for one kernel each.
    list: Scratch,
    pub(super) stepper: Stepper,
}

impl Cuda {
    /// The kernels of a GPU.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(device: &Device) -> Result<Self> {
        Ok(Self::new(Box::new(super::driver::Driver::new(device.as_cuda_device()?)?), device))
    }

    pub fn new(executor: Box<dyn Executor>, device: &Device) -> Self {
        let scratch = |dtype| Scratch::new(dtype, device);
        Cuda {
            executor,
            device: device.clone(),
            taps: scratch(DType::U8),
            partial: scratch(DType::F32),
            list: scratch(DType::U32),
            stepper: Stepper::new(device),
        }
    }

    pub(super) fn at(&self, x: &Tensor) -> Result<Pointer> {
        self.executor.pointer(x)
    }

    pub(super) fn launch(
        &self,
        (name, dtype): (&'static str, DType),
        grid: [usize; 3],
        block: u32,
        arguments: &[Argument],
    ) -> Result<()> {
        let grid = [grid[0] as u32, grid[1] as u32, grid[2] as u32];
        if grid.contains(&0) {
            return Ok(());
        }
        self.executor.launch(&Launch { kernel: Kernel { name, dtype }, grid, block, shared: 0, arguments })
    }

    /// cuBLASLt has only the approximation by a hyperbolic tangent.
    fn gelu(&self, y: &Tensor) -> Result<()> {
        let count = y.elem_count();
        let arguments = [Argument::Pointer(self.at(y)?), Argument::Long(count as u64)];
        self.launch(("gelu", y.dtype()), [elements(count), 1, 1], THREADS, &arguments)
    }
}

impl Kernels for Cuda {
    fn matrix(&self, weight: Tensor) -> Result<Matrix> {
        let (out, width) = weight.dims2()?;
        Ok(Matrix { values: self.tensor(weight)?, out, width })
    }

    fn tensor(&self, x: Tensor) -> Result<Tensor> {
        x.contiguous()?.to_device(&self.device)
    }

    fn write(&self, values: &[&[f32]], y: &Tensor) -> Result<()> {
        let total: usize = values.iter().map(|values| values.len()).sum();
        if y.dtype() != DType::F32 || total > y.elem_count() {
            bail!("{total} values to write to {:?} of {:?}", y.shape(), y.dtype());
        }
        let mut to = self.at(y)?;
        for values in values {
            self.executor.upload(bytes(values), to)?;
            to += size_of_val(*values) as u64;
        }
        Ok(())
    }

    fn rows(&self, rows: Rows, heard: usize) -> Result<Rows> {
        let tiles = self.tiles(&rows, heard)?;
        let list: Vec<u32> =
            rows.list.iter().flat_map(|row| [row.token, row.position, row.sequence, row.window]).collect();
        let on_device = self.tensor(Tensor::from_vec(list, (rows.list.len(), 4), &Device::Cpu)?)?;
        // They come by the device's own queue.
        self.executor.wait_for_others()?;
        Ok(Rows { on_device: Some(DeviceRows { rows: on_device, tiles }), ..rows })
    }

    fn embed(&self, table: &Matrix, positions: &Tensor, rows: &Rows, y: &Tensor) -> Result<()> {
        let beyond = rows.list.iter().find(|row| row.token as usize >= table.out);
        if let Some(row) = beyond {
            bail!("embedding: {row:?} of {} tokens", table.out);
        }
        let (table, at) = ((self.at(&table.values)?, self.at(positions)?), self.at(&device(rows)?.rows)?);
        use Argument as A;
        self.launch(
            ("embed", y.dtype()),
            [rows.list.len(), 1, 1],
            ROW_THREADS,
            &[
                A::Pointer(table.0),
                A::Pointer(table.1),
                A::Pointer(at),
                A::Pointer(self.at(y)?),
                A::Int(y.dim(D::Minus1)? as i32),
            ],
        )
    }

    fn pick(&self, x: &Tensor, chosen: &[u32], y: &Tensor) -> Result<()> {
        use Argument as A;
        let (rows, width) = x.dims2()?;
        if chosen.iter().any(|&row| row as usize >= rows) || y.elem_count() != chosen.len() * width {
            bail!("pick: {chosen:?} of {rows} rows to {:?}", y.shape());
        }
        let list = self.list.at_least(chosen.len(), &*self.executor)?;
        let at = self.at(&list)?;
        self.executor.upload(bytes(chosen), at)?;
        self.launch(
            ("pick", y.dtype()),
            [chosen.len(), 1, 1],
            ROW_THREADS,
            &[A::Pointer(self.at(x)?), A::Pointer(at), A::Pointer(self.at(y)?), A::Int(width as i32)],
        )
    }

    fn turn(&self, x: &Tensor, y: &Tensor) -> Result<()> {
        use Argument as A;
        let (batch, rows, columns) = x.dims3()?;
        let grid = [columns.div_ceil(32), rows.div_ceil(32), batch];
        self.launch(
            ("turn", y.dtype()),
            grid,
            THREADS,
            &[A::Pointer(self.at(x)?), A::Pointer(self.at(y)?), A::Int(rows as i32), A::Int(columns as i32)],
        )
    }

    fn add(&self, rows: &Tensor, y: &Tensor) -> Result<()> {
        use Argument as A;
        let count = y.elem_count();
        self.launch(
            ("add", y.dtype()),
            [elements(count), 1, 1],
            THREADS,
            &[
                A::Pointer(self.at(y)?),
                A::Pointer(self.at(rows)?),
                A::Long(count as u64),
                A::Long(rows.elem_count() as u64),
            ],
        )
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: &Matrix,
        bias: Option<&Tensor>,
        then: Then,
        y: &Tensor,
    ) -> Result<()> {
        let rows = x.elem_count() / weight.width;
        if x.elem_count() != rows * weight.width || y.elem_count() != rows * weight.out {
            bail!("linear: {:?} by {} x {} to {:?}", x.shape(), weight.out, weight.width, y.shape());
        }
        self.executor.multiply(&Product {
            x: self.at(x)?,
            weight: self.at(&weight.values)?,
            bias: bias.map(|bias| self.at(bias)).transpose()?,
            y: self.at(y)?,
            rows,
            width: weight.width,
            out: weight.out,
            dtype: x.dtype(),
            y_dtype: y.dtype(),
            adds: then == Then::Add,
        })?;
        if then != Then::Gelu {
            return Ok(());
        }
        self.gelu(y)
    }

    fn convolve(&self, x: &Tensor, weight: &Matrix, bias: &Tensor, stride: usize, y: &Tensor) -> Result<()> {
        use Argument as A;
        let (windows, rows, width) = x.dims3()?;
        let out = rows / stride;
        let count = windows * out * 3 * width;
        let bytes = self.taps.at_least(count * x.dtype().size_in_bytes(), &*self.executor)?;
        let taps = self.at(&bytes)?;
        self.launch(
            ("taps", x.dtype()),
            [elements(out * 3 * width), 1, windows],
            THREADS,
            &[
                A::Pointer(self.at(x)?),
                A::Pointer(taps),
                A::Int(rows as i32),
                A::Int(width as i32),
                A::Int(stride as i32),
            ],
        )?;
        self.executor.multiply(&Product {
            x: taps,
            weight: self.at(&weight.values)?,
            bias: Some(self.at(bias)?),
            y: self.at(y)?,
            rows: windows * out,
            width: 3 * width,
            out: weight.out,
            dtype: x.dtype(),
            y_dtype: y.dtype(),
            adds: false,
        })?;
        self.gelu(y)
    }

    fn layer_norm(&self, x: &Tensor, weight: &Tensor, bias: &Tensor, y: &Tensor) -> Result<()> {
        use Argument as A;
        let width = weight.elem_count();
        let threads = (width as u32).div_ceil(8).next_multiple_of(32).min(THREADS);
        self.launch(
            ("layer_norm", y.dtype()),
            [x.elem_count() / width, 1, 1],
            threads,
            &[
                A::Pointer(self.at(x)?),
                A::Pointer(self.at(weight)?),
                A::Pointer(self.at(bias)?),
                A::Pointer(self.at(y)?),
                A::Int(width as i32),
                A::Float(LAYER_NORM_EPS),
            ],
        )
    }

    fn attention(&self, qkv: &Tensor, heads: usize, y: &Tensor) -> Result<()> {
        let (windows, rows, columns) = qkv.dims3()?;
        let (width, at) = (columns / 3, self.at(qkv)?);
        let head = width / heads;
        check_head(head)?;
        let size = (width * qkv.dtype().size_in_bytes()) as u64;
        let layout = [columns, head, rows * columns];
        let queries = Queries { q: at, stride: columns, layout, heads, head };
        self.full_attention(&queries, (at + size, at + 2 * size), Blocks::Windows { rows, windows }, y)
    }

    fn cache(&self, shape: [usize; 4], dtype: DType, device: &Device) -> Result<KeysValues> {
        check_head(shape[3])?;
        let zeros = || Tensor::zeros(shape.as_slice(), dtype, device);
        Ok(KeysValues { keys: zeros()?, values: zeros()?, shape })
    }

    fn store(&self, cache: &KeysValues, x: &Tensor, column: usize, rows: &Rows) -> Result<()> {
        use Argument as A;
        let ([_, heads, len, head], (count, columns)) = (cache.shape, x.dims2()?);
        self.launch(
            ("store", x.dtype()),
            [count, 1, 1],
            ROW_THREADS,
            &[
                A::Pointer(self.at(x)?),
                A::Pointer(self.at(&cache.keys)?),
                A::Pointer(self.at(&cache.values)?),
                A::Pointer(self.at(&device(rows)?.rows)?),
                A::Int(count as i32),
                A::Int(columns as i32),
                A::Int(column as i32),
                A::Int(heads as i32),
                A::Int(head as i32),
                A::Int(len as i32),
            ],
        )
    }

    fn copy(&self, cache: &KeysValues, from: usize, to: usize, entries: Range<usize>) -> Result<()> {
        use Argument as A;
        let [slots, heads, len, head] = cache.shape;
        if from >= slots || to >= slots || entries.end > len {
            bail!("copy: entries {entries:?} from slot {from} to {to} of {:?}", cache.shape);
        }
        let blocks = (entries.len() * head).div_ceil(8 * ROW_THREADS as usize);
        for tensor in [&cache.keys, &cache.values] {
            self.launch(
                ("copy", tensor.dtype()),
                [blocks, heads, 1],
                ROW_THREADS,
                &[
                    A::Pointer(self.at(tensor)?),
                    A::Int(from as i32),
                    A::Int(to as i32),
                    A::Int(entries.start as i32),
                    A::Int(entries.len() as i32),
                    A::Int(heads as i32),
                    A::Int(len as i32),
                    A::Int(head as i32),
                ],
            )?;
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
        match (&device(rows)?.tiles, sees) {
            (None, _) => self.single_attention(q, cache, rows, sees, y),
            (Some(tiles), Sees::Text) => self.tiled_attention(q, cache, (&tiles.text, tiles.count), y),
            (Some(tiles), Sees::Audio(_)) => self.tiled_attention(q, cache, (&tiles.audio, tiles.count), y),
        }
    }

    fn cached_weights(
        &self,
        q: &Tensor,
        cache: &KeysValues,
        heads: &[usize],
        (slot, seen): Place,
        y: &Tensor,
    ) -> Result<()> {
        use Argument as A;
        let ([_, all, len, head], (rows, columns)) = (cache.shape, q.dims2()?);
        let chosen: Vec<u32> = heads.iter().map(|&head| head as u32).collect();
        let list = self.list.at_least(chosen.len(), &*self.executor)?;
        let at = self.at(&list)?;
        self.executor.upload(bytes(&chosen), at)?;
        self.launch(
            ("weights", q.dtype()),
            [rows, heads.len(), 1],
            ROW_THREADS,
            &[
                A::Pointer(self.at(q)?),
                A::Int(columns as i32),
                A::Pointer(self.at(&cache.keys)?),
                A::Pointer(at),
                A::Pointer(self.at(y)?),
                A::Int(rows as i32),
                A::Int(slot as i32),
                A::Int(seen as i32),
                A::Int(all as i32),
                A::Int(head as i32),
                A::Int(len as i32),
                A::Float(scale(head)),
            ],
        )
    }

    fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        if x.dtype() != DType::F32 {
            *to = x.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
            return Ok(());
        }
        to.resize(x.elem_count(), 0.0);
        self.executor.download(self.at(x)?, bytes_mut(to))
    }

    fn beside(&self) -> Result<Option<Arc<dyn Kernels>>> {
        let executor = self.executor.beside()?;
        Ok(executor.map(|executor| Arc::new(Self::new(executor, &self.device)) as Arc<dyn Kernels>))
    }

    fn follow(&self) -> Result<()> {
        self.executor.wait_for_others()
    }

    fn is_idle(&self) -> Result<bool> {
        self.executor.is_idle()
    }

    fn wait(&self) -> Result<()> {
        self.executor.wait()
    }

    fn ahead(&self) -> Option<&dyn Ahead> {
        Some(self)
    }
}

/// Blocks for so many numbers, eight to a thread, each block coming back for more.
fn elements(count: usize) -> usize {
    count.div_ceil(8 * THREADS as usize).min(MOST_BLOCKS)
}

pub(super) fn device(rows: &Rows) -> Result<&DeviceRows> {
    match &rows.on_device {
        Some(rows) => Ok(rows),
        None => bail!("the rows did not come to the device"),
    }
}

pub(super) fn bytes<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: such values have no padding and no invalid bytes, and any address suits a byte.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

pub(super) fn bytes_mut<T: Plain>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and every pattern of bytes is a value.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// Numbers and structures of numbers without padding, for which every pattern of bytes is a value.
pub(super) trait Plain: Copy {}
impl Plain for f32 {}
impl Plain for f64 {}
impl Plain for u32 {}
impl Plain for kernels::Row {}
impl Plain for sampling::Choice {}
impl Plain for sampling::RuleSet {}
