//! Mono samples of any rate to 16 kHz, as a stream: the only user of rubato.
//!
//! The filter's delay is cut from the start and its tail flushed at the end, so that output and input begin
//! at the same instant and last equally long.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use crate::error::{Error, Result};
use crate::time::SAMPLE_RATE;

/// Output samples in one transform, at least: longer is a steeper filter (the last 2 % below 8 kHz).
const BLOCK: usize = 1024;

/// Resamples audio whose rate may change.
#[derive(Default)]
pub(super) struct Resampler(Option<FixedRateResampler>);

impl Resampler {
    /// Takes samples of this rate and appends what is ready to `out`.
    pub(super) fn push(&mut self, rate: u32, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        match &mut self.0 {
            Some(resampler) if resampler.rate == rate => resampler.push(samples, out),
            // The rate is known only now, or it changed: what came before is a stretch of its own.
            stale => {
                if let Some(old) = stale {
                    old.finish(out)?;
                }
                stale.insert(FixedRateResampler::new(rate)?).push(samples, out)
            }
        }
    }

    /// Appends what is still held.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.0.as_mut().map_or(Ok(()), |resampler| resampler.finish(out))
    }
}

/// Resamples one stretch of audio whose rate does not change.
struct FixedRateResampler {
    rate: u32,
    /// None where the rate is right already: samples pass untouched.
    fft: Option<Box<Fft<f32>>>,
    /// Input that does not fill a block yet.
    pending: Vec<f32>,
    /// One block of output.
    block: Vec<f32>,
    /// Output samples still to drop: the filter's delay.
    delay: usize,
    taken: u64,
    given: u64,
}

impl FixedRateResampler {
    fn new(rate: u32) -> Result<Self> {
        let fft = if rate == SAMPLE_RATE { None } else { Some(Box::new(plan(rate)?)) };
        let (delay, block) = fft.as_ref().map_or((0, 0), |f| (f.output_delay(), f.output_frames_max()));
        Ok(Self { rate, fft, pending: Vec::new(), block: vec![0.0; block], delay, taken: 0, given: 0 })
    }

    /// Takes samples and appends what is ready to `out`.
    fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.taken += samples.len() as u64;
        let Some(fft) = self.fft.as_deref_mut() else {
            self.given += samples.len() as u64;
            out.extend_from_slice(samples);
            return Ok(());
        };
        let need = fft.input_frames_next();
        if !self.pending.is_empty() {
            let (head, rest) = samples.split_at(samples.len().min(need - self.pending.len()));
            self.pending.extend_from_slice(head);
            samples = rest;
            if self.pending.len() < need {
                return Ok(());
            }
            let made = transform(fft, &self.pending, None, &mut self.block)?;
            self.pending.clear();
            self.emit(made, out);
        }
        while samples.len() >= need {
            let (head, rest) = samples.split_at(need);
            samples = rest;
            if let Some(fft) = self.fft.as_deref_mut() {
                let made = transform(fft, head, None, &mut self.block)?;
                self.emit(made, out);
            }
        }
        self.pending.extend_from_slice(samples);
        Ok(())
    }

    /// Ends the stretch: appends what the filter still holds.
    fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let wanted = self.wanted();
        let mut rest = std::mem::take(&mut self.pending);
        while self.given < wanted {
            let Some(fft) = self.fft.as_deref_mut() else { break };
            let valid = rest.len();
            rest.resize(fft.input_frames_next(), 0.0);
            let made = transform(fft, &rest, Some(valid), &mut self.block)?;
            rest.clear();
            self.emit(made, out);
        }
        Ok(())
    }

    /// How many output samples last as long as the input so far.
    fn wanted(&self) -> u64 {
        let rate = u128::from(self.rate);
        ((u128::from(self.taken) * u128::from(SAMPLE_RATE) + rate / 2) / rate) as u64
    }

    fn emit(&mut self, made: usize, out: &mut Vec<f32>) {
        let dropped = self.delay.min(made);
        self.delay -= dropped;
        let room = self.wanted().saturating_sub(self.given);
        let end = made.min(dropped.saturating_add(usize::try_from(room).unwrap_or(usize::MAX)));
        out.extend_from_slice(&self.block[dropped..end]);
        self.given += (end - dropped) as u64;
    }
}

fn plan(rate: u32) -> Result<Fft<f32>> {
    let (input, output) = (rate as usize, SAMPLE_RATE as usize);
    let smallest = output / gcd(input, output);
    // A power of two of the smallest block keeps the transforms' lengths products of small primes; an even one
    // gives the filter a sample in its middle, without which the output would come half a sample early.
    let blocks = BLOCK.div_ceil(smallest).next_power_of_two().max(2);
    let chunk = blocks * (input / gcd(input, output));
    Fft::new_custom(input, output, chunk, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Both)
        .map_err(|e| Error::compute("planning the resampler", e))
}

fn transform(fft: &mut Fft<f32>, input: &[f32], valid: Option<usize>, out: &mut [f32]) -> Result<usize> {
    let failed = |e: rubato::ResampleError| Error::compute("resampling", e);
    let size = |e: rubato::audioadapter_buffers::SizeError| Error::compute("resampling", e);
    let frames = out.len();
    let input = SequentialSlice::new(input, 1, input.len()).map_err(size)?;
    let mut output = SequentialSlice::new_mut(out, 1, frames).map_err(size)?;
    let indexing = valid.map(|n| Indexing::new().partial_len(n));
    let (_, made) = fft.process_into_buffer(&input, &mut output, indexing.as_ref()).map_err(failed)?;
    Ok(made)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
