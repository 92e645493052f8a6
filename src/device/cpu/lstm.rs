//! One direction of an LSTM layer, over several sequences side by side.

use pulp::{Simd, WithSimd};

use super::dense::DenseLayer;
use super::level::SimdLevel;
use super::pointwise::{sigmoid, tanh};

/// The weights of one direction, and which one it is. The width of its state must be a multiple of 16.
#[derive(Debug)]
pub struct LstmLayer {
    input: DenseLayer,
    state: DenseLayer,
    width: usize,
    is_backward: bool,
    level: SimdLevel,
}

/// The weights of a layer as PyTorch keeps them, with its two biases added together: for each of the gates input, forget,
/// candidate and output, `width` rows.
pub struct LstmWeights<'a> {
    pub input: &'a [f32],
    pub state: &'a [f32],
    pub bias: Vec<f32>,
}

impl LstmLayer {
    pub fn new(weights: LstmWeights<'_>, is_backward: bool, level: SimdLevel) -> Self {
        let width = weights.bias.len() / 4;
        let inputs = weights.input.len() / weights.bias.len();
        LstmLayer {
            input: DenseLayer::new(weights.input, inputs, Some(weights.bias), level),
            state: DenseLayer::new(weights.state, width, None, level),
            width,
            is_backward,
            level,
        }
    }

    /// Runs over `x`, `[steps, sequences, inputs]`, and writes the states of each step from column `column` on into `y`,
    /// `[steps, sequences, columns]`. The bits of a sequence do not depend on those beside it.
    pub fn run(&self, x: &[f32], sequences: usize, columns: usize, column: usize, y: &mut [f32]) {
        let width = self.width;
        let steps = y.len() / (sequences * columns);
        let mut gates = vec![0.0; steps * sequences * 4 * width];
        self.input.apply(x, &mut gates);
        let mut hidden = vec![0.0; sequences * width];
        let mut cell = vec![0.0; sequences * width];
        for step in 0..steps {
            let step = if self.is_backward { steps - 1 - step } else { step };
            let gates = &mut gates[step * sequences * 4 * width..][..sequences * 4 * width];
            self.state.add(&hidden, gates);
            for sequence in 0..sequences {
                self.level.dispatch(CellStep {
                    gates: &gates[sequence * 4 * width..][..4 * width],
                    cell: &mut cell[sequence * width..][..width],
                    hidden: &mut hidden[sequence * width..][..width],
                });
                let to = &mut y[(step * sequences + sequence) * columns + column..][..width];
                to.copy_from_slice(&hidden[sequence * width..][..width]);
            }
        }
    }
}

/// Advances the cells of one sequence by one step.
struct CellStep<'a> {
    gates: &'a [f32],
    cell: &'a mut [f32],
    hidden: &'a mut [f32],
}

impl WithSimd for CellStep<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.cell.len();
        let gate = |index: usize| S::as_simd_f32s(&self.gates[index * width..][..width]).0;
        let (input, forget, candidate, output) = (gate(0), gate(1), gate(2), gate(3));
        let cells = S::as_mut_simd_f32s(self.cell).0.iter_mut();
        for (i, (cell, hidden)) in cells.zip(S::as_mut_simd_f32s(self.hidden).0).enumerate() {
            let new = simd.mul_f32s(sigmoid(simd, input[i]), tanh(simd, candidate[i]));
            *cell = simd.mul_add_f32s(sigmoid(simd, forget[i]), *cell, new);
            *hidden = simd.mul_f32s(sigmoid(simd, output[i]), tanh(simd, *cell));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// The textbook's loop in f64, from the last step to the first if backward.
    fn reference(x: &[f32], input: &[f32], state: &[f32], bias: &[f32], is_backward: bool) -> Vec<f64> {
        let width = bias.len() / 4;
        let inputs = input.len() / bias.len();
        let steps = x.len() / inputs;
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut hidden, mut cell, mut y) = (vec![0.0; width], vec![0.0; width], vec![0.0; steps * width]);
        for step in 0..steps {
            let step = if is_backward { steps - 1 - step } else { step };
            let gate = |row: usize| {
                let sum = |w: &[f32], x: &mut dyn Iterator<Item = f64>| -> f64 {
                    w.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()
                };
                let x = &x[step * inputs..][..inputs];
                f64::from(bias[row])
                    + sum(&input[row * inputs..][..inputs], &mut x.iter().map(|x| f64::from(*x)))
                    + sum(&state[row * width..][..width], &mut hidden.iter().copied())
            };
            let gates: Vec<f64> = (0..4 * width).map(gate).collect();
            for i in 0..width {
                let [input, forget, candidate, output] = [0, 1, 2, 3].map(|gate| gates[gate * width + i]);
                cell[i] = sigmoid(forget) * cell[i] + sigmoid(input) * candidate.tanh();
                hidden[i] = sigmoid(output) * cell[i].tanh();
            }
            y[step * width..][..width].copy_from_slice(&hidden);
        }
        y
    }

    #[test]
    fn equals_the_textbook_for_sequences_side_by_side() {
        let (width, inputs, steps) = (16, 5, 7);
        let (input, state) = (numbers(4 * width * inputs, 1), numbers(4 * width * width, 2));
        let bias = numbers(4 * width, 3);
        let sequences = [numbers(steps * inputs, 4), numbers(steps * inputs, 5)];
        let x: Vec<f32> = (0..steps)
            .flat_map(|step| sequences.iter().flat_map(move |x| &x[step * inputs..][..inputs]))
            .copied()
            .collect();
        for level in SimdLevel::all() {
            for is_backward in [false, true] {
                let weights = LstmWeights { input: &input, state: &state, bias: bias.clone() };
                let layer = LstmLayer::new(weights, is_backward, level);
                let mut y = vec![f32::NAN; steps * 2 * 2 * width];
                layer.run(&x, 2, 2 * width, width, &mut y);
                for (sequence, x) in sequences.iter().enumerate() {
                    let expected = reference(x, &input, &state, &bias, is_backward);
                    for (step, expected) in expected.chunks(width).enumerate() {
                        let ours = &y[(step * 2 + sequence) * 2 * width + width..][..width];
                        for (ours, expected) in ours.iter().zip(expected) {
                            assert!(
                                (f64::from(*ours) - expected).abs() < 2e-6,
                                "{level:?}: {ours} {expected}"
                            );
                        }
                    }
                }
            }
        }
    }
}
