//! Scores who speaks when, and the words of each speaker: DER, JER and cpWER.

mod assignment;
mod dialogue;
mod diarization;
mod intervals;
mod source;
mod stm;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, BTreeSet};

pub use self::dialogue::label_dialogue;
use self::diarization::SpeakerTimes;
pub use self::diarization::{COLLAR, DiarizationErrors, JaccardErrors, SpeakerMatrix};
pub use self::source::{ScoreSource, is_rttm, is_stm};
pub use self::words::errors as speaker_word_errors;
use crate::transcript::SpeakerTurns;

/// Speakers of one recording that can be matched: a thousand take seconds, and nobody has as many.
const MAX_SPEAKERS: usize = 1000;

/// Turns by the name of the recording, which is empty for that of a transcript.
pub type TurnsByRecording = BTreeMap<String, SpeakerTurns>;

/// How the turns of one pair, or of several in total, differ from their references.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SpeakerScore {
    /// With every moment scored.
    pub errors: DiarizationErrors,
    /// Without [`COLLAR`] seconds around the starts and ends of the reference's turns.
    pub errors_with_collar: DiarizationErrors,
    pub jaccard: JaccardErrors,
    /// Speakers of all recordings.
    pub reference_speakers: usize,
    pub hypothesis_speakers: usize,
    /// Who was taken for whom in each recording; empty in totals.
    pub matrices: Vec<SpeakerMatrix>,
}

impl SpeakerScore {
    /// Adds another score, weighting each second of each speaker equally.
    pub fn add(&mut self, other: &SpeakerScore) {
        self.errors += other.errors;
        self.errors_with_collar += other.errors_with_collar;
        self.jaccard += other.jaccard;
        self.reference_speakers += other.reference_speakers;
        self.hypothesis_speakers += other.hypothesis_speakers;
    }

    fn add_recording(
        &mut self,
        name: Option<&str>,
        reference: &SpeakerTurns,
        hypothesis: &SpeakerTurns,
    ) -> Result<(), String> {
        let (reference, hypothesis) = (SpeakerTimes::of(reference), SpeakerTimes::of(hypothesis));
        let most = reference.count().max(hypothesis.count());
        if most > MAX_SPEAKERS {
            return Err(format!("{most} speakers; at most {MAX_SPEAKERS} of a recording can be matched"));
        }
        let matrix = diarization::matrix(name.map(str::to_owned), &reference, &hypothesis);
        self.add(&SpeakerScore {
            errors: diarization::errors(&reference, &hypothesis, 0.0),
            errors_with_collar: diarization::errors(&reference, &hypothesis, COLLAR),
            jaccard: diarization::jaccard(&matrix),
            reference_speakers: reference.count(),
            hypothesis_speakers: hypothesis.count(),
            matrices: Vec::new(),
        });
        self.matrices.push(matrix);
        Ok(())
    }
}

/// Compares the turns of two sides. One recording on each side is taken for the same, whatever its name; several are
/// compared by name, and what one side lacks is missed or a false alarm. Returns why that cannot be done.
pub fn compare_turns(
    reference: &TurnsByRecording,
    hypothesis: &TurnsByRecording,
) -> Result<SpeakerScore, String> {
    let mut score = SpeakerScore::default();
    let nobody = SpeakerTurns::default();
    if reference.len() <= 1 && hypothesis.len() <= 1 {
        let turns = |side: &TurnsByRecording| side.values().next().unwrap_or(&nobody).clone();
        score.add_recording(None, &turns(reference), &turns(hypothesis))?;
        return Ok(score);
    }
    if reference.contains_key("") || hypothesis.contains_key("") {
        return Err("several recordings cannot be compared with one transcript".into());
    }
    let names: BTreeSet<&String> = reference.keys().chain(hypothesis.keys()).collect();
    for name in names {
        let turns = |side: &TurnsByRecording| side.get(name).unwrap_or(&nobody).clone();
        score.add_recording(Some(name), &turns(reference), &turns(hypothesis))?;
    }
    Ok(score)
}
