//! What a model would need, without loading it.

use super::hub::Hub;
use super::load::free_memory;
use super::{Needs, Slots, source};
use crate::cancel::CancelToken;
use crate::device::SelectedDevice;
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::WhisperConfig;

/// What is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Which weights; none if they would have to be downloaded.
    pub identity: Option<String>,
    /// Bytes of weights, of what windows side by side heard and say, and of the work on them. None if nothing is known of the model.
    pub memory: Option<u64>,
    /// Windows side by side.
    pub windows: Option<usize>,
}

/// Looks only at what is on this machine.
pub fn estimate(
    model: &str,
    revision: Option<&str>,
    hub: &Hub,
    device: &SelectedDevice,
    slots: Slots,
) -> Result<Estimate> {
    let hub = Hub { offline: true, ..hub.clone() };
    let (identity, config) = match source::find(model, revision, &hub, &CancelToken::new(), &mut |_| ()) {
        Ok(checkpoint) => {
            let config = WhisperConfig::from_json(&checkpoint.config()?);
            let not_whisper = |why| Error::model(model, ModelProblem::NotWhisper { why });
            (Some(checkpoint.identity), Some(config.map_err(not_whisper)?))
        }
        Err(Error::Model { why: ModelProblem::Offline, .. }) => (None, WhisperConfig::published(model)),
        Err(error) => return Err(error),
    };
    let Some(config) = config else { return Ok(Estimate { identity, memory: None, windows: None }) };
    let capacity = slots.capacity(&config, free_memory(device, None), device);
    let needs = Needs::of(&config, capacity, device);
    Ok(Estimate { identity, memory: Some(needs.total()), windows: Some(capacity.windows) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_downloaded_is_estimated_by_its_name() {
        let hub = Hub { offline: false, ..Hub::nowhere() };
        let slots = Slots { windows: Some(2), candidates: 5, beams: 1 };
        let estimate = |model: &str| estimate(model, None, &hub, &SelectedDevice::cpu(), slots);
        let found = estimate("base").unwrap();
        assert_eq!((found.identity, found.windows), (None, Some(2)));
        assert!((300..500).contains(&(found.memory.unwrap() >> 20)), "{:?}", found.memory);
        assert!(estimate("demo").unwrap().identity.unwrap().starts_with("demo@"));
        assert_eq!(estimate("owner/name").unwrap().memory, None);
        assert!(matches!(estimate("bsae"), Err(Error::Model { .. })));
    }
}
