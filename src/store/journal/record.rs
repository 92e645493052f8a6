//! The records of a journal as they stand in the file. Names of fields and variants on disk never change.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::chunking::ChunkSpan;
use crate::decode::{DecodedChunk, Language, LanguageGuess};
use crate::transcript::Segment;

/// A finished chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournaledChunk {
    pub index: usize,
    /// With another span it is another chunk.
    #[serde(rename = "place", with = "span_on_disk")]
    pub span: ChunkSpan,
    pub decoded: DecodedChunk,
}

mod span_on_disk {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::chunking::ChunkSpan;

    #[derive(Serialize, Deserialize)]
    struct SpanOnDisk {
        stretch: ChunkSpan,
        follows: bool,
    }

    pub fn serialize<S: Serializer>(span: &ChunkSpan, serializer: S) -> Result<S::Ok, S::Error> {
        SpanOnDisk { stretch: *span, follows: span.follows }.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ChunkSpan, D::Error> {
        let SpanOnDisk { stretch, follows } = SpanOnDisk::deserialize(deserializer)?;
        Ok(ChunkSpan { follows, ..stretch })
    }
}

impl JournaledChunk {
    /// Returns whether JSON can represent its numbers: infinities and NaN it cannot.
    pub fn is_representable(&self) -> bool {
        let numbers = |s: &Segment| {
            [s.start, s.end, s.temperature, s.avg_logprob, s.compression_ratio, s.no_speech_prob]
        };
        self.decoded.segments.iter().flat_map(numbers).all(f64::is_finite)
    }
}

/// One line of a journal. `F` is a fingerprint and `C` a chunk, or references to them when a record is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalRecord<F, C> {
    #[serde(rename = "work")]
    Fingerprint(F),
    /// The detected language, and the probability of each.
    Language { code: String, probabilities: Vec<(String, f32)> },
    #[serde(rename = "finished")]
    Chunk(C),
    /// Chunks from this one on belong to other audio.
    Discard { from: usize },
    /// All chunks are finished, and these files are about to be written.
    Writing { outputs: Vec<PathBuf> },
}

impl<F, C> JournalRecord<F, C> {
    pub fn language(guess: &LanguageGuess) -> Self {
        let probabilities = guess.probabilities.iter();
        let probabilities = probabilities.map(|(language, p)| (language.code().to_owned(), *p)).collect();
        JournalRecord::Language { code: guess.language.code().into(), probabilities }
    }
}

/// Returns the guess of a language record, unless its code is unknown.
pub fn language_guess(code: &str, probabilities: Vec<(String, f32)>) -> Option<LanguageGuess> {
    let known = |(code, probability): (String, f32)| Some((Language::from_code(&code)?, probability));
    let probabilities = probabilities.into_iter().filter_map(known).collect();
    Language::from_code(code).map(|language| LanguageGuess { language, probabilities })
}
