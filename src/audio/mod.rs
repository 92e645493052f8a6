//! Decodes files of any common format to blocks of 16 kHz mono samples, as a stream in bounded memory.
//!
//! What the built-in decoders do not know goes through an installed `ffmpeg`.
//! Damage is counted and left to the caller to report. Finding speech in the samples is left to `vad`.

mod channels;
mod codec_panic;
mod decode;
mod decoder;
mod ffmpeg;
mod input;
mod prefetch;
mod reader;
mod resample;
mod sniff;
mod stream;

pub use codec_panic::is_catching_codec_panics;
pub use ffmpeg::find_ffmpeg;
#[cfg(feature = "testing")]
pub use ffmpeg::read_output as read_ffmpeg_output;
pub use input::{AudioInput, probe_duration};
pub use reader::AudioReader;
pub use sniff::is_recording;

/// Which part of a file to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AudioOptions {
    /// The audio track, counted from 0; the first by default.
    pub track: Option<usize>,
    /// The channel of that track, counted from 0; a mix of all by default.
    pub channel: Option<usize>,
    pub decoder: DecoderChoice,
}

/// What decodes files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DecoderChoice {
    /// The built-in decoders, and `ffmpeg` for what they do not know, if it is installed.
    #[default]
    Auto,
    Builtin,
    Ffmpeg,
}

/// What was skipped or missing in a file that could otherwise be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AudioDamage {
    /// Packets that could not be decoded and were skipped.
    pub packets: u64,
    /// The file holds less audio than its headers claim.
    pub incomplete: bool,
    /// The decoder's message for the first damage.
    pub first: Option<String>,
}

impl AudioDamage {
    pub fn any(&self) -> bool {
        self.packets > 0 || self.incomplete
    }

    fn add_packet(&mut self, message: impl ToString) {
        self.packets += 1;
        self.first.get_or_insert_with(|| message.to_string());
    }

    fn mark_incomplete(&mut self, message: impl ToString) {
        self.incomplete = true;
        self.first.get_or_insert_with(|| message.to_string());
    }
}

/// The minimum number of samples in a block, except for the last one.
const BLOCK: usize = 8_000;

/// Returns the samples of a recording of `fixtures/long`.
#[cfg(test)]
pub fn fixture(name: &str) -> Vec<f32> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long");
    let mut reader = AudioInput::file(folder.join(name).with_extension("flac"))
        .unwrap()
        .open(&AudioOptions::default())
        .unwrap();
    let mut samples = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        samples.extend_from_slice(block);
    }
    samples
}
