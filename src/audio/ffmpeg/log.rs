//! What `ffmpeg` says on standard error, line by line, with the level in brackets.

use std::sync::{Arc, Mutex, PoisonError};

/// Characters of a message that are kept.
const MAX_MESSAGE: usize = 200;

/// What matters of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct FfmpegLog {
    /// The number of errors.
    pub errors: u64,
    pub first_error: Option<String>,
    pub last_error: Option<String>,
    /// The duration in seconds that the file claims.
    pub duration: Option<f64>,
    /// The duration is a guess from the rate of bits.
    pub is_duration_guessed: bool,
    /// Audio tracks of the file.
    pub tracks: usize,
    /// The number of the track that it decodes, among those of all kinds.
    track: Option<String>,
    /// It has described its output, and so its input.
    pub is_started: bool,
}

/// A log that another thread adds to.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedLog(Arc<Mutex<FfmpegLog>>);

impl SharedLog {
    pub(super) fn add(&self, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(line);
    }

    pub(super) fn get(&self) -> FfmpegLog {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl FfmpegLog {
    fn add(&mut self, line: &str) {
        let Some((level, message)) = split_level(line) else { return };
        match level {
            "error" | "fatal" | "panic" => self.add_error(message),
            // Part of a packet is missing. What it finds before it starts it finds again.
            "warning" if self.is_started && self.is_of_track(message) => self.add_error(message),
            "warning" if message.contains("Estimating duration from bitrate") => {
                self.is_duration_guessed = true;
            }
            "info" if message.starts_with("Output #") => self.is_started = true,
            "info" if !self.is_started => self.add_description(message),
            _ => {}
        }
    }

    /// Returns whether the message is about a damaged packet of the track that it decodes.
    fn is_of_track(&self, message: &str) -> bool {
        let track = message.strip_prefix("Packet corrupt (stream = ").and_then(|rest| rest.split(',').next());
        track.is_some_and(|track| self.track.as_deref() == Some(track))
    }

    fn add_error(&mut self, message: &str) {
        self.errors += 1;
        let message: String = message.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE).collect();
        self.first_error.get_or_insert_with(|| message.clone());
        self.last_error = Some(message);
    }

    /// Takes what a line says about the input.
    fn add_description(&mut self, message: &str) {
        if let Some(rest) = message.trim_start().strip_prefix("Duration: ") {
            self.duration = rest.split(',').next().and_then(parse_duration);
        }
        let is_track = message.trim_start().starts_with("Stream #0:") && message.contains(": Audio:");
        self.tracks += usize::from(is_track);
        if let Some((from, _)) = message.split_once(" -> #0:0") {
            self.track = from.trim_start().strip_prefix("Stream #0:").map(str::to_owned);
        }
    }
}

/// Splits `[wav @ 0x55] [error] message` into the level and the message; the part in front names a component or is absent.
fn split_level(line: &str) -> Option<(&str, &str)> {
    const LEVELS: [&str; 5] = ["error", "fatal", "panic", "warning", "info"];
    let mut rest = line;
    for _ in 0..3 {
        let (inside, after) = rest.strip_prefix('[')?.split_once(']')?;
        let after = after.strip_prefix(' ').unwrap_or(after);
        if LEVELS.contains(&inside) {
            return Some((inside, after));
        }
        rest = after;
    }
    None
}

/// Parses `01:02:03.45`.
fn parse_duration(text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    for part in text.trim().split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok().filter(|part| *part >= 0.0)?;
    }
    Some(seconds).filter(|seconds| seconds.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_errors_duration_and_tracks() {
        let log = SharedLog::default();
        for line in [
            "[info] Input #0, mpegts, from 'file:a.ts':",
            "[info]   Duration: 00:01:02.50, start: 1.400000, bitrate: 135 kb/s",
            "[info]   Stream #0:0[0x100]: Video: h264",
            "[info]   Stream #0:1[0x101](eng): Audio: mp2 (mp2), 44100 Hz, mono",
            "[mpegts @ 0x1] [warning] Packet corrupt (stream = 1, dts = 9).",
            "[info] Stream mapping:",
            "[info]   Stream #0:1 -> #0:0 (mp2 (native) -> pcm_f32le (native))",
            "[ac3 @ 0x5591] [error] frame sync error",
            "[info] Output #0, wav, to 'pipe:1':",
            "[info]   Stream #0:0: Audio: pcm_f32le",
            "Error without a level",
            "[mpegts @ 0x1] [warning] Packet corrupt (stream = 0, dts = 9).",
            "[mpegts @ 0x1] [warning] Packet corrupt (stream = 1, dts = 9).",
            "[error] \u{7}Conversion failed!",
            "[",
            "",
        ] {
            log.add(line);
        }
        let expected = FfmpegLog {
            errors: 3,
            first_error: Some("frame sync error".into()),
            last_error: Some("Conversion failed!".into()),
            duration: Some(62.5),
            is_duration_guessed: false,
            tracks: 1,
            track: Some("1".into()),
            is_started: true,
        };
        assert_eq!(log.get(), expected);
        log.add("[mp3 @ 0x1] [warning] Estimating duration from bitrate, this may be inaccurate");
        assert!(log.get().is_duration_guessed);
    }

    #[test]
    fn an_unknown_duration_is_none() {
        assert_eq!(parse_duration("N/A"), None);
        assert_eq!(parse_duration("-1:00"), None);
        assert_eq!(parse_duration("100:00:00.10"), Some(360_000.1));
    }
}
