//! Weights for mixing channels down to mono. Independent of codecs; applying the weights is left to `decode`.

/// The position of a channel, as far as mixing to mono depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelPosition {
    Center,
    /// Left or right at the front.
    Front,
    /// Beside or behind the listener.
    Surround,
    /// Low-frequency effects, which carry no speech.
    Lfe,
    Unknown,
}

/// Returns one weight per channel.
///
/// Selects `channel` alone if it is given and exists. Otherwise weights all channels as `ffmpeg -ac 1` does for 16-bit
/// output, scaled to add up to one: the arithmetic mean for stereo. If any position is unknown, all channels get equal
/// weights.
pub(super) fn weights(positions: &[ChannelPosition], channel: Option<usize>) -> Vec<f32> {
    if let Some(channel) = channel.filter(|&c| c < positions.len()) {
        return (0..positions.len()).map(|c| if c == channel { 1.0 } else { 0.0 }).collect();
    }
    let raw: Vec<f64> = if positions.contains(&ChannelPosition::Unknown) {
        vec![1.0; positions.len()]
    } else {
        positions.iter().map(|&position| raw_weight(position)).collect()
    };
    let sum: f64 = raw.iter().sum();
    if sum == 0.0 {
        return vec![1.0 / positions.len() as f32; positions.len()];
    }
    raw.iter().map(|w| (w / sum) as f32).collect()
}

fn raw_weight(position: ChannelPosition) -> f64 {
    match position {
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
    fn mono_stereo_and_unknown_channels_use_the_mean() {
        assert_eq!(weights(&[Center], None), [1.0]);
        assert_eq!(weights(&[Front, Front], None), [0.5, 0.5]);
        assert_eq!(weights(&[Unknown; 4], None), [0.25; 4]);
        assert_eq!(weights(&[Lfe], None), [1.0]);
    }

    #[test]
    fn surround_weights_match_ffmpeg() {
        let mixed = weights(&[Front, Front, Center, Lfe, Surround, Surround], None);
        let expected = [0.207_107, 0.207_107, 0.292_893, 0.0, 0.146_447, 0.146_447];
        for (got, want) in mixed.iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{mixed:?}");
        }
    }

    #[test]
    fn selects_one_channel() {
        assert_eq!(weights(&[Front, Front], Some(1)), [0.0, 1.0]);
        assert_eq!(weights(&[Front, Front], Some(2)), [0.5, 0.5]);
    }
}
