//! One pass over one recording, on the thread that asks for it or ahead of that.

use super::ahead::Ahead;
use super::decode::Decoder;
use super::resample::Resampling;
use super::{BLOCK, Damage};
use crate::error::{Error, Result};
use crate::time::seconds_of_samples;

/// See the module.
pub struct AudioReader {
    duration: Option<f64>,
    way: Way,
}

enum Way {
    Here(Box<Here>),
    Ahead(Ahead),
}

/// Everything on one thread.
struct Here {
    name: String,
    decoder: Decoder,
    resampling: Resampling,
    block: Vec<f32>,
    ended: bool,
    samples: u64,
}

impl AudioReader {
    pub(super) fn here(name: String, decoder: Decoder) -> Self {
        let duration = decoder.duration_hint();
        let resampling = Resampling::default();
        let here = Here { name, decoder, resampling, block: Vec::new(), ended: false, samples: 0 };
        Self { duration, way: Way::Here(Box::new(here)) }
    }

    pub(super) fn ahead(name: &str, decoder: Decoder) -> Result<Self> {
        let duration = decoder.duration_hint();
        Ok(Self { duration, way: Way::Ahead(Ahead::start(name, decoder)?) })
    }

    /// Seconds of audio that the file claims to have.
    pub fn duration_hint(&self) -> Option<f64> {
        self.duration
    }

    /// The next samples, 16 kHz and mono: about half a second, or more where the file's packets are longer.
    /// None at the end.
    pub fn next_block(&mut self) -> Result<Option<&[f32]>> {
        match &mut self.way {
            Way::Here(here) => here.next_block(),
            Way::Ahead(ahead) => ahead.next_block(),
        }
    }

    /// What had to be left out so far.
    pub fn damage(&self) -> &Damage {
        match &self.way {
            Way::Here(here) => here.decoder.damage(),
            Way::Ahead(ahead) => ahead.damage(),
        }
    }
}

impl Here {
    fn next_block(&mut self) -> Result<Option<&[f32]>> {
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

    fn step(&mut self) -> Result<()> {
        match self.decoder.next().map_err(|fault| Error::input(&self.name, fault))? {
            Some(chunk) => self.resampling.push(chunk.rate, chunk.samples, &mut self.block),
            None => {
                self.ended = true;
                self.resampling.finish(&mut self.block)
            }
        }
    }
}
