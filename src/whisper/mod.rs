//! The network: the shapes and weights of a Whisper checkpoint, its encoder and its decoder.
//!
//! Computes several windows and sequences at once. Audio, the meaning of tokens and scheduling are left to other modules,
//! and the operations themselves to [`device::Kernels`](crate::device::Kernels).

pub mod alignment;
pub mod config;
pub mod decoder;
pub mod encoder;
pub mod kv_cache;
mod layers;
mod loader;
pub mod random;
pub mod weights;
pub mod workspace;

use std::sync::Arc;

use candle_core::Result;
use candle_nn::VarBuilder;

pub use config::WhisperConfig;
pub use decoder::{SequenceTokens, TextDecoder};
pub use encoder::AudioEncoder;
pub use kv_cache::KvCache;
pub use workspace::Workspace;

use crate::device::{Kernels, NumberFormats};
use loader::LayerLoader;

/// A checkpoint on a device.
#[derive(Debug)]
pub struct Whisper {
    pub config: WhisperConfig,
    pub encoder: AudioEncoder,
    pub decoder: TextDecoder,
    pub kernels: Arc<dyn Kernels>,
}

impl Whisper {
    /// Uploads a checkpoint. The encoder has kernels of its own, so that it can run concurrently with the decoder.
    pub fn new(
        config: WhisperConfig,
        weights: VarBuilder<'_>,
        formats: NumberFormats,
        kernels: Arc<dyn Kernels>,
        encoder_kernels: &Arc<dyn Kernels>,
    ) -> Result<Self> {
        let loader = LayerLoader::new(weights, formats, kernels.clone());
        let encoder = AudioEncoder::new(&config, &loader.pp("encoder").with_kernels(encoder_kernels))?;
        let decoder = TextDecoder::new(&config, &loader.pp("decoder"), encoder_kernels)?;
        Ok(Whisper { config, encoder, decoder, kernels })
    }
}
