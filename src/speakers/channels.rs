//! Channels as speakers: what was transcribed of each, merged in the order of time.

use super::{MAX_PAUSE, name_of};
use crate::transcript::{Segment, SpeakerTurns};

/// Names the segments of each channel after its speaker, and merges them. Segments that end where they begin, and those
/// without text, have no speaker and no turn.
pub fn merge(channels: Vec<Vec<Segment>>, names: &[String]) -> (Vec<Segment>, SpeakerTurns) {
    let mut turns: Vec<(f64, f64, String)> = Vec::new();
    let mut merged = Vec::new();
    for (channel, segments) in channels.into_iter().enumerate() {
        let name = name_of(channel, names);
        let mut open: Option<(f64, f64)> = None;
        for mut segment in segments {
            if !segment.text.trim().is_empty() {
                segment.speaker = Some(name.clone());
                for word in segment.words.iter_mut().flatten() {
                    word.speaker = Some(name.clone());
                }
                for (start, end) in spoken(&segment) {
                    open = match open {
                        Some((first, last)) if start - last <= MAX_PAUSE => Some((first, end.max(last))),
                        ended => {
                            turns.extend(ended.map(|(start, end)| (start, end, name.clone())));
                            Some((start, end))
                        }
                    };
                }
            }
            merged.push(segment);
        }
        turns.extend(open.map(|(start, end)| (start, end, name.clone())));
    }
    // Segments of one channel stay in their order even where their times are not.
    merged.sort_by(|a: &Segment, b: &Segment| a.start.total_cmp(&b.start));
    merged.iter_mut().enumerate().for_each(|(id, segment)| segment.id = id);
    (merged, SpeakerTurns::from_named(turns))
}

/// Returns when a segment is spoken: the times of its words if they are known.
fn spoken(segment: &Segment) -> Vec<(f64, f64)> {
    match &segment.words {
        Some(words) if !words.is_empty() => words.iter().map(|word| (word.start, word.end)).collect(),
        _ => vec![(segment.start, segment.end)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: f64, end: f64, text: &str) -> Segment {
        Segment { start, end, text: text.into(), ..Segment::default() }
    }

    #[test]
    fn segments_are_merged_by_time_and_named_by_channel() {
        let channels = vec![
            vec![segment(0.0, 1.0, "Hello?"), segment(1.5, 2.0, "Yes."), segment(8.0, 9.0, "Bye.")],
            vec![segment(1.0, 3.0, "Hi there."), segment(4.0, 4.0, "")],
        ];
        let (segments, turns) = merge(channels, &["Agent".into()]);
        let shown: Vec<_> =
            segments.iter().map(|s| (s.id, s.text.as_str(), s.speaker.as_deref().unwrap_or("-"))).collect();
        let expected = [
            (0, "Hello?", "Agent"),
            (1, "Hi there.", "Speaker 2"),
            (2, "Yes.", "Agent"),
            (3, "", "-"),
            (4, "Bye.", "Agent"),
        ];
        assert_eq!(shown, expected);
        let turns: Vec<_> = turns.turns.iter().map(|turn| (turn.start, turn.end, turn.speaker)).collect();
        assert_eq!(turns, [(0.0, 2.0, 0), (1.0, 3.0, 1), (8.0, 9.0, 0)]);
    }
}
