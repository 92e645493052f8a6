//! Matrix products by cuBLASLt, with the bias added in the epilogue. The library's heuristic selects an algorithm once for
//! each shape.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::CudaDevice;
use candle_core::{DType, Error, Result, bail};
use cudarc::cublaslt::{result, sys};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr};

use super::executor::{Product, ProductDtypes};

/// Bytes of the library's workspace, as NVIDIA recommends for its newer devices.
const WORKSPACE_SIZE: usize = 32 << 20;

/// The largest number of cached plans. Prompts come in many lengths, and a new plan costs less than an unbounded cache.
const MAX_PLANS: usize = 1024;

pub struct MatMul {
    handle: sys::cublasLtHandle_t,
    workspace: CudaSlice<u8>,
    plans: Mutex<HashMap<ProductShape, MatMulPlan>>,
}

impl fmt::Debug for MatMul {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MatMul").finish_non_exhaustive()
    }
}

// SAFETY: any thread may use the library's handle, and a lock guards the plans.
unsafe impl Send for MatMul {}
// SAFETY: as above.
unsafe impl Sync for MatMul {}

/// A failure that cuBLASLt reports.
#[derive(Debug, thiserror::Error)]
#[error("cuBLASLt: {0:?}")]
pub struct CublasLtError(pub sys::cublasStatus_t);

fn check<T>(outcome: std::result::Result<T, result::CublasError>) -> Result<T> {
    outcome.map_err(|error| Error::Cuda(Box::new(CublasLtError(error.0))))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct ProductShape {
    rows: usize,
    width: usize,
    out: usize,
    dtypes: ProductDtypes,
    has_bias: bool,
    adds: bool,
}

impl MatMul {
    pub fn new(device: &CudaDevice) -> Result<Self> {
        // SAFETY: the library writes the workspace before it reads from it.
        let workspace = unsafe { device.alloc::<u8>(WORKSPACE_SIZE) }?;
        Ok(MatMul { handle: check(result::create_handle())?, workspace, plans: Mutex::default() })
    }

    pub fn run(&self, product: &Product, stream: &Arc<CudaStream>) -> Result<()> {
        let Product { rows, width, out, dtypes, adds, bias, .. } = *product;
        if rows == 0 {
            return Ok(());
        }
        let shape = ProductShape { rows, width, out, dtypes, has_bias: bias.is_some(), adds };
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= MAX_PLANS && !plans.contains_key(&shape) {
            plans.clear();
        }
        let plan = match plans.entry(shape) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(MatMulPlan::new(self.handle, &shape)?),
        };
        if let Some(bias) = bias {
            plan.set(sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias)?;
        }
        let (alpha, beta) = (1f32, if adds { 1f32 } else { 0f32 });
        let (x, weight, y) = (product.x as *const c_void, product.weight as *const c_void, product.y);
        let (workspace, _) = self.workspace.device_ptr(stream);
        // SAFETY: the addresses are those of matrices of this shape, which the plan was made for.
        check(unsafe {
            result::matmul(
                self.handle,
                plan.description,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                weight,
                plan.weight,
                x,
                plan.x,
                y as *const c_void,
                plan.y,
                y as *mut c_void,
                plan.y,
                &raw const plan.algorithm,
                workspace as *mut c_void,
                WORKSPACE_SIZE,
                stream.cu_stream().cast(),
            )
        })
    }
}

impl Drop for MatMul {
    fn drop(&mut self) {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // SAFETY: the handle is not used any more. Its status on destruction is of no use.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

/// The descriptors and the algorithm for products of one shape. The library's matrices are column-major, so that it sees
/// ours transposed: `yᵀ = weight · xᵀ`.
struct MatMulPlan {
    description: sys::cublasLtMatmulDesc_t,
    weight: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    y: sys::cublasLtMatrixLayout_t,
    algorithm: sys::cublasLtMatmulAlgo_t,
}

impl MatMulPlan {
    fn new(handle: sys::cublasLtHandle_t, shape: &ProductShape) -> Result<Self> {
        use sys::cublasLtMatmulDescAttributes_t as A;
        let ProductShape { rows, width, out, dtypes, .. } = *shape;
        let compute = sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
        let layout = |dtype, rows: usize, columns: usize| {
            check(result::create_matrix_layout(data_type(dtype)?, rows as u64, columns as u64, rows as i64))
        };
        // From here on, dropping the plan destroys what was created.
        let mut plan = MatMulPlan {
            description: check(result::create_matmul_desc(compute, sys::cudaDataType_t::CUDA_R_32F))?,
            weight: std::ptr::null_mut(),
            x: std::ptr::null_mut(),
            y: std::ptr::null_mut(),
            // SAFETY: a struct of numbers, which is written below.
            algorithm: unsafe { std::mem::zeroed() },
        };
        plan.weight = layout(dtypes.weight, width, out)?;
        plan.x = layout(dtypes.x, width, rows)?;
        plan.y = layout(dtypes.y, out, rows)?;
        plan.set(A::CUBLASLT_MATMUL_DESC_TRANSA, &1i32)?;
        let epilogue = match shape.has_bias {
            true => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS,
            false => sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_DEFAULT,
        };
        plan.set(A::CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue)?;
        plan.algorithm = plan.select_algorithm(handle)?;
        Ok(plan)
    }

    fn select_algorithm(&self, handle: sys::cublasLtHandle_t) -> Result<sys::cublasLtMatmulAlgo_t> {
        use sys::cublasLtMatmulPreferenceAttributes_t as A;
        let preference = check(result::create_matmul_pref())?;
        let limit = A::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        // SAFETY: all descriptors were created above and are alive.
        let found = unsafe {
            let size = (&raw const WORKSPACE_LIMIT).cast();
            let set = result::set_matmul_pref_attribute(preference, limit, size, size_of::<usize>());
            let found = set.and_then(|()| {
                let (weight, x, y) = (self.weight, self.x, self.y);
                result::get_matmul_algo_heuristic(handle, self.description, weight, x, y, y, preference)
            });
            let _ = result::destroy_matmul_pref(preference);
            found
        };
        Ok(check(found)?.algo)
    }

    fn set<T>(&self, attribute: sys::cublasLtMatmulDescAttributes_t, value: &T) -> Result<()> {
        // SAFETY: the descriptor is alive, and each attribute is passed with its own type.
        check(unsafe {
            let at = (&raw const *value).cast();
            result::set_matmul_desc_attribute(self.description, attribute, at, size_of::<T>())
        })
    }
}

static WORKSPACE_LIMIT: usize = WORKSPACE_SIZE;

impl Drop for MatMulPlan {
    fn drop(&mut self) {
        // SAFETY: each descriptor was created once, and is destroyed once.
        unsafe {
            for layout in [self.weight, self.x, self.y].into_iter().filter(|layout| !layout.is_null()) {
                let _ = result::destroy_matrix_layout(layout);
            }
            let _ = result::destroy_matmul_desc(self.description);
        }
    }
}

fn data_type(dtype: DType) -> Result<sys::cudaDataType> {
    match dtype {
        DType::F32 => Ok(sys::cudaDataType::CUDA_R_32F),
        DType::F16 => Ok(sys::cudaDataType::CUDA_R_16F),
        DType::BF16 => Ok(sys::cudaDataType::CUDA_R_16BF),
        other => bail!("products of {other:?}"),
    }
}
