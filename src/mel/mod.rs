//! Samples → log-mel frames, as a stream and with openai/whisper's numbers. Knows no files, no threads' owners
//! and no network.
//!
//! The reference computes the mel of the whole file with thirty seconds of zeros behind it and measures every
//! value against the loudest one of the file. For a recording that is cut into chunks, the loudest value up to the
//! chunk's end stands for it, so that one pass is enough; to hear it as the reference does, a [`MelMeter`] finds
//! the loudest value in a pass of its own. Neither holds more than a few seconds; a [`MelChunker`] little more
//! than one chunk.

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
