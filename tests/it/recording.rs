//! Runs one recording through an engine and waits for the result: shared by the tests of decoding.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::unbounded;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::chunking::{ChunkSpan, Selection, SpeechMap};
use transcribe::decode::LanguageGuess;
use transcribe::decode::{DecodeOptions, DecodedChunk};
use transcribe::engine::{ChunkEvent, ChunkTask, Engine, InputContext, WindowDone};
use transcribe::error::Result;
use transcribe::mel::{ChunkMode, Features, MelChunk, MelChunker, MelMeter};
use transcribe::transcript::Segment;

/// The merged output of all chunks of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedRecording {
    pub text: String,
    pub segments: Vec<Segment>,
    pub language: String,
    pub detected: Option<LanguageGuess>,
    /// The windows in order of time.
    pub windows: Vec<WindowDone>,
}

/// A chunk to submit, with any features.
pub struct InputChunk {
    pub span: ChunkSpan,
    pub features: Box<dyn Features>,
    pub speech: Option<SpeechMap>,
}

impl InputChunk {
    /// A whole recording as one chunk.
    pub fn whole(frames: usize, features: impl Features + 'static) -> Self {
        let span =
            ChunkSpan { first: 0, end: frames, visible: frames, context: None, limit: None, follows: false };
        InputChunk { span, features: Box::new(features), speech: None }
    }
}

impl From<MelChunk> for InputChunk {
    fn from(chunk: MelChunk) -> Self {
        let MelChunk { span, features, speech, .. } = chunk;
        InputChunk { span, features: Box::new(features), speech }
    }
}

/// Splits an audio file into chunks of `chunk_length` seconds; 0 makes one chunk.
pub fn chunks(audio: &AudioInput, bins: usize, chunk_length: f64) -> Vec<InputChunk> {
    chunks_after(audio, 0, bins, chunk_length)
}

/// Returns the given clips of an audio file as one chunk each.
pub fn chunks_in_clips(audio: &AudioInput, clips: &str, bins: usize) -> Vec<InputChunk> {
    cut(audio, 0, bins, 0.0, &Selection { clips: clips.parse().unwrap(), ..Selection::default() })
}

/// Like [`chunks`], without the first `skipped` samples.
pub fn chunks_after(audio: &AudioInput, skipped: usize, bins: usize, chunk_length: f64) -> Vec<InputChunk> {
    cut(audio, skipped, bins, chunk_length, &Selection::default())
}

fn cut(
    audio: &AudioInput,
    skipped: usize,
    bins: usize,
    chunk_length: f64,
    selection: &Selection,
) -> Vec<InputChunk> {
    let for_each_block = |consume: &mut dyn FnMut(&[f32])| {
        let mut reader = audio.open(&AudioOptions::default()).unwrap();
        let mut skip = skipped;
        while let Some(block) = reader.next_block().unwrap() {
            let skipped = skip.min(block.len());
            skip -= skipped;
            consume(&block[skipped..]);
        }
    };
    let division = if chunk_length > 0.0 {
        ChunkMode::AtPauses { seconds: chunk_length }
    } else {
        let mut meter = MelMeter::new(bins);
        for_each_block(&mut |block| meter.push(block));
        ChunkMode::Seamless { loudest: meter.finish().max }
    };
    let mut maker = MelChunker::with_selection(bins, division, selection);
    let mut chunks = Vec::new();
    for_each_block(&mut |block| maker.push(block, &mut chunks));
    maker.finish(&mut chunks);
    chunks.into_iter().map(InputChunk::from).collect()
}

/// Submits the chunks in the given order and waits for all of them.
pub fn decode(engine: &Engine, chunks: Vec<InputChunk>, options: &DecodeOptions) -> Result<DecodedRecording> {
    options.check()?;
    let (sender, events) = unbounded();
    // Events after the last chunk are dropped.
    let listener = move |chunk, event| drop(sender.send((chunk, event)));
    let recording = Arc::new(InputContext::new(0, Arc::new(options.clone()), Box::new(listener)));
    if let Some(language) = engine.requested_language(options)? {
        recording.set_language(language);
    }
    let count = chunks.len();
    for (index, chunk) in chunks.into_iter().enumerate() {
        let InputChunk { span, features, speech } = chunk;
        let recording = Arc::clone(&recording);
        engine.submit(ChunkTask { input: recording, index, span, features, speech, permit: None });
    }
    let mut detected = None;
    let mut emitted: BTreeMap<usize, Vec<Segment>> = BTreeMap::new();
    let mut windows = Vec::new();
    let mut done: BTreeMap<usize, DecodedChunk> = BTreeMap::new();
    while done.len() < count {
        match events.recv().unwrap() {
            (_, ChunkEvent::LanguageDetected(guess)) => detected = Some(guess),
            (chunk, ChunkEvent::Segments(segments)) => emitted.entry(chunk).or_default().extend(segments),
            (_, ChunkEvent::WindowDone(window)) => windows.push(window),
            (chunk, ChunkEvent::ChunkDone(decoded)) => {
                assert_eq!(emitted.remove(&chunk).unwrap_or_default(), decoded.segments);
                assert!(done.insert(chunk, decoded).is_none());
            }
            (_, ChunkEvent::Released(_) | ChunkEvent::SlotsReduced { .. }) => {}
            (_, ChunkEvent::Failed(error)) => return Err(error),
        }
    }
    windows.sort_by_key(|window| window.seek);
    let tokens: Vec<u32> = done.values().flat_map(|chunk| chunk.tokens.iter().copied()).collect();
    let mut segments: Vec<Segment> = done.into_values().flat_map(|chunk| chunk.segments).collect();
    segments.iter_mut().enumerate().for_each(|(id, segment)| segment.id = id);
    Ok(DecodedRecording {
        text: engine.tokenizer().decode(&tokens),
        segments,
        language: recording.language().unwrap().code().to_owned(),
        detected,
        windows,
    })
}
