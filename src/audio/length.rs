//! How long a recording says it is, without decoding any of it.

use std::path::Path;

use super::{AudioInput, AudioOptions};
use crate::error::catch_panic;

/// Seconds that a file claims to have. Nothing is read of what can be read only once, and no fault is told: who
/// reads it will find it.
pub fn probe_duration(path: &Path, options: &AudioOptions) -> Option<f64> {
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    let claimed =
        catch_panic("looking at the audio", || Ok(AudioInput::file(path)?.open(options)?.duration_hint()));
    claimed.ok().flatten().filter(|seconds| seconds.is_finite() && *seconds >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_told_without_reading_and_faults_are_not() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let length = |path: &str| probe_duration(&fixtures.join(path), &AudioOptions::default());
        assert!((length("long/short_en.flac").unwrap() - 10.0).abs() < 5.0);
        for none in ["audio/damaged/text.mp3", "audio/damaged/empty.wav", "audio", "nowhere"] {
            assert_eq!(length(none), None, "{none}");
        }
    }
}
