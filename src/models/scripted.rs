//! A backend without a network, for tests: a rule says which logits follow which tokens in which window.
//!
//! It holds its caller to the contract of [`Backend`]: slots in range, caches without holes, windows of the
//! right size. A breach is an error, so that what passes here can rely on a real backend.

use std::ops::Range;

use super::{AlignInput, Backend, Capacity, ModelSpec, RowInput, WindowInput};
use crate::decode::Alignment;
use crate::error::{Error, Result};
use crate::time::WINDOW_FRAMES;

/// Computes the logits that follow `tokens` (all from the first on) in the window `mel`.
pub type Rule = Box<dyn FnMut(&[f32], &[u32], &mut [f32]) -> Result<()> + Send>;

/// Finds the text `tokens` in the window `mel`: so many tokens in so many ticks.
pub type AlignRule = Box<dyn FnMut(&[f32], &[u32], usize) -> Result<Alignment> + Send>;

/// See the module.
pub struct Scripted {
    spec: ModelSpec,
    rule: Rule,
    align_rule: AlignRule,
    windows: Vec<Option<Vec<f32>>>,
    sequences: Vec<Vec<u32>>,
    /// More windows than this at a time exhaust its memory.
    room: usize,
    steps_ahead: usize,
    /// How often it is asked whether windows are ready before they are, and how often that still is.
    patience: usize,
    asked: usize,
    /// Slots of the windows that came last.
    pending: Vec<usize>,
}

impl Scripted {
    pub fn new(spec: ModelSpec, capacity: Capacity, rule: Rule) -> Self {
        Scripted {
            spec,
            rule,
            align_rule: Box::new(|_, _, _| Err(breach("no script for the times of words"))),
            windows: vec![None; capacity.windows],
            sequences: vec![Vec::new(); capacity.sequences],
            room: usize::MAX,
            steps_ahead: 0,
            patience: 0,
            asked: 0,
            pending: Vec::new(),
        }
    }

    pub fn with_alignment(self, rule: AlignRule) -> Self {
        Scripted { align_rule: rule, ..self }
    }

    /// Memory for so many windows only, whatever it was made for.
    pub fn with_room(self, windows: usize) -> Self {
        Scripted { room: windows, ..self }
    }

    /// Its sequences choose their own tokens for so many steps.
    pub fn choosing(self, steps_ahead: usize) -> Self {
        Scripted { steps_ahead, ..self }
    }

    /// Windows that it encodes are ready only when it was asked so often.
    pub fn encoding_beside(self, patience: usize) -> Self {
        Scripted { patience, ..self }
    }

    fn decode_row(&mut self, row: &RowInput<'_>, logits: &mut Vec<f32>) -> Result<()> {
        let mel = self.windows.get(row.window).and_then(Option::as_ref);
        let mel = mel.ok_or_else(|| breach("a window that was not encoded"))?;
        if self.asked > 0 && self.pending.contains(&row.window) {
            return Err(breach("a window that is not ready"));
        }
        let cache = self.sequences.get_mut(row.sequence).ok_or_else(|| breach("no such sequence slot"))?;
        if row.position > cache.len() {
            return Err(breach("a hole in a sequence's cache"));
        }
        if row.position + row.tokens.len() > self.spec.n_text_ctx {
            return Err(breach("more tokens than the text context"));
        }
        let is_ascending = row.logits_after.is_sorted_by(|a, b| a < b);
        if row.tokens.is_empty() || !is_ascending || row.logits_after.last() >= Some(&row.tokens.len()) {
            return Err(breach("logits wanted after a token that is not fed"));
        }
        cache.truncate(row.position);
        cache.extend_from_slice(row.tokens);
        for &index in row.logits_after {
            let start = logits.len();
            logits.resize(start + self.spec.n_vocab, f32::NEG_INFINITY);
            (self.rule)(mel, &cache[..=row.position + index], &mut logits[start..])?;
        }
        Ok(())
    }
}

impl Backend for Scripted {
    fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    fn capacity(&self) -> Capacity {
        Capacity { windows: self.windows.len(), sequences: self.sequences.len() }
    }

    fn encodes_together(&self) -> usize {
        self.windows.len()
    }

    fn encode(&mut self, windows: &[WindowInput<'_>]) -> Result<()> {
        for window in windows {
            if window.mel.len() != self.spec.n_mels * WINDOW_FRAMES {
                return Err(breach("a window of the wrong size"));
            }
            let slot = self.windows.get_mut(window.slot).ok_or_else(|| breach("no such window slot"))?;
            *slot = Some(window.mel.to_vec());
        }
        if self.asked > 0 {
            return Err(breach("windows before those that came last are encoded"));
        }
        self.asked = self.patience;
        self.pending = windows.iter().map(|window| window.slot).collect();
        if self.windows.iter().flatten().count() > self.room {
            return Err(Error::OutOfMemory { during: "encoding", source: "the script says so".into() });
        }
        Ok(())
    }

    fn decode(&mut self, rows: &[RowInput<'_>], logits: &mut Vec<f32>) -> Result<()> {
        logits.clear();
        for (index, row) in rows.iter().enumerate() {
            if rows[..index].iter().any(|other| other.sequence == row.sequence) {
                return Err(breach("one sequence twice in a step"));
            }
            self.decode_row(row, logits)?;
        }
        Ok(())
    }

    fn has_encoded(&mut self, waits: bool) -> Result<bool> {
        self.asked = if waits { 0 } else { self.asked.saturating_sub(1) };
        Ok(self.asked == 0)
    }

    fn steps_ahead(&self) -> usize {
        self.steps_ahead
    }

    fn ranks(&self) -> usize {
        self.steps_ahead * 2
    }

    fn align(&mut self, inputs: &[AlignInput<'_>], found: &mut Vec<Alignment>) -> Result<()> {
        found.clear();
        for (index, input) in inputs.iter().enumerate() {
            let mel = self.windows.get(input.window).and_then(Option::as_ref);
            let mel = mel.ok_or_else(|| breach("a window that was not encoded"))?;
            let cache =
                self.sequences.get_mut(input.sequence).ok_or_else(|| breach("no such sequence slot"))?;
            if inputs[..index].iter().any(|other| other.sequence == input.sequence) {
                return Err(breach("one sequence twice in a step"));
            }
            let is_inside =
                0 < input.text.start && !input.text.is_empty() && input.text.end < input.tokens.len();
            if !is_inside || input.tokens.len() > self.spec.n_text_ctx {
                return Err(breach("a text that is not inside of its tokens, or too long"));
            }
            if input.ticks == 0 || input.ticks > self.spec.n_audio_ctx || input.n_text > self.spec.n_vocab {
                return Err(breach("more ticks or more text than there is"));
            }
            cache.clear();
            cache.extend_from_slice(input.tokens);
            let alignment = (self.align_rule)(mel, &input.tokens[input.text.clone()], input.ticks)?;
            let rows = input.text.len() + 1;
            if alignment.attention.len() != rows * input.ticks || alignment.probabilities.len() != rows - 1 {
                return Err(breach("a script of another shape"));
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
        let source = source.ok_or_else(|| breach("copied more than there is"))?.to_vec();
        let target = self.sequences.get_mut(to).ok_or_else(|| breach("no such sequence slot"))?;
        if target.len() < positions.start {
            return Err(breach("copied behind a gap"));
        }
        target.truncate(positions.start);
        target.extend(source);
        Ok(())
    }
}

fn breach(what: &'static str) -> Error {
    Error::compute("the scripted backend", what)
}
