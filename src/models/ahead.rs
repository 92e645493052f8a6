//! Sequences that choose their own tokens for some steps: what is asked, and how any backend that gives scores answers.

use std::sync::Arc;

use super::RowInput;
use crate::decode::rules::Rules;
use crate::decode::sequence::Standing;
use crate::error::Result;

/// A sequence that is to go on.
#[derive(Debug, Clone)]
pub struct AheadInput<'a> {
    /// Sequence slot, whose first `position` entries are valid.
    pub sequence: usize,
    /// Window slot: whose audio it listens to.
    pub window: usize,
    pub position: usize,
    /// The token that stands there, which is to be fed first.
    pub token: u32,
    pub rules: &'a Arc<Rules>,
    /// The tokens of the window, that one among them.
    pub sampled: &'a [u32],
    pub temperature: f32,
    /// How many more there may be, at least one.
    pub left: usize,
    /// A number of [0, 1) for each step, where the temperature is above 0.
    pub draws: Vec<f64>,
}

impl<'a> AheadInput<'a> {
    /// Of a sequence that stands so, at its last token.
    pub fn of(
        standing: Standing<'a>,
        (sequence, window): (usize, usize),
        (position, token): (usize, u32),
    ) -> Self {
        let Standing { rules, sampled, temperature, left, draws } = standing;
        AheadInput { sequence, window, position, token, rules, sampled, temperature, left, draws }
    }
}

/// The tokens that a sequence chose, with their log-probabilities; the last one may be the end of text, or one whose
/// log-probability is not a number, because none could be chosen.
pub type Chosen = Vec<(u32, f32)>;

/// Feeds rows to the decoder and gives their scores.
pub type Decode<'a> = &'a mut dyn FnMut(&[RowInput<'_>], &mut Vec<f32>) -> Result<()>;

/// By the scores, a step at a time. What a device that chooses for itself does must come to the same.
pub fn by_scores(
    inputs: &[AheadInput<'_>],
    steps: usize,
    decode: Decode<'_>,
    chosen: &mut Vec<Chosen>,
) -> Result<()> {
    struct Running<'a> {
        input: &'a AheadInput<'a>,
        at: usize,
        sampled: Vec<u32>,
        last: [u32; 1],
    }
    chosen.clear();
    chosen.resize(inputs.len(), Chosen::new());
    let mut running: Vec<Running<'_>> = Vec::with_capacity(inputs.len());
    for (at, input) in inputs.iter().enumerate() {
        running.push(Running { input, at, sampled: input.sampled.to_vec(), last: [input.token] });
    }
    let mut logits = Vec::new();
    for step in 0..steps {
        if running.is_empty() {
            break;
        }
        let rows: Vec<RowInput<'_>> = running
            .iter()
            .map(|Running { input, last, .. }| row(input, input.position + step, last))
            .collect();
        decode(&rows, &mut logits)?;
        let n_vocab = logits.len() / rows.len();
        for (one, logits) in running.iter_mut().zip(logits.chunks_exact_mut(n_vocab.max(1))) {
            let drawn = one.input.draws.get(step).copied().unwrap_or(0.0);
            let found = one.input.rules.choose(logits, &one.sampled, one.input.temperature, drawn);
            chosen[one.at].push(found);
            one.sampled.push(found.0);
            one.last = [found.0];
        }
        running.retain(|one| {
            let (token, log_prob) = *chosen[one.at].last().unwrap_or(&(0, f32::NAN));
            let is_over = token == one.input.rules.eot() || chosen[one.at].len() >= one.input.left;
            !is_over && !log_prob.is_nan()
        });
    }
    Ok(())
}

/// The likeliest tokens after each sequence's own, by the scores.
pub fn ranked_by_scores(
    inputs: &[AheadInput<'_>],
    count: usize,
    decode: Decode<'_>,
    ranked: &mut Vec<Chosen>,
) -> Result<()> {
    let last: Vec<[u32; 1]> = inputs.iter().map(|input| [input.token]).collect();
    let rows: Vec<RowInput<'_>> =
        inputs.iter().zip(&last).map(|(input, last)| row(input, input.position, last)).collect();
    let mut logits = Vec::new();
    decode(&rows, &mut logits)?;
    let n_vocab = (logits.len() / rows.len().max(1)).max(1);
    let each = inputs.iter().zip(logits.chunks_exact_mut(n_vocab));
    ranked.clear();
    ranked.extend(each.map(|(input, logits)| input.rules.rank(logits, input.sampled, count)));
    Ok(())
}

fn row<'a>(input: &AheadInput<'_>, position: usize, tokens: &'a [u32]) -> RowInput<'a> {
    RowInput { sequence: input.sequence, window: input.window, position, tokens, logits_after: &[0] }
}
