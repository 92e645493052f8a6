//! Samples → the chunks of a recording, each of which can be transcribed on its own.
//!
//! [`Clips`] are the requested parts, `cut_point` finds the best frame to cut at, `cutter` applies it to a stream
//! of frames, [`SpeechMap`] keeps what the voice detector found, and [`AudioSplitter`] combines clips, speech regions and
//! cuts. Detecting speech is left to `vad`, making the log-mel of the chunks to `mel`.

mod clips;
mod cut_point;
mod cutter;
mod span;
mod speech_map;
mod splitter;

pub use clips::{Clip, Clips, parse_time};
pub use cutter::{CutKind, CutPoint, SEAM_DISTANCE};
pub use span::ChunkSpan;
pub use speech_map::SpeechMap;
pub use splitter::{AudioSplitter, Boundary, CutPolicy, Selection, SkipCause, SplitReport};
