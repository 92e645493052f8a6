//! Runs the kernels on the host for tests without a GPU: the system's C++ compiler compiles them with the shim, which
//! executes them block by block and thread by thread.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::*;

use super::Cuda;
use super::executor::{Argument, Executor, Launch, Pointer, Product, Recording};

type LaunchFn = unsafe extern "C" fn(*const c_char, *const u32, u32, u32, *mut *mut c_void) -> c_int;
type ErrorFn = unsafe extern "C" fn() -> *const c_char;

#[derive(Debug)]
pub struct HostExecutor {
    library: &'static libloading::Library,
    /// The number of multiprocessors to report, so that tests cover different ways to split work.
    processors: usize,
}

/// Returns the CUDA kernels on the host. Without a C++ compiler, prints that the test is skipped and returns `None`, or
/// fails the test if it runs in CI (`CI=true`) or with `TRANSCRIBE_TEST_KERNELS` set.
pub fn kernels(processors: usize) -> Option<Cuda> {
    static LIBRARY: OnceLock<std::result::Result<libloading::Library, String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        // SAFETY: the library is built from our own sources, and runs nothing when it is loaded.
        build().map(|path| unsafe { libloading::Library::new(path) }.unwrap())
    });
    match library {
        Ok(library) => Some(Cuda::new(Box::new(HostExecutor { library, processors }), &Device::Cpu)),
        Err(why) => {
            assert!(!is_compiler_required(), "cannot compile the CUDA kernels for the host: {why}");
            let thread = std::thread::current();
            let test = thread.name().unwrap_or("a test");
            eprintln!("SKIPPED: {test} (CUDA kernels on the host): {why}; install a C++ compiler or set CXX");
            None
        }
    }
}

fn is_compiler_required() -> bool {
    std::env::var_os("TRANSCRIBE_TEST_KERNELS").is_some() || std::env::var("CI").is_ok_and(|ci| ci == "true")
}

fn build() -> std::result::Result<PathBuf, String> {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/device/cuda/kernels");
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?.keep();
    let library = folder.join("kernels.so");
    let mut command = Command::new(&compiler);
    command.args(["-std=c++17", "-O2", "-shared", "-fPIC", "-DTRANSCRIBE_HOST", "-x", "c++"]);
    command.arg(kernels.join("shim/shim.cpp")).arg("-o").arg(&library);
    let output = command.output().map_err(|error| format!("`{compiler}`: {error}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    Ok(library)
}

impl Executor for HostExecutor {
    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let symbol = launch.kernel.symbol()?;
        let name = CString::new(symbol.as_str()).map_err(candle_core::Error::wrap)?;
        let mut arguments: Vec<*mut c_void> = launch.arguments.iter().map(Argument::as_ptr).collect();
        // SAFETY: these are the shim's functions, and the arguments are those that the kernel declares.
        unsafe {
            let run: libloading::Symbol<'_, LaunchFn> =
                self.library.get(b"transcribe_launch").map_err(candle_core::Error::wrap)?;
            let (grid, arguments) = (launch.grid.as_ptr(), arguments.as_mut_ptr());
            if run(name.as_ptr(), grid, launch.block, launch.shared, arguments) != 0 {
                let error: libloading::Symbol<'_, ErrorFn> =
                    self.library.get(b"transcribe_launch_error").map_err(candle_core::Error::wrap)?;
                bail!("{symbol}: {}", CStr::from_ptr(error()).to_string_lossy());
            }
        }
        Ok(())
    }

    fn multiply(&self, product: &Product) -> Result<()> {
        let Product { rows, width, out, dtypes, .. } = *product;
        let x = numbers(product.x, rows * width, dtypes.x)?;
        let weight = numbers(product.weight, out * width, dtypes.weight)?;
        let bias = product.bias.map(|bias| numbers(bias, out, dtypes.x)).transpose()?;
        let before = match product.adds {
            true => numbers(product.y, rows * out, dtypes.y)?,
            false => vec![0.0; rows * out],
        };
        let dot = |at: usize| {
            let (row, column) = (at / out, at % out);
            let (x, w) = (&x[row * width..][..width], &weight[column * width..][..width]);
            let sum: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            sum + bias.as_ref().map_or(0.0, |bias| bias[column]) + before[at]
        };
        let y: Vec<f32> = (0..rows * out).into_par_iter().map(dot).collect();
        // SAFETY: the product's addresses are those of matrices of its shape.
        unsafe {
            match dtypes.y {
                DType::F32 => {
                    std::slice::from_raw_parts_mut(product.y as *mut f32, y.len()).copy_from_slice(&y)
                }
                DType::F16 => fill(product.y as *mut f16, &y, f16::from_f32),
                DType::BF16 => fill(product.y as *mut bf16, &y, bf16::from_f32),
                other => bail!("products of {other:?}"),
            }
        }
        Ok(())
    }

    fn upload(&self, bytes: &[u8], to: Pointer) -> Result<()> {
        // SAFETY: the caller names memory of at least this size.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        Ok(())
    }

    fn download(&self, from: Pointer, bytes: &mut [u8]) -> Result<()> {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn pointer(&self, x: &Tensor) -> Result<Pointer> {
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

    fn record(&self, _: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Recording>>> {
        Ok(None)
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn synchronize(&self) -> Result<()> {
        Ok(())
    }

    fn is_idle(&self) -> Result<bool> {
        Ok(true)
    }

    fn new_queue(&self) -> Result<Option<Box<dyn Executor>>> {
        Ok(None)
    }

    fn wait_for_main_queue(&self) -> Result<()> {
        Ok(())
    }
}

fn numbers(at: Pointer, count: usize, dtype: DType) -> Result<Vec<f32>> {
    // SAFETY: the caller names memory that holds this many numbers.
    unsafe {
        Ok(match dtype {
            DType::F32 => std::slice::from_raw_parts(at as *const f32, count).to_vec(),
            DType::F16 => {
                std::slice::from_raw_parts(at as *const f16, count).iter().map(|x| x.to_f32()).collect()
            }
            DType::BF16 => {
                std::slice::from_raw_parts(at as *const bf16, count).iter().map(|x| x.to_f32()).collect()
            }
            other => bail!("products of {other:?}"),
        })
    }
}

/// # Safety
/// `to` must have room for as many numbers as there are values.
unsafe fn fill<T: Copy>(to: *mut T, values: &[f32], round: impl Fn(f32) -> T) {
    // SAFETY: the caller guarantees the room.
    let to = unsafe { std::slice::from_raw_parts_mut(to, values.len()) };
    to.iter_mut().zip(values).for_each(|(to, value)| *to = round(*value));
}
