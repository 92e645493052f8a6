//! The mel filter bank: triangles on Slaney's scale with equal areas, as librosa builds them.

use super::stft::{BINS, FFT_SIZE};
use crate::time::SAMPLE_RATE;

/// Where Slaney's scale turns from linear to logarithmic.
const KNEE_HZ: f64 = 1000.0;
const HZ_PER_MEL: f64 = 200.0 / 3.0;
const KNEE_MEL: f64 = KNEE_HZ / HZ_PER_MEL;

/// Growth per mel above the knee: 27 mels from 1000 to 6400 Hz.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn mel_of_hz(hz: f64) -> f64 {
    if hz < KNEE_HZ { hz / HZ_PER_MEL } else { KNEE_MEL + (hz / KNEE_HZ).ln() / log_step() }
}

fn hz_of_mel(mel: f64) -> f64 {
    if mel < KNEE_MEL { mel * HZ_PER_MEL } else { KNEE_HZ * (log_step() * (mel - KNEE_MEL)).exp() }
}

/// One triangle: the weights of the spectrum from `first` on.
#[derive(Debug)]
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

/// All triangles of a bank, without their zeros.
#[derive(Debug)]
pub struct MelBank {
    filters: Vec<Filter>,
}

impl MelBank {
    /// `bins` triangles from 0 Hz to half the sample rate.
    pub fn new(bins: usize) -> Self {
        let top = mel_of_hz(f64::from(SAMPLE_RATE) / 2.0);
        let corners: Vec<f64> =
            (0..bins + 2).map(|i| hz_of_mel(top * i as f64 / (bins + 1) as f64)).collect();
        Self { filters: corners.windows(3).map(|c| triangle(c[0], c[1], c[2])).collect() }
    }

    pub fn bins(&self) -> usize {
        self.filters.len()
    }

    /// The weight of every spectrum bin in filter `bin`, zeros included.
    pub fn row(&self, bin: usize) -> [f32; BINS] {
        let mut row = [0.0; BINS];
        let filter = &self.filters[bin];
        row[filter.first..][..filter.weights.len()].copy_from_slice(&filter.weights);
        row
    }

    /// The power under each triangle, passed to `keep` in order.
    pub(super) fn apply(&self, power: &[f32; BINS], mut keep: impl FnMut(usize, f32)) {
        for (bin, filter) in self.filters.iter().enumerate() {
            let under = &power[filter.first..][..filter.weights.len()];
            keep(bin, filter.weights.iter().zip(under).map(|(weight, power)| weight * power).sum());
        }
    }
}

fn triangle(left: f64, peak: f64, right: f64) -> Filter {
    // Twice rounded, like the reference: the triangle to f32, then its product with the area.
    let weight = |bin: usize| {
        let hz = bin as f64 * f64::from(SAMPLE_RATE) / FFT_SIZE as f64;
        let height = ((hz - left) / (peak - left)).min((right - hz) / (right - peak)).max(0.0);
        (f64::from(height as f32) * (2.0 / (right - left))) as f32
    };
    let row: Vec<f32> = (0..BINS).map(weight).collect();
    let first = row.iter().position(|w| *w > 0.0).unwrap_or(0);
    let end = row.iter().rposition(|w| *w > 0.0).map_or(first, |last| last + 1);
    Filter { first, weights: row[first..end].to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_its_own_inverse() {
        for hz in [0.0, 440.0, 1000.0, 3999.0, 8000.0] {
            assert!((hz_of_mel(mel_of_hz(hz)) - hz).abs() < 1e-9);
        }
    }

    #[test]
    fn filters_leave_their_zeros_out() {
        for bins in [80, 128] {
            let bank = MelBank::new(bins);
            assert_eq!(bank.bins(), bins);
            let stored: usize = bank.filters.iter().map(|f| f.weights.len()).sum();
            // Each bin of the spectrum lies under two triangles at most.
            assert!(stored <= 2 * BINS, "{stored}");
            assert!(bank.filters.iter().all(|f| f.weights.iter().all(|w| *w > 0.0)));
        }
    }

    #[test]
    fn more_filters_than_the_spectrum_has_bins_are_no_error() {
        let bank = MelBank::new(600);
        let mut sums = Vec::new();
        bank.apply(&[1.0; BINS], |_, sum| sums.push(sum));
        assert_eq!(sums.len(), 600);
        assert!(sums.contains(&0.0));
    }
}
