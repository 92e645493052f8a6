//! The [`Backend`] of a Whisper checkpoint on candle: its network, caches and work buffers on one device.

mod align;
mod sampling;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;

use super::{AlignInput, Backend, Capacity, ModelSpec, RowInput, SampledTokens, SamplingInput, WindowInput};
use crate::decode::Alignment;
use crate::device::kernels::{CacheShape, TokenBatch};
use crate::device::memory::{self, MemoryStats, ReleasedMemory};
use crate::device::{Kernels, NumberFormats, kernels_for};
use crate::error::{Error, Result};
use crate::time::WINDOW_FRAMES;
use crate::whisper::alignment::{self, AlignmentHead};
use crate::whisper::{KvCache, SequenceTokens, Whisper, WhisperConfig, Workspace};

/// Windows per encoder pass on a GPU.
const ENCODER_BATCH_ON_ACCELERATOR: usize = 8;

#[derive(Debug)]
pub struct CandleBackend {
    model: Whisper,
    spec: ModelSpec,
    shape: DecoderShape,
    capacity: Capacity,
    kernels: Arc<dyn Kernels>,
    /// Self-attention keys and values of the sequences.
    text: KvCache,
    /// Cross-attention keys and values of the windows.
    audio: KvCache,
    workspace: Workspace,
    /// The encoder's queue, concurrent with the decoder's if the device supports that.
    encoder_kernels: Arc<dyn Kernels>,
    encoder_workspace: Workspace,
    /// Must live until the encoder has read it.
    encoder_batch: TokenBatch,
    /// Allocated by the first use of device sampling.
    sampling_workspace: Option<Workspace>,
    token_rules: sampling::TokenRuleCache,
    device: Device,
    formats: NumberFormats,
    /// Cross-attention heads used for word timestamps.
    heads: Vec<AlignmentHead>,
}

/// Dimensions of the KV caches.
#[derive(Debug, Clone, Copy)]
struct DecoderShape {
    layers: usize,
    heads: usize,
    width: usize,
    /// Positions of a sequence; `audio`: of a window.
    text: usize,
    audio: usize,
}

/// Allocates the KV caches of the sequences and of the windows.
fn allocate_caches(
    shape: &DecoderShape,
    capacity: Capacity,
    formats: NumberFormats,
    device: &Device,
    kernels: &Arc<dyn Kernels>,
) -> candle_core::Result<(KvCache, KvCache)> {
    let DecoderShape { layers, heads, width, text, audio } = *shape;
    let shape = |slots, len| CacheShape { slots, heads, len, head_dim: width / heads };
    let cache =
        |slots, len| KvCache::new(layers, shape(slots, len), formats.cache, device, Arc::clone(kernels));
    Ok((cache(capacity.sequences, text)?, cache(capacity.windows, audio)?))
}

/// Converts an error of candle; a lack of memory is not a bug.
fn convert_error(during: &'static str, error: candle_core::Error) -> Error {
    match memory::is_exhausted(&error) {
        true => Error::OutOfMemory { during, source: error.into() },
        false => Error::compute(during, error),
    }
}

impl CandleBackend {
    /// Builds the network and its caches from tensors on the host.
    pub fn new(
        config: WhisperConfig,
        weights: VarBuilder<'_>,
        device: &Device,
        formats: NumberFormats,
        capacity: Capacity,
    ) -> candle_core::Result<Self> {
        Self::with_kernels(config, weights, (device, kernels_for(device)?), formats, capacity)
    }

    fn with_kernels(
        config: WhisperConfig,
        weights: VarBuilder<'_>,
        (device, kernels): (&Device, Arc<dyn Kernels>),
        formats: NumberFormats,
        capacity: Capacity,
    ) -> candle_core::Result<Self> {
        let device = device.clone();
        let shape = DecoderShape {
            layers: config.decoder_layers,
            heads: config.decoder_attention_heads,
            width: config.d_model,
            text: config.max_target_positions,
            audio: config.max_source_positions,
        };
        let (text, audio) = allocate_caches(&shape, capacity, formats, &device, &kernels)?;
        let spec = ModelSpec {
            n_mels: config.num_mel_bins,
            n_audio_ctx: config.max_source_positions,
            n_text_ctx: config.max_target_positions,
            n_vocab: config.vocab_size,
        };
        let encoder_kernels = kernels.new_queue().transpose().unwrap_or_else(|| Ok(Arc::clone(&kernels)))?;
        let workspace = || Workspace::new(formats.activations, &device);
        let (workspace, encoder_workspace) = (workspace(), workspace());
        let heads = alignment::heads(&config, None);
        let model = Whisper::new(config, weights, formats, Arc::clone(&kernels), &encoder_kernels)?;
        Ok(CandleBackend {
            model,
            spec,
            shape,
            capacity,
            kernels,
            text,
            audio,
            workspace,
            encoder_kernels,
            encoder_workspace,
            encoder_batch: TokenBatch::default(),
            sampling_workspace: None,
            token_rules: sampling::TokenRuleCache::default(),
            device,
            formats,
            heads,
        })
    }

    /// Applies the alignment heads of the checkpoint's `generation_config.json`.
    pub fn with_generation_config(mut self, generation_config: &[u8]) -> Self {
        self.heads = alignment::heads(&self.model.config, Some(generation_config));
        self
    }

    /// Returns the encoder's output for windows of log-mel, `[windows, 1500, width]`.
    pub fn encoder_output(&self, windows: &[&[f32]]) -> candle_core::Result<Tensor> {
        let output = self
            .model
            .encoder
            .forward(windows, &mut Workspace::new(self.formats.activations, &self.device))?;
        self.encoder_kernels.synchronize()?;
        Ok(output)
    }

    fn encode_group(&mut self, windows: &[WindowInput<'_>]) -> candle_core::Result<()> {
        let mels: Vec<&[f32]> = windows.iter().map(|window| window.mel).collect();
        let slots: Vec<usize> = windows.iter().map(|window| window.slot).collect();
        on_compute_thread(&self.device, || {
            self.encoder_batch = self.model.decoder.audio_batch(&slots)?;
            let encoded = self.model.encoder.forward(&mels, &mut self.encoder_workspace)?;
            self.model.decoder.cache_audio(
                &encoded,
                &self.encoder_batch,
                &self.audio,
                &mut self.encoder_workspace,
            )
        })
    }

    fn decode_rows(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> candle_core::Result<()> {
        let mut wanted = Vec::new();
        let mut first = 0;
        let sequences = rows.iter().map(|row| {
            wanted.extend(row.logits_after.iter().map(|&after| (first + after) as u32));
            first += row.tokens.len();
            SequenceTokens {
                sequence: row.sequence,
                window: row.window,
                position: row.position,
                tokens: row.tokens,
            }
        });
        let sequences: Vec<SequenceTokens<'_>> = sequences.collect();
        let (model, workspace) = (&self.model, &mut self.workspace);
        on_compute_thread(&self.device, || {
            let outputs = model.decoder.forward(&sequences, &self.text, &self.audio, workspace)?;
            logits.clear();
            if !wanted.is_empty() {
                model.kernels.read(&model.decoder.logits(&outputs, &wanted, workspace)?, logits)?;
            }
            Ok(())
        })
    }

    fn check_sampling(&self, inputs: &[SamplingInput<'_>]) -> Result<()> {
        let row = |input: &SamplingInput<'_>| {
            let fits = input.sequence < self.capacity.sequences
                && input.window < self.capacity.windows
                && (input.token as usize) < self.spec.n_vocab
                && input.left > 0
                && input.position + input.left <= self.spec.n_text_ctx;
            if fits { Ok(()) } else { Err(Error::compute("decoding", format!("invalid request: {input:?}"))) }
        };
        inputs.iter().try_for_each(row)
    }

    /// Rejects requests outside the slots or the vocabulary, which are bugs of the caller, before they do harm.
    fn check_rows(&self, rows: &[RowInput<'_>]) -> Result<()> {
        for row in rows {
            let fits = row.sequence < self.capacity.sequences
                && row.window < self.capacity.windows
                && !row.tokens.is_empty()
                && row.position + row.tokens.len() <= self.spec.n_text_ctx
                && row.tokens.iter().all(|&token| (token as usize) < self.spec.n_vocab)
                && row.logits_after.iter().all(|&after| after < row.tokens.len());
            if !fits {
                return Err(Error::compute("decoding", format!("invalid request: {row:?}")));
            }
        }
        Ok(())
    }
}

/// Returns the number of windows per encoder pass. On the CPU one window keeps all cores busy and its rows in their
/// caches; a few windows fill any GPU.
pub fn encoder_batch(device: &Device, capacity: Capacity) -> usize {
    if device.is_cpu() { 1 } else { capacity.windows.clamp(1, ENCODER_BATCH_ON_ACCELERATOR) }
}

/// Runs `f` on a thread of the pool if the device is the CPU, so that the network's hundreds of small tasks start without
/// waking a sleeping thread for each. Other devices stay on the calling thread.
fn on_compute_thread<T: Send>(device: &Device, f: impl FnOnce() -> T + Send) -> T {
    if device.is_cpu() { rayon::scope(|_| f()) } else { f() }
}

impl Drop for CandleBackend {
    fn drop(&mut self) {
        // The memory freed next may be reused at once. If this fails, the device is lost together with its memory.
        let _ = self.encoder_kernels.synchronize();
    }
}

impl Backend for CandleBackend {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn encoder_batch(&self) -> usize {
        encoder_batch(&self.device, self.capacity)
    }

    fn encode(&mut self, windows: &[WindowInput<'_>]) -> Result<()> {
        let len = self.spec.n_mels * WINDOW_FRAMES;
        if let Some(window) = windows.iter().find(|w| w.mel.len() != len || w.slot >= self.capacity.windows) {
            let text =
                format!("slot {} of {:?}, {} values of {len}", window.slot, self.capacity, window.mel.len());
            return Err(Error::compute("encoding", text));
        }
        let mut groups = windows.chunks(self.encoder_batch());
        let encoded = groups.try_for_each(|group| {
            // All groups use the same workspace.
            self.encoder_kernels.synchronize()?;
            self.encode_group(group)
        });
        encoded.map_err(|error| convert_error("encoding", error))
    }

    fn poll_encoded(&mut self, wait: bool) -> Result<bool> {
        let is_encoded = if wait {
            self.encoder_kernels.synchronize().map(|()| true)
        } else {
            self.encoder_kernels.is_idle()
        };
        is_encoded.map_err(|error| convert_error("encoding", error))
    }

    fn decode(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> Result<()> {
        self.check_rows(rows)?;
        if rows.is_empty() {
            logits.clear();
            return Ok(());
        }
        self.decode_rows(rows, logits).map_err(|error| convert_error("decoding", error))
    }

    fn sampling_steps(&self) -> usize {
        self.kernels.sampler().map_or(0, |sampler| sampler.steps())
    }

    fn max_ranked(&self) -> usize {
        self.kernels.sampler().map_or(0, |sampler| sampler.max_candidates())
    }

    fn rank(
        &mut self,
        inputs: &[SamplingInput<'_>],
        count: usize,
        ranked: &mut Vec<SampledTokens>,
    ) -> Result<()> {
        self.check_sampling(inputs)?;
        self.run_sampler(inputs, Some(count), ranked).map_err(|error| convert_error("decoding", error))
    }

    fn sample(&mut self, inputs: &[SamplingInput<'_>], sampled: &mut Vec<SampledTokens>) -> Result<()> {
        self.check_sampling(inputs)?;
        self.run_sampler(inputs, None, sampled).map_err(|error| convert_error("decoding", error))
    }

    fn align(&mut self, inputs: &[AlignInput<'_>], found: &mut Vec<Alignment>) -> Result<()> {
        found.clear();
        for input in inputs {
            self.check_rows(&[RowInput {
                sequence: input.sequence,
                window: input.window,
                position: 0,
                tokens: input.tokens,
                logits_after: &[],
            }])?;
            let fits = (1..input.tokens.len()).contains(&input.text.start)
                && (input.text.start + 1..input.tokens.len()).contains(&input.text.end)
                && (1..=self.spec.n_audio_ctx).contains(&input.ticks)
                && (1..=self.spec.n_vocab).contains(&input.n_text);
            if !fits {
                return Err(Error::compute("timing words", format!("invalid request: {input:?}")));
            }
        }
        self.align_groups(inputs, found).map_err(|error| convert_error("timing words", error))
    }

    fn release(&mut self) -> Result<ReleasedMemory> {
        memory::release_between_chunks(&self.device)
    }

    fn close(self: Box<Self>) -> Result<()> {
        let device = self.device.clone();
        drop(self);
        memory::release(&device).map(drop)
    }

    fn memory(&self) -> Option<MemoryStats> {
        MemoryStats::measure(&self.device).ok()
    }

    fn shrink(&mut self, capacity: Capacity) -> Result<()> {
        self.encoder_kernels.synchronize().map_err(|error| convert_error("shrinking the batch", error))?;
        // The old caches are freed first, because there is no memory for both.
        let none = || KvCache::empty(Arc::clone(&self.kernels));
        (self.text, self.audio) = (none(), none());
        let caches = allocate_caches(&self.shape, capacity, self.formats, &self.device, &self.kernels);
        (self.text, self.audio) = caches.map_err(|error| convert_error("shrinking the batch", error))?;
        self.capacity = capacity;
        // Recorded steps refer to the old caches.
        self.kernels.sampler().into_iter().for_each(|sampler| sampler.discard_recordings());
        Ok(())
    }

    fn copy_sequence(&mut self, from: usize, to: usize, positions: Range<usize>) -> Result<()> {
        self.text.copy_slot(from, to, positions).map_err(|error| convert_error("copying a sequence", error))
    }
}

#[cfg(test)]
mod tests {
    mod allocations;
    mod host_kernels;

    use candle_core::DType;

    use super::*;
    use crate::device::MatrixFormat;
    use crate::whisper::random;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Returns the encoder's output, the logits after two prompts, and those of two steps batched with another prompt.
    fn results(backend: &mut CandleBackend, mel: &[f32]) -> [Vec<u32>; 3] {
        let encoded = backend.encoder_output(&[mel]).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        backend.encode(&[WindowInput { slot: 0, mel }, WindowInput { slot: 1, mel }]).unwrap();
        let row = |sequence, position, tokens| RowInput {
            sequence,
            window: sequence % 2,
            position,
            tokens,
            logits_after: &[0],
        };
        let prompt: Vec<u32> = (0..60).collect();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        backend.decode(&[row(0, 0, &prompt), row(1, 0, &prompt[3..])], &mut first).unwrap();
        backend.decode(&[row(0, 60, &[7]), row(1, 57, &[9]), row(2, 0, &prompt[5..])], &mut second).unwrap();
        [bits(&encoded), bits(&first), bits(&second)]
    }

    /// Returns a network with two layers of each kind, at a width that fills no panel of the kernels, and a vocabulary of
    /// the true size; and a window.
    fn small_network(weights: MatrixFormat) -> (CandleBackend, Vec<f32>) {
        let config = WhisperConfig {
            d_model: 320,
            encoder_layers: 2,
            decoder_layers: 2,
            encoder_attention_heads: 5,
            decoder_attention_heads: 5,
            ..WhisperConfig::published("base").unwrap()
        };
        let (capacity, mel) = (Capacity { windows: 2, sequences: 3 }, random::mel(&config, 0));
        let (tensors, formats) = (random::weights(DType::F32), NumberFormats::cpu(weights));
        (CandleBackend::new(config, tensors, &Device::Cpu, formats, capacity).unwrap(), mel)
    }

    const CPU_FORMATS: [MatrixFormat; 4] = [
        MatrixFormat::Float(DType::F32),
        MatrixFormat::Float(DType::F16),
        MatrixFormat::Float(DType::BF16),
        MatrixFormat::Int8,
    ];

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for format in CPU_FORMATS {
            let (mut backend, mel) = small_network(format);
            let mut with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| results(&mut backend, &mel))
            };
            let one = with(1);
            for threads in 2..=4 {
                assert!(with(threads) == one, "{threads} threads, {format:?}");
            }
        }
    }

    #[test]
    fn results_in_every_format_are_near_those_in_f32() {
        let floats = |format| {
            let (mut backend, mel) = small_network(format);
            results(&mut backend, &mel).map(|bits| bits.into_iter().map(f32::from_bits).collect::<Vec<_>>())
        };
        let exact = floats(CPU_FORMATS[0]);
        for format in &CPU_FORMATS[1..] {
            for (exact, rounded) in exact.iter().zip(floats(*format)) {
                let power =
                    |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>();
                let error = power(&mut exact.iter().zip(&rounded).map(|(a, b)| a - b));
                let share = (error / power(&mut exact.iter().copied())).sqrt();
                println!("{format:?}: {share}");
                assert!(share > 0.0 && share < 0.05, "{format:?}: {share}");
            }
        }
    }
}
