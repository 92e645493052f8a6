//! The engine: the result of an input depends on the input alone, not on its neighbours, and every chunk ends.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{RecvTimeoutError, bounded, unbounded};
use proptest::prelude::*;
use transcribe::cancel::{CancelReason, CancelToken};
use transcribe::chunking::ChunkSpan;
use transcribe::decode::DecodeOptions;
use transcribe::device::memory::ReleasePolicy;
use transcribe::engine::{ChunkEvent, ChunkTask, Engine, InputContext};
use transcribe::error::Error;
use transcribe::models::scripted::ScriptedBackend;
use transcribe::models::{Capacity, ModelSpec};

use crate::decode::{CountingFeatures, VOCAB, multilingual, scripted_logits};
use crate::recording::{InputChunk, decode};

const SPEC: ModelSpec = ModelSpec { n_mels: 1, n_audio_ctx: 1500, n_text_ctx: 448, n_vocab: VOCAB };

/// About half of the backends sample on the device, for some steps at a time.
fn scripted(seed: u64, windows: usize, sequences: usize) -> ScriptedBackend {
    let rule = move |mel: &[f32], tokens: &[u32], row: &mut [f32]| {
        scripted_logits(seed, mel, tokens, row);
        Ok(())
    };
    let sampling_steps = if (windows + sequences).is_multiple_of(2) { 0 } else { 1 + seed as usize % 9 };
    ScriptedBackend::new(SPEC, Capacity { windows, sequences }, Box::new(rule))
        .with_device_sampling(sampling_steps)
        .with_async_encoding(seed as usize % 4)
}

fn start(backend: ScriptedBackend, cancel: &CancelToken) -> Engine {
    Engine::start(Box::new(backend), multilingual(), ReleasePolicy::default(), cancel).unwrap()
}

/// Draws samples, so that candidates share slots, and short ones, so that there are many windows in little time.
fn options() -> DecodeOptions {
    DecodeOptions { best_of: Some(3), sample_len: Some(12), ..DecodeOptions::default() }
}

/// The same, or first a beam search that needs three slots at once.
fn search_options(beams: bool) -> DecodeOptions {
    DecodeOptions { beam_size: beams.then_some(3), ..options() }
}

fn chunk(first: usize, end: usize, visible: usize, follows: bool, frames: usize) -> InputChunk {
    let span = ChunkSpan { first, end, visible, context: None, limit: None, follows };
    InputChunk { span, features: Box::new(CountingFeatures { frames }), speech: None }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// An input as one chunk, and the same one with seams.
    #[test]
    fn seams_do_not_change_the_result(
        seed in 0u64..1_000,
        frames in 1usize..15_000,
        seams in prop::collection::btree_set(1usize..15_000, 0..5),
        windows in 1usize..4,
        beams: bool,
    ) {
        let options = search_options(beams);
        let none = CancelToken::new();
        let whole = decode(&start(scripted(seed, 1, 3), &none), vec![chunk(0, frames, frames, false, frames)], &options);
        let mut bounds = vec![0];
        bounds.extend(seams.into_iter().filter(|seam| *seam < frames));
        bounds.push(frames);
        let chunks = bounds.windows(2).map(|bounds| {
            let visible = frames.min(bounds[1] + 3_000);
            chunk(bounds[0], bounds[1], visible, bounds[0] > 0, frames)
        });
        let split = decode(&start(scripted(seed, windows, windows + 2), &none), chunks.collect(), &options);
        let (whole, split) = (whole.unwrap(), split.unwrap());
        prop_assert_eq!(&whole.segments, &split.segments);
        prop_assert_eq!(whole.text, split.text);
        prop_assert_eq!(whole.windows.len(), split.windows.len());
    }

    /// Whatever times the network writes, segments are in order and inside the input.
    #[test]
    fn segments_are_in_order_and_inside_the_input(
        seed in 0u64..1_000,
        frames in 1usize..12_000,
        cuts in prop::collection::btree_set(1usize..12_000, 0..6),
    ) {
        let mut bounds = vec![0];
        bounds.extend(cuts.into_iter().filter(|cut| *cut < frames));
        bounds.push(frames);
        let chunks = bounds.windows(2).map(|bounds| {
            let span = ChunkSpan { first: bounds[0], end: bounds[1], visible: bounds[1], context: None, limit: Some(bounds[1]), follows: false };
            InputChunk { span, features: Box::new(CountingFeatures { frames: bounds[1] }), speech: None }
        });
        let engine = start(scripted(seed, 3, 5), &CancelToken::new());
        let segments = decode(&engine, chunks.collect(), &options()).unwrap().segments;
        let end = transcribe::time::seconds_of_frames(frames as u64);
        for pair in segments.windows(2) {
            prop_assert!(pair[0].start <= pair[1].start, "{pair:?}");
        }
        for segment in segments {
            prop_assert!(0.0 <= segment.start && segment.start <= segment.end && segment.end <= end, "{segment:?}");
        }
    }

    /// Any number of inputs and slots, chunks that depend on others, inputs that fail, inputs that are abandoned: each input
    /// ends once, and those that are neither with all of their chunks.
    #[test]
    fn every_schedule_ends_every_input(
        seed in 0u64..1_000,
        windows in 1usize..6,
        extra in 0usize..4,
        inputs in prop::collection::vec((1usize..5, any::<bool>(), 0u8..8), 1..7),
        cancel_after in prop::option::of(0usize..200),
        beams: bool,
        sampling_steps in 0usize..6,
        polls in 0usize..5,
    ) {
        let options = Arc::new(search_options(beams && extra >= 2));
        let cancel = CancelToken::new();
        let (stop, steps) = (cancel.clone(), AtomicUsize::new(0));
        let rule = move |mel: &[f32], tokens: &[u32], row: &mut [f32]| {
            if Some(steps.fetch_add(1, Ordering::Relaxed)) == cancel_after {
                stop.cancel(CancelReason::Interrupt);
            }
            // Marked inputs fail in their third second.
            if mel[0] >= 1e6 && mel[300] > 0.0 && tokens.len() > 4 {
                return Err(Error::compute("the test", "marked"));
            }
            scripted_logits(seed, mel, tokens, row);
            Ok(())
        };
        let backend = ScriptedBackend::new(SPEC, Capacity { windows, sequences: windows + extra }, Box::new(rule)).with_device_sampling(sampling_steps).with_async_encoding(polls);
        let engine = start(backend, &cancel);
        let (sender, events) = unbounded();
        let mut expected = HashMap::new();
        for (order, &(chunks, follows, fate)) in inputs.iter().enumerate() {
            let sender = sender.clone();
            let sink = move |chunk, event| sender.send((order, chunk, event)).unwrap();
            let input = Arc::new(InputContext::new(order, Arc::clone(&options), Box::new(sink)));
            if fate != 2 {
                input.set_language("en".parse().unwrap());
            }
            for index in 0..chunks {
                let (first, end) = (index * 2_000, (index + 1) * 2_000);
                let follows = follows && index > 0;
                let span = ChunkSpan { first, end, visible: end, context: None, limit: None, follows };
                let frames = chunks * 2_000;
                let features: Box<dyn transcribe::mel::Features> = match fate {
                    0 => Box::new(MarkedFeatures(CountingFeatures { frames })),
                    _ => Box::new(CountingFeatures { frames }),
                };
                engine.submit(ChunkTask { input: Arc::clone(&input), index, span, features, speech: None, permit: None });
            }
            if fate == 1 {
                input.abandon();
            }
            expected.insert(order, (chunks, fate));
        }
        drop(sender);
        let mut done: HashMap<usize, usize> = HashMap::new();
        let mut failed: HashMap<usize, Error> = HashMap::new();
        // Ends when the engine has dropped every input, and with it every sender.
        for (order, _, event) in events {
            match event {
                ChunkEvent::ChunkDone(_) => *done.entry(order).or_default() += 1,
                ChunkEvent::Failed(error) => prop_assert!(failed.insert(order, error).is_none(), "failed twice"),
                _ => {}
            }
        }
        for (order, (chunks, fate)) in expected {
            let done = done.get(&order).copied().unwrap_or(0);
            match (failed.get(&order), fate) {
                (Some(Error::Cancelled(_)), _) => prop_assert!(cancel.reason().is_some()),
                (Some(_), _) => prop_assert_eq!(fate, 0),
                (None, 1) => {}
                (None, 0) => prop_assert!(false, "a marked input did not fail"),
                (None, _) => prop_assert_eq!(done, chunks),
            }
        }
    }
}

/// Abandons an input as soon as its window is read.
struct AbandoningFeatures(CountingFeatures, Arc<InputContext>);

impl transcribe::mel::Features for AbandoningFeatures {
    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> transcribe::error::Result<()> {
        self.1.abandon();
        self.0.window(seek, frames, out)
    }
}

/// A window that the backend still encodes for an abandoned input does not keep the input alive.
#[test]
fn an_input_abandoned_while_it_is_encoded_ends() {
    let (reached, first_step) = bounded(1);
    let (go_on, second_is_queued) = bounded::<()>(1);
    let steps = AtomicUsize::new(0);
    let rule = move |_: &[f32], _: &[u32], row: &mut [f32]| {
        if steps.fetch_add(1, Ordering::Relaxed) == 0 {
            reached.send(()).unwrap();
            second_is_queued.recv().unwrap();
        }
        // Text up to the limit of tokens, so that steps follow in which the second input's window is pending.
        row.fill(-20.0);
        row[0] = 20.0;
        Ok(())
    };
    let backend = ScriptedBackend::new(SPEC, Capacity { windows: 2, sequences: 2 }, Box::new(rule));
    let engine = start(backend.with_async_encoding(1_000_000), &CancelToken::new());
    let options = Arc::new(DecodeOptions { temperatures: vec![0.0], ..options() });
    let (sender, events) = unbounded();
    let input = |order: usize| {
        let sender = sender.clone();
        let sink = move |chunk, event| sender.send((order, chunk, event)).unwrap();
        let input = Arc::new(InputContext::new(order, Arc::clone(&options), Box::new(sink)));
        input.set_language("en".parse().unwrap());
        input
    };
    let task = |input: Arc<InputContext>, features: Box<dyn transcribe::mel::Features>| {
        let span =
            ChunkSpan { first: 0, end: 2_000, visible: 2_000, context: None, limit: None, follows: false };
        ChunkTask { input, index: 0, span, features, speech: None, permit: None }
    };
    engine.submit(task(input(0), Box::new(CountingFeatures { frames: 2_000 })));
    first_step.recv().unwrap();
    let second = input(1);
    let features = AbandoningFeatures(CountingFeatures { frames: 2_000 }, Arc::clone(&second));
    engine.submit(task(second, Box::new(features)));
    go_on.send(()).unwrap();
    drop(sender);
    // Ends when the engine has dropped both inputs; the time is only to fail instead of waiting for ever.
    let mut ended = Vec::new();
    loop {
        match events.recv_timeout(std::time::Duration::from_secs(60)) {
            Ok((order, _, ChunkEvent::ChunkDone(_))) => ended.push(order),
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("the engine holds an abandoned input"),
        }
    }
    assert_eq!(ended, [0]);
}

/// Features with values that no input has.
struct MarkedFeatures(CountingFeatures);

impl transcribe::mel::Features for MarkedFeatures {
    fn window(&mut self, seek: usize, frames: usize, out: &mut Vec<f32>) -> transcribe::error::Result<()> {
        self.0.window(seek, frames, out)?;
        out.iter_mut().for_each(|value| *value += 1e6);
        Ok(())
    }
}

/// The slots are halved until memory suffices; the text stays the same.
#[test]
fn a_lack_of_memory_halves_the_slots_and_keeps_the_text() {
    let none = CancelToken::new();
    let chunks =
        || (0..6).map(|index| chunk(index * 3_000, (index + 1) * 3_000, (index + 1) * 3_000, false, 18_000));
    for options in [search_options(false), search_options(true)] {
        let expected = decode(&start(scripted(9, 6, 18), &none), chunks().collect(), &options).unwrap();
        for (limit, sequences) in [(1, 8), (2, 18), (5, 9), (6, 8)] {
            let engine = start(scripted(9, 6, sequences).with_memory_for(limit), &none);
            assert_eq!(
                decode(&engine, chunks().collect(), &options).unwrap(),
                expected,
                "memory for {limit}"
            );
        }
    }
    let engine = start(scripted(9, 6, 8).with_memory_for(0), &none);
    let error = decode(&engine, chunks().collect(), &options()).unwrap_err();
    assert!(matches!(error.unshared(), Error::OutOfMemory { .. }), "{error}");
}

#[test]
fn a_panic_fails_one_input() {
    let rule = |mel: &[f32], tokens: &[u32], row: &mut [f32]| {
        assert!(mel[0] < 1e6, "the marked input");
        scripted_logits(3, mel, tokens, row);
        Ok(())
    };
    let capacity = Capacity { windows: 3, sequences: 3 };
    assert_second_fails(
        ScriptedBackend::new(SPEC, capacity, Box::new(rule)),
        options(),
        |error| matches!(error, Error::Panicked { message, .. } if message.contains("marked")),
    );
}

/// Also if other sequences of its window have chosen tokens already.
#[test]
fn nan_logits_fail_one_input() {
    for (sampling_steps, beam_size) in [(0, None), (4, None), (4, Some(3))] {
        let rule = |mel: &[f32], tokens: &[u32], row: &mut [f32]| {
            scripted_logits(3, mel, tokens, row);
            if mel[0] >= 1e6 && tokens.len() > 6 {
                row.fill(f32::NAN);
            }
            Ok(())
        };
        let capacity = Capacity { windows: 3, sequences: 9 };
        let backend =
            ScriptedBackend::new(SPEC, capacity, Box::new(rule)).with_device_sampling(sampling_steps);
        let temperatures = vec![if beam_size.is_some() { 0.0 } else { 0.7 }];
        let options = DecodeOptions { temperatures, beam_size, ..options() };
        assert_second_fails(backend, options, |error| matches!(error, Error::NotANumber { .. }));
    }
}

/// Checks that of three inputs only the second one fails, which is marked.
fn assert_second_fails(backend: ScriptedBackend, options: DecodeOptions, is_cause: fn(&Error) -> bool) {
    let engine = start(backend, &CancelToken::new());
    let (sender, events) = unbounded();
    for order in 0..3 {
        let sender = sender.clone();
        let sink = move |_, event| sender.send((order, event)).unwrap();
        let input = Arc::new(InputContext::new(order, Arc::new(options.clone()), Box::new(sink)));
        input.set_language("en".parse().unwrap());
        let span =
            ChunkSpan { first: 0, end: 6_000, visible: 6_000, context: None, limit: None, follows: false };
        let features = CountingFeatures { frames: 6_000 };
        let features: Box<dyn transcribe::mel::Features> =
            if order == 1 { Box::new(MarkedFeatures(features)) } else { Box::new(features) };
        engine.submit(ChunkTask { input, index: 0, span, features, speech: None, permit: None });
    }
    drop(sender);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (order, event) in events {
        match event {
            ChunkEvent::ChunkDone(_) => done.push(order),
            ChunkEvent::Failed(error) => {
                assert!(is_cause(&error), "{error}");
                failed.push(order);
            }
            _ => {}
        }
    }
    done.sort_unstable();
    assert_eq!((done, failed), (vec![0, 2], vec![1]));
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long").join(name)
}

/// Runs the program; returns all outputs by name.
fn run(inputs: &[&str], line: &[&str]) -> HashMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_transcribe"));
    program.args(inputs.iter().map(|input| fixture(input))).args(line);
    program.args(["--model", "demo", "--export", "json,srt", "--chunk-length", "15"]);
    // A strict threshold, so that many windows fall back.
    let output = program
        .args(["--logprob-threshold", "-0.25", "--when-all-fail", "last", "--output-dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| !path.ends_with(crate::program::LEDGER))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().into(), std::fs::read(path).unwrap()))
        .collect()
}

/// Compares text, tokens, times and probabilities to the byte, with fallback and language detection.
#[test]
fn outputs_do_not_depend_on_neighbours_order_slots_and_threads() {
    let all = ["short_en.flac", "short_es.flac", "long_es.flac"];
    let expected = run(&all, &["--batch-size", "1", "--jobs", "1"]);
    assert_eq!(expected.len(), 6);
    let fell_back = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("\"temperature\": 1.0");
    assert!(expected.values().any(fell_back), "nothing fell back");
    let check = |what: &str, got: HashMap<String, Vec<u8>>| {
        for (name, bytes) in got {
            assert!(expected[&name] == bytes, "{what}: {name}");
        }
    };
    for batch in ["3", "8", "16"] {
        check(batch, run(&all, &["--batch-size", batch]));
    }
    let cold = ["--temperature-increment-on-fallback", "none", "--batch-size", "8"];
    let beams = ["--beam-size", "4", "--temperature-increment-on-fallback", "none", "--batch-size"];
    let searched = run(&all, &[&beams[..], &["1"]].concat());
    assert!(run(&all, &cold) != searched, "beams change nothing");
    for line in [[&beams[..], &["5"]].concat(), [&beams[..], &["8", "--threads", "3"]].concat()] {
        assert!(run(&all, &line) == searched, "{line:?}");
    }
    let shuffled = ["long_es.flac", "short_es.flac", "short_en.flac"];
    check("shuffled", run(&shuffled, &["--batch-size", "5", "--jobs", "2"]));
    for input in all {
        check("alone", run(&[input], &["--batch-size", "8"]));
    }
    for threads in ["1", "3", "4"] {
        check("threads", run(&all, &["--batch-size", "4", "--threads", threads]));
    }
}

#[test]
fn word_times_do_not_depend_on_neighbours_slots_and_threads() {
    let all = ["short_en.flac", "short_es.flac", "long_es.flac"];
    let timed = |inputs: &[&str], line: &[&str]| {
        let words = ["--word-timestamps", "--hallucination-silence-threshold", "1"];
        run(inputs, &[&words[..], line].concat())
    };
    let expected = timed(&all, &["--batch-size", "1", "--jobs", "1"]);
    let has_words = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("\"probability\": 0.");
    assert_eq!(expected.values().filter(|bytes| has_words(bytes)).count(), 3);
    for line in [&["--batch-size", "8"][..], &["--batch-size", "3", "--threads", "1"], &["--threads", "4"]] {
        for (name, bytes) in timed(&all, line) {
            assert!(expected[&name] == bytes, "{line:?}: {name}");
        }
    }
    for (name, bytes) in timed(&["long_es.flac"], &["--batch-size", "8"]) {
        assert!(expected[&name] == bytes, "alone: {name}");
    }
}
