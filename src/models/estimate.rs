//! The memory that a model takes, computed without loading it.

use super::candle::encoder_batch;
use super::checkpoint::Checkpoint;
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
    /// `stored` are the bytes of the files of weights, if they are known.
    pub fn of(
        config: &WhisperConfig,
        capacity: Capacity,
        device: &SelectedDevice,
        stored: Option<u64>,
    ) -> Self {
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
            weights: config.parameters() * bytes_per_weight(config, device, stored) + stem as u64,
            caches: ((audio + text) * entry) as u64 * bytes(formats.cache),
            work: (rows + unfolded) as u64 * bytes(formats.activations) + logits as u64 * LOGIT + workspace,
        }
    }

    pub fn total(&self) -> u64 {
        self.weights + self.caches + self.work
    }
}

/// Returns the bytes that a weight takes. The CPU keeps in 16 bits what the files hold in 16 bits.
fn bytes_per_weight(config: &WhisperConfig, device: &SelectedDevice, stored: Option<u64>) -> u64 {
    let (bytes, all) = (device.formats.weights.bytes() as u64, config.parameters());
    // Beside the weights, files hold names, a vocabulary, positions.
    let in_16_bits = stored.is_some_and(|stored| (19 * all..23 * all).contains(&(10 * stored)));
    if in_16_bits && !device.is_accelerator() { bytes.min(2) } else { bytes }
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
    let checkpoint = match source::find(model, revision, &hub, &CancelToken::new(), &mut |_| ()) {
        Ok(checkpoint) => Some(checkpoint),
        Err(Error::Model { why: ModelProblem::Offline, .. }) => None,
        Err(error) => return Err(error),
    };
    let config = match &checkpoint {
        Some(checkpoint) => Some(checkpoint.config()?),
        None => WhisperConfig::published(model),
    };
    let stored = checkpoint.as_ref().map(Checkpoint::bytes_of_weights);
    let (identity, found) = checkpoint.map(|checkpoint| (checkpoint.identity, checkpoint.found)).unzip();
    let found = found.flatten();
    let Some(config) = config else {
        return Ok(ModelEstimate { identity, found, memory: None, windows: None });
    };
    let capacity = slots.capacity(&config, free_memory(device, None), device);
    let memory = ModelMemory::of(&config, capacity, device, stored);
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
    fn files_in_16_bits_take_as_much_on_the_cpu() {
        let config = WhisperConfig::published("tiny").unwrap();
        let of = |device: &SelectedDevice, stored| {
            ModelMemory::of(&config, Capacity { windows: 0, sequences: 0 }, device, stored).weights
        };
        let parameters = config.parameters();
        let cpu = SelectedDevice::cpu();
        assert_eq!(of(&cpu, None), 4 * parameters);
        assert_eq!(of(&cpu, Some(4 * parameters)), 4 * parameters);
        assert_eq!(of(&cpu, Some(2 * parameters + 1_000_000)), 2 * parameters);
        // As 8-bit integers with their scales, which no 16 bits hold.
        assert_eq!(of(&cpu, Some(parameters + 1_000_000)), 4 * parameters);
        let int8 = cpu.with_precision(crate::device::Precision::Int8).unwrap();
        assert!(of(&int8, Some(2 * parameters)) < 3 * parameters / 2);
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
