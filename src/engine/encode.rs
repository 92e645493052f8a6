//! Encoding of windows. The backend may encode while other windows are decoded; a chunk whose window is not encoded
//! yet is left out of the steps.

use std::sync::Arc;
use std::time::Instant;

use super::InputContext;
use super::chunk::WindowRange;
use super::worker::Worker;
use crate::cancel::CancelToken;
use crate::error::{Result, catch_panic};
use crate::models::{Backend, WindowInput};
use crate::test_hooks;

/// A window that the backend is encoding, and the chunk that waits for it.
pub struct PendingEncode {
    slot: usize,
    window: WindowRange,
    input: Arc<InputContext>,
    index: usize,
    since: Instant,
}

impl Worker {
    /// Begins to encode the missing windows, as many at a time as the backend prefers, unless it is still encoding.
    /// The error is a lack of memory.
    pub fn encode(&mut self) -> Result<()> {
        if !self.poll_pending(false)? {
            return Ok(());
        }
        let batch = self.backend.encoder_batch().max(1);
        let missing: Vec<(usize, WindowRange)> = self
            .slots
            .iter()
            .flatten()
            .filter_map(|chunk| Some((chunk.slot(), chunk.missing_window()?)))
            .collect();
        for batch in missing.chunks(batch) {
            if self.signals.cancel.reason().is_some() {
                break;
            }
            self.encode_batch(batch)?;
            if !self.poll_pending(false)? {
                break;
            }
        }
        Ok(())
    }

    /// Waits for the pending windows if no chunk can continue without them.
    pub fn wait_if_blocked(&mut self) -> Result<()> {
        let is_blocked = self.ready_slots(|_| true).is_empty();
        if is_blocked { self.poll_pending(true).map(drop) } else { Ok(()) }
    }

    /// Waits until the backend encodes nothing, and forgets the pending windows.
    pub fn discard_pending(&mut self) {
        // A failure shows again in whatever the backend does next.
        let _ = self.backend.poll_encoded(true);
        self.pending.clear();
    }

    /// Hands encoded windows to the chunks that wait for them. Returns false if the backend is still encoding.
    fn poll_pending(&mut self, wait: bool) -> Result<bool> {
        if self.pending.is_empty() {
            return Ok(true);
        }
        let backend = &mut *self.backend;
        let outcome = match catch_panic("encoding", || backend.poll_encoded(wait)) {
            Ok(false) => return Ok(false),
            outcome => outcome.map(drop),
        };
        let pending = std::mem::take(&mut self.pending);
        if let (Ok(()), Some(first)) = (&outcome, pending.first()) {
            self.stats.windows += pending.len() as u64;
            self.stats.encoding += first.since.elapsed().as_secs_f64();
        }
        let mut encoded = Vec::with_capacity(pending.len());
        for PendingEncode { slot, window, input, index, .. } in pending {
            // The slot may have another chunk by now, or none.
            let Some(chunk) = &mut self.slots[slot] else { continue };
            let waits = Arc::ptr_eq(chunk.input(), &input)
                && chunk.index() == index
                && chunk.missing_window() == Some(window);
            if waits {
                encoded.push(slot);
                if outcome.is_ok() {
                    chunk.mark_encoded(window);
                }
            }
        }
        self.recover(outcome, &encoded, Self::encode_alone)?;
        Ok(true)
    }

    fn encode_batch(&mut self, batch: &[(usize, WindowRange)]) -> Result<()> {
        let since = Instant::now();
        let mut mels = std::mem::take(&mut self.mels);
        mels.resize_with(mels.len().max(batch.len()), Vec::new);
        let (mut ready, mut inputs) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
        for (&(slot, window), mel) in batch.iter().zip(&mut mels) {
            let Some(chunk) = &mut self.slots[slot] else { continue };
            match catch_panic("reading the mel spectrogram", || chunk.read_mel(window, mel)) {
                Ok(()) => {
                    let (input, index) = (Arc::clone(chunk.input()), chunk.index());
                    ready.push(PendingEncode { slot, window, input, index, since });
                    inputs.push(WindowInput { slot, mel });
                }
                Err(error) => self.fail(slot, error),
            }
        }
        let outcome = encode(&mut *self.backend, &inputs, &self.signals.cancel);
        drop(inputs);
        self.mels = mels;
        let slots: Vec<usize> = ready.iter().map(|pending| pending.slot).collect();
        if outcome.is_ok() {
            self.pending.extend(ready);
        }
        self.recover(outcome, &slots, Self::encode_alone)
    }

    /// Encodes the missing window of one slot, and waits for it.
    fn encode_alone(&mut self, slot: usize) -> Result<()> {
        let Some(chunk) = &mut self.slots[slot] else { return Ok(()) };
        let Some(window) = chunk.missing_window() else { return Ok(()) };
        let (backend, cancel, mut mel) = (&mut *self.backend, &self.signals.cancel, Vec::new());
        catch_panic("reading the mel spectrogram", || chunk.read_mel(window, &mut mel))?;
        encode(backend, &[WindowInput { slot, mel: &mel }], cancel)?;
        catch_panic("encoding", || backend.poll_encoded(true))?;
        chunk.mark_encoded(window);
        self.stats.windows += 1;
        Ok(())
    }
}

fn encode(backend: &mut dyn Backend, inputs: &[WindowInput<'_>], cancel: &CancelToken) -> Result<()> {
    if inputs.is_empty() {
        return Ok(());
    }
    catch_panic("encoding", || {
        test_hooks::reached("encode", cancel);
        backend.encode(inputs)
    })
}
