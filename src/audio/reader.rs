//! One pass over one recording, on the thread that asks for it or ahead of that.

use super::decode::TrackDecoder;
use super::prefetch::Prefetcher;
use super::resample::Resampler;
use super::{AudioDamage, BLOCK};
use crate::error::{Error, Result};
use crate::time::seconds_of_samples;

/// See the module.
pub struct AudioReader {
    duration: Option<f64>,
    way: ReaderMode,
}

enum ReaderMode {
    Inline(Box<InlineReader>),
    Prefetching(Prefetcher),
}

/// Everything on one thread.
struct InlineReader {
    name: String,
    decoder: TrackDecoder,
    resampling: Resampler,
    block: Vec<f32>,
    ended: bool,
    samples: u64,
}

impl AudioReader {
    pub(super) fn here(name: String, decoder: TrackDecoder) -> Self {
        let duration = decoder.duration_hint();
        let resampling = Resampler::default();
        let here = InlineReader { name, decoder, resampling, block: Vec::new(), ended: false, samples: 0 };
        Self { duration, way: ReaderMode::Inline(Box::new(here)) }
    }

    pub(super) fn ahead(name: &str, decoder: TrackDecoder) -> Result<Self> {
        let duration = decoder.duration_hint();
        Ok(Self { duration, way: ReaderMode::Prefetching(Prefetcher::start(name, decoder)?) })
    }

    /// Seconds of audio that the file claims to have.
    pub fn duration_hint(&self) -> Option<f64> {
        self.duration
    }

    /// The next samples, 16 kHz and mono: about half a second, or more where the file's packets are longer.
    /// None at the end.
    pub fn next_block(&mut self) -> Result<Option<&[f32]>> {
        match &mut self.way {
            ReaderMode::Inline(here) => here.next_block(),
            ReaderMode::Prefetching(ahead) => ahead.next_block(),
        }
    }

    /// What had to be left out so far.
    pub fn damage(&self) -> &AudioDamage {
        match &self.way {
            ReaderMode::Inline(here) => here.decoder.damage(),
            ReaderMode::Prefetching(ahead) => ahead.damage(),
        }
    }
}

impl InlineReader {
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
