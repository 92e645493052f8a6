//! From the files of a checkpoint to a model that can be used.

use std::sync::Arc;

use candle_core::DType;

use super::candle::CandleBackend;
use super::source::{Checkpoint, Files};
use super::{Backend, Capacity};
use crate::decode::Tokenizer;
use crate::device::Selected;
use crate::error::{Error, ModelFault, Result};
use crate::whisper::Config;
use crate::whisper::weights::Weights;

/// A network on a device and the tokenizer that belongs to it.
pub struct Model {
    pub backend: Box<dyn Backend>,
    pub tokenizer: Arc<Tokenizer>,
}

/// Loads a checkpoint; what it holds in memory is used up.
pub fn load(checkpoint: Checkpoint, device: &Selected, capacity: Capacity) -> Result<Model> {
    let name = checkpoint.name.clone();
    let fault = |why| Error::model(&name, why);
    let config =
        Config::from_json(&checkpoint.config()?).map_err(|why| fault(ModelFault::NotWhisper { why }))?;
    let tokenizer = Tokenizer::from_json(&checkpoint.tokenizer()?, config.vocab_size).map_err(fault)?;
    let weights = match checkpoint.files {
        Files::Folder { weights, .. } => Weights::Files(weights),
        Files::Embedded { weights, .. } => Weights::Bytes(weights),
    };
    let dtype = if device.is_accelerator() { DType::F16 } else { DType::F32 };
    let backend = weights
        .open(dtype, &device.device)
        .and_then(|weights| CandleBackend::new(config, weights, capacity))
        .map_err(|error| refused(&name, error))?;
    Ok(Model { backend: Box::new(backend), tokenizer: Arc::new(tokenizer) })
}

/// Weights that lack a part or have another shape are somebody else's; a full device is not the weights' fault.
fn refused(model: &str, error: candle_core::Error) -> Error {
    // candle's own text may carry a backtrace behind the first line.
    let why = error.to_string().lines().next().unwrap_or_default().to_owned();
    if why.to_lowercase().contains("out of memory") || why.contains("OUT_OF_MEMORY") {
        return Error::OutOfMemory { during: "loading the model", source: why.into() };
    }
    Error::model(model, ModelFault::NotWhisper { why })
}
