//! Prints the text, messages and progress of a run event by event, and how it ended.

use super::exit::ExitCode;
use super::log::LogLevel;
use super::printer::Printer;
use super::progress::{Progress, ProgressMode, clock};
use super::run_summary;
use super::stats;
use crate::cancel::{CancelReason, CancelToken};
use crate::error::Error;
use crate::models::elsewhere::OtherProgram;
use crate::plan::InputName;
use crate::report::{Tally, warnings};
use crate::run::RunEvent;
use crate::time::seconds_of_frames;
use crate::transcript::Segment;

/// The terminal output of a run.
pub struct RunOutput<'a> {
    printer: Printer,
    progress: Progress,
    text: TextOutput,
    /// The input whose text was printed last.
    last_input: Option<InputName>,
    /// The speaker of the segment that was printed last.
    last_speaker: Option<String>,
    /// Why text could not be printed, unless the reader closed the pipe.
    text_error: Option<std::io::Error>,
    cancel: &'a CancelToken,
}

/// How text is printed.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextOutput {
    pub is_printed: bool,
    pub with_times: bool,
    /// Print the name of each input before its text if there are several.
    pub with_names: bool,
}

impl<'a> RunOutput<'a> {
    pub fn new(printer: Printer, progress: ProgressMode, text: TextOutput, cancel: &'a CancelToken) -> Self {
        let progress = Progress::new(progress, printer);
        Self { printer, progress, text, last_input: None, last_speaker: None, text_error: None, cancel }
    }

    /// Removes the progress display.
    pub fn clear(&mut self) {
        self.progress.clear();
    }

    /// Refreshes the progress display.
    pub fn tick(&mut self, tally: &Tally) {
        self.progress.tick(tally);
    }

    /// Prints how the run ended and returns the exit code.
    pub fn finish(&mut self, outcome: &Result<(), Vec<Error>>, tally: &Tally) -> ExitCode {
        self.progress.clear();
        if let Some(source) = self.text_error.take() {
            let error = Error::Output { path: "standard output".into(), source };
            self.printer.error(&error);
            return ExitCode::from(&error);
        }
        if self.cancel.reason() != Some(CancelReason::OutputClosed) {
            let lines = run_summary::lines(tally);
            lines.iter().for_each(|line| self.printer.notice(line));
        }
        match outcome {
            Ok(()) => exit_code(tally, self.cancel),
            Err(errors) => {
                // Only a plan can have several errors; the most severe is the last.
                let reported = errors.iter().filter(|error| !matches!(error, Error::Cancelled(_)));
                reported.for_each(|error| self.printer.error(error));
                errors.last().map_or(ExitCode::Usage, ExitCode::from)
            }
        }
    }

    /// Shows an event that the tally has already recorded.
    pub fn show(&mut self, event: &RunEvent, tally: &Tally) {
        self.progress.record(event, tally);
        for warning in warnings(event) {
            let input = warning.input.as_deref();
            let named = input.map(|input| format!("`{input}`: ")).unwrap_or_default();
            self.log(LogLevel::Warn, input, &format!("{named}{}", warning.message));
        }
        match event {
            RunEvent::Segments { input, segments } if self.text.is_printed => {
                if self.last_input.as_ref() != Some(input) {
                    self.last_speaker = None;
                }
                self.name_input(input, tally);
                segments.iter().for_each(|segment| self.segment(segment));
            }
            RunEvent::Printed { content, .. } => self.print(|printer| printer.bytes(content)),
            RunEvent::Started { input, number, count } if *count > 1 => {
                self.note(Some(input), &format!("`{input}` ({number} of {count})"));
            }
            RunEvent::OutputWritten { input, path } => {
                self.note(Some(input), &format!("wrote `{}`", path.display()));
            }
            RunEvent::Finished { input, transcript, quality, cues, seconds } => {
                let requested = transcript.seconds_asked_for();
                let (audio, speed) = (clock(requested), requested / seconds.max(1e-3));
                let quality = stats::quality(quality);
                let text = format!("`{input}`: {quality}, subtitle score {:.0} of 100", cues.score);
                self.log(LogLevel::Debug, Some(input), &text);
                let text = format!("`{input}`: {audio} of audio in {} ({speed:.1}x)", clock(*seconds));
                self.note(Some(input), &text);
            }
            RunEvent::Failed { input, error } => self.failure(Some(input), error),
            // Whoever closed stdout has all that was wanted.
            RunEvent::Stopped { .. } if self.cancel.reason() == Some(CancelReason::OutputClosed) => {}
            event => {
                if let Some((level, input, text)) = message(event) {
                    self.log(level, input, &text);
                }
            }
        }
    }

    fn segment(&mut self, segment: &Segment) {
        let text = segment.text.trim();
        if text.is_empty() {
            return;
        }
        let is_new = segment.speaker != self.last_speaker;
        let speaker = segment.speaker.as_deref().filter(|_| is_new).map(|speaker| format!("{speaker}: "));
        let text = format!("{}{text}", speaker.unwrap_or_default());
        self.last_speaker.clone_from(&segment.speaker);
        let (start, end) = (timestamp(segment.start), timestamp(segment.end));
        match self.text.with_times {
            true => self.print(|printer| printer.line(&format!("[{start} --> {end}] {text}"))),
            false => self.print(|printer| printer.line(&text)),
        }
    }

    /// Prints the name of an input before its first text.
    fn name_input(&mut self, input: &InputName, tally: &Tally) {
        let is_new = self.last_input.as_ref() != Some(input);
        if self.text.with_names && is_new && tally.counts().planned > 1 {
            self.last_input = Some(input.clone());
            self.print(|printer| printer.heading(input));
        }
    }

    /// Prints to stdout; the run is cancelled if that is closed.
    fn print(&mut self, print: impl FnOnce(&Printer) -> std::io::Result<()>) {
        if self.cancel.reason().is_some() {
            return;
        }
        let printer = self.printer;
        if let Err(error) = self.progress.suspended(|| print(&printer)) {
            self.cancel.cancel(CancelReason::OutputClosed);
            self.text_error = Some(error).filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe);
        }
    }

    /// Prints a warning.
    pub fn warning(&mut self, text: &str) {
        self.log(LogLevel::Warn, None, text);
    }

    fn failure(&mut self, input: Option<&str>, error: &Error) {
        let printer = self.printer;
        self.progress.suspended(|| printer.failure(input, error));
    }

    fn log(&mut self, level: LogLevel, input: Option<&str>, text: &str) {
        let printer = self.printer;
        if printer.logs(level) {
            self.progress.suspended(|| printer.log(level, input, text));
        }
    }

    fn note(&mut self, input: Option<&str>, text: &str) {
        let printer = self.printer;
        self.progress.suspended(|| printer.note(input, text));
    }
}

/// Formats seconds as openai's program prints them: `00:04.000`, with hours if there are any.
fn timestamp(seconds: f64) -> String {
    let ms = (seconds.max(0.0) * 1000.0).round() as u64;
    let (hours, rest) = (ms / 3_600_000, ms % 3_600_000);
    let rest = format!("{:02}:{:02}.{:03}", rest / 60_000, rest / 1_000 % 60, rest % 1_000);
    if hours > 0 { format!("{hours:02}:{rest}") } else { rest }
}

type LogMessage<'e> = (LogLevel, Option<&'e str>, String);

/// Returns a message that starts with the name of the input.
fn about(level: LogLevel, input: &str, text: impl std::fmt::Display) -> Option<LogMessage<'_>> {
    Some((level, Some(input), format!("`{input}`: {text}")))
}

/// Returns the message about an event with its level and input, or none for events that are shown in other ways.
fn message(event: &RunEvent) -> Option<LogMessage<'_>> {
    match event {
        RunEvent::Skipped { input, why } => about(LogLevel::Info, input, why),
        RunEvent::Note { input, text } => about(LogLevel::Info, input, text),
        RunEvent::HeldElsewhere { input, why } => Some((LogLevel::Debug, Some(input), why.to_string())),
        RunEvent::DownloadStarted { model, from, to } => {
            let text = format!("downloading model {model} from {from} to `{}`", to.display());
            Some((LogLevel::Info, None, text))
        }
        RunEvent::ModelFoundElsewhere { model, found } => {
            let OtherProgram { program, path } = found;
            let text = format!("model {model}: using `{}`, downloaded by {program}", path.display());
            Some((LogLevel::Info, None, text))
        }
        RunEvent::ModelLoaded { identity, device, seconds } => {
            let identity = identity.revision.as_deref().unwrap_or(&identity.name);
            let text = format!("model {identity} on {device}, loaded in {seconds:.1} s");
            Some((LogLevel::Debug, None, text))
        }
        RunEvent::ModelUnloaded { device, .. } => {
            Some((LogLevel::Trace, None, format!("unloaded from {device}")))
        }
        RunEvent::LanguageDetected { input, guess } => {
            let percent = guess.probability() * 100.0;
            about(LogLevel::Debug, input, format!("language {} ({percent:.0} %)", guess.language.name()))
        }
        RunEvent::WindowDone { input, window } => {
            let (attempts, temperature) = (window.fallbacks + 1, window.temperature);
            let level = if attempts > 1 { LogLevel::Debug } else { LogLevel::Trace };
            let at = clock(seconds_of_frames(window.seek as u64));
            let text = format!("window at {at}: {attempts} attempts, temperature {temperature}");
            about(level, input, text)
        }
        RunEvent::ChunkDone { input, chunk, start, end, .. } => {
            let (start, end) = (clock(*start), clock(*end));
            about(LogLevel::Trace, input, format!("chunk {} from {start} to {end} done", chunk + 1))
        }
        RunEvent::MemoryReleased { input, chunk, footprint } => {
            let text = format!("chunk {}: {}", chunk + 1, stats::footprint(footprint));
            about(LogLevel::Debug, input, text)
        }
        RunEvent::Resumed { input } => about(LogLevel::Info, input, "resuming where an earlier run stopped"),
        RunEvent::ResumeDiscarded { input, why, keeps_some } => {
            let which = if *keeps_some { "part" } else { "none" };
            let text = format!("{which} of an earlier run's work can be reused: {why}");
            about(LogLevel::Debug, input, text)
        }
        // Text on stdout cannot be resumed.
        RunEvent::Stopped { resumable } if *resumable > 0 => {
            let text = "stopped; run the same command again to resume";
            Some((LogLevel::Info, None, text.into()))
        }
        _ => None,
    }
}

fn exit_code(tally: &Tally, cancel: &CancelToken) -> ExitCode {
    // A signal that arrived after the work was done still decides the exit code, as its sender expects.
    if let Some(reason @ (CancelReason::Interrupt | CancelReason::Terminate)) = cancel.reason() {
        return ExitCode::from(&Error::Cancelled(reason));
    }
    // If all failures have the same code, it is the exit code.
    let mut codes = tally.failures.iter().map(|failure| failure.exit_code);
    let failed = codes.next().map(|first| match codes.all(|code| code == first) {
        true => ExitCode::from_number(first),
        false => ExitCode::SomeFailed,
    });
    let missed = tally.missed.first().map(|failure| ExitCode::from_number(failure.exit_code));
    failed.or(missed).unwrap_or(ExitCode::Done)
}
