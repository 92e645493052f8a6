//! Memory that the layers compute in: made once, and made anew only for a larger group of windows or a longer
//! prompt than any before.

use candle_core::{DType, Device, Result, Shape, Tensor};

#[derive(Debug)]
pub struct Work {
    /// What the layers read, and add to.
    pub x: Buffer,
    /// One value of a layer's width for each of `x`.
    pub narrow: Buffer,
    /// What is wider than that: projections, the inside of a feed-forward, the first convolution.
    pub wide: Buffer,
    /// A few rows of the decoder's output.
    pub picked: Buffer,
    /// Of f32, as all that follow: scores.
    pub logits: Buffer,
    /// How a few heads weigh what they hear.
    pub weights: Buffer,
    /// Windows as they come.
    pub mel: Buffer,
}

impl Work {
    pub fn new(dtype: DType, device: &Device) -> Self {
        let of = |dtype| Buffer { memory: None, dtype, device: device.clone() };
        let (buffer, f32s) = (|| of(dtype), || of(DType::F32));
        Work {
            x: buffer(),
            narrow: buffer(),
            wide: buffer(),
            picked: buffer(),
            logits: f32s(),
            weights: f32s(),
            mel: f32s(),
        }
    }
}

#[derive(Debug)]
pub struct Buffer {
    memory: Option<Tensor>,
    dtype: DType,
    device: Device,
}

impl Buffer {
    /// A tensor at the buffer's start. It holds what was last written there, under whatever shape.
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
