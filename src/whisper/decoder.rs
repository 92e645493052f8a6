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
use crate::device::Kernels;
use crate::device::kernels::Place;

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
    tokens: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: LayerNorm,
    audio_len: usize,
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
            tokens: weights.get((config.vocab_size, width), "embed_tokens.weight")?,
            positions: weights.get((config.max_target_positions, width), "embed_positions.weight")?,
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights.pp("layer_norm"), width, kernels.clone())?,
            audio_len: config.max_source_positions,
            kernels,
        })
    }

    /// Computes the cross-attention's keys and values of encoded windows and keeps them in their slots.
    pub fn listen(&self, encoded: &Tensor, slots: &[usize], audio: &KvCache) -> Result<()> {
        let (windows, rows, _) = encoded.dims3()?;
        let places: Vec<Place> = slots.iter().flat_map(|&slot| (0..rows).map(move |t| (slot, t))).collect();
        for (index, layer) in self.layers.iter().enumerate() {
            let kv = layer.cross.key_value.forward(encoded)?;
            let kv = kv.reshape((windows * rows, kv.dim(2)?))?;
            audio.store(&*self.kernels, index, &kv, 0, &places)?;
        }
        Ok(())
    }

    /// Feeds the rows and gives the last layer's normalised output for each of their tokens, row after row.
    pub fn forward(&self, rows: &[Row<'_>], text: &KvCache, audio: &KvCache) -> Result<Tensor> {
        let batch = Batch::new(rows, self.positions.dim(0)?, self.audio_len)?;
        let device = self.tokens.device();
        let index = |ids: &[u32]| Tensor::from_slice(ids, ids.len(), device);
        let tokens = self.tokens.index_select(&index(&batch.tokens)?, 0)?;
        let mut x = (tokens + self.positions.index_select(&index(&batch.positions)?, 0)?)?;
        let (kernels, width) = (&*self.kernels, x.dim(1)?);
        for (index, layer) in self.layers.iter().enumerate() {
            let qkv = layer.attention.qkv.forward(&layer.attention.norm.forward(&x)?)?;
            text.store(kernels, index, &qkv, width, &batch.places)?;
            let seen = text.attend(kernels, index, &qkv, &batch.reach)?;
            x = (x + layer.attention.out.forward(&seen)?)?;

            let query = layer.cross.query.forward(&layer.cross.norm.forward(&x)?)?;
            let heard = audio.attend(kernels, index, &query, &batch.audio)?;
            x = (x + layer.cross.out.forward(&heard)?)?;
            x = layer.feed_forward.forward(&x)?;
        }
        self.norm.forward(&x)
    }

    /// Scores of every token of the vocabulary after the chosen outputs of [`forward`](Self::forward).
    pub fn logits(&self, outputs: &Tensor, chosen: &[u32]) -> Result<Tensor> {
        let chosen = Tensor::from_slice(chosen, chosen.len(), outputs.device())?;
        self.kernels.linear(&outputs.index_select(&chosen, 0)?, &self.tokens, None, false)
    }
}

/// The rows, token by token.
struct Batch {
    tokens: Vec<u32>,
    positions: Vec<u32>,
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
                batch.positions.push(position as u32);
                batch.places.push((row.sequence, position));
                batch.reach.push((row.sequence, position + 1));
                batch.audio.push((row.window, audio_len));
            }
        }
        Ok(batch)
    }
}
