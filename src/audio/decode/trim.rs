//! Trims the padding that encoders add before and after the recording. For Ogg the demuxer reports it per packet and the
//! codecs apply it; for other containers it is collected here.

use std::ops::Range;

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::formats::well_known::{FORMAT_ID_CAF, FORMAT_ID_ISOMP4, FORMAT_ID_MKV, FORMAT_ID_MP3};
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::meta::RawValue;
use symphonia::core::packet::Packet;
use symphonia::core::units::{TimeBase, Timestamp};

use super::edit_list::KeptSpan;
use super::opus::OpusHeader;

/// Edit lists count in the movie's ticks, often milliseconds: smaller differences, in seconds, are rounding.
const ROUNDING: f64 = 0.002;

/// The part of the track to keep, in seconds because the header's rate may differ from the codec's.
#[derive(Debug, Clone, Default)]
pub(super) struct Trim {
    start: f64,
    length: Option<f64>,
    /// The time base of the first packet, whose timestamp gives the start if it is negative.
    from_first_packet: Option<TimeBase>,
    /// Where an MP3's tag puts the encoder's padding, in packet time. Audio after it is kept, because MP3 files are
    /// often simply concatenated.
    padding: Option<Range<i64>>,
    /// Frames decoded so far.
    position: u64,
}

impl Trim {
    pub(super) fn new(format: &mut dyn FormatReader, track: &Track, edit: Option<KeptSpan>) -> Self {
        let container = format.format_info().format;
        let Some(params) = track.codec_params.as_ref().and_then(|p| p.audio()) else {
            return Self::default();
        };
        let rate = params.sample_rate.filter(|&r| r > 0).map(f64::from);
        let mut trim = Self::default();
        if container == FORMAT_ID_ISOMP4 {
            let opus =
                (params.codec == CODEC_ID_OPUS).then(|| KeptSpan { start: opus_start(params), length: None });
            trim.set_span(track, edit.or(opus).or_else(|| itunes_edit(format, rate?)));
        } else if params.codec == CODEC_ID_OPUS {
            trim.start = opus_start(params);
        } else if container == FORMAT_ID_MKV {
            trim.from_first_packet = track.time_base;
        } else if container == FORMAT_ID_MP3 {
            trim.start = rate.map_or(0.0, |rate| f64::from(track.delay.unwrap_or(0)) / rate);
            trim.padding = track.num_frames.zip(track.padding).and_then(|(frames, padding)| {
                let start = i64::try_from(frames).ok()?;
                Some(start..start.checked_add(i64::from(padding))?)
            });
        } else if container == FORMAT_ID_CAF
            && let Some(rate) = rate
        {
            trim.start = f64::from(track.delay.unwrap_or(0)) / rate;
            trim.length = track.num_frames.map(|frames| frames as f64 / rate);
        }
        trim
    }

    fn set_span(&mut self, track: &Track, edit: Option<KeptSpan>) {
        let Some(edit) = edit else { return };
        self.start = edit.start;
        let whole = track.time_base.zip(track.duration);
        let whole = whole.map(|(base, ticks)| base.calc_duration_saturating(ticks).as_secs_f64());
        self.length = edit.length.map(|length| match whole {
            // The track counts in finer ticks than the edit list.
            Some(whole) if (edit.start + length - whole).abs() < ROUNDING => whole - edit.start,
            _ => length,
        });
    }

    /// Returns how much of `whole` seconds is kept.
    pub(super) fn trimmed_duration(&self, whole: f64) -> f64 {
        let rest = (whole - self.start).max(0.0);
        self.length.map_or(rest, |length| length.min(rest))
    }

    /// Returns which of a packet's frames to keep.
    pub(super) fn keep(&mut self, packet: &Packet, frames: usize, rate: u32) -> Range<usize> {
        if let Some(base) = self.from_first_packet.take()
            && packet.pts.is_negative()
            && let Some(before) = packet.pts.duration_to(Timestamp::ZERO)
        {
            self.start = base.calc_duration_saturating(before).as_secs_f64();
        }
        let at = self.position;
        self.position += frames as u64;
        let frame = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        let inside = |frame: u64| usize::try_from(frame.saturating_sub(at)).unwrap_or(usize::MAX).min(frames);
        let start = inside(frame(self.start));
        let mut end = self.length.map_or(frames, |length| inside(frame(self.start + length)));
        if let Some(padding) = &self.padding
            && packet.pts.get() < padding.end
        {
            let before = padding.start.saturating_sub(packet.pts.get());
            end = end.min(usize::try_from(before).unwrap_or(0));
        }
        start..end.max(start)
    }
}

/// Returns the seconds before the first sample of an Opus stream, from its header.
fn opus_start(params: &AudioCodecParameters) -> f64 {
    let header = params.extra_data.as_deref().and_then(OpusHeader::parse);
    header.map_or(0.0, |header| f64::from(header.pre_skip) / 48_000.0)
}

/// Returns the span that Apple's older encoders store: a comment with frame counts in hexadecimal.
fn itunes_edit(format: &mut dyn FormatReader, rate: f64) -> Option<KeptSpan> {
    let mut metadata = format.metadata();
    let revision = metadata.skip_to_latest()?;
    let tag = revision.media.tags.iter().find(|tag| tag.raw.key.ends_with("iTunSMPB"))?;
    let RawValue::String(text) = &tag.raw.value else { return None };
    let mut numbers = text.split_whitespace().map(|n| u64::from_str_radix(n, 16).ok());
    let (_, delay, _padding, length) =
        (numbers.next()?, numbers.next()??, numbers.next()??, numbers.next()??);
    Some(KeptSpan { start: delay as f64 / rate, length: Some(length as f64 / rate).filter(|&l| l > 0.0) })
}
