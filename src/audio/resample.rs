//! Resamples a stream of mono samples from any rate to 16 kHz: the only user of rubato.
//!
//! The filter's delay is trimmed from the start and its tail flushed at the end, so that output and input start at the
//! same instant and have the same duration.

use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Indexing, Resampler as _, WindowFunction};

use crate::error::{Error, Result};
use crate::time::SAMPLE_RATE;

/// Minimum output samples per transform: longer transforms give a steeper filter (transition in the last 2 % below
/// 8 kHz).
const BLOCK: usize = 1024;

/// Resamples audio whose rate may change midway.
#[derive(Default)]
pub(super) struct Resampler(Option<FixedRateResampler>);

impl Resampler {
    /// Takes samples at `rate` and appends finished output to `out`.
    pub(super) fn push(&mut self, rate: u32, samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        match &mut self.0 {
            Some(resampler) if resampler.rate == rate => resampler.push(samples, out),
            // The first samples, or a change of rate: earlier samples are finished at their own rate.
            stale => {
                if let Some(old) = stale {
                    old.finish(out)?;
                }
                stale.insert(FixedRateResampler::new(rate)?).push(samples, out)
            }
        }
    }

    /// Appends the output that is still pending.
    pub(super) fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        self.0.as_mut().map_or(Ok(()), |resampler| resampler.finish(out))
    }
}

/// Resamples audio at one rate.
struct FixedRateResampler {
    rate: u32,
    /// None if the rate is already 16 kHz: samples pass through unchanged.
    fft: Option<Box<Fft<f32>>>,
    /// Input that does not fill a transform yet.
    pending: Vec<f32>,
    /// The output of one transform.
    block: Vec<f32>,
    /// Output samples still to drop to compensate the filter's delay.
    delay: usize,
    /// Input samples so far.
    consumed: u64,
    /// Output samples so far.
    produced: u64,
}

impl FixedRateResampler {
    fn new(rate: u32) -> Result<Self> {
        let fft = if rate == SAMPLE_RATE { None } else { Some(Box::new(plan(rate)?)) };
        let (delay, block) = fft.as_ref().map_or((0, 0), |f| (f.output_delay(), f.output_frames_max()));
        Ok(Self { rate, fft, pending: Vec::new(), block: vec![0.0; block], delay, consumed: 0, produced: 0 })
    }

    /// Takes samples and appends finished output to `out`.
    fn push(&mut self, mut samples: &[f32], out: &mut Vec<f32>) -> Result<()> {
        self.consumed += samples.len() as u64;
        let Some(fft) = self.fft.as_deref_mut() else {
            self.produced += samples.len() as u64;
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
            let frames = transform(fft, &self.pending, None, &mut self.block)?;
            self.pending.clear();
            self.emit(frames, out);
        }
        while samples.len() >= need {
            let (head, rest) = samples.split_at(need);
            samples = rest;
            if let Some(fft) = self.fft.as_deref_mut() {
                let frames = transform(fft, head, None, &mut self.block)?;
                self.emit(frames, out);
            }
        }
        self.pending.extend_from_slice(samples);
        Ok(())
    }

    /// Flushes the filter and appends the rest of the output.
    fn finish(&mut self, out: &mut Vec<f32>) -> Result<()> {
        let expected = self.expected();
        let mut rest = std::mem::take(&mut self.pending);
        while self.produced < expected {
            let Some(fft) = self.fft.as_deref_mut() else { break };
            let valid = rest.len();
            rest.resize(fft.input_frames_next(), 0.0);
            let frames = transform(fft, &rest, Some(valid), &mut self.block)?;
            rest.clear();
            self.emit(frames, out);
        }
        Ok(())
    }

    /// Returns the number of output samples with the duration of the input so far.
    fn expected(&self) -> u64 {
        let rate = u128::from(self.rate);
        ((u128::from(self.consumed) * u128::from(SAMPLE_RATE) + rate / 2) / rate) as u64
    }

    /// Appends `frames` of the block to `out`, without the filter's delay and without anything past the input's duration.
    fn emit(&mut self, frames: usize, out: &mut Vec<f32>) {
        let dropped = self.delay.min(frames);
        self.delay -= dropped;
        let remaining = self.expected().saturating_sub(self.produced);
        let end = frames.min(dropped.saturating_add(usize::try_from(remaining).unwrap_or(usize::MAX)));
        out.extend_from_slice(&self.block[dropped..end]);
        self.produced += (end - dropped) as u64;
    }
}

/// Plans a transform from `rate` to 16 kHz.
fn plan(rate: u32) -> Result<Fft<f32>> {
    let (input, output) = (rate as usize, SAMPLE_RATE as usize);
    let smallest = output / gcd(input, output);
    // A power-of-two multiple of the smallest block keeps the transforms' lengths products of small primes. An even
    // multiple gives the filter a center sample, without which the output would be half a sample early.
    let blocks = BLOCK.div_ceil(smallest).next_power_of_two().max(2);
    let chunk = blocks * (input / gcd(input, output));
    Fft::new_custom(input, output, chunk, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Both)
        .map_err(|e| Error::compute("planning the resampler", e))
}

/// Runs one transform over `input`, of which only `valid` samples count if given, and returns the frames written.
fn transform(fft: &mut Fft<f32>, input: &[f32], valid: Option<usize>, out: &mut [f32]) -> Result<usize> {
    let failed = |e: rubato::ResampleError| Error::compute("resampling", e);
    let size = |e: rubato::audioadapter_buffers::SizeError| Error::compute("resampling", e);
    let capacity = out.len();
    let input = SequentialSlice::new(input, 1, input.len()).map_err(size)?;
    let mut output = SequentialSlice::new_mut(out, 1, capacity).map_err(size)?;
    let indexing = valid.map(|n| Indexing::new().partial_len(n));
    let (_, written) = fft.process_into_buffer(&input, &mut output, indexing.as_ref()).map_err(failed)?;
    Ok(written)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
