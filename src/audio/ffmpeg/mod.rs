//! Decodes with an installed `ffmpeg` what the built-in decoders do not know.
//!
//! The program gets one file and nothing else, and sends samples in the file's own rate and channels, so that mixing and
//! resampling are the same as for the built-in decoders.

mod foreign;
mod frames;
mod header;
mod log;
mod process;

use std::io::{self, Read};
use std::path::Path;

pub(super) use self::foreign::foreign_format;
use self::frames::FrameMixer;
#[cfg(feature = "testing")]
pub use self::frames::read_output;
use self::header::{StreamFormat, read_header};
use self::log::FfmpegLog;
pub(super) use self::process::FfmpegInput;
use self::process::FfmpegProcess;
pub use self::process::find_ffmpeg;
use super::decode::DecodedBlock;
use super::stream::{CancellableStream, StopFlag};
use super::{AudioDamage, AudioOptions};
use crate::cancel::CancelToken;
use crate::error::InputProblem;

/// Bytes to read at once: a second of stereo at most.
const READ_BYTES: usize = 1 << 18;

/// A file that `ffmpeg` decodes.
pub(super) struct FfmpegDecoder {
    // Dropped first, so that the process is gone before its pipe is.
    process: FfmpegProcess,
    output: CancellableStream,
    stop: StopFlag,
    format: StreamFormat,
    mixer: FrameMixer,
    buffer: Vec<u8>,
    samples: Vec<f32>,
    has_samples: bool,
    has_ended: bool,
    damage: AudioDamage,
    /// Seconds that the file claims.
    duration: Option<f64>,
}

impl FfmpegDecoder {
    /// Starts the program and waits for the first samples to come.
    pub(super) fn open(
        program: &Path,
        input: FfmpegInput,
        options: &AudioOptions,
        cancel: &CancelToken,
    ) -> Result<Self, InputProblem> {
        let failed = |error: io::Error| InputProblem::Undecodable(format!("ffmpeg: {error}"));
        let (mut process, stdout) = FfmpegProcess::start(program, input, options).map_err(failed)?;
        let stop = StopFlag::default();
        let mut output = CancellableStream::of_child(stdout, cancel, &stop);
        let format = match read_header(&mut output) {
            Ok(format) => format,
            Err(error) if is_end(&error) => {
                process.wait(|| output.check()).map_err(failed)?;
                return Err(no_output(&process.log(), options, &error));
            }
            Err(error) => return Err(InputProblem::Unreadable(error)),
        };
        let available = format.positions.len();
        if let Some(asked) = options.channel.filter(|&channel| channel >= available) {
            return Err(InputProblem::NoSuchChannel { asked, available });
        }
        // It describes the file before it writes samples, but on another pipe.
        process.wait_for_description(|| output.check()).map_err(InputProblem::Unreadable)?;
        let duration = process.log().duration;
        Ok(Self {
            mixer: FrameMixer::new(&format, options.channel),
            process,
            output,
            stop,
            format,
            buffer: vec![0; READ_BYTES],
            samples: Vec::new(),
            has_samples: false,
            has_ended: false,
            damage: AudioDamage::default(),
            duration,
        })
    }

    pub(super) fn duration_hint(&self) -> Option<f64> {
        self.duration
    }

    pub(super) fn damage(&self) -> &AudioDamage {
        &self.damage
    }

    /// Returns what ends a read that waits for the program.
    pub(super) fn stop_flag(&self) -> StopFlag {
        self.stop.clone()
    }

    /// Returns the next samples; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<DecodedBlock<'_>>, InputProblem> {
        self.samples.clear();
        while !self.has_ended && self.samples.is_empty() {
            let read = self.output.read(&mut self.buffer).map_err(InputProblem::Unreadable)?;
            if read == 0 {
                self.has_ended = true;
                self.check_end()?;
            }
            self.mixer.push(&self.buffer[..read], &mut self.samples);
        }
        if self.samples.is_empty() {
            return Ok(None);
        }
        self.has_samples = true;
        Ok(Some(DecodedBlock { rate: self.format.rate, samples: &self.samples }))
    }

    /// Checks the total duration once everything is read, and returns the problem if nothing could be decoded.
    pub(super) fn finish(&mut self, seconds: f64) -> Option<InputProblem> {
        let log = self.process.log();
        // Containers round durations, and those of streams are measured from a few packets.
        let expected =
            log.duration.filter(|expected| !log.is_duration_guessed && seconds < expected * 0.98 - 1.0);
        if let Some(expected) = expected {
            self.damage.mark_incomplete(format!("only {seconds:.1} s of {expected:.1} s are present"));
        }
        let first = self.damage.first.as_ref().filter(|_| seconds == 0.0)?;
        Some(InputProblem::Undecodable(first.clone()))
    }

    /// Waits for the end of the program and takes what went wrong.
    fn check_end(&mut self) -> Result<(), InputProblem> {
        let output = &self.output;
        let status = self.process.wait(|| output.check()).map_err(InputProblem::Unreadable)?;
        let log = self.process.log();
        self.damage.packets = log.errors;
        self.damage.first = log.first_error.clone().map(|message| format!("ffmpeg: {message}"));
        if status.success() {
            return Ok(());
        }
        let message =
            format!("ffmpeg: {}", log.last_error.unwrap_or_else(|| format!("it ended with {status}")));
        if !self.has_samples {
            return Err(InputProblem::Undecodable(message));
        }
        self.damage = AudioDamage::default();
        self.damage.mark_incomplete(message);
        Ok(())
    }
}

/// Returns whether the output ended, or is not what was asked for.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

/// Returns why there is no audio.
fn no_output(log: &FfmpegLog, options: &AudioOptions, error: &io::Error) -> InputProblem {
    if log.first_error.as_deref().is_some_and(|message| message.contains("matches no streams")) {
        return match (options.track, log.tracks) {
            (Some(asked), available @ 1..) => InputProblem::NoSuchTrack { asked, available },
            _ => InputProblem::NoAudioTrack,
        };
    }
    let message = match &log.last_error {
        Some(message) => message.clone(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it wrote no audio".into(),
        None => error.to_string(),
    };
    InputProblem::Undecodable(format!("ffmpeg: {message}"))
}
