//! Turns the events of a run into the lines of its report.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::line::{
    DamageLine, FileDone, MemoryLine, OptionValue, PeakLine, PoolLine, ReleasedLine, ReportLine, RunTotals,
    SpansLine, SpeakerLine, UsageLine, rounded_coverage,
};
use super::{Ending, Failure, Tally, VERSION, kind, rounded, speed, warnings};
use crate::device::memory::MemoryUsage;
use crate::engine::{Footprint, WindowDone};
use crate::export::CueQuality;
use crate::models::pool::PoolStats;
use crate::plan::{InputName, PlannedInput};
use crate::run::{ChunkFigures, RunEvent};
use crate::time::seconds_of_frames;
use crate::transcript::{Quality, RejectedAttempt, Speaker, Transcript};

/// What is known of a run before it begins.
#[derive(Debug, Clone, Default)]
pub struct RunInfo {
    pub version: String,
    /// The kinds of devices that the program was built for.
    pub compiled: Vec<String>,
    /// Options that were set, wherever, with their values.
    pub options: Vec<(String, Vec<String>)>,
    /// Which part of the inputs, K/N.
    pub shard: Option<String>,
}

/// Makes lines of events, remembering what several events contribute to one line.
#[derive(Default)]
pub struct LineBuilder {
    /// Memory of chunks whose end is still to come.
    footprints: HashMap<(InputName, usize), Footprint>,
    /// Outputs written so far, by input.
    written: HashMap<InputName, Vec<String>>,
}

impl LineBuilder {
    /// Returns the lines of an event that the tally has recorded.
    pub fn lines(&mut self, event: &RunEvent, tally: &Tally) -> Vec<Map<String, Value>> {
        let mut lines: Vec<ReportLine> = Vec::new();
        // Inputs that could not be planned are listed all the same, so that the counts add up.
        if let RunEvent::Failed { input, .. } = event
            && tally.was_unplanned
        {
            let input = input.to_string();
            lines.push(ReportLine::FilePlanned { input, outputs: Vec::new(), audio_seconds: None });
        }
        lines.extend(self.line(event, tally));
        lines.extend(warnings(event).into_iter().map(|warning| ReportLine::Warning {
            input: warning.input,
            kind: warning.kind.into(),
            message: warning.message,
        }));
        let id = match event {
            RunEvent::Planned { item } => item.id.as_deref(),
            event => event.input().and_then(InputName::id),
        };
        lines.iter().map(|line| with_id(line.fields(), id)).collect()
    }

    fn line(&mut self, event: &RunEvent, tally: &Tally) -> Option<ReportLine> {
        Some(match event {
            RunEvent::Planned { item } => planned(item),
            RunEvent::Skipped { input, why } | RunEvent::HeldElsewhere { input, why } => {
                ReportLine::FileSkipped { input: input.to_string(), reason: why.clone() }
            }
            RunEvent::Note { input, text } => {
                ReportLine::Note { input: input.to_string(), message: text.clone() }
            }
            RunEvent::Downloading { file, done, total } if done == total => {
                ReportLine::ModelDownloaded { file: file.clone(), bytes: *total }
            }
            RunEvent::ModelLoading { model, device } => {
                ReportLine::ModelLoading { model: model.clone(), device: device.clone() }
            }
            RunEvent::ModelLoaded { identity, device, seconds } => ReportLine::ModelLoaded {
                model: identity.clone(),
                device: device.clone(),
                seconds: rounded(*seconds),
            },
            RunEvent::ModelUnloaded { identity, device } => {
                ReportLine::ModelUnloaded { model: identity.clone(), device: device.clone() }
            }
            RunEvent::Started { input, number, count } => {
                ReportLine::FileStarted { input: input.to_string(), number: *number, count: *count }
            }
            RunEvent::Resumed { input } => ReportLine::FileResumed { input: input.to_string() },
            RunEvent::ResumeDiscarded { input, why, keeps_some } => {
                ReportLine::FileRenewed { input: input.to_string(), reason: (*why).into(), kept: *keeps_some }
            }
            RunEvent::LanguageDetected { input, guess } => ReportLine::Language {
                input: input.to_string(),
                language: guess.language.code().into(),
                probability: rounded(guess.probability().into()),
            },
            RunEvent::WindowDone { input, window } if window.fallbacks > 0 => {
                fallback(input.to_string(), window)
            }
            RunEvent::MemoryReleased { input, chunk, footprint } => {
                self.footprints.insert((input.clone(), *chunk), *footprint);
                return None;
            }
            RunEvent::ChunkDone { input, chunk, start, end, is_resumed, figures } => {
                let footprint = self.footprints.remove(&(input.clone(), *chunk));
                chunk_done(input.to_string(), *chunk, (*start, *end), *is_resumed, figures, footprint)
            }
            RunEvent::SlotsReduced { slots } => ReportLine::OutOfMemory { slots: *slots },
            RunEvent::Stopped { resumable } => ReportLine::Stopped { kept: *resumable },
            RunEvent::OutputWritten { input, path } => {
                let path = text(path);
                self.written.entry(input.clone()).or_default().push(path.clone());
                ReportLine::OutputWritten { input: input.to_string(), path }
            }
            RunEvent::Finished { input, transcript, quality, cues, seconds } => {
                let outputs = self.written.remove(input).unwrap_or_default();
                let done = file_done(input.to_string(), outputs, transcript, quality, cues, *seconds);
                ReportLine::FileDone(Box::new(done))
            }
            RunEvent::Failed { input, error } => {
                self.written.remove(input);
                match kind(error) == "limit_missed" {
                    true => ReportLine::LimitMissed(tally.missed.last()?.clone()),
                    false => ReportLine::FileFailed(tally.failures.last()?.clone()),
                }
            }
            RunEvent::DownloadStarted { .. }
            | RunEvent::Downloading { .. }
            | RunEvent::ModelFoundElsewhere { .. }
            | RunEvent::DemoModelUsed
            | RunEvent::Converted { .. }
            | RunEvent::EngineStats(_)
            | RunEvent::PoolClosed(_)
            | RunEvent::AcceleratorUnavailable { .. }
            | RunEvent::ModelMoved { .. }
            | RunEvent::UnloadFailed { .. }
            | RunEvent::AudioNotEmbedded { .. }
            | RunEvent::Waiting { .. }
            | RunEvent::Segments { .. }
            | RunEvent::Printed { .. }
            | RunEvent::WindowDone { .. }
            | RunEvent::Progress { .. }
            | RunEvent::JournalUnavailable { .. }
            | RunEvent::Damaged { .. }
            | RunEvent::ClipsOutOfRange { .. } => return None,
        })
    }
}

/// Adds the input's id to a line about an input.
fn with_id(mut fields: Map<String, Value>, id: Option<&str>) -> Map<String, Value> {
    if let Some(id) = id.filter(|_| fields.get("input").is_some_and(Value::is_string)) {
        fields.insert("id".into(), id.into());
    }
    fields
}

/// Returns the first line of a report.
pub fn run_started(info: &RunInfo) -> ReportLine {
    let value = |values: &[String]| match values {
        [one] => json!(OptionValue::One(one.clone())),
        many => json!(OptionValue::Many(many.to_vec())),
    };
    ReportLine::RunStarted {
        schema: VERSION,
        program: "transcribe".into(),
        version: info.version.clone(),
        compiled: info.compiled.clone(),
        options: info.options.iter().map(|(name, values)| (name.clone(), value(values))).collect(),
        shard: info.shard.clone(),
        host: sysinfo::System::host_name(),
        pid: std::process::id(),
    }
}

/// Returns the last line of a report.
pub fn summary(tally: &Tally, ending: &Ending<'_>) -> ReportLine {
    let seconds = tally.seconds();
    let failure = |error| Failure::new(None, error, tally.code_of());
    ReportLine::Summary(Box::new(RunTotals {
        counts: tally.counts(),
        failures: tally.failures.clone(),
        missed: tally.missed.clone(),
        unfinished: tally.unfinished().map(str::to_owned).collect(),
        errors: ending.errors.iter().map(failure).collect(),
        model: tally.model.clone(),
        device: tally.device.clone(),
        audio_seconds: rounded(tally.audio_seconds),
        seconds: rounded(seconds),
        speed: speed(tally.audio_seconds, seconds),
        coverage: (tally.done > 0).then(|| rounded_coverage(&tally.coverage)),
        chunks: tally.chunks,
        windows: tally.windows,
        fallbacks: tally.fallbacks(),
        tokens: tally.stats.map_or(0, |stats| stats.tokens),
        load_seconds: rounded(tally.load_seconds),
        peak_memory: PeakLine { host: tally.peak_host, device: tally.peak_device },
        cache: tally.cache.as_ref().map(pool),
        stopped: ending.stopped.map(Into::into),
        exit_code: ending.exit_code,
    }))
}

fn planned(item: &PlannedInput) -> ReportLine {
    ReportLine::FilePlanned {
        input: item.name().to_string(),
        outputs: item.requested.iter().map(|path| text(path)).collect(),
        audio_seconds: item.length.map(rounded),
    }
}

fn fallback(input: String, window: &WindowDone) -> ReportLine {
    let first = window.seek as u64;
    let rejected = |attempt: &RejectedAttempt| RejectedAttempt {
        temperature: rounded(attempt.temperature),
        faults: attempt.faults.clone(),
    };
    ReportLine::WindowFallback {
        input,
        start: seconds_of_frames(first),
        end: seconds_of_frames(first + window.frames as u64),
        attempts: window.fallbacks + 1,
        temperature: rounded(window.temperature),
        rejected: window.rejected.iter().map(rejected).collect(),
    }
}

fn chunk_done(
    input: String,
    chunk: usize,
    (start, end): (f64, f64),
    kept: bool,
    figures: &ChunkFigures,
    footprint: Option<Footprint>,
) -> ReportLine {
    ReportLine::ChunkDone {
        input,
        chunk,
        start,
        end,
        kept,
        seconds: footprint.map(|footprint| rounded(footprint.seconds)),
        memory: footprint.as_ref().map(memory),
        confidence: figures.confidence.map(rounded),
        segments: figures.segments,
        windows: figures.windows,
        fallbacks: figures.fallbacks,
    }
}

fn memory(footprint: &Footprint) -> MemoryLine {
    let usage = |usage: &MemoryUsage| UsageLine { now: usage.current, peak: usage.peak };
    MemoryLine {
        host: usage(&footprint.memory.host),
        device: footprint.memory.device.as_ref().map(usage),
        released: footprint.released.map(|bytes| ReleasedLine { host: bytes.host, device: bytes.device }),
    }
}

fn file_done(
    input: String,
    outputs: Vec<String>,
    transcript: &Transcript,
    quality: &Quality,
    cues: &CueQuality,
    seconds: f64,
) -> FileDone {
    let audio_seconds = transcript.seconds_asked_for();
    FileDone {
        input,
        outputs,
        audio_seconds: rounded(audio_seconds),
        seconds: rounded(seconds),
        speed: speed(audio_seconds, seconds),
        model: transcript.model.clone(),
        language: transcript.language.clone(),
        language_probability: transcript.language_probability.map(rounded),
        coverage: rounded_coverage(&quality.coverage),
        confidence: quality.confidence.map(rounded),
        segments: transcript.segments.len(),
        cues: cues.cues,
        cue_score: cues.score,
        spans: SpansLine {
            dropped: quality.dropped.len(),
            low_confidence: quality.low_confidence.len(),
            repetitions: quality.repetitions.len(),
            without_voice: quality.without_voice.len(),
        },
        fallbacks: quality.fallbacks.len(),
        damage: DamageLine { packets: transcript.damage.packets, truncated: transcript.damage.truncated },
        speakers: transcript.speakers.as_ref().map(|known| known.speakers.iter().map(speaker).collect()),
    }
}

fn speaker(speaker: &Speaker) -> SpeakerLine {
    SpeakerLine { name: speaker.name.clone(), seconds: rounded(speaker.seconds) }
}

fn pool(stats: &PoolStats) -> PoolLine {
    PoolLine {
        hits: stats.hits,
        misses: stats.misses,
        evictions: stats.evictions,
        load_seconds: rounded(stats.load_seconds),
        bytes_loaded: stats.bytes_loaded,
        close_failures: stats.close_failures,
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::SpeakerTurns;

    #[test]
    fn speakers_are_listed_only_if_they_were_told_apart() {
        let done = |transcript: &Transcript| {
            let (quality, cues) = (Quality::of(transcript), CueQuality::default());
            let done = file_done("talk.mp3".into(), Vec::new(), transcript, &quality, &cues, 1.0);
            ReportLine::FileDone(Box::new(done)).fields()
        };
        assert!(!done(&Transcript::default()).contains_key("speakers"));
        let turns = [(0.0, 1.5, "B"), (1.0, 2.0, "A"), (3.0, 4.0, "B")];
        let turns = turns.map(|(start, end, name)| (start, end, name.to_owned()));
        let transcript =
            Transcript { speakers: Some(SpeakerTurns::from_named(turns)), ..Transcript::default() };
        let expected = json!([{"name": "B", "seconds": 2.5}, {"name": "A", "seconds": 1.0}]);
        assert_eq!(done(&transcript)["speakers"], expected);
    }
}
