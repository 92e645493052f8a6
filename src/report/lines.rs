//! The lines of a report: every event as an object, its fields in a fixed order.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Ending, Failure, Tally, VERSION, kind, rounded, speed, stop_name, warning};
use crate::device::memory::MemoryUsage;
use crate::engine::Footprint;
use crate::export::CueQuality;
use crate::models::cache::CacheStats;
use crate::plan::PlannedInput;
use crate::run::{ChunkFigures, RunEvent};
use crate::time::seconds_of_frames;
use crate::transcript::RejectedAttempt;
use crate::transcript::{Coverage, ModelIdentity, Quality, Transcript};

/// What is known of a run before it begins.
#[derive(Debug, Clone, Default)]
pub struct RunInfo {
    pub version: String,
    /// What it can compute on.
    pub compiled: Vec<String>,
    /// Options that were set, wherever, with their values.
    pub options: Vec<(String, Vec<String>)>,
    /// Which part of the inputs, K/N.
    pub shard: Option<String>,
}

/// A line without the time: its event, and its fields.
pub type Line = (&'static str, Value);

/// Makes lines of events; remembers what comes in several.
#[derive(Default)]
pub struct Lines {
    /// Of chunks whose end is still to be told.
    footprints: HashMap<(String, usize), Footprint>,
    written: HashMap<String, Vec<String>>,
    /// What a manifest calls the inputs.
    ids: HashMap<String, String>,
}

impl Lines {
    /// The lines of an event that the tally has heard of.
    pub fn of(&mut self, event: &RunEvent, tally: &Tally) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        match event {
            RunEvent::Planned { item } => {
                let id = item.id.clone().map(|id| (item.name(), id));
                self.ids.extend(id);
            }
            // So that those planned are all.
            RunEvent::Failed { input, .. } if tally.was_unplanned => {
                let fields = json!({"input": input, "outputs": [], "audio_seconds": null});
                lines.push(("file_planned", fields));
            }
            _ => {}
        }
        lines.extend(self.line(event, tally));
        lines.extend(warning(event).into_iter().map(|warning| {
            let fields = json!({"input": warning.input, "kind": warning.kind, "message": warning.message});
            ("warning", fields)
        }));
        lines.into_iter().map(|(event, fields)| (event, self.with_id(fields))).collect()
    }

    fn with_id(&self, mut fields: Value) -> Value {
        if let Some(id) = fields["input"].as_str().and_then(|input| self.ids.get(input)) {
            fields["id"] = id.as_str().into();
        }
        fields
    }

    fn line(&mut self, event: &RunEvent, tally: &Tally) -> Option<Line> {
        Some(match event {
            RunEvent::Planned { item } => ("file_planned", planned(item)),
            RunEvent::Skipped { input, why } => ("file_skipped", json!({"input": input, "reason": why})),
            RunEvent::HeldElsewhere { input, why } => {
                ("file_skipped", json!({"input": input, "reason": why}))
            }
            RunEvent::Downloading { file, done, total } if done == total => {
                ("model_downloaded", json!({"file": file, "bytes": total}))
            }
            RunEvent::ModelLoading { model, device } => {
                ("model_loading", json!({"model": model, "device": device}))
            }
            RunEvent::ModelLoaded { identity, device, seconds } => {
                let seconds = rounded(*seconds);
                ("model_loaded", json!({"model": model(identity), "device": device, "seconds": seconds}))
            }
            RunEvent::ModelUnloaded { identity, device } => {
                ("model_unloaded", json!({"model": model(identity), "device": device}))
            }
            RunEvent::Started { input, number, count } => {
                ("file_started", json!({"input": input, "number": number, "count": count}))
            }
            RunEvent::Resumed { input } => ("file_resumed", json!({"input": input})),
            RunEvent::ResumeDiscarded { input, why, keeps_some } => {
                ("file_renewed", json!({"input": input, "reason": why, "kept": keeps_some}))
            }
            RunEvent::LanguageDetected { input, guess } => {
                let probability = rounded(guess.probability().into());
                let language = guess.language.code();
                ("language", json!({"input": input, "language": language, "probability": probability}))
            }
            RunEvent::WindowDone { input, window } if window.fallbacks > 0 => {
                let from = window.seek as u64;
                let (start, end) = (seconds_of_frames(from), seconds_of_frames(from + window.frames as u64));
                let rejected: Vec<Value> = window.rejected.iter().map(rejected).collect();
                let (attempts, temperature) = (window.fallbacks + 1, rounded(window.temperature));
                let fields = json!({"input": input, "start": start, "end": end, "attempts": attempts,
                    "temperature": temperature, "rejected": rejected});
                ("window_fallback", fields)
            }
            RunEvent::MemoryReleased { input, chunk, footprint } => {
                self.footprints.insert((input.clone(), *chunk), *footprint);
                return None;
            }
            RunEvent::ChunkDone { input, chunk, start, end, is_resumed, figures } => {
                let footprint = self.footprints.remove(&(input.clone(), *chunk));
                let place =
                    json!({"input": input, "chunk": chunk, "start": start, "end": end, "kept": is_resumed});
                ("chunk_done", joined(place, chunk_figures(figures, footprint)))
            }
            RunEvent::SlotsReduced { slots } => ("out_of_memory", json!({"slots": slots})),
            RunEvent::Stopped { resumable } => ("stopped", json!({"kept": resumable})),
            RunEvent::OutputWritten { input, path } => {
                let path = text(path);
                self.written.entry(input.clone()).or_default().push(path.clone());
                ("output_written", json!({"input": input, "path": path}))
            }
            RunEvent::Finished { input, transcript, quality, cues, seconds } => {
                let outputs = self.written.remove(input).unwrap_or_default();
                let head = json!({"input": input, "outputs": outputs});
                ("file_done", joined(head, file_figures(transcript, quality, cues, *seconds)))
            }
            RunEvent::Failed { input, error } => {
                self.written.remove(input);
                let is_missed = kind(error) == "limit_missed";
                let told = if is_missed { tally.missed.last() } else { tally.failures.last() };
                (if is_missed { "limit_missed" } else { "file_failed" }, json!(told))
            }
            RunEvent::Note { input, text } => ("note", json!({"input": input, "message": text})),
            RunEvent::Downloading { .. }
            | RunEvent::Converted { .. }
            | RunEvent::EngineStats(_)
            | RunEvent::PoolClosed(_)
            | RunEvent::AcceleratorUnavailable { .. }
            | RunEvent::ModelMoved { .. }
            | RunEvent::UnloadFailed { .. }
            | RunEvent::AudioNotEmbedded { .. }
            | RunEvent::Waiting { .. }
            | RunEvent::Segments(_)
            | RunEvent::WindowDone { .. }
            | RunEvent::Progress { .. }
            | RunEvent::JournalUnavailable { .. }
            | RunEvent::Damaged { .. }
            | RunEvent::ClipsOutOfRange { .. } => return None,
        })
    }
}

pub fn run_started(info: &RunInfo) -> Line {
    let value = |values: &[String]| match values {
        [one] => json!(one),
        many => json!(many),
    };
    let options: Map<String, Value> =
        info.options.iter().map(|(name, values)| (name.clone(), value(values))).collect();
    let fields = json!({
        "schema": VERSION,
        "program": "transcribe",
        "version": info.version,
        "compiled": info.compiled,
        "options": options,
        "shard": info.shard,
        "host": sysinfo::System::host_name(),
        "pid": std::process::id(),
    });
    ("run_started", fields)
}

pub fn summary(tally: &Tally, ending: &Ending<'_>) -> Line {
    let seconds = tally.seconds();
    let code_of = tally.code_of();
    let errors: Vec<Failure> = ending.errors.iter().map(|error| Failure::new(None, error, code_of)).collect();
    let fields = json!({
        "counts": tally.counts(),
        "failures": tally.failures,
        "missed": tally.missed,
        "unfinished": tally.unfinished().collect::<Vec<_>>(),
        "errors": errors,
        "model": tally.model.as_ref().map(model),
        "device": tally.device,
        "audio_seconds": rounded(tally.audio_seconds),
        "seconds": rounded(seconds),
        "speed": speed(tally.audio_seconds, seconds),
        "coverage": (tally.done > 0).then(|| coverage(&tally.coverage)),
        "chunks": tally.chunks,
        "windows": tally.windows,
        "fallbacks": tally.fallbacks(),
        "tokens": tally.stats.map_or(0, |stats| stats.tokens),
        "load_seconds": rounded(tally.load_seconds),
        "peak_memory": {"host": tally.peak_host, "device": tally.peak_device},
        "cache": tally.cache.as_ref().map(cache),
        "stopped": ending.stopped.map(stop_name),
        "exit_code": ending.exit_code,
    });
    ("summary", fields)
}

fn planned(item: &PlannedInput) -> Value {
    let outputs: Vec<String> = item.asked.iter().map(|path| text(path)).collect();
    json!({"input": item.name(), "outputs": outputs, "audio_seconds": item.length.map(rounded)})
}

fn model(identity: &ModelIdentity) -> Value {
    json!({"name": identity.name, "revision": identity.revision})
}

fn rejected(attempt: &RejectedAttempt) -> Value {
    json!({"temperature": rounded(attempt.temperature), "faults": attempt.faults})
}

fn chunk_figures(figures: &ChunkFigures, footprint: Option<Footprint>) -> Value {
    json!({
        "seconds": footprint.map(|footprint| rounded(footprint.seconds)),
        "memory": footprint.as_ref().map(memory),
        "confidence": figures.confidence.map(rounded),
        "segments": figures.segments,
        "windows": figures.windows,
        "fallbacks": figures.fallbacks,
    })
}

fn memory(footprint: &Footprint) -> Value {
    let usage = |usage: &MemoryUsage| json!({"now": usage.current, "peak": usage.peak});
    json!({
        "host": usage(&footprint.memory.host),
        "device": footprint.memory.device.as_ref().map(usage),
        "released": footprint.released.map(|bytes| json!({"host": bytes.host, "device": bytes.device})),
    })
}

fn file_figures(transcript: &Transcript, quality: &Quality, cues: &CueQuality, seconds: f64) -> Value {
    let audio_seconds = transcript.seconds_asked_for();
    json!({
        "audio_seconds": rounded(audio_seconds),
        "seconds": rounded(seconds),
        "speed": speed(audio_seconds, seconds),
        "model": model(&transcript.model),
        "language": transcript.language,
        "language_probability": transcript.language_probability.map(rounded),
        "coverage": coverage(&quality.coverage),
        "confidence": quality.confidence.map(rounded),
        "segments": transcript.segments.len(),
        "cues": cues.cues,
        "cue_score": cues.score,
        "spans": {
            "dropped": quality.dropped.len(),
            "low_confidence": quality.low_confidence.len(),
            "repetitions": quality.repetitions.len(),
            "without_voice": quality.without_voice.len(),
        },
        "fallbacks": quality.fallbacks.len(),
        "damage": {"packets": transcript.damage.packets, "truncated": transcript.damage.truncated},
    })
}

pub fn coverage(coverage: &Coverage) -> Value {
    json!({
        "duration": rounded(coverage.duration),
        "transcribed": rounded(coverage.transcribed),
        "skipped": rounded(coverage.skipped),
        "not_asked_for": rounded(coverage.not_asked_for),
        "dropped": rounded(coverage.dropped),
        "silent": rounded(coverage.silent),
        "ratio": coverage.ratio.map(rounded),
    })
}

fn cache(stats: &CacheStats) -> Value {
    json!({
        "hits": stats.hits,
        "misses": stats.misses,
        "evictions": stats.evictions,
        "load_seconds": rounded(stats.load_seconds),
        "bytes_loaded": stats.bytes_loaded,
        "close_failures": stats.close_failures,
    })
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The fields of both.
fn joined(first: Value, second: Value) -> Value {
    match (first, second) {
        (Value::Object(mut first), Value::Object(second)) => {
            first.extend(second);
            Value::Object(first)
        }
        (first, _) => first,
    }
}
