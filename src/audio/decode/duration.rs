//! How long a track lasts: what its headers claim, and whether that can be trusted.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_CAF, FORMAT_ID_MP3, FORMAT_ID_OGG};
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::units::Timestamp;

use super::track::audio_params;

/// Returns the track's duration in seconds according to its header.
pub(super) fn track_duration(track: &Track) -> Option<f64> {
    let rate = audio_params(track).and_then(|p| p.sample_rate).filter(|&r| r > 0);
    let by_frames = track.num_frames.zip(rate).map(|(frames, rate)| frames as f64 / f64::from(rate));
    let by_ticks = || Some(track.time_base?.calc_duration_saturating(track.duration?).as_secs_f64());
    by_frames.or_else(by_ticks).filter(|&s| s > 0.0)
}

/// Returns the track's duration if the header counts it instead of estimating it from the first packets. `ogg_end` is
/// the position that the last page of an Ogg file gives.
pub(super) fn exact_duration(format: &dyn FormatReader, track: &Track, ogg_end: Option<u64>) -> Option<f64> {
    let by_container = || container_duration(format).filter(|_| format.tracks().len() == 1);
    match format.format_info().format {
        FORMAT_ID_MP3 => track_duration(track).filter(|_| track.delay.is_some()),
        FORMAT_ID_ADTS | FORMAT_ID_CAF => None,
        // A recording cut from a broadcast does not start at zero.
        FORMAT_ID_OGG => {
            let base = track.time_base?;
            let seconds = |ticks: i64| base.calc_time_saturating(Timestamp::new(ticks)).as_secs_f64();
            let length = seconds(i64::try_from(ogg_end?).ok()?) - seconds(track.start_ts.get().max(0));
            Some(length).filter(|_| format.tracks().len() == 1)
        }
        _ => track_duration(track).or_else(by_container),
    }
}

pub(super) fn container_duration(format: &dyn FormatReader) -> Option<f64> {
    let info = format.media_info();
    let whole = info.time_base?.calc_duration_saturating(info.duration?).as_secs_f64();
    Some(whole).filter(|&s| s > 0.0)
}

/// The maximum length of an Ogg page.
const MAX_OGG_PAGE: u64 = 65_307;
/// The flag of the last page of an Ogg stream.
const END_OF_STREAM: u8 = 4;

/// Returns the position, in the codec's frames, of the last page of an Ogg file; None for any other file.
///
/// The demuxer reads positions only from consecutive undamaged pages, so that without the last page a gap in the middle
/// would go unnoticed.
pub(super) fn ogg_end_position(file: &mut (impl Read + Seek)) -> Option<u64> {
    let tail = ogg_tail(file).ok()?;
    let last = tail.windows(6).rposition(|w| w.starts_with(b"OggS\0") && w[5] & END_OF_STREAM != 0)?;
    let position = u64::from_le_bytes(tail.get(last + 6..last + 14)?.try_into().ok()?);
    // All ones: no packet ends on that page.
    (position != u64::MAX).then_some(position)
}

fn ogg_tail(file: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if &magic != b"OggS" {
        return Ok(Vec::new());
    }
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(MAX_OGG_PAGE)))?;
    let mut tail = Vec::new();
    file.take(MAX_OGG_PAGE).read_to_end(&mut tail)?;
    Ok(tail)
}
