//! Samples → log-mel frames, as a stream and with openai/whisper's numbers. Knows no files, no threads' owners
//! and no network.
//!
//! The reference computes the mel of the whole file with thirty seconds of zeros behind it and measures every
//! value against the loudest one of the file. So this takes two passes: a [`MelMeter`] finds how long and how
//! loud the audio is (its [`Extent`]), then a [`MelStream`] makes the frames, which [`StreamedFeatures`] scales
//! while it hands out windows. Neither holds more than a few seconds.

pub mod features;
mod filters;
mod scale;
mod stft;
mod stream;
mod streamed;

pub use features::Features;
pub use filters::MelBank;
pub use scale::Scale;
pub use stream::{Extent, MelMeter, MelStream};
pub use streamed::StreamedFeatures;
