//! The network: the shapes and weights of a Whisper checkpoint, its encoder and its decoder.
//!
//! It computes what it is given, for several windows and sequences at once, and knows nothing of audio,
//! tokens' meanings or schedules. The arithmetic itself comes from [`device::Kernels`](crate::device::Kernels).

pub mod alignment;
pub mod attention;
pub mod config;
pub mod decoder;
pub mod encoder;
pub mod kv_cache;
pub mod layers;
pub mod random;
pub mod weights;
pub mod workspace;

use std::sync::Arc;

use candle_core::Result;
use candle_nn::VarBuilder;

pub use config::Config;
pub use decoder::{Decoder, Row};
pub use encoder::Encoder;
pub use kv_cache::KvCache;
pub use workspace::Work;

use crate::device::Kernels;

/// A checkpoint on a device.
#[derive(Debug)]
pub struct Whisper {
    pub config: Config,
    pub encoder: Encoder,
    pub decoder: Decoder,
    pub kernels: Arc<dyn Kernels>,
}

impl Whisper {
    /// The encoder computes with kernels of its own, so that it can be at work beside the decoder.
    pub fn new(
        config: Config,
        weights: VarBuilder<'_>,
        kernels: Arc<dyn Kernels>,
        hearing: &Arc<dyn Kernels>,
    ) -> Result<Self> {
        let encoder = Encoder::new(&config, weights.pp("encoder"), hearing.clone())?;
        let decoder = Decoder::new(&config, weights.pp("decoder"), kernels.clone(), hearing)?;
        Ok(Whisper { config, encoder, decoder, kernels })
    }
}
