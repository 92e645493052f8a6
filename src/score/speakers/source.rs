//! Reads one side of a comparison: a transcript, or turns without text.

use std::collections::BTreeMap;
use std::path::Path;

use super::TurnsByRecording;
use super::stm::parse_stm;
use crate::error::Result;
use crate::import::from_import::from_openai_json;
use crate::import::rttm::parse_rttm;
use crate::import::{self, ImportFormat, ImportedTranscript};
use crate::transcript::SpeakerTurns;

/// The content of a file to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreSource {
    /// None for RTTM files, which have no text.
    pub transcript: Option<ImportedTranscript>,
    /// Who speaks when; none if a transcript does not say.
    pub turns: Option<TurnsByRecording>,
}

impl ScoreSource {
    /// Reads a file in the format of its extension. With `unknown_is_rttm`, files that are no transcripts, or have no
    /// labels of speakers, are taken for RTTM.
    pub fn read(path: &Path, unknown_is_rttm: bool) -> Result<Self> {
        let may_be_rttm =
            matches!(ImportFormat::of(path), None | Some(ImportFormat::Txt | ImportFormat::Tsv));
        if is_rttm(path) || (unknown_is_rttm && may_be_rttm && !is_stm(path)) {
            return Ok(ScoreSource { transcript: None, turns: Some(turns_of_rttm(path)?) });
        }
        let name = path.display().to_string();
        if is_stm(path) {
            let transcript = parse_stm(&import::read_bytes(path)?).map_err(|error| error.of(&name))?;
            return Ok(ScoreSource::of_transcript(transcript, None));
        }
        let (format, bytes) = import::open(path)?;
        let transcript = import::parse(format, &bytes).map_err(|error| error.of(&name))?;
        // The JSON of this program lists turns, which may overlap, apart from the segments.
        let stored =
            from_openai_json(&name, import::json_of(format, &bytes)).and_then(|stored| stored.speakers);
        Ok(ScoreSource::of_transcript(transcript, stored))
    }

    fn of_transcript(transcript: ImportedTranscript, turns: Option<SpeakerTurns>) -> Self {
        let turns = turns.unwrap_or_else(|| turns_of_segments(&transcript));
        let turns = (!turns.turns.is_empty()).then(|| TurnsByRecording::from([(String::new(), turns)]));
        ScoreSource { transcript: Some(transcript), turns }
    }
}

/// Returns whether the file is RTTM by its extension.
pub fn is_rttm(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("rttm"))
}

/// Returns whether the file is STM, a reference with speakers, by its extension.
pub fn is_stm(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("stm"))
}

fn turns_of_rttm(path: &Path) -> Result<TurnsByRecording> {
    let bytes = import::read_bytes(path)?;
    let rows = parse_rttm(&bytes).map_err(|error| error.of(&path.display().to_string()))?;
    let mut by_recording: BTreeMap<String, Vec<(f64, f64, String)>> = BTreeMap::new();
    for (recording, start, end, speaker) in rows {
        by_recording.entry(recording).or_default().push((start, end, speaker));
    }
    let turns = |(name, turns)| (name, SpeakerTurns::from_named(turns));
    Ok(by_recording.into_iter().map(turns).collect())
}

fn turns_of_segments(transcript: &ImportedTranscript) -> SpeakerTurns {
    let named = transcript.segments.iter().filter_map(|segment| {
        let speaker = segment.speaker.clone()?;
        Some((segment.start?, segment.end?, speaker))
    });
    SpeakerTurns::from_named(named)
}
