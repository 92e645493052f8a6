//! Many channels to one: the weight of each. Knows no codec; applying the weights is left to the decoder.

/// Where a channel is heard, as far as mixing to mono cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelPosition {
    Center,
    /// Left or right of the screen.
    Front,
    /// Beside or behind the listener.
    Surround,
    /// Effects; no speech in it.
    Lfe,
    Unknown,
}

/// One weight per channel.
///
/// With `channel`, that one alone, unless there is no such channel. Otherwise all, weighted as `ffmpeg -ac 1`
/// does for 16-bit output and scaled so that the weights add up to one: the plain mean for stereo. Channels of
/// unknown places get the plain mean.
pub(super) fn weights(speakers: &[ChannelPosition], channel: Option<usize>) -> Vec<f32> {
    if let Some(channel) = channel.filter(|&c| c < speakers.len()) {
        return (0..speakers.len()).map(|c| if c == channel { 1.0 } else { 0.0 }).collect();
    }
    let raw: Vec<f64> = if speakers.contains(&ChannelPosition::Unknown) {
        vec![1.0; speakers.len()]
    } else {
        speakers.iter().map(|&s| raw_weight(s)).collect()
    };
    let sum: f64 = raw.iter().sum();
    if sum == 0.0 {
        return vec![1.0 / speakers.len() as f32; speakers.len()];
    }
    raw.iter().map(|w| (w / sum) as f32).collect()
}

fn raw_weight(speaker: ChannelPosition) -> f64 {
    match speaker {
        ChannelPosition::Center | ChannelPosition::Unknown => 1.0,
        ChannelPosition::Front => std::f64::consts::FRAC_1_SQRT_2,
        ChannelPosition::Surround => 0.5,
        ChannelPosition::Lfe => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ChannelPosition::*;

    #[test]
    fn mono_and_stereo_are_the_mean() {
        assert_eq!(weights(&[Center], None), [1.0]);
        assert_eq!(weights(&[Front, Front], None), [0.5, 0.5]);
        assert_eq!(weights(&[Unknown; 4], None), [0.25; 4]);
        assert_eq!(weights(&[Lfe], None), [1.0]);
    }

    #[test]
    fn surround_is_mixed_as_ffmpeg_does() {
        let mixed = weights(&[Front, Front, Center, Lfe, Surround, Surround], None);
        let expected = [0.207_107, 0.207_107, 0.292_893, 0.0, 0.146_447, 0.146_447];
        for (got, want) in mixed.iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{mixed:?}");
        }
    }

    #[test]
    fn one_channel_alone() {
        assert_eq!(weights(&[Front, Front], Some(1)), [0.0, 1.0]);
        assert_eq!(weights(&[Front, Front], Some(2)), [0.5, 0.5]);
    }
}
