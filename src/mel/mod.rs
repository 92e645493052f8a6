//! Samples → log-mel frames, as a stream and with openai/whisper's values.
//!
//! The reference computes the mel of the whole file, padded with thirty seconds of zeros, and scales every value relative
//! to the loudest one of the file. For a recording that is cut at pauses, the loudest value up to the end of the section
//! is used instead, so that one pass is enough; to match the reference, a [`MelMeter`] finds the loudest value in a pass
//! of its own. Both buffer a few seconds at most, and a [`MelChunker`] little more than one section.
//!
//! Leaves reading files to `audio` and the choice of chunks to `chunking`.

mod chunks;
pub mod features;
mod filters;
mod language_probe;
mod scale;
mod stft;
mod stream;

pub use chunks::{ChunkMode, MelChunk, MelChunker};
pub use features::{ChunkFeatures, Features};
pub use filters::MelBank;
pub use language_probe::{LanguageProbe, LanguageWindow};
pub use scale::Scale;
pub use stream::{Extent, MelMeter, MelStream};
