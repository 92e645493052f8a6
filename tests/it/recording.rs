//! One recording through an engine, waited for: what the tests of decoding share.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::unbounded;
use transcribe::audio::{AudioInput, AudioOptions};
use transcribe::chunking::ChunkSpan;
use transcribe::chunking::Selection;
use transcribe::decode::LanguageGuess;
use transcribe::decode::{DecodeOptions, DecodedChunk};
use transcribe::engine::{ChunkEvent, ChunkTask, Engine, InputContext, WindowDone};
use transcribe::error::Result;
use transcribe::mel::{ChunkMode, Features, MelChunk, MelChunker, MelMeter};
use transcribe::transcript::Segment;

/// What came of all its chunks.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    pub text: String,
    pub segments: Vec<Segment>,
    pub language: String,
    pub detected: Option<LanguageGuess>,
    /// In the order of time.
    pub windows: Vec<WindowDone>,
}

/// A chunk with features of any kind.
pub struct Part {
    pub span: ChunkSpan,
    pub features: Box<dyn Features>,
}

impl Part {
    /// All of a recording.
    pub fn whole(frames: usize, features: impl Features + 'static) -> Self {
        let span = ChunkSpan { first: 0, end: frames, visible: frames, limit: None, follows: false };
        Part { span, features: Box::new(features) }
    }
}

impl From<MelChunk> for Part {
    fn from(chunk: MelChunk) -> Self {
        let MelChunk { span, features, .. } = chunk;
        Part { span, features: Box::new(features) }
    }
}

/// Chunks of an audio file, of so many seconds; 0 for one piece.
pub fn parts(audio: &AudioInput, bins: usize, chunk_length: f64) -> Vec<Part> {
    parts_from(audio, 0, bins, chunk_length)
}

/// In one piece, only these clips.
pub fn parts_of(audio: &AudioInput, clips: &str, bins: usize) -> Vec<Part> {
    cut(audio, 0, bins, 0.0, &Selection { clips: clips.parse().unwrap(), ..Selection::default() })
}

/// Without the first samples.
pub fn parts_from(audio: &AudioInput, skipped: usize, bins: usize, chunk_length: f64) -> Vec<Part> {
    cut(audio, skipped, bins, chunk_length, &Selection::default())
}

fn cut(audio: &AudioInput, skipped: usize, bins: usize, chunk_length: f64, of: &Selection) -> Vec<Part> {
    let each = |take: &mut dyn FnMut(&[f32])| {
        let mut reader = audio.open(&AudioOptions::default()).unwrap();
        let mut skip = skipped;
        while let Some(block) = reader.next_block().unwrap() {
            let skipped = skip.min(block.len());
            skip -= skipped;
            take(&block[skipped..]);
        }
    };
    let division = if chunk_length > 0.0 {
        ChunkMode::AtPauses { seconds: chunk_length }
    } else {
        let mut meter = MelMeter::new(bins);
        each(&mut |block| meter.push(block));
        ChunkMode::Seamless { loudest: meter.finish().max }
    };
    let mut maker = MelChunker::with_selection(bins, division, of);
    let mut chunks = Vec::new();
    each(&mut |block| maker.push(block, &mut chunks));
    maker.finish(&mut chunks);
    chunks.into_iter().map(Part::from).collect()
}

/// Hands the chunks over in the order given and waits for all of them.
pub fn decode(engine: &Engine, parts: Vec<Part>, options: &DecodeOptions) -> Result<Heard> {
    options.check()?;
    let (sender, events) = unbounded();
    // What comes after the last chunk is heard by nobody.
    let listener = move |chunk, event| drop(sender.send((chunk, event)));
    let recording = Arc::new(InputContext::new(0, Arc::new(options.clone()), Box::new(listener)));
    if let Some(language) = engine.requested_language(options)? {
        recording.set_language(language);
    }
    let count = parts.len();
    for (index, part) in parts.into_iter().enumerate() {
        let Part { span, features } = part;
        let recording = Arc::clone(&recording);
        engine.submit(ChunkTask { input: recording, index, span, features, permit: None });
    }
    let mut detected = None;
    let mut told: BTreeMap<usize, Vec<Segment>> = BTreeMap::new();
    let mut windows = Vec::new();
    let mut done: BTreeMap<usize, DecodedChunk> = BTreeMap::new();
    while done.len() < count {
        match events.recv().unwrap() {
            (_, ChunkEvent::LanguageDetected(guess)) => detected = Some(guess),
            (chunk, ChunkEvent::Segments(segments)) => told.entry(chunk).or_default().extend(segments),
            (_, ChunkEvent::WindowDone(window)) => windows.push(window),
            (chunk, ChunkEvent::ChunkDone(decoded)) => {
                assert_eq!(told.remove(&chunk).unwrap_or_default(), decoded.segments);
                assert!(done.insert(chunk, decoded).is_none());
            }
            (_, ChunkEvent::Released(_) | ChunkEvent::SlotsReduced { .. }) => {}
            (_, ChunkEvent::Failed(error)) => return Err(error),
        }
    }
    windows.sort_by_key(|window| window.seek);
    let said: Vec<u32> = done.values().flat_map(|chunk| chunk.said.iter().copied()).collect();
    let mut segments: Vec<Segment> = done.into_values().flat_map(|chunk| chunk.segments).collect();
    segments.iter_mut().enumerate().for_each(|(id, segment)| segment.id = id);
    Ok(Heard {
        text: engine.tokenizer().decode(&said),
        segments,
        language: recording.language().unwrap().code().to_owned(),
        detected,
        windows,
    })
}
