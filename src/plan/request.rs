//! What one call of the program is asked to do.

use std::path::PathBuf;
use std::sync::Arc;

use super::{InputOptions, OutputOptions, Shard};
use crate::audio::AudioOptions;
use crate::chunking::Selection;
use crate::decode::DecodeOptions;
use crate::device::{Beside, DeviceRequest};
use crate::export::Shape;
use crate::models::hub::Hub;
use crate::run::{GuardOptions, ModelOptions};

/// Everything that one call of the program is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// Files, folders, patterns and lists; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    pub finding: InputOptions,
    /// Only this part of them.
    pub shard: Option<Shard>,
    pub plan: OutputOptions,
    /// How the outputs look; their text does not depend on it.
    pub shape: Shape,
    pub audio: AudioOptions,
    /// Of every input that does not say otherwise.
    pub settings: Arc<Settings>,
    pub device: DeviceRequest,
    /// Which devices share the work with that one.
    pub beside: Beside,
    /// Where to tell of speech and silence, a line per input.
    pub voice_report: Option<PathBuf>,
    /// From 0 to 1: of the speech of an input, so much must have text.
    pub least_coverage: Option<f64>,
    /// Seconds from pause to pause; 0 for every recording in one piece.
    pub chunk_length: f64,
    pub models: ModelOptions,
    pub guard: GuardOptions,
    /// Inputs in flight; as many as there are windows side by side if not given.
    pub jobs: Option<usize>,
    /// What an earlier run has finished is not done again.
    pub resume: bool,
}

/// What one input may want otherwise than another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub model: ModelRequest,
    pub decode: DecodeOptions,
    /// Which parts of the recording.
    pub selection: Selection,
}

/// Which model, and where to get it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// As [`crate::models::source::find`] takes it, or [`AUTO`].
    pub name: String,
    pub revision: Option<String>,
    pub hub: Hub,
}

impl ModelRequest {
    /// A model by its name, wherever it is found.
    pub fn named(name: &str) -> Self {
        ModelRequest { name: name.to_owned(), revision: None, hub: Hub::from_env(false) }
    }
}

impl ModelRequest {
    /// The name, or that of the model that suits the device; asked only if it matters.
    pub fn name_on(&self, has_accelerator: impl FnOnce() -> bool) -> &str {
        match self.name.as_str() {
            AUTO if has_accelerator() => "large-v3-turbo",
            AUTO => "base",
            name => name,
        }
    }
}

/// The model that suits the device.
const AUTO: &str = "auto";
