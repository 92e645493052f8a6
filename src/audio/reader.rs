//! One pass over one recording, either on the calling thread or with prefetching.

use super::decoder::RecordingDecoder;
use super::prefetch::Prefetcher;
use super::resample::Resampler;
use super::{AudioDamage, BLOCK};
use crate::error::{Error, Result};
use crate::time::seconds_of_samples;

/// Reads a recording from its beginning as blocks of 16 kHz mono samples.
pub struct AudioReader {
    duration: Option<f64>,
    mode: ReaderMode,
}

enum ReaderMode {
    Inline(Box<InlineReader>),
    Prefetching(Prefetcher),
}

/// Decodes and resamples on the calling thread.
struct InlineReader {
    name: String,
    decoder: RecordingDecoder,
    resampler: Resampler,
    block: Vec<f32>,
    has_ended: bool,
    /// Samples returned so far.
    samples: u64,
}

impl AudioReader {
    pub(super) fn inline(name: String, decoder: RecordingDecoder) -> Self {
        let duration = decoder.duration_hint();
        let reader = InlineReader {
            name,
            decoder,
            resampler: Resampler::default(),
            block: Vec::new(),
            has_ended: false,
            samples: 0,
        };
        Self { duration, mode: ReaderMode::Inline(Box::new(reader)) }
    }

    pub(super) fn prefetching(name: &str, decoder: RecordingDecoder) -> Result<Self> {
        let duration = decoder.duration_hint();
        Ok(Self { duration, mode: ReaderMode::Prefetching(Prefetcher::start(name, decoder)?) })
    }

    /// Returns the duration in seconds that the file's headers claim.
    pub fn duration_hint(&self) -> Option<f64> {
        self.duration
    }

    /// Returns the next samples: about half a second, or more if the file's packets are longer. None at the end.
    pub fn next_block(&mut self) -> Result<Option<&[f32]>> {
        match &mut self.mode {
            ReaderMode::Inline(reader) => reader.next_block(),
            ReaderMode::Prefetching(prefetcher) => prefetcher.next_block(),
        }
    }

    /// Returns what was skipped as damaged so far.
    pub fn damage(&self) -> &AudioDamage {
        match &self.mode {
            ReaderMode::Inline(reader) => reader.decoder.damage(),
            ReaderMode::Prefetching(prefetcher) => prefetcher.damage(),
        }
    }
}

impl InlineReader {
    fn next_block(&mut self) -> Result<Option<&[f32]>> {
        self.block.clear();
        while !self.has_ended && self.block.len() < BLOCK {
            self.advance()?;
        }
        self.samples += self.block.len() as u64;
        if self.block.is_empty() {
            return match self.decoder.finish(seconds_of_samples(self.samples)) {
                Some(problem) => Err(Error::input(&self.name, problem)),
                None => Ok(None),
            };
        }
        Ok(Some(&self.block))
    }

    fn advance(&mut self) -> Result<()> {
        match self.decoder.next().map_err(|problem| Error::input(&self.name, problem))? {
            Some(decoded) => self.resampler.push(decoded.rate, decoded.samples, &mut self.block),
            None => {
                self.has_ended = true;
                self.resampler.finish(&mut self.block)
            }
        }
    }
}
