//! What runs the kernels: CUDA's driver, or the host, with the same kernels compiled for it. The code above this trait is
//! the same for both and is therefore tested without a GPU.

use std::fmt::Debug;

use candle_core::{DType, Result, Tensor, bail};

use crate::device::kernels::TokenRow;
use crate::device::sampling::{SamplerState, TokenRuleParams};

/// An address in the memory that the kernels use.
pub type Pointer = u64;

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Argument {
    Pointer(Pointer),
    Int(i32),
    Long(u64),
    Float(f32),
}

impl Argument {
    /// Returns the address of the argument's value.
    pub fn as_ptr(&self) -> *mut std::ffi::c_void {
        match self {
            Argument::Pointer(value) | Argument::Long(value) => (&raw const *value).cast_mut().cast(),
            Argument::Int(value) => (&raw const *value).cast_mut().cast(),
            Argument::Float(value) => (&raw const *value).cast_mut().cast(),
        }
    }
}

/// A launch of a kernel.
#[derive(Debug)]
pub struct Launch<'a> {
    pub kernel: Kernel,
    pub grid: [u32; 3],
    pub block: u32,
    /// Bytes of dynamic shared memory.
    pub shared: u32,
    pub arguments: &'a [Argument],
}

/// One of the functions in `kernels/`, which are compiled for each dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kernel {
    pub name: &'static str,
    pub dtype: DType,
}

impl Kernel {
    pub fn symbol(&self) -> Result<String> {
        let suffix = match self.dtype {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            other => bail!("there are no kernels for {other:?}"),
        };
        Ok(format!("{}_{suffix}", self.name))
    }
}

/// A matrix product `x · weightᵀ`, `[rows, width]` by `[out, width]` to `[rows, out]`, with a bias.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    pub x: Pointer,
    pub weight: Pointer,
    pub bias: Option<Pointer>,
    pub y: Pointer,
    pub rows: usize,
    pub width: usize,
    pub out: usize,
    pub dtypes: ProductDtypes,
    /// Whether the result is added to `y` instead of overwriting it.
    pub adds: bool,
}

/// The number formats of a product's operands. The bias has the format of `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ProductDtypes {
    pub x: DType,
    pub weight: DType,
    pub y: DType,
}

/// Recorded work, to be repeated with different content of the same memory.
pub trait Recording: Debug + Send {
    fn replay(&self) -> Result<()>;
}

/// A queue of work on a device, which runs in the order of the calls.
pub trait Executor: Debug + Send + Sync {
    fn launch(&self, launch: &Launch<'_>) -> Result<()>;

    fn multiply(&self, product: &Product) -> Result<()>;

    fn upload(&self, bytes: &[u8], to: Pointer) -> Result<()>;

    /// Copies device memory to the host, after all earlier work is finished.
    fn download(&self, from: Pointer, bytes: &mut [u8]) -> Result<()>;

    /// Returns the address of a tensor's content.
    fn pointer(&self, x: &Tensor) -> Result<Pointer>;

    /// Records the calls that `work` makes without running them; `None` if the executor cannot record.
    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Recording>>>;

    /// Returns the number of multiprocessors, each of which runs at least one block at a time.
    fn processors(&self) -> usize;

    /// Blocks until all work is finished.
    fn synchronize(&self) -> Result<()>;

    /// Returns whether all work is finished.
    fn is_idle(&self) -> Result<bool>;

    /// Returns another queue on the same device, which starts after the work of the main queue so far; `None` if the
    /// device has only one.
    fn new_queue(&self) -> Result<Option<Box<dyn Executor>>>;

    /// Orders all later work on this queue after the work that the device's main queue has been given so far.
    fn wait_for_main_queue(&self) -> Result<()>;
}

pub fn bytes<T: DeviceData>(values: &[T]) -> &[u8] {
    // SAFETY: such values have no padding and no invalid bytes, and a byte may have any address.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

pub fn bytes_mut<T: DeviceData>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are a valid value.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

/// Numbers and structs of numbers without padding, for which any bytes are a valid value.
pub trait DeviceData: Copy {}
impl DeviceData for f32 {}
impl DeviceData for f64 {}
impl DeviceData for u32 {}
impl DeviceData for TokenRow {}
impl DeviceData for SamplerState {}
impl DeviceData for TokenRuleParams {}
