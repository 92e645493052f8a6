//! Decoding against openai-whisper: the same segments from the same logits.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use transcribe::cancel::{CancelReason, CancelToken};
use transcribe::chunking::{ChunkSpan, SpeechMap};
use transcribe::decode::fallback::WindowResult;
use transcribe::decode::{
    ChunkDecoder, DecodeOptions, Language, Task, Tokenizer, WhenAllFail, WindowOutcome, WordTimes,
};
use transcribe::device::memory::ReleasePolicy;
use transcribe::engine::{Engine, WindowDone};
use transcribe::error::{Error, Result};
use transcribe::mel::features::Features;
use transcribe::models::scripted::ScriptedBackend;
use transcribe::models::{Capacity, ModelSpec};
use transcribe::time::WINDOW_FRAMES;
use transcribe::transcript::Segment;

use crate::recording::{DecodedRecording, InputChunk, decode};

/// Ids of the multilingual vocabulary; in the English one all are one less.
pub const VOCAB: usize = 51_865;
const EOT: u32 = 50_257;
const SOT: u32 = 50_258;
const NO_SPEECH: usize = 50_362;
const NO_TIMESTAMPS: u32 = 50_363;
const BEGIN: u32 = 50_364;

fn read(path: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn read_json(path: &str) -> Value {
    serde_json::from_slice(&read(path)).unwrap()
}

pub fn multilingual() -> Arc<Tokenizer> {
    Arc::new(Tokenizer::from_json(&read("models/demo/tokenizer.json"), VOCAB).unwrap())
}

fn english() -> Arc<Tokenizer> {
    let json = zstd::decode_all(&read("fixtures/decode/tokenizer.en.json.zst")[..]).unwrap();
    Arc::new(Tokenizer::from_json(&json, VOCAB - 1).unwrap())
}

/// One row of mel that holds each frame's number; -1 after the audio.
pub struct CountingFeatures {
    pub frames: usize,
}

impl Features for CountingFeatures {
    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> Result<()> {
        out.clear();
        out.resize(WINDOW_FRAMES, 0.0);
        for (frame, value) in (seek..seek + frames).zip(out) {
            *value = if frame < self.frames { (frame + 1) as f32 } else { -1.0 };
        }
        Ok(())
    }
}

pub fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// The rule of `fixtures/decode/make.py`, for a row of either vocabulary.
pub fn scripted_logits(seed: u64, mel: &[f32], tokens: &[u32], row: &mut [f32]) {
    let vocab = row.len();
    let less = (VOCAB - vocab) as u32;
    let (eot, sot, no_speech) = (EOT - less, SOT - less, NO_SPEECH - less as usize);
    let (no_timestamps, begin) = (NO_TIMESTAMPS - less, BEGIN - less);
    let seek = mel[0] as u64 - 1;
    let frames = mel.iter().filter(|value| **value != 0.0).count() as u64;
    let window = mix(mix(mix(seed) ^ seek) ^ frames);
    let h = tokens.iter().fold(window, |h, token| mix(h ^ u64::from(*token)));
    let since = &tokens[tokens.iter().rposition(|token| *token == sot).unwrap()..];
    let n = since.len() - 1;
    let draw = |j: u64| {
        let r = mix(h ^ (j << 32));
        (r as u32, ((r >> 32) % 512) as f32 / 64.0)
    };
    let mood = |shift: u32| (window >> shift & 3) as usize;
    let sure = [0.0, 3.0, 6.0, 10.0][mood(0)];
    let stamps = [-5.0, -1.0, 1.0, 2.0][mood(2)];
    let length = if window >> 6 & 15 == 0 { 10_000 } else { [4, 12, 25, 50][mood(4)] };
    row.fill(-10.0);
    for j in 0..24 {
        let (r, value) = draw(j);
        row[(r % eot) as usize] = value + if j == 0 { sure } else { 0.0 };
    }
    if !since.contains(&no_timestamps) {
        let last = since.iter().copied().max().unwrap().max(begin);
        for j in 24..32 {
            let (r, value) = draw(j);
            row[((last + r % 100) as usize).min(vocab - 1)] = value + stamps;
        }
    }
    for j in 32..36 {
        let (r, value) = draw(j);
        row[(eot + 1 + r % 100) as usize] = value;
    }
    if mood(12) == 0 {
        row[1000 + n % 2] = 14.0;
    }
    if n > length {
        row[eot as usize] = 10.0 + sure;
    }
    if n == 0 {
        row[no_speech] = if mood(10) == 0 { 13.0 } else { -2.0 };
    }
}

fn backend(seed: u64, sequences: usize) -> ScriptedBackend {
    backend_for(VOCAB, seed, sequences)
}

fn backend_for(n_vocab: usize, seed: u64, sequences: usize) -> ScriptedBackend {
    let spec = ModelSpec { n_mels: 1, n_audio_ctx: 1500, n_text_ctx: 448, n_vocab };
    let rule = move |mel: &[f32], tokens: &[u32], row: &mut [f32]| {
        scripted_logits(seed, mel, tokens, row);
        Ok(())
    };
    ScriptedBackend::new(spec, Capacity { windows: 1, sequences }, Box::new(rule))
}

/// Reads options with openai-whisper's names.
pub fn options(given: &Value) -> DecodeOptions {
    let mut options = DecodeOptions { when_all_fail: WhenAllFail::Last, ..DecodeOptions::default() };
    for (name, value) in given.as_object().unwrap() {
        let text = || value.as_str().unwrap();
        match name.as_str() {
            "task" => options.task = text().parse().unwrap(),
            "language" => options.language = Some(text().parse().unwrap()),
            "temperature" => options.temperatures = serde_json::from_value(value.clone()).unwrap(),
            "word_timestamps" if value == true => options.word_times = WordTimes::OpenAi,
            "word_timestamps" => {}
            "append_punctuations" => options.append_punctuations = text().into(),
            "prepend_punctuations" => options.prepend_punctuations = text().into(),
            "hallucination_silence_threshold" => options.hallucination_silence_threshold = value.as_f64(),
            "best_of" => options.best_of = value.as_u64().map(|n| n as usize),
            "beam_size" => options.beam_size = value.as_u64().map(|n| n as usize),
            "patience" => options.patience = value.as_f64(),
            "length_penalty" => options.length_penalty = value.as_f64(),
            "when_all_fail" => options.when_all_fail = text().parse().unwrap(),
            "sample_len" => options.sample_len = value.as_u64().map(|n| n as usize),
            "compression_ratio_threshold" => options.compression_ratio_threshold = value.as_f64(),
            "logprob_threshold" => options.logprob_threshold = value.as_f64(),
            "no_speech_threshold" => options.no_speech_threshold = value.as_f64(),
            "max_initial_timestamp" => options.max_initial_timestamp = value.as_f64(),
            "condition_on_previous_text" => options.condition_on_previous_text = value.as_bool().unwrap(),
            "carry_initial_prompt" => options.carry_initial_prompt = value.as_bool().unwrap(),
            "without_timestamps" => options.without_timestamps = value.as_bool().unwrap(),
            "suppress_blank" => options.suppress_blank = value.as_bool().unwrap(),
            "suppress_tokens" => options.suppress_tokens = text().parse().unwrap(),
            "initial_prompt" => options.initial_prompt = Some(text().into()),
            _ => panic!("unknown option {name}"),
        }
    }
    options
}

fn engine(backend: ScriptedBackend, tokenizer: &Arc<Tokenizer>) -> Engine {
    Engine::start(Box::new(backend), Arc::clone(tokenizer), ReleasePolicy::default(), &CancelToken::new())
        .unwrap()
}

fn run(
    backend: ScriptedBackend,
    frames: usize,
    options: &DecodeOptions,
    tokenizer: &Arc<Tokenizer>,
) -> Result<DecodedRecording> {
    let decoded = decode(
        &engine(backend, tokenizer),
        vec![InputChunk::whole(frames, CountingFeatures { frames })],
        options,
    )?;
    if let Some(guess) = &decoded.detected {
        let sum: f32 = guess.probabilities.iter().map(|(_, p)| p).sum();
        assert!((sum - 1.0).abs() < 1e-5);
        assert_eq!(guess.probabilities.len(), 99);
    }
    Ok(decoded)
}

fn assert_near(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() < 1e-4, "{what}: {ours} instead of {theirs}");
}

fn assert_segment(what: &str, ours: &Segment, theirs: &Value) {
    let tokens: Vec<u32> = serde_json::from_value(theirs[4].clone()).unwrap();
    let time = |index: usize| theirs[index].as_str().unwrap().parse::<f64>().unwrap();
    assert_eq!(ours.tokens, tokens, "{what}");
    assert_eq!(Some(ours.seek as u64), theirs[0].as_u64(), "{what}");
    assert_eq!((ours.start, ours.end), (time(1), time(2)), "{what}");
    assert_eq!(Some(ours.text.as_str()), theirs[3].as_str(), "{what}");
    assert_eq!(Some(ours.temperature), theirs[5].as_f64(), "{what}");
    assert_near(what, ours.avg_logprob, &theirs[6]);
    assert_near(what, ours.compression_ratio, &theirs[7]);
    assert_near(what, ours.no_speech_prob, &theirs[8]);
}

#[test]
fn segments_equal_openai_on_scripted_logits() {
    compare_scripted_cases(0);
}

#[test]
fn segments_equal_openai_with_device_sampling() {
    compare_scripted_cases(5);
}

/// The cases cover every path of decoding; how often is asserted at the end.
fn compare_scripted_cases(sampling_steps: usize) {
    let (multilingual, english) = (multilingual(), english());
    let cases = read_json("fixtures/decode/scripted.json");
    let mut all_windows = Vec::new();
    let (mut segments, mut emptied) = (0, 0);
    for case in cases.as_array().unwrap() {
        let seed = case["seed"].as_u64().unwrap();
        let frames = case["frames"].as_u64().unwrap() as usize;
        let options = options(&case["options"]);
        let tokenizer = if case["english"] == true { &english } else { &multilingual };
        let backend = backend_for(tokenizer.n_vocab(), seed, 6).with_device_sampling(sampling_steps);
        let decoded = run(backend, frames, &options, tokenizer).unwrap();
        let windows = &decoded.windows;
        let expected = case["segments"].as_array().unwrap();
        for (index, (ours, theirs)) in decoded.segments.iter().zip(expected).enumerate() {
            assert_segment(&format!("case {seed}, segment {index}"), ours, theirs);
            assert_eq!(ours.id, index);
            emptied += usize::from(ours.text.is_empty());
        }
        assert_eq!(decoded.segments.len(), expected.len(), "case {seed}");
        assert_eq!(Some(decoded.text.as_str()), case["text"].as_str(), "case {seed}");
        assert_eq!(Some(decoded.language.as_str()), case["language"].as_str(), "case {seed}");
        assert_eq!(attempts(windows), requests(case), "case {seed}");
        segments += expected.len();
        all_windows.extend_from_slice(windows);
    }
    let count = |wanted: fn(&WindowDone) -> bool| all_windows.iter().filter(|w| wanted(w)).count();
    let silent = count(|w| w.is_silence);
    let (retried, hot) = (count(|w| w.fallbacks > 0), count(|w| w.temperature > 0.5));
    println!("{} windows, {silent} silent, {retried} retried, {hot} hot", all_windows.len());
    println!("{segments} segments, {emptied} empty");
    assert!(all_windows.len() >= 200 && silent >= 8 && retried >= 20 && hot >= 10);
    assert!(segments >= 400 && emptied >= 20);
}

/// Returns the frame and the temperature index of every attempt, in order.
fn attempts(windows: &[WindowDone]) -> Vec<(usize, usize)> {
    windows.iter().flat_map(|w| (0..=w.fallbacks).map(|attempt| (w.seek, attempt))).collect()
}

fn requests(case: &Value) -> Vec<(usize, usize)> {
    serde_json::from_value(case["requests"].clone()).unwrap()
}

#[test]
fn results_do_not_depend_on_the_number_of_slots() {
    let tokenizer = multilingual();
    let options = DecodeOptions {
        best_of: Some(5),
        temperatures: vec![0.7],
        language: Some("en".parse().unwrap()),
        ..DecodeOptions::default()
    };
    let with_slots = |slots| run(backend(5, slots), 6_000, &options, &tokenizer).unwrap();
    let one = with_slots(1);
    assert!(!one.segments.is_empty());
    assert_eq!(one, with_slots(2));
    assert_eq!(one, run(backend(5, 3).with_device_sampling(7), 6_000, &options, &tokenizer).unwrap());
    assert_eq!(one, with_slots(5));
    let other = DecodeOptions { seed: 1, ..options.clone() };
    assert_ne!(one.text, run(backend(5, 5), 6_000, &other, &tokenizer).unwrap().text);
}

#[test]
fn a_window_is_encoded_once_for_all_its_attempts() {
    let tokenizer = multilingual();
    let options = DecodeOptions {
        language: Some("en".parse().unwrap()),
        // Every attempt fails.
        logprob_threshold: Some(1.0),
        no_speech_threshold: None,
        when_all_fail: WhenAllFail::Last,
        sample_len: Some(5),
        ..DecodeOptions::default()
    };
    let engine = engine(backend(1, 1), &tokenizer);
    let features = CountingFeatures { frames: 3_000 };
    let windows = decode(&engine, vec![InputChunk::whole(3_000, features)], &options).unwrap().windows;
    assert!(windows.iter().all(|w| w.fallbacks == 5 && w.temperature == 1.0));
    assert_eq!(engine.stats().windows, windows.len() as u64);
}

#[test]
fn cancelling_stops_within_one_step() {
    let tokenizer = multilingual();
    let cancel = CancelToken::new();
    let (setter, mut steps) = (cancel.clone(), 0);
    let spec = ModelSpec { n_mels: 1, n_audio_ctx: 1500, n_text_ctx: 448, n_vocab: VOCAB };
    let rule = move |mel: &[f32], tokens: &[u32], row: &mut [f32]| {
        steps += 1;
        assert!(steps <= 20, "a step after cancellation");
        if steps == 20 {
            setter.cancel(CancelReason::Interrupt);
        }
        scripted_logits(1, mel, tokens, row);
        row[EOT as usize] = f32::NEG_INFINITY;
        Ok(())
    };
    let backend = ScriptedBackend::new(spec, Capacity { windows: 1, sequences: 1 }, Box::new(rule));
    let engine = Engine::start(Box::new(backend), tokenizer, ReleasePolicy::default(), &cancel).unwrap();
    let features = CountingFeatures { frames: 3_000 };
    let result = decode(&engine, vec![InputChunk::whole(3_000, features)], &DecodeOptions::default());
    assert!(matches!(result, Err(Error::Cancelled(CancelReason::Interrupt))));
    assert!(engine.stats().tokens > 0);
}

#[test]
fn rejects_nan_and_infinite_logits() {
    let tokenizer = multilingual();
    let language = Some("en".parse().unwrap());
    for (broken, language) in [(f32::NAN, language), (f32::INFINITY, language), (f32::NAN, None)] {
        let spec = ModelSpec { n_mels: 1, n_audio_ctx: 1500, n_text_ctx: 448, n_vocab: VOCAB };
        let rule = move |_: &[f32], _: &[u32], row: &mut [f32]| {
            row.fill(broken);
            Ok(())
        };
        let backend = ScriptedBackend::new(spec, Capacity { windows: 1, sequences: 1 }, Box::new(rule));
        let options = DecodeOptions { language, ..DecodeOptions::default() };
        let result = run(backend, 3_000, &options, &tokenizer);
        assert!(matches!(result, Err(Error::NotANumber { .. })), "{broken}: {result:?}");
    }
}

/// Both occur only without timestamp rules; openai-whisper would not end in the second case.
#[test]
fn empties_segments_without_length_and_always_advances() {
    let options = DecodeOptions { language: Some("en".parse().unwrap()), ..DecodeOptions::default() };
    let span = ChunkSpan { first: 0, end: 6_000, visible: 6_000, context: None, limit: None, follows: false };
    let mut chunk = ChunkDecoder::new(multilingual(), Arc::new(options), Language::ENGLISH, 448, span, None);
    let result = |tokens: &[u32]| WindowResult {
        tokens: tokens.to_vec(),
        temperature: 0.0,
        avg_logprob: -0.1,
        no_speech_prob: 0.0,
        compression_ratio: 1.0,
    };
    let word = 1002;
    assert_eq!(
        chunk.accept(result(&[BEGIN + 5, word, BEGIN + 5, BEGIN + 5, word])),
        WindowOutcome::Segments(1)
    );
    assert_eq!((chunk.segments()[0].text.as_str(), chunk.segments()[0].tokens.len()), ("", 0));
    assert_eq!(chunk.request().unwrap().seek, 10);
    chunk.accept(result(&[BEGIN, BEGIN, word]));
    assert_eq!(chunk.request().unwrap().seek, 3_010);
    // Emptied segments are left out of the prompt.
    assert_eq!(chunk.request().unwrap().sot_index, 0);
    chunk.accept(result(&[]));
    assert!(chunk.request().is_none());
}

fn window_result(tokens: &[u32]) -> WindowResult {
    WindowResult {
        tokens: tokens.to_vec(),
        temperature: 0.0,
        avg_logprob: -0.1,
        no_speech_prob: 0.0,
        compression_ratio: 1.0,
    }
}

fn english_chunk(span: ChunkSpan, speech: Option<SpeechMap>) -> ChunkDecoder {
    let options = DecodeOptions { language: Some("en".parse().unwrap()), ..DecodeOptions::default() };
    ChunkDecoder::new(multilingual(), Arc::new(options), Language::ENGLISH, 448, span, None)
        .with_speech(speech)
}

#[test]
fn audio_before_a_chunk_becomes_its_prompt_and_nothing_else() {
    let span = ChunkSpan {
        first: 10_000,
        end: 16_000,
        visible: 16_000,
        context: Some(7_500),
        limit: Some(16_000),
        follows: false,
    };
    let mut chunk = english_chunk(span, None);
    let request = chunk.request().unwrap();
    assert_eq!((request.seek, request.frames, request.sot_index), (7_500, 2_500, 0));
    let before = [BEGIN, 1002, 1003, BEGIN + 500, BEGIN + 500, 1004];
    assert_eq!(chunk.accept(window_result(&before)), WindowOutcome::Heard);
    assert!(chunk.segments().is_empty() && chunk.decision_at(7_500).is_none());
    let request = chunk.request().unwrap();
    assert_eq!((request.seek, request.frames), (10_000, 3_000));
    assert_eq!(request.initial_tokens[1..=before.len()], before);
    chunk.accept(window_result(&[BEGIN, 1005, BEGIN + 1_500]));
    chunk.accept(window_result(&[BEGIN, 1006, BEGIN + 1_500]));
    let decoded = chunk.finish();
    assert_eq!(decoded.segments.len(), 2);
    assert_eq!(decoded.tokens, [BEGIN, 1005, BEGIN + 1_500, BEGIN, 1006, BEGIN + 1_500]);

    // A doubtful text is no help.
    let mut chunk = english_chunk(span, None);
    for _ in 0..6 {
        chunk.accept(WindowResult { avg_logprob: -2.0, ..window_result(&before) });
    }
    let request = chunk.request().unwrap();
    assert_eq!((request.seek, request.sot_index), (10_000, 0));
}

#[test]
fn windows_and_doubtful_text_in_which_nobody_speaks_are_left_out() {
    let span =
        ChunkSpan { first: 0, end: 9_000, visible: 9_000, context: None, limit: Some(9_000), follows: false };
    let mut speech = vec![0.0; 9_000];
    speech[3_100..3_600].fill(1.0);
    // A click.
    speech[1_000..1_009].fill(1.0);
    let mut chunk = english_chunk(span, Some(SpeechMap::new(0, speech.clone())));
    assert_eq!(chunk.skip_silence(), Some((0, 2_950)));
    assert_eq!(chunk.skip_silence(), None);
    assert_eq!(chunk.request().unwrap().seek, 2_950);
    // Spoken from 31 s to 36 s; the second segment is doubtful only in the second attempt, the third has no word.
    let dots = multilingual().encode("...");
    let spoken = [BEGIN + 75, 1002, BEGIN + 325, BEGIN + 500, 1003, BEGIN + 600, BEGIN + 600];
    let tokens: Vec<u32> = spoken.into_iter().chain(dots).chain([BEGIN + 700, BEGIN + 700]).collect();
    let mut certain = chunk;
    let mut doubtful = english_chunk(span, Some(SpeechMap::new(0, speech)));
    doubtful.skip_silence();
    certain.accept(window_result(&tokens));
    doubtful.accept(WindowResult { no_speech_prob: 0.5, ..window_result(&tokens) });
    let starts =
        |chunk: &ChunkDecoder| chunk.segments().iter().map(|segment| segment.start).collect::<Vec<_>>();
    assert_eq!(starts(&certain), [31.0, 39.5]);
    assert_eq!(starts(&doubtful), [31.0]);
    // Nobody speaks in what is left.
    assert_eq!(certain.request().unwrap().seek, 2_950 + 1_400);
    let rest: Vec<_> = std::iter::from_fn(|| certain.skip_silence()).collect();
    assert_eq!(rest, [(4_350, 2_950), (7_300, 1_700)]);
    assert!(certain.request().is_none());
}

#[test]
fn speech_behind_a_pause_is_heard_again() {
    let span =
        ChunkSpan { first: 0, end: 3_000, visible: 3_000, context: None, limit: Some(3_000), follows: false };
    let mut speech = vec![0.0; 3_000];
    speech[1_200..2_900].fill(1.0);
    let silence = WindowResult { no_speech_prob: 0.9, avg_logprob: -1.5, ..window_result(&[]) };
    let seek_after = |speech: Option<Vec<f32>>| {
        let mut chunk = english_chunk(span, speech.map(|speech| SpeechMap::new(0, speech)));
        assert_eq!(chunk.accept(silence.clone()), WindowOutcome::Silence);
        chunk.request().map(|request| request.seek)
    };
    assert_eq!(seek_after(Some(speech.clone())), Some(1_150));
    // openai/whisper's rule.
    assert_eq!(seek_after(None), None);
    // It has been heard from its beginning.
    speech[..100].fill(1.0);
    assert_eq!(seek_after(Some(speech)), None);
}

#[test]
fn long_prompts_and_prefixes_leave_room_for_a_token() {
    let long = Some("one two three four five ".repeat(200));
    let options = DecodeOptions {
        initial_prompt: long.clone(),
        hotwords: long.clone(),
        prefix: long,
        ..DecodeOptions::default()
    };
    let span = ChunkSpan { first: 0, end: 3_000, visible: 3_000, context: None, limit: None, follows: false };
    let chunk = ChunkDecoder::new(multilingual(), Arc::new(options), Language::ENGLISH, 448, span, None);
    let request = chunk.request().unwrap();
    assert!(request.prefix > 200, "{}", request.prefix);
    assert!(request.initial_tokens.len() < 448, "{}", request.initial_tokens.len());
}

#[test]
fn english_only_models_reject_other_tasks() {
    let german = DecodeOptions { language: Some("de".parse().unwrap()), ..DecodeOptions::default() };
    let translate = DecodeOptions { task: Task::Translate, ..DecodeOptions::default() };
    let any = DecodeOptions { multilingual: true, ..DecodeOptions::default() };
    for (options, named) in [(german, "`de`"), (translate, "`translate`"), (any, "`--multilingual`")] {
        let spec = ModelSpec { n_mels: 1, n_audio_ctx: 1500, n_text_ctx: 448, n_vocab: VOCAB - 1 };
        let rule = |_: &[f32], _: &[u32], _: &mut [f32]| Err(Error::usage("the model", "must not run"));
        let backend = ScriptedBackend::new(spec, Capacity { windows: 1, sequences: 1 }, Box::new(rule));
        let result = run(backend, 3_000, &options, &english());
        let Err(Error::Usage { what, why, hint }) = result else { panic!("{result:?}") };
        assert!(what.contains(named), "{what}");
        assert!(why.contains("English only") && hint.is_some(), "{why}");
    }
}
