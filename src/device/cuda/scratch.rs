//! Memory for the inside of a kernel's work: made when it is first needed, and made anew only for more.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor};

use super::executor::Executor;

#[derive(Debug)]
pub struct Scratch {
    dtype: DType,
    device: Device,
    memory: Mutex<Option<Tensor>>,
}

impl Scratch {
    pub fn new(dtype: DType, device: &Device) -> Self {
        Scratch { dtype, device: device.clone(), memory: Mutex::new(None) }
    }

    /// Room for so many values, whatever lies there.
    pub fn at_least(&self, count: usize, executor: &dyn Executor) -> Result<Tensor> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(memory) = memory.as_ref().filter(|memory| memory.elem_count() >= count) {
            return Ok(memory.clone());
        }
        // Kernels may still be at work in the old one, and the new one is cleared by another queue.
        executor.wait()?;
        *memory = None;
        let made = Tensor::zeros(count.next_multiple_of(64), self.dtype, &self.device)?;
        executor.wait_for_others()?;
        *memory = Some(made.clone());
        Ok(made)
    }
}
