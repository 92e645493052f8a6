//! What runs kernels: CUDA's driver, or on a machine without a GPU the same kernels compiled for the host. Everything
//! above it is the same for both, so that it is tested without a GPU.

use std::fmt::Debug;

use candle_core::{CpuStorage, DType, Result, Storage, Tensor, bail};

/// An address where the kernels compute.
pub type Pointer = u64;

/// One argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Argument {
    Pointer(Pointer),
    Int(i32),
    Long(u64),
    Float(f32),
}

/// A kernel to run.
#[derive(Debug)]
pub struct Launch<'a> {
    pub kernel: Kernel,
    pub grid: [u32; 3],
    pub block: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    pub arguments: &'a [Argument],
}

/// One of the functions in `kernels/`: a name for each dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    pub name: &'static str,
    pub dtype: DType,
}

impl Kernel {
    pub fn symbol(&self) -> Result<String> {
        Ok(format!("{}_{}", self.name, suffix(self.dtype)?))
    }
}

fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::F16 => Ok("f16"),
        DType::BF16 => Ok("bf16"),
        other => bail!("there are no kernels for {other:?}"),
    }
}

/// `x · weightᵀ`, `[rows, width]` by `[out, width]` to `[rows, out]`, with a bias, and added to what is there.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    pub x: Pointer,
    pub weight: Pointer,
    pub bias: Option<Pointer>,
    pub y: Pointer,
    pub rows: usize,
    pub width: usize,
    pub out: usize,
    /// Of all but `y`.
    pub dtype: DType,
    pub y_dtype: DType,
    pub adds: bool,
}

/// Work that was recorded once and is done again with other content of the same memory.
pub trait Recording: Debug + Send {
    fn replay(&self) -> Result<()>;
}

pub trait Executor: Debug + Send + Sync {
    /// Begins to run a kernel behind all that was begun before.
    fn launch(&self, launch: &Launch<'_>) -> Result<()>;

    fn multiply(&self, product: &Product) -> Result<()>;

    fn upload(&self, bytes: &[u8], to: Pointer) -> Result<()>;

    /// Waits for all that was begun.
    fn download(&self, from: Pointer, bytes: &mut [u8]) -> Result<()>;

    /// Where the content of a tensor begins.
    fn pointer(&self, x: &Tensor) -> Result<Pointer>;

    /// Records what `work` begins, without doing it; none where that cannot be.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Recording>>>;

    /// How many blocks of threads the device works on at the same time, at least.
    fn processors(&self) -> usize;

    /// Waits for all that was begun.
    fn wait(&self) -> Result<()>;

    /// Whether all that was begun is done.
    fn is_idle(&self) -> Result<bool>;

    /// Another queue of work on the same device, none of which begins before what this one has begun is done; none where
    /// there is no such thing.
    fn beside(&self) -> Result<Option<Box<dyn Executor>>>;

    /// What is begun from now on waits for what another queue of this device has begun.
    fn wait_for_others(&self) -> Result<()>;
}

/// Where a tensor of the host begins.
pub fn host_pointer(x: &Tensor) -> Result<Pointer> {
    let (storage, layout) = x.storage_and_layout();
    if !layout.is_contiguous() {
        bail!("a tensor of {:?} is not contiguous", layout.shape());
    }
    let Storage::Cpu(storage) = &*storage else { bail!("a tensor of another device") };
    let (first, size) = match storage {
        CpuStorage::U8(values) => (values.as_ptr() as Pointer, 1),
        CpuStorage::U32(values) => (values.as_ptr() as Pointer, 4),
        CpuStorage::F32(values) => (values.as_ptr() as Pointer, 4),
        CpuStorage::F16(values) => (values.as_ptr() as Pointer, 2),
        CpuStorage::BF16(values) => (values.as_ptr() as Pointer, 2),
        _ => bail!("a tensor of {:?}", x.dtype()),
    };
    Ok(first + (layout.start_offset() * size) as Pointer)
}
