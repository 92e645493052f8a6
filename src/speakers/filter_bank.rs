//! Samples → the features of the embedding network: Kaldi's filter bank of 80 bands, without dither.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

/// Bands of a frame.
pub const BANDS: usize = 80;
/// Samples between frames, and in one.
pub const STEP: usize = 160;
pub const LENGTH: usize = 400;
const FFT_SIZE: usize = 512;
/// What Kaldi takes for the power of silence.
const FLOOR: f32 = f32::EPSILON;

/// Computes frames; each depends on its own samples only.
pub struct FilterBank {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    /// The first bin of each band, and the weights from there on.
    bands: Vec<(usize, Vec<f32>)>,
    windowed: Vec<f32>,
    bins: Vec<Complex32>,
    scratch: Vec<Complex32>,
}

impl FilterBank {
    pub fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(FFT_SIZE);
        let angle = |i: usize| std::f64::consts::TAU * i as f64 / (LENGTH - 1) as f64;
        FilterBank {
            window: (0..LENGTH).map(|i| (0.5 - 0.5 * angle(i).cos()).powf(0.85) as f32).collect(),
            bands: (0..BANDS).map(band).collect(),
            windowed: fft.make_input_vec(),
            bins: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            fft,
        }
    }

    /// Appends the logarithms of the bands of one frame of samples.
    pub fn push_frame(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        let mean = samples.iter().map(|sample| f64::from(*sample)).sum::<f64>() / LENGTH as f64;
        let centred = |i: usize| samples[i] - mean as f32;
        for (i, windowed) in self.windowed[..LENGTH].iter_mut().enumerate() {
            *windowed = (centred(i) - 0.97 * centred(i.saturating_sub(1))) * self.window[i];
        }
        self.windowed[LENGTH..].fill(0.0);
        self.fft
            .process_with_scratch(&mut self.windowed, &mut self.bins, &mut self.scratch)
            .expect("buffers of the planned sizes; anything else is a bug");
        out.extend(self.bands.iter().map(|(first, weights)| {
            let bins = self.bins[*first..].iter();
            let power: f32 = bins.zip(weights).map(|(bin, weight)| bin.norm_sqr() * weight).sum();
            power.max(FLOOR).ln()
        }));
    }
}

/// Returns the first bin and the weights of a band: a triangle over the scale of mels.
fn band(index: usize) -> (usize, Vec<f32>) {
    let mel = |hertz: f64| 1127.0 * (1.0 + hertz / 700.0).ln();
    let (low, high) = (mel(20.0), mel(8_000.0));
    let width = (high - low) / (BANDS + 1) as f64;
    let left = low + index as f64 * width;
    let weight = |bin: usize| {
        let at = mel(bin as f64 * 16_000.0 / FFT_SIZE as f64);
        ((at - left) / width).min((left + 2.0 * width - at) / width).max(0.0) as f32
    };
    let weights: Vec<f32> = (0..FFT_SIZE / 2).map(weight).collect();
    let first = weights.iter().position(|weight| *weight > 0.0).unwrap_or(0);
    let last = weights.iter().rposition(|weight| *weight > 0.0).map_or(first, |last| last + 1);
    (first, weights[first..last].to_vec())
}
