//! Device sampling: sequences choose their own tokens for several steps, if the device has a sampler.

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

/// The rules of the active chunks in the device's form.
#[derive(Debug, Default)]
pub struct TokenRuleCache(Vec<(Weak<LogitRules>, Arc<TokenRules>)>);

impl TokenRuleCache {
    /// Returns the device's form of the rules; `None` if they depend on more than the last tokens.
    fn get(&mut self, rules: &Arc<LogitRules>, n_vocab: usize) -> Option<Arc<TokenRules>> {
        let cached = self.0.iter().find(|(cached, _)| std::ptr::eq(cached.as_ptr(), Arc::as_ptr(rules)));
        if let Some((_, converted)) = cached {
            return Some(Arc::clone(converted));
        }
        let converted = token_rules(rules, n_vocab)?;
        self.0.retain(|(rules, _)| rules.strong_count() > 0);
        // Each chunk has its own rules, which are equal for all chunks of an input.
        let equal = self.0.iter().find(|(_, other)| **other == converted).map(|(_, other)| Arc::clone(other));
        let converted = equal.unwrap_or_else(|| Arc::new(converted));
        self.0.push((Arc::downgrade(rules), Arc::clone(&converted)));
        Some(converted)
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
    let is_timestamp =
        |token: &&u32| rules.params.has_timestamps != 0 && **token >= rules.params.first_timestamp;
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
            last_timestamp: sampled.iter().rfind(is_timestamp).copied().unwrap_or(NO_TOKEN),
            remaining: input.left as u32,
            step: 0,
            temperature: input.temperature,
        },
        rules,
        draws: input.draws.clone(),
    }
}

impl CandleBackend {
    /// Samples tokens for several steps or, with `ranks`, returns the likeliest tokens of one step.
    pub fn run_sampler(
        &mut self,
        inputs: &[SamplingInput<'_>],
        ranks: Option<usize>,
        sampled: &mut Vec<SampledTokens>,
    ) -> Result<()> {
        let mut sequences = Vec::with_capacity(inputs.len());
        for input in inputs {
            let Some(rules) = self.token_rules.get(input.rules, self.spec.n_vocab) else {
                candle_core::bail!("the device does not support the token rules");
            };
            sequences.push(device_sequence(input, rules));
        }
        let Some(sampler) = self.kernels.sampler() else {
            candle_core::bail!("the device has no sampler");
        };
        let (decoder, text, audio) = (&self.model.decoder, &self.text, &self.audio);
        // Recorded steps contain the addresses of their buffers, so they have a workspace of their own.
        let workspace = match &mut self.sampling_workspace {
            Some(workspace) => workspace,
            none => {
                let mut workspace = Workspace::new(self.formats.activations, &self.device);
                decoder.reserve(sampler.padded_rows(self.capacity.sequences), &mut workspace)?;
                none.insert(workspace)
            }
        };
        let mut step = |rows: &TokenBatch| decoder.step(rows, text, audio, workspace);
        match ranks {
            None => sampler.sample(&sequences, &mut step, sampled),
            Some(count) => sampler.top_tokens(&sequences, count, &mut step, sampled),
        }
    }
}
