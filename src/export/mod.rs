//! Transcript → the bytes of one format, in openai/whisper's exact shapes or in those that people read.
//! A format does no input or output; `store` writes the files.

mod ass;
mod csv;
mod cues;
mod format;
mod html;
mod json;
mod lrc;
mod partial;
mod python;
mod shape;
mod srt;
mod styles;
mod subtitles;
mod tsv;
mod txt;
mod vtt;

pub use cues::{Cue, CueQuality, CueWord, cues, quality};
pub use format::Format;
pub use html::{Media, page};
pub use partial::is_partial;
pub use shape::{HtmlAudio, JsonStyle, Limits, Preset, Shape};

use crate::transcript::Transcript;

/// One format.
pub trait Exporter {
    /// What files of this format end in, without the dot.
    fn extension(&self) -> &'static str;

    /// The content of such a file.
    fn write(&self, transcript: &Transcript, shape: &Shape) -> Vec<u8>;
}
