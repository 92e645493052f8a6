//! One layer of a small network of f32 numbers, computed on the calling thread: such networks run beside Whisper, on
//! the front end's threads.

use super::level::SimdLevel;
use super::linear::{PackedProduct, PackedWeight};
use crate::device::kernels::Epilogue;

#[derive(Debug)]
pub struct DenseLayer {
    weight: PackedWeight<f32>,
    bias: Option<Vec<f32>>,
    level: SimdLevel,
}

impl DenseLayer {
    /// Packs a weight, `[out, width]`.
    pub fn new(weight: &[f32], width: usize, bias: Option<Vec<f32>>, level: SimdLevel) -> Self {
        Self { weight: PackedWeight::pack(weight, width, level), bias, level }
    }

    /// Multiplies rows side by side and adds the bias, into `y`, `[rows, out]`. The bits of a row do not depend on the
    /// rows beside it.
    pub fn apply(&self, x: &[f32], y: &mut [f32]) {
        self.product(x, Epilogue::Store).run_on_this_thread(self.level, y);
    }

    /// Adds the product to what `y` holds.
    pub fn add(&self, x: &[f32], y: &mut [f32]) {
        self.product(x, Epilogue::Add).run_on_this_thread(self.level, y);
    }

    /// As [`apply`](Self::apply), of rows of which each begins `stride` values after the one before, so that they may
    /// overlap: a convolution over time.
    pub fn apply_strided(&self, x: &[f32], stride: usize, y: &mut [f32]) {
        let rows = y.len() / self.weight.out;
        PackedProduct { stride, rows, ..self.product(x, Epilogue::Store) }.run_on_this_thread(self.level, y);
    }

    /// Returns the number of values in a row of the result.
    pub fn out(&self) -> usize {
        self.weight.out
    }

    fn product<'a>(&'a self, x: &'a [f32], epilogue: Epilogue) -> PackedProduct<'a, f32> {
        let (stride, rows) = (self.weight.width, x.len() / self.weight.width);
        PackedProduct { x, stride, rows, weight: &self.weight, bias: self.bias.as_deref(), epilogue }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_the_bias_and_what_is_there() {
        for level in SimdLevel::all() {
            let weight: Vec<f32> = (0..70 * 5).map(|i| (i % 7) as f32 - 3.0).collect();
            let layer = DenseLayer::new(&weight, 5, Some(vec![0.5; 70]), level);
            let x: Vec<f32> = (0..15).map(|i| i as f32).collect();
            let expected: Vec<f32> = (0..3 * 70)
                .map(|i| {
                    let (x, w) = (&x[i / 70 * 5..][..5], &weight[i % 70 * 5..][..5]);
                    0.5 + x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>()
                })
                .collect();
            let mut y = vec![f32::NAN; 3 * 70];
            layer.apply(&x, &mut y);
            assert_eq!(y, expected);
            layer.add(&x, &mut y);
            let twice: Vec<f32> = expected.iter().map(|value| 2.0 * value).collect();
            assert_eq!(y, twice);
            let mut overlapping = vec![f32::NAN; 6 * 70];
            layer.apply_strided(&x, 2, &mut overlapping);
            layer.apply(&[&x[2..7], &x[8..13]].concat(), &mut y[..2 * 70]);
            assert_eq!((&overlapping[70..140], &overlapping[280..350]), (&y[..70], &y[70..140]));
        }
    }
}
