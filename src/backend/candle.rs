//! A Whisper checkpoint that runs on candle.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::{Backend, Capacity, ModelSpec, RowInput, WindowInput};
use crate::device::kernels_for;
use crate::device::memory::{self, Memory, Released};
use crate::error::{Error, Result};
use crate::time::WINDOW_FRAMES;
use crate::whisper::kv_cache::KvShape;
use crate::whisper::{Config, KvCache, Row, Whisper};

#[derive(Debug)]
pub struct CandleBackend {
    model: Whisper,
    spec: ModelSpec,
    shape: CacheShape,
    capacity: Capacity,
    /// Keys and values of the sequences' own texts.
    text: KvCache,
    /// Keys and values of what each window's encoder heard.
    audio: KvCache,
    device: Device,
    dtype: DType,
}

/// What a cache is made for.
#[derive(Debug, Clone, Copy)]
struct CacheShape {
    layers: usize,
    heads: usize,
    width: usize,
    /// Entries of a text, and of a window of audio.
    text: usize,
    audio: usize,
}

/// Those of the sequences' texts and of the windows.
fn caches(
    shape: &CacheShape,
    capacity: Capacity,
    dtype: DType,
    device: &Device,
) -> candle_core::Result<(KvCache, KvCache)> {
    let CacheShape { layers, heads, width, text, audio } = *shape;
    let cache = |slots, len| KvCache::new(KvShape { layers, slots, heads, len, width }, dtype, device);
    Ok((cache(capacity.sequences, text)?, cache(capacity.windows, audio)?))
}

/// candle's error as ours: what is for want of memory is not a bug.
fn failed(during: &'static str, error: candle_core::Error) -> Error {
    match memory::is_exhausted(&error) {
        true => Error::OutOfMemory { during, source: error.into() },
        false => Error::compute(during, error),
    }
}

impl CandleBackend {
    /// Builds the network and its caches. The builder's dtype is the one to compute in.
    pub fn new(config: Config, weights: VarBuilder<'_>, capacity: Capacity) -> candle_core::Result<Self> {
        let (device, dtype) = (weights.device().clone(), weights.dtype());
        let shape = CacheShape {
            layers: config.decoder_layers,
            heads: config.decoder_attention_heads,
            width: config.d_model,
            text: config.max_target_positions,
            audio: config.max_source_positions,
        };
        let (text, audio) = caches(&shape, capacity, dtype, &device)?;
        let spec = ModelSpec {
            n_mels: config.num_mel_bins,
            n_audio_ctx: config.max_source_positions,
            n_text_ctx: config.max_target_positions,
            n_vocab: config.vocab_size,
        };
        let model = Whisper::new(config, weights, kernels_for(&device))?;
        Ok(CandleBackend { model, spec, shape, capacity, text, audio, device, dtype })
    }

    /// The encoder's output for windows of mel, `[windows, 1500, width]`.
    pub fn encoder_output(&self, windows: &[&[f32]]) -> candle_core::Result<Tensor> {
        let shape = (1, self.spec.n_mels, WINDOW_FRAMES);
        let mels = windows.iter().map(|mel| Tensor::from_slice(mel, shape, &self.device));
        let mel = Tensor::cat(&mels.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        self.model.encoder.forward(&mel.to_dtype(self.dtype)?)
    }

    fn encode_group(&self, windows: &[WindowInput<'_>]) -> candle_core::Result<()> {
        let mels: Vec<&[f32]> = windows.iter().map(|window| window.mel).collect();
        let slots: Vec<usize> = windows.iter().map(|window| window.slot).collect();
        self.model.decoder.listen(&self.encoder_output(&mels)?, &slots, &self.audio)
    }

    fn decode_rows(&self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> candle_core::Result<()> {
        let mut chosen = Vec::new();
        let mut first = 0;
        let network_rows = rows.iter().map(|row| {
            chosen.extend(row.logits_after.iter().map(|&after| (first + after) as u32));
            first += row.tokens.len();
            Row { sequence: row.sequence, window: row.window, position: row.position, tokens: row.tokens }
        });
        let network_rows: Vec<Row<'_>> = network_rows.collect();
        let decoder = &self.model.decoder;
        let outputs = decoder.forward(&network_rows, &self.text, &self.audio)?;
        logits.clear();
        if !chosen.is_empty() {
            let scores = decoder.logits(&outputs, &chosen)?.to_dtype(DType::F32)?;
            logits.extend(scores.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(())
    }

    /// A request outside of the slots or the vocabulary is a bug of the caller; said before it does harm.
    fn check(&self, rows: &[RowInput<'_>]) -> Result<()> {
        for row in rows {
            let fits = row.sequence < self.capacity.sequences
                && row.window < self.capacity.windows
                && !row.tokens.is_empty()
                && row.position + row.tokens.len() <= self.spec.n_text_ctx
                && row.tokens.iter().all(|&token| (token as usize) < self.spec.n_vocab)
                && row.logits_after.iter().all(|&after| after < row.tokens.len());
            if !fits {
                return Err(Error::compute("decoding", format!("a request that does not fit: {row:?}")));
            }
        }
        Ok(())
    }
}

impl Backend for CandleBackend {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn capacity(&self) -> Capacity {
        self.capacity
    }

    fn encodes_together(&self) -> usize {
        // On the CPU a window alone keeps all cores busy and its rows in their caches.
        if self.device.is_cpu() { 1 } else { self.capacity.windows.max(1) }
    }

    fn encode(&mut self, windows: &[WindowInput<'_>]) -> Result<()> {
        let len = self.spec.n_mels * WINDOW_FRAMES;
        if let Some(window) = windows.iter().find(|w| w.mel.len() != len || w.slot >= self.capacity.windows) {
            let text =
                format!("slot {} of {:?}, {} values of {len}", window.slot, self.capacity, window.mel.len());
            return Err(Error::compute("encoding", text));
        }
        windows
            .chunks(self.encodes_together())
            .try_for_each(|group| self.encode_group(group))
            .map_err(|error| failed("encoding", error))
    }

    fn decode(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> Result<()> {
        self.check(rows)?;
        if rows.is_empty() {
            logits.clear();
            return Ok(());
        }
        self.decode_rows(rows, logits).map_err(|error| failed("decoding", error))
    }

    fn release(&mut self) -> Result<Released> {
        memory::release(&self.device)
    }

    fn memory(&self) -> Option<Memory> {
        Memory::measure(&self.device).ok()
    }

    fn shrink(&mut self, capacity: Capacity) -> Result<()> {
        // The old ones go first: there is no room for both.
        (self.text, self.audio) = (KvCache::default(), KvCache::default());
        let caches = caches(&self.shape, capacity, self.dtype, &self.device);
        (self.text, self.audio) = caches.map_err(|error| failed("making room", error))?;
        self.capacity = capacity;
        Ok(())
    }

    fn copy_sequence(&mut self, from: usize, to: usize, len: usize) -> Result<()> {
        self.text.copy_slot(from, to, len).map_err(|error| failed("copying a sequence", error))
    }
}
