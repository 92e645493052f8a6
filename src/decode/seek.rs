//! Cuts the tokens of a window into timed pieces, and finds where the next window begins.

use std::ops::Range;

use crate::time::{FRAMES_PER_TICK, SECONDS_PER_TICK, seconds_of_frames};

/// Part of a window's tokens, with its time in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedPiece {
    pub tokens: Range<usize>,
    pub start: f64,
    pub end: f64,
}

/// The pieces of a window, and the way to the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowCut {
    pub pieces: Vec<TimedPiece>,
    /// Mel frames from this window to the next, at least one.
    pub advance: usize,
    /// Whether the tokens end with a single timestamp: no speech follows it.
    pub single_timestamp_ending: bool,
}

/// Cuts the tokens of the window that begins at frame `seek` and has `frames` frames.
pub fn cut(tokens: &[u32], timestamp_begin: u32, seek: usize, frames: usize) -> WindowCut {
    let is_stamp = |token: &u32| *token >= timestamp_begin;
    let offset = seconds_of_frames(seek as u64);
    // Text in place of a timestamp counts as the window's beginning; that occurs only without timestamp rules.
    let ticks = |token: u32| u64::from(token.saturating_sub(timestamp_begin));
    let seconds = |token: u32| ticks(token) as f64 * SECONDS_PER_TICK;

    let single_timestamp_ending = matches!(tokens, [.., text, stamp] if !is_stamp(text) && is_stamp(stamp));
    let pairs = tokens.windows(2).enumerate().filter(|(_, pair)| pair.iter().all(is_stamp));
    let mut ends: Vec<usize> = pairs.map(|(index, _)| index + 1).collect();
    if ends.is_empty() {
        let last = tokens.iter().copied().rfind(is_stamp).filter(|token| *token != timestamp_begin);
        let duration = last.map_or_else(|| seconds_of_frames(frames as u64), seconds);
        let piece = TimedPiece { tokens: 0..tokens.len(), start: offset, end: offset + duration };
        return WindowCut { pieces: vec![piece], advance: frames.max(1), single_timestamp_ending };
    }
    if single_timestamp_ending {
        ends.push(tokens.len());
    }
    let mut pieces = Vec::with_capacity(ends.len());
    let mut begin = 0;
    for &end in &ends {
        pieces.push(TimedPiece {
            tokens: begin..end,
            start: offset + seconds(tokens[begin]),
            end: offset + seconds(tokens[end - 1]),
        });
        begin = end;
    }
    // Text after the last pair is unfinished: the next window begins at that pair and decodes it again.
    let closed = ticks(tokens[begin - 1]) as usize * FRAMES_PER_TICK;
    // A pair at 0.00 would decode the same window for ever.
    let advance = if single_timestamp_ending || closed == 0 { frames.max(1) } else { closed };
    WindowCut { pieces, advance, single_timestamp_ending }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: u32 = 1000;

    fn spans(cut: &WindowCut) -> Vec<(Range<usize>, f64, f64)> {
        cut.pieces.iter().map(|p| (p.tokens.clone(), p.start, p.end)).collect()
    }

    #[test]
    fn cuts_at_timestamp_pairs_and_decodes_the_rest_again() {
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
    fn tokens_without_a_pair_are_one_piece() {
        assert_eq!(spans(&cut(&[T, 1, 2], T, 300, 1000)), [(0..3, 3.0, 13.0)]);
        assert_eq!(spans(&cut(&[T, 1, T + 50], T, 300, 1000)), [(0..3, 3.0, 4.0)]);
        assert_eq!(spans(&cut(&[], T, 300, 1000)), [(0..0, 3.0, 13.0)]);
        assert_eq!(cut(&[T, 1, T + 50], T, 300, 1000).advance, 1000);
    }

    proptest::proptest! {
        #[test]
        fn cuts_of_any_tokens_advance(
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
            // Only an unclosed segment may be left out; it is decoded again.
            assert!(covered == tokens.len() || !cut.single_timestamp_ending);
        }
    }

    #[test]
    fn the_next_window_always_begins_later() {
        assert_eq!(cut(&[T, T], T, 0, 3000).advance, 3000);
        assert_eq!(cut(&[5, T, T, 6], T, 0, 3000).advance, 3000);
        assert_eq!(cut(&[5, T + 3, T + 2, 6], T, 0, 3000).advance, 6);
        assert_eq!(cut(&[], T, 0, 0).advance, 1);
    }
}
