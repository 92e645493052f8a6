//! A backend without a network, for tests: a script computes the logits that follow given tokens in a given window.
//!
//! It holds its caller to the contract of [`Backend`]: slots in range, caches without holes, windows of the right size.
//! A violation is an error, so that what passes here can rely on a real backend.

use std::ops::Range;

use super::{AlignInput, Backend, Capacity, ModelSpec, RowInput, WindowInput};
use crate::decode::Alignment;
use crate::error::{Error, Result};
use crate::time::WINDOW_FRAMES;

/// Computes the logits that follow `tokens` (all from the first on) in the window `mel`.
pub type LogitScript = Box<dyn FnMut(&[f32], &[u32], &mut [f32]) -> Result<()> + Send>;

/// Aligns the text `tokens` with the given number of ticks of the window `mel`.
pub type AlignScript = Box<dyn FnMut(&[f32], &[u32], usize) -> Result<Alignment> + Send>;

pub struct ScriptedBackend {
    spec: ModelSpec,
    logit_script: LogitScript,
    align_script: AlignScript,
    windows: Vec<Option<Vec<f32>>>,
    sequences: Vec<Vec<u32>>,
    /// More windows than this at a time exhaust its memory.
    window_limit: usize,
    sampling_steps: usize,
    /// Polls until windows are encoded, and those that remain for the last ones.
    polls: usize,
    polls_left: usize,
    /// Slots of the windows of the last call of `encode`.
    pending: Vec<usize>,
}

impl ScriptedBackend {
    pub fn new(spec: ModelSpec, capacity: Capacity, logit_script: LogitScript) -> Self {
        ScriptedBackend {
            spec,
            logit_script,
            align_script: Box::new(|_, _, _| Err(violation("no script for alignments"))),
            windows: vec![None; capacity.windows],
            sequences: vec![Vec::new(); capacity.sequences],
            window_limit: usize::MAX,
            sampling_steps: 0,
            polls: 0,
            polls_left: 0,
            pending: Vec::new(),
        }
    }

    pub fn with_alignment(self, align_script: AlignScript) -> Self {
        ScriptedBackend { align_script, ..self }
    }

    /// Limits its memory to this many windows, whatever its capacity.
    pub fn with_memory_for(self, windows: usize) -> Self {
        ScriptedBackend { window_limit: windows, ..self }
    }

    /// Makes it sample this many steps at a time.
    pub fn with_device_sampling(self, sampling_steps: usize) -> Self {
        ScriptedBackend { sampling_steps, ..self }
    }

    /// Makes windows ready only after this many polls.
    pub fn with_async_encoding(self, polls: usize) -> Self {
        ScriptedBackend { polls, ..self }
    }

    fn decode_row(&mut self, row: &RowInput<'_>, logits: &mut Vec<f32>) -> Result<()> {
        let mel = self.windows.get(row.window).and_then(Option::as_ref);
        let mel = mel.ok_or_else(|| violation("a window that was not encoded"))?;
        if self.polls_left > 0 && self.pending.contains(&row.window) {
            return Err(violation("a window that is not ready"));
        }
        let cache = self.sequences.get_mut(row.sequence).ok_or_else(|| violation("no such sequence slot"))?;
        if row.position > cache.len() {
            return Err(violation("a hole in a sequence's cache"));
        }
        if row.position + row.tokens.len() > self.spec.n_text_ctx {
            return Err(violation("more tokens than the text context"));
        }
        let is_ascending = row.logits_after.is_sorted_by(|a, b| a < b);
        if row.tokens.is_empty() || !is_ascending || row.logits_after.last() >= Some(&row.tokens.len()) {
            return Err(violation("logits wanted after a token that is not fed"));
        }
        cache.truncate(row.position);
        cache.extend_from_slice(row.tokens);
        for &index in row.logits_after {
            let start = logits.len();
            logits.resize(start + self.spec.n_vocab, f32::NEG_INFINITY);
            (self.logit_script)(mel, &cache[..=row.position + index], &mut logits[start..])?;
        }
        Ok(())
    }
}

impl Backend for ScriptedBackend {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn capacity(&self) -> Capacity {
        Capacity { windows: self.windows.len(), sequences: self.sequences.len() }
    }

    fn encoder_batch(&self) -> usize {
        self.windows.len()
    }

    fn encode(&mut self, windows: &[WindowInput<'_>]) -> Result<()> {
        for window in windows {
            if window.mel.len() != self.spec.n_mels * WINDOW_FRAMES {
                return Err(violation("a window of the wrong size"));
            }
            let slot = self.windows.get_mut(window.slot).ok_or_else(|| violation("no such window slot"))?;
            *slot = Some(window.mel.to_vec());
        }
        if self.polls_left > 0 {
            return Err(violation("windows before those that came last are encoded"));
        }
        self.polls_left = self.polls;
        self.pending = windows.iter().map(|window| window.slot).collect();
        if self.windows.iter().flatten().count() > self.window_limit {
            return Err(Error::OutOfMemory { during: "encoding", source: "the scripted limit".into() });
        }
        Ok(())
    }

    fn decode(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> Result<()> {
        logits.clear();
        for (index, row) in rows.iter().enumerate() {
            if rows[..index].iter().any(|other| other.sequence == row.sequence) {
                return Err(violation("one sequence twice in a step"));
            }
            self.decode_row(row, logits)?;
        }
        Ok(())
    }

    fn poll_encoded(&mut self, wait: bool) -> Result<bool> {
        self.polls_left = if wait { 0 } else { self.polls_left.saturating_sub(1) };
        Ok(self.polls_left == 0)
    }

    fn sampling_steps(&self) -> usize {
        self.sampling_steps
    }

    fn max_ranked(&self) -> usize {
        self.sampling_steps * 2
    }

    fn align(&mut self, inputs: &[AlignInput<'_>], found: &mut Vec<Alignment>) -> Result<()> {
        found.clear();
        for (index, input) in inputs.iter().enumerate() {
            let mel = self.windows.get(input.window).and_then(Option::as_ref);
            let mel = mel.ok_or_else(|| violation("a window that was not encoded"))?;
            let cache =
                self.sequences.get_mut(input.sequence).ok_or_else(|| violation("no such sequence slot"))?;
            if inputs[..index].iter().any(|other| other.sequence == input.sequence) {
                return Err(violation("one sequence twice in a step"));
            }
            let is_inside =
                0 < input.text.start && !input.text.is_empty() && input.text.end < input.tokens.len();
            if !is_inside || input.tokens.len() > self.spec.n_text_ctx {
                return Err(violation("a text that is not inside its tokens, or too long"));
            }
            if input.ticks == 0 || input.ticks > self.spec.n_audio_ctx || input.n_text > self.spec.n_vocab {
                return Err(violation("more ticks or more text ids than there are"));
            }
            cache.clear();
            cache.extend_from_slice(input.tokens);
            let alignment = (self.align_script)(mel, &input.tokens[input.text.clone()], input.ticks)?;
            let rows = input.text.len() + 1;
            if alignment.attention.len() != rows * input.ticks || alignment.probabilities.len() != rows - 1 {
                return Err(violation("an alignment of the wrong shape"));
            }
            found.push(alignment);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }

    fn shrink(&mut self, capacity: Capacity) -> Result<()> {
        self.windows = vec![None; capacity.windows];
        self.sequences = vec![Vec::new(); capacity.sequences];
        Ok(())
    }

    fn copy_sequence(&mut self, from: usize, to: usize, positions: Range<usize>) -> Result<()> {
        let source = self.sequences.get(from).and_then(|tokens| tokens.get(positions.clone()));
        let source = source.ok_or_else(|| violation("a copy of more than there is"))?.to_vec();
        let target = self.sequences.get_mut(to).ok_or_else(|| violation("no such sequence slot"))?;
        if target.len() < positions.start {
            return Err(violation("a copy after a gap"));
        }
        target.truncate(positions.start);
        target.extend(source);
        Ok(())
    }
}

fn violation(what: &'static str) -> Error {
    Error::compute("the scripted backend", what)
}
