//! CUDA: the stream-ordered pool that candle allocates from, and the memory of captured graphs.
//!
//! The context itself, the kernels' code and the libraries' workspaces are neither measured nor released.

use candle_core::Result;
use candle_core::cuda_backend::{CudaDevice, WrapErr};
use cudarc::driver::{CudaContext, result, sys};

use super::{MemoryUsage, PoolUsage};

pub fn measure(device: &CudaDevice) -> Result<(MemoryUsage, PoolUsage)> {
    let stream = device.cuda_stream();
    let context = stream.context();
    let (free, total) = context.mem_get_info().w()?;
    let mut pool = PoolUsage::default();
    if let Some(handle) = memory_pool(context)? {
        use sys::CUmemPool_attribute as A;
        pool = PoolUsage {
            reserved: pool_value(handle, A::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?,
            reserved_peak: pool_value(handle, A::CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH)?,
            used: pool_value(handle, A::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
            used_peak: pool_value(handle, A::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
        };
        use sys::CUgraphMem_attribute as G;
        pool.reserved += graph_value(context, G::CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT)?;
        pool.reserved_peak += graph_value(context, G::CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH)?;
        pool.used += graph_value(context, G::CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT)?;
        pool.used_peak += graph_value(context, G::CU_GRAPH_MEM_ATTR_USED_MEM_HIGH)?;
    }
    let (free, total) = (free as u64, total as u64);
    Ok((MemoryUsage { current: pool.reserved, peak: pool.reserved_peak, free, total }, pool))
}

pub fn release(device: &CudaDevice) -> Result<()> {
    let stream = device.cuda_stream();
    let context = stream.context();
    context.synchronize().w()?;
    if let Some(pool) = memory_pool(context)? {
        // SAFETY: the pool is the device's own, and lives as long as the device.
        unsafe { result::mem_pool::trim_to(pool, 0) }.w()?;
        // SAFETY: the device is open.
        unsafe { sys::cuDeviceGraphMemTrim(context.cu_device()) }.result().w()?;
    }
    Ok(())
}

/// Makes the device's pool keep freed memory until it is released. By default, the pool would return much of it to the
/// system at each synchronization.
pub fn keep_freed(device: &CudaDevice) -> Result<()> {
    if let Some(pool) = memory_pool(device.cuda_stream().context())? {
        let mut all = u64::MAX;
        let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the pool is the device's own, and this attribute is a 64-bit number.
        unsafe { result::mem_pool::set_attribute(pool, threshold, (&raw mut all).cast()) }.w()?;
    }
    Ok(())
}

/// Returns the device's pool, or `None` on a device without pools, which returns memory as soon as it is freed.
fn memory_pool(context: &CudaContext) -> Result<Option<sys::CUmemoryPool>> {
    let has_pools = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
    if context.attribute(has_pools).w()? == 0 {
        return Ok(None);
    }
    // SAFETY: the device is open.
    unsafe { result::device::get_mem_pool(context.cu_device()) }.map(Some).w()
}

fn pool_value(pool: sys::CUmemoryPool, attribute: sys::CUmemPool_attribute) -> Result<u64> {
    let mut value = 0u64;
    // SAFETY: the pool is the device's own, and each queried attribute is a 64-bit number.
    unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut value).cast()) }.w()?;
    Ok(value)
}

fn graph_value(context: &CudaContext, attribute: sys::CUgraphMem_attribute) -> Result<u64> {
    let mut value = 0u64;
    // SAFETY: the device is open, and each queried attribute is a 64-bit number.
    unsafe { sys::cuDeviceGetGraphMemAttribute(context.cu_device(), attribute, (&raw mut value).cast()) }
        .result()
        .w()?;
    Ok(value)
}

/// Returns whether the driver, or a library that uses it, was out of memory.
pub fn is_exhausted(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    use candle_core::cuda_backend::CudaError;
    use cudarc::{cublas, cublaslt, curand};
    match cause.downcast_ref::<CudaError>() {
        Some(CudaError::Cuda(error) | CudaError::Load { cuda: error, .. }) => {
            error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY
        }
        Some(CudaError::Cublas(error)) => error.0 == cublas::sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
        Some(CudaError::Curand(error)) => {
            error.0 == curand::sys::curandStatus_t::CURAND_STATUS_ALLOCATION_FAILED
        }
        _ => cause
            .downcast_ref::<crate::device::cuda::CublasLtError>()
            .is_some_and(|error| error.0 == cublaslt::sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED),
    }
}
