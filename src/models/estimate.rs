//! The memory that a model takes, computed without loading it.

use super::candle::encoder_batch;
use super::elsewhere::OtherProgram;
use super::hub::Hub;
use super::load::free_memory;
use super::{Capacity, SlotRequest, source};
use crate::cancel::CancelToken;
use crate::device::SelectedDevice;
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::WhisperConfig;

/// Bytes of a logit.
const LOGIT: u64 = 4;

/// Bytes that a model takes on its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelMemory {
    pub weights: u64,
    /// The KV caches of the windows and of the sequences.
    pub caches: u64,
    /// The work buffers of the encoder and the decoder.
    pub work: u64,
}

impl ModelMemory {
    pub fn of(config: &WhisperConfig, capacity: Capacity, device: &SelectedDevice) -> Self {
        let bytes = |dtype: candle_core::DType| dtype.size_in_bytes() as u64;
        let formats = device.formats;
        let windows = encoder_batch(&device.device, capacity);
        let audio = capacity.windows * config.max_source_positions;
        let text = capacity.sequences * config.max_target_positions;
        let entry = 2 * config.decoder_layers * config.d_model;
        // The rows of a window between two layers, the widest of them, and the logits of every sequence.
        let rows = windows * config.max_source_positions * (6 * config.d_model + config.encoder_ffn_dim);
        let logits = capacity.sequences * config.vocab_size;
        // A GPU unfolds the input of the second convolution, and its matrix products need a workspace of their own.
        let (unfolded, workspace) = match device.is_accelerator() {
            true => (windows * config.max_source_positions * 3 * config.d_model, 64 << 20),
            false => (0, 0),
        };
        // The convolutions stay in floating point.
        let stem_format = formats.weights.of_convolution().bytes() - formats.weights.bytes();
        let stem = 3 * config.d_model * (config.num_mel_bins + config.d_model) * stem_format;
        Self {
            weights: config.parameters() * formats.weights.bytes() as u64 + stem as u64,
            caches: ((audio + text) * entry) as u64 * bytes(formats.cache),
            work: (rows + unfolded) as u64 * bytes(formats.activations) + logits as u64 * LOGIT + workspace,
        }
    }

    pub fn total(&self) -> u64 {
        self.weights + self.caches + self.work
    }
}

/// What is known about a model before it is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelEstimate {
    /// Identifies the weights; `None` if they would have to be downloaded.
    pub identity: Option<String>,
    /// The file of another program that would be used.
    pub found: Option<OtherProgram>,
    /// Total bytes; `None` if the shape of the model is unknown.
    pub memory: Option<u64>,
    /// Window slots.
    pub windows: Option<usize>,
}

/// Estimates from what is on this machine, without using the network.
pub fn estimate(
    model: &str,
    revision: Option<&str>,
    hub: &Hub,
    device: &SelectedDevice,
    slots: SlotRequest,
) -> Result<ModelEstimate> {
    let hub = Hub { offline: true, ..hub.clone() };
    let (identity, found, config) =
        match source::find(model, revision, &hub, &CancelToken::new(), &mut |_| ()) {
            Ok(checkpoint) => {
                let config = checkpoint.config()?;
                (Some(checkpoint.identity), checkpoint.found, Some(config))
            }
            Err(Error::Model { why: ModelProblem::Offline, .. }) => {
                (None, None, WhisperConfig::published(model))
            }
            Err(error) => return Err(error),
        };
    let Some(config) = config else {
        return Ok(ModelEstimate { identity, found, memory: None, windows: None });
    };
    let capacity = slots.capacity(&config, free_memory(device, None), device);
    let memory = ModelMemory::of(&config, capacity, device);
    Ok(ModelEstimate { identity, found, memory: Some(memory.total()), windows: Some(capacity.windows) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_by_name_what_is_not_downloaded() {
        let hub = Hub { offline: false, ..Hub::nowhere() };
        let slots = SlotRequest { windows: Some(2), candidates: 5, beams: 1 };
        let estimate = |model: &str| estimate(model, None, &hub, &SelectedDevice::cpu(), slots);
        let found = estimate("base").unwrap();
        assert_eq!((found.identity, found.windows), (None, Some(2)));
        assert!((300..500).contains(&(found.memory.unwrap() >> 20)), "{:?}", found.memory);
        assert!(estimate("demo").unwrap().identity.unwrap().starts_with("demo@"));
        assert_eq!(estimate("owner/name").unwrap().memory, None);
        assert!(matches!(estimate("bsae"), Err(Error::Model { .. })));
    }

    #[test]
    fn counts_the_parameters_of_the_published_checkpoints() {
        // openai's checkpoints in Hugging Face form.
        let published = [("tiny", 37_760_640), ("base", 72_593_920), ("small", 241_734_912)];
        for (size, parameters) in published {
            assert_eq!(WhisperConfig::published(size).unwrap().parameters(), parameters, "{size}");
        }
        let largest = WhisperConfig::published("large-v3").unwrap().parameters() as f64;
        assert!((largest / 1_543e6 - 1.0).abs() < 0.01, "{largest}");
    }
}
