//! Word times of the real program on the demo model against openai-whisper with `word_timestamps=True`.
//! `fixtures/README.md` describes how the references were made.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::Value;
use transcribe::cancel::CancelToken;
use transcribe::chunking::ChunkSpan;
use transcribe::decode::words::Attention;
use transcribe::decode::words::dtw::first_columns;
use transcribe::decode::{Alignment, DecodeOptions, WordTimes};
use transcribe::device::memory::ReleasePolicy;
use transcribe::engine::Engine;
use transcribe::error::Error;
use transcribe::models::scripted::ScriptedBackend;
use transcribe::models::{Capacity, ModelSpec};
use transcribe::time::seconds_of_frames;

use crate::decode::{CountingFeatures, VOCAB, mix, multilingual, options, scripted_logits};
use crate::program::{bare, fixture};
use crate::recording::{InputChunk, decode};

/// Tolerance of word times, in seconds.
const TOLERANCE: f64 = 0.02 + 1e-9;

/// Runs the program and returns its JSON.
fn transcribe(recording: &str, line: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let mut program = bare();
    program.arg(fixture(recording)).args(["--model", "demo", "--export", "json", "--output-dir"]);
    let output = program.arg(folder.path()).args(line).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let name = Path::new(recording).with_extension("json");
    let json = std::fs::read(folder.path().join(name.file_name().unwrap())).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Returns options of openai's `transcribe()` as command-line arguments.
fn line(options: &Value) -> Vec<String> {
    let mut line: Vec<String> =
        ["--chunk-length", "0", "--word_timestamps", "True", "--temperature_increment_on_fallback", "None"]
            .map(String::from)
            .into();
    for (name, value) in options.as_object().unwrap() {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Bool(yes) => (if *yes { "True" } else { "False" }).into(),
            Value::Null => "None".into(),
            other => other.to_string(),
        };
        match name.as_str() {
            "without_timestamps" => line.push("--without-timestamps".into()),
            _ => line.push(format!("--{name}={value}")),
        }
    }
    line
}

/// How many words there are, how many have equal times, and the largest difference in probability.
#[derive(Default)]
struct WordCount {
    words: usize,
    same: usize,
    probability: f64,
}

fn compare(what: &str, ours: &Value, theirs: &Value, count: &mut WordCount) {
    let (ours, theirs) = (ours["segments"].as_array().unwrap(), theirs["segments"].as_array().unwrap());
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let what = format!("{what}, segment {index}");
        assert_eq!(ours["seek"], theirs[0], "{what}");
        assert_eq!(ours["text"], theirs[3], "{what}");
        let off = |ours: &Value, theirs: &Value| {
            let (ours, theirs) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            assert!((ours - theirs).abs() <= TOLERANCE, "{what}: {ours} where openai has {theirs}");
            (ours - theirs).abs()
        };
        off(&ours["start"], &theirs[1]);
        off(&ours["end"], &theirs[2]);
        let (own, words) = (ours["words"].as_array().unwrap(), theirs[4].as_array().unwrap());
        assert_eq!(own.len(), words.len(), "{what}");
        for (ours, theirs) in own.iter().zip(words) {
            assert_eq!(ours["word"], theirs[0], "{what}");
            let worst = off(&ours["start"], &theirs[1]).max(off(&ours["end"], &theirs[2]));
            let probability = (ours["probability"].as_f64().unwrap() - theirs[3].as_f64().unwrap()).abs();
            assert!(probability < 1e-3, "{what}: {ours} {theirs}");
            count.probability = count.probability.max(probability);
            count.words += 1;
            count.same += usize::from(worst == 0.0);
        }
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

/// Compares every variant of a recording; returns the number of words.
fn check(recording: &str) -> usize {
    let reference = std::fs::read(fixture(&format!("words/{recording}.json"))).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let mut count = WordCount::default();
    for (name, variant) in reference["variants"].as_object().unwrap() {
        let line = line(&variant["options"]);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let ours = transcribe(&format!("long/{recording}.flac"), &line);
        compare(&format!("{recording}, {name}"), &ours, variant, &mut count);
    }
    let WordCount { words, same, probability } = count;
    println!(
        "{recording}: {same} of {words} words at the same times, probabilities within {probability:.1e}"
    );
    words
}

#[test]
fn english_words_equal_openai() {
    assert!(check("long_en") > 300);
}

#[test]
fn hallucinations_in_silence_are_skipped_as_in_openai() {
    assert!(check("long_en_hole") > 300);
}

#[test]
fn german_words_equal_openai() {
    assert!(check("long_de") > 250);
}

#[test]
fn spanish_words_equal_openai() {
    assert!(check("long_es") > 350);
}

#[test]
fn words_of_short_recordings_and_of_music_equal_openai() {
    assert!(check("short_en") + check("short_es") + check("music") > 300);
}

#[test]
fn words_of_chunks_are_in_order_and_inside_the_recording() {
    let whole = transcribe("long/long_en.flac", &["--language", "en", "--word-timestamps"]);
    let pieces =
        transcribe("long/long_en.flac", &["--language", "en", "--word-timestamps", "--chunk-length", "15"]);
    for result in [whole, pieces] {
        let segments = result["segments"].as_array().unwrap();
        let words: Vec<&Value> = segments.iter().flat_map(|s| s["words"].as_array().unwrap()).collect();
        let time = |word: &Value, edge: &str| word[edge].as_f64().unwrap();
        assert!(words.len() > 100);
        for pair in words.windows(2) {
            assert!(time(pair[0], "start") <= time(pair[1], "start"), "{pair:?}");
        }
        for word in &words {
            let (start, end) = (time(word, "start"), time(word, "end"));
            assert!(0.0 <= start && start <= end && end <= 120.0, "{word}");
        }
        for segment in segments {
            let words = segment["words"].as_array().unwrap().iter();
            let text: String = words.map(|word| word["word"].as_str().unwrap()).collect();
            assert_eq!(segment["text"], Value::String(text));
        }
    }
}

#[test]
fn hallucination_silence_threshold_needs_word_timestamps() {
    let output =
        bare().arg(fixture("long/short_en.flac")).args(["--hallucination-silence-threshold", "2"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("hint: add `--word-timestamps`"), "{said}");
}

/// The rule of `fixtures/words/make_scripted.py`.
pub fn scripted_alignment(seed: u64, mel: &[f32], text: &[u32], ticks: usize) -> Alignment {
    let seek = mel[0] as u64 - 1;
    let h = text.iter().fold(mix(mix(seed) ^ seek), |h, token| mix(h ^ u64::from(*token)));
    let mood = |shift: u32| (h >> shift & 3) as usize;
    let most = [8, 20, 45, 160][mood(2)];
    let doubt = [1.0, 1.0, 2.0, 8.0][mood(4)];
    let mut at = [0, 0, 150, 600][mood(0)];
    let mut edges = vec![0];
    for row in 1..=text.len() as u64 {
        let r = mix(h ^ (row << 32));
        at += if r & 7 == 0 { 0 } else { (r >> 8) % most };
        at += if r >> 40 & 31 == 0 { 200 } else { 0 };
        edges.push((at as usize).min(ticks));
    }
    edges.push(ticks);
    let mut attention: Vec<f32> = (0..(text.len() + 1) * ticks)
        .map(|cell| (mix(h ^ ((cell as u64) << 8)) & 63) as f32 / 256.0)
        .collect();
    for (row, pair) in edges.windows(2).enumerate() {
        attention[row * ticks..][pair[0].min(pair[1])..pair[1]].iter_mut().for_each(|cell| *cell += 1.0);
    }
    let likely = |i: usize| ((mix(h ^ ((i as u64) << 16)) & 1023) + 1) as f32 / 1024.0 / doubt;
    Alignment { ticks, attention, probabilities: (0..text.len()).map(likely).collect() }
}

/// Creates a backend with scripted logits and alignments.
pub fn scripted(seed: u64, windows: usize, sequences: usize) -> ScriptedBackend {
    let spec = ModelSpec { n_mels: 1, n_audio_ctx: 1500, n_text_ctx: 448, n_vocab: VOCAB };
    let rule = move |mel: &[f32], tokens: &[u32], row: &mut [f32]| {
        scripted_logits(seed, mel, tokens, row);
        Ok(())
    };
    let alignment =
        move |mel: &[f32], text: &[u32], ticks: usize| Ok(scripted_alignment(seed, mel, text, ticks));
    ScriptedBackend::new(spec, Capacity { windows, sequences }, Box::new(rule))
        .with_alignment(Box::new(alignment))
}

/// Everything after the network equals openai: the path through the matrix, words, times, hallucinations, and where the
/// next window begins.
#[test]
fn scripted_windows_equal_openai() {
    let cases: Value =
        serde_json::from_slice(&std::fs::read(fixture("words/scripted.json")).unwrap()).unwrap();
    let (mut windows, mut words) = (0, 0);
    for case in cases.as_array().unwrap() {
        let (seed, frames) = (case["seed"].as_u64().unwrap(), case["frames"].as_u64().unwrap() as usize);
        let options = DecodeOptions { temperatures: vec![0.0], ..options(&case["options"]) };
        let engine = Engine::start(
            Box::new(scripted(seed, 1, 1)),
            multilingual(),
            ReleasePolicy::default(),
            &CancelToken::new(),
        );
        let part = InputChunk::whole(frames, CountingFeatures { frames });
        let decoded = decode(&engine.unwrap(), vec![part], &options).unwrap();
        for (index, (ours, theirs)) in
            decoded.segments.iter().zip(case["segments"].as_array().unwrap()).enumerate()
        {
            let what = format!("case {seed}, segment {index}");
            let own = ours.words.as_deref().unwrap();
            let near = |ours: f64, theirs: &Value| {
                let theirs = theirs.as_f64().unwrap();
                assert!((ours - theirs).abs() < 1e-4, "{what}: {ours} {theirs} of {own:?}");
            };
            near(ours.start, &theirs[0]);
            near(ours.end, &theirs[1]);
            let spelled: Vec<&str> = own.iter().map(|word| word.word.as_str()).collect();
            let spelled = format!("{}|{}", ours.text, spelled.join("|"));
            assert_eq!(u64::from(crc32fast::hash(spelled.as_bytes())), theirs[2], "{what}: {spelled}");
            near(own.iter().map(|word| word.probability).sum(), &theirs[3]);
            let times = own.iter().flat_map(|word| [word.start, word.end]);
            times.zip(theirs[4].as_array().unwrap()).for_each(|(ours, theirs)| near(ours, theirs));
            words += own.len();
        }
        assert_eq!(decoded.segments.len(), case["segments"].as_array().unwrap().len(), "case {seed}");
        let begun: Vec<usize> = decoded.windows.iter().map(|window| window.seek).collect();
        assert_eq!(serde_json::to_value(&begun).unwrap(), case["requests"], "case {seed}");
        windows += begun.len();
    }
    println!("{windows} windows, {words} words");
    assert!(windows >= 150 && words >= 1_500);
}

#[test]
fn a_lack_of_memory_while_aligning_keeps_text_and_times() {
    let run = |short: usize| {
        let left = AtomicUsize::new(short);
        let rule = move |mel: &[f32], text: &[u32], ticks: usize| {
            let is_short =
                left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            match is_short {
                Ok(_) => {
                    Err(Error::OutOfMemory { during: "timing words", source: "the test says so".into() })
                }
                Err(_) => Ok(scripted_alignment(7, mel, text, ticks)),
            }
        };
        let backend = scripted(7, 4, 4).with_alignment(Box::new(rule));
        let engine =
            Engine::start(Box::new(backend), multilingual(), ReleasePolicy::default(), &CancelToken::new());
        let parts = (0..4).map(|index| {
            let (first, end) = (index * 3_000, (index + 1) * 3_000);
            let span =
                ChunkSpan { first, end, visible: end, context: None, limit: Some(end), follows: false };
            InputChunk { span, features: Box::new(CountingFeatures { frames: 12_000 }), speech: None }
        });
        let options = DecodeOptions {
            language: Some("en".parse().unwrap()),
            word_times: WordTimes::OpenAi,
            temperatures: vec![0.0],
            sample_len: Some(20),
            ..DecodeOptions::default()
        };
        decode(&engine.unwrap(), parts.collect(), &options)
    };
    let expected = run(0).unwrap();
    assert_eq!(run(1).unwrap(), expected);
    assert_eq!(run(2).unwrap(), expected);
    let error = run(usize::MAX).unwrap_err();
    assert!(matches!(error.unshared(), Error::OutOfMemory { .. }), "{error}");
}

/// The rule of `fixtures/words/make_timing.py`.
fn cells(seed: u64, rows: usize, columns: usize, levels: u64) -> Vec<f32> {
    let value = |i: usize| ((mix(mix(seed) ^ i as u64) >> 20) % levels) as f64 / levels as f64;
    (0..rows * columns).map(|i| value(i) as f32).collect()
}

#[test]
fn warping_paths_and_medians_equal_openai() {
    let cases: Value = serde_json::from_slice(&std::fs::read(fixture("words/timing.json")).unwrap()).unwrap();
    for way in cases["ways"].as_array().unwrap() {
        let [seed, rows, columns, levels]: [usize; 4] = serde_json::from_value(way["case"].clone()).unwrap();
        let first = first_columns(&cells(seed as u64, rows, columns, levels as u64), columns);
        assert_eq!(serde_json::to_value(first).unwrap(), way["first"], "{}", way["case"]);
    }
    for smoothed in cases["smoothed"].as_array().unwrap() {
        let [seed, heads, rows, columns]: [usize; 4] =
            serde_json::from_value(smoothed["case"].clone()).unwrap();
        let mut attention = Attention::new(rows, columns);
        for head in 0..heads {
            let mut weights = cells((seed + head) as u64, rows, columns, 1 << 16);
            for row in weights.chunks_exact_mut(columns) {
                let sum: f32 = row.iter().sum();
                row.iter_mut().for_each(|weight| *weight /= sum);
            }
            attention.add(&weights);
        }
        let expected = smoothed["values"].as_array().unwrap();
        let ours = attention.finish(0..rows);
        assert_eq!(ours.len(), expected.len());
        for (ours, theirs) in ours.iter().zip(expected) {
            let theirs = theirs.as_f64().unwrap();
            assert!((f64::from(*ours) - theirs).abs() < 1e-4, "{}: {ours} {theirs}", smoothed["case"]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever the network writes, words are in order and inside the input, however it is cut and whatever is decoded at
    /// the same time.
    #[test]
    fn words_are_in_order_and_inside_the_input(
        seed in 0u64..1_000,
        frames in 1usize..9_000,
        cuts in prop::collection::btree_set(1usize..9_000, 0..4),
        windows in 1usize..4,
        threshold in prop::option::of(0.0f64..4.0),
    ) {
        let mut bounds = vec![0];
        bounds.extend(cuts.into_iter().filter(|cut| *cut < frames));
        bounds.push(frames);
        let parts = || bounds.windows(2).map(|bounds| {
            let span = ChunkSpan { first: bounds[0], end: bounds[1], visible: bounds[1], context: None, limit: Some(bounds[1]), follows: false };
            InputChunk { span, features: Box::new(CountingFeatures { frames: bounds[1] }), speech: None }
        }).collect();
        let options = DecodeOptions {
            language: Some("en".parse().unwrap()),
            word_times: WordTimes::OpenAi,
            hallucination_silence_threshold: threshold,
            sample_len: Some(12),
            temperatures: vec![0.0, 0.8],
            ..DecodeOptions::default()
        };
        let start = |windows| {
            let backend = Box::new(scripted(seed, windows, windows));
            Engine::start(backend, multilingual(), ReleasePolicy::default(), &CancelToken::new()).unwrap()
        };
        let decoded = decode(&start(windows), parts(), &options).unwrap();
        prop_assert_eq!(&decode(&start(1), parts(), &options).unwrap().segments, &decoded.segments);
        let end = seconds_of_frames(frames as u64);
        let mut spoken = 0.0;
        for segment in &decoded.segments {
            prop_assert!(0.0 <= segment.start && segment.start <= segment.end && segment.end <= end, "{:?}", segment);
            for word in segment.words.as_ref().unwrap() {
                prop_assert!(spoken <= word.start && word.start <= word.end && word.end <= end, "{:?}", word);
                spoken = word.start;
            }
        }
    }

    /// An input as one chunk, and the same one with seams inside its words.
    #[test]
    fn seams_do_not_change_words(
        seed in 0u64..1_000,
        frames in 1usize..12_000,
        seams in prop::collection::btree_set(1usize..12_000, 0..4),
    ) {
        let options = DecodeOptions {
            language: Some("en".parse().unwrap()),
            word_times: WordTimes::OpenAi,
            sample_len: Some(12),
            ..DecodeOptions::default()
        };
        let run = |bounds: &[usize], windows| {
            let parts = bounds.windows(2).map(|bounds| {
                let visible = frames.min(bounds[1] + 3_000);
                let follows = bounds[0] > 0;
                let span = ChunkSpan { first: bounds[0], end: bounds[1], visible, context: None, limit: None, follows };
                InputChunk { span, features: Box::new(CountingFeatures { frames }), speech: None }
            });
            let backend = Box::new(scripted(seed, windows, windows));
            let engine = Engine::start(backend, multilingual(), ReleasePolicy::default(), &CancelToken::new());
            decode(&engine.unwrap(), parts.collect(), &options).unwrap().segments
        };
        let mut bounds = vec![0];
        bounds.extend(seams.into_iter().filter(|seam| *seam < frames));
        bounds.push(frames);
        prop_assert_eq!(run(&[0, frames], 1), run(&bounds, 2));
    }
}
