//! The state behind the CUDA kernels: their executor, scratch memory, and the launch of a kernel with its arguments.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::executor::{Argument, Executor, Kernel, Launch, Pointer, bytes};
use super::sampler::SamplerCache;
use super::scratch::ScratchBuffer;
use crate::device::kernels::{DeviceBatch, TokenBatch};

/// Threads of a block of an elementwise kernel, eight elements to a thread.
pub const ELEMENTWISE_THREADS: u32 = 256;
/// The largest grid of an elementwise kernel, enough for any device.
const MAX_ELEMENTWISE_BLOCKS: usize = 1 << 13;

#[derive(Debug)]
pub struct Cuda {
    executor: Box<dyn Executor>,
    device: Device,
    /// The operand of a convolution, its taps side by side.
    taps: ScratchBuffer,
    /// The partial results of an attention that is split.
    partial: ScratchBuffer,
    /// Small index lists from the host, for one kernel each.
    indices: ScratchBuffer,
    sampler_cache: SamplerCache,
}

impl Cuda {
    /// Returns the kernels of a GPU.
    #[cfg(feature = "cuda")]
    pub fn on_gpu(device: &Device) -> Result<Self> {
        Ok(Self::new(Box::new(super::driver::Driver::new(device.as_cuda_device()?)?), device))
    }

    pub fn new(executor: Box<dyn Executor>, device: &Device) -> Self {
        let scratch = |dtype| ScratchBuffer::new(dtype, device);
        Cuda {
            executor,
            device: device.clone(),
            taps: scratch(DType::U8),
            partial: scratch(DType::F32),
            indices: scratch(DType::U32),
            sampler_cache: SamplerCache::new(device),
        }
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn executor(&self) -> &dyn Executor {
        &*self.executor
    }

    pub fn sampler_cache(&self) -> &SamplerCache {
        &self.sampler_cache
    }

    /// Returns memory for this many f32 values of partial results.
    pub fn partial(&self, count: usize) -> Result<Pointer> {
        self.at(&self.partial.at_least(count, self.executor())?)
    }

    /// Returns memory for this many bytes of a convolution's operand.
    pub fn taps(&self, bytes: usize) -> Result<Pointer> {
        self.at(&self.taps.at_least(bytes, self.executor())?)
    }

    /// Returns the address of a tensor's content.
    pub fn at(&self, x: &Tensor) -> Result<Pointer> {
        self.executor.pointer(x)
    }

    pub fn launch(
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

    /// Uploads an index list for the next kernel.
    pub fn upload_indices(&self, indices: &[u32]) -> Result<Pointer> {
        let at = self.at(&self.indices.at_least(indices.len(), self.executor())?)?;
        self.executor.upload(bytes(indices), at)?;
        Ok(at)
    }
}

/// Returns the grid for this many elements, eight to a thread; the blocks loop over the rest.
pub fn elementwise_blocks(count: usize) -> usize {
    count.div_ceil(8 * ELEMENTWISE_THREADS as usize).min(MAX_ELEMENTWISE_BLOCKS)
}

/// Returns the part of a batch that is in device memory.
pub fn on_device(batch: &TokenBatch) -> Result<&DeviceBatch> {
    match &batch.on_device {
        Some(rows) => Ok(rows),
        None => bail!("the batch was not uploaded to the device"),
    }
}
