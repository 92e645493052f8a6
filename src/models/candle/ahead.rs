//! Sequences that choose their own tokens on a device that can do that.

use std::sync::{Arc, Weak};

use candle_core::Result;

use super::super::{SampledTokens, SamplingInput};
use super::CandleBackend;
use crate::decode::rules::LogitRules;
use crate::device::kernels::{TokenBatch, TokenRow};
use crate::device::sampling::{
    DeviceSequence, NO_TOKEN, SUPPRESSED, SUPPRESSED_AT_START, SamplerState, TokenRuleParams, TokenRules,
};
use crate::whisper::Workspace;

/// The rules of the chunks in work, as the device takes them.
#[derive(Debug, Default)]
pub struct KnownRules(Vec<(Weak<LogitRules>, Arc<TokenRules>)>);

impl KnownRules {
    /// None if they look at more than the last tokens.
    fn of(&mut self, rules: &Arc<LogitRules>, n_vocab: usize) -> Option<Arc<TokenRules>> {
        let known = self.0.iter().find(|(known, _)| std::ptr::eq(known.as_ptr(), Arc::as_ptr(rules)));
        if let Some((_, made)) = known {
            return Some(Arc::clone(made));
        }
        let made = token_rules(rules, n_vocab)?;
        self.0.retain(|(rules, _)| rules.strong_count() > 0);
        // Chunks of one recording have rules of their own that say the same.
        let same = self.0.iter().find(|(_, other)| **other == made).map(|(_, other)| Arc::clone(other));
        let made = same.unwrap_or_else(|| Arc::new(made));
        self.0.push((Arc::downgrade(rules), Arc::clone(&made)));
        Some(made)
    }
}

fn token_rules(rules: &LogitRules, n_vocab: usize) -> Option<TokenRules> {
    let table = rules.table()?;
    let mut mask = vec![0; n_vocab];
    for (tokens, bit) in [(table.never, SUPPRESSED), (table.not_first, SUPPRESSED_AT_START)] {
        for &token in tokens {
            if let Some(mask) = mask.get_mut(token as usize) {
                *mask |= bit;
            }
        }
    }
    let params = TokenRuleParams {
        eot: table.eot,
        first_timestamp: table.begin as u32,
        no_timestamps: table.no_timestamps.map_or(NO_TOKEN, |token| token as u32),
        vocab_end: table.end.min(n_vocab) as u32,
        max_initial_timestamp: table.last_initial.map_or(NO_TOKEN, |token| token as u32),
        has_timestamps: u32::from(table.no_timestamps.is_some()),
        mask_row: 0,
        padding: 0,
    };
    Some(TokenRules { params, mask })
}

fn device_sequence(input: &SamplingInput<'_>, rules: Arc<TokenRules>) -> DeviceSequence {
    let sampled = input.sampled;
    let from_end = |back: usize| sampled.len().checked_sub(back).map_or(NO_TOKEN, |at| sampled[at]);
    let is_stamp = |token: &&u32| rules.params.has_timestamps != 0 && **token >= rules.params.first_timestamp;
    DeviceSequence {
        row: TokenRow {
            token: input.token,
            position: input.position as u32,
            sequence: input.sequence as u32,
            window: input.window as u32,
        },
        state: SamplerState {
            rules: 0,
            sampled: sampled.len() as u32,
            last: from_end(1),
            second_last: from_end(2),
            last_timestamp: sampled.iter().rfind(is_stamp).copied().unwrap_or(NO_TOKEN),
            remaining: input.left as u32,
            step: 0,
            temperature: input.temperature,
        },
        rules,
        draws: input.draws.clone(),
    }
}

impl CandleBackend {
    /// Tokens of some steps, or so many of the likeliest ones of one.
    pub(super) fn run_ahead(
        &mut self,
        inputs: &[SamplingInput<'_>],
        ranks: Option<usize>,
        chosen: &mut Vec<SampledTokens>,
    ) -> Result<()> {
        let mut all = Vec::with_capacity(inputs.len());
        for input in inputs {
            let Some(rules) = self.rules.of(input.rules, self.spec.n_vocab) else {
                candle_core::bail!("rules that the device does not know");
            };
            all.push(device_sequence(input, rules));
        }
        let Some(sampler) = self.kernels.sampler() else {
            candle_core::bail!("the device cannot choose");
        };
        let (decoder, text, audio) = (&self.model.decoder, &self.text, &self.audio);
        // What is recorded knows where its memory lies, so it has memory of its own.
        let work = match &mut self.ahead {
            Some(work) => work,
            none => {
                let mut work = Workspace::new(self.formats.activations, &self.device);
                decoder.reserve(sampler.padded_rows(self.capacity.sequences), &mut work)?;
                none.insert(work)
            }
        };
        let mut step = |rows: &TokenBatch| decoder.step(rows, text, audio, work);
        match ranks {
            None => sampler.sample(&all, &mut step, chosen),
            Some(count) => sampler.top_tokens(&all, count, &mut step, chosen),
        }
    }
}
