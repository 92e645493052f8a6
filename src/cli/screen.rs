//! What a run shows on the terminal, event by event, and how it ended.

use super::exit::ExitCode;
use super::failed;
use super::printer::Printer;
use super::progress::{Progress, length};
use super::stats;
use crate::audio::Damage;
use crate::cancel::{CancelReason, CancelToken};
use crate::chunk::Clip;
use crate::error::Error;
use crate::job::{Event, Summary};
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
    pub fn new(printer: Printer, prints_text: bool, cancel: &'a CancelToken) -> Self {
        let progress = Progress::new(printer.shows_progress());
        Self { printer, progress, prints_text, unprinted: None, cancel }
    }

    /// Prints with no progress in the way, from now on.
    pub fn clear(&mut self) {
        self.progress.clear();
    }

    /// Tells how it ended.
    pub fn end(mut self, outcome: Result<Summary, Vec<Error>>) -> ExitCode {
        self.progress.clear();
        if let Some(source) = self.unprinted.take() {
            return failed(self.printer, &Error::Output { path: "standard output".into(), source });
        }
        match outcome {
            Ok(summary) => ended(&summary, self.cancel),
            Err(errors) => {
                // Only a plan has several faults, and they end alike or with the gravest, which comes last.
                let told = errors.iter().filter(|error| !matches!(error, Error::Cancelled(_)));
                told.for_each(|error| self.printer.error(error));
                errors.last().map_or(ExitCode::Usage, ExitCode::from)
            }
        }
    }

    pub fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned { .. } | Event::Unloaded { .. } | Event::ChunkDone { .. } => {}
            Event::Skipped { input } => {
                self.notice(&format!("`{input}`: already done; `--overwrite` does it again"))
            }
            Event::Download(step) => self.progress.download(step.file, step.done, step.total),
            Event::Loading { model, device } => self.progress.wait(&format!("loading `{model}` on {device}")),
            Event::Loaded { identity, device, seconds } => {
                self.progress.clear();
                let identity = identity.revision.as_deref().unwrap_or(&identity.name);
                self.detail(&format!("model {identity} on {device}, loaded in {seconds:.1} s"));
            }
            Event::Started { input, number, count } => {
                self.progress.clear();
                if *count > 1 {
                    self.note(&format!("`{input}` ({number} of {count})"));
                }
            }
            Event::Language { input, guess } => {
                let percent = guess.probability() * 100.0;
                self.detail(&format!("`{input}`: language {} ({percent:.0} %)", guess.language.name()));
            }
            Event::Segments(segments) if self.prints_text => {
                segments.iter().map(|segment| segment.text.trim()).for_each(|text| self.text(text));
            }
            Event::Segments(_) => {}
            Event::Window { input, window } if window.fallbacks > 0 => {
                let at = length(seconds_of_frames(window.seek as u64));
                let (tries, hot) = (window.fallbacks + 1, window.temperature);
                self.detail(&format!("`{input}`: from {at} took {tries} attempts, temperature {hot}"));
            }
            Event::Window { .. } => {}
            Event::Progress { input, in_flight, done, known, stats, .. } => {
                self.progress.audio(&stats::label(input, *in_flight, stats), *done, *known);
            }
            Event::Released { input, chunk, footprint } => {
                self.detail(&format!("`{input}`: chunk {}: {}", chunk + 1, stats::footprint(footprint)));
            }
            Event::SlotsReduced { slots } => {
                let text = format!("memory is short: going on with {slots} half minutes at a time");
                self.progress.aside(|| self.printer.warning(&text));
            }
            Event::Resumed { input } => {
                self.notice(&format!("`{input}`: goes on where an earlier run was stopped"))
            }
            Event::Renewed { input, why, kept } => {
                let which = if *kept { "some" } else { "none" };
                self.detail(&format!("`{input}`: {which} of an earlier run's work is of use: {why}"));
            }
            Event::NotKept { input, error } => self.warning(&format!(
                "`{input}`: what is finished cannot be kept, should the work be stopped: {error}"
            )),
            // Whoever prints text has nothing to go on with.
            Event::Stopped { kept: 0 } => {}
            Event::Stopped { .. } => {
                self.progress.clear();
                self.notice("stopped; the same command goes on from here");
            }
            Event::Damaged { input, damage } => self.damaged(input, damage),
            Event::Missed { input, clips, duration } => self.missed(input, clips, *duration),
            Event::Written { path, .. } => self.note(&format!("wrote `{}`", path.display())),
            Event::Finished { input, transcript, quality, cues, seconds } => {
                let asked_for = transcript.seconds_asked_for();
                let (audio, speed) = (length(asked_for), asked_for / seconds.max(1e-3));
                self.progress.clear();
                let quality = stats::quality(quality);
                self.detail(&format!("`{input}`: {quality}, subtitles {:.0} of 100", cues.score));
                self.note(&format!("`{input}`: {audio} of audio in {} ({speed:.1}x)", length(*seconds)));
            }
            Event::Failed { error, .. } => {
                self.progress.clear();
                self.printer.error(error);
            }
        }
    }

    /// When nobody reads any more, there is no more to do.
    fn text(&mut self, text: &str) {
        if text.is_empty() || self.cancel.reason().is_some() {
            return;
        }
        if let Err(error) = self.progress.aside(|| self.printer.text(text)) {
            self.cancel.cancel(CancelReason::OutputClosed);
            self.unprinted = Some(error).filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
        }
    }

    fn damaged(&self, input: &str, damage: &Damage) {
        let mut what = Vec::new();
        match damage.packets {
            0 => {}
            1 => what.push("1 damaged packet was left out".to_owned()),
            packets => what.push(format!("{packets} damaged packets were left out")),
        }
        if damage.incomplete {
            what.push("less is there than it claims to have".into());
        }
        let cause = damage.first.as_deref().map(|first| format!(" ({first})")).unwrap_or_default();
        self.warning(&format!("`{input}`: {}{cause}", what.join(", ")));
    }

    fn missed(&self, input: &str, clips: &[Clip], duration: f64) {
        for clip in clips {
            let text = format!(
                "`{input}`: clip {clip} lies behind its end at {duration:.2} s: nothing to transcribe"
            );
            self.warning(&text);
        }
    }

    fn warning(&self, text: &str) {
        self.progress.aside(|| self.printer.warning(text));
    }

    fn notice(&self, text: &str) {
        self.progress.aside(|| self.printer.notice(text));
    }

    fn note(&self, text: &str) {
        self.progress.aside(|| self.printer.note(text));
    }

    fn detail(&self, text: &str) {
        self.progress.aside(|| self.printer.detail(text));
    }
}

fn ended(summary: &Summary, cancel: &CancelToken) -> ExitCode {
    // A request that came when everything was done changes nothing but what the sender expects to see.
    if let Some(reason @ (CancelReason::Interrupt | CancelReason::Terminate)) = cancel.reason() {
        return ExitCode::from(&Error::Cancelled(reason));
    }
    // A full disk is worse news than a bad file, and both than what is done and could be better.
    let failed = summary.failures.iter().map(ExitCode::from).max_by_key(|code| *code as u8);
    let missed = summary.missed.first().map(ExitCode::from);
    failed.or(missed).unwrap_or(ExitCode::Done)
}
