//! Seats windows and sequences in the slots of a backend, and moves all sequences on by one token per step.

use crate::backend::{Backend, RowInput, WindowInput};
use crate::cancel::CancelToken;
use crate::decode::WindowRequest;
use crate::decode::sampling::probability;
use crate::decode::sequence::{Sequence, Status};
use crate::error::{Error, Result};
use crate::mel::features::Features;

/// The one window slot in use.
const WINDOW: usize = 0;
/// The sequence slot that the initial tokens are fed to; the others copy it.
const FIRST: usize = 0;

/// A backend, the audio it listens to, and the buffers between them.
pub struct Stage<'a> {
    backend: &'a mut dyn Backend,
    features: &'a mut dyn Features,
    mel: Vec<f32>,
    logits: Vec<f32>,
    /// The window in the slot: its first frame and its frames.
    encoded: Option<(usize, usize)>,
}

/// All sequences of a request, finished.
pub struct DecodedWindow {
    pub sequences: Vec<Sequence>,
    pub no_speech_prob: f32,
}

impl<'a> Stage<'a> {
    pub fn new(backend: &'a mut dyn Backend, features: &'a mut dyn Features) -> Self {
        Stage { backend, features, mel: Vec::new(), logits: Vec::new(), encoded: None }
    }

    pub fn n_text_ctx(&self) -> usize {
        self.backend.spec().n_text_ctx
    }

    pub fn content_frames(&self) -> usize {
        self.features.content_frames()
    }

    /// Makes the window be heard, unless it is already.
    pub fn encode(&mut self, seek: usize, frames: usize, cancel: &CancelToken) -> Result<()> {
        if self.encoded == Some((seek, frames)) {
            return Ok(());
        }
        cancel.check()?;
        self.encoded = None;
        self.features.window(seek, frames, &mut self.mel)?;
        self.backend.encode(&[WindowInput { slot: WINDOW, mel: &self.mel }])?;
        self.encoded = Some((seek, frames));
        Ok(())
    }

    /// The logits that follow the start token alone.
    pub fn logits_after_start(&mut self, sot: u32, cancel: &CancelToken) -> Result<&[f32]> {
        cancel.check()?;
        self.feed(&[RowInput {
            sequence: FIRST,
            window: WINDOW,
            position: 0,
            tokens: &[sot],
            logits_after: &[0],
        }])?;
        Ok(&self.logits)
    }

    /// Decodes the sequences of a request to their ends, as many side by side as there are slots.
    pub fn decode(
        &mut self,
        request: &WindowRequest,
        mut sequences: Vec<Sequence>,
        no_speech: u32,
        cancel: &CancelToken,
    ) -> Result<DecodedWindow> {
        let (first_logits, no_speech_prob) = self.prefill(request, no_speech, cancel)?;
        let slots = self.backend.capacity().sequences.max(1);
        for group in sequences.chunks_mut(slots) {
            self.decode_group(request, group, &first_logits, cancel)?;
        }
        Ok(DecodedWindow { sequences, no_speech_prob })
    }

    /// Feeds the initial tokens to the first slot: the logits after the last, and the probability of silence.
    fn prefill(
        &mut self,
        request: &WindowRequest,
        no_speech: u32,
        cancel: &CancelToken,
    ) -> Result<(Vec<f32>, f32)> {
        cancel.check()?;
        let last = request.initial_tokens.len() - 1;
        let both = [request.sot_index, last];
        let logits_after = if request.sot_index == last { &both[1..] } else { &both[..] };
        self.feed(&[RowInput {
            sequence: FIRST,
            window: WINDOW,
            position: 0,
            tokens: &request.initial_tokens,
            logits_after,
        }])?;
        let n_vocab = self.backend.spec().n_vocab;
        let no_speech_prob = probability(&self.logits[..n_vocab], no_speech);
        Ok((self.logits[self.logits.len() - n_vocab..].to_vec(), no_speech_prob))
    }

    fn decode_group(
        &mut self,
        request: &WindowRequest,
        group: &mut [Sequence],
        first_logits: &[f32],
        cancel: &CancelToken,
    ) -> Result<()> {
        // The first slot keeps the initial tokens from one group to the next: only what follows is overwritten.
        for slot in 1..group.len() {
            self.backend.copy_sequence(FIRST, slot, request.initial_tokens.len())?;
        }
        let mut running = Vec::with_capacity(group.len());
        for (slot, sequence) in group.iter_mut().enumerate() {
            self.logits.clear();
            self.logits.extend_from_slice(first_logits);
            if goes_on(sequence.advance(&mut self.logits))? {
                running.push(slot);
            }
        }
        while !running.is_empty() {
            cancel.check()?;
            let rows: Vec<RowInput<'_>> = running.iter().map(|&slot| step(slot, &group[slot])).collect();
            self.feed(&rows)?;
            let n_vocab = self.backend.spec().n_vocab;
            let mut logits = self.logits.chunks_exact_mut(n_vocab);
            let mut still_running = Vec::with_capacity(running.len());
            for &slot in &running {
                let row = logits.next().ok_or_else(too_few_logits)?;
                if goes_on(group[slot].advance(row))? {
                    still_running.push(slot);
                }
            }
            running = still_running;
        }
        Ok(())
    }

    fn feed(&mut self, rows: &[RowInput<'_>]) -> Result<()> {
        self.backend.decode(rows, &mut self.logits)?;
        let wanted: usize = rows.iter().map(|row| row.logits_after.len()).sum();
        if self.logits.len() == wanted * self.backend.spec().n_vocab { Ok(()) } else { Err(too_few_logits()) }
    }
}

/// The row that feeds a sequence's last token.
fn step(slot: usize, sequence: &Sequence) -> RowInput<'_> {
    let (position, tokens) = sequence.last();
    RowInput { sequence: slot, window: WINDOW, position, tokens, logits_after: &[0] }
}

fn goes_on(status: Status) -> Result<bool> {
    match status {
        Status::Running => Ok(true),
        Status::Finished => Ok(false),
        Status::Broken => Err(Error::compute("decoding", "the model's output is not a number")),
    }
}

fn too_few_logits() -> Error {
    Error::compute("decoding", "the model gave another number of logits than was asked for")
}
