//! safetensors → tensors on the host, in the dtype to compute in. Files are mapped, not read; what becomes of each
//! tensor on the device is the kernels' affair, so that it goes there once.

#![expect(unsafe_code, reason = "mapping a file of weights into memory")]

use std::path::PathBuf;

use candle_core::{DType, Device, Result};
use candle_nn::VarBuilder;

/// Where the bytes are.
#[derive(Debug)]
pub enum Weights<'a> {
    /// One file or the shards of one.
    Files(&'a [PathBuf]),
    Bytes(&'a [u8]),
}

impl<'a> Weights<'a> {
    /// The builder of the network's parts, standing where `encoder` and `decoder` are.
    pub fn open(&self, dtype: DType) -> Result<VarBuilder<'a>> {
        let root = match self {
            // SAFETY: the mapping is read while this function's caller builds the network. Files of a
            // checkpoint are replaced by renaming, in the hub's cache and by every tool we know, never
            // rewritten in place.
            Weights::Files(paths) => unsafe {
                VarBuilder::from_mmaped_safetensors(paths, dtype, &Device::Cpu)?
            },
            Weights::Bytes(bytes) => VarBuilder::from_slice_safetensors(bytes, dtype, &Device::Cpu)?,
        };
        // Checkpoints of the bare model, without the head, lack the prefix.
        let prefixed = root.contains_tensor("model.decoder.embed_tokens.weight");
        Ok(if prefixed { root.pp("model") } else { root })
    }
}
