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
use super::work::Work;
use crate::device::Kernels;
use crate::device::kernels::{Matrix, Place, Then};

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
}

#[derive(Debug)]
struct Layer {
    attention: SelfAttention,
    cross: CrossAttention,
    feed_forward: FeedForward,
}

impl Decoder {
    pub fn new(config: &Config, weights: VarBuilder<'_>, kernels: Arc<dyn Kernels>) -> Result<Self> {
        let width = config.d_model;
        let layer = |i: usize| {
            let weights = weights.pp("layers").pp(i);
            Ok(Layer {
                attention: SelfAttention::load(&weights, width, &kernels)?,
                cross: CrossAttention::load(&weights, width, &kernels)?,
                feed_forward: FeedForward::load(&weights, width, config.decoder_ffn_dim, &kernels)?,
            })
        };
        Ok(Decoder {
            tokens: kernels.matrix(weights.get((config.vocab_size, width), "embed_tokens.weight")?)?,
            positions: weights.get((config.max_target_positions, width), "embed_positions.weight")?,
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights.pp("layer_norm"), width, kernels.clone())?,
            audio_len: config.max_source_positions,
            inner: config.decoder_ffn_dim,
            kernels,
        })
    }

    /// Computes the cross-attention's keys and values of encoded windows and keeps them in their slots.
    pub fn listen(&self, encoded: &Tensor, slots: &[usize], audio: &KvCache, work: &mut Work) -> Result<()> {
        let (windows, rows, width) = encoded.dims3()?;
        let places: Vec<Place> = slots.iter().flat_map(|&slot| (0..rows).map(move |t| (slot, t))).collect();
        let kv = work.wide.view((windows * rows, 2 * width))?;
        for (index, layer) in self.layers.iter().enumerate() {
            layer.cross.key_value.forward(encoded, Then::Keep, &kv.reshape((windows, rows, 2 * width))?)?;
            audio.store(index, &kv, 0, &places)?;
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
        self.layers_of(rows, (text, audio), work, &mut |_, _, _| Ok(()))
    }

    pub(super) fn read(&self, x: &Tensor, to: &mut Vec<f32>) -> Result<()> {
        self.kernels.read(x, to)
    }

    /// As [`forward`](Self::forward). Calls `asks` with each layer's index and with what its rows ask the audio for,
    /// `[tokens, width]`.
    pub(super) fn layers_of(
        &self,
        rows: &[Row<'_>],
        (text, audio): (&KvCache, &KvCache),
        work: &mut Work,
        asks: &mut dyn FnMut(usize, &Tensor, &mut Work) -> Result<()>,
    ) -> Result<Tensor> {
        let (text_len, width) = self.positions.dims2()?;
        let batch = Batch::new(rows, text_len, self.audio_len)?;
        let count = batch.tokens.len();
        let x = work.x.view((count, width))?;
        let narrow = work.narrow.view((count, width))?;
        let (qkv, query) = (work.wide.view((count, 3 * width))?, work.wide.view((count, width))?);
        let inner = work.wide.view((count, self.inner))?;
        self.kernels.embed(&self.tokens, &batch.tokens, &x)?;
        for (row, &position) in batch.positions.iter().enumerate() {
            self.kernels.add(&self.positions.narrow(0, position, 1)?, &x.narrow(0, row, 1)?)?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            layer.attention.norm.forward(&x, &narrow)?;
            layer.attention.qkv.forward(&narrow, Then::Keep, &qkv)?;
            text.store(index, &qkv, width, &batch.places)?;
            text.attend(index, &qkv, &batch.reach, &narrow)?;
            layer.attention.out.forward(&narrow, Then::Add, &x)?;

            layer.cross.norm.forward(&x, &narrow)?;
            layer.cross.query.forward(&narrow, Then::Keep, &query)?;
            asks(index, &query, work)?;
            audio.attend(index, &query, &batch.audio, &narrow)?;
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
        let chosen_outputs = match all {
            true => outputs.clone(),
            false => outputs.index_select(&Tensor::from_slice(chosen, chosen.len(), outputs.device())?, 0)?,
        };
        let logits = work.logits.view((chosen.len(), self.tokens.out))?;
        self.kernels.linear(&chosen_outputs, &self.tokens, None, Then::Keep, &logits)?;
        Ok(logits)
    }
}

/// The rows, token by token.
struct Batch {
    tokens: Vec<u32>,
    positions: Vec<usize>,
    /// Where each token's own keys and values go.
    places: Vec<Place>,
    /// How far each token sees its own text, itself included: nothing of what comes after it.
    reach: Vec<Place>,
    audio: Vec<Place>,
}

impl Batch {
    fn new(rows: &[Row<'_>], text_len: usize, audio_len: usize) -> Result<Self> {
        let mut batch =
            Batch { tokens: vec![], positions: vec![], places: vec![], reach: vec![], audio: vec![] };
        for row in rows {
            if row.position + row.tokens.len() > text_len {
                bail!("{} tokens at {} in a text of {text_len}", row.tokens.len(), row.position);
            }
            for (position, &token) in (row.position..).zip(row.tokens) {
                batch.tokens.push(token);
                batch.positions.push(position);
                batch.places.push((row.sequence, position));
                batch.reach.push((row.sequence, position + 1));
                batch.audio.push((row.window, audio_len));
            }
        }
        Ok(batch)
    }
}
