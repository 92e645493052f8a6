//! How much memory a model takes, before any of it is taken.

use super::{Capacity, encoder_batch};
use crate::device::SelectedDevice;
use crate::whisper::WhisperConfig;

/// Bytes of a score.
const SCORE: u64 = 4;

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    pub weights: u64,
    /// Keys and values of what the windows heard and of what the sequences say.
    pub caches: u64,
    /// What the encoder and the decoder need while they compute.
    pub work: u64,
}

impl Needs {
    pub fn of(config: &WhisperConfig, capacity: Capacity, device: &SelectedDevice) -> Self {
        let bytes = |dtype: candle_core::DType| dtype.size_in_bytes() as u64;
        let formats = device.formats;
        let together = encoder_batch(&device.device, capacity);
        let audio = capacity.windows * config.max_source_positions;
        let text = capacity.sequences * config.max_target_positions;
        let entry = 2 * config.decoder_layers * config.d_model;
        // The rows of a window between two layers, the widest of them, and the logits of every sequence.
        let rows = together * config.max_source_positions * (6 * config.d_model + config.encoder_ffn_dim);
        let logits = capacity.sequences * config.vocab_size;
        // A GPU lays the taps of the second convolution side by side, and its products need room of their own.
        let (taps, products) = match device.is_accelerator() {
            true => (together * config.max_source_positions * 3 * config.d_model, 64 << 20),
            false => (0, 0),
        };
        Self {
            weights: config.parameters() * bytes(formats.weights),
            caches: ((audio + text) * entry) as u64 * bytes(formats.cache),
            work: (rows + taps) as u64 * bytes(formats.activations) + logits as u64 * SCORE + products,
        }
    }

    pub fn total(&self) -> u64 {
        self.weights + self.caches + self.work
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_those_that_were_published() {
        // Of openai's checkpoints, in Hugging Face form.
        let published = [("tiny", 37_760_640), ("base", 72_593_920), ("small", 241_734_912)];
        for (size, numbers) in published {
            assert_eq!(WhisperConfig::published(size).unwrap().parameters(), numbers, "{size}");
        }
        let largest = WhisperConfig::published("large-v3").unwrap().parameters() as f64;
        assert!((largest / 1_543e6 - 1.0).abs() < 0.01, "{largest}");
    }
}
