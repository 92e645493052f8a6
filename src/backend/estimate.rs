//! What a model would need, without loading it.

use super::load::free_memory;
use super::{Slots, source};
use crate::backend::hub::Hub;
use crate::cancel::CancelToken;
use crate::device::Selected;
use crate::error::{Error, ModelFault, Result};
use crate::whisper::Config;

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Which weights; none if they would have to be downloaded.
    pub identity: Option<String>,
    /// Bytes of weights, and of what windows side by side heard and say. None if nothing is known of the model.
    pub memory: Option<u64>,
    /// Windows side by side.
    pub windows: Option<usize>,
}

/// Looks only at what is on this machine.
pub fn estimate(
    model: &str,
    revision: Option<&str>,
    hub: &Hub,
    device: &Selected,
    slots: Slots,
) -> Result<Estimate> {
    let hub = Hub { offline: true, ..hub.clone() };
    let (identity, config) = match source::find(model, revision, &hub, &CancelToken::new(), &mut |_| ()) {
        Ok(checkpoint) => {
            let config = Config::from_json(&checkpoint.config()?);
            let not_whisper = |why| Error::model(model, ModelFault::NotWhisper { why });
            (Some(checkpoint.identity), Some(config.map_err(not_whisper)?))
        }
        Err(Error::Model { why: ModelFault::Offline, .. }) => (None, Config::published(model)),
        Err(error) => return Err(error),
    };
    let Some(config) = config else { return Ok(Estimate { identity, memory: None, windows: None }) };
    let capacity = slots.capacity(&config, free_memory(device), device.is_accelerator());
    let memory = 4 * (weights(&config) + entries(&config, capacity.windows, capacity.sequences));
    Ok(Estimate { identity, memory: Some(memory), windows: Some(capacity.windows) })
}

/// Numbers in the weights, but for those that are few.
fn weights(config: &Config) -> u64 {
    let d = config.d_model;
    let encoder = config.encoder_layers * (4 * d * d + 2 * d * config.encoder_ffn_dim);
    let decoder = config.decoder_layers * (8 * d * d + 2 * d * config.decoder_ffn_dim);
    let ends = 3 * d * (config.num_mel_bins + d);
    let tables = d * (config.vocab_size + config.max_source_positions + config.max_target_positions);
    (encoder + decoder + ends + tables) as u64
}

/// Keys and values of what was heard and of what is said.
fn entries(config: &Config, windows: usize, sequences: usize) -> u64 {
    let positions = windows * config.max_source_positions + sequences * config.max_target_positions;
    (config.decoder_layers * positions * config.d_model * 2) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_are_those_that_were_published() {
        // In millions, as openai counts them.
        for (size, millions) in
            [("tiny", 39), ("base", 74), ("small", 244), ("medium", 769), ("large-v3", 1_550)]
        {
            let found = weights(&Config::published(size).unwrap()) as f64 / 1e6;
            let share = found / f64::from(millions);
            assert!((0.95..1.05).contains(&share), "{size}: {found}");
        }
    }

    #[test]
    fn what_would_be_downloaded_is_estimated_by_its_name() {
        let hub = Hub { offline: false, ..Hub::nowhere() };
        let slots = Slots { windows: Some(2), candidates: 5, beams: 1 };
        let estimate = |model: &str| estimate(model, None, &hub, &Selected::cpu(), slots);
        let found = estimate("base").unwrap();
        assert_eq!((found.identity, found.windows), (None, Some(2)));
        assert!((300..500).contains(&(found.memory.unwrap() >> 20)), "{:?}", found.memory);
        assert!(estimate("demo").unwrap().identity.unwrap().starts_with("demo@"));
        assert_eq!(estimate("owner/name").unwrap().memory, None);
        assert!(matches!(estimate("bsae"), Err(Error::Model { .. })));
    }
}
