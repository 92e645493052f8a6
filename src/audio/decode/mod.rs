//! Containers and codecs to mono samples at the file's own rate: the only user of symphonia.
//!
//! Cuts off what encoders add before and after the recording, skips damaged packets and counts them. Which
//! weights the channels get is [`super::channels`]'s; changing the rate is [`super::resample`]'s.

mod claims;
mod media;
mod mix;
mod opus;
mod parallel;
mod track;
mod trim;

use std::io;
use std::ops::Range;

use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error as Fault;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::well_known::{FORMAT_ID_FLAC, FORMAT_ID_WAVE};
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;
use symphonia::core::units::Timestamp;

use super::codec_panic::catch_codec_panic;
use super::{AudioDamage, AudioOptions, edit_list, ogg};
use crate::error::InputProblem;
use claims::{claimed, file_duration, promised};
pub(super) use media::MediaBytes;
use mix::Mixer;
use parallel::ParallelDecoding;
use track::{audio, choose, make_codec};
use trim::Trim;

/// Packets in a row that may fail before the rest of the file is given up.
const MAX_FAILURES: u32 = 1_000;

/// Mono samples and their rate.
pub(super) struct DecodedBlock<'a> {
    pub rate: u32,
    pub samples: &'a [f32],
}

/// One audio track of one file, being read.
pub(super) struct TrackDecoder {
    format: Box<dyn FormatReader>,
    codec: Box<dyn AudioDecoder>,
    track: u32,
    options: AudioOptions,
    mixer: Mixer,
    trim: Trim,
    /// Seconds to be heard, by the track's header.
    claimed: Option<f64>,
    /// The same, where it is no guess.
    promised: Option<f64>,
    damage: AudioDamage,
    /// When the next packet is due.
    next_pts: Timestamp,
    failures: u32,
    /// A packet has been decoded.
    heard: bool,
    ended: bool,
    /// Several packets are decoded side by side.
    spread: Option<ParallelDecoding>,
}

/// What the demuxer gave: a packet, the end or a fault; or its panic.
type NextPacket = Result<Result<Option<Packet>, Fault>, String>;

/// What decoding a packet came to.
enum PacketOutcome {
    Done,
    /// The codec refuses it.
    Refused(String),
    Panicked(String),
}

/// Where the next samples are.
enum SampleLocation {
    /// One packet, in the mixer.
    Mixer,
    /// Many, in the spread.
    Parallel,
}

impl TrackDecoder {
    pub(super) fn open(
        media: impl Fn() -> io::Result<MediaBytes>,
        extension: Option<&str>,
        options: &AudioOptions,
    ) -> Result<Self, InputProblem> {
        let mut file = media().map_err(InputProblem::Unreadable)?;
        let (edits, last) = (edit_list::read(&mut file), ogg::last_position(&mut file));
        let mut format = probe(&media, extension, edits.cut_off)?;
        let (codec, track) = choose(&*format, options)?;
        let trim = Trim::new(&mut *format, &track, edits.by_track.get(&track.id).copied());
        let heard = |whole| trim.heard_of(whole);
        let (claimed, promised) = (claimed(&track).map(heard), promised(&*format, &track, last).map(heard));
        Ok(Self {
            track: track.id,
            mixer: Mixer::new(options.channel),
            options: options.clone(),
            damage: AudioDamage::default(),
            next_pts: Timestamp::ZERO,
            failures: 0,
            heard: false,
            ended: false,
            spread: None,
            format,
            codec,
            trim,
            claimed,
            promised,
        })
    }

    pub(super) fn duration_hint(&self) -> Option<f64> {
        self.claimed.or_else(|| file_duration(&*self.format))
    }

    /// Lets so many threads decode side by side, where the codec can.
    pub(super) fn spread(self, lanes: usize) -> Self {
        Self { spread: ParallelDecoding::new(lanes), ..self }
    }

    pub(super) fn damage(&self) -> &AudioDamage {
        &self.damage
    }

    /// Once everything is read, `samples` seconds in all: why that is a failure, if it is.
    pub(super) fn verdict(&mut self, seconds: f64) -> Option<InputProblem> {
        if let Some(promised) = self.promised.filter(|promised| seconds < promised * 0.998 - 0.05) {
            self.damage.end(format!("of {promised:.1} s only {seconds:.1} s are there"));
        }
        let first = self.damage.first.as_ref().filter(|_| seconds == 0.0)?;
        Some(InputProblem::Undecodable(first.clone()))
    }

    /// The next samples; None at the end.
    pub(super) fn next(&mut self) -> Result<Option<DecodedBlock<'_>>, InputProblem> {
        let place = match self.spread.take() {
            Some(mut spread) => {
                let place = self.advance_spread(&mut spread);
                self.spread = Some(spread);
                place?
            }
            None => self.advance()?,
        };
        Ok(place.map(|place| match (place, &self.spread) {
            (SampleLocation::Parallel, Some(spread)) => spread.chunk(),
            _ => DecodedBlock { rate: self.mixer.rate(), samples: self.mixer.samples() },
        }))
    }

    /// To the next packet that gives samples.
    fn advance(&mut self) -> Result<Option<SampleLocation>, InputProblem> {
        while !self.ended {
            let pulled = self.pull();
            let Some(packet) = self.settle(pulled)? else { continue };
            if packet.track_id == self.track && self.decode(&packet)? {
                return Ok(Some(SampleLocation::Mixer));
            }
        }
        Ok(None)
    }

    fn pull(&mut self) -> NextPacket {
        catch_codec_panic(|| self.format.next_packet())
    }

    /// Draws the consequences, if it is no packet.
    fn settle(&mut self, pulled: NextPacket) -> Result<Option<Packet>, InputProblem> {
        match pulled {
            Ok(Ok(Some(packet))) => return Ok(Some(packet)),
            Ok(Ok(None)) => self.ended = true,
            Ok(Err(Fault::ResetRequired)) => {
                if let Err(fault) = self.restart() {
                    self.ended = true;
                    self.damage.end(fault);
                }
            }
            Ok(Err(Fault::IoError(error))) if error.raw_os_error().is_some() => {
                return Err(InputProblem::Unreadable(error));
            }
            Ok(Err(Fault::IoError(error))) => {
                self.ended = true;
                // A WAV that was written into a pipe tells no length and ends where it ends.
                let open_end = self.claimed.is_none() && self.format.format_info().format == FORMAT_ID_WAVE;
                if !open_end {
                    self.damage.end(error);
                }
            }
            Ok(Err(fault)) => self.skip(fault.to_string()),
            Err(panic) => {
                // The demuxer may be in any state now.
                self.ended = true;
                self.damage.end(panic);
            }
        }
        Ok(None)
    }

    /// Another stream follows in the same file (chained Ogg): its tracks are new.
    fn restart(&mut self) -> Result<(), InputProblem> {
        let (codec, track) = choose(&*self.format, &self.options)?;
        self.trim = Trim::new(&mut *self.format, &track, None);
        self.track = track.id;
        self.codec = codec;
        // What the first header claims is said of the first stream only.
        self.promised = None;
        Ok(())
    }

    /// Decodes a packet into the mixer; false if it gave nothing to hear.
    fn decode(&mut self, packet: &Packet) -> Result<bool, InputProblem> {
        self.note_gap(packet);
        let (mixer, trim) = (&mut self.mixer, &mut self.trim);
        let outcome =
            decode_one(&mut *self.codec, packet, mixer, |frames, rate| trim.keep(packet, frames, rate));
        if self.judge(outcome) {
            let available = self.mixer.channels();
            if let Some(asked) = self.options.channel.filter(|&c| !self.heard && c >= available) {
                return Err(InputProblem::NoSuchChannel { asked, available });
            }
            self.heard = true;
            return Ok(!self.mixer.samples().is_empty());
        }
        Ok(false)
    }

    /// Draws the consequences of a packet's outcome; whether it is a good one.
    fn judge(&mut self, outcome: PacketOutcome) -> bool {
        match outcome {
            PacketOutcome::Done => {
                self.failures = 0;
                return true;
            }
            PacketOutcome::Refused(message) => {
                self.skip(message);
                // Two in a row: perhaps the sound has changed its rate or channels, which few codecs follow.
                if self.failures.is_multiple_of(2) {
                    self.renew();
                }
            }
            PacketOutcome::Panicked(message) => {
                self.skip(message);
                self.renew();
            }
        }
        false
    }

    /// The demuxer of FLAC leaves out damaged packets without a word, but not their time.
    fn note_gap(&mut self, packet: &Packet) {
        if self.format.format_info().format == FORMAT_ID_FLAC {
            if packet.pts > self.next_pts {
                self.damage.packet("malformed stream: flac: frames are missing");
            }
            self.next_pts = packet.pts.saturating_add(packet.dur);
        }
    }

    /// Goes on with a fresh codec.
    fn renew(&mut self) {
        let chosen = self.format.tracks().iter().find(|t| t.id == self.track).and_then(audio);
        match chosen.map(|params| make_codec(&*self.format, params, &self.options)) {
            Some(Ok(codec)) => self.codec = codec,
            _ => self.ended = true,
        }
    }

    fn skip(&mut self, message: String) {
        self.damage.packet(message);
        self.failures += 1;
        if self.failures >= MAX_FAILURES {
            self.ended = true;
        }
    }
}

/// Decodes a packet and mixes what is to be kept of its frames, at their rate.
fn decode_one(
    codec: &mut dyn AudioDecoder,
    packet: &Packet,
    mixer: &mut Mixer,
    keep: impl FnOnce(usize, u32) -> Range<usize>,
) -> PacketOutcome {
    let outcome = catch_codec_panic(|| {
        let buffer = codec.decode(packet).map_err(|fault| fault.to_string())?;
        mixer.mix(&buffer, keep(buffer.frames(), buffer.spec().rate()))
    });
    match outcome {
        Ok(Ok(())) => PacketOutcome::Done,
        Ok(Err(message)) => PacketOutcome::Refused(message),
        Err(panic) => PacketOutcome::Panicked(panic),
    }
}

/// Finds out what the file is and reads its headers.
fn probe(
    media: &impl Fn() -> io::Result<MediaBytes>,
    extension: Option<&str>,
    cut_off: bool,
) -> Result<Box<dyn FormatReader>, InputProblem> {
    let media = || media().map_err(InputProblem::Unreadable);
    let whole = if cut_off { media()?.streamed() } else { media()? };
    match attempt(whole, extension) {
        // The end of the file, where more headers should be, may be missing.
        Err(fault @ (InputProblem::NotAudio | InputProblem::Undecodable(_))) => {
            attempt(media()?.streamed(), extension).map_err(|_| fault)
        }
        outcome => outcome,
    }
}

fn attempt(media: MediaBytes, extension: Option<&str>) -> Result<Box<dyn FormatReader>, InputProblem> {
    let mut hint = Hint::new();
    if let Some(extension) = extension {
        hint.with_extension(extension);
    }
    let stream = MediaSourceStream::new(Box::new(media), Default::default());
    let found = catch_codec_panic(|| {
        let (format, meta) = (FormatOptions::default(), MetadataOptions::default());
        symphonia::default::get_probe().probe(&hint, stream, format, meta)
    });
    found.map_err(InputProblem::Undecodable)?.map_err(|fault| probe_fault(&fault))
}

fn probe_fault(fault: &Fault) -> InputProblem {
    match fault {
        Fault::IoError(error) if error.raw_os_error().is_some() => {
            InputProblem::Unreadable(io::Error::new(error.kind(), error.to_string()))
        }
        Fault::IoError(_) | Fault::Unsupported(_) => InputProblem::NotAudio,
        other => InputProblem::Undecodable(other.to_string()),
    }
}
