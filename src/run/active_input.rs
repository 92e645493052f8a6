//! One input in flight: what came of its chunks so far, and in the end its transcript.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::Event;
use super::front_end::Reading;
use super::models::InUse;
use crate::chunking::Gap;
use crate::decode::DecodedChunk;
use crate::decode::LanguageGuess;
use crate::engine::Recording;
use crate::plan::PlannedInput;
use crate::store::journal::{Journal, JournaledChunk, Place};
use crate::store::ledger::InputSnapshot;
use crate::time::seconds_of_frames;
use crate::transcript::Segment;
use crate::transcript::{Damage, Seam, SkipReason, Skipped, Transcript};

pub struct File {
    pub item: PlannedInput,
    pub name: String,
    pub model: InUse,
    pub recording: Arc<Recording>,
    pub started: Instant,
    /// It is given up, and that was told.
    pub has_failed: bool,
    /// None while it is being read.
    pub reading: Option<Reading>,
    /// Seconds that it seems to have.
    pub length: f64,
    /// Frames behind the windows of all chunks, together.
    frames_done: usize,
    /// Frames that no window will lie in, as far as it was read.
    pub frames_skipped: u64,
    /// How its language was found out.
    pub guess: Option<LanguageGuess>,
    decoded: BTreeMap<usize, DecodedChunk>,
    /// Where the chunks lie that were made so far.
    places: BTreeMap<usize, Place>,
    /// Chunks that an earlier run has finished.
    kept: usize,
    /// What the input was when it was begun.
    pub origin: Option<InputSnapshot>,
    /// Keeps what is finished, and others away.
    pub journal: Option<Journal>,
    /// Segments that were not told yet, by chunk.
    untold: BTreeMap<usize, Vec<Segment>>,
    /// The chunk whose segments are told as they come.
    telling: usize,
    /// Reads the audio; owned, and joined here.
    thread: Option<JoinHandle<()>>,
}

impl File {
    pub fn new(item: PlannedInput, model: InUse, recording: Arc<Recording>, thread: JoinHandle<()>) -> Self {
        Self {
            name: item.name(),
            item,
            model,
            recording,
            started: Instant::now(),
            has_failed: false,
            reading: None,
            length: 0.0,
            frames_done: 0,
            frames_skipped: 0,
            guess: None,
            decoded: BTreeMap::new(),
            places: BTreeMap::new(),
            kept: 0,
            origin: None,
            journal: None,
            untold: BTreeMap::new(),
            telling: 0,
            thread: Some(thread),
        }
    }

    /// Waits for the front end, which ends by itself when all is read or the recording is given up.
    pub fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Its panics were caught and told.
            let _ = thread.join();
        }
    }

    /// Of what goes to files nothing is told.
    pub fn add_segments(&mut self, chunk: usize, segments: Vec<Segment>) {
        if !self.item.asked.is_empty() {
            return;
        }
        self.untold.entry(chunk).or_default().extend(segments);
    }

    /// Segments that can be told now in the order of time: those of the first chunk that is not finished and of
    /// all before it.
    pub fn tell(&mut self) -> Vec<Segment> {
        let mut told = Vec::new();
        loop {
            told.extend(self.untold.remove(&self.telling).unwrap_or_default());
            if !self.decoded.contains_key(&self.telling) {
                return told;
            }
            self.telling += 1;
        }
    }

    pub fn add_frames(&mut self, frames: usize) {
        self.frames_done += frames;
    }

    pub fn add_place(&mut self, chunk: usize, place: Place) {
        self.places.insert(chunk, place);
    }

    /// A chunk that the engine has finished; the error says why it was not journalled.
    pub fn add_chunk(&mut self, index: usize, decoded: DecodedChunk) -> io::Result<()> {
        let (Some(journal), Some(&place)) = (&mut self.journal, self.places.get(&index)) else {
            self.decoded.insert(index, decoded);
            return Ok(());
        };
        let finished = JournaledChunk { index, place, decoded };
        let outcome = journal.add_finished(&finished);
        self.decoded.insert(index, finished.decoded);
        outcome
    }

    /// A chunk that an earlier run has finished.
    pub fn add_kept(&mut self, JournaledChunk { index, place, decoded }: JournaledChunk) {
        self.kept += 1;
        self.add_place(index, place);
        self.add_segments(index, decoded.segments.clone());
        self.add_frames(place.stretch.end - place.stretch.first);
        self.decoded.insert(index, decoded);
    }

    /// What is told of a chunk that needs no more work.
    pub fn chunk_done<'a>(&'a self, chunk: usize, decoded: &'a DecodedChunk, is_kept: bool) -> Event<'a> {
        let seconds = |frames: usize| seconds_of_frames(frames as u64);
        let stretch = self.places.get(&chunk).map(|place| place.stretch);
        let (start, end) = stretch.map_or((0.0, 0.0), |s| (seconds(s.first), seconds(s.end)));
        Event::ChunkDone { input: &self.name, chunk, start, end, is_kept, decoded }
    }

    pub fn keep_language(&mut self, guess: LanguageGuess) -> io::Result<()> {
        let guess = self.guess.insert(guess);
        self.journal.as_mut().map_or(Ok(()), |journal| journal.add_language(guess))
    }

    /// Whether chunks of an earlier run were taken over.
    pub fn has_resumed(&self) -> bool {
        self.kept > 0
    }

    /// Seconds of it that are done.
    pub fn seconds_done(&self) -> f64 {
        seconds_of_frames(self.frames_done as u64 + self.frames_skipped)
    }

    /// Everything was read and every chunk is there.
    pub fn is_complete(&self) -> bool {
        self.reading.as_ref().is_some_and(|reading| self.decoded.len() == reading.chunks)
    }

    pub fn transcript(&mut self) -> Transcript {
        let chunks = std::mem::take(&mut self.decoded).into_values();
        let duration = self.reading.as_ref().map_or(0.0, |reading| reading.duration);
        self.assemble(chunks, duration)
    }

    /// That of the chunks finished from the first on without a gap; none if there are none.
    pub fn partial(&mut self) -> Option<Transcript> {
        let decoded = std::mem::take(&mut self.decoded);
        let chunks: Vec<_> =
            decoded.into_iter().enumerate().take_while(|(nth, (index, _))| nth == index).collect();
        let last = chunks.last().map(|(nth, _)| *nth)?;
        let end = self.places.get(&last).map_or(0, |place| place.stretch.end);
        let chunks = chunks.into_iter().map(|(_, (_, decoded))| decoded);
        let whole = self.assemble(chunks, seconds_of_frames(end as u64));
        Some(Transcript { is_partial: true, ..whole })
    }

    fn assemble(&self, chunks: impl Iterator<Item = DecodedChunk>, duration: f64) -> Transcript {
        let mut said = Vec::new();
        let (mut segments, mut decisions): (Vec<Segment>, Vec<_>) = Default::default();
        for chunk in chunks {
            said.extend(chunk.said);
            segments.extend(chunk.segments);
            decisions.extend(chunk.decisions);
        }
        segments.iter_mut().enumerate().for_each(|(id, segment)| segment.id = id);
        let damage = self.reading.as_ref().map(|reading| &reading.damage);
        Transcript {
            source: self.name.clone(),
            duration,
            model: self.model.identity.clone(),
            language: self.recording.language().map_or(String::new(), |language| language.code().to_owned()),
            language_probability: self.guess.as_ref().map(|guess| f64::from(guess.probability())),
            languages: self.languages(),
            text: self.model.engine.tokenizer().decode(&said),
            segments,
            decisions,
            skipped: self.skipped(duration),
            speech: self.speech(),
            damage: damage.map_or_else(Damage::default, |damage| Damage {
                packets: damage.packets,
                truncated: damage.incomplete,
            }),
            waveform: self.reading.as_ref().and_then(|reading| reading.waveform.clone()),
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

    /// What was left out, as far as it was read.
    fn skipped(&self, duration: f64) -> Vec<Skipped> {
        let Some(reading) = &self.reading else { return Vec::new() };
        let mut skipped: Vec<Skipped> = Vec::new();
        for (frames, gap) in &reading.account.skipped {
            let why = match gap {
                Gap::Clip => SkipReason::NotAskedFor,
                Gap::Silence => SkipReason::Silence,
            };
            let (start, end) = (seconds_of_frames(frames.start), seconds_of_frames(frames.end));
            skipped.push(Skipped { start, end, why });
        }
        // Behind the last clip nothing need have been read.
        let end = reading.clips_end.map(seconds_of_frames).filter(|end| *end < duration);
        skipped.extend(end.map(|start| Skipped { start, end: duration, why: SkipReason::NotAskedFor }));
        skipped
    }

    /// Where each chunk but the first begins.
    fn seams(&self) -> Vec<Seam> {
        let seam = |place: &Place| Seam {
            at: seconds_of_frames(place.stretch.first as u64),
            follows: place.follows,
        };
        self.places.values().skip(1).map(seam).collect()
    }

    fn speech(&self) -> Option<Vec<(f64, f64)>> {
        let reading = self.reading.as_ref().filter(|reading| reading.account.listened)?;
        let spans = reading.account.voice.iter();
        Some(spans.map(|frames| (seconds_of_frames(frames.start), seconds_of_frames(frames.end))).collect())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.recording.give_up();
        self.join();
    }
}
