//! Samples → who speaks when.
//!
//! ```text
//! samples ─segmentation→ who of three people speaks, in windows ─embedding→ voices ─clustering→ speakers ─turns→ turns
//! ```
//!
//! Windows of ten seconds overlap; in each, the segmentation network tells at most three people apart, and the embedding
//! network turns what each of them says alone into a voice. Once the recording has ended, all voices are compared, and
//! people of different windows with the same voice become one speaker. Nothing depends on the transcription, which runs
//! beside it. What a recording needs in memory grows by 0.4 KB per second, for the voices.

mod analysis;
mod assignment;
pub mod channels;
mod clustering;
pub mod cross_talk;
mod embedding;
mod filter_bank;
mod options;
mod plane;
mod segmentation;
mod turns;
pub mod voices;
mod weights;

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

pub use assignment::assign;
pub use options::{FolderState, SpeakerCount, SpeakerMode, SpeakerOptions};
pub use turns::MAX_PAUSE;

use self::analysis::{AnalyzedWindow, Analyzer};
use self::clustering::LocalVoice;
use self::embedding::EmbeddingNetwork;
use self::segmentation::SegmentationNetwork;
use self::voices::KnownVoice;
use self::weights::WeightsError;
use crate::error::{Error, ModelProblem, Result};
use crate::time::seconds_of_samples;
use crate::transcript::SpeakerTurns;

/// Seconds of speech that a voice needs to help find the speakers.
const MIN_VOICE: f32 = 0.8;

/// The two networks.
#[derive(Debug)]
pub struct Networks {
    segmentation: SegmentationNetwork,
    embedding: EmbeddingNetwork,
}

/// The files of the two networks.
const SEGMENTATION_FILE: &str = "segmentation.safetensors";
const EMBEDDING_FILE: &str = "embedding.safetensors";

impl Networks {
    /// Returns the networks of the program, loaded when they are first needed.
    pub fn built_in() -> Arc<Self> {
        static NETWORKS: LazyLock<Arc<Networks>> = LazyLock::new(|| {
            let segmentation = include_bytes!("../../models/speakers/segmentation.safetensors");
            let embedding = include_bytes!("../../models/speakers/embedding.safetensors");
            let load = || -> Result<Networks, WeightsError> {
                Ok(Networks {
                    segmentation: SegmentationNetwork::load(segmentation)?,
                    embedding: EmbeddingNetwork::load(embedding)?,
                })
            };
            Arc::new(load().expect("the files of the repository"))
        });
        Arc::clone(&NETWORKS)
    }

    /// Loads the networks of a folder.
    pub fn load(folder: &Path) -> Result<Self> {
        let error = |why| Error::model(folder.display().to_string(), why);
        let read = |name: &str| {
            let file = name.to_owned();
            fs::read(folder.join(name)).map_err(|source| match source.kind() {
                std::io::ErrorKind::NotFound => error(ModelProblem::MissingFile { file }),
                _ => error(ModelProblem::Unreadable { file, source: source.into() }),
            })
        };
        let damaged = |name: &str, why: WeightsError| {
            error(ModelProblem::Damaged { file: name.to_owned(), why: why.to_string() })
        };
        let (segmentation, embedding) = (read(SEGMENTATION_FILE)?, read(EMBEDDING_FILE)?);
        Ok(Networks {
            segmentation: SegmentationNetwork::load(&segmentation)
                .map_err(|why| damaged(SEGMENTATION_FILE, why))?,
            embedding: EmbeddingNetwork::load(&embedding).map_err(|why| damaged(EMBEDDING_FILE, why))?,
        })
    }
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

    /// Returns the turns of all speakers. Those who sound like a known voice get its name, the others the next of the given
    /// names, or else a number, in the order in which they are first heard.
    pub fn finish(self, known: &[KnownVoice], names: &[String]) -> SpeakerTurns {
        let (windows, samples) = self.analyzer.finish();
        let centres = clustering::centres(&clear_voices(&windows), &(self.count.min..=self.count.max));
        let turns = turns::turns(&windows, &centres, seconds_of_samples(samples));
        let mut called: Vec<Option<String>> = voices::recognize(&centres, known);
        // A name that a known voice has is not given to another speaker.
        let is_free = |name: &&String| !called.contains(&Some((*name).clone()));
        let names: Vec<String> = names.iter().filter(is_free).cloned().collect();
        let mut unknown = 0;
        let named = turns.into_iter().map(|(start, end, speaker)| {
            let name = called[speaker].get_or_insert_with(|| {
                unknown += 1;
                name_of(unknown - 1, &names)
            });
            (start, end, name.clone())
        });
        SpeakerTurns::from_named(named.collect::<Vec<_>>())
    }
}

/// Returns what a speaker is called who has no name from elsewhere.
pub fn name_of(index: usize, names: &[String]) -> String {
    names.get(index).cloned().unwrap_or_else(|| format!("Speaker {}", index + 1))
}

/// Returns the voices to find the speakers by: those of people who speak alone for long enough, or else all.
fn clear_voices(windows: &[AnalyzedWindow]) -> Vec<&LocalVoice> {
    let all = || windows.iter().flat_map(|window| window.voices.iter().map(|(_, voice)| voice));
    let clear: Vec<&LocalVoice> =
        all().filter(|voice| voice.is_clear && voice.seconds >= MIN_VOICE).collect();
    if clear.is_empty() { all().collect() } else { clear }
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
        let samples = [crate::audio::fixture("short_en"), crate::audio::fixture("short_es")].concat();
        let networks = Networks::built_in();
        let run = |block: usize| {
            let mut diarizer = Diarizer::new(&networks, SpeakerCount::AUTO);
            samples.chunks(block).for_each(|block| diarizer.push(block));
            diarizer.finish(&[], &[])
        };
        let whole = run(samples.len());
        assert!(!whole.turns.is_empty());
        assert_eq!(run(7_777), whole);
    }

    #[test]
    fn silence_has_no_speakers() {
        for seconds in [0, 1, 12] {
            let networks = Networks::built_in();
            let mut diarizer = Diarizer::new(&networks, SpeakerCount { min: 2, max: 3 });
            diarizer.push(&vec![0.0; 16_000 * seconds]);
            assert_eq!(diarizer.finish(&[], &[]), SpeakerTurns::default());
        }
    }
}
