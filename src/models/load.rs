//! A checkpoint at hand → a model that can be used.

use std::sync::Arc;

use super::candle::CandleBackend;
use super::checkpoint::{Checkpoint, Files, WEIGHTS};
use super::needs::Needs;
use super::{Backend, Capacity, Slots, demo};
use crate::decode::Tokenizer;
use crate::device::SelectedDevice;
use crate::device::memory::{self, MemoryStats};
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::weights::WeightSource;
use crate::whisper::{WhisperConfig, random};

const LOADING: &str = "loading the model";

/// A loaded checkpoint.
pub struct Model {
    pub backend: Box<dyn Backend>,
    pub tokenizer: Arc<Tokenizer>,
    pub needs: Needs,
}

/// What a model may take, and whom to tell if that is not enough.
pub struct Room<'a> {
    /// Bytes at most; as many as are free if not given.
    pub budget: Option<u64>,
    /// Told of every smaller number of windows that is tried next.
    pub on_less: &'a mut dyn FnMut(usize),
}

/// Loads with as many windows side by side as wanted, or as there is room for.
pub fn load(checkpoint: &Checkpoint, device: &SelectedDevice, slots: Slots, room: Room<'_>) -> Result<Model> {
    let name = &checkpoint.name;
    let config = WhisperConfig::from_json(&checkpoint.config()?);
    let config = config.map_err(|why| Error::model(name, ModelProblem::NotWhisper { why }))?;
    let tokenizer = Tokenizer::from_json(&checkpoint.tokenizer()?, config.vocab_size)
        .map_err(|fault| Error::model(name, fault))?;
    let tokenizer = Arc::new(tokenizer);
    let generation = checkpoint.generation_config()?.unwrap_or_default();
    let (weights, file) = match &checkpoint.files {
        Files::Folder { weights, .. } => {
            let file = weights.first().map_or(WEIGHTS.into(), |path| path.display().to_string());
            (WeightSource::Files(weights), file)
        }
        Files::Embedded { weights, .. } => (WeightSource::Bytes(weights), WEIGHTS.into()),
    };
    let build = |capacity| {
        let needs = Needs::of(&config, capacity, device);
        check_room(&needs, device, room.budget)?;
        let backend = weights
            .open(device.formats.activations)
            .and_then(|weights| {
                CandleBackend::new(config.clone(), weights, &device.device, device.formats, capacity)
            })
            .map_err(|error| match memory::is_exhausted(&error) {
                true => Error::OutOfMemory { during: LOADING, source: error.into() },
                false => Error::model(name, fault(error, file.clone())),
            })?;
        let backend = Box::new(backend.generating(&generation));
        Ok(Model { backend, tokenizer: Arc::clone(&tokenizer), needs })
    };
    let free = free_memory(device, room.budget);
    let weights = Needs::of(&config, Capacity { windows: 0, sequences: 0 }, device).weights;
    let free = free.map(|free| free.saturating_sub(weights));
    let mut capacity = slots.capacity(&config, free, device);
    loop {
        match build(capacity) {
            Err(Error::OutOfMemory { .. }) if capacity.windows > 1 => {
                let windows = capacity.windows / 2;
                (room.on_less)(windows);
                capacity = Slots { windows: Some(windows), ..slots }.capacity(&config, free, device);
            }
            outcome => return outcome,
        }
    }
}

/// Where memory is only promised when it is asked for, whoever uses too much of it is killed: so it is counted before.
fn check_room(needs: &Needs, device: &SelectedDevice, budget: Option<u64>) -> Result<()> {
    let unpromised = match device.is_accelerator() {
        true => None,
        false => free_memory(device, None).map(|free| free + memory::swap().free),
    };
    let Some(room) = unpromised.into_iter().chain(budget).min().filter(|room| *room < needs.total()) else {
        return Ok(());
    };
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    let why = format!("it needs {} MB, and may take {}", megabytes(needs.total()), room / 1_000_000);
    Err(Error::OutOfMemory { during: LOADING, source: why.into() })
}

/// A model of a published size with random weights, and with the demo's vocabulary: as fast as the real one.
pub fn load_random(size: &str, device: &SelectedDevice, slots: Slots) -> Result<Model> {
    let unknown = || Error::Usage {
        what: format!("size `{size}`"),
        why: "there is none of this name with random weights".into(),
        hint: Some(
            "take one of tiny, base, small, medium, large-v2, large-v3, large-v3-turbo, distil-large-v3"
                .into(),
        ),
    };
    let config = WhisperConfig::published(size).filter(|_| !size.ends_with(".en")).ok_or_else(unknown)?;
    let tokenizer = Tokenizer::from_json(&demo::tokenizer_for(config.vocab_size)?, config.vocab_size)
        .map_err(|fault| Error::model(size, fault))?;
    let capacity = slots.capacity(&config, free_memory(device, None), device);
    let needs = Needs::of(&config, capacity, device);
    let weights = random::weights(device.formats.activations);
    let backend =
        CandleBackend::new(config, weights, &device.device, device.formats, capacity).map_err(|error| {
            match memory::is_exhausted(&error) {
                true => Error::OutOfMemory { during: LOADING, source: error.into() },
                false => Error::compute("making random weights", error),
            }
        })?;
    Ok(Model { backend: Box::new(backend), tokenizer: Arc::new(tokenizer), needs })
}

/// Bytes that may be used where the device computes, if that is known.
pub(super) fn free_memory(device: &SelectedDevice, budget: Option<u64>) -> Option<u64> {
    let memory = MemoryStats::measure(&device.device).ok();
    let free = memory.map(|memory| memory.device.unwrap_or(memory.host).free).filter(|free| *free > 0);
    free.into_iter().chain(budget).min()
}

/// What a failure while building the network says about the checkpoint.
fn fault(error: candle_core::Error, file: String) -> ModelProblem {
    use candle_core::Error as E;
    match error {
        E::WithBacktrace { inner, .. } | E::Context { inner, .. } | E::WithPath { inner, .. } => {
            fault(*inner, file)
        }
        E::CannotFindTensor { path } => {
            ModelProblem::NotWhisper { why: format!("it has no tensor `{path}`") }
        }
        E::UnexpectedShape { msg, expected, got } => {
            ModelProblem::NotWhisper { why: format!("{msg}: {got:?} where config.json says {expected:?}") }
        }
        E::SafeTensor(error) => ModelProblem::Damaged { file, why: error.to_string() },
        error => ModelProblem::Unreadable { file, source: error.into() },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cancel::CancelToken;
    use crate::models::hub::Hub;
    use crate::models::source;

    /// `models/demo` with one of its files changed.
    fn load_changed(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Result<Model> {
        let folder = tempfile::tempdir().unwrap();
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo");
        for name in ["config.json", "tokenizer.json", "model.safetensors"] {
            std::fs::copy(demo.join(name), folder.path().join(name)).unwrap();
        }
        let path = folder.path().join(file);
        std::fs::write(&path, change(std::fs::read(&path).unwrap())).unwrap();
        let hub = Hub::from_env(true);
        let name = folder.path().to_str().unwrap();
        let checkpoint = source::find(name, None, &hub, &CancelToken::new(), &mut |_| ())?;
        let room = Room { budget: None, on_less: &mut |_| () };
        load(&checkpoint, &SelectedDevice::cpu(), Slots { windows: Some(1), candidates: 1, beams: 1 }, room)
    }

    fn replaced(from: &'static str, to: &'static str) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
        move |bytes| String::from_utf8(bytes).unwrap().replacen(from, to, 1).into_bytes()
    }

    fn why(result: Result<Model>) -> String {
        match result.err().unwrap() {
            Error::Model { why, .. } => why.to_string(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_demo_loads() {
        assert!(load_changed("config.json", |same| same).is_ok());
    }

    #[test]
    fn shapes_that_contradict_each_other_are_said() {
        let why = why(load_changed("config.json", replaced("\"d_model\": 128", "\"d_model\": 192")));
        assert!(why.contains("config.json says"), "{why}");
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let why =
            why(load_changed("config.json", replaced("\"encoder_layers\": 3", "\"encoder_layers\": 4")));
        assert!(why.contains("model.encoder.layers.3"), "{why}");
    }

    #[test]
    fn a_file_that_was_cut_off_is_damaged() {
        let why = why(load_changed("model.safetensors", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        }));
        assert!(why.contains("damaged"), "{why}");
    }

    #[test]
    fn a_tokenizer_of_something_else_is_refused() {
        assert!(load_changed("tokenizer.json", |_| b"{}".to_vec()).is_err());
    }
}
