//! Products of matrices by cuBLASLt, with the bias added on the way out. How a product of some shape is best made is
//! asked once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::CudaDevice;
use candle_core::{DType, Error, Result, bail};
use cudarc::cublaslt::{result, sys};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};

use super::executor::Product;

/// Room for the library to work in: what NVIDIA advises for its newer devices.
const WORK_AREA: usize = 32 << 20;

/// Prompts come in many lengths; what is asked anew costs less than a list without an end.
const MOST_PLANS: usize = 1024;

pub struct Products {
    handle: sys::cublasLtHandle_t,
    work_area: CudaSlice<u8>,
    plans: Mutex<HashMap<Shape, Plan>>,
}

impl fmt::Debug for Products {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Products").finish_non_exhaustive()
    }
}

// SAFETY: the library's handle may be used by any thread; plans are behind a lock.
unsafe impl Send for Products {}
// SAFETY: as above.
unsafe impl Sync for Products {}

/// The library's own account of a failure.
#[derive(Debug, thiserror::Error)]
#[error("cuBLASLt: {0:?}")]
pub struct LibraryError(pub sys::cublasStatus_t);

fn ours<T>(outcome: std::result::Result<T, result::CublasError>) -> Result<T> {
    outcome.map_err(|error| Error::Cuda(Box::new(LibraryError(error.0))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Shape {
    rows: usize,
    width: usize,
    out: usize,
    dtype: DType,
    y_dtype: DType,
    biased: bool,
    adds: bool,
}

impl Products {
    pub fn new(device: &CudaDevice) -> Result<Self> {
        // SAFETY: nobody reads what lies there before the library has written it.
        let work_area = unsafe { device.alloc::<u8>(WORK_AREA) }?;
        Ok(Products { handle: ours(result::create_handle())?, work_area, plans: Mutex::default() })
    }

    pub fn run(&self, product: &Product, stream: &Arc<CudaStream>) -> Result<()> {
        let Product { rows, width, out, dtype, y_dtype, adds, bias, .. } = *product;
        if rows == 0 {
            return Ok(());
        }
        let shape = Shape { rows, width, out, dtype, y_dtype, biased: bias.is_some(), adds };
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= MOST_PLANS && !plans.contains_key(&shape) {
            plans.clear();
        }
        let plan = match plans.entry(shape) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Plan::new(self.handle, &shape)?),
        };
        if let Some(bias) = bias {
            plan.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
        }
        let (one, before) = (1f32, if adds { 1f32 } else { 0f32 });
        let (x, weight, y) = (product.x as *const c_void, product.weight as *const c_void, product.y);
        let (work_area, _) = self.work_area.device_ptr(stream);
        // SAFETY: the addresses are those of matrices of this shape; the plan was made for it.
        ours(unsafe {
            result::matmul(
                self.handle,
                plan.description,
                (&raw const one).cast(),
                (&raw const before).cast(),
                weight,
                plan.weight,
                x,
                plan.x,
                y as *const c_void,
                plan.y,
                y as *mut c_void,
                plan.y,
                &raw const plan.algorithm,
                work_area as *mut c_void,
                WORK_AREA,
                stream.cu_stream().cast(),
            )
        })
    }
}

impl Drop for Products {
    fn drop(&mut self) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // SAFETY: nobody uses it any more. What it says at its end helps nobody.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// How products of one shape are made. The library counts columns first, so to it our matrices are turned over:
/// `yᵀ = weight · xᵀ`.
struct Plan {
    description: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    y: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl Plan {
    fn new(handle: sys::cublasLtHandle_t, shape: &Shape) -> Result<Self> {
        use sys::cublasLtMatmulDescAttributes_t as A;
        let Shape { rows, width, out, .. } = *shape;
        let (of, of_y) = (kind(shape.dtype)?, kind(shape.y_dtype)?);
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let layout = |kind, rows: usize, columns: usize| {
            ours(result::create_matrix_layout(kind, rows as u64, columns as u64, rows as i64))
        };
        // From here on what was made is let go of by the plan.
        let mut plan = Plan {
            description: ours(result::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F))?,
            weight: std::ptr::null_mut(),
            x: std::ptr::null_mut(),
            y: std::ptr::null_mut(),
            // SAFETY: plain numbers, written below.
            algorithm: unsafe { std::mem::zeroed() },
        };
        plan.weight = layout(of, width, out)?;
        plan.x = layout(of, width, rows)?;
        plan.y = layout(of_y, out, rows)?;
        plan.set(A::CUBLASLT_MATMUL_DESC_TRANSA, &1i32)?;
        let epilogue = match shape.biased {
            true => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            false => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
        };
        plan.set(A::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        plan.algorithm = plan.fastest(handle)?;
        Ok(plan)
    }

    fn fastest(&self, handle: sys::cublasLtHandle_t) -> Result<sys::cublasLtMatmulAlgo_t> {
        use sys::cublasLtMatmulPreferenceAttributes_t as A;
        let preference = ours(result::create_matmul_pref())?;
        let room = A::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: all that is named here was made above and lives.
        let found = unsafe {
            let size = (&raw const WORK_AREA_BYTES).cast();
            let set = result::set_matmul_pref_attribute(preference, room, size, size_of::<usize>());
            let found = set.and_then(|()| {
                let (weight, x, y) = (self.weight, self.x, self.y);
                result::get_matmul_algo_heuristic(handle, self.description, weight, x, y, y, preference)
            });
            let _ = result::destroy_matmul_pref(preference);
            found
        };
        Ok(ours(found)?.algo)
    }

    fn set<T>(&self, attribute: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<()> {
        // SAFETY: the description lives, and each attribute is given as the type it has.
        ours(unsafe {
            let at = (&raw const *value).cast();
            result::set_matmul_desc_attribute(self.description, attribute, at, size_of::<T>())
        })
    }
}

static WORK_AREA_BYTES: usize = WORK_AREA;

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: each was made once, and is let go of once.
        unsafe {
            for layout in [self.weight, self.x, self.y].into_iter().filter(|layout| !layout.is_null()) {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.description);
        }
    }
}

fn kind(dtype: DType) -> Result<sys::cudaDataType> {
    match dtype {
        DType::F32 => Ok(sys::cudaDataType::CUDA_R_32F),
        DType::F16 => Ok(sys::cudaDataType::CUDA_R_16F),
        DType::BF16 => Ok(sys::cudaDataType::CUDA_R_16BF),
        other => bail!("products of {other:?}"),
    }
}
