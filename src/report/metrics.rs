//! Writes the figures of a run as text for Prometheus, in a file for the node exporter's textfile collector that is
//! replaced atomically.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::metric_sink::{MetricSink, Sample};
use super::prometheus::PrometheusText;
use super::{Ending, Tally, stop_name};
use crate::cancel::CancelReason;
use crate::error::{Error, Result};
use crate::store::write_file;

/// How old the file may get during a run.
const REFRESH: Duration = Duration::from_secs(10);

/// The first bytes of every metrics file.
const BEGINNING: &str = "# HELP ";

/// An open metrics file.
pub struct MetricsWriter {
    path: PathBuf,
    version: String,
    /// The lines about the end of the previous run.
    previous_run: String,
    written: Instant,
    /// A write error was returned.
    has_warned: bool,
}

impl MetricsWriter {
    /// Creates the file. An existing file is replaced only if it holds metrics.
    pub fn create(path: &Path, version: &str, tally: &Tally) -> Result<Self> {
        let mut beginning = Vec::new();
        let read =
            File::open(path).and_then(|file| file.take(BEGINNING.len() as u64).read_to_end(&mut beginning));
        if path.is_file() && (read.is_err() || !BEGINNING.as_bytes().starts_with(&beginning)) {
            return Err(Error::Usage {
                what: format!("`--metrics-file {}`", path.display()),
                why: "exists and does not hold metrics".into(),
                hint: Some("choose another name".into()),
            });
        }
        let previous_run = std::fs::read_to_string(path).unwrap_or_default();
        let of_end = |line: &&str| line.contains("transcribe_last_run_");
        let previous_run = previous_run.lines().filter(of_end).map(|line| format!("{line}\n")).collect();
        let (path, version) = (path.to_owned(), version.to_owned());
        let metrics = Self { path, version, previous_run, written: Instant::now(), has_warned: false };
        write_file(&metrics.path, metrics.text(tally, None).as_bytes())?;
        Ok(metrics)
    }

    /// Rewrites the file if it is due. An error is returned only the first time.
    pub fn tick(&mut self, tally: &Tally) -> Option<Error> {
        if self.written.elapsed() < REFRESH { None } else { self.write(tally, None) }
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
        let mut text = PrometheusText::default();
        text.gauge(
            "build_info",
            "The program that wrote this file.",
            &[(&[("version", &self.version)], 1.0)],
        );
        let running = if ending.is_some() { 0.0 } else { 1.0 };
        text.gauge("running", "1 during the run, 0 after its end.", &[(&[], running)]);
        files(&mut text, tally);
        audio(&mut text, tally);
        work(&mut text, tally);
        models(&mut text, tally);
        memory(&mut text, tally);
        end(&mut text, ending);
        if ending.is_none() {
            text.push_lines(&self.previous_run);
        }
        text.into_string()
    }
}

fn files(text: &mut PrometheusText, tally: &Tally) {
    let counts = tally.counts();
    let ended = [
        ("done", counts.done),
        ("skipped", counts.skipped),
        ("failed", counts.failed),
        ("limit_missed", counts.missed),
    ];
    let samples = ended.map(|(result, count)| ([("result", result)], count as f64));
    let samples: Vec<Sample<'_>> = samples.iter().map(|(labels, count)| (&labels[..], *count)).collect();
    text.counter("files_total", "Inputs by result; limit_missed ones are also done.", &samples);
    text.gauge("files_planned", "Planned inputs of the run.", &[(&[], counts.planned as f64)]);
    text.gauge("files_unfinished", "Inputs that have not ended.", &[(&[], counts.unfinished as f64)]);
    text.gauge("files_in_flight", "Inputs in flight.", &[(&[], tally.in_flight as f64)]);
}

fn audio(text: &mut PrometheusText, tally: &Tally) {
    let (audio, seconds) = (tally.audio_seconds, tally.seconds());
    text.counter("audio_seconds_total", "Seconds of audio of the inputs that are done.", &[(&[], audio)]);
    text.gauge("run_seconds", "Seconds since the first input started.", &[(&[], seconds)]);
    if audio > 0.0 {
        let help = "Seconds of work per second of finished audio.";
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
    text.counter("coverage_seconds_total", "Seconds of audio by result.", &samples);
}

fn work(text: &mut PrometheusText, tally: &Tally) {
    let tokens = tally.stats.map_or(0, |stats| stats.tokens);
    text.counter("chunks_total", "Finished chunks.", &[(&[], tally.chunks as f64)]);
    let kept = tally.chunks_kept as f64;
    text.counter("chunks_resumed_total", "Finished chunks that come from an earlier run.", &[(&[], kept)]);
    text.counter("windows_total", "Finished windows.", &[(&[], tally.windows as f64)]);
    text.counter("tokens_total", "Tokens decoded in all attempts.", &[(&[], tokens as f64)]);
    let samples: Vec<_> =
        tally.fallbacks.iter().map(|(hot, n)| ([("temperature", hot.as_str())], *n)).collect();
    let samples: Vec<Sample<'_>> =
        samples.iter().map(|(labels, count)| (&labels[..], *count as f64)).collect();
    let help = "Windows with a fallback, by the temperature of the accepted attempt.";
    text.counter("window_fallbacks_total", help, &samples);
    let help = "Times that memory ran short and the number of window slots was reduced.";
    text.counter("out_of_memory_total", help, &[(&[], tally.slots_reduced as f64)]);
    if let Some(stats) = tally.stats {
        let help = "Occupied window slots.";
        text.gauge("slots_taken", help, &[(&[], stats.taken as f64)]);
        text.gauge("slots", "Window slots.", &[(&[], stats.slots as f64)]);
        let help = "Seconds that the engine waited for audio.";
        text.counter("starved_seconds_total", help, &[(&[], stats.starved)]);
    }
}

fn models(text: &mut PrometheusText, tally: &Tally) {
    text.counter("model_loads_total", "Models loaded.", &[(&[], tally.loads as f64)]);
    text.counter("model_load_seconds_total", "Seconds spent loading models.", &[(&[], tally.load_seconds)]);
    let Some(cache) = &tally.cache else { return };
    let help = "Leases of a loaded model.";
    text.counter("model_cache_hits_total", help, &[(&[], cache.hits as f64)]);
    let help = "Leases that had to load the model.";
    text.counter("model_cache_misses_total", help, &[(&[], cache.misses as f64)]);
    let help = "Models closed to make room for others.";
    text.counter("model_cache_evictions_total", help, &[(&[], cache.evictions as f64)]);
    let help = "Models that could not be closed.";
    text.counter("model_cache_close_failures_total", help, &[(&[], cache.close_failures as f64)]);
    let help = "Loaded models.";
    text.gauge("model_cache_resident", help, &[(&[], cache.resident as f64)]);
}

fn memory(text: &mut PrometheusText, tally: &Tally) {
    let host = [("device", "host")];
    let device = [("device", tally.device.as_deref().unwrap_or("device"))];
    let mut peak: Vec<Sample<'_>> = vec![(&host, tally.peak_host as f64)];
    peak.extend(tally.peak_device.map(|bytes| (&device[..], bytes as f64)));
    text.gauge("memory_peak_bytes", "The most memory that this process has held.", &peak);
    let Some(now) = &tally.memory else { return };
    let mut held: Vec<Sample<'_>> = vec![(&host, now.host.current as f64)];
    held.extend(now.device.map(|usage| (&device[..], usage.current as f64)));
    text.gauge("memory_bytes", "Memory that this process held after the last chunk.", &held);
}

fn end(text: &mut PrometheusText, ending: Option<&Ending<'_>>) {
    let reason = ending.and_then(|ending| ending.stopped);
    let reasons = [CancelReason::OutputClosed, CancelReason::Interrupt, CancelReason::Terminate];
    let count = |asked: CancelReason| if reason == Some(asked) { 1.0 } else { 0.0 };
    let samples = reasons.map(|asked| ([("reason", stop_name(asked))], count(asked)));
    let samples: Vec<Sample<'_>> = samples.iter().map(|(labels, count)| (&labels[..], *count)).collect();
    text.counter("cancellations_total", "Cancellations by reason.", &samples);
    let now = jiff::Timestamp::now().as_millisecond() as f64 / 1e3;
    text.gauge("last_update_timestamp_seconds", "When this file was written.", &[(&[], now)]);
    if let Some(ending) = ending {
        let help = "When the last run ended.";
        text.gauge("last_run_timestamp_seconds", help, &[(&[], now)]);
        let help = "Exit code of the last run.";
        text.gauge("last_run_exit_code", help, &[(&[], f64::from(ending.exit_code))]);
    }
}
