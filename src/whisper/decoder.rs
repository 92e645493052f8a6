//! Tokens and what the encoder heard → scores of the next token.
//!
//! The tokens of all rows are laid end to end in one matrix, so rows of any lengths and positions (one
//! filling its prompt, others a step each) go through the layers together, with nothing padded.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use super::attention::{CrossAttention, SelfAttention};
use super::config::Config;
use super::kv_cache::KvCache;
use super::layers::{FeedForward, LayerNorm};
use super::workspace::Work;
use crate::device::Kernels;
use crate::device::kernels::{self, Matrix, Rows, Sees, Then};

/// Tokens of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The slot of its own keys and values.
    pub sequence: usize,
    /// The slot of the audio's.
    pub window: usize,
    /// Where the first token stands: that many entries of the sequence's slot are valid.
    pub position: usize,
    pub tokens: &'a [u32],
}

#[derive(Debug)]
pub struct Decoder {
    tokens: Matrix,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    audio_len: usize,
    /// Width of the feed-forward's inside.
    inner: usize,
    kernels: Arc<dyn Kernels>,
    /// Of what comes from the encoder.
    hearing: Arc<dyn Kernels>,
}

#[derive(Debug)]
struct Layer {
    attention: SelfAttention,
    cross: CrossAttention,
    feed_forward: FeedForward,
}

impl Decoder {
    pub fn new(
        config: &Config,
        weights: VarBuilder<'_>,
        kernels: Arc<dyn Kernels>,
        hearing: &Arc<dyn Kernels>,
    ) -> Result<Self> {
        let width = config.d_model;
        let layer = |i: usize| {
            let weights = weights.pp("layers").pp(i);
            Ok(Layer {
                attention: SelfAttention::load(&weights, width, &kernels)?,
                cross: CrossAttention::load(&weights, width, &kernels, hearing)?,
                feed_forward: FeedForward::load(&weights, width, config.decoder_ffn_dim, &kernels)?,
            })
        };
        Ok(Decoder {
            tokens: kernels.matrix(weights.get((config.vocab_size, width), "embed_tokens.weight")?)?,
            positions: kernels
                .tensor(weights.get((config.max_target_positions, width), "embed_positions.weight")?)?,
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights.pp("layer_norm"), width, kernels.clone())?,
            audio_len: config.max_source_positions,
            inner: config.decoder_ffn_dim,
            kernels,
            hearing: hearing.clone(),
        })
    }

    /// Where what was heard goes, for [`listen`](Self::listen).
    pub fn places(&self, slots: &[usize]) -> Result<Rows> {
        self.hearing.rows(Rows::of_slots(slots, self.audio_len), 0)
    }

    /// Computes the cross-attention's keys and values of encoded windows and keeps them in their slots.
    ///
    /// Whoever calls keeps the places until that is done.
    pub fn listen(&self, encoded: &Tensor, places: &Rows, audio: &KvCache, work: &mut Work) -> Result<()> {
        let (windows, rows, width) = encoded.dims3()?;
        let kv = work.wide.view((windows * rows, 2 * width))?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.cross.key_value.forward(encoded, Then::Keep, &kv.reshape((windows, rows, 2 * width))?)?;
            audio.store_by(&*self.hearing, index, &kv, places)?;
        }
        Ok(())
    }

    /// Feeds the rows and gives the last layer's normalised output for each of their tokens, row after row;
    /// it lies in `work.narrow`.
    pub fn forward(
        &self,
        rows: &[Row<'_>],
        text: &KvCache,
        audio: &KvCache,
        work: &mut Work,
    ) -> Result<Tensor> {
        self.layers_of(&self.rows(rows)?, (text, audio), work, &mut |_, _, _| Ok(()))
    }

    /// Every token of the rows, end to end.
    pub(super) fn rows(&self, rows: &[Row<'_>]) -> Result<Rows> {
        let text_len = self.positions.dim(0)?;
        let mut list = Vec::with_capacity(rows.iter().map(|row| row.tokens.len()).sum());
        for row in rows {
            if row.position + row.tokens.len() > text_len {
                bail!("{} tokens at {} in a text of {text_len}", row.tokens.len(), row.position);
            }
            list.extend((row.position..).zip(row.tokens).map(|(position, &token)| kernels::Row {
                token,
                position: position as u32,
                sequence: row.sequence as u32,
                window: row.window as u32,
            }));
        }
        self.kernels.rows(Rows::new(list), self.audio_len)
    }

    /// Makes all memory that steps of up to so many rows need, so that it does not move later.
    pub fn reserve(&self, rows: usize, work: &mut Work) -> Result<()> {
        let width = self.positions.dim(1)?;
        work.x.view((rows, width))?;
        work.narrow.view((rows, width))?;
        work.wide.view((rows, self.inner.max(3 * width)))?;
        work.logits.view((rows, self.tokens.out))?;
        Ok(())
    }

    /// One more token of each sequence, and the scores of what may follow.
    pub fn step(&self, rows: &Rows, text: &KvCache, audio: &KvCache, work: &mut Work) -> Result<Tensor> {
        let outputs = self.layers_of(rows, (text, audio), work, &mut |_, _, _| Ok(()))?;
        self.scores(&outputs, work)
    }

    pub(super) fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        self.kernels.read(x, to)
    }

    /// As [`forward`](Self::forward). Calls `asks` with each layer's index and with what its rows ask the audio for,
    /// `[tokens, width]`.
    pub(super) fn layers_of(
        &self,
        rows: &Rows,
        (text, audio): (&KvCache, &KvCache),
        work: &mut Work,
        asks: &mut dyn FnMut(usize, &Tensor, &mut Work) -> Result<()>,
    ) -> Result<Tensor> {
        let (count, width) = (rows.list.len(), self.positions.dim(1)?);
        let x = work.x.view((count, width))?;
        let narrow = work.narrow.view((count, width))?;
        let (qkv, query) = (work.wide.view((count, 3 * width))?, work.wide.view((count, width))?);
        let inner = work.wide.view((count, self.inner))?;
        self.kernels.embed(&self.tokens, &self.positions, rows, &x)?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.attention.norm.forward(&x, &narrow)?;
            layer.attention.qkv.forward(&narrow, Then::Keep, &qkv)?;
            text.store(index, &qkv, width, rows)?;
            text.attend(index, &qkv, rows, Sees::Text, &narrow)?;
            layer.attention.out.forward(&narrow, Then::Add, &x)?;

            layer.cross.norm.forward(&x, &narrow)?;
            layer.cross.query.forward(&narrow, Then::Keep, &query)?;
            asks(index, &query, work)?;
            audio.attend(index, &query, rows, Sees::Audio(self.audio_len), &narrow)?;
            layer.cross.out.forward(&narrow, Then::Add, &x)?;
            layer.feed_forward.forward(&x, &narrow, &inner)?;
        }
        self.norm.forward(&x, &narrow)?;
        Ok(narrow)
    }

    /// Scores of every token of the vocabulary after the chosen outputs of [`forward`](Self::forward).
    pub fn logits(&self, outputs: &Tensor, chosen: &[u32], work: &mut Work) -> Result<Tensor> {
        let all =
            outputs.dim(0)? == chosen.len() && chosen.iter().zip(0..).all(|(&chosen, row)| chosen == row);
        if all {
            return self.scores(outputs, work);
        }
        let picked = work.picked.view((chosen.len(), outputs.dim(1)?))?;
        self.kernels.pick(outputs, chosen, &picked)?;
        self.scores(&picked, work)
    }

    fn scores(&self, outputs: &Tensor, work: &mut Work) -> Result<Tensor> {
        let logits = work.logits.view((outputs.dim(0)?, self.tokens.out))?;
        self.kernels.linear(outputs, &self.tokens, None, Then::Keep, &logits)?;
        Ok(logits)
    }
}
