//! Transcript → the bytes of one format: openai/whisper's own shapes to the byte, or layouts made for reading.
//!
//! [`Rendering`] lays a transcript out as cues once for all formats and [`Format`] is the list of them. Exporting does
//! no input or output; `store` writes the files and `run` finds the recording that a page plays.

mod cues;
mod format;
mod options;
mod partial;
mod python;
mod rendering;
mod timestamps;

pub use cues::{Cue, CueQuality, CueWord, Cues};
pub use format::{Format, Media, page_policy_hashes};
pub use options::{CueLimits, ExportOptions, HtmlAudio, JsonStyle, Preset, SpeakerLabels};
pub use partial::is_partial;
pub use rendering::Rendering;
