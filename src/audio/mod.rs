//! From a file of any common kind to blocks of 16 kHz mono samples, as a stream in bounded memory.
//!
//! Prints nothing: damage is counted and left to the caller to tell. Where speech is in the samples is not
//! asked here.

mod channels;
mod codec_panic;
mod decode;
mod edit_list;
mod input;
mod length;
mod ogg;
mod prefetch;
mod reader;
mod resample;
mod sniff;
mod stream;

pub use codec_panic::is_catching_codec_panics;
pub use input::AudioInput;
pub use length::probe_duration;
pub use reader::AudioReader;
pub use sniff::is_recording;

/// What of a file to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AudioOptions {
    /// Which audio track, from 0; the first by default.
    pub track: Option<usize>,
    /// Which channel of it, from 0; the mix of all by default.
    pub channel: Option<usize>,
}

/// What could not be read although the file was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AudioDamage {
    /// Packets that could not be decoded and were left out.
    pub packets: u64,
    /// Less is there than the headers claim.
    pub incomplete: bool,
    /// What the decoder said of the first damage.
    pub first: Option<String>,
}

impl AudioDamage {
    pub fn any(&self) -> bool {
        self.packets > 0 || self.incomplete
    }

    fn packet(&mut self, message: impl ToString) {
        self.packets += 1;
        self.first.get_or_insert_with(|| message.to_string());
    }

    fn end(&mut self, message: impl ToString) {
        self.incomplete = true;
        self.first.get_or_insert_with(|| message.to_string());
    }
}

/// Samples in a block, at least, save for the last one.
const BLOCK: usize = 8_000;
