//! Who speaks when, as this program's JSON lists it or as segments and words name their speakers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::transcript::{Segment, Speaker, SpeakerTurns, Turn};

#[derive(Deserialize)]
struct StoredSpeaker {
    name: String,
    seconds: f64,
}

#[derive(Deserialize)]
struct StoredTurn {
    start: f64,
    end: f64,
    speaker: String,
}

/// Returns the turns in the lists of a file; none unless both are there. Other programs have lists of these names with
/// other content, which is ignored.
pub fn stored_turns(speakers: Value, turns: Value) -> Option<SpeakerTurns> {
    let (speakers, turns): (Vec<StoredSpeaker>, Vec<StoredTurn>) = (read(speakers)?, read(turns)?);
    let (mut made, mut unlisted) = (SpeakerTurns::default(), Vec::new());
    for StoredSpeaker { name, seconds } in speakers {
        if made.speakers.iter().all(|known| known.name != name) {
            made.speakers.push(Speaker { name, seconds });
        }
    }
    for StoredTurn { start, end, speaker: name } in turns.into_iter().filter(|turn| turn.start <= turn.end) {
        let known = made.speakers.iter().position(|known| known.name == name);
        let speaker = known.unwrap_or_else(|| {
            unlisted.push(made.speakers.len());
            made.speakers.push(Speaker { name, seconds: 0.0 });
            made.speakers.len() - 1
        });
        if unlisted.contains(&speaker) {
            made.speakers[speaker].seconds += end - start;
        }
        made.turns.push(Turn { start, end, speaker });
    }
    made.turns.sort_by(|a, b| a.start.total_cmp(&b.start));
    Some(made)
}

fn read<T: DeserializeOwned>(list: Value) -> Option<Vec<T>> {
    serde_json::from_value(list).ok()
}

/// Returns the turns of the speakers that segments and words name; none if they name nobody.
pub fn turns_of(segments: &[Segment]) -> Option<SpeakerTurns> {
    let mut spans: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for segment in segments {
        for (start, end, name) in stretches(segment) {
            spans.entry(name).or_default().push((start, end));
        }
    }
    let mut turns = Vec::new();
    for (name, mut spans) in spans {
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut joined: Vec<(f64, f64)> = Vec::new();
        for (start, end) in spans {
            match joined.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => joined.push((start, end)),
            }
        }
        turns.extend(joined.into_iter().map(|(start, end)| (start, end, name.to_owned())));
    }
    (!turns.is_empty()).then(|| SpeakerTurns::from_named(turns))
}

/// Returns the stretches of a segment in which one speaker speaks. Words without a name are its own speaker's.
fn stretches(segment: &Segment) -> Vec<(f64, f64, &str)> {
    let own = segment.speaker.as_deref();
    let words = segment.words.as_deref().unwrap_or_default();
    if words.iter().all(|word| word.speaker.is_none() || word.speaker == segment.speaker) {
        return own.map(|name| (segment.start, segment.end.max(segment.start), name)).into_iter().collect();
    }
    let mut made: Vec<(f64, f64, Option<&str>)> = Vec::new();
    for word in words {
        let name = word.speaker.as_deref().or(own);
        match made.last_mut() {
            Some((_, end, last)) if *last == name => *end = end.max(word.end),
            _ => made.push((word.start, word.end.max(word.start), name)),
        }
    }
    made.into_iter().filter_map(|(start, end, name)| Some((start, end, name?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcript::Word;

    fn named(turns: &SpeakerTurns) -> Vec<(f64, f64, &str)> {
        turns.turns.iter().map(|turn| (turn.start, turn.end, turns.name(turn))).collect()
    }

    #[test]
    fn turns_are_those_of_segments_and_of_words_of_others() {
        let segment = |start, end, speaker: Option<&str>| Segment {
            start,
            end,
            speaker: speaker.map(str::to_owned),
            ..Segment::default()
        };
        let word = |start, end, speaker: Option<&str>| Word {
            start,
            end,
            speaker: speaker.map(str::to_owned),
            ..Word::default()
        };
        let mut mixed = segment(5.0, 9.0, Some("A"));
        mixed.words = Some(vec![word(5.0, 6.0, None), word(6.0, 7.0, Some("B")), word(7.5, 9.0, Some("A"))]);
        let segments =
            [segment(0.0, 2.0, Some("A")), segment(2.0, 4.0, Some("A")), segment(4.0, 5.0, None), mixed];
        let turns = turns_of(&segments).unwrap();
        assert_eq!(named(&turns), [(0.0, 4.0, "A"), (5.0, 6.0, "A"), (6.0, 7.0, "B"), (7.5, 9.0, "A")]);
        assert_eq!(turns_of(&[segment(0.0, 1.0, None)]), None);
    }

    #[test]
    fn lists_are_kept_as_they_are_or_ignored_if_they_are_something_else() {
        let read = |json: &str| {
            let file: Value = serde_json::from_str(json).unwrap();
            stored_turns(file["speakers"].clone(), file["turns"].clone())
        };
        let json = r#"{"speakers": [{"name": "A", "seconds": 2.5}], "turns": [
            {"start": 3, "end": 4, "speaker": "B"}, {"start": 0, "end": 2, "speaker": "A"}, {"start": 9, "end": 8, "speaker": "A"}]}"#;
        let turns = read(json).unwrap();
        assert_eq!(named(&turns), [(0.0, 2.0, "A"), (3.0, 4.0, "B")]);
        let seconds: Vec<f64> = turns.speakers.iter().map(|speaker| speaker.seconds).collect();
        assert_eq!(seconds, [2.5, 1.0]);
        for other in [r#"{"speakers": {"0": "A"}, "turns": []}"#, r#"{"turns": 4}"#, "{}"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
