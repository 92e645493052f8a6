//! Ends inputs: complete, failed, or stopped on the way.

use std::path::Path;
use std::sync::Arc;

use super::{EndedText, InputMessage, MessageKind, Scheduler};
use crate::engine;
use crate::error::{Error, Result};
use crate::export::{Format, Rendering};
use crate::plan::{self, InputName};
use crate::run::active_input::ActiveInput;
use crate::run::{ChunkFigures, RunEvent, output, partial};
use crate::store::journal::Journal;
use crate::store::{ledger, remove_temporary_files, waveform_file};
use crate::test_hooks;
use crate::transcript::Quality;

impl Scheduler<'_> {
    /// Fails an active input, which stays active until its front end has ended.
    pub(super) fn fail_active(&mut self, index: usize, error: Error) -> Result<()> {
        self.context.check()?;
        let Some(input) = self.active.get_mut(&index) else { return Ok(()) };
        input.engine_input.abandon();
        match std::mem::replace(&mut input.has_failed, true) {
            true => Ok(()),
            false => {
                let name = input.name.clone();
                self.fail(&name, error)
            }
        }
    }

    /// Fails one input, or the run if the error concerns every input. A cancellation takes precedence over whatever
    /// else went wrong meanwhile.
    pub(super) fn fail(&mut self, input: &InputName, error: Error) -> Result<()> {
        self.context.check()?;
        if concerns_every_input(&error) && !self.isolates_inputs {
            return Err(error);
        }
        self.fail_one(input, error)
    }

    /// Fails one input whatever the error is.
    pub(super) fn fail_one(&mut self, input: &InputName, error: Error) -> Result<()> {
        self.context.check()?;
        self.emit_failure(input, error);
        Ok(())
    }

    pub(super) fn emit_failure(&self, input: &InputName, error: Error) {
        self.context.emit(RunEvent::Failed { input: input.clone(), error: Arc::new(error) });
    }

    /// Writes an active input that is complete, and drops one that is complete or has failed.
    pub(super) fn close_if_ended(&mut self, index: usize) -> Result<()> {
        let Some(input) = self.active.get_mut(&index) else { return Ok(()) };
        if input.front_end.is_none() || !(input.has_failed || input.is_complete()) {
            return Ok(());
        }
        input.join();
        // Writing the outputs consumes the chunks, so their text is taken before.
        let mut rest = EndedText { segments: input.take_text(), output: None };
        if !input.has_failed {
            let name = input.name.clone();
            match self.finish(index) {
                Ok(()) => self.finished_inputs += 1,
                Err(error) => self.fail(&name, error)?,
            }
        }
        let Some(mut ended) = self.active.remove(&index) else { return Ok(()) };
        rest.output = ended.printed.take();
        rest.segments.append(&mut ended.final_text);
        let name = ended.name.clone();
        // Dropping it joins its thread and returns the model.
        drop(ended);
        self.end_text(index, name, rest);
        self.is_short_of_models = false;
        // Dropping the lease may have unloaded a model.
        self.models.close_idle(self.context);
        Ok(())
    }

    /// Writes the outputs of a complete input.
    fn finish(&mut self, index: usize) -> Result<()> {
        let Some(input) = self.active.get_mut(&index) else { return Ok(()) };
        let settings = input.item.settings.as_ref().unwrap_or(&self.request.plan.settings).clone();
        input.name_outputs(&settings.decode)?;
        if input.item.is_named_by_language() && !self.request.plan.outputs.overwrite {
            let notes = plan::leave_out_named(&mut input.item, &self.request.plan);
            notes.into_iter().for_each(|(input, text)| self.context.emit(RunEvent::Note { input, text }));
        }
        let mut transcript = input.transcript();
        let quality = Quality::of(&transcript);
        transcript.quality = Some(quality.clone());
        let request = self.request;
        let own = input.item.export.clone();
        let rendering = Rendering::new(&transcript, own.as_deref().unwrap_or(&request.plan.export));
        self.write_outputs(index, &rendering)?;
        if let Some(report) = &mut self.vad_report {
            report.add(&transcript)?;
        }
        let Some(input) = self.active.get(&index) else { return Ok(()) };
        self.finished_seconds += transcript.seconds_asked_for();
        let cues = rendering.cue_quality().clone();
        let coverage = quality.coverage.ratio.unwrap_or(1.0);
        self.context.emit(RunEvent::Finished {
            input: input.name.clone(),
            transcript: Arc::new(transcript),
            quality: Arc::new(quality),
            cues,
            seconds: input.started.elapsed().as_secs_f64(),
        });
        if let Some(least) = self.request.min_coverage.filter(|least| coverage < *least) {
            let (coverage, least) = (coverage * 100.0, (least * 1e4).round() / 1e2);
            let why = format!("only {coverage:.1} % of its speech has text, and {least} % were asked for");
            self.emit_failure(&input.name, Error::QualityGate { gate: format!("`{}`", input.name), why });
        }
        Ok(())
    }

    fn write_outputs(&mut self, index: usize, rendering: &Rendering<'_>) -> Result<()> {
        let Some(input) = self.active.get_mut(&index) else { return Ok(()) };
        input.printed = output::render_printed(&input.item, rendering, &input.item.source, self.context);
        if let Some(journal) = &mut input.journal {
            let outputs = input.item.outputs.iter().map(|(_, path)| path.clone()).collect();
            // The record matters only if the outputs are written and the journal is not removed.
            let _ = journal.append_writing(outputs);
        }
        let mut contents: Vec<(Format, &Path, Vec<u8>)> = Vec::with_capacity(input.item.outputs.len());
        for (format, path) in &input.item.outputs {
            let source = &input.item.source;
            let moves = self.request.moves.as_ref();
            let content = output::render(*format, path, rendering, source, moves, self.context);
            contents.push((*format, path, content));
        }
        if let (Some(path), Some(waveform)) = (&input.item.waveform, &rendering.transcript().waveform) {
            // A page without a waveform is better than no transcript.
            let _ = waveform_file::write(path, waveform, &rendering.transcript().seams);
        }
        if let Some(origin) = &input.origin {
            ledger::record_outputs(origin, &input.model.identity.name, rendering.options(), &contents);
        }
        for (_, path, content) in &contents {
            test_hooks::reached("write", self.context.cancel);
            output::write(&input.name, path, content, self.context)?;
        }
        test_hooks::reached("written", self.context.cancel);
        partial::sweep(&input.item.requested);
        if let Some(journal) = input.journal.take() {
            input.item.requested.iter().for_each(|path| remove_temporary_files(path));
            journal.remove();
        }
        Ok(())
    }

    /// Stops all active inputs. JournaledChunk chunks stay in the journals and, up to the first gap, in partial outputs.
    pub(super) fn stop(&mut self) {
        self.active.values().for_each(|input| input.engine_input.abandon());
        self.active.values_mut().for_each(ActiveInput::join);
        let unread: Vec<InputMessage> = self.messages.try_iter().collect();
        for InputMessage { input: index, kind } in unread {
            match (kind, self.active.get_mut(&index)) {
                (MessageKind::Chunk(chunk, engine::ChunkEvent::ChunkDone(decoded)), Some(input)) => {
                    self.context.emit(input.chunk_done(chunk, ChunkFigures::of(&decoded), false));
                    let outcome = input.add_chunk(chunk, decoded);
                    outcome.unwrap_or_else(|error| self.warn_of_journal(index, &error));
                }
                (MessageKind::FrontEnd(event), Some(_)) => self.on_front_end(index, event),
                _ => {}
            }
        }
        let mut resumable = self.finished_inputs;
        for mut input in std::mem::take(&mut self.active).into_values().filter(|input| !input.has_failed) {
            resumable += usize::from(input.journal.as_ref().is_some_and(Journal::is_resumable));
            let Some(transcript) = input.partial_transcript() else { continue };
            let own = input.item.export.clone();
            let rendering = Rendering::new(&transcript, own.as_deref().unwrap_or(&self.request.plan.export));
            let settings = input.item.settings.as_ref().unwrap_or(&self.request.plan.settings).clone();
            let named = input.name_outputs(&settings.decode);
            let written = named.and_then(|()| partial::write(&input, &rendering, self.context));
            written.unwrap_or_else(|error| self.emit_failure(&input.name, error));
        }
        if self.context.is_cancelled() {
            self.context.emit(RunEvent::Stopped { resumable });
        }
    }
}

/// Whether the next input would fail for the same reason.
fn concerns_every_input(error: &Error) -> bool {
    match error {
        Error::Input { .. }
        | Error::QualityGate { .. }
        | Error::InputLocked { .. }
        | Error::InsufficientResources { .. }
        | Error::Output { .. }
        | Error::Compute { .. }
        | Error::NotANumber { .. }
        | Error::Panicked { .. }
        | Error::BackendClosed { .. }
        | Error::CloseFailed { .. } => false,
        Error::Usage { .. }
        | Error::Model { .. }
        | Error::Device { .. }
        | Error::OutOfMemory { .. }
        | Error::Cancelled(_) => true,
        Error::Shared(error) => concerns_every_input(error),
    }
}
