//! Who speaks: references to score against, samples of known voices, and the networks that tell voices apart.

use std::fs;
use std::path::Path;

use transcribe::audio::{AudioInput, AudioOptions, DecoderChoice};
use transcribe::cancel::CancelToken;
use transcribe::import::rttm::parse_rttm;
use transcribe::score::{Normaliser, ScoreSource, compare_turns, score, speaker_word_errors};
use transcribe::speakers::{Networks, voices};

use super::Scratch;

/// Samples of a voice that is learned: half a minute.
const MAX_SAMPLES: usize = 30 * 16_000;
/// Longer references take long to compare.
const MAX_TRUTH: usize = 8_192;
/// Shares of a second that sums of very different times may be wrong by.
const ROUNDING: f64 = 1e-6;

/// Parses turns.
pub fn rttm(bytes: &[u8]) -> String {
    let turns = match parse_rttm(bytes) {
        Ok(turns) => turns,
        Err(error) => return format!("{:?} {}", error.line, error.why),
    };
    assert!(turns.iter().all(|(_, start, end, _)| start.is_finite() && end.is_finite() && start <= end));
    format!("{turns:?} {}", compared_with_itself("truth.rttm", bytes))
}

/// Parses what was said when and by whom.
pub fn stm(bytes: &[u8]) -> String {
    compared_with_itself("truth.stm", bytes)
}

/// Scores a reference against itself, which has no errors, and returns what it holds.
fn compared_with_itself(name: &str, bytes: &[u8]) -> String {
    let file = Scratch::new(name, bytes);
    let source = match ScoreSource::read(&file.path, false) {
        Ok(source) => source,
        Err(error) => return file.shown(error.chain()),
    };
    if bytes.len() > MAX_TRUTH {
        return "long".to_owned();
    }
    if let Some(turns) = &source.turns {
        match compare_turns(turns, turns) {
            Ok(same) => {
                let (errors, total) = (same.errors.errors(), same.errors.reference);
                assert!(total.is_finite() && errors <= ROUNDING * total, "{errors} s of {total} s");
                assert!((0.0..=1.0).contains(&same.jaccard.error_rate()), "{:?}", same.jaccard);
            }
            Err(why) => assert!(turns.values().any(|turns| turns.speakers.len() > 1000), "{why}"),
        }
    }
    if let Some(transcript) = &source.transcript {
        let normaliser = Normaliser::for_language(Some("en"));
        let (text, _) = score(transcript, transcript, &normaliser);
        assert_eq!((text.words.errors(), text.characters.errors()), (0, 0));
        let errors = speaker_word_errors(transcript, transcript, &normaliser);
        assert_eq!(errors.map_or(0, |errors| errors.errors()), 0);
    }
    format!("{source:?}")
}

/// Learns a voice from a recording, which must sound like itself.
pub fn known_voices(bytes: &[u8]) -> String {
    if !is_short(bytes) {
        return "long".to_owned();
    }
    let file = Scratch::new("beside", b"");
    let person = file.folder().join("people/Anna");
    fs::create_dir_all(&person).expect("a folder");
    // Its name says that it is a recording.
    fs::write(person.join("sample.wav"), bytes).expect("a file");
    let people = file.folder().join("people");
    match voices::learn(&people, &Networks::built_in(), &CancelToken::new()) {
        Ok(voices) => {
            assert!(voices.iter().all(|voice| voice.sounds_like(voice)), "{voices:?}");
            format!("{voices:?}")
        }
        Err(error) => file.shown(error.chain()),
    }
}

/// Whether a recording can be learned from within a moment.
fn is_short(bytes: &[u8]) -> bool {
    let options = AudioOptions { decoder: DecoderChoice::Builtin, ..AudioOptions::default() };
    let Ok(mut reader) = AudioInput::reader("fuzz", bytes).and_then(|input| input.open(&options)) else {
        return true;
    };
    let mut samples = 0;
    while let Ok(Some(block)) = reader.next_block() {
        samples += block.len();
        if samples > MAX_SAMPLES {
            return false;
        }
    }
    true
}

/// Loads networks, both from the same bytes.
pub fn networks(bytes: &[u8]) -> String {
    let file = Scratch::new("segmentation.safetensors", bytes);
    fs::copy(&file.path, file.folder().join("embedding.safetensors")).expect("a copy");
    let folder: &Path = file.folder();
    match Networks::load(folder) {
        Ok(_) => "loaded".to_owned(),
        Err(error) => file.shown(error.chain()),
    }
}
