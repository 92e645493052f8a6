//! What a run is to transcribe, and how: everything that planning needs.

use std::path::PathBuf;
use std::sync::Arc;

use super::{InputOptions, OutputOptions, Shard};
use crate::audio::AudioOptions;
use crate::chunking::Selection;
use crate::decode::{DecodeOptions, WordTimes};
use crate::device::{AdditionalDevices, DeviceRequest};
use crate::export::{ExportOptions, Format};
use crate::models::ModelOptions;
use crate::models::hub::Hub;
use crate::speakers::SpeakerOptions;
use crate::store::TextOptions;

/// The inputs, their outputs and everything that decides what the outputs contain.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// Files, folders, patterns and lists; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    pub discovery: InputOptions,
    /// Which part of the inputs; all of them if none.
    pub shard: Option<Shard>,
    pub outputs: OutputOptions,
    /// How outputs look; the transcribed text does not depend on it.
    pub export: ExportOptions,
    /// The settings of every input that has none of its own.
    pub settings: Arc<InputSettings>,
    pub device: DeviceRequest,
    /// Further devices that share the work.
    pub beside: AdditionalDevices,
    pub models: ModelOptions,
    /// Use the chunks that an earlier run has finished.
    pub resume: bool,
}

impl PlanRequest {
    /// Requests a plan with default options and without output files.
    pub fn new(inputs: Vec<PathBuf>, settings: InputSettings) -> Self {
        Self {
            inputs,
            discovery: InputOptions::default(),
            shard: None,
            outputs: OutputOptions::default(),
            export: ExportOptions::default(),
            settings: Arc::new(settings),
            device: DeviceRequest::Auto,
            beside: AdditionalDevices::default(),
            models: ModelOptions::default(),
            resume: true,
        }
    }
}

/// Settings that may differ from input to input: everything that decides the text.
#[derive(Debug, Clone, PartialEq)]
pub struct InputSettings {
    pub model: ModelRequest,
    pub audio: AudioOptions,
    pub decode: DecodeOptions,
    /// Which parts of the recording to transcribe.
    pub selection: Selection,
    /// Target length of a chunk in seconds; 0 keeps a recording in one piece.
    pub chunk_length: f64,
    /// How to tell speakers apart; nobody is told apart if none.
    pub speakers: Option<SpeakerOptions>,
    /// Whether the formats of the outputs decide if words get times.
    pub chooses_words: bool,
}

impl InputSettings {
    /// Default target length of a chunk in seconds.
    pub const CHUNK_LENGTH: f64 = 600.0;

    /// Returns the default settings for a model.
    pub fn new(model: ModelRequest) -> Self {
        Self {
            model,
            audio: AudioOptions::default(),
            decode: DecodeOptions::default(),
            selection: Selection::default(),
            chunk_length: Self::CHUNK_LENGTH,
            speakers: None,
            chooses_words: false,
        }
    }

    /// Returns everything but the model that decides the text.
    pub fn text_options(&self) -> TextOptions<'_> {
        TextOptions {
            decode: &self.decode,
            audio: &self.audio,
            clips: &self.selection.clips,
            vad: self.selection.vad.as_ref(),
            chunk_length: self.chunk_length,
            speakers: self.speakers.as_ref(),
        }
    }

    /// Times the words if one of these formats shows them, unless that is decided otherwise.
    pub fn time_words_for(&mut self, formats: &[Format]) {
        if self.chooses_words {
            let shown = formats.iter().any(|format| format.shows_words());
            self.decode.word_times = if shown { WordTimes::Aligned } else { WordTimes::None };
        }
    }
}

/// Which model to use, and where to get it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRequest {
    /// A name that [`crate::models::source::find`] accepts, or `auto`.
    pub name: String,
    pub revision: Option<String>,
    pub hub: Hub,
}

/// Selects a model by the kind of device.
const AUTO: &str = "auto";

impl ModelRequest {
    /// Requests a model by name from wherever it is found.
    pub fn named(name: &str) -> Self {
        ModelRequest { name: name.to_owned(), revision: None, hub: Hub::from_env(false) }
    }

    /// Returns the name, with `auto` resolved; `has_accelerator` is called only if that matters.
    pub fn name_on(&self, has_accelerator: impl FnOnce() -> bool) -> &str {
        match self.name.as_str() {
            AUTO if has_accelerator() => "large-v3-turbo",
            AUTO => "base",
            name => name,
        }
    }
}
