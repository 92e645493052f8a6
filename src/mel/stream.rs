//! Samples in blocks of any size → frames, computed in batches by several threads.
//!
//! Each frame depends only on its own 400 samples, so the values are the same for every number of threads and every
//! block size.

use rayon::prelude::*;

use super::filters::MelBank;
use super::scale::{SILENCE, log_power};
use super::stft::{FFT_SIZE, Stft, StftScratch};
use crate::time::{HOP, frames_of_samples};

/// Frames are centered: the first one reaches this far before the first sample.
const REACH: usize = FFT_SIZE / 2;
/// Frames computed together, about ten seconds.
const BATCH: usize = 1024;
/// Frames per parallel task.
const GRAIN: usize = 64;

/// Length and loudness of some audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    pub samples: u64,
    /// Complete frames of audio, without padding.
    pub frames: u64,
    /// The maximum raw value, padding included.
    pub max: f32,
}

/// The samples that frames still to be computed depend on.
struct PendingSamples {
    samples: Vec<f32>,
    /// Samples received.
    total: u64,
    /// Frames computed.
    done: u64,
    mirrored: bool,
}

impl PendingSamples {
    fn new() -> Self {
        Self { samples: Vec::new(), total: 0, done: 0, mirrored: false }
    }

    fn push(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
        self.total += samples.len() as u64;
        if !self.mirrored && self.samples.len() > REACH {
            self.mirror();
        }
    }

    /// Prepends the mirror image of the beginning, without the first sample.
    fn mirror(&mut self) {
        let image: Vec<f32> = self.samples[1..=REACH].iter().rev().copied().collect();
        self.samples.splice(0..0, image);
        self.mirrored = true;
    }

    /// Appends the zeros that the last frames overlapping the audio need.
    fn end(&mut self) {
        if !self.mirrored {
            self.samples.resize(self.samples.len().max(REACH + 1), 0.0);
            self.mirror();
        }
        let overlapping = (self.total + REACH as u64).div_ceil(HOP as u64);
        let left = (overlapping - self.done) as usize;
        // The audio may reach beyond the last of these frames, but at least to its center.
        self.samples.resize(left.saturating_sub(1) * HOP + FFT_SIZE, 0.0);
    }

    /// Returns the number of frames whose samples are complete.
    fn ready(&self) -> usize {
        match self.samples.len() {
            len if self.mirrored && len >= FFT_SIZE => (len - FFT_SIZE) / HOP + 1,
            _ => 0,
        }
    }

    fn advance(&mut self, frames: usize) {
        self.samples.drain(..frames * HOP);
        self.done += frames as u64;
    }
}

/// Computes the mel powers of consecutive frames.
struct MelSpectra {
    stft: Stft,
    bank: MelBank,
}

impl MelSpectra {
    fn new(bins: usize) -> Self {
        Self { stft: Stft::new(), bank: MelBank::new(bins) }
    }

    /// Appends the raw values of `frames` frames.
    fn raw(&self, samples: &[f32], frames: usize, out: &mut Vec<f32>) {
        let bins = self.bank.bins();
        let start = out.len();
        out.resize(start + frames * bins, 0.0);
        let one_grain = |scratch: &mut StftScratch, (grain, out): (usize, &mut [f32])| {
            for (frame, out) in out.chunks_exact_mut(bins).enumerate() {
                let samples = &samples[(grain * GRAIN + frame) * HOP..][..FFT_SIZE];
                let power = self.stft.power(samples, scratch);
                self.bank.apply(power, |bin, power| out[bin] = log_power(power));
            }
        };
        out[start..]
            .par_chunks_mut(GRAIN * bins)
            .enumerate()
            .for_each_init(|| self.stft.scratch(), one_grain);
    }

    /// Returns the maximum mel power of `frames` frames.
    fn loudest(&self, samples: &[f32], frames: usize) -> f32 {
        let one_grain = |scratch: &mut StftScratch, grain: usize| {
            let mut loudest = 0.0_f32;
            for frame in grain * GRAIN..frames.min((grain + 1) * GRAIN) {
                let power = self.stft.power(&samples[frame * HOP..][..FFT_SIZE], scratch);
                self.bank.apply(power, |_, power| loudest = loudest.max(power));
            }
            loudest
        };
        (0..frames.div_ceil(GRAIN))
            .into_par_iter()
            .map_init(|| self.stft.scratch(), one_grain)
            .reduce(|| 0.0, f32::max)
    }
}

/// Computes raw values (logarithms of mel powers), frame by frame.
pub struct MelStream {
    spectra: MelSpectra,
    pending: PendingSamples,
}

impl MelStream {
    pub fn new(bins: usize) -> Self {
        Self { spectra: MelSpectra::new(bins), pending: PendingSamples::new() }
    }

    /// Takes samples and appends the frames of the batches that they complete.
    pub fn push(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.pending.push(samples);
        while self.pending.ready() >= BATCH {
            self.emit(BATCH, out);
        }
    }

    /// Appends the remaining frames: those of the audio, and the few after its end that still overlap it. All later ones
    /// would be silence. Returns the number of samples.
    pub fn finish(mut self, out: &mut Vec<f32>) -> u64 {
        self.pending.end();
        self.emit(self.pending.ready(), out);
        self.pending.total
    }

    fn emit(&mut self, frames: usize, out: &mut Vec<f32>) {
        self.spectra.raw(&self.pending.samples, frames, out);
        self.pending.advance(frames);
    }
}

/// Measures the [`Extent`] of some audio without keeping its frames.
pub struct MelMeter {
    spectra: MelSpectra,
    pending: PendingSamples,
    loudest: f32,
}

impl MelMeter {
    pub fn new(bins: usize) -> Self {
        Self { spectra: MelSpectra::new(bins), pending: PendingSamples::new(), loudest: 0.0 }
    }

    pub fn push(&mut self, samples: &[f32]) {
        self.pending.push(samples);
        while self.pending.ready() >= BATCH {
            self.measure(BATCH);
        }
    }

    pub fn finish(mut self) -> Extent {
        self.pending.end();
        self.measure(self.pending.ready());
        let samples = self.pending.total;
        Extent { samples, frames: frames_of_samples(samples), max: log_power(self.loudest).max(SILENCE) }
    }

    fn measure(&mut self, frames: usize) {
        self.loudest = self.loudest.max(self.spectra.loudest(&self.pending.samples, frames));
        self.pending.advance(frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(samples: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..samples).map(|_| next()).collect()
    }

    fn stream(samples: &[f32], block: usize) -> Vec<f32> {
        let mut stream = MelStream::new(80);
        let mut out = Vec::new();
        samples.chunks(block).for_each(|block| stream.push(block, &mut out));
        assert_eq!(stream.finish(&mut out), samples.len() as u64);
        out
    }

    /// The definition: the whole file in one piece, frame by frame.
    fn reference(samples: &[f32]) -> Vec<f32> {
        let mut padded: Vec<f32> =
            (1..=REACH).rev().map(|i| samples.get(i).copied().unwrap_or(0.0)).collect();
        padded.extend_from_slice(samples);
        padded.resize(padded.len() + 480_000, 0.0);
        let spectra = MelSpectra::new(80);
        let mut scratch = spectra.stft.scratch();
        let mut out = Vec::new();
        for frame in 0..(samples.len() + 480_000 - REACH) / HOP {
            let power = spectra.stft.power(&padded[frame * HOP..][..FFT_SIZE], &mut scratch);
            spectra.bank.apply(power, |_, power| out.push(log_power(power)));
        }
        out
    }

    #[test]
    fn matches_the_definition_for_every_length_and_block() {
        for samples in [0, 1, 39, 40, 159, 160, 200, 201, 400, 1_000, 163_840, 164_200, 170_017] {
            let audio = noise(samples);
            let expected = reference(&audio);
            for block in [1_024, 7, 1_000_000] {
                let got = stream(&audio, block);
                let frames = got.len() / 80;
                assert!(frames > samples / HOP, "all frames of {samples} samples");
                assert!(got[..] == expected[..got.len()], "{samples} samples in blocks of {block}");
                assert!(
                    expected[got.len()..].iter().all(|v| *v == log_power(0.0)),
                    "silence behind {samples}"
                );
            }
        }
    }

    #[test]
    fn the_meter_finds_the_maximum_of_the_stream() {
        for samples in [0, 100, 4_711, 200_000] {
            let audio = noise(samples);
            let mut meter = MelMeter::new(80);
            audio.chunks(333).for_each(|block| meter.push(block));
            let extent = meter.finish();
            let max = reference(&audio).into_iter().fold(SILENCE, f32::max);
            let expected = Extent { samples: samples as u64, frames: (samples / HOP) as u64, max };
            assert_eq!(extent, expected);
        }
    }

    #[test]
    fn is_independent_of_the_number_of_threads() {
        let audio = noise(500_000);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| stream(&audio, 10_000))
        };
        assert!(with(1) == with(3));
    }

    #[test]
    fn buffers_only_a_batch() {
        let mut stream = MelStream::new(80);
        let mut out = Vec::new();
        let block = noise(1_000);
        for _ in 0..2_000 {
            out.clear();
            stream.push(&block, &mut out);
            assert!(stream.pending.samples.len() < BATCH * HOP + FFT_SIZE + block.len());
        }
    }
}
