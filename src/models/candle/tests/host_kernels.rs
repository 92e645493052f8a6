//! The whole network on CUDA's kernels, compiled for the host, compared with the CPU backend in each number format.
//!
//! The tests are skipped with a message if there is no C++ compiler, and fail in CI; see `device::cuda::host`.

use std::sync::Arc;

use candle_core::{DType, Device};
use crossbeam_channel::unbounded;

use super::super::CandleBackend;
use crate::audio::{AudioInput, AudioOptions};
use crate::cancel::CancelToken;
use crate::decode::{DecodeOptions, Language, Tokenizer};
use crate::device::cpu::Cpu;
use crate::device::cuda::host;
use crate::device::memory::ReleasePolicy;
use crate::device::reference::Reference;
use crate::device::{Kernels, NumberFormats};
use crate::engine::{ChunkEvent, ChunkTask, Engine, InputContext};
use crate::mel::{ChunkMode, Features, MelChunk, MelChunker};
use crate::models::{Backend, Capacity, RowInput};
use crate::time::WINDOW_FRAMES;
use crate::whisper::weights::WeightSource;
use crate::whisper::{WhisperConfig, Workspace};

fn demo(file: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo").join(file)
}

fn backend(dtype: DType, kernels: Arc<dyn Kernels>) -> CandleBackend {
    let config = WhisperConfig::from_json(&std::fs::read(demo("config.json")).unwrap()).unwrap();
    let weights = [demo("model.safetensors")];
    let weights = WeightSource::Files(&weights).open(dtype).unwrap();
    let capacity = Capacity { windows: 2, sequences: 4 };
    let formats = NumberFormats::uniform(dtype);
    CandleBackend::with_kernels(config, weights, (&Device::Cpu, kernels), formats, capacity).unwrap()
}

fn cuda_backend(dtype: DType) -> Option<CandleBackend> {
    Some(backend(dtype, Arc::new(host::kernels(3)?)))
}

/// Returns the first chunk of a recording.
fn first_chunk(bins: usize) -> MelChunk {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/long/short_en.flac");
    let mut reader = AudioInput::file(path).unwrap().open(&AudioOptions::default()).unwrap();
    let mut chunker = MelChunker::new(bins, ChunkMode::AtPauses { seconds: 30.0 });
    let mut chunks = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        chunker.push(block, &mut chunks);
    }
    chunker.finish(&mut chunks);
    chunks.remove(0)
}

/// Returns the encoder's output, and the logits after prompts of several lengths and after a step.
fn outputs(backend: &mut CandleBackend, mel: &[f32]) -> [Vec<f32>; 3] {
    // Encoded once, because the attention of a whole window takes long on the host.
    let workspace = &mut Workspace::new(backend.formats.activations, &backend.device);
    let encoded = backend.model.encoder.forward(&[mel], workspace).unwrap();
    let encoder = encoded.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap();
    for slot in 0..2 {
        let places = backend.model.decoder.audio_batch(&[slot]).unwrap();
        backend.model.decoder.cache_audio(&encoded, &places, &backend.audio, &mut backend.workspace).unwrap();
    }
    let row = |sequence, position, tokens, logits_after| RowInput {
        sequence,
        window: sequence % 2,
        position,
        tokens,
        logits_after,
    };
    let prompt: Vec<u32> = (300..500).collect();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    backend.decode(&[row(0, 0, &prompt, &[0, 199]), row(1, 0, &prompt[150..], &[49])], &mut first).unwrap();
    backend.copy_sequence(0, 3, 0..200).unwrap();
    let steps =
        [row(0, 200, &[7], &[0]), row(1, 50, &[9], &[0]), row(3, 200, &[8], &[0]), row(2, 0, &[5], &[0])];
    backend.decode(&steps, &mut second).unwrap();
    [encoder, first, second]
}

#[test]
fn the_network_matches_the_cpu_in_every_format() {
    let mut cpu = backend(DType::F32, Arc::new(Cpu::new()));
    let mut mel = Vec::new();
    first_chunk(cpu.spec().n_mels).features.window(0, WINDOW_FRAMES, &mut mel).unwrap();
    let expected = outputs(&mut cpu, &mel);
    for (dtype, tolerance) in [(DType::F32, 1e-3), (DType::F16, 2e-2), (DType::BF16, 0.15)] {
        let Some(mut cuda) = cuda_backend(dtype) else { return };
        for (part, (ours, theirs)) in outputs(&mut cuda, &mel).iter().zip(&expected).enumerate() {
            assert_near(&format!("{dtype:?}, part {part}"), ours, theirs, tolerance);
        }
    }
}

/// Covers candle's own operations, which run on Metal.
#[test]
fn candle_operations_match_the_cpu_in_half_precision() {
    let mut cpu = backend(DType::F32, Arc::new(Cpu::new()));
    let mut mel = Vec::new();
    first_chunk(cpu.spec().n_mels).features.window(0, WINDOW_FRAMES, &mut mel).unwrap();
    let expected = outputs(&mut cpu, &mel);
    let mut reference = backend(DType::F16, Arc::new(Reference::on(&Device::Cpu)));
    for (ours, theirs) in outputs(&mut reference, &mel).iter().zip(&expected) {
        // The CPU multiplies halves less precisely than any GPU.
        assert_near("f16", ours, theirs, 6e-2);
    }
}

fn assert_near(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len());
    let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let spread = theirs.iter().fold(0f32, |most, value| most.max(value.abs()));
    println!("{what}: {worst} of {spread}");
    assert!(worst <= tolerance * spread.max(1.0), "{what}: {worst} of {spread}");
}

/// Returns the times and texts of a chunk.
fn transcribe(backend: CandleBackend, options: &DecodeOptions) -> Vec<(f64, f64, String)> {
    let tokenizer =
        Tokenizer::from_json(&std::fs::read(demo("tokenizer.json")).unwrap(), backend.spec().n_vocab);
    let bins = backend.spec().n_mels;
    let engine = Engine::start(
        Box::new(backend),
        Arc::new(tokenizer.unwrap()),
        ReleasePolicy::Never,
        &CancelToken::new(),
    );
    let (sender, events) = unbounded();
    let handler = move |_, event| drop(sender.send(event));
    let input = Arc::new(InputContext::new(0, Arc::new(options.clone()), Box::new(handler)));
    input.set_language(Language::ENGLISH);
    let MelChunk { span, features, .. } = first_chunk(bins);
    let task = ChunkTask { input, index: 0, span, features: Box::new(features), speech: None, permit: None };
    let engine = engine.unwrap();
    engine.submit(task);
    let mut segments = Vec::new();
    for event in events {
        match event {
            ChunkEvent::Segments(new) => segments.extend(new.into_iter().map(|s| (s.start, s.end, s.text))),
            ChunkEvent::Failed(error) => panic!("{error}"),
            _ => {}
        }
    }
    segments
}

#[test]
fn a_recording_has_the_same_text_in_every_format() {
    let greedy = DecodeOptions { temperatures: vec![0.0], ..DecodeOptions::default() };
    let expected = transcribe(backend(DType::F32, Arc::new(Cpu::new())), &greedy);
    assert!(!expected.is_empty());
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let Some(cuda) = cuda_backend(dtype) else { return };
        assert!(cuda.sampling_steps() > 1);
        assert_eq!(transcribe(cuda, &greedy), expected, "{dtype:?}");
    }
}

#[test]
fn beam_search_finds_the_same_text() {
    let beams = DecodeOptions { temperatures: vec![0.0], beam_size: Some(3), ..DecodeOptions::default() };
    let expected = transcribe(backend(DType::F32, Arc::new(Cpu::new())), &beams);
    assert!(!expected.is_empty());
    let Some(cuda) = cuda_backend(DType::F32) else { return };
    assert!(cuda.max_ranked() > 3);
    assert_eq!(transcribe(cuda, &beams), expected);
}

#[test]
fn sampling_draws_the_same_text() {
    let hot = DecodeOptions { temperatures: vec![0.8], best_of: Some(3), ..DecodeOptions::default() };
    let expected = transcribe(backend(DType::F32, Arc::new(Cpu::new())), &hot);
    let Some(cuda) = cuda_backend(DType::F32) else { return };
    assert_eq!(transcribe(cuda, &hot), expected);
}
