//! Opens the weights of a checkpoint. Files are mapped, not read; the kernels upload each tensor, so that it is copied to
//! the device once.

#![expect(unsafe_code, reason = "mapping a file of weights into memory")]

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result};
use candle_nn::VarBuilder;
pub use memmap2::Mmap as MappedFile;

/// Maps a file of weights into memory.
pub fn map_file(path: &Path) -> io::Result<MappedFile> {
    let file = File::open(path)?;
    // SAFETY: as for safetensors, below.
    unsafe { MappedFile::map(&file) }
}

/// The safetensors of a checkpoint.
#[derive(Debug)]
pub enum WeightSource<'a> {
    /// One file, or its shards.
    Files(&'a [PathBuf]),
    Bytes(&'a [u8]),
}

impl<'a> WeightSource<'a> {
    /// Returns a builder of host tensors in `dtype`, at the prefix of `encoder` and `decoder`.
    pub fn open(&self, dtype: DType) -> Result<VarBuilder<'a>> {
        let root = match self {
            // SAFETY: the mapping is read only while the caller builds the network. The hub's cache and every tool we
            // know replace the files of a checkpoint by renaming, never by rewriting them in place.
            WeightSource::Files(paths) => unsafe {
                VarBuilder::from_mmaped_safetensors(paths, dtype, &Device::Cpu)?
            },
            WeightSource::Bytes(bytes) => VarBuilder::from_slice_safetensors(bytes, dtype, &Device::Cpu)?,
        };
        // Checkpoints of the bare model, without the head, lack the prefix.
        let has_prefix = root.contains_tensor("model.decoder.embed_tokens.weight");
        Ok(if has_prefix { root.pp("model") } else { root })
    }
}
