//! What a run shows on the terminal, event by event, and how it ended.

use super::exit::ExitCode;
use super::failed;
use super::log::Level;
use super::printer::Printer;
use super::progress::{Mode, Progress, length};
use super::run_summary as account;
use super::stats;
use crate::cancel::{CancelReason, CancelToken};
use crate::error::Error;
use crate::report::{Tally, warnings};
use crate::run::RunEvent;
use crate::time::seconds_of_frames;

/// Everything that one run shows.
pub struct Screen<'a> {
    printer: Printer,
    progress: Progress,
    prints_text: bool,
    /// Why text could not be printed, if not for want of a reader.
    unprinted: Option<std::io::Error>,
    cancel: &'a CancelToken,
}

impl<'a> Screen<'a> {
    pub fn new(printer: Printer, progress: Mode, prints_text: bool, cancel: &'a CancelToken) -> Self {
        let progress = Progress::new(progress, printer);
        Self { printer, progress, prints_text, unprinted: None, cancel }
    }

    /// Prints with no progress in the way, from now on.
    pub fn clear(&mut self) {
        self.progress.clear();
    }

    /// Time has passed.
    pub fn tick(&mut self, tally: &Tally) {
        self.progress.tick(tally);
    }

    /// Tells how it ended.
    pub fn end(&mut self, outcome: &Result<(), Vec<Error>>, tally: &Tally) -> ExitCode {
        self.progress.clear();
        if let Some(source) = self.unprinted.take() {
            return failed(self.printer, &Error::Output { path: "standard output".into(), source });
        }
        if self.cancel.reason() != Some(CancelReason::OutputClosed) {
            let lines = account::lines(tally);
            lines.iter().for_each(|line| self.printer.notice(line));
        }
        match outcome {
            Ok(()) => ended(tally, self.cancel),
            Err(errors) => {
                // Only a plan has several faults, and they end alike or with the gravest, which comes last.
                let told = errors.iter().filter(|error| !matches!(error, Error::Cancelled(_)));
                told.for_each(|error| self.printer.error(error));
                errors.last().map_or(ExitCode::Usage, ExitCode::from)
            }
        }
    }

    /// Shows an event that the tally has heard of.
    pub fn show(&mut self, event: &RunEvent, tally: &Tally) {
        self.progress.record(event, tally);
        for warning in warnings(event) {
            let input = warning.input.as_deref();
            let named = input.map(|input| format!("`{input}`: ")).unwrap_or_default();
            self.tell(Level::Warn, input, &format!("{named}{}", warning.message));
        }
        match event {
            RunEvent::Skipped { input, why } => {
                self.tell(Level::Info, Some(input), &format!("`{input}`: {why}"));
            }
            RunEvent::HeldElsewhere { input, why } => self.detail(Some(input), why),
            RunEvent::ModelLoaded { identity, device, seconds } => {
                let identity = identity.revision.as_deref().unwrap_or(&identity.name);
                self.detail(None, &format!("model {identity} on {device}, loaded in {seconds:.1} s"));
            }
            RunEvent::ModelUnloaded { device, .. } => {
                self.tell(Level::Trace, None, &format!("unloaded from {device}"))
            }
            RunEvent::Started { input, number, count } if *count > 1 => {
                self.note(Some(input), &format!("`{input}` ({number} of {count})"));
            }
            RunEvent::LanguageDetected { input, guess } => {
                let percent = guess.probability() * 100.0;
                let text = format!("`{input}`: language {} ({percent:.0} %)", guess.language.name());
                self.detail(Some(input), &text);
            }
            RunEvent::Segments(segments) if self.prints_text => {
                segments.iter().map(|segment| segment.text.trim()).for_each(|text| self.text(text));
            }
            RunEvent::WindowDone { input, window } => {
                let at = length(seconds_of_frames(window.seek as u64));
                let (tries, hot) = (window.fallbacks + 1, window.temperature);
                let text = format!("`{input}`: from {at} took {tries} attempts, temperature {hot}");
                self.tell(if tries > 1 { Level::Debug } else { Level::Trace }, Some(input), &text);
            }
            RunEvent::ChunkDone { input, chunk, start, end, .. } => {
                let (start, end) = (length(*start), length(*end));
                let text = format!("`{input}`: chunk {} from {start} to {end} is done", chunk + 1);
                self.tell(Level::Trace, Some(input), &text);
            }
            RunEvent::MemoryReleased { input, chunk, footprint } => {
                let text = format!("`{input}`: chunk {}: {}", chunk + 1, stats::footprint(footprint));
                self.detail(Some(input), &text);
            }
            RunEvent::Resumed { input } => {
                let text = format!("`{input}`: goes on where an earlier run was stopped");
                self.tell(Level::Info, Some(input), &text);
            }
            RunEvent::ResumeDiscarded { input, why, keeps_some } => {
                let which = if *keeps_some { "some" } else { "none" };
                let text = format!("`{input}`: {which} of an earlier run's work is of use: {why}");
                self.detail(Some(input), &text);
            }
            // Whoever prints text has nothing to go on with.
            RunEvent::Stopped { resumable } if *resumable > 0 => {
                self.tell(Level::Info, None, "stopped; the same command goes on from here");
            }
            RunEvent::OutputWritten { input, path } => {
                self.note(Some(input), &format!("wrote `{}`", path.display()));
            }
            RunEvent::Finished { input, transcript, quality, cues, seconds } => {
                let asked_for = transcript.seconds_asked_for();
                let (audio, speed) = (length(asked_for), asked_for / seconds.max(1e-3));
                let quality = stats::quality(quality);
                let text = format!("`{input}`: {quality}, subtitles {:.0} of 100", cues.score);
                self.detail(Some(input), &text);
                let text = format!("`{input}`: {audio} of audio in {} ({speed:.1}x)", length(*seconds));
                self.note(Some(input), &text);
            }
            RunEvent::Failed { input, error } => self.failure(Some(input), error),
            RunEvent::Note { input, text } => {
                self.tell(Level::Info, Some(input), &format!("`{input}`: {text}"));
            }
            RunEvent::Planned { .. }
            | RunEvent::PoolClosed(_)
            | RunEvent::AcceleratorUnavailable { .. }
            | RunEvent::ModelMoved { .. }
            | RunEvent::UnloadFailed { .. }
            | RunEvent::AudioNotEmbedded { .. }
            | RunEvent::Waiting { .. }
            | RunEvent::Downloading { .. }
            | RunEvent::Converted { .. }
            | RunEvent::EngineStats(_)
            | RunEvent::ModelLoading { .. }
            | RunEvent::Started { .. }
            | RunEvent::Segments(_)
            | RunEvent::Progress { .. }
            | RunEvent::SlotsReduced { .. }
            | RunEvent::JournalUnavailable { .. }
            | RunEvent::Damaged { .. }
            | RunEvent::ClipsOutOfRange { .. }
            | RunEvent::Stopped { .. } => {}
        }
    }

    /// When nobody reads any more, there is no more to do.
    fn text(&mut self, text: &str) {
        if text.is_empty() || self.cancel.reason().is_some() {
            return;
        }
        let printer = self.printer;
        if let Err(error) = self.progress.aside(|| printer.text(text)) {
            self.cancel.cancel(CancelReason::OutputClosed);
            self.unprinted = Some(error).filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
        }
    }

    /// Something that does not end the work.
    pub fn warning(&mut self, text: &str) {
        self.tell(Level::Warn, None, text);
    }

    fn failure(&mut self, input: Option<&str>, error: &Error) {
        let printer = self.printer;
        self.progress.aside(|| printer.failure(input, error));
    }

    fn tell(&mut self, level: Level, input: Option<&str>, text: &str) {
        let printer = self.printer;
        if printer.tells(level) {
            self.progress.aside(|| printer.tell(level, input, text));
        }
    }

    fn note(&mut self, input: Option<&str>, text: &str) {
        let printer = self.printer;
        self.progress.aside(|| printer.note(input, text));
    }

    fn detail(&mut self, input: Option<&str>, text: &str) {
        self.tell(Level::Debug, input, text);
    }
}

fn ended(tally: &Tally, cancel: &CancelToken) -> ExitCode {
    // A request that came when everything was done changes nothing but what the sender expects to see.
    if let Some(reason @ (CancelReason::Interrupt | CancelReason::Terminate)) = cancel.reason() {
        return ExitCode::from(&Error::Cancelled(reason));
    }
    // One cause is told by its own code, several by that of failed inputs.
    let mut codes = tally.failures.iter().map(|failure| failure.exit_code);
    let failed = codes.next().map(|first| match codes.all(|code| code == first) {
        true => ExitCode::from_number(first),
        false => ExitCode::SomeFailed,
    });
    let missed = tally.missed.first().map(|failure| ExitCode::from_number(failure.exit_code));
    failed.or(missed).unwrap_or(ExitCode::Done)
}
