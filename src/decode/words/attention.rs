//! Combines the cross-attention of several heads to one matrix for [`dtw`](super::dtw).

use std::ops::Range;

/// Width of the median filter, in ticks.
const WIDTH: usize = 7;
/// Ticks on either side of the middle one.
const REACH: usize = WIDTH / 2;

/// The mean attention of several heads, each of which is normalised over the tokens and smoothed over time by a median
/// filter.
#[derive(Debug)]
pub struct Attention {
    rows: usize,
    ticks: usize,
    sum: Vec<f32>,
    heads: usize,
    /// By tick, the mean and the standard deviation over all rows.
    means: Vec<f64>,
    spreads: Vec<f64>,
    padded: Vec<f32>,
}

impl Attention {
    pub fn new(rows: usize, ticks: usize) -> Self {
        Attention {
            rows,
            ticks,
            sum: vec![0.0; rows * ticks],
            heads: 0,
            means: vec![0.0; ticks],
            spreads: vec![0.0; ticks],
            padded: Vec::with_capacity(ticks + 2 * REACH),
        }
    }

    /// Adds the weights of a head, `[rows, ticks]`, each row summing to 1.
    pub fn add(&mut self, weights: &[f32]) {
        if self.ticks == 0 || weights.len() != self.rows * self.ticks {
            return;
        }
        self.heads += 1;
        self.measure(weights);
        for (row, sum) in weights.chunks_exact(self.ticks).zip(self.sum.chunks_exact_mut(self.ticks)) {
            self.padded.clear();
            let stands_out = row.iter().zip(&self.means).zip(&self.spreads);
            self.padded.extend(stands_out.map(|((weight, mean), spread)| {
                // Where all rows are equal the normalised value is 0.
                if *spread > 0.0 { ((f64::from(*weight) - mean) / spread) as f32 } else { 0.0 }
            }));
            add_medians(&mut self.padded, sum);
        }
    }

    /// Returns the mean of the heads for some of the rows.
    pub fn finish(mut self, rows: Range<usize>) -> Vec<f32> {
        let heads = self.heads.max(1) as f32;
        let (first, end) = (rows.start * self.ticks, (rows.end * self.ticks).min(self.sum.len()));
        self.sum.truncate(end);
        self.sum.drain(..first.min(end));
        self.sum.iter_mut().for_each(|sum| *sum /= heads);
        self.sum
    }

    fn measure(&mut self, weights: &[f32]) {
        let count = self.rows as f64;
        self.means.fill(0.0);
        self.spreads.fill(0.0);
        for row in weights.chunks_exact(self.ticks) {
            self.means.iter_mut().zip(row).for_each(|(mean, weight)| *mean += f64::from(*weight));
        }
        self.means.iter_mut().for_each(|mean| *mean /= count);
        for row in weights.chunks_exact(self.ticks) {
            for ((spread, mean), weight) in self.spreads.iter_mut().zip(&self.means).zip(row) {
                let off = f64::from(*weight) - mean;
                *spread += off * off;
            }
        }
        self.spreads.iter_mut().for_each(|spread| *spread = (*spread / count).sqrt());
    }
}

/// Adds to each value of `to` the median of the values around it in `row`, which is mirrored at its ends. A row too short
/// to be mirrored is not filtered.
fn add_medians(row: &mut Vec<f32>, to: &mut [f32]) {
    if row.len() <= REACH {
        to.iter_mut().zip(row.iter()).for_each(|(to, value)| *to += value);
        return;
    }
    let len = row.len();
    let before: [f32; REACH] = std::array::from_fn(|i| row[REACH - i]);
    let after: [f32; REACH] = std::array::from_fn(|i| row[len - 2 - i]);
    row.extend(after);
    row.splice(..0, before);
    for (to, around) in to.iter_mut().zip(row.windows(WIDTH)) {
        *to += median(std::array::from_fn(|i| around[i]));
    }
}

/// A sorting network for seven values: without branches on the values, so that the compiler vectorises it.
const SORTING_NETWORK: [(usize, usize); 16] = [
    (0, 6),
    (2, 3),
    (4, 5),
    (0, 2),
    (1, 4),
    (3, 6),
    (0, 1),
    (2, 5),
    (3, 4),
    (1, 2),
    (4, 6),
    (2, 3),
    (4, 5),
    (1, 2),
    (3, 4),
    (5, 6),
];

#[inline(always)]
fn median(mut of: [f32; WIDTH]) -> f32 {
    for (a, b) in SORTING_NETWORK {
        let (first, second) = (of[a], of[b]);
        of[a] = if first < second { first } else { second };
        of[b] = if first < second { second } else { first };
    }
    of[REACH]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_seven_is_correct() {
        // A network that sorts every sequence of zeros and ones sorts every sequence.
        for bits in 0..128_u32 {
            let of: [f32; WIDTH] = std::array::from_fn(|i| (bits >> i & 1) as f32);
            let expected = if bits.count_ones() > 3 { 1.0 } else { 0.0 };
            assert_eq!(median(of), expected, "{bits:b}");
        }
    }

    #[test]
    fn equal_rows_normalise_to_zero() {
        let mut attention = Attention::new(2, 4);
        attention.add(&[0.25; 8]);
        assert_eq!(attention.finish(0..2), [0.0; 8]);
    }

    #[test]
    fn unusual_shapes_are_harmless() {
        assert!(Attention::new(0, 0).finish(0..0).is_empty());
        let mut attention = Attention::new(3, 2);
        attention.add(&[0.5; 5]);
        attention.add(&[0.0, 1.0, 1.0, 0.0, 0.5, 0.5]);
        assert_eq!(attention.finish(1..9).len(), 4);
    }
}
