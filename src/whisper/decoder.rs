//! The decoder: tokens and the encoder's output to the scores of the next token.
//!
//! The tokens of all sequences are concatenated in one matrix, so that sequences of any lengths and positions (one with
//! its prompt, others with a step each) go through the layers together without padding.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::config::WhisperConfig;
use super::kv_cache::KvCache;
use super::layers::{CrossAttention, FeedForward, LayerNorm, SelfAttention};
use super::loader::LayerLoader;
use super::workspace::Workspace;
use crate::device::Kernels;
use crate::device::kernels::{AttentionSource, Epilogue, Matrix, TokenBatch, TokenRow};

/// Tokens of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct SequenceTokens<'a> {
    /// The cache slot of the sequence's own keys and values.
    pub sequence: usize,
    /// The cache slot of the audio's keys and values.
    pub window: usize,
    /// The position of the first token: that many entries of the sequence's slot are valid.
    pub position: usize,
    pub tokens: &'a [u32],
}

/// Called with each layer's index and its cross-attention queries, `[tokens, width]`.
pub type QueryObserver<'a> = &'a mut dyn FnMut(usize, &Tensor, &mut Workspace) -> Result<()>;

#[derive(Debug)]
pub struct TextDecoder {
    /// The token embedding, which is also the output projection.
    tokens: Matrix,
    positions: Tensor,
    layers: Vec<DecoderLayer>,
    norm: LayerNorm,
    audio_len: usize,
    /// The width of the inner layer of a feed-forward.
    inner: usize,
    kernels: Arc<dyn Kernels>,
    /// The kernels that compute the cross-attention's keys and values.
    encoder_kernels: Arc<dyn Kernels>,
}

#[derive(Debug)]
struct DecoderLayer {
    attention: SelfAttention,
    cross: CrossAttention,
    feed_forward: FeedForward,
}

impl TextDecoder {
    pub(super) fn new(
        config: &WhisperConfig,
        loader: &LayerLoader<'_>,
        encoder_kernels: &Arc<dyn Kernels>,
    ) -> Result<Self> {
        let width = config.d_model;
        let layer = |index: usize| {
            let layer = loader.pp("layers").pp(index);
            Ok(DecoderLayer {
                attention: SelfAttention::load(&layer, width)?,
                cross: CrossAttention::load(&layer, width, encoder_kernels)?,
                feed_forward: FeedForward::load(&layer, width, config.decoder_ffn_dim)?,
            })
        };
        Ok(TextDecoder {
            tokens: loader.matrix_after("layer_norm", (config.vocab_size, width), "embed_tokens.weight")?,
            positions: loader.tensor((config.max_target_positions, width), "embed_positions.weight")?,
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_>>()?,
            norm: loader.pp("layer_norm").layer_norm(width)?,
            audio_len: config.max_source_positions,
            inner: config.decoder_ffn_dim,
            kernels: Arc::clone(loader.kernels()),
            encoder_kernels: Arc::clone(encoder_kernels),
        })
    }

    /// Returns the batch that [`cache_audio`](Self::cache_audio) stores encoded windows with, in these slots.
    pub fn audio_batch(&self, slots: &[usize]) -> Result<TokenBatch> {
        self.encoder_kernels.upload_batch(TokenBatch::of_slots(slots, self.audio_len), 0)
    }

    /// Computes the cross-attention's keys and values of encoded windows, and stores them in their slots.
    ///
    /// The caller keeps the batch until the encoder's kernels have finished.
    pub fn cache_audio(
        &self,
        encoded: &Tensor,
        batch: &TokenBatch,
        audio: &KvCache,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let (windows, rows, width) = encoded.dims3()?;
        let kv = workspace.wide.view((windows * rows, 2 * width))?;
        let per_window = kv.reshape((windows, rows, 2 * width))?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.cross.key_value.forward(encoded, Epilogue::Store, &per_window)?;
            audio.store_with(&*self.encoder_kernels, index, &kv, batch)?;
        }
        Ok(())
    }

    /// Runs the decoder, and returns the last layer's normalized output for each token, sequence after sequence, in
    /// `workspace.normed`.
    pub fn forward(
        &self,
        sequences: &[SequenceTokens<'_>],
        text: &KvCache,
        audio: &KvCache,
        workspace: &mut Workspace,
    ) -> Result<Tensor> {
        self.run_layers(&self.batch(sequences)?, (text, audio), workspace, &mut |_, _, _| Ok(()))
    }

    /// Returns the batch of all tokens of these sequences, concatenated.
    pub(super) fn batch(&self, sequences: &[SequenceTokens<'_>]) -> Result<TokenBatch> {
        let text_len = self.positions.dim(0)?;
        let mut rows = Vec::with_capacity(sequences.iter().map(|sequence| sequence.tokens.len()).sum());
        for sequence in sequences {
            let SequenceTokens { position, tokens, .. } = *sequence;
            if position + tokens.len() > text_len {
                bail!("{} tokens at {position} in a text of {text_len}", tokens.len());
            }
            rows.extend((position..).zip(tokens).map(|(position, &token)| TokenRow {
                token,
                position: position as u32,
                sequence: sequence.sequence as u32,
                window: sequence.window as u32,
            }));
        }
        self.kernels.upload_batch(TokenBatch::new(rows), self.audio_len)
    }

    /// Allocates all buffers that steps of up to this many rows need, so that they do not move later.
    pub fn reserve(&self, rows: usize, workspace: &mut Workspace) -> Result<()> {
        let width = self.positions.dim(1)?;
        workspace.hidden.view((rows, width))?;
        workspace.normed.view((rows, width))?;
        workspace.wide.view((rows, self.inner.max(3 * width)))?;
        workspace.logits.view((rows, self.tokens.out))?;
        Ok(())
    }

    /// Feeds one token of each sequence, and returns the scores of the next one.
    pub fn step(
        &self,
        batch: &TokenBatch,
        text: &KvCache,
        audio: &KvCache,
        workspace: &mut Workspace,
    ) -> Result<Tensor> {
        let outputs = self.run_layers(batch, (text, audio), workspace, &mut |_, _, _| Ok(()))?;
        self.scores(&outputs, workspace)
    }

    pub(super) fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        self.kernels.read(x, to)
    }

    /// Runs the decoder as [`forward`](Self::forward) does, and calls `observe` before each cross-attention.
    pub(super) fn run_layers(
        &self,
        batch: &TokenBatch,
        (text, audio): (&KvCache, &KvCache),
        workspace: &mut Workspace,
        observe: QueryObserver<'_>,
    ) -> Result<Tensor> {
        let (count, width) = (batch.rows.len(), self.positions.dim(1)?);
        let x = workspace.hidden.view((count, width))?;
        let normed = workspace.normed.view((count, width))?;
        let (qkv, query) = (workspace.wide.view((count, 3 * width))?, workspace.wide.view((count, width))?);
        let inner = workspace.wide.view((count, self.inner))?;
        self.kernels.embed(&self.tokens, &self.positions, batch, &x)?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.attention.norm.forward(&x, &normed)?;
            layer.attention.qkv.forward(&normed, Epilogue::Store, &qkv)?;
            text.store(index, &qkv, width, batch)?;
            text.attend(index, &qkv, batch, AttentionSource::Text, &normed)?;
            layer.attention.out.forward(&normed, Epilogue::Add, &x)?;

            layer.cross.norm.forward(&x, &normed)?;
            layer.cross.query.forward(&normed, Epilogue::Store, &query)?;
            observe(index, &query, workspace)?;
            audio.attend(index, &query, batch, AttentionSource::Audio(self.audio_len), &normed)?;
            layer.cross.out.forward(&normed, Epilogue::Add, &x)?;
            layer.feed_forward.forward(&x, &normed, &inner)?;
        }
        self.norm.forward(&x, &normed)?;
        Ok(normed)
    }

    /// Returns the scores of the whole vocabulary after the outputs of [`forward`](Self::forward) at these indices.
    pub fn logits(&self, outputs: &Tensor, indices: &[u32], workspace: &mut Workspace) -> Result<Tensor> {
        let selects_all =
            outputs.dim(0)? == indices.len() && indices.iter().zip(0..).all(|(&index, row)| index == row);
        if selects_all {
            return self.scores(outputs, workspace);
        }
        let gathered = workspace.gathered.view((indices.len(), outputs.dim(1)?))?;
        self.kernels.gather(outputs, indices, &gathered)?;
        self.scores(&gathered, workspace)
    }

    fn scores(&self, outputs: &Tensor, workspace: &mut Workspace) -> Result<Tensor> {
        let logits = workspace.logits.view((outputs.dim(0)?, self.tokens.out))?;
        self.kernels.linear(outputs, &self.tokens, None, Epilogue::Store, &logits)?;
        Ok(logits)
    }
}
