//! The kernels on the host: compiled by the system's C++ compiler through the shim, block by block and thread by thread.
//! For tests on machines without a GPU.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use candle_core::{DType, Device, Result, Tensor, bail};
use half::{bf16, f16};
use rayon::prelude::*;

use super::Cuda;
use super::executor::{Argument, Executor, Launch, Pointer, Product, Recording, host_pointer};

type LaunchFn = unsafe extern "C" fn(*const c_char, *const u32, u32, u32, *mut *mut c_void) -> c_int;
type ErrorFn = unsafe extern "C" fn() -> *const c_char;

#[derive(Debug)]
pub struct Host {
    library: &'static libloading::Library,
    /// How many blocks it says it can work on, so that tests see work divided in different ways.
    processors: usize,
}

/// CUDA's kernels on the host; none, and a word about it, where there is no C++ compiler.
pub fn kernels(processors: usize) -> Option<Cuda> {
    static LIBRARY: OnceLock<Option<libloading::Library>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let built = build();
        if let Err(why) = &built {
            assert!(std::env::var_os("TRANSCRIBE_TEST_KERNELS").is_none(), "{why}");
            eprintln!("skipped: the kernels cannot be compiled for the host: {why}");
        }
        // SAFETY: it was made from our own sources, and does nothing when it is loaded.
        built.ok().map(|path| unsafe { libloading::Library::new(path) }.unwrap())
    });
    let library = library.as_ref()?;
    Some(Cuda::new(Box::new(Host { library, processors }), &Device::Cpu))
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
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {told}");
    Ok(library)
}

impl Executor for Host {
    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        let symbol = launch.kernel.symbol()?;
        let name = CString::new(symbol.as_str()).map_err(candle_core::Error::wrap)?;
        let mut arguments: Vec<*mut c_void> = launch
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Pointer(value) | Argument::Long(value) => (&raw const *value).cast_mut().cast(),
                Argument::Int(value) => (&raw const *value).cast_mut().cast(),
                Argument::Float(value) => (&raw const *value).cast_mut().cast(),
            })
            .collect();
        // SAFETY: these are the shim's functions, and the arguments those of the kernel.
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
        let Product { rows, width, out, .. } = *product;
        let x = numbers(product.x, rows * width, product.dtype)?;
        let weight = numbers(product.weight, out * width, product.dtype)?;
        let bias = product.bias.map(|bias| numbers(bias, out, product.dtype)).transpose()?;
        let before = match product.adds {
            true => numbers(product.y, rows * out, product.y_dtype)?,
            false => vec![0.0; rows * out],
        };
        let one = |at: usize| {
            let (row, column) = (at / out, at % out);
            let (x, w) = (&x[row * width..][..width], &weight[column * width..][..width]);
            let sum: f32 = x.iter().zip(w).map(|(x, w)| x * w).sum();
            sum + bias.as_ref().map_or(0.0, |bias| bias[column]) + before[at]
        };
        let y: Vec<f32> = (0..rows * out).into_par_iter().map(one).collect();
        // SAFETY: as for kernels.
        unsafe {
            match product.y_dtype {
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
        // SAFETY: the caller asks for room that is there.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        Ok(())
    }

    fn download(&self, from: Pointer, bytes: &mut [u8]) -> Result<()> {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn pointer(&self, x: &Tensor) -> Result<Pointer> {
        host_pointer(x)
    }

    fn record(&self, _: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Recording>>> {
        Ok(None)
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn wait(&self) -> Result<()> {
        Ok(())
    }

    fn is_idle(&self) -> Result<bool> {
        Ok(true)
    }

    fn beside(&self) -> Result<Option<Box<dyn Executor>>> {
        Ok(None)
    }

    fn wait_for_others(&self) -> Result<()> {
        Ok(())
    }
}

fn numbers(at: Pointer, count: usize, dtype: DType) -> Result<Vec<f32>> {
    // SAFETY: the caller asks for numbers that are there.
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
/// There is room for as many numbers as there are values.
unsafe fn fill<T: Copy>(to: *mut T, values: &[f32], round: impl Fn(f32) -> T) {
    // SAFETY: said above.
    let to = unsafe { std::slice::from_raw_parts_mut(to, values.len()) };
    to.iter_mut().zip(values).for_each(|(to, value)| *to = round(*value));
}
