//! The figures of a run as text for Prometheus, in a file that the node exporter's textfile collector reads. It is
//! always whole.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Ending, Tally, stop_name};
use crate::cancel::CancelReason;
use crate::error::{Error, Result};
use crate::store::write_file;

/// How old the file may get while there is work.
const EVERY: Duration = Duration::from_secs(10);

/// What every such file begins with.
const BEGINNING: &str = "# HELP ";

pub struct Metrics {
    path: PathBuf,
    version: String,
    /// How the run before this one ended: its lines, as they stood there.
    before: String,
    written: Instant,
    /// That it cannot be written was told.
    has_warned: bool,
}

impl Metrics {
    /// Begins a new one. What is there and is none is left alone.
    pub fn create(path: &Path, version: &str, tally: &Tally) -> Result<Self> {
        let mut beginning = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut beginning));
        if path.is_file() && (read.is_err() || !BEGINNING.as_bytes().starts_with(&beginning)) {
            return Err(Error::Usage {
                what: format!("`--metrics-file {}`", path.display()),
                why: "is there and is no such file".into(),
                hint: Some("choose another name".into()),
            });
        }
        let before = std::fs::read_to_string(path).unwrap_or_default();
        let of_end = |line: &&str| line.contains("transcribe_last_run_");
        let before = before.lines().filter(of_end).map(|line| format!("{line}\n")).collect();
        let (path, version) = (path.to_owned(), version.to_owned());
        let metrics = Self { path, version, before, written: Instant::now(), has_warned: false };
        write_file(&metrics.path, metrics.text(tally, None).as_bytes())?;
        Ok(metrics)
    }

    /// Writes it anew if it is time. The error is told once.
    pub fn tick(&mut self, tally: &Tally) -> Option<Error> {
        if self.written.elapsed() < EVERY { None } else { self.write(tally, None) }
    }

    pub fn end(&mut self, tally: &Tally, ending: &Ending<'_>) -> Option<Error> {
        self.write(tally, Some(ending))
    }

    fn write(&mut self, tally: &Tally, ending: Option<&Ending<'_>>) -> Option<Error> {
        self.written = Instant::now();
        let error = write_file(&self.path, self.text(tally, ending).as_bytes()).err()?;
        (!std::mem::replace(&mut self.has_warned, true)).then_some(error)
    }

    fn text(&self, tally: &Tally, ending: Option<&Ending<'_>>) -> String {
        let mut text = Text::default();
        text.gauge("build_info", "The program that wrote this.", &[(&[("version", &self.version)], 1.0)]);
        let running = if ending.is_some() { 0.0 } else { 1.0 };
        text.gauge("running", "1 while the run goes on, 0 after its end.", &[(&[], running)]);
        files(&mut text, tally);
        audio(&mut text, tally);
        work(&mut text, tally);
        models(&mut text, tally);
        memory(&mut text, tally);
        end(&mut text, ending);
        if ending.is_none() {
            text.0.push_str(&self.before);
        }
        text.0
    }
}

fn files(text: &mut Text, tally: &Tally) {
    let counts = tally.counts();
    let ended = [
        ("done", counts.done),
        ("skipped", counts.skipped),
        ("failed", counts.failed),
        ("limit_missed", counts.missed),
    ];
    let samples = ended.map(|(result, count)| ([("result", result)], count as f64));
    let samples: Vec<Sample<'_>> = samples.iter().map(|(labels, count)| (&labels[..], *count)).collect();
    text.counter("files_total", "Inputs by what became of them; limit_missed are done, too.", &samples);
    text.gauge("files_planned", "Inputs of the run.", &[(&[], counts.planned as f64)]);
    text.gauge(
        "files_unfinished",
        "Inputs that have not come to an end.",
        &[(&[], counts.unfinished as f64)],
    );
    text.gauge("files_in_flight", "Inputs that are being worked on.", &[(&[], tally.in_flight as f64)]);
}

fn audio(text: &mut Text, tally: &Tally) {
    let (audio, seconds) = (tally.audio_seconds, tally.seconds());
    text.counter("audio_seconds_total", "Seconds of audio of the inputs that are done.", &[(&[], audio)]);
    text.gauge("run_seconds", "Seconds since the first input was begun.", &[(&[], seconds)]);
    if audio > 0.0 {
        let help = "Seconds of work per second of audio that is done.";
        text.gauge("real_time_factor", help, &[(&[], seconds / audio)]);
    }
    let coverage = &tally.coverage;
    let parts = [
        ("transcribed", coverage.transcribed),
        ("dropped", coverage.dropped),
        ("silent", coverage.silent),
        ("skipped", coverage.skipped),
        ("not_asked_for", coverage.not_asked_for),
    ];
    let samples = parts.map(|(part, seconds)| ([("part", part)], seconds));
    let samples: Vec<Sample<'_>> = samples.iter().map(|(labels, seconds)| (&labels[..], *seconds)).collect();
    text.counter("coverage_seconds_total", "Seconds of audio by what became of them.", &samples);
}

fn work(text: &mut Text, tally: &Tally) {
    let tokens = tally.stats.map_or(0, |stats| stats.tokens);
    text.counter("chunks_total", "Chunks that are finished.", &[(&[], tally.chunks as f64)]);
    let kept = tally.chunks_kept as f64;
    text.counter("chunks_resumed_total", "Of these, taken over from an earlier run.", &[(&[], kept)]);
    text.counter("windows_total", "Windows that are finished.", &[(&[], tally.windows as f64)]);
    text.counter("tokens_total", "Tokens chosen in all attempts.", &[(&[], tokens as f64)]);
    let samples: Vec<_> =
        tally.fallbacks.iter().map(|(hot, n)| ([("temperature", hot.as_str())], *n)).collect();
    let samples: Vec<Sample<'_>> =
        samples.iter().map(|(labels, count)| (&labels[..], *count as f64)).collect();
    let help = "Windows tried again, by the temperature whose text was taken.";
    text.counter("window_fallbacks_total", help, &samples);
    let help = "Times that memory was short and fewer windows went on side by side.";
    text.counter("out_of_memory_total", help, &[(&[], tally.slots_reduced as f64)]);
    if let Some(stats) = tally.stats {
        let help = "Slots of the batch that are taken.";
        text.gauge("slots_taken", help, &[(&[], stats.taken as f64)]);
        text.gauge("slots", "Slots of the batch.", &[(&[], stats.slots as f64)]);
        let help = "Seconds without work as the audio came too slowly.";
        text.counter("starved_seconds_total", help, &[(&[], stats.starved)]);
    }
}

fn models(text: &mut Text, tally: &Tally) {
    text.counter("model_loads_total", "Models loaded.", &[(&[], tally.loads as f64)]);
    text.counter("model_load_seconds_total", "Seconds that took.", &[(&[], tally.load_seconds)]);
    let Some(cache) = &tally.cache else { return };
    let help = "Times that a model was wanted and was there.";
    text.counter("model_cache_hits_total", help, &[(&[], cache.hits as f64)]);
    let help = "Times that a model was wanted and had to be loaded.";
    text.counter("model_cache_misses_total", help, &[(&[], cache.misses as f64)]);
    let help = "Models closed for want of room.";
    text.counter("model_cache_evictions_total", help, &[(&[], cache.evictions as f64)]);
    let help = "Models that could not be closed in order.";
    text.counter("model_cache_close_failures_total", help, &[(&[], cache.close_failures as f64)]);
    let help = "Models that are loaded.";
    text.gauge("model_cache_resident", help, &[(&[], cache.resident as f64)]);
}

fn memory(text: &mut Text, tally: &Tally) {
    let host = [("device", "host")];
    let device = [("device", tally.device.as_deref().unwrap_or("device"))];
    let mut peak: Vec<Sample<'_>> = vec![(&host, tally.peak_host as f64)];
    peak.extend(tally.peak_device.map(|bytes| (&device[..], bytes as f64)));
    text.gauge("memory_peak_bytes", "The most that this process has held.", &peak);
    let Some(now) = &tally.memory else { return };
    let mut held: Vec<Sample<'_>> = vec![(&host, now.host.current as f64)];
    held.extend(now.device.map(|usage| (&device[..], usage.current as f64)));
    text.gauge("memory_bytes", "What this process held after the last chunk.", &held);
}

fn end(text: &mut Text, ending: Option<&Ending<'_>>) {
    let reason = ending.and_then(|ending| ending.stopped);
    let reasons = [CancelReason::OutputClosed, CancelReason::Interrupt, CancelReason::Terminate];
    let count = |asked: CancelReason| if reason == Some(asked) { 1.0 } else { 0.0 };
    let samples = reasons.map(|asked| ([("reason", stop_name(asked))], count(asked)));
    let samples: Vec<Sample<'_>> = samples.iter().map(|(labels, count)| (&labels[..], *count)).collect();
    text.counter("cancellations_total", "Requests to stop.", &samples);
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
    text.gauge("last_update_timestamp_seconds", "When this was written.", &[(&[], now)]);
    if let Some(ending) = ending {
        let help = "When the last run ended.";
        text.gauge("last_run_timestamp_seconds", help, &[(&[], now)]);
        let help = "What the last run ended with; see the program's help.";
        text.gauge("last_run_exit_code", help, &[(&[], f64::from(ending.exit_code))]);
    }
}

/// Labels, and a value.
type Sample<'a> = (&'a [(&'a str, &'a str)], f64);

#[derive(Default)]
struct Text(String);

impl Text {
    fn counter(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        self.family(name, "counter", help, samples);
    }

    fn gauge(&mut self, name: &str, help: &str, samples: &[Sample<'_>]) {
        self.family(name, "gauge", help, samples);
    }

    /// Writing to a string cannot fail.
    fn family(&mut self, name: &str, kind: &str, help: &str, samples: &[Sample<'_>]) {
        if samples.is_empty() {
            return;
        }
        let _ = write!(self.0, "# HELP transcribe_{name} {help}\n# TYPE transcribe_{name} {kind}\n");
        for (labels, value) in samples {
            let labels: Vec<String> =
                labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(self.0, "transcribe_{name}{labels} {value}");
        }
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
