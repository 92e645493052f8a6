//! Samples → who speaks when.
//!
//! ```text
//! samples ─segmentation→ who of three people speaks, in windows ─embedding→ voices ─clustering→ speakers ─turns→ turns
//! ```
//!
//! Windows of ten seconds overlap; in each, the segmentation network tells at most three people apart, and the embedding
//! network turns what each of them says alone into a voice. Once the recording has ended, all voices are compared, and
//! people of different windows with the same voice become one speaker. Nothing depends on the transcription, which runs
//! beside it. What a recording needs in memory grows by 0.7 KB per second, for the voices.

mod analysis;
mod assignment;
mod clustering;
mod embedding;
mod filter_bank;
mod plane;
mod segmentation;
mod turns;
mod weights;

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

pub use assignment::assign;
pub use clustering::Voice;
pub use weights::{EMBEDDING_FILE, SEGMENTATION_FILE, WeightsError};

use self::analysis::{AnalyzedWindow, Analyzer};
use self::embedding::EmbeddingNetwork;
use self::segmentation::SegmentationNetwork;
use crate::time::seconds_of_samples;
use crate::transcript::SpeakerTurns;

/// Seconds of speech that a voice needs to help find the speakers.
const MIN_VOICE: f32 = 0.8;
/// Speakers of a recording, unless more are asked for.
pub const MAX_SPEAKERS: usize = 20;

/// How many speakers to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpeakerCount {
    pub min: usize,
    pub max: usize,
}

impl SpeakerCount {
    /// As many as there are.
    pub const AUTO: SpeakerCount = SpeakerCount { min: 1, max: MAX_SPEAKERS };
}

impl FromStr for SpeakerCount {
    type Err = String;

    /// Parses `auto`, a number, or a range such as `2-6`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("auto") {
            return Ok(Self::AUTO);
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|number| (1..=99).contains(number));
        match (number(min), number(max)) {
            (Some(min), Some(max)) if min <= max => Ok(SpeakerCount { min, max }),
            _ => Err("must be `auto`, a number from 1 to 99, or a range such as `2-6`".into()),
        }
    }
}

impl fmt::Display for SpeakerCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AUTO => f.write_str("auto"),
            SpeakerCount { min, max } if min == max => write!(f, "{min}"),
            SpeakerCount { min, max } => write!(f, "{min}-{max}"),
        }
    }
}

/// The two networks.
#[derive(Debug)]
pub struct Networks {
    segmentation: SegmentationNetwork,
    embedding: EmbeddingNetwork,
}

impl Networks {
    /// Reads them from the bytes of their files.
    pub fn load(segmentation: &[u8], embedding: &[u8]) -> Result<Self, WeightsError> {
        Ok(Networks {
            segmentation: SegmentationNetwork::load(segmentation)?,
            embedding: EmbeddingNetwork::load(embedding)?,
        })
    }
}

/// Returns the networks of the program, loaded when they are first needed.
pub fn networks() -> &'static Networks {
    static NETWORKS: LazyLock<Networks> = LazyLock::new(|| {
        let segmentation = include_bytes!("../../models/speakers/segmentation.safetensors");
        let embedding = include_bytes!("../../models/speakers/embedding.safetensors");
        Networks::load(segmentation, embedding).expect("the files of the repository")
    });
    &NETWORKS
}

/// Finds the speakers of a recording as a stream.
pub struct Diarizer<'a> {
    analyzer: Analyzer<'a>,
    count: SpeakerCount,
}

impl<'a> Diarizer<'a> {
    /// Looks for so many speakers.
    pub fn new(networks: &'a Networks, count: SpeakerCount) -> Self {
        Diarizer { analyzer: Analyzer::new(networks), count }
    }

    /// Reads a block; the result does not depend on the sizes of blocks.
    pub fn push(&mut self, block: &[f32]) {
        self.analyzer.push(block);
    }

    /// Returns the turns of all speakers, who are named by number in the order in which they are first heard.
    pub fn finish(self) -> SpeakerTurns {
        let (windows, samples) = self.analyzer.finish();
        let centres = clustering::centres(&clear_voices(&windows), &(self.count.min..=self.count.max));
        let turns = turns::turns(&windows, &centres, seconds_of_samples(samples));
        let mut order: Vec<usize> = Vec::new();
        let named = turns.into_iter().map(|(start, end, speaker)| {
            let number = order.iter().position(|known| *known == speaker).unwrap_or_else(|| {
                order.push(speaker);
                order.len() - 1
            });
            (start, end, format!("Speaker {}", number + 1))
        });
        SpeakerTurns::from_named(named.collect::<Vec<_>>())
    }
}

/// Returns the voices to find the speakers by: those of people who speak alone for long enough, or else all.
fn clear_voices(windows: &[AnalyzedWindow]) -> Vec<&Voice> {
    let all = || windows.iter().flat_map(|window| window.voices.iter().zip(&window.is_clear));
    let clear = all().filter(|((_, voice), is_clear)| **is_clear && voice.seconds >= MIN_VOICE);
    let clear: Vec<&Voice> = clear.map(|((_, voice), _)| voice).collect();
    match clear.is_empty() {
        true => all().map(|((_, voice), _)| voice).collect(),
        false => clear,
    }
}

/// Returns what the original networks computed for a test.
#[cfg(test)]
fn fixture(name: &str) -> Vec<f32> {
    let path = format!("{}/fixtures/speakers/{name}.f32", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).expect("it is in the repository");
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_depend_on_the_sizes_of_blocks() {
        let samples = [crate::audio::fixture("short_en"), crate::audio::fixture("short_de")].concat();
        let run = |block: usize| {
            let mut diarizer = Diarizer::new(networks(), SpeakerCount::AUTO);
            samples.chunks(block).for_each(|block| diarizer.push(block));
            diarizer.finish()
        };
        let whole = run(samples.len());
        assert!(!whole.turns.is_empty());
        assert_eq!(run(7_777), whole);
    }

    #[test]
    fn counts_are_read_and_shown() {
        for (text, shown) in [("auto", "auto"), ("3", "3"), ("2-6", "2-6"), ("4-4", "4"), (" 2 - 3 ", "2-3")] {
            assert_eq!(text.parse::<SpeakerCount>().unwrap().to_string(), shown);
        }
        for text in ["", "0", "-", "6-2", "1-", "100", "many", "1.5"] {
            assert!(text.parse::<SpeakerCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn silence_has_no_speakers() {
        for seconds in [0, 1, 12] {
            let mut diarizer = Diarizer::new(networks(), SpeakerCount { min: 2, max: 3 });
            diarizer.push(&vec![0.0; 16_000 * seconds]);
            assert_eq!(diarizer.finish(), SpeakerTurns::default());
        }
    }
}
