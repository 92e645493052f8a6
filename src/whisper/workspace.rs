//! The buffers that the layers compute in. They are allocated once, and again only for a larger group of windows or a
//! longer prompt than any before.

use candle_core::{DType, Device, Result, Shape, Tensor};

#[derive(Debug)]
pub struct Workspace {
    /// The residual stream.
    pub hidden: WorkBuffer,
    /// What a norm or an attention returns, of the size of `hidden`.
    pub normed: WorkBuffer,
    /// What is wider than that: projections, the inner layer of a feed-forward, the first convolution.
    pub wide: WorkBuffer,
    /// The decoder output of the rows whose scores are needed.
    pub gathered: WorkBuffer,
    /// Scores, in f32.
    pub logits: WorkBuffer,
    /// Cross-attention weights of some heads, in f32.
    pub attention_weights: WorkBuffer,
    /// Windows from the host, in f32.
    pub mel: WorkBuffer,
}

impl Workspace {
    pub fn new(activations: DType, device: &Device) -> Self {
        let buffer = |dtype| WorkBuffer { memory: None, dtype, device: device.clone() };
        Workspace {
            hidden: buffer(activations),
            normed: buffer(activations),
            wide: buffer(activations),
            gathered: buffer(activations),
            logits: buffer(DType::F32),
            attention_weights: buffer(DType::F32),
            mel: buffer(DType::F32),
        }
    }
}

#[derive(Debug)]
pub struct WorkBuffer {
    memory: Option<Tensor>,
    dtype: DType,
    device: Device,
}

impl WorkBuffer {
    /// Returns a tensor at the start of the buffer, which holds whatever was last written there, in any shape.
    pub fn view(&mut self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        let count = shape.elem_count();
        let memory = match self.memory.take() {
            Some(memory) if memory.elem_count() >= count => memory,
            _ => Tensor::zeros(count, self.dtype, &self.device)?,
        };
        self.memory.insert(memory).narrow(0, 0, count)?.reshape(shape)
    }
}
