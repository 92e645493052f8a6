//! What is to be shown of the progress, and how it looks in so many rows and columns. Draws nothing.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::pace::Pace;
use super::text::{bar, columns, fitted, joined, length, shortened, size};
use crate::engine::EngineStats;
use crate::report::Tally;
use crate::run::RunEvent;

/// Inputs that are shown at most, each in a line.
const LINES: usize = 8;
/// In fewer columns a line has less in it.
const WIDE: usize = 60;
const NARROW: usize = 30;
const SPINNER: [char; 4] = ['|', '/', '-', '\\'];
/// Before that, a speed means nothing.
const SETTLED: f64 = 1.0;

/// See the module.
#[derive(Default)]
pub struct Board {
    doing: Doing,
    /// A model that is being loaded, and since when.
    loading: Option<(String, Instant)>,
    files: Vec<File>,
    /// Seconds of the inputs that are not begun, as far as they are known.
    waiting: BTreeMap<String, f64>,
    /// Seconds of audio of the inputs begun, and of those the seconds that are done.
    known: f64,
    done: f64,
    stats: EngineStats,
    began: Option<Instant>,
    pace: Pace,
    ticks: usize,
}

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    Download {
        file: String,
        done: u64,
        total: u64,
        pace: Pace,
    },
    Work,
}

struct File {
    name: String,
    done: f64,
    known: f64,
}

impl Board {
    pub fn record(&mut self, event: &RunEvent, tally: &Tally) {
        match event {
            RunEvent::Planned { item } => {
                self.waiting
                    .extend(item.length.filter(|_| !item.is_done).map(|length| (item.name(), length)));
            }
            RunEvent::ModelLoading { model, device } => {
                self.loading = Some((format!("loading {model} on {device}"), Instant::now()));
                self.settle();
            }
            RunEvent::Downloading { file, done, total } => self.download(file, *done, *total),
            RunEvent::ModelLoaded { .. } => {
                self.loading = None;
                self.settle();
            }
            RunEvent::Started { input, .. } => {
                self.waiting.remove(input);
                self.doing = Doing::Work;
                self.began.get_or_insert_with(Instant::now);
                self.files.push(File { name: input.clone(), done: 0.0, known: 0.0 });
            }
            RunEvent::Progress { input, done, known, input_done, input_known, stats, .. } => {
                (self.done, self.known, self.stats) = (*done, *known, *stats);
                self.pace.reach(self.done - tally.seconds_kept);
                if let Some(file) = self.files.iter_mut().find(|file| file.name == *input) {
                    (file.done, file.known) = (*input_done, *input_known);
                }
            }
            RunEvent::Finished { input, .. }
            | RunEvent::Converted { input }
            | RunEvent::Failed { input, .. }
            | RunEvent::HeldElsewhere { input, .. } => {
                self.waiting.remove(input);
                if let Some(place) = self.files.iter().position(|file| file.name == *input) {
                    self.files.remove(place);
                }
                if tally.counts().unfinished == 0 {
                    self.doing = Doing::Nothing;
                }
            }
            _ => {}
        }
    }

    /// A download is over.
    fn settle(&mut self) {
        self.doing = if self.files.is_empty() { Doing::Nothing } else { Doing::Work };
    }

    /// Seconds of audio of all inputs, as far as they are known.
    fn all(&self) -> f64 {
        self.known + self.waiting.values().sum::<f64>()
    }

    fn download(&mut self, name: &str, now: u64, all: u64) {
        match &mut self.doing {
            Doing::Download { file, done, total, pace } if file == name => {
                (*done, *total) = (now, all);
                pace.reach(now as f64);
            }
            // Where a download was taken up is no speed.
            _ => {
                let pace = Pace::default();
                self.doing = Doing::Download { file: name.to_owned(), done: now, total: all, pace };
            }
        }
    }

    pub fn is_at_work(&self) -> bool {
        self.loading.is_some() || !matches!(self.doing, Doing::Nothing)
    }

    /// No line fills the columns, and one row stays free.
    pub fn lines(&mut self, rows: usize, terminal_columns: usize, tally: &Tally) -> Vec<String> {
        self.ticks += 1;
        let width = terminal_columns.saturating_sub(1).max(1);
        let mut lines: Vec<String> =
            self.loading.iter().map(|loading| self.loading_line(loading, width)).collect();
        match &self.doing {
            Doing::Nothing => {}
            Doing::Download { file, done, total, pace } => {
                lines.push(download_line(file, *done, *total, pace.per_second().unwrap_or(0.0), width));
            }
            Doing::Work => {
                lines.extend(self.file_lines(rows.saturating_sub(2 + lines.len()).clamp(1, LINES), width));
                lines.push(joined(&self.total(tally), width));
            }
        }
        lines
    }

    fn loading_line(&self, (what, since): &(String, Instant), width: usize) -> String {
        let spinner = SPINNER[self.ticks % SPINNER.len()];
        let since = length(since.elapsed().as_secs_f64().floor());
        joined(&[format!("{spinner} {what}"), since], width)
    }

    fn file_lines(&self, most: usize, width: usize) -> Vec<String> {
        let shown = if self.files.len() <= most { most } else { most - 1 };
        let mut lines: Vec<String> = self.files.iter().take(shown).map(|file| file.line(width)).collect();
        if self.files.len() > shown {
            lines.push(shortened(&format!("and {} more", self.files.len() - shown), width));
        }
        lines
    }

    /// What a person wants to know first comes first.
    fn total(&self, tally: &Tally) -> Vec<String> {
        let counts = tally.counts();
        let times = format!("total {}/{}", length(self.done), length(self.all()));
        let ended = counts.planned - counts.unfinished;
        let mut parts = vec![times];
        parts.extend(self.speed().map(|speed| format!("{speed:.1}x")));
        parts.extend(self.eta().map(|seconds| format!("eta {}", length(seconds))));
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

    /// Seconds of audio per second, without those that an earlier run has done.
    fn speed(&self) -> Option<f64> {
        let settled = self.began.is_some_and(|began| began.elapsed().as_secs_f64() > SETTLED);
        self.pace.per_second().filter(|_| settled)
    }

    /// Seconds until what is known is done.
    fn eta(&self) -> Option<f64> {
        Some((self.all() - self.done).max(0.0) / self.speed()?)
    }

    fn slots(&self) -> Option<(usize, usize)> {
        (self.stats.slots > 0).then_some((self.stats.taken, self.stats.slots))
    }

    /// All of it in one line for a log.
    pub fn sentence(&self, tally: &Tally) -> String {
        let counts = tally.counts();
        let mut parts = match &self.doing {
            Doing::Download { file, done, total, .. } => {
                vec![format!("downloading {file}"), format!("{} of {}", size(*done), size(*total))]
            }
            Doing::Nothing | Doing::Work => {
                let percent = if self.all() > 0.0 { self.done / self.all() * 100.0 } else { 0.0 };
                let (done, known) = (length(self.done), length(self.all()));
                let mut parts = vec![format!("{done} of {known} done ({percent:.0} %)")];
                parts.extend(self.speed().map(|speed| format!("{speed:.1}x")));
                parts.extend(self.eta().map(|seconds| format!("eta {}", length(seconds))));
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

    /// All of it for a program.
    pub fn object(&self, tally: &Tally) -> Value {
        let tenth = |number: f64| (number * 10.0).round() / 10.0;
        let file = |file: &File| json!({"input": file.name, "done_seconds": tenth(file.done), "known_seconds": tenth(file.known)});
        let doing = match &self.doing {
            Doing::Nothing if self.loading.is_some() => "loading",
            Doing::Nothing => "nothing",
            Doing::Download { .. } => "downloading",
            Doing::Work => "transcribing",
        };
        let memory = tally.memory;
        json!({
            "event": "progress",
            "time": format!("{:.3}", jiff::Timestamp::now()),
            "doing": doing,
            "done_seconds": tenth(self.done),
            "known_seconds": tenth(self.all()),
            "speed": self.speed().map(tenth),
            "eta_seconds": self.eta().map(tenth),
            "counts": tally.counts(),
            "slots": self.slots().map(|(taken, slots)| json!({"taken": taken, "all": slots})),
            "memory": {
                "host": memory.map(|memory| memory.host.current),
                "device": memory.and_then(|memory| memory.device).map(|usage| usage.current),
            },
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
        })
    }
}

impl File {
    fn line(&self, width: usize) -> String {
        let part = if self.known > 0.0 { self.done / self.known } else { 0.0 };
        let times = format!("{}/{}", length(self.done), length(self.known));
        let percent = format!("{:>3.0} %", part.min(1.0) * 100.0);
        let rest = match width {
            WIDE.. => format!("{}  {times:>15}  {percent}", bar(part, 20)),
            NARROW.. => format!("{} {times:>13}", bar(part, 8)),
            _ => percent,
        };
        let room = width.saturating_sub(columns(&rest) + 1);
        shortened(&format!("{} {rest}", fitted(&self.name, room)), width)
    }
}

fn download_line(file: &str, done: u64, total: u64, speed: f64, width: usize) -> String {
    let mut parts = vec![format!("{}/{}", size(done), size(total))];
    if speed > 0.0 {
        parts.push(format!("{}/s", size(speed as u64)));
        parts.push(format!("eta {}", length(total.saturating_sub(done) as f64 / speed)));
    }
    let rest = joined(&parts, width.saturating_sub(20).max(width / 2));
    let room = width.saturating_sub(columns(&rest) + 2);
    shortened(&format!("{}  {rest}", shortened(&format!("downloading {file}"), room)), width)
}

fn memory(tally: &Tally) -> Option<String> {
    let memory = tally.memory?;
    let host = size(memory.host.current);
    Some(memory.device.map_or(host.clone(), |device| format!("{host} + {}", size(device.current))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(names: &[&str]) -> Board {
        let files = names.iter().map(|name| File { name: (*name).into(), done: 62.0, known: 36_300.0 });
        Board { doing: Doing::Work, files: files.collect(), known: 40_000.0, done: 100.0, ..Board::default() }
    }

    #[test]
    fn lines_keep_to_the_width_and_to_the_rows() {
        let names = [
            "a.mp3",
            "会議の録音その一そのニその三その四その五.mp3",
            "a very long name of a very long talk.flac",
        ];
        let tally = Tally::new(|_| 1);
        for width in [10, 20, 29, 30, 40, 60, 80, 200] {
            for rows in [2, 3, 4, 24] {
                let lines = board(&names).lines(rows, width, &tally);
                assert!(lines.iter().all(|line| columns(line) < width), "{width}: {lines:#?}");
                assert!(lines.len() < rows.max(3), "{rows}: {lines:#?}");
                assert!(lines.last().unwrap().starts_with("tot"), "{lines:#?}");
            }
        }
        let lines = board(&names).lines(24, 80, &tally);
        assert_eq!(lines[0], format!("{:35}[                  ]    1:02/10:05:00    0 %", "a.mp3"));
    }

    #[test]
    fn those_that_do_not_fit_are_counted() {
        let names: Vec<String> = (0..20).map(|n| format!("{n}.mp3")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let tally = Tally::new(|_| 1);
        let lines = board(&names).lines(24, 80, &tally);
        assert_eq!((lines.len(), lines[7].as_str()), (9, "and 13 more"));
        assert_eq!(board(&names).lines(6, 80, &tally)[3], "and 17 more");
    }
}
