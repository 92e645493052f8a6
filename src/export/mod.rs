//! Transcript → the bytes of one format, in openai/whisper's exact shapes or in those that people read.
//! A format does no input or output; `store` writes the files.

mod cues;
mod format;
mod options;
mod partial;
mod python;
mod timestamps;

pub use cues::{Cue, CueQuality, CueWord, cues, quality};
pub use format::{Format, Media, page};
pub use options::{HtmlAudio, JsonStyle, Limits, Preset, Shape};
pub use partial::is_partial;

use crate::transcript::Transcript;

/// One format.
pub trait Exporter {
    /// What files of this format end in, without the dot.
    fn extension(&self) -> &'static str;

    /// The content of such a file.
    fn write(&self, transcript: &Transcript, shape: &Shape) -> Vec<u8>;
}
