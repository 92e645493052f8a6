//! Windows on their way through the encoder. It may be at work while others are decoded; a desk whose window is not
//! ready yet sits out.

use std::sync::Arc;
use std::time::Instant;

use super::Recording;
use super::desk::{Desk, Window};
use super::worker::{Worker, fail, not_short};
use crate::cancel::CancelToken;
use crate::error::{Result, catch_panic};
use crate::models::{Backend, WindowInput};
use crate::test_hooks;

/// A window that the backend was given, and who waits for it.
pub struct UnderWay {
    slot: usize,
    window: Window,
    recording: Arc<Recording>,
    index: usize,
    since: Instant,
}

impl Worker {
    /// Begins to encode the windows that are missing, as many at a time as the backend likes, unless it is still at
    /// others. The error is that memory is short.
    pub(super) fn encode(&mut self) -> Result<()> {
        if !self.take_encoded(false)? {
            return Ok(());
        }
        let group = self.backend.encodes_together().max(1);
        let mut missing: Vec<(usize, Window)> = Vec::new();
        for desk in self.desks.iter().flatten() {
            missing.extend(desk.missing_window().map(|window| (desk.slot(), window)));
        }
        for group in missing.chunks(group) {
            if self.signals.cancel.reason().is_some() {
                break;
            }
            self.encode_group(group)?;
            if !self.take_encoded(false)? {
                break;
            }
        }
        Ok(())
    }

    /// If nobody has anything to do before a window is ready: waits for it.
    pub(super) fn wait_for_windows(&mut self) -> Result<()> {
        let is_ready = self.desks.iter().flatten().any(|desk| desk.missing_window().is_none());
        if is_ready { Ok(()) } else { self.take_encoded(true).map(drop) }
    }

    /// Nothing is encoded any more when this returns, and nobody is told.
    pub(super) fn give_up_windows(&mut self) {
        // If it cannot be waited for, whatever comes next will say so.
        let _ = self.backend.has_encoded(true);
        self.under_way.clear();
    }

    /// Gives windows that are ready to those who wait for them. False if the backend is still at them.
    fn take_encoded(&mut self, waits: bool) -> Result<bool> {
        if self.under_way.is_empty() {
            return Ok(true);
        }
        let backend = &mut *self.backend;
        let outcome = not_short(catch_panic("encoding", || backend.has_encoded(waits)))?;
        if matches!(outcome, Ok(false)) {
            return Ok(false);
        }
        let all = std::mem::take(&mut self.under_way);
        if let Some(first) = all.first() {
            self.stats.windows += all.len() as u64;
            self.stats.encoding += first.since.elapsed().as_secs_f64();
        }
        for UnderWay { slot, window, recording, index, .. } in all {
            let waits = |desk: &Desk| {
                Arc::ptr_eq(desk.recording(), &recording)
                    && desk.index() == index
                    && desk.missing_window() == Some(window)
            };
            // Who has left the slot meanwhile does not want it any more.
            if self.desks[slot].as_ref().is_some_and(waits) {
                match &outcome {
                    Ok(_) => self.desks[slot].iter_mut().for_each(|desk| desk.has_heard(window)),
                    Err(_) => self.encode_alone(slot, window)?,
                }
            }
        }
        Ok(true)
    }

    fn encode_group(&mut self, group: &[(usize, Window)]) -> Result<()> {
        let since = Instant::now();
        self.mels.resize_with(self.mels.len().max(group.len()), Vec::new);
        let mut ready = Vec::with_capacity(group.len());
        for (&(slot, window), mel) in group.iter().zip(&mut self.mels) {
            let Some(desk) = &mut self.desks[slot] else { continue };
            match catch_panic("reading the mel spectrogram", || desk.mel(window, mel)) {
                Ok(()) => ready.push((slot, window, &*mel)),
                Err(error) => fail(&mut self.desks[slot], &mut self.seats, error),
            }
        }
        let inputs: Vec<_> = ready.iter().map(|&(slot, _, mel)| WindowInput { slot, mel }).collect();
        let outcome = not_short(encode(&mut *self.backend, &inputs, &self.signals.cancel))?;
        let begun: Vec<(usize, Window)> = ready.iter().map(|&(slot, window, _)| (slot, window)).collect();
        for (slot, window) in begun {
            match (&outcome, &self.desks[slot]) {
                (Ok(()), Some(desk)) => {
                    let (recording, index) = (Arc::clone(desk.recording()), desk.index());
                    self.under_way.push(UnderWay { slot, window, recording, index, since });
                }
                (Ok(()), None) => {}
                (Err(_), _) => self.encode_alone(slot, window)?,
            }
        }
        Ok(())
    }

    /// After a failure of several together, to see whose fault it is.
    fn encode_alone(&mut self, slot: usize, window: Window) -> Result<()> {
        let Some(desk) = &mut self.desks[slot] else { return Ok(()) };
        let (backend, cancel, mut mel) = (&mut *self.backend, &self.signals.cancel, Vec::new());
        let heard = catch_panic("reading the mel spectrogram", || desk.mel(window, &mut mel));
        let heard = heard.and_then(|()| encode(backend, &[WindowInput { slot, mel: &mel }], cancel));
        let heard = heard.and_then(|()| catch_panic("encoding", || backend.has_encoded(true)).map(drop));
        match not_short(heard)? {
            Ok(()) => desk.has_heard(window),
            Err(error) => fail(&mut self.desks[slot], &mut self.seats, error),
        }
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
