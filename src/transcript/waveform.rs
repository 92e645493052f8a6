//! How a recording looks: what a page draws of it. Pure data.

use crate::time::seconds_of_samples;

/// The loudness of a recording from its beginning on, as far as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waveform {
    /// Samples that each pair stands for.
    pub samples_per_pair: u64,
    /// The least and the greatest sample, where 127 is full scale.
    pub pairs: Vec<(i8, i8)>,
}

/// Where one chunk ends and the next begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seam {
    pub at: f64,
    /// There is no pause: the chunk goes on where the last window of the one before ended.
    pub follows: bool,
}

impl Waveform {
    /// Seconds that it covers; the last pair may stand for fewer samples.
    pub fn seconds(&self) -> f64 {
        seconds_of_samples(self.samples_per_pair * self.pairs.len() as u64)
    }
}
