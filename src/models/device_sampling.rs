//! Device sampling: sequences whose next tokens are chosen where the logits are.
//!
//! The functions here define the result from the logits, on the host. A device that samples must come to the same
//! tokens.

use std::sync::Arc;

use super::RowInput;
use crate::decode::rules::LogitRules;
use crate::decode::sequence::SequenceState;
use crate::error::Result;

/// A sequence to advance by device sampling.
#[derive(Debug, Clone)]
pub struct SamplingInput<'a> {
    /// Sequence slot, whose first `position` entries are valid.
    pub sequence: usize,
    /// Window slot that its cross-attention reads.
    pub window: usize,
    pub position: usize,
    /// The token at `position`, which is fed first.
    pub token: u32,
    pub rules: &'a Arc<LogitRules>,
    /// The tokens of the window, `token` included.
    pub sampled: &'a [u32],
    pub temperature: f32,
    /// How many more tokens there may be, at least one.
    pub left: usize,
    /// A number of [0, 1) for each step, where the temperature is above 0.
    pub draws: Vec<f64>,
}

impl<'a> SamplingInput<'a> {
    /// Creates the input of a sequence from its state and its last token.
    pub fn of(
        state: SequenceState<'a>,
        (sequence, window): (usize, usize),
        (position, token): (usize, u32),
    ) -> Self {
        let SequenceState { rules, sampled, temperature, left, draws } = state;
        SamplingInput { sequence, window, position, token, rules, sampled, temperature, left, draws }
    }
}

/// Tokens with their log-probabilities. Those that a sequence chose end with the end of text, or with a
/// log-probability that is not a number if no token could be chosen.
pub type SampledTokens = Vec<(u32, f32)>;

/// Feeds rows to the decoder and returns their logits.
pub type DecodeRows<'a> = &'a mut dyn FnMut(&[RowInput<'_>], &mut Vec<f32>) -> Result<()>;

/// Samples on the host, one step after the other.
pub fn sample_on_host(
    inputs: &[SamplingInput<'_>],
    steps: usize,
    decode: DecodeRows<'_>,
    sampled: &mut Vec<SampledTokens>,
) -> Result<()> {
    struct RunningSequence<'a> {
        input: &'a SamplingInput<'a>,
        index: usize,
        tokens: Vec<u32>,
        last: [u32; 1],
    }
    sampled.clear();
    sampled.resize(inputs.len(), SampledTokens::new());
    let mut running: Vec<RunningSequence<'_>> = Vec::with_capacity(inputs.len());
    for (index, input) in inputs.iter().enumerate() {
        running.push(RunningSequence { input, index, tokens: input.sampled.to_vec(), last: [input.token] });
    }
    let mut logits = Vec::new();
    for step in 0..steps {
        if running.is_empty() {
            break;
        }
        let rows: Vec<RowInput<'_>> = running
            .iter()
            .map(|RunningSequence { input, last, .. }| row(input, input.position + step, last))
            .collect();
        decode(&rows, &mut logits)?;
        let n_vocab = logits.len() / rows.len();
        for (sequence, logits) in running.iter_mut().zip(logits.chunks_exact_mut(n_vocab.max(1))) {
            let input = sequence.input;
            let drawn = input.draws.get(step).copied().unwrap_or(0.0);
            let chosen = input.rules.choose(logits, &sequence.tokens, input.temperature, drawn);
            sampled[sequence.index].push(chosen);
            sequence.tokens.push(chosen.0);
            sequence.last = [chosen.0];
        }
        running.retain(|RunningSequence { input, index, .. }| {
            let (token, log_prob) = *sampled[*index].last().unwrap_or(&(0, f32::NAN));
            let is_over = token == input.rules.eot() || sampled[*index].len() >= input.left;
            !is_over && !log_prob.is_nan()
        });
    }
    Ok(())
}

/// Ranks on the host the tokens that may follow each sequence's own.
pub fn rank_on_host(
    inputs: &[SamplingInput<'_>],
    count: usize,
    decode: DecodeRows<'_>,
    ranked: &mut Vec<SampledTokens>,
) -> Result<()> {
    let last: Vec<[u32; 1]> = inputs.iter().map(|input| [input.token]).collect();
    let rows: Vec<RowInput<'_>> =
        inputs.iter().zip(&last).map(|(input, last)| row(input, input.position, last)).collect();
    let mut logits = Vec::new();
    decode(&rows, &mut logits)?;
    let n_vocab = (logits.len() / rows.len().max(1)).max(1);
    let pairs = inputs.iter().zip(logits.chunks_exact_mut(n_vocab));
    ranked.clear();
    ranked.extend(pairs.map(|(input, logits)| input.rules.rank(logits, input.sampled, count)));
    Ok(())
}

fn row<'a>(input: &SamplingInput<'_>, position: usize, tokens: &'a [u32]) -> RowInput<'a> {
    RowInput { sequence: input.sequence, window: input.window, position, tokens, logits_after: &[0] }
}
