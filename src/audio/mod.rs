//! From a file of any common kind to blocks of 16 kHz mono samples, as a stream in bounded memory.
//!
//! Prints nothing: damage is counted and left to the caller to tell. Where speech is in the samples is not
//! asked here.

mod channels;
mod decode;
mod edits;
mod guard;
mod input;
mod length;
mod ogg;
mod resample;
mod sniff;
mod stream;

pub use guard::panics_are_caught;
pub use input::AudioInput;
pub use length::claimed_length;
pub use sniff::is_recording;

use crate::error::{Error, Result};
use crate::time::seconds_of_samples;
use decode::Decoder;
use resample::Resampler;

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
pub struct Damage {
    /// Packets that could not be decoded and were left out.
    pub packets: u64,
    /// Less is there than the headers claim.
    pub incomplete: bool,
    /// What the decoder said of the first damage.
    pub first: Option<String>,
}

impl Damage {
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

/// One pass over one recording.
pub struct AudioReader {
    name: String,
    decoder: Decoder,
    resampler: Option<Resampler>,
    block: Vec<f32>,
    ended: bool,
    samples: u64,
}

impl AudioReader {
    fn new(name: String, decoder: Decoder) -> Self {
        Self { name, decoder, resampler: None, block: Vec::new(), ended: false, samples: 0 }
    }

    /// Seconds of audio that the file claims to have.
    pub fn duration_hint(&self) -> Option<f64> {
        self.decoder.duration_hint()
    }

    /// The next samples, 16 kHz and mono: about half a second, or more where the file's packets are longer.
    /// None at the end.
    pub fn next_block(&mut self) -> Result<Option<&[f32]>> {
        self.block.clear();
        while !self.ended && self.block.len() < BLOCK {
            self.step()?;
        }
        self.samples += self.block.len() as u64;
        if self.block.is_empty() {
            return match self.decoder.verdict(seconds_of_samples(self.samples)) {
                Some(fault) => Err(Error::input(&self.name, fault)),
                None => Ok(None),
            };
        }
        Ok(Some(&self.block))
    }

    /// What had to be left out so far.
    pub fn damage(&self) -> &Damage {
        self.decoder.damage()
    }

    fn step(&mut self) -> Result<()> {
        let name = &self.name;
        let Some(chunk) = self.decoder.next().map_err(|fault| Error::input(name, fault))? else {
            self.ended = true;
            return self.flush();
        };
        match &mut self.resampler {
            Some(resampler) if resampler.rate() == chunk.rate => {
                resampler.push(chunk.samples, &mut self.block)
            }
            // The rate is known only now, or it changed: what came before is a stretch of its own.
            stale => {
                if let Some(old) = stale {
                    old.finish(&mut self.block)?;
                }
                stale.insert(Resampler::new(chunk.rate)?).push(chunk.samples, &mut self.block)
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.resampler {
            Some(resampler) => resampler.finish(&mut self.block),
            None => Ok(()),
        }
    }
}
