//! The state of the progress display, and its layout in rows and columns. Draws nothing and reads no clock.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::DecimalBytes;
use serde_json::{Value, json};

use super::rate::RateEstimator;
use super::text::{bar, clock, columns, fitted, joined, shortened};
use crate::engine::EngineStats;
use crate::plan::InputName;
use crate::report::Tally;
use crate::run::RunEvent;

/// The maximum number of inputs shown, each in a line.
const MAX_LINES: usize = 8;
/// The columns below which a line has less content.
const WIDE: usize = 60;
const NARROW: usize = 30;
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];
/// The seconds after which a speed is meaningful.
const SPEED_AFTER: f64 = 1.0;

/// The state of the progress display.
#[derive(Default)]
pub struct ProgressModel {
    activity: RunActivity,
    /// The model that is being loaded, and since when.
    loading: Option<(String, Instant)>,
    inputs: Vec<InputProgress>,
    /// The known durations in seconds of inputs that have not started.
    waiting: BTreeMap<InputName, f64>,
    /// The seconds of audio of started inputs, and how many of them are done.
    known: f64,
    done: f64,
    stats: EngineStats,
    /// When the first input started, and how fast inputs have been processed since.
    started: Option<(Instant, RateEstimator)>,
    ticks: usize,
}

#[derive(Default)]
enum RunActivity {
    #[default]
    Idle,
    Downloading {
        file: String,
        done: u64,
        total: u64,
        rate: RateEstimator,
    },
    Transcribing,
}

/// The progress of an input, in seconds of its audio.
struct InputProgress {
    name: InputName,
    done: f64,
    known: f64,
}

impl ProgressModel {
    pub fn record(&mut self, event: &RunEvent, tally: &Tally, now: Instant) {
        match event {
            RunEvent::Planned { item } => {
                self.waiting
                    .extend(item.length.filter(|_| !item.is_done).map(|length| (item.name(), length)));
            }
            RunEvent::ModelLoading { model, device } => {
                self.loading = Some((format!("loading {model} on {device}"), now));
                self.end_download();
            }
            RunEvent::Downloading { file, done, total } => self.download(file, *done, *total, now),
            RunEvent::ModelLoaded { .. } => {
                self.loading = None;
                self.end_download();
            }
            RunEvent::Started { input, .. } => {
                self.waiting.remove(input);
                self.activity = RunActivity::Transcribing;
                self.started.get_or_insert((now, RateEstimator::new(0.0, now)));
                self.inputs.push(InputProgress { name: input.clone(), done: 0.0, known: 0.0 });
            }
            RunEvent::Progress { input, done, known, input_done, input_known, stats, .. } => {
                (self.done, self.known, self.stats) = (*done, *known, *stats);
                if let Some((_, rate)) = &mut self.started {
                    // What an earlier run has done is not part of this run's speed.
                    rate.record((*done - tally.seconds_kept).max(0.0), now);
                }
                if let Some(input) = self.inputs.iter_mut().find(|shown| shown.name == *input) {
                    (input.done, input.known) = (*input_done, *input_known);
                }
            }
            RunEvent::Finished { input, .. }
            | RunEvent::Converted { input }
            | RunEvent::Failed { input, .. }
            | RunEvent::HeldElsewhere { input, .. } => {
                self.waiting.remove(input);
                if let Some(index) = self.inputs.iter().position(|shown| shown.name == *input) {
                    self.inputs.remove(index);
                }
                if tally.counts().unfinished == 0 {
                    self.activity = RunActivity::Idle;
                }
            }
            _ => {}
        }
    }

    fn end_download(&mut self) {
        self.activity = if self.inputs.is_empty() { RunActivity::Idle } else { RunActivity::Transcribing };
    }

    /// Returns the known seconds of audio of all inputs.
    fn total_seconds(&self) -> f64 {
        self.known + self.waiting.values().sum::<f64>()
    }

    fn download(&mut self, name: &str, bytes: u64, total_bytes: u64, now: Instant) {
        match &mut self.activity {
            RunActivity::Downloading { file, done, total, rate } if file == name => {
                (*done, *total) = (bytes, total_bytes);
                rate.record(bytes as f64, now);
            }
            // What an earlier download fetched is not part of the speed.
            _ => {
                let rate = RateEstimator::new(bytes as f64, now);
                self.activity =
                    RunActivity::Downloading { file: name.to_owned(), done: bytes, total: total_bytes, rate };
            }
        }
    }

    pub fn is_active(&self) -> bool {
        self.loading.is_some() || !matches!(self.activity, RunActivity::Idle)
    }

    /// Lays out the display for a terminal of some rows and columns. No line fills the columns, and one row stays free.
    pub fn lines(
        &mut self,
        (rows, terminal_columns): (usize, usize),
        tally: &Tally,
        now: Instant,
    ) -> Vec<String> {
        self.ticks += 1;
        let width = terminal_columns.saturating_sub(1).max(1);
        let mut lines: Vec<String> =
            self.loading.iter().map(|loading| self.loading_line(loading, width, now)).collect();
        match &self.activity {
            RunActivity::Idle => {}
            RunActivity::Downloading { file, done, total, rate } => {
                lines.push(download_line(file, *done, *total, rate.per_second(now).unwrap_or(0.0), width));
            }
            RunActivity::Transcribing => {
                lines.extend(
                    self.input_lines(rows.saturating_sub(2 + lines.len()).clamp(1, MAX_LINES), width),
                );
                lines.push(joined(&self.total_parts(tally, now), width));
            }
        }
        lines
    }

    fn loading_line(&self, (what, since): &(String, Instant), width: usize, now: Instant) -> String {
        let spinner = SPINNER[self.ticks % SPINNER.len()];
        let elapsed = clock(now.saturating_duration_since(*since).as_secs_f64().floor());
        joined(&[format!("{spinner} {what}"), elapsed], width)
    }

    fn input_lines(&self, max: usize, width: usize) -> Vec<String> {
        let shown = if self.inputs.len() <= max { max } else { max - 1 };
        let mut lines: Vec<String> = self.inputs.iter().take(shown).map(|input| input.line(width)).collect();
        if self.inputs.len() > shown {
            lines.push(shortened(&format!("and {} more", self.inputs.len() - shown), width));
        }
        lines
    }

    /// Returns the parts of the last line, the most important first.
    fn total_parts(&self, tally: &Tally, now: Instant) -> Vec<String> {
        let counts = tally.counts();
        let times = format!("total {}/{}", clock(self.done), clock(self.total_seconds()));
        let ended = counts.planned - counts.unfinished;
        let mut parts = vec![times];
        parts.extend(self.speed(now).map(|speed| format!("{speed:.1}x")));
        parts.extend(self.eta(now).map(|seconds| format!("eta {}", clock(seconds))));
        if counts.planned > 1 {
            parts.push(format!("{ended}/{} files", counts.planned));
        }
        if counts.failed > 0 {
            parts.push(format!("{} failed", counts.failed));
        }
        parts.extend(self.slots().map(|(taken, slots)| format!("{taken}/{slots} slots")));
        parts.extend(memory(tally));
        parts
    }

    /// Returns the seconds of audio processed per second by this run.
    fn speed(&self, now: Instant) -> Option<f64> {
        let (start, rate) = self.started?;
        let elapsed = now.saturating_duration_since(start).as_secs_f64();
        rate.per_second(now).filter(|_| elapsed > SPEED_AFTER)
    }

    /// Returns the seconds until all known audio is done.
    fn eta(&self, now: Instant) -> Option<f64> {
        Some((self.total_seconds() - self.done).max(0.0) / self.speed(now)?)
    }

    fn slots(&self) -> Option<(usize, usize)> {
        (self.stats.slots > 0).then_some((self.stats.taken, self.stats.slots))
    }

    /// Returns the progress as one line for a log.
    pub fn sentence(&self, tally: &Tally, now: Instant) -> String {
        let counts = tally.counts();
        let mut parts = match &self.activity {
            RunActivity::Downloading { file, done, total, .. } => {
                vec![format!("downloading {file}"), format!("{} of {}", size(*done), size(*total))]
            }
            RunActivity::Idle | RunActivity::Transcribing => {
                let percent =
                    if self.total_seconds() > 0.0 { self.done / self.total_seconds() * 100.0 } else { 0.0 };
                let (done, known) = (clock(self.done), clock(self.total_seconds()));
                let mut parts = vec![format!("{done} of {known} done ({percent:.0} %)")];
                parts.extend(self.speed(now).map(|speed| format!("{speed:.1}x")));
                parts.extend(self.eta(now).map(|seconds| format!("eta {}", clock(seconds))));
                let ended = counts.planned - counts.unfinished;
                parts.push(format!("{ended} of {} files", counts.planned));
                parts
            }
        };
        parts.extend(self.loading.iter().map(|(what, _)| what.clone()));
        if counts.failed > 0 {
            parts.push(format!("{} failed", counts.failed));
        }
        parts.extend(self.slots().map(|(taken, slots)| format!("{taken} of {slots} slots")));
        parts.extend(memory(tally));
        format!("progress: {}", parts.join(", "))
    }

    /// Returns the progress as JSON for programs.
    pub fn object(&self, tally: &Tally, now: Instant) -> Value {
        let tenth = |number: f64| (number * 10.0).round() / 10.0;
        let input = |input: &InputProgress| json!({"input": &*input.name, "done_seconds": tenth(input.done), "known_seconds": tenth(input.known)});
        let doing = match &self.activity {
            RunActivity::Idle if self.loading.is_some() => "loading",
            RunActivity::Idle => "nothing",
            RunActivity::Downloading { .. } => "downloading",
            RunActivity::Transcribing => "transcribing",
        };
        let memory = tally.memory;
        json!({
            "event": "progress",
            "time": format!("{:.3}", jiff::Timestamp::now()),
            "doing": doing,
            "done_seconds": tenth(self.done),
            "known_seconds": tenth(self.total_seconds()),
            "speed": self.speed(now).map(tenth),
            "eta_seconds": self.eta(now).map(tenth),
            "counts": tally.counts(),
            "slots": self.slots().map(|(taken, slots)| json!({"taken": taken, "all": slots})),
            "memory": {
                "host": memory.map(|memory| memory.host.current),
                "device": memory.and_then(|memory| memory.device).map(|usage| usage.current),
            },
            "files": self.inputs.iter().map(input).collect::<Vec<_>>(),
        })
    }
}

impl InputProgress {
    fn line(&self, width: usize) -> String {
        let share = if self.known > 0.0 { self.done / self.known } else { 0.0 };
        let times = format!("{}/{}", clock(self.done), clock(self.known));
        // Until the first window is decoded, no share of the audio is done.
        let percent = match self.done > 0.0 {
            true => format!("{:>3.0} %", share.min(1.0) * 100.0),
            false => "encoding".to_owned(),
        };
        let rest = match width {
            WIDE.. => format!("{}  {times:>15}  {percent}", bar(share, 20)),
            NARROW.. => format!("{} {times:>13}", bar(share, 8)),
            _ => percent,
        };
        let name_width = width.saturating_sub(columns(&rest) + 1);
        shortened(&format!("{} {rest}", fitted(&self.name, name_width)), width)
    }
}

fn download_line(file: &str, done: u64, total: u64, speed: f64, width: usize) -> String {
    let mut parts = vec![format!("{}/{}", size(done), size(total))];
    if speed > 0.0 {
        parts.push(format!("{}/s", size(speed as u64)));
        parts.push(format!("eta {}", clock(total.saturating_sub(done) as f64 / speed)));
    }
    let rest = joined(&parts, width.saturating_sub(20).max(width / 2));
    let name_width = width.saturating_sub(columns(&rest) + 2);
    shortened(&format!("{}  {rest}", shortened(&format!("downloading {file}"), name_width)), width)
}

fn memory(tally: &Tally) -> Option<String> {
    let memory = tally.memory?;
    let host = size(memory.host.current);
    Some(memory.device.map_or(host.clone(), |device| format!("{host} + {}", size(device.current))))
}

fn size(bytes: u64) -> String {
    DecimalBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn model(names: &[&str]) -> ProgressModel {
        let input = |name: &&str| InputProgress { name: (*name).into(), done: 62.0, known: 36_300.0 };
        ProgressModel {
            activity: RunActivity::Transcribing,
            inputs: names.iter().map(input).collect(),
            known: 40_000.0,
            done: 100.0,
            ..ProgressModel::default()
        }
    }

    #[test]
    fn speed_and_eta_follow_the_clock() {
        let (tally, start) = (Tally::new(|_| 1), Instant::now());
        let mut model = model(&["a.mp3"]);
        let mut rate = RateEstimator::new(0.0, start);
        let now = start + Duration::from_secs(10);
        rate.record(100.0, now);
        model.started = Some((start, rate));
        assert!(model.sentence(&tally, start).contains("done (0 %), 0 of 0 files"));
        assert!(model.sentence(&tally, now).contains("done (0 %), 10.0x, eta 1:06:30, 0 of 0 files"));
        assert_eq!(model.object(&tally, now)["eta_seconds"], 3_990.0);
    }

    #[test]
    fn lines_fit_into_the_terminal() {
        let names = [
            "a.mp3",
            "会議の録音その一そのニその三その四その五.mp3",
            "a very long name of a very long talk.flac",
        ];
        let (tally, now) = (Tally::new(|_| 1), Instant::now());
        for width in [10, 20, 29, 30, 40, 60, 80, 200] {
            for rows in [2, 3, 4, 24] {
                let lines = model(&names).lines((rows, width), &tally, now);
                assert!(lines.iter().all(|line| columns(line) < width), "{width}: {lines:#?}");
                assert!(lines.len() < rows.max(3), "{rows}: {lines:#?}");
                assert!(lines.last().unwrap().starts_with("tot"), "{lines:#?}");
            }
        }
        let lines = model(&names).lines((24, 80), &tally, now);
        assert_eq!(lines[0], format!("{:35}[                  ]    1:02/10:05:00    0 %", "a.mp3"));
    }

    #[test]
    fn counts_inputs_that_do_not_fit() {
        let names: Vec<String> = (0..20).map(|n| format!("{n}.mp3")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (tally, now) = (Tally::new(|_| 1), Instant::now());
        let lines = model(&names).lines((24, 80), &tally, now);
        assert_eq!((lines.len(), lines[7].as_str()), (9, "and 13 more"));
        assert_eq!(model(&names).lines((6, 80), &tally, now)[3], "and 17 more");
    }
}
