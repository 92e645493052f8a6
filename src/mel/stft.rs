//! 400 samples → their power spectrum.

use std::sync::Arc;

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};

/// Length of the window in samples.
pub const FFT_SIZE: usize = 400;
/// Bins of the spectrum of that many real samples.
pub const BINS: usize = FFT_SIZE / 2 + 1;

/// The FFT plan and the window function, shared by all threads.
pub struct Stft {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; FFT_SIZE],
}

/// The buffers of one thread.
pub struct StftScratch {
    windowed: [f32; FFT_SIZE],
    spectrum: [Complex32; BINS],
    fft: Vec<Complex32>,
    power: [f32; BINS],
}

impl Stft {
    pub fn new() -> Self {
        let window = std::array::from_fn(|i| {
            let angle = std::f64::consts::TAU * i as f64 / FFT_SIZE as f64;
            (0.5 - 0.5 * angle.cos()) as f32
        });
        Self { fft: RealFftPlanner::new().plan_fft_forward(FFT_SIZE), window }
    }

    pub fn scratch(&self) -> StftScratch {
        StftScratch {
            windowed: [0.0; FFT_SIZE],
            spectrum: [Complex32::ZERO; BINS],
            fft: self.fft.make_scratch_vec(),
            power: [0.0; BINS],
        }
    }

    /// Computes the power spectrum of 400 samples under a periodic Hann window.
    pub fn power<'s>(&self, samples: &[f32], scratch: &'s mut StftScratch) -> &'s [f32; BINS] {
        for ((windowed, sample), weight) in scratch.windowed.iter_mut().zip(samples).zip(&self.window) {
            *windowed = sample * weight;
        }
        self.fft
            .process_with_scratch(&mut scratch.windowed, &mut scratch.spectrum, &mut scratch.fft)
            .expect("buffers of the planned sizes; anything else is a bug");
        for (power, value) in scratch.power.iter_mut().zip(&scratch.spectrum) {
            *power = value.norm_sqr();
        }
        &scratch.power
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_has_the_power_of_its_bin() {
        let stft = Stft::new();
        let tone: Vec<f32> =
            (0..FFT_SIZE).map(|i| (std::f64::consts::TAU * 25.0 * i as f64 / 400.0).cos() as f32).collect();
        let mut scratch = stft.scratch();
        let power = stft.power(&tone, &mut scratch);
        // A Hann window spreads a whole number of periods over three bins, 1/2 : 1 : 1/2 in amplitude.
        assert!((power[25] - 10_000.0).abs() < 0.1, "{}", power[25]);
        assert!((power[24] - 2_500.0).abs() < 0.1 && (power[26] - 2_500.0).abs() < 0.1);
        assert!(power[..23].iter().chain(&power[28..]).all(|p| *p < 1e-6));
    }
}
