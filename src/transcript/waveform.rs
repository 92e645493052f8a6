//! The waveform of an input, as the HTML page draws it.

use crate::time::seconds_of_samples;

/// The peaks of an input from its beginning on, as far as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waveform {
    /// Samples that each pair stands for.
    pub samples_per_pair: u64,
    /// The lowest and the highest sample, where 127 is full scale.
    pub pairs: Vec<(i8, i8)>,
}

/// Where one chunk ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seam {
    pub at: f64,
    /// Whether there is no pause: the chunk continues where the last window of the one before it ended.
    pub follows: bool,
}

impl Waveform {
    /// Returns the seconds that it covers; the last pair may cover fewer samples.
    pub fn seconds(&self) -> f64 {
        seconds_of_samples(self.samples_per_pair * self.pairs.len() as u64)
    }
}
