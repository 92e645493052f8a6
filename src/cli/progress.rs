//! The bar on the terminal: bytes of a download, then seconds of audio. The only user of indicatif.

use std::fmt::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

// The name gives way where the line is too short: one that wraps leaves its remains behind.
const DOWNLOAD: &str = "{wide_msg} {bar:20} {bytes}/{total_bytes} {bytes_per_sec} eta {eta}";
const AUDIO: &str = "{wide_msg} {bar:20} {done}/{all} {speed} eta {eta}";
const WAIT: &str = "{spinner} {wide_msg}";

/// At most one bar at a time; none at all if nobody watches.
pub struct Progress {
    shown: bool,
    bar: Option<(Kind, ProgressBar)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Download(String),
    Audio(String),
    Wait(String),
}

impl Progress {
    pub fn new(shown: bool) -> Self {
        Self { shown, bar: None }
    }

    pub fn download(&mut self, file: &str, done: u64, total: u64) {
        self.set(Kind::Download(file.to_owned()), done, total);
    }

    /// Seconds of audio that are done.
    pub fn audio(&mut self, input: &str, done: f64, total: f64) {
        let milliseconds = |seconds: f64| (seconds * 1e3) as u64;
        self.set(Kind::Audio(input.to_owned()), milliseconds(done), milliseconds(total));
    }

    /// Something that takes a while, nobody knows how long.
    pub fn wait(&mut self, what: &str) {
        self.set(Kind::Wait(what.to_owned()), 0, 0);
    }

    pub fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints with the bar out of the way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some((_, bar)) => bar.suspend(print),
            None => print(),
        }
    }

    fn set(&mut self, kind: Kind, done: u64, total: u64) {
        if !self.shown {
            return;
        }
        if self.bar.as_ref().is_none_or(|(shown, _)| *shown != kind) {
            self.clear();
            let bar = start(&kind, done, total);
            self.bar = Some((kind, bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn start(kind: &Kind, done: u64, total: u64) -> ProgressBar {
    let (template, message) = match kind {
        Kind::Download(file) => (DOWNLOAD, file),
        Kind::Audio(input) => (AUDIO, input),
        Kind::Wait(what) => (WAIT, what),
    };
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("done", |state: &ProgressState, out: &mut dyn Write| write_clock(out, state.pos()))
        .with_key("all", |state: &ProgressState, out: &mut dyn Write| {
            write_clock(out, state.len().unwrap_or(0))
        })
        .with_key("speed", |state: &ProgressState, out: &mut dyn Write| {
            // Over all of it: work goes on in jumps of half a minute, between which a momentary speed means nothing.
            let _ = write!(out, "{:.1}x", state.pos() as f64 / state.elapsed().as_secs_f64().max(1e-3) / 1e3);
        });
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr())
        .with_style(style)
        .with_message(message.clone())
        .with_position(done);
    // Where a download was taken up is no speed.
    bar.reset_eta();
    if matches!(kind, Kind::Wait(_)) {
        bar.enable_steady_tick(Duration::from_millis(120));
    }
    bar
}

/// The bar redraws whatever went wrong in the middle of a line.
fn write_clock(out: &mut dyn Write, milliseconds: u64) {
    let _ = out.write_str(&clock(milliseconds));
}

/// `m:ss` or `h:mm:ss`.
fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A length of audio for messages.
pub fn length(seconds: f64) -> String {
    clock((seconds * 1e3).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_short() {
        assert_eq!(length(0.0), "0:00");
        assert_eq!(length(59.9999), "1:00");
        assert_eq!(length(36_000.0 + 61.0), "10:01:01");
    }

    #[test]
    fn nothing_is_drawn_where_nobody_watches() {
        let mut progress = Progress::new(false);
        progress.audio("a", 1.0, 2.0);
        assert!(progress.bar.is_none());
        assert_eq!(progress.aside(|| 7), 7);
    }
}
