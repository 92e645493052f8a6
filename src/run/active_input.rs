//! One input in flight: its chunks so far, and its transcript in the end.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::event::ChunkFigures;
use super::front_end::FrontEndResult;
use super::models::LeasedModel;
use super::{RunEvent, output};
use crate::chunking::{ChunkSpan, SkipCause};
use crate::decode::{DecodeOptions, DecodedChunk, LanguageGuess, Task};
use crate::engine::InputContext;
use crate::error::Result;
use crate::plan::{InputName, PlannedInput, UNDETERMINED};
use crate::speakers::{self, channels};
use crate::store::journal::{Journal, JournaledChunk};
use crate::store::ledger::InputSnapshot;
use crate::time::seconds_of_frames;
use crate::transcript::Segment;
use crate::transcript::{Damage, Seam, SkipReason, Skipped, Transcript};

/// Whether and when the text of an input is emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEmission {
    Never,
    /// As it is decoded.
    Live,
    /// When it is known who speaks.
    AtTheEnd,
}

/// See the module. Dropping it abandons its chunks and joins the front end.
pub struct ActiveInput {
    pub item: PlannedInput,
    pub name: InputName,
    pub model: LeasedModel,
    pub engine_input: Arc<InputContext>,
    pub started: Instant,
    /// It has failed, and the event was emitted.
    pub has_failed: bool,
    /// None while the audio is being read.
    pub front_end: Option<FrontEndResult>,
    pub guess: Option<LanguageGuess>,
    /// What the input was when it was started.
    pub origin: Option<InputSnapshot>,
    /// Holds the lock on the outputs and the finished chunks.
    pub journal: Option<Journal>,
    /// Seconds of audio, as far as they are known.
    length: f64,
    /// Frames of finished windows.
    frames_done: usize,
    /// Frames that no window will cover, as far as the audio was read.
    frames_skipped: u64,
    decoded: BTreeMap<usize, DecodedChunk>,
    /// Where the chunks made so far lie.
    spans: BTreeMap<usize, ChunkSpan>,
    /// Chunks read from the journal of an earlier run.
    resumed: usize,
    /// Segments not emitted yet, by chunk.
    pending_text: BTreeMap<usize, Vec<Segment>>,
    /// The chunk whose segments are emitted as they come.
    next_text: usize,
    /// Whether and when its text is emitted.
    text: TextEmission,
    /// What its speakers are called, in their order.
    speaker_names: Vec<String>,
    /// The text, if it is emitted at the end.
    pub final_text: Vec<Segment>,
    /// The output to print when the input's turn comes.
    pub printed: Option<Arc<[u8]>>,
    thread: Option<JoinHandle<()>>,
}

impl ActiveInput {
    pub fn new(
        item: PlannedInput,
        model: LeasedModel,
        engine_input: Arc<InputContext>,
        thread: JoinHandle<()>,
        text: TextEmission,
        speaker_names: Vec<String>,
    ) -> Self {
        Self {
            name: item.name(),
            item,
            model,
            engine_input,
            started: Instant::now(),
            has_failed: false,
            front_end: None,
            guess: None,
            origin: None,
            journal: None,
            length: 0.0,
            frames_done: 0,
            frames_skipped: 0,
            decoded: BTreeMap::new(),
            spans: BTreeMap::new(),
            resumed: 0,
            pending_text: BTreeMap::new(),
            next_text: 0,
            text,
            speaker_names,
            final_text: Vec::new(),
            printed: None,
            thread: Some(thread),
        }
    }

    /// Waits for the front end, which ends once everything is read or the input is abandoned.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The thread catches its own panics and reports them.
            let _ = thread.join();
        }
    }

    pub fn set_length(&mut self, seconds: f64, frames_skipped: u64) {
        self.length = seconds;
        self.frames_skipped = frames_skipped;
    }

    /// Keeps segments to be emitted as text, if that is wanted.
    pub fn add_segments(&mut self, chunk: usize, segments: Vec<Segment>) {
        if self.text != TextEmission::Live {
            return;
        }
        self.pending_text.entry(chunk).or_default().extend(segments);
    }

    /// Takes the segments that can be emitted in the order of time: those of the first unfinished chunk and of all
    /// chunks before it.
    pub fn take_text(&mut self) -> Vec<Segment> {
        let mut text = Vec::new();
        loop {
            text.extend(self.pending_text.remove(&self.next_text).unwrap_or_default());
            if !self.decoded.contains_key(&self.next_text) {
                return text;
            }
            self.next_text += 1;
        }
    }

    pub fn add_frames(&mut self, frames: usize) {
        self.frames_done += frames;
    }

    pub fn add_span(&mut self, chunk: usize, span: ChunkSpan) {
        self.spans.insert(chunk, span);
    }

    /// Adds a chunk from the engine. The error says why it could not be journalled.
    pub fn add_chunk(&mut self, index: usize, decoded: DecodedChunk) -> io::Result<()> {
        let (Some(journal), Some(&span)) = (&mut self.journal, self.spans.get(&index)) else {
            self.decoded.insert(index, decoded);
            return Ok(());
        };
        let finished = JournaledChunk { index, span, decoded };
        let outcome = journal.append_chunk(&finished);
        self.decoded.insert(index, finished.decoded);
        outcome
    }

    /// Adds a chunk from the journal of an earlier run.
    pub fn add_resumed(&mut self, JournaledChunk { index, span, decoded }: JournaledChunk) {
        self.resumed += 1;
        self.add_span(index, span);
        self.add_segments(index, decoded.segments.clone());
        self.add_frames(span.frames());
        self.decoded.insert(index, decoded);
    }

    /// Makes the event of a finished chunk.
    pub fn chunk_done(&self, chunk: usize, figures: ChunkFigures, is_resumed: bool) -> RunEvent {
        let seconds = |frames: usize| seconds_of_frames(frames as u64);
        let span = self.spans.get(&chunk);
        let (start, end) = span.map_or((0.0, 0.0), |s| (seconds(s.first), seconds(s.end)));
        RunEvent::ChunkDone { input: self.name.clone(), chunk, start, end, is_resumed, figures }
    }

    /// Returns the seconds of audio, as far as they are known.
    pub fn length(&self) -> f64 {
        self.length
    }

    pub fn set_language(&mut self, guess: LanguageGuess) -> io::Result<()> {
        let guess = self.guess.insert(guess);
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append_language(guess))
    }

    /// Whether chunks of an earlier run are used.
    pub fn has_resumed(&self) -> bool {
        self.resumed > 0
    }

    /// Returns the finished seconds of audio.
    pub fn seconds_done(&self) -> f64 {
        seconds_of_frames(self.frames_done as u64 + self.frames_skipped)
    }

    /// Whether everything was read and every chunk is finished.
    pub fn is_complete(&self) -> bool {
        self.front_end.as_ref().is_some_and(|result| self.decoded.len() == result.chunks)
    }

    /// Names the outputs after the language of the text, where their names depend on it, and makes their folders.
    pub fn name_outputs(&mut self, decode: &DecodeOptions) -> Result<()> {
        if !self.item.is_named_by_language() {
            return Ok(());
        }
        let language = match decode.task {
            Task::Translate => Some("en"),
            Task::Transcribe => self.engine_input.language().map(|language| language.code()),
        };
        self.item.name_by_language(language.unwrap_or(UNDETERMINED));
        output::create_folders(&self.item)
    }

    /// Returns the transcript of an input that is complete.
    pub fn transcript(&mut self) -> Transcript {
        let chunks = std::mem::take(&mut self.decoded).into_iter();
        let duration = self.front_end.as_ref().map_or(0.0, |result| result.duration);
        let mut transcript = self.assemble(chunks, duration);
        if let Some(turns) = self.front_end.as_mut().and_then(|result| result.speakers.take()) {
            transcript.segments = speakers::assign(&turns, transcript.segments);
            transcript.speakers = Some(turns);
        }
        if self.text == TextEmission::AtTheEnd {
            self.final_text.clone_from(&transcript.segments);
        }
        transcript
    }

    /// Returns a transcript of the finished chunks before the first gap; none if there are none.
    pub fn partial_transcript(&mut self) -> Option<Transcript> {
        let decoded = std::mem::take(&mut self.decoded);
        let chunks: Vec<_> =
            decoded.into_iter().enumerate().take_while(|(nth, (index, _))| nth == index).collect();
        let last = chunks.last().map(|(nth, _)| *nth)?;
        let end = self.spans.range(..=last).map(|(_, span)| span.end).max().unwrap_or(0);
        let chunks = chunks.into_iter().map(|(_, chunk)| chunk);
        let whole = self.assemble(chunks, seconds_of_frames(end as u64));
        Some(Transcript { is_partial: true, ..whole })
    }

    fn assemble(&self, chunks: impl Iterator<Item = (usize, DecodedChunk)>, duration: f64) -> Transcript {
        let mut tokens = Vec::new();
        let starts = self.front_end.as_ref().and_then(|result| result.channel_starts.clone());
        // Of each channel; of the whole recording if channels are no speakers.
        let mut channels: Vec<Vec<Segment>> = vec![Vec::new(); starts.as_ref().map_or(1, Vec::len)];
        let mut decisions = Vec::new();
        for (index, chunk) in chunks {
            let channel =
                starts.as_ref().map_or(0, |starts| starts.partition_point(|start| *start <= index) - 1);
            channels[channel].extend(chunk.segments);
            tokens.extend(chunk.tokens);
            decisions.extend(chunk.decisions);
        }
        let (mut segments, speakers) = match starts {
            Some(_) => {
                let (segments, turns) = channels::merge(channels, &self.speaker_names);
                (segments, Some(turns))
            }
            None => (channels.concat(), None),
        };
        segments.iter_mut().enumerate().for_each(|(id, segment)| segment.id = id);
        // What channels say is merged, so that their tokens say it in another order.
        let text = match speakers {
            Some(_) => segments.iter().map(|segment| segment.text.as_str()).collect(),
            None => self.model.engine.tokenizer().decode(&tokens),
        };
        let damage = self.front_end.as_ref().map(|result| &result.damage);
        Transcript {
            source: self.name.to_string(),
            duration,
            model: self.model.identity.clone(),
            language: self
                .engine_input
                .language()
                .map_or(String::new(), |language| language.code().to_owned()),
            language_probability: self.guess.as_ref().map(|guess| f64::from(guess.probability())),
            languages: self.languages(),
            text,
            segments,
            speakers,
            decisions,
            skipped: self.skipped(duration),
            speech: self.speech(),
            damage: damage.map_or_else(Damage::default, |damage| Damage {
                packets: damage.packets,
                truncated: damage.incomplete,
            }),
            waveform: self.front_end.as_ref().and_then(|result| result.waveform.clone()),
            seams: self.seams(),
            quality: None,
            is_partial: false,
        }
    }

    fn languages(&self) -> Vec<(String, f64)> {
        let guess = self.guess.iter().flat_map(|guess| &guess.probabilities);
        let mut languages: Vec<(String, f64)> =
            guess.map(|(language, p)| (language.code().to_owned(), f64::from(*p))).collect();
        languages.sort_by(|a, b| b.1.total_cmp(&a.1));
        languages
    }

    /// Returns what was left out, as far as the audio was read.
    fn skipped(&self, duration: f64) -> Vec<Skipped> {
        let Some(result) = &self.front_end else { return Vec::new() };
        let mut skipped: Vec<Skipped> = Vec::new();
        for (frames, cause) in &result.split.skipped {
            let why = match cause {
                SkipCause::OutsideClips => SkipReason::NotAskedFor,
                SkipCause::Silence => SkipReason::Silence,
            };
            let (start, end) = (seconds_of_frames(frames.start), seconds_of_frames(frames.end));
            skipped.push(Skipped { start, end, why });
        }
        // Audio behind the last clip is not read.
        let end = result.clips_end.map(seconds_of_frames).filter(|end| *end < duration);
        skipped.extend(end.map(|start| Skipped { start, end: duration, why: SkipReason::NotAskedFor }));
        skipped
    }

    /// Returns the beginning of each chunk but the first.
    fn seams(&self) -> Vec<Seam> {
        let seam =
            |span: &ChunkSpan| Seam { at: seconds_of_frames(span.first as u64), follows: span.follows };
        self.spans.values().skip(1).map(seam).collect()
    }

    fn speech(&self) -> Option<Vec<(f64, f64)>> {
        let result = self.front_end.as_ref().filter(|result| result.split.speech_detected)?;
        let spans = result.split.speech.iter();
        Some(spans.map(|frames| (seconds_of_frames(frames.start), seconds_of_frames(frames.end))).collect())
    }
}

impl Drop for ActiveInput {
    fn drop(&mut self) {
        self.engine_input.abandon();
        self.join();
    }
}
