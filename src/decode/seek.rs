//! From one window's tokens to timed pieces, and where the next window begins.

use std::ops::Range;

use crate::time::{FRAMES_PER_TICK, SECONDS_PER_TICK, seconds_of_frames};

/// Part of a window's tokens, with its time in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    pub tokens: Range<usize>,
    pub start: f64,
    pub end: f64,
}

/// How a window falls into pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    pub pieces: Vec<Piece>,
    /// Mel frames from this window to the next, at least one.
    pub advance: usize,
    /// The tokens end with one timestamp: nothing is said after it.
    pub single_timestamp_ending: bool,
}

/// Cuts the tokens of the window of `frames` frames at frame `seek`.
pub fn cut(tokens: &[u32], timestamp_begin: u32, seek: usize, frames: usize) -> Cut {
    let is_stamp = |token: &u32| *token >= timestamp_begin;
    let offset = seconds_of_frames(seek as u64);
    // What is no timestamp counts as the window's beginning; that happens only without timestamp rules.
    let ticks = |token: u32| u64::from(token.saturating_sub(timestamp_begin));
    let seconds = |token: u32| ticks(token) as f64 * SECONDS_PER_TICK;

    let single_timestamp_ending = matches!(tokens, [.., text, stamp] if !is_stamp(text) && is_stamp(stamp));
    let pairs = tokens.windows(2).enumerate().filter(|(_, pair)| pair.iter().all(is_stamp));
    let mut ends: Vec<usize> = pairs.map(|(index, _)| index + 1).collect();
    if ends.is_empty() {
        let last = tokens.iter().copied().rfind(is_stamp).filter(|token| *token != timestamp_begin);
        let duration = last.map_or_else(|| seconds_of_frames(frames as u64), seconds);
        let piece = Piece { tokens: 0..tokens.len(), start: offset, end: offset + duration };
        return Cut { pieces: vec![piece], advance: frames.max(1), single_timestamp_ending };
    }
    if single_timestamp_ending {
        ends.push(tokens.len());
    }
    let mut pieces = Vec::with_capacity(ends.len());
    let mut begin = 0;
    for &end in &ends {
        pieces.push(Piece {
            tokens: begin..end,
            start: offset + seconds(tokens[begin]),
            end: offset + seconds(tokens[end - 1]),
        });
        begin = end;
    }
    // Text after the last pair is not finished: the next window begins where that pair stands and hears it whole.
    let closed = ticks(tokens[begin - 1]) as usize * FRAMES_PER_TICK;
    // A pair at 0.00 would bring the same window again, for ever.
    let advance = if single_timestamp_ending || closed == 0 { frames.max(1) } else { closed };
    Cut { pieces, advance, single_timestamp_ending }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u32 = 1000;

    fn spans(cut: &Cut) -> Vec<(Range<usize>, f64, f64)> {
        cut.pieces.iter().map(|p| (p.tokens.clone(), p.start, p.end)).collect()
    }

    #[test]
    fn pairs_of_timestamps_cut_and_what_follows_is_heard_again() {
        let cut = cut(&[T, 1, 2, T + 100, T + 110, 3, T + 200, T + 210, 4, 5], T, 100, 3000);
        assert_eq!(spans(&cut), [(0..4, 1.0, 3.0), (4..7, 1.0 + 110.0 * 0.02, 5.0)]);
        assert_eq!(cut.advance, 400);
        assert!(!cut.single_timestamp_ending);
    }

    #[test]
    fn a_single_timestamp_at_the_end_closes_the_window() {
        let cut = cut(&[T, 1, T + 100, T + 100, 2, T + 200], T, 0, 2500);
        assert_eq!(spans(&cut), [(0..3, 0.0, 2.0), (3..6, 2.0, 4.0)]);
        assert_eq!(cut.advance, 2500);
        assert!(cut.single_timestamp_ending);
    }

    #[test]
    fn without_a_pair_there_is_one_piece() {
        assert_eq!(spans(&cut(&[T, 1, 2], T, 300, 1000)), [(0..3, 3.0, 13.0)]);
        assert_eq!(spans(&cut(&[T, 1, T + 50], T, 300, 1000)), [(0..3, 3.0, 4.0)]);
        assert_eq!(spans(&cut(&[], T, 300, 1000)), [(0..0, 3.0, 13.0)]);
        assert_eq!(cut(&[T, 1, T + 50], T, 300, 1000).advance, 1000);
    }

    proptest::proptest! {
        #[test]
        fn any_tokens_are_cut_forwards(
            tokens in proptest::collection::vec(proptest::prop_oneof![0..T, T..T + 1501], 0..40),
            seek in 0_usize..1_000_000,
            frames in 0_usize..=3000,
        ) {
            let cut = cut(&tokens, T, seek, frames);
            assert!(cut.advance >= 1 && cut.advance <= 3000);
            let mut covered = 0;
            for piece in &cut.pieces {
                assert_eq!(piece.tokens.start, covered);
                covered = piece.tokens.end;
                assert!(piece.start >= seconds_of_frames(seek as u64) && piece.end.is_finite());
            }
            // What is left out is heard again, and only if it is no closed segment.
            assert!(covered == tokens.len() || !cut.single_timestamp_ending);
        }
    }

    #[test]
    fn the_next_window_always_lies_ahead() {
        assert_eq!(cut(&[T, T], T, 0, 3000).advance, 3000);
        assert_eq!(cut(&[5, T, T, 6], T, 0, 3000).advance, 3000);
        assert_eq!(cut(&[5, T + 3, T + 2, 6], T, 0, 3000).advance, 6);
        assert_eq!(cut(&[], T, 0, 0).advance, 1);
    }
}
