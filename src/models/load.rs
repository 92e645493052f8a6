//! Checkpoint → loaded model: a backend within the memory limits, and its tokenizer.

use std::sync::Arc;

use super::candle::CandleBackend;
use super::checkpoint::{Checkpoint, CheckpointFiles, WEIGHTS};
use super::{Backend, Capacity, ModelMemory, SlotRequest, demo};
use crate::decode::Tokenizer;
use crate::device::SelectedDevice;
use crate::device::memory::{self, MemoryStats};
use crate::error::{Error, ModelProblem, Result};
use crate::whisper::weights::WeightSource;
use crate::whisper::{WhisperConfig, random};

const LOADING: &str = "loading the model";

/// A loaded checkpoint.
pub struct LoadedModel {
    pub backend: Box<dyn Backend>,
    pub tokenizer: Arc<Tokenizer>,
    pub memory: ModelMemory,
}

/// Limits of a load.
pub struct LoadLimits<'a> {
    /// Maximum bytes; by default what is free.
    pub budget: Option<u64>,
    /// Called with each smaller number of window slots that is tried for want of memory.
    pub on_fewer_windows: &'a mut dyn FnMut(usize),
}

/// Loads a model with the requested number of window slots, or with fewer if memory is short.
pub fn load(
    checkpoint: &Checkpoint,
    device: &SelectedDevice,
    slots: SlotRequest,
    limits: LoadLimits<'_>,
) -> Result<LoadedModel> {
    let name = &checkpoint.name;
    let config = checkpoint.config()?;
    let tokenizer = Arc::new(checkpoint.tokenizer(config.vocab_size)?);
    let generation = checkpoint.generation_config()?.unwrap_or_default();
    let file = checkpoint.weight_files().first().map_or(WEIGHTS.into(), |path| path.display().to_string());
    let open = |dtype| match &checkpoint.files {
        CheckpointFiles::Folder { weights, .. } => WeightSource::Files(weights).open(dtype),
        CheckpointFiles::Embedded { weights, .. } => WeightSource::Bytes(weights).open(dtype),
        CheckpointFiles::Foreign(model) => model.weights(dtype),
    };
    let stored = Some(checkpoint.bytes_of_weights());
    let build = |capacity| {
        let memory = ModelMemory::of(&config, capacity, device, stored);
        check_memory(&memory, device, limits.budget)?;
        let backend = open(device.formats.activations)
            .and_then(|weights| {
                CandleBackend::new(config.clone(), weights, &device.device, device.formats, capacity)
            })
            .map_err(|error| match memory::is_exhausted(&error) {
                true => Error::OutOfMemory { during: LOADING, source: error.into() },
                false => Error::model(name, problem(error, file.clone())),
            })?;
        let backend = Box::new(backend.with_generation_config(&generation));
        Ok(LoadedModel { backend, tokenizer: Arc::clone(&tokenizer), memory })
    };
    let free = free_memory(device, limits.budget);
    let weights = ModelMemory::of(&config, Capacity { windows: 0, sequences: 0 }, device, stored).weights;
    let free = free.map(|free| free.saturating_sub(weights));
    let mut capacity = slots.capacity(&config, free, device);
    loop {
        match build(capacity) {
            Err(Error::OutOfMemory { .. }) if capacity.windows > 1 => {
                let windows = capacity.windows / 2;
                (limits.on_fewer_windows)(windows);
                capacity = SlotRequest { windows: Some(windows), ..slots }.capacity(&config, free, device);
            }
            outcome => return outcome,
        }
    }
}

/// Compares the model's size with the free memory before anything is allocated: an operating system that overcommits
/// memory would kill the process later instead of refusing it.
fn check_memory(needed: &ModelMemory, device: &SelectedDevice, budget: Option<u64>) -> Result<()> {
    let available = match device.is_accelerator() {
        true => None,
        false => free_memory(device, None).map(|free| free + memory::swap().free),
    };
    let Some(available) = available.into_iter().chain(budget).min().filter(|bytes| *bytes < needed.total())
    else {
        return Ok(());
    };
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    let why = format!("it needs {} MB, of {} MB available", megabytes(needed.total()), available / 1_000_000);
    Err(Error::OutOfMemory { during: LOADING, source: why.into() })
}

/// Builds a model of a published size with random weights and the demo's vocabulary, as fast as the real one.
pub fn load_random(size: &str, device: &SelectedDevice, slots: SlotRequest) -> Result<LoadedModel> {
    let unknown = || Error::Usage {
        what: format!("size `{size}`"),
        why: "not a size that can be built with random weights".into(),
        hint: Some(
            "choose one of tiny, base, small, medium, large-v2, large-v3, large-v3-turbo, distil-large-v3"
                .into(),
        ),
    };
    let config = WhisperConfig::published(size).filter(|_| !size.ends_with(".en")).ok_or_else(unknown)?;
    let tokenizer = Tokenizer::from_json(&demo::tokenizer_for(config.vocab_size)?, config.vocab_size)
        .map_err(|problem| Error::model(size, problem))?;
    let capacity = slots.capacity(&config, free_memory(device, None), device);
    let memory = ModelMemory::of(&config, capacity, device, None);
    let weights = random::weights(device.formats.activations);
    let backend =
        CandleBackend::new(config, weights, &device.device, device.formats, capacity).map_err(|error| {
            match memory::is_exhausted(&error) {
                true => Error::OutOfMemory { during: LOADING, source: error.into() },
                false => Error::compute("generating random weights", error),
            }
        })?;
    Ok(LoadedModel { backend: Box::new(backend), tokenizer: Arc::new(tokenizer), memory })
}

/// Returns the bytes that may be used on the device, if that is known.
pub(super) fn free_memory(device: &SelectedDevice, budget: Option<u64>) -> Option<u64> {
    let memory = MemoryStats::measure(&device.device).ok();
    let free = memory.map(|memory| memory.device.unwrap_or(memory.host).free).filter(|free| *free > 0);
    free.into_iter().chain(budget).min()
}

/// Translates a failure to build the network into a problem of the checkpoint.
fn problem(error: candle_core::Error, file: String) -> ModelProblem {
    use candle_core::Error as E;
    match error {
        E::WithBacktrace { inner, .. } | E::Context { inner, .. } | E::WithPath { inner, .. } => {
            problem(*inner, file)
        }
        E::CannotFindTensor { path } => {
            ModelProblem::NotWhisper { why: format!("it has no tensor `{path}`") }
        }
        E::UnexpectedShape { msg, expected, got } => {
            ModelProblem::NotWhisper { why: format!("{msg}: {got:?} where config.json says {expected:?}") }
        }
        // Candle's own error hides which one it is.
        E::Io(error) => ModelProblem::Unreadable { file, source: error.into() },
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

    /// Loads a copy of `models/demo` with one of its files changed.
    fn load_changed(file: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Result<LoadedModel> {
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
        let limits = LoadLimits { budget: None, on_fewer_windows: &mut |_| () };
        load(
            &checkpoint,
            &SelectedDevice::cpu(),
            SlotRequest { windows: Some(1), candidates: 1, beams: 1 },
            limits,
        )
    }

    fn replaced(from: &'static str, to: &'static str) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
        move |bytes| String::from_utf8(bytes).unwrap().replacen(from, to, 1).into_bytes()
    }

    fn why(result: Result<LoadedModel>) -> String {
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
    fn reports_shapes_that_contradict_the_config() {
        let why = why(load_changed("config.json", replaced("\"d_model\": 128", "\"d_model\": 192")));
        assert!(why.contains("config.json says"), "{why}");
    }

    #[test]
    fn names_a_missing_tensor() {
        let why =
            why(load_changed("config.json", replaced("\"encoder_layers\": 3", "\"encoder_layers\": 4")));
        assert!(why.contains("model.encoder.layers.3"), "{why}");
    }

    #[test]
    fn reports_a_truncated_file_as_damaged() {
        let why = why(load_changed("model.safetensors", |mut bytes| {
            bytes.truncate(bytes.len() / 2);
            bytes
        }));
        assert!(why.contains("damaged"), "{why}");
    }

    #[test]
    fn rejects_a_foreign_tokenizer() {
        assert!(load_changed("tokenizer.json", |_| b"{}".to_vec()).is_err());
    }
}
