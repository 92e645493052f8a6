//! The mel filter bank: triangles on Slaney's scale with equal areas, as librosa builds them.

use super::stft::{BINS, FFT_SIZE};
use crate::time::SAMPLE_RATE;

/// The frequency above which Slaney's scale is logarithmic instead of linear.
const KNEE_HZ: f64 = 1000.0;
const HZ_PER_MEL: f64 = 200.0 / 3.0;
const KNEE_MEL: f64 = KNEE_HZ / HZ_PER_MEL;

/// Logarithmic growth per mel above the knee: 27 mels from 1000 to 6400 Hz.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

fn mel_of_hz(hz: f64) -> f64 {
    if hz < KNEE_HZ { hz / HZ_PER_MEL } else { KNEE_MEL + (hz / KNEE_HZ).ln() / log_step() }
}

fn hz_of_mel(mel: f64) -> f64 {
    if mel < KNEE_MEL { mel * HZ_PER_MEL } else { KNEE_HZ * (log_step() * (mel - KNEE_MEL)).exp() }
}

/// One triangle: the weights of the spectrum bins from `first` on.
#[derive(Debug)]
struct MelFilter {
    first: usize,
    weights: Vec<f32>,
}

/// The triangles of a filter bank, without their zeros.
#[derive(Debug)]
pub struct MelBank {
    filters: Vec<MelFilter>,
}

impl MelBank {
    /// Builds `bins` triangles from 0 Hz to half the sample rate.
    pub fn new(bins: usize) -> Self {
        let top = mel_of_hz(f64::from(SAMPLE_RATE) / 2.0);
        let corners: Vec<f64> =
            (0..bins + 2).map(|i| hz_of_mel(top * i as f64 / (bins + 1) as f64)).collect();
        Self { filters: corners.windows(3).map(|c| triangle(c[0], c[1], c[2])).collect() }
    }

    pub fn bins(&self) -> usize {
        self.filters.len()
    }

    /// Returns the weight of every spectrum bin in filter `bin`, zeros included.
    pub fn row(&self, bin: usize) -> [f32; BINS] {
        let mut row = [0.0; BINS];
        let filter = &self.filters[bin];
        row[filter.first..][..filter.weights.len()].copy_from_slice(&filter.weights);
        row
    }

    /// Passes the power under each triangle to `keep`, in order.
    pub fn apply(&self, power: &[f32; BINS], mut keep: impl FnMut(usize, f32)) {
        for (bin, filter) in self.filters.iter().enumerate() {
            let under = &power[filter.first..][..filter.weights.len()];
            keep(bin, filter.weights.iter().zip(under).map(|(weight, power)| weight * power).sum());
        }
    }
}

fn triangle(left: f64, peak: f64, right: f64) -> MelFilter {
    // Rounded twice like the reference: the triangle to f32, then its product with the area.
    let weight = |bin: usize| {
        let hz = bin as f64 * f64::from(SAMPLE_RATE) / FFT_SIZE as f64;
        let height = ((hz - left) / (peak - left)).min((right - hz) / (right - peak)).max(0.0);
        (f64::from(height as f32) * (2.0 / (right - left))) as f32
    };
    let row: Vec<f32> = (0..BINS).map(weight).collect();
    let first = row.iter().position(|w| *w > 0.0).unwrap_or(0);
    let end = row.iter().rposition(|w| *w > 0.0).map_or(first, |last| last + 1);
    MelFilter { first, weights: row[first..end].to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_between_hertz_and_mels() {
        for hz in [0.0, 440.0, 1000.0, 3999.0, 8000.0] {
            assert!((hz_of_mel(mel_of_hz(hz)) - hz).abs() < 1e-9);
        }
    }

    #[test]
    fn stores_no_zeros() {
        for bins in [80, 128] {
            let bank = MelBank::new(bins);
            assert_eq!(bank.bins(), bins);
            let stored: usize = bank.filters.iter().map(|f| f.weights.len()).sum();
            // Each spectrum bin lies under two triangles at most.
            assert!(stored <= 2 * BINS, "{stored}");
            assert!(bank.filters.iter().all(|f| f.weights.iter().all(|w| *w > 0.0)));
        }
    }

    #[test]
    fn allows_more_filters_than_spectrum_bins() {
        let bank = MelBank::new(600);
        let mut sums = Vec::new();
        bank.apply(&[1.0; BINS], |_, sum| sums.push(sum));
        assert_eq!(sums.len(), 600);
        assert!(sums.contains(&0.0));
    }
}
