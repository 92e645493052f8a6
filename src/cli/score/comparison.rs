//! Compares one pair of files according to the options.

use std::path::Path;

use super::NormaliserChoice;
use crate::cancel::CancelToken;
use crate::decode::Language;
use crate::error::{Error, InputProblem, Result, SPEAKER_TURNS};
use crate::import::ImportedTranscript;
use crate::score::normalise::BasicNormaliser;
use crate::score::{self, Normaliser, Score, ScoreSource, SpeakerScore, TranscriptPair, WordAlignment};

/// The result of comparing a pair.
pub struct ComparedPair {
    pub score: Score,
    /// Empty without text on both sides.
    pub aligned: WordAlignment,
    /// The name of the normaliser, if there is text on both sides.
    pub normaliser: Option<&'static str>,
}

/// Compares files according to the options.
pub struct Scorer {
    pub choice: Option<NormaliserChoice>,
    pub language: Option<Language>,
    pub basic: BasicNormaliser,
    /// Ignore text.
    pub turns_only: bool,
}

impl Scorer {
    pub fn compare(&self, pair: &TranscriptPair, cancel: &CancelToken) -> Result<ComparedPair> {
        cancel.check()?;
        pair.check()?;
        let reference = ScoreSource::read(&pair.reference, self.turns_only)?;
        let hypothesis = ScoreSource::read(&pair.hypothesis, self.turns_only)?;
        if let (Some(ours), Some(theirs)) = (&reference.transcript, &hypothesis.transcript)
            && !self.turns_only
        {
            let mut compared = self.compare_text(ours.clone(), theirs.clone());
            if reference.turns.is_some() && hypothesis.turns.is_some() {
                compared.score.turns = Some(compare_turns(pair, &reference, &hypothesis, None)?);
            }
            return Ok(compared);
        }
        let needs = self.turns_only.then_some("--rttm");
        let turns = Some(compare_turns(pair, &reference, &hypothesis, needs)?);
        let score = Score { turns, ..Score::default() };
        Ok(ComparedPair { score, aligned: WordAlignment::default(), normaliser: None })
    }

    fn compare_text(
        &self,
        mut reference: ImportedTranscript,
        mut hypothesis: ImportedTranscript,
    ) -> ComparedPair {
        // Names in a plain text are labels only if there is something to compare them with.
        if reference.has_speakers() || hypothesis.has_speakers() {
            reference = score::label_dialogue(reference);
            hypothesis = score::label_dialogue(hypothesis);
        }
        let normaliser = self.normaliser(&reference, &hypothesis);
        let (text, aligned) = score::score(&reference, &hypothesis, &normaliser);
        let speaker_words = score::speaker_word_errors(&reference, &hypothesis, &normaliser);
        let score = Score { text: Some(text), turns: None, speaker_words };
        ComparedPair { score, aligned, normaliser: Some(normaliser.name()) }
    }

    fn normaliser(&self, reference: &ImportedTranscript, hypothesis: &ImportedTranscript) -> Normaliser {
        let named = self.language.map(Language::code);
        let language = named.or(hypothesis.language.as_deref()).or(reference.language.as_deref());
        match self.choice {
            Some(NormaliserChoice::English) => Normaliser::English,
            Some(NormaliserChoice::Basic) => Normaliser::Basic(self.basic),
            Some(NormaliserChoice::None) => Normaliser::None,
            None => Normaliser::for_language(language),
        }
    }
}

/// Compares who speaks when. `needs` is the option that requires it, if it is not the type of a file.
fn compare_turns(
    pair: &TranscriptPair,
    reference: &ScoreSource,
    hypothesis: &ScoreSource,
    needs: Option<&str>,
) -> Result<SpeakerScore> {
    let turns = |source: &ScoreSource, path: &Path, other: &Path| {
        let needed_by = needs.map_or_else(|| other.display().to_string(), str::to_owned);
        let problem = InputProblem::MissingData { what: SPEAKER_TURNS, needed_by };
        source.turns.clone().ok_or_else(|| Error::input(path.display().to_string(), problem))
    };
    let (reference, hypothesis) = (
        turns(reference, &pair.reference, &pair.hypothesis)?,
        turns(hypothesis, &pair.hypothesis, &pair.reference)?,
    );
    score::compare_turns(&reference, &hypothesis).map_err(|why| {
        let problem = InputProblem::MalformedTranscript { line: None, why };
        Error::input(pair.hypothesis.display().to_string(), problem)
    })
}
