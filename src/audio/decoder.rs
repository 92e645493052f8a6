//! Chooses between the built-in decoders and an installed `ffmpeg`, and is either of them.

use super::decode::{DecodedBlock, TrackDecoder};
use super::ffmpeg::FfmpegDecoder;
use super::stream::StopFlag;
use super::{AudioDamage, DecoderChoice};
use crate::error::InputProblem;

/// Decodes one audio track of one file from its beginning.
pub(super) enum RecordingDecoder {
    Builtin(Box<TrackDecoder>),
    Ffmpeg(Box<FfmpegDecoder>),
}

impl RecordingDecoder {
    pub(super) fn duration_hint(&self) -> Option<f64> {
        match self {
            RecordingDecoder::Builtin(decoder) => decoder.duration_hint(),
            RecordingDecoder::Ffmpeg(decoder) => decoder.duration_hint(),
        }
    }

    /// Decodes on up to `threads` threads in parallel, where the codec allows it.
    pub(super) fn in_parallel(self, threads: usize) -> Self {
        match self {
            RecordingDecoder::Builtin(decoder) => {
                RecordingDecoder::Builtin(Box::new(decoder.in_parallel(threads)))
            }
            decoder => decoder,
        }
    }

    /// Returns what ends a wait for samples from another thread.
    pub(super) fn stop_flag(&self) -> StopFlag {
        match self {
            // It never waits for long.
            RecordingDecoder::Builtin(_) => StopFlag::default(),
            RecordingDecoder::Ffmpeg(decoder) => decoder.stop_flag(),
        }
    }

    pub(super) fn damage(&self) -> &AudioDamage {
        match self {
            RecordingDecoder::Builtin(decoder) => decoder.damage(),
            RecordingDecoder::Ffmpeg(decoder) => decoder.damage(),
        }
    }

    /// Returns the next samples; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<DecodedBlock<'_>>, InputProblem> {
        match self {
            RecordingDecoder::Builtin(decoder) => decoder.next(),
            RecordingDecoder::Ffmpeg(decoder) => decoder.next(),
        }
    }

    /// Checks the total duration once everything is read, and returns the problem if nothing could be decoded.
    pub(super) fn finish(&mut self, seconds: f64) -> Option<InputProblem> {
        match self {
            RecordingDecoder::Builtin(decoder) => decoder.finish(seconds),
            RecordingDecoder::Ffmpeg(decoder) => decoder.finish(seconds),
        }
    }
}

/// What decodes a file.
pub(super) enum DecoderRoute {
    Builtin(Box<TrackDecoder>),
    /// `ffmpeg`; with what to do if it fails.
    Ffmpeg(Otherwise),
}

/// What to do if `ffmpeg` cannot decode a file.
pub(super) enum Otherwise {
    /// Report its own error.
    Fail,
    /// Report that of the built-in decoders: the file may well be no recording.
    Report(InputProblem),
    /// Decode as much as the built-in decoders know.
    Decode(Box<TrackDecoder>),
}

/// Chooses what decodes a file, by its first bytes and what the built-in decoders make of its headers.
pub(super) fn choose_decoder(
    choice: DecoderChoice,
    has_ffmpeg: impl Fn() -> bool,
    foreign: Option<&'static str>,
    open: impl FnOnce() -> Result<TrackDecoder, InputProblem>,
) -> Result<DecoderRoute, InputProblem> {
    match (choice, foreign) {
        (DecoderChoice::Ffmpeg, _) if has_ffmpeg() => return Ok(DecoderRoute::Ffmpeg(Otherwise::Fail)),
        (DecoderChoice::Ffmpeg, _) => return Err(InputProblem::NeedsFfmpeg("`--decoder ffmpeg`".into())),
        (DecoderChoice::Auto, Some(_)) if has_ffmpeg() => return Ok(DecoderRoute::Ffmpeg(Otherwise::Fail)),
        (DecoderChoice::Auto, Some(format)) => return Err(InputProblem::NeedsFfmpeg(format.into())),
        _ => {}
    }
    let opened = open().map(Box::new);
    match opened {
        Ok(decoder) if choice == DecoderChoice::Auto && decoder.lacks_upper_band() && has_ffmpeg() => {
            Ok(DecoderRoute::Ffmpeg(Otherwise::Decode(decoder)))
        }
        Ok(decoder) => Ok(DecoderRoute::Builtin(decoder)),
        Err(problem) if choice == DecoderChoice::Builtin => Err(problem),
        Err(InputProblem::UnsupportedCodec(_)) if has_ffmpeg() => Ok(DecoderRoute::Ffmpeg(Otherwise::Fail)),
        Err(InputProblem::UnsupportedCodec(codec)) => {
            Err(InputProblem::NeedsFfmpeg(format!("audio codec {codec}")))
        }
        Err(problem @ (InputProblem::NotAudio | InputProblem::NoAudioTrack)) if has_ffmpeg() => {
            Ok(DecoderRoute::Ffmpeg(Otherwise::Report(problem)))
        }
        Err(problem) => Err(problem),
    }
}
