//! Texts fed once more, to see where in the audio the network listens while it says each word.

use candle_core::Result;

use super::super::AlignInput;
use super::{CandleBackend, on_the_pool};
use crate::decode::sampling::{Distribution, Peak};
use crate::decode::words::{Alignment, Attention};
use crate::whisper::SequenceTokens;
use crate::whisper::alignment::AttentionProbe;

/// Tokens that are fed together, unless one text alone has more.
const TOKENS_TOGETHER: usize = 512;
/// Tokens whose scores for the whole vocabulary are in memory at a time.
const SCORES_TOGETHER: usize = 32;

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
                tokens <= TOKENS_TOGETHER
            });
            let (group, others) = rest.split_at(fits.count().max(1));
            found.extend(self.align_group(group)?);
            rest = others;
        }
        Ok(())
    }

    fn align_group(&mut self, group: &[AlignInput<'_>]) -> Result<Vec<Alignment>> {
        let rows: Vec<SequenceTokens<'_>> = group.iter().map(row).collect();
        let audio_lens: Vec<usize> = group.iter().map(|input| input.ticks).collect();
        let mut attention: Vec<Attention> =
            group.iter().map(|input| Attention::new(input.tokens.len(), input.ticks)).collect();
        let (model, work) = (&self.model, &mut self.work);
        let (caches, probe) =
            ((&self.text, &self.audio), AttentionProbe { heads: &self.heads, audio_lens: &audio_lens });
        on_the_pool(&self.device, || {
            let outputs =
                model.decoder.forward_with_attention(&rows, caches, &probe, work, &mut |row, weights| {
                    attention[row].add(weights)
                })?;
            let (mut first, mut logits, mut found) = (0, Vec::new(), Vec::with_capacity(group.len()));
            for (input, attention) in group.iter().zip(attention) {
                // What is said is told by the token before it; behind the last one stands the end.
                let before = input.text.start - 1..input.text.end - 1;
                let chosen: Vec<u32> = before.map(|at| (first + at) as u32).collect();
                let mut probabilities = Vec::with_capacity(chosen.len());
                let said = &input.tokens[input.text.clone()];
                for (chosen, said) in chosen.chunks(SCORES_TOGETHER).zip(said.chunks(SCORES_TOGETHER)) {
                    model.kernels.read(&model.decoder.logits(&outputs, chosen, work)?, &mut logits)?;
                    let scores = logits.chunks_exact(logits.len() / chosen.len());
                    let likely = scores.zip(said).map(|(row, &token)| probability(row, input.n_text, token));
                    probabilities.extend(likely);
                }
                let attention = attention.finish(input.text.start - 1..input.text.end);
                found.push(Alignment { ticks: input.ticks, attention, probabilities });
                first += input.tokens.len();
            }
            Ok(found)
        })
    }
}

fn row<'a>(input: &AlignInput<'a>) -> SequenceTokens<'a> {
    SequenceTokens { sequence: input.sequence, window: input.window, position: 0, tokens: input.tokens }
}

/// How likely a token is among those below `n_text`.
fn probability(logits: &[f32], n_text: usize, token: u32) -> f32 {
    let text = &logits[..n_text];
    Distribution::of(text, Peak::of(text, 0..n_text)).log_prob(text, token).exp()
}
