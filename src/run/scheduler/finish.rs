//! Ending inputs: complete, failed, or stopped on the way.

use std::path::Path;

use super::{Conductor, Message, What};
use crate::engine;
use crate::error::{Error, Result};
use crate::export::{self, Format};
use crate::run::active_input::File;
use crate::run::{Event, concerns_all, output, partial};
use crate::store::journal::Journal;
use crate::store::ledger;
use crate::store::remove_temporary_files;
use crate::test_hooks;
use crate::transcript::Quality;

impl Conductor<'_> {
    /// An input that failed; it stays in flight until its thread has ended.
    pub(super) fn given_up(&mut self, index: usize, error: Error) -> Result<()> {
        self.cancel.check()?;
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        file.recording.give_up();
        match std::mem::replace(&mut file.has_failed, true) {
            true => Ok(()),
            false => {
                let input = file.name.clone();
                self.failed(&input, error)
            }
        }
    }

    /// Whatever else went wrong meanwhile, a request to stop is the reason to tell.
    pub(super) fn failed(&mut self, input: &str, error: Error) -> Result<()> {
        self.cancel.check()?;
        if concerns_all(&error) {
            return Err(error);
        }
        self.failed_alone(input, error)
    }

    /// Whatever it was, it is no reason not to do the others.
    pub(super) fn failed_alone(&mut self, input: &str, error: Error) -> Result<()> {
        self.cancel.check()?;
        (self.on_event)(Event::Failed { input, error: &error });
        self.summary.failures.push(error);
        Ok(())
    }

    /// Writes an input that is complete, and lets go of one that is complete or has failed.
    pub(super) fn close(&mut self, index: usize) -> Result<()> {
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        if file.reading.is_none() || !(file.has_failed || file.is_complete()) {
            return Ok(());
        }
        file.join();
        // Before it is written: then its chunks are gone.
        let rest = file.tell();
        if !file.has_failed {
            let input = file.name.clone();
            match self.write(index) {
                Ok(()) => self.summary.done += 1,
                Err(error) => self.failed(&input, error)?,
            }
        }
        self.files.remove(&index);
        self.is_over(index, rest);
        self.is_crowded = false;
        // With its lease a model may have gone.
        self.models.tidy(self.on_event);
        Ok(())
    }

    fn write(&mut self, index: usize) -> Result<()> {
        let Some(file) = self.files.get_mut(&index) else { return Ok(()) };
        let mut transcript = file.transcript();
        let quality = Quality::of(&transcript);
        transcript.quality = Some(quality.clone());
        if let Some(journal) = &mut file.journal {
            let outputs = file.item.outputs.iter().map(|(_, path)| path.clone()).collect();
            // It is only read if the outputs are written, and it is not removed.
            let _ = journal.add_writing(outputs);
        }
        let (outputs, shape) = (&file.item.outputs, &self.job.shape);
        let mut contents: Vec<(Format, &Path, Vec<u8>)> = Vec::with_capacity(outputs.len());
        for (format, path) in outputs {
            let source = &file.item.source;
            let content = output::content(*format, path, &transcript, shape, source, self.on_event);
            contents.push((*format, path, content));
        }
        if let Some(origin) = &file.origin {
            ledger::note(origin, &file.model.identity.name, shape, &contents);
        }
        for (_, path, content) in &contents {
            test_hooks::reached("write", self.cancel);
            output::write(&file.name, path, content, self.on_event)?;
        }
        test_hooks::reached("written", self.cancel);
        partial::sweep(&file.item.asked);
        if let Some(journal) = file.journal.take() {
            file.item.asked.iter().for_each(|path| remove_temporary_files(path));
            journal.remove();
        }
        if let Some(report) = &mut self.voice_report {
            report.add(&transcript)?;
        }
        self.summary.audio_seconds += transcript.seconds_asked_for();
        self.summary.coverage.add(&quality.coverage);
        let (input, seconds) = (&file.name, file.started.elapsed().as_secs_f64());
        let cues = export::quality(&export::cues(&transcript, &self.job.shape).list, &self.job.shape);
        let (transcript, quality, cues) = (&transcript, &quality, &cues);
        (self.on_event)(Event::Finished { input, transcript, quality, cues, seconds });
        let ratio = quality.coverage.ratio.unwrap_or(1.0);
        if let Some(least) = self.job.least_coverage.filter(|least| ratio < *least) {
            let (ratio, least) = (ratio * 100.0, least * 100.0);
            let why = format!("only {ratio:.1} % of its speech has text, and {least} % were asked for");
            let error = Error::QualityGate { gate: format!("`{input}`"), why };
            (self.on_event)(Event::Failed { input, error: &error });
            self.summary.missed.push(error);
        }
        Ok(())
    }

    /// Lets go of all that is in flight. What is finished stays in the journals, and as far as it has no gap in
    /// partial outputs.
    pub(super) fn stop(&mut self) {
        self.files.values().for_each(|file| file.recording.give_up());
        self.files.values_mut().for_each(File::join);
        let unheard: Vec<Message> = self.messages.try_iter().collect();
        for Message { file: index, what } in unheard {
            match (what, self.files.get_mut(&index)) {
                (What::Chunk(chunk, engine::Event::ChunkDone(decoded)), Some(file)) => {
                    (self.on_event)(file.chunk_done(chunk, &decoded, false));
                    let outcome = file.add_chunk(chunk, decoded);
                    outcome.unwrap_or_else(|error| self.warn(index, &error));
                }
                (What::FrontEnd(told), Some(_)) => self.hear_front_end(index, told),
                _ => {}
            }
        }
        let files = std::mem::take(&mut self.files);
        let mut kept = 0;
        for mut file in files.into_values().filter(|file| !file.has_failed) {
            kept += usize::from(file.journal.as_ref().is_some_and(Journal::is_useful));
            let Some(transcript) = file.partial() else { continue };
            let (input, on_event) = (&file.name, &mut *self.on_event);
            let outcome = partial::write(&file, &transcript, &self.job.shape, on_event);
            outcome.unwrap_or_else(|error| on_event(Event::Failed { input, error: &error }));
        }
        if self.cancel.reason().is_some() {
            (self.on_event)(Event::Stopped { kept: kept + self.summary.done });
        }
    }
}
