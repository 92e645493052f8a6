//! Demuxes and decodes audio to mono samples at the file's own rate: the only user of symphonia.
//!
//! Trims what encoders add before and after the recording, skips damaged packets and counts them. Channel weights come
//! from [`super::channels`]; resampling is left to [`super::resample`].

mod duration;
mod edit_list;
mod he_aac;
mod media;
mod mix;
mod opus;
mod parallel;
mod track;
mod trim;

use std::io;
use std::ops::Range;

use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_FLAC, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;

use super::codec_panic::catch_codec_panic;
use super::{AudioDamage, AudioOptions};
use crate::error::InputProblem;
use duration::{container_duration, exact_duration, ogg_end_position, track_duration};
use he_aac::is_he_aac;
pub(super) use media::MediaBytes;
use mix::Mixer;
pub(super) use mix::plausible;
use parallel::ParallelDecoding;
use track::{audio_params, make_codec, select_track};
use trim::Trim;

/// Consecutive packets that may fail before the rest of the file is given up.
const MAX_FAILURES: u32 = 1_000;

/// Mono samples and their rate.
pub(super) struct DecodedBlock<'a> {
    pub rate: u32,
    pub samples: &'a [f32],
}

/// Decodes one audio track of one file from its beginning.
pub(super) struct TrackDecoder {
    format: Box<dyn FormatReader>,
    codec: Box<dyn AudioDecoder>,
    track: u32,
    options: AudioOptions,
    mixer: Mixer,
    trim: Trim,
    /// Seconds of audio after trimming, according to the track's header.
    header_duration: Option<f64>,
    /// The same, if the header counts it instead of estimating it.
    exact_duration: Option<f64>,
    /// The codec leaves out half of the band.
    lacks_upper_band: bool,
    damage: AudioDamage,
    /// The expected timestamp of the next packet.
    next_pts: Timestamp,
    /// Packets that failed since the last good one.
    failures: u32,
    /// A packet has been decoded.
    has_decoded: bool,
    has_ended: bool,
    /// The state of parallel decoding, if enabled.
    parallel: Option<ParallelDecoding>,
}

/// What the demuxer returned: a packet, the end or an error; or the message of its panic.
type NextPacket = Result<Result<Option<Packet>, SymphoniaError>, String>;

/// The result of decoding a packet.
enum PacketOutcome {
    Decoded,
    /// The codec rejected the packet.
    Rejected(String),
    Panicked(String),
}

/// Which buffer holds the next samples.
enum SampleLocation {
    /// One packet, in the mixer.
    Mixer,
    /// Many packets, in the parallel decoder.
    Parallel,
}

impl TrackDecoder {
    pub(super) fn open(
        media: impl Fn() -> io::Result<MediaBytes>,
        extension: Option<&str>,
        options: &AudioOptions,
    ) -> Result<Self, InputProblem> {
        let mut file = media().map_err(InputProblem::Unreadable)?;
        let (edits, ogg_end) = (edit_list::read(&mut file), ogg_end_position(&mut file));
        let mut format = probe(&media, extension, edits.is_truncated).map_err(|problem| match problem {
            InputProblem::NotAudio | InputProblem::Undecodable(_) if edits.lacks_index => {
                InputProblem::NoIndex
            }
            problem => problem,
        })?;
        let (codec, track) = select_track(&*format, options)?;
        let trim = Trim::new(&mut *format, &track, edits.by_track.get(&track.id).copied());
        let trimmed = |duration| trim.trimmed_duration(duration);
        let header_duration = track_duration(&track).map(trimmed);
        let exact_duration = exact_duration(&*format, &track, ogg_end).map(trimmed);
        Ok(Self {
            track: track.id,
            mixer: Mixer::new(options.channel),
            options: options.clone(),
            damage: AudioDamage::default(),
            next_pts: Timestamp::ZERO,
            failures: 0,
            has_decoded: false,
            has_ended: false,
            parallel: None,
            lacks_upper_band: audio_params(&track).is_some_and(is_he_aac),
            format,
            codec,
            trim,
            header_duration,
            exact_duration,
        })
    }

    /// Returns whether the file holds more than the decoder knows how to decode.
    pub(super) fn lacks_upper_band(&self) -> bool {
        self.lacks_upper_band
    }

    pub(super) fn duration_hint(&self) -> Option<f64> {
        self.header_duration.or_else(|| container_duration(&*self.format))
    }

    /// Decodes on up to `threads` threads in parallel, where the codec allows it.
    pub(super) fn in_parallel(self, threads: usize) -> Self {
        Self { parallel: ParallelDecoding::new(threads), ..self }
    }

    pub(super) fn damage(&self) -> &AudioDamage {
        &self.damage
    }

    /// Checks the total duration once everything is read, and returns the problem if nothing could be decoded.
    pub(super) fn finish(&mut self, seconds: f64) -> Option<InputProblem> {
        if let Some(expected) = self.exact_duration.filter(|expected| seconds < expected * 0.998 - 0.05) {
            self.damage.mark_incomplete(format!("only {seconds:.1} s of {expected:.1} s are present"));
        }
        let first = self.damage.first.as_ref().filter(|_| seconds == 0.0)?;
        Some(InputProblem::Undecodable(first.clone()))
    }

    /// Returns the next samples; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<DecodedBlock<'_>>, InputProblem> {
        let location = match self.parallel.take() {
            Some(mut parallel) => {
                let location = self.advance_parallel(&mut parallel);
                self.parallel = Some(parallel);
                location?
            }
            None => self.advance()?,
        };
        Ok(location.map(|location| match (location, &self.parallel) {
            (SampleLocation::Parallel, Some(parallel)) => parallel.block(),
            _ => DecodedBlock { rate: self.mixer.rate(), samples: self.mixer.samples() },
        }))
    }

    /// Decodes up to the next packet that yields samples.
    fn advance(&mut self) -> Result<Option<SampleLocation>, InputProblem> {
        while !self.has_ended {
            let next = self.next_packet();
            let Some(packet) = self.accept(next)? else { continue };
            if packet.track_id == self.track && self.decode(&packet)? {
                return Ok(Some(SampleLocation::Mixer));
            }
        }
        Ok(None)
    }

    fn next_packet(&mut self) -> NextPacket {
        catch_codec_panic(|| self.format.next_packet())
    }

    /// Returns the packet, or handles the end or error that came instead.
    fn accept(&mut self, next: NextPacket) -> Result<Option<Packet>, InputProblem> {
        match next {
            // Otherwise seven bytes of header would count as 23 ms of silence.
            Ok(Ok(Some(packet)))
                if packet.data.is_empty() && self.format.format_info().format == FORMAT_ID_ADTS =>
            {
                self.skip_packet("a frame of AAC without content".into());
            }
            Ok(Ok(Some(packet))) => return Ok(Some(packet)),
            Ok(Ok(None)) => self.has_ended = true,
            Ok(Err(SymphoniaError::ResetRequired)) => {
                if let Err(problem) = self.start_chained_stream() {
                    self.has_ended = true;
                    self.damage.mark_incomplete(problem);
                }
            }
            Ok(Err(SymphoniaError::IoError(error))) if error.raw_os_error().is_some() => {
                return Err(InputProblem::Unreadable(error));
            }
            Ok(Err(SymphoniaError::IoError(error))) => {
                self.has_ended = true;
                // A WAV file written to a pipe has no length in its header and ends anywhere.
                let has_open_end =
                    self.header_duration.is_none() && self.format.format_info().format == FORMAT_ID_WAVE;
                if !has_open_end {
                    self.damage.mark_incomplete(error);
                }
            }
            Ok(Err(error)) => self.skip_packet(error.to_string()),
            Err(panic) => {
                // The demuxer may be in any state now.
                self.has_ended = true;
                self.damage.mark_incomplete(panic);
            }
        }
        Ok(None)
    }

    /// Continues with the next stream of the same file (chained Ogg), whose tracks are new.
    fn start_chained_stream(&mut self) -> Result<(), InputProblem> {
        let (codec, track) = select_track(&*self.format, &self.options)?;
        self.trim = Trim::new(&mut *self.format, &track, None);
        self.track = track.id;
        self.codec = codec;
        // The first header describes only the first stream.
        self.exact_duration = None;
        Ok(())
    }

    /// Decodes a packet into the mixer and returns whether it yielded samples.
    fn decode(&mut self, packet: &Packet) -> Result<bool, InputProblem> {
        self.detect_gap(packet);
        let (mixer, trim) = (&mut self.mixer, &mut self.trim);
        let outcome =
            decode_packet(&mut *self.codec, packet, mixer, |frames, rate| trim.keep(packet, frames, rate));
        if self.is_decoded(outcome) {
            let available = self.mixer.channels();
            if let Some(asked) = self.options.channel.filter(|&c| !self.has_decoded && c >= available) {
                return Err(InputProblem::NoSuchChannel { asked, available });
            }
            self.has_decoded = true;
            return Ok(!self.mixer.samples().is_empty());
        }
        Ok(false)
    }

    /// Counts a failed packet and renews the codec if needed; returns whether the packet was decoded.
    fn is_decoded(&mut self, outcome: PacketOutcome) -> bool {
        match outcome {
            PacketOutcome::Decoded => {
                self.failures = 0;
                return true;
            }
            PacketOutcome::Rejected(message) => {
                self.skip_packet(message);
                // After two in a row the rate or channels may have changed, which few codecs follow.
                if self.failures.is_multiple_of(2) {
                    self.renew_codec();
                }
            }
            PacketOutcome::Panicked(message) => {
                self.skip_packet(message);
                self.renew_codec();
            }
        }
        false
    }

    /// Counts missing packets: the FLAC demuxer drops damaged ones silently, but their time is missing.
    fn detect_gap(&mut self, packet: &Packet) {
        if self.format.format_info().format == FORMAT_ID_FLAC {
            if packet.pts > self.next_pts {
                self.damage.add_packet("malformed stream: flac: frames are missing");
            }
            self.next_pts = packet.pts.saturating_add(packet.dur);
        }
    }

    /// Replaces the codec by a fresh one.
    fn renew_codec(&mut self) {
        let track = self.format.tracks().iter().find(|t| t.id == self.track).and_then(audio_params);
        match track.map(|params| make_codec(&*self.format, params, &self.options)) {
            Some(Ok(codec)) => self.codec = codec,
            _ => self.has_ended = true,
        }
    }

    fn skip_packet(&mut self, message: String) {
        self.damage.add_packet(message);
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            self.has_ended = true;
        }
    }
}

/// Decodes a packet and mixes the frames that `keep` selects from their number and rate.
fn decode_packet(
    codec: &mut dyn AudioDecoder,
    packet: &Packet,
    mixer: &mut Mixer,
    keep: impl FnOnce(usize, u32) -> Range<usize>,
) -> PacketOutcome {
    let outcome = catch_codec_panic(|| {
        let buffer = codec.decode(packet).map_err(|error| error.to_string())?;
        mixer.mix(&buffer, keep(buffer.frames(), buffer.spec().rate()))
    });
    match outcome {
        Ok(Ok(())) => PacketOutcome::Decoded,
        Ok(Err(message)) => PacketOutcome::Rejected(message),
        Err(panic) => PacketOutcome::Panicked(panic),
    }
}

/// Detects the container and reads its headers.
fn probe(
    media: &impl Fn() -> io::Result<MediaBytes>,
    extension: Option<&str>,
    is_truncated: bool,
) -> Result<Box<dyn FormatReader>, InputProblem> {
    let media = || media().map_err(InputProblem::Unreadable);
    let bytes = if is_truncated { media()?.unseekable() } else { media()? };
    match probe_bytes(bytes, extension) {
        // Headers at the end of the file may be missing.
        Err(problem @ (InputProblem::NotAudio | InputProblem::Undecodable(_))) => {
            probe_bytes(media()?.unseekable(), extension).map_err(|_| problem)
        }
        outcome => outcome,
    }
}

fn probe_bytes(media: MediaBytes, extension: Option<&str>) -> Result<Box<dyn FormatReader>, InputProblem> {
    let mut hint = Hint::new();
    if let Some(extension) = extension {
        hint.with_extension(extension);
    }
    let stream = MediaSourceStream::new(Box::new(media), Default::default());
    let found = catch_codec_panic(|| {
        let (format, meta) = (FormatOptions::default(), MetadataOptions::default());
        symphonia::default::get_probe().probe(&hint, stream, format, meta)
    });
    found.map_err(InputProblem::Undecodable)?.map_err(|error| probe_problem(&error))
}

fn probe_problem(error: &SymphoniaError) -> InputProblem {
    match error {
        SymphoniaError::IoError(error) if error.raw_os_error().is_some() => {
            InputProblem::Unreadable(io::Error::new(error.kind(), error.to_string()))
        }
        SymphoniaError::IoError(_) | SymphoniaError::Unsupported(_) => InputProblem::NotAudio,
        other => InputProblem::Undecodable(other.to_string()),
    }
}
