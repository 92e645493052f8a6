//! How long a track says that it is, and whether it can be believed.

use symphonia::core::formats::well_known::{FORMAT_ID_ADTS, FORMAT_ID_CAF, FORMAT_ID_MP3, FORMAT_ID_OGG};
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::units::Timestamp;

use super::track::audio;

/// Seconds that the track lasts, by its header.
pub(super) fn claimed(track: &Track) -> Option<f64> {
    let rate = audio(track).and_then(|p| p.sample_rate).filter(|&r| r > 0);
    let by_frames = track.num_frames.zip(rate).map(|(frames, rate)| frames as f64 / f64::from(rate));
    let by_ticks = || Some(track.time_base?.calc_duration_saturating(track.duration?).as_secs_f64());
    by_frames.or_else(by_ticks).filter(|&s| s > 0.0)
}

/// The same where it is counted, not estimated from the first packets; `last` is what the end of an Ogg tells.
pub(super) fn promised(format: &dyn FormatReader, track: &Track, last: Option<u64>) -> Option<f64> {
    let alone = || file_duration(format).filter(|_| format.tracks().len() == 1);
    match format.format_info().format {
        FORMAT_ID_MP3 => claimed(track).filter(|_| track.delay.is_some()),
        FORMAT_ID_ADTS | FORMAT_ID_CAF => None,
        // A piece of a broadcast does not start at zero.
        FORMAT_ID_OGG => {
            let base = track.time_base?;
            let seconds = |ticks: i64| base.calc_time_saturating(Timestamp::new(ticks)).as_secs_f64();
            let length = seconds(i64::try_from(last?).ok()?) - seconds(track.start_ts.get().max(0));
            Some(length).filter(|_| format.tracks().len() == 1)
        }
        _ => claimed(track).or_else(alone),
    }
}

pub(super) fn file_duration(format: &dyn FormatReader) -> Option<f64> {
    let info = format.media_info();
    let whole = info.time_base?.calc_duration_saturating(info.duration?).as_secs_f64();
    Some(whole).filter(|&s| s > 0.0)
}
