//! Cross-attention and token probabilities of finished texts, from which `decode` computes word timestamps.

use candle_core::Result;

use super::super::AlignInput;
use super::{CandleBackend, on_compute_thread};
use crate::decode::sampling::{Distribution, Peak};
use crate::decode::words::{Alignment, Attention};
use crate::whisper::SequenceTokens;
use crate::whisper::alignment::AttentionProbe;

/// Maximum tokens of a pass, unless a single text has more.
const MAX_TOKENS: usize = 512;
/// Tokens whose logits over the whole vocabulary are in memory at a time.
const LOGITS_BATCH: usize = 32;

impl CandleBackend {
    pub(super) fn align_groups(
        &mut self,
        inputs: &[AlignInput<'_>],
        found: &mut Vec<Alignment>,
    ) -> Result<()> {
        let mut rest = inputs;
        while !rest.is_empty() {
            let mut tokens = 0;
            let fits = rest.iter().take_while(|input| {
                tokens += input.tokens.len();
                tokens <= MAX_TOKENS
            });
            let (group, others) = rest.split_at(fits.count().max(1));
            found.extend(self.align_group(group)?);
            rest = others;
        }
        Ok(())
    }

    fn align_group(&mut self, group: &[AlignInput<'_>]) -> Result<Vec<Alignment>> {
        let sequences: Vec<SequenceTokens<'_>> = group.iter().map(sequence_tokens).collect();
        let audio_lens: Vec<usize> = group.iter().map(|input| input.ticks).collect();
        let mut attention: Vec<Attention> =
            group.iter().map(|input| Attention::new(input.tokens.len(), input.ticks)).collect();
        let (model, workspace) = (&self.model, &mut self.workspace);
        let (caches, probe) =
            ((&self.text, &self.audio), AttentionProbe { heads: &self.heads, audio_lens: &audio_lens });
        on_compute_thread(&self.device, || {
            let outputs = model.decoder.forward_with_attention(
                &sequences,
                caches,
                &probe,
                workspace,
                &mut |row, weights| attention[row].add(weights),
            )?;
            let (mut first, mut logits, mut found) = (0, Vec::new(), Vec::with_capacity(group.len()));
            for (input, attention) in group.iter().zip(attention) {
                // The logits of a text token are those after the token before it.
                let before = input.text.start - 1..input.text.end - 1;
                let rows: Vec<u32> = before.map(|at| (first + at) as u32).collect();
                let mut probabilities = Vec::with_capacity(rows.len());
                let text = &input.tokens[input.text.clone()];
                for (rows, text) in rows.chunks(LOGITS_BATCH).zip(text.chunks(LOGITS_BATCH)) {
                    model.kernels.read(&model.decoder.logits(&outputs, rows, workspace)?, &mut logits)?;
                    let logits = logits.chunks_exact(logits.len() / rows.len());
                    let each = logits.zip(text).map(|(row, &token)| probability(row, input.n_text, token));
                    probabilities.extend(each);
                }
                let attention = attention.finish(input.text.start - 1..input.text.end);
                found.push(Alignment { ticks: input.ticks, attention, probabilities });
                first += input.tokens.len();
            }
            Ok(found)
        })
    }
}

fn sequence_tokens<'a>(input: &AlignInput<'a>) -> SequenceTokens<'a> {
    SequenceTokens { sequence: input.sequence, window: input.window, position: 0, tokens: input.tokens }
}

/// Returns the probability of a token among the text tokens, those below `n_text`.
fn probability(logits: &[f32], n_text: usize, token: u32) -> f32 {
    let text = &logits[..n_text];
    Distribution::of(text, Peak::of(text, 0..n_text)).log_prob(text, token).exp()
}
