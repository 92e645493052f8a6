//! Who speaks when: the speakers of an input and their turns.

use std::collections::BTreeMap;

/// The speakers of an input and when each of them speaks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpeakerTurns {
    /// In the order in which they are first heard.
    pub speakers: Vec<Speaker>,
    /// In the order of their starts. Turns of one speaker do not overlap; those of two do while both speak.
    pub turns: Vec<Turn>,
}

/// One of the people heard.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Speaker {
    /// What segments and words call it; no two speakers of an input share it.
    pub name: String,
    /// Seconds in which this speaker speaks, alone or not.
    pub seconds: f64,
}

/// A stretch in which one speaker speaks, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    pub start: f64,
    pub end: f64,
    /// Index in the list of speakers.
    pub speaker: usize,
}

impl SpeakerTurns {
    /// Makes the list of speakers from named turns: `(start, end, name)`, in any order.
    pub fn from_named(turns: impl IntoIterator<Item = (f64, f64, String)>) -> Self {
        let mut turns: Vec<(f64, f64, String)> = turns.into_iter().collect();
        turns.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut made = SpeakerTurns::default();
        let mut indices = BTreeMap::new();
        for (start, end, name) in turns {
            let next = made.speakers.len();
            let speaker = *indices.entry(name.clone()).or_insert(next);
            if speaker == next {
                made.speakers.push(Speaker { name, seconds: 0.0 });
            }
            made.speakers[speaker].seconds += end - start;
            made.turns.push(Turn { start, end, speaker });
        }
        made
    }

    /// Returns the name of the speaker of a turn.
    pub fn name(&self, turn: &Turn) -> &str {
        &self.speakers[turn.speaker].name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speakers_come_in_the_order_of_their_first_turns() {
        let named = [(4.0, 5.0, "Anna"), (0.5, 2.0, "Ben"), (1.5, 3.5, "Anna")];
        let made = SpeakerTurns::from_named(named.map(|(start, end, name)| (start, end, name.to_owned())));
        let speakers: Vec<_> = made.speakers.iter().map(|s| (s.name.as_str(), s.seconds)).collect();
        assert_eq!(speakers, [("Ben", 1.5), ("Anna", 3.0)]);
        let turns: Vec<_> = made.turns.iter().map(|turn| (turn.start, made.name(turn))).collect();
        assert_eq!(turns, [(0.5, "Ben"), (1.5, "Anna"), (4.0, "Anna")]);
    }
}
