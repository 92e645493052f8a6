//! The network of Silero VAD (version 6, 16 kHz): blocks of 32 ms → the probability that somebody speaks.
//!
//! Each block is a spectrum of four frames, four convolutions, and one step of an LSTM. All but the last step does not
//! depend on the blocks before, and is computed for several blocks at once.

use std::sync::{Arc, LazyLock};

use realfft::num_complex::Complex32;
use realfft::{RealFftPlanner, RealToComplex};
use safetensors::SafeTensors;

use crate::device::cpu::{DenseLayer, SimdLevel};

/// Samples in a block.
pub const BLOCK: usize = 512;
/// Samples before a block that its spectrum covers too.
const CONTEXT: usize = 64;
/// Samples by which a block is extended with its mirror image.
const MIRRORED: usize = 64;
const FFT_SIZE: usize = 256;
const BINS: usize = FFT_SIZE / 2 + 1;
/// Samples between the frames of a spectrum, and their number in a block.
const FRAME_STEP: usize = 128;
const FRAMES: usize = 4;
/// Values in the state of the LSTM.
const STATE: usize = 128;
/// Blocks computed at once.
const BATCH: usize = 16;

/// The weights, loaded when they are first needed.
static NETWORK: LazyLock<Network> = LazyLock::new(|| {
    Network::load(include_bytes!("../../models/vad/silero.safetensors")).expect("the file of the repository")
});

struct Network {
    fft: Arc<dyn RealToComplex<f32>>,
    window: [f32; FFT_SIZE],
    convolutions: [Convolution; 4],
    /// `[4 · STATE]` values for each block: what the input contributes to the gates.
    input_gates: DenseLayer,
    /// What the previous state contributes to them.
    state_gates: DenseLayer,
    output: Vec<f32>,
    output_bias: f32,
}

impl Network {
    fn load(file: &[u8]) -> Result<Self, safetensors::SafeTensorError> {
        let file = SafeTensors::deserialize(file)?;
        let level = SimdLevel::best();
        let convolution = |name: &str, step| -> Result<_, safetensors::SafeTensorError> {
            let weight = file.tensor(&format!("{name}.weight"))?;
            let bias = floats(&file, &format!("{name}.bias"))?;
            Ok(Convolution::new(
                &floats(&file, &format!("{name}.weight"))?,
                weight.shape()[1],
                bias,
                step,
                level,
            ))
        };
        let gates = |name: &str, bias| -> Result<_, safetensors::SafeTensorError> {
            Ok(DenseLayer::new(&floats(&file, name)?, STATE, bias, level))
        };
        let biases = floats(&file, "lstm_cell.bias_ih")?.into_iter().zip(floats(&file, "lstm_cell.bias_hh")?);
        Ok(Network {
            fft: RealFftPlanner::new().plan_fft_forward(FFT_SIZE),
            window: std::array::from_fn(|i| {
                let angle = std::f64::consts::TAU * i as f64 / FFT_SIZE as f64;
                (0.5 - 0.5 * angle.cos()) as f32
            }),
            convolutions: [
                convolution("conv1", 1)?,
                convolution("conv2", 2)?,
                convolution("conv3", 2)?,
                convolution("conv4", 1)?,
            ],
            input_gates: gates("lstm_cell.weight_ih", Some(biases.map(|(a, b)| a + b).collect()))?,
            state_gates: gates("lstm_cell.weight_hh", None)?,
            output: floats(&file, "final_conv.weight")?,
            output_bias: floats(&file, "final_conv.bias")?.into_iter().sum(),
        })
    }
}

fn floats(file: &SafeTensors<'_>, name: &str) -> Result<Vec<f32>, safetensors::SafeTensorError> {
    let (numbers, _) = file.tensor(name)?.data().as_chunks::<4>();
    Ok(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// A convolution of three taps over time, with a frame of zeros on either side and followed by ReLU.
struct Convolution {
    /// `[out, 3 · channels]`.
    layer: DenseLayer,
    channels: usize,
    out: usize,
    step: usize,
}

impl Convolution {
    /// Takes a weight `[out, channels, 3]`.
    fn new(weight: &[f32], channels: usize, bias: Vec<f32>, step: usize, level: SimdLevel) -> Self {
        let by_tap = |row: &[f32]| -> Vec<f32> {
            (0..3 * channels).map(|i| row[i % channels * 3 + i / channels]).collect()
        };
        let weight: Vec<f32> = weight.chunks_exact(3 * channels).flat_map(by_tap).collect();
        let out = bias.len();
        Self { layer: DenseLayer::new(&weight, 3 * channels, Some(bias), level), channels, out, step }
    }

    /// Reads blocks of `frames` frames, and returns the number of frames that it writes to `y` for each block.
    fn apply(&self, x: &[f32], frames: usize, taps: &mut Vec<f32>, y: &mut Vec<f32>) -> usize {
        let channels = self.channels;
        let out_frames = (frames - 1) / self.step + 1;
        taps.clear();
        for block in x.chunks_exact(frames * channels) {
            for centre in (0..frames).step_by(self.step) {
                for frame in [centre.checked_sub(1), Some(centre), Some(centre + 1)] {
                    match frame.filter(|frame| *frame < frames) {
                        Some(frame) => taps.extend_from_slice(&block[frame * channels..][..channels]),
                        None => taps.resize(taps.len() + channels, 0.0),
                    }
                }
            }
        }
        y.clear();
        y.resize(taps.len() / (3 * channels) * self.out, 0.0);
        self.layer.apply(taps, y);
        y.iter_mut().for_each(|value| *value = value.max(0.0));
        out_frames
    }
}

/// The network's state within one recording, and its buffers.
pub struct Silero {
    network: &'static Network,
    context: [f32; CONTEXT],
    hidden: [f32; STATE],
    cell: [f32; STATE],
    windowed: Vec<f32>,
    bins: Vec<Complex32>,
    fft: Vec<Complex32>,
    taps: Vec<f32>,
    /// The values between the layers.
    values: [Vec<f32>; 2],
    gates: Vec<f32>,
}

impl Silero {
    pub fn new() -> Self {
        let network = &*NETWORK;
        Silero {
            network,
            context: [0.0; CONTEXT],
            hidden: [0.0; STATE],
            cell: [0.0; STATE],
            windowed: network.fft.make_input_vec(),
            bins: network.fft.make_output_vec(),
            fft: network.fft.make_scratch_vec(),
            taps: Vec::new(),
            values: [Vec::new(), Vec::new()],
            gates: Vec::new(),
        }
    }

    /// Appends the probabilities of whole blocks. The result does not depend on how many come at a time.
    pub fn push(&mut self, blocks: &[f32], probabilities: &mut Vec<f32>) {
        for batch in blocks.chunks(BATCH * BLOCK) {
            self.encode(batch);
            let mut gates = std::mem::take(&mut self.gates);
            probabilities.extend(gates.chunks_exact_mut(4 * STATE).map(|gates| self.step(gates)));
            self.gates = gates;
        }
    }

    /// Computes what the blocks contribute to the gates.
    fn encode(&mut self, blocks: &[f32]) {
        let network = self.network;
        self.values[0].clear();
        blocks.chunks_exact(BLOCK).for_each(|block| self.spectrum(block));
        let mut frames = FRAMES;
        for convolution in &network.convolutions {
            let [x, y] = &mut self.values;
            frames = convolution.apply(x, frames, &mut self.taps, y);
            self.values.swap(0, 1);
        }
        self.gates.resize(blocks.len() / BLOCK * 4 * STATE, 0.0);
        network.input_gates.apply(&self.values[0], &mut self.gates);
    }

    /// Appends the magnitudes of the four frames of a block.
    fn spectrum(&mut self, block: &[f32]) {
        let mut samples = [0.0; CONTEXT + BLOCK + MIRRORED];
        samples[..CONTEXT].copy_from_slice(&self.context);
        samples[CONTEXT..CONTEXT + BLOCK].copy_from_slice(block);
        for i in 0..MIRRORED {
            samples[CONTEXT + BLOCK + i] = samples[CONTEXT + BLOCK - 2 - i];
        }
        self.context.copy_from_slice(&block[BLOCK - CONTEXT..]);
        for frame in 0..FRAMES {
            let samples = &samples[frame * FRAME_STEP..];
            for ((windowed, sample), weight) in
                self.windowed.iter_mut().zip(samples).zip(&self.network.window)
            {
                *windowed = sample * weight;
            }
            self.network
                .fft
                .process_with_scratch(&mut self.windowed, &mut self.bins, &mut self.fft)
                .expect("buffers of the planned sizes; anything else is a bug");
            debug_assert_eq!(self.bins.len(), BINS);
            self.values[0].extend(self.bins.iter().map(|bin| bin.norm_sqr().sqrt()));
        }
    }

    /// Advances the LSTM by one block and returns the probability.
    fn step(&mut self, gates: &mut [f32]) -> f32 {
        self.network.state_gates.add(&self.hidden, gates);
        let mut sum = self.network.output_bias;
        for i in 0..STATE {
            let [input, forget, candidate, output] = [0, 1, 2, 3].map(|gate| gates[gate * STATE + i]);
            self.cell[i] = sigmoid(forget) * self.cell[i] + sigmoid(input) * candidate.tanh();
            self.hidden[i] = sigmoid(output) * self.cell[i].tanh();
            sum += self.hidden[i].max(0.0) * self.network.output[i];
        }
        sigmoid(sum)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The demo's voice, and what Silero's own program computes for it.
    fn recording() -> (Vec<f32>, Vec<f32>) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let mut samples = crate::audio::fixture("short_en");
        samples.truncate(samples.len() / BLOCK * BLOCK);
        let expected = std::fs::read(folder.join("vad/short_en.f32")).unwrap();
        let expected = expected.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        (samples, expected)
    }

    #[test]
    fn equals_the_original() {
        let (samples, expected) = recording();
        let mut probabilities = Vec::new();
        Silero::new().push(&samples, &mut probabilities);
        assert_eq!(probabilities.len(), expected.len());
        let error = probabilities.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(error < 1e-4, "{error}");
        assert!(expected.iter().any(|p| *p > 0.9) && expected.iter().any(|p| *p < 0.1));
    }

    #[test]
    fn does_not_depend_on_the_sizes_of_pieces() {
        let (samples, _) = recording();
        let mut whole = Vec::new();
        Silero::new().push(&samples, &mut whole);
        for blocks in [1, 3, BATCH + 1] {
            let (mut silero, mut pieces) = (Silero::new(), Vec::new());
            samples.chunks(blocks * BLOCK).for_each(|piece| silero.push(piece, &mut pieces));
            assert!(pieces == whole, "{blocks}");
        }
    }
}
