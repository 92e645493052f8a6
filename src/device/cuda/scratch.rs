//! Scratch memory for kernels: allocated when it is first needed, and again only if more is needed.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor};

use super::executor::Executor;

#[derive(Debug)]
pub struct ScratchBuffer {
    dtype: DType,
    device: Device,
    memory: Mutex<Option<Tensor>>,
}

impl ScratchBuffer {
    pub fn new(dtype: DType, device: &Device) -> Self {
        ScratchBuffer { dtype, device: device.clone(), memory: Mutex::new(None) }
    }

    /// Returns memory for at least this many values, with unspecified content.
    pub fn at_least(&self, count: usize, executor: &dyn Executor) -> Result<Tensor> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = memory.as_ref().filter(|memory| memory.elem_count() >= count) {
            return Ok(memory.clone());
        }
        // Kernels may still use the old memory, and the new one is cleared through the main queue.
        executor.synchronize()?;
        *memory = None;
        let new = Tensor::zeros(count.next_multiple_of(64), self.dtype, &self.device)?;
        executor.wait_for_main_queue()?;
        *memory = Some(new.clone());
        Ok(new)
    }
}
