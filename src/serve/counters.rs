//! What the server counts since its start, and its metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::jobs::JobCounts;
use super::record::JobState;
use crate::device::memory::MemoryStats;
use crate::engine::EngineStats;
use crate::report::{MetricSink, Sample};

/// Upper bounds of the histograms, in seconds.
const BOUNDS: [f64; 12] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 180.0, 600.0, 1800.0, 3600.0, 14400.0];

/// Figures of a moment, which are written with what was counted.
pub struct ServerFigures {
    pub jobs: JobCounts,
    pub stats: Option<EngineStats>,
    pub memory: Option<MemoryStats>,
}

/// See the module.
#[derive(Default)]
pub struct Counters(Mutex<ServerCounts>);

#[derive(Default)]
struct ServerCounts {
    /// Jobs and requests that ended, by state.
    ended: BTreeMap<&'static str, u64>,
    audio_seconds: f64,
    wait: Histogram,
    work: Histogram,
    /// Answered requests by route and status.
    answered: BTreeMap<(String, u16), u64>,
    /// Requests that were not accepted, by reason.
    refused: BTreeMap<&'static str, u64>,
    uploaded: u64,
    /// Submissions that repeated an earlier one.
    repeated: u64,
    /// Jobs and requests that got the smaller model.
    fallbacks: u64,
    webhooks: BTreeMap<&'static str, u64>,
    /// Attempts to send metrics to a collector.
    pushes: BTreeMap<&'static str, u64>,
    /// The last reason why the state could not be written.
    state_failure: Option<String>,
    state_failures: u64,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    sum: f64,
    count: u64,
}

impl Histogram {
    fn add(&mut self, value: f64) {
        let above = BOUNDS.iter().zip(&mut self.buckets).filter(|(bound, _)| value <= **bound);
        above.for_each(|(_, count)| *count += 1);
        self.sum += value;
        self.count += 1;
    }

    fn write(&self, text: &mut dyn MetricSink, name: &str, help: &str) {
        let buckets: Vec<(f64, u64)> = BOUNDS.into_iter().zip(self.buckets).collect();
        text.histogram(name, help, &buckets, self.sum, self.count);
    }
}

impl Counters {
    fn counts(&self) -> MutexGuard<'_, ServerCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a job that started after so many seconds.
    pub fn waited(&self, seconds: Option<f64>) {
        let mut counts = self.counts();
        seconds.into_iter().for_each(|seconds| counts.wait.add(seconds));
    }

    /// Counts the audio and the work of a transcript.
    pub fn completed(&self, audio: f64, seconds: f64) {
        let mut counts = self.counts();
        counts.audio_seconds += audio;
        counts.work.add(seconds);
    }

    pub fn ended(&self, state: JobState) {
        *self.counts().ended.entry(state.name()).or_default() += 1;
    }

    /// Counts an answer. The route is the pattern, so that there are few.
    pub fn answered(&self, route: String, status: u16) {
        *self.counts().answered.entry((route, status)).or_default() += 1;
    }

    pub fn refused(&self, why: &'static str) {
        *self.counts().refused.entry(why).or_default() += 1;
    }

    /// Counts a submission that repeats an earlier one.
    pub fn repeated(&self) {
        self.counts().repeated += 1;
    }

    /// Counts a job that gets the smaller model.
    pub fn fell_back(&self) {
        self.counts().fallbacks += 1;
    }

    /// Returns how many jobs got the smaller model.
    pub fn fallbacks(&self) -> u64 {
        self.counts().fallbacks
    }

    pub fn uploaded(&self, bytes: u64) {
        self.counts().uploaded += bytes;
    }

    /// Counts a call of a webhook.
    pub fn webhook(&self, outcome: &'static str) {
        *self.counts().webhooks.entry(outcome).or_default() += 1;
    }

    /// Counts an attempt to send metrics to a collector.
    pub fn pushed(&self, outcome: &'static str) {
        *self.counts().pushes.entry(outcome).or_default() += 1;
    }

    /// Notes that the state of a job could not be stored.
    pub fn state_failed(&self, why: &str) {
        let mut counts = self.counts();
        counts.state_failures += 1;
        counts.state_failure = Some(why.to_owned());
    }

    /// Returns why the state could not be stored, if that happened.
    pub fn state_failure(&self) -> Option<String> {
        self.counts().state_failure.clone()
    }

    /// Writes everything.
    pub fn write(&self, text: &mut dyn MetricSink, figures: &ServerFigures) {
        let ServerFigures { jobs, stats, memory } = *figures;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        text.gauge("build_info", "The program.", &[(&version, 1.0)]);
        let states = [("fetching", jobs.fetching), ("queued", jobs.queued), ("running", jobs.running)];
        labelled(text, true, "jobs", "Jobs and requests now, by state.", "state", &states.map(as_float));
        text.gauge("jobs_stored", "Jobs that have ended and are kept.", &[(&[], jobs.ended as f64)]);
        let counts = self.counts();
        let all = |map: &BTreeMap<&'static str, u64>| {
            map.iter().map(|(name, count)| (*name, *count as f64)).collect::<Vec<_>>()
        };
        labelled(
            text,
            false,
            "jobs_ended_total",
            "Jobs and requests that ended, by state.",
            "state",
            &all(&counts.ended),
        );
        labelled(
            text,
            false,
            "refused_total",
            "Requests that were not accepted, by reason.",
            "reason",
            &all(&counts.refused),
        );
        labelled(
            text,
            false,
            "webhooks_total",
            "Calls of webhooks, by outcome.",
            "outcome",
            &all(&counts.webhooks),
        );
        labelled(
            text,
            false,
            "otlp_pushes_total",
            "Attempts to send metrics to a collector, by outcome.",
            "outcome",
            &all(&counts.pushes),
        );
        text.counter("audio_seconds_total", "Seconds of audio transcribed.", &[(&[], counts.audio_seconds)]);
        text.counter(
            "uploaded_bytes_total",
            "Bytes of recordings received.",
            &[(&[], counts.uploaded as f64)],
        );
        let help = "Submissions that repeated an earlier one with its Idempotency-Key.";
        text.counter("repeated_submissions_total", help, &[(&[], counts.repeated as f64)]);
        let help = "Jobs and requests that got the smaller model because memory was short.";
        text.counter("fallback_model_total", help, &[(&[], counts.fallbacks as f64)]);
        let help = "Failures to store the state of a job.";
        text.counter("state_failures_total", help, &[(&[], counts.state_failures as f64)]);
        counts.wait.write(text, "job_wait_seconds", "Time from acceptance to the start.");
        counts.work.write(text, "job_work_seconds", "Time from the start to the end.");
        let answered: Vec<(&str, String, u64)> = counts
            .answered
            .iter()
            .map(|((route, status), count)| (route.as_str(), status.to_string(), *count))
            .collect();
        let labels: Vec<[(&str, &str); 2]> =
            answered.iter().map(|(route, status, _)| [("route", *route), ("status", status)]).collect();
        let samples: Vec<Sample<'_>> =
            labels.iter().zip(&answered).map(|(labels, (.., count))| (&labels[..], *count as f64)).collect();
        text.counter("http_requests_total", "Answered requests, by route and status.", &samples);
        drop(counts);
        engine(text, stats, memory);
    }
}

fn as_float((name, count): (&'static str, usize)) -> (&'static str, f64) {
    (name, count as f64)
}

fn labelled(
    text: &mut dyn MetricSink,
    is_gauge: bool,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[(&'static str, f64)],
) {
    let labels: Vec<[(&str, &str); 1]> = values.iter().map(|(value, _)| [(label, *value)]).collect();
    let samples: Vec<Sample<'_>> =
        labels.iter().zip(values).map(|(labels, (_, count))| (&labels[..], *count)).collect();
    match is_gauge {
        true => text.gauge(name, help, &samples),
        false => text.counter(name, help, &samples),
    }
}

fn engine(text: &mut dyn MetricSink, stats: Option<EngineStats>, memory: Option<MemoryStats>) {
    if let Some(stats) = stats {
        text.gauge("slots", "Window slots of the loaded models.", &[(&[], stats.slots as f64)]);
        text.gauge("slots_taken", "Window slots in use.", &[(&[], stats.taken as f64)]);
        text.counter("windows_total", "Windows encoded.", &[(&[], stats.windows as f64)]);
        text.counter("tokens_total", "Tokens chosen.", &[(&[], stats.tokens as f64)]);
        let help = "Steps of the decoder, each over all running sequences.";
        text.counter("decoder_steps_total", help, &[(&[], stats.steps as f64)]);
        let help = "Sequences in all steps together; by steps, the mean size of the batch.";
        text.counter("decoder_rows_total", help, &[(&[], stats.rows as f64)]);
        let spent =
            [("encoding", stats.encoding), ("decoding", stats.decoding), ("aligning", stats.aligning)];
        let help = "Seconds of the engines' work, by kind.";
        labelled(text, false, "engine_seconds_total", help, "kind", &spent);
        let help = "Seconds that the engines waited for audio.";
        text.counter("starved_seconds_total", help, &[(&[], stats.starved)]);
        text.counter(
            "fallbacks_total",
            "Windows whose first attempt was rejected.",
            &[(&[], stats.fallbacks as f64)],
        );
    }
    if let Some(memory) = memory {
        let (host, device) = ([("of", "host")], [("of", "device")]);
        let mut held: Vec<Sample<'_>> = vec![(&host, memory.host.current as f64)];
        held.extend(memory.device.map(|usage| (&device[..], usage.current as f64)));
        text.gauge("memory_bytes", "Memory that this process holds.", &held);
        let mut free: Vec<Sample<'_>> = vec![(&host, memory.host.free as f64)];
        free.extend(memory.device.map(|usage| (&device[..], usage.free as f64)));
        text.gauge("memory_free_bytes", "Memory that is free.", &free);
    }
}
